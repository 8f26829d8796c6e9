"""Translates one side of examples in Beam, and writes what passes the checks as synthetic pairs.

The texts are written to a file, one a line. `translation.bulk` translates it shard by shard: an interrupted
attempt is continued with the shards that are missing. Then the lines of both files are read side by side,
block by block, and become examples.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components import artifacts
from bitext.components.artifacts import CORPUS_PROPERTY, ORIGIN_PROPERTY, TRAIN_SPLIT
from bitext.components.bulk_inferrer import Parameters
from bitext.components.component import Context
from bitext.components.shared import storage, tfrecord
from bitext.components.shared.display import excerpt
from bitext.components.shared.errors import DataError
from bitext.components.shared.files import atomic_writer, write_json
from bitext.components.shared.strings import blank_rows, with_tag, without_tag
from bitext.components.text import length_ratios
from bitext.components.text.hashing import Hashes, source_hashes
from bitext.components.translation.bulk.executor import translate_file
from bitext.components.translation.search import Search
from bitext.components.translation.sentences import Splitting

TOO_LONG, EMPTY = "too long for the teacher", "empty translation"
LENGTH_RATIO, HELD_OUT = "length ratio", "held-out source"
SHOWN_PAIRS = 3
Mask = npt.NDArray[np.bool_]


def run(
    parameters: Parameters,
    context: Context,
    *,
    examples: Sequence[artifacts.Examples],
    model: artifacts.Model,
    held_out: Sequence[artifacts.Examples],
    golden: artifacts.Examples | None,
    output_examples: artifacts.Examples,
) -> None:
    """Writes a synthetic pair for each training example whose translation passes the checks.

    Args:
      parameters: the component's parameters.
      context: the run.
      examples: the examples of each span; the texts are one side of their train split.
      model: the teacher, which translates that side.
      held_out: the pairs of the bitext that are not trained on. No synthetic pair has a source of theirs.
      golden: the golden set and the test sets, likewise.
      output_examples: the output: a file for each file of the examples.

    Raises:
      DataError: a file or the model is damaged, or no synthetic pair is left.
    """
    texts = context.working_dir / "texts"
    lines = _write_texts(parameters, examples, texts)
    if not lines:
        raise DataError(
            f"{examples[0].path}: the train split has no text to translate", "give more training data"
        )
    translations, is_cut = _translated(parameters, context, model, texts, lines, output_examples)
    checks = _Checks(parameters, held_out, golden)
    counts = _write_pairs(parameters, examples, translations, is_cut, checks, output_examples, context)
    pairs, dropped = counts.pop(TRAIN_SPLIT), ", ".join(f"{name} {n:,}" for name, n in counts.items())
    context.say(
        f"{lines:,} sentences: {pairs:,} synthetic pair{'s' * (pairs != 1)}"
        + (f"; dropped: {dropped}" * bool(dropped))
    )
    if not pairs:
        raise DataError(
            f"no synthetic pair of {lines:,} is left; dropped: {dropped}",
            "train the teachers longer (`augmentation.teacher_steps`), or leave out this direction",
        )
    output_examples.properties.update(
        {
            TRAIN_SPLIT: pairs,
            CORPUS_PROPERTY: parameters.origin.corpus,
            ORIGIN_PROPERTY: parameters.origin.value,
            "part": parameters.origin.corpus,
        }
    )


def _translated(
    parameters: Parameters,
    context: Context,
    model: artifacts.Model,
    texts: Path,
    lines: int,
    output: artifacts.Examples,
) -> tuple[Path, Mask]:
    """Translates the lines of a file, unless an earlier attempt has.

    Returns:
      The file with the translations, and which texts have an end that the teacher has not read: bool[lines].
    """
    translations, long_file = (context.working_dir / name for name in ("translations", "long_lines.json"))
    if not (long_file.exists() and _has_lines(translations, lines)):
        long_lines: list[int] = []
        with context.progress("sentences", lines):
            translate_file(
                model.path,
                texts,
                translations,
                Search(beam_size=parameters.beam_size),
                context.beam_pipeline,
                splitting=Splitting(whole_lines=True),
                shared_folder=_shared_folder(output),
                say=context.say,
                long_lines=long_lines,
            )
        write_json(long_file, long_lines)
    is_cut = np.zeros(lines, bool)
    is_cut[np.array(msgspec.json.decode(long_file.read_bytes(), type=list[int]), np.int64) - 1] = True
    return translations, is_cut


def _shared_folder(output: artifacts.Examples) -> Path | None:
    """The folder in which workers without the disk of this machine write; None: they see that disk."""
    return output.path / ".shards" if storage.is_remote(output.path) else None


def _files(examples: Sequence[artifacts.Examples]) -> list[tuple[artifacts.Examples, Path]]:
    """The training files of all parts in order, each with its part."""
    return [(part, file) for part in examples for file in part.files(TRAIN_SPLIT)]


def _write_texts(parameters: Parameters, examples: Sequence[artifacts.Examples], path: Path) -> int:
    """Writes the texts of one side, one a line, and returns their number. Sources keep their tags."""
    lines = 0
    with atomic_writer(path) as file:
        for _, source_file in _files(examples):
            for batch in tfrecord.read_record_batches(source_file):
                text = tfrecord.string_column(batch, parameters.origin.given_side, source_file)
                flat = pc.replace_substring_regex(text, r"\s", " ")  # a line break would be two texts
                joined = pc.binary_join(pa.ListArray.from_arrays([0, len(flat)], flat), "\n")
                file.write(joined[0].as_py().encode() + b"\n")
                lines += len(flat)
    return lines


def _has_lines(path: Path, lines: int) -> bool:
    """Whether an earlier attempt has translated everything already."""
    if not path.exists():
        return False
    with path.open("rb") as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b"")) == lines


class _Checks:
    """Finds the pairs that must not be trained on.

    Args:
      parameters: the component's parameters.
      held_out, golden: see `run`.
    """

    def __init__(
        self,
        parameters: Parameters,
        held_out: Sequence[artifacts.Examples],
        golden: artifacts.Examples | None,
    ):
        self._parameters = parameters
        hashes, counts = [np.zeros(0, np.uint64)], Counter[str]()
        for part in held_out:
            tag = parameters.tags.get(part.corpus, "")
            for source, target in _pairs(part, ("eval", "test")):
                plain = without_tag(source, tag)
                hashes.append(source_hashes(plain))
                octaves = length_ratios.log_ratios(plain, target, parameters.ratio_from_characters)
                counts.update(length_ratios.histogram(octaves))
        if golden is not None:
            hashes += [source_hashes(source) for source, _ in _pairs(golden, golden.splits())]
        self._held_out: Hashes = np.unique(np.concatenate(hashes))
        self._ratio = length_ratios.corpus_ratio(counts)

    def dropped(
        self, source: pa.Array, target: pa.Array, translated: pa.Array, is_cut: Mask
    ) -> dict[str, Mask]:
        """Which pairs are dropped, by the reason: bool[N] each. A pair has one reason.

        Args:
          source, target: string[N], without tags.
          translated: that of them which is a translation.
          is_cut: bool[N], whether the teacher has not read the end of the text.
        """
        p = self._parameters
        octaves = length_ratios.log_ratios(source, target, p.ratio_from_characters)
        too_far = np.zeros(len(source), bool)
        too_far[length_ratios.too_far(octaves, self._ratio, p.max_length_ratio)] = True
        masks = {
            TOO_LONG: is_cut,
            EMPTY: blank_rows(translated),
            LENGTH_RATIO: too_far,
            HELD_OUT: np.isin(source_hashes(source), self._held_out),
        }
        earlier = np.zeros(len(source), bool)
        for reason, mask in masks.items():
            masks[reason] = mask & ~earlier
            earlier |= mask
        return masks


def _pairs(examples: artifacts.Examples, splits: Sequence[str]) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yields the sources and targets of splits, block by block."""
    for file in (file for split in splits for file in examples.files(split)):
        for batch in tfrecord.read_record_batches(file):
            source, target = (tfrecord.string_column(batch, side, file) for side in ("source", "target"))
            yield source, target


def _write_pairs(
    parameters: Parameters,
    examples: Sequence[artifacts.Examples],
    translations: Path,
    is_cut: Mask,
    checks: _Checks,
    output: artifacts.Examples,
    context: Context,
) -> Counter[str]:
    """Writes the pairs that are left, and returns their number and how many are dropped, by reason.

    `is_cut`: which texts have an end that the teacher has not read.
    """
    counts, first = Counter({TRAIN_SPLIT: 0}), 0
    origin, files = parameters.origin, _files(examples)
    with translations.open("rb") as lines:
        for number, (part, file) in enumerate(files):
            tag = parameters.tags.get(part.corpus, "")
            with tfrecord.example_writer(output.shard(TRAIN_SPLIT, number, len(files))) as write:
                for batch in tfrecord.read_record_batches(file):
                    given = tfrecord.string_column(batch, origin.given_side, file)
                    translated = _next_lines(lines, len(given))
                    if origin.given_side == "source":
                        source, target = without_tag(given, tag), translated
                    else:
                        source, target = translated, given
                    is_cut_of_block = is_cut[first : first + len(given)]
                    dropped = checks.dropped(source, target, translated, is_cut_of_block)
                    first += len(given)
                    left = pa.array(np.flatnonzero(~np.any(list(dropped.values()), axis=0)))
                    ids = tfrecord.string_column(batch, "id", file)
                    columns = {
                        "id": pc.binary_join_element_wise(origin.corpus, ids, "/"),
                        "source": with_tag(with_tag(source, tag), parameters.tag),
                        "target": target,
                    }
                    columns = {name: column.take(left) for name, column in columns.items()}
                    if not counts[TRAIN_SPLIT]:
                        _show(columns, context)
                    write(columns)
                    counts.update({reason: int(mask.sum()) for reason, mask in dropped.items() if mask.any()})
                    counts[TRAIN_SPLIT] += len(left)
    return counts


def _next_lines(file: BinaryIO, number: int) -> pa.Array:
    """Reads the next lines of a file, without their ends: string[number]."""
    lines = pa.array(list(itertools.islice(file, number)), pa.binary()).cast(pa.string())
    return pc.utf8_rtrim(lines, "\n")


def _show(columns: dict[str, pa.Array], context: Context) -> None:
    """Prints the first pairs, so that a person sees what the teacher makes."""
    sides = (columns[side].slice(0, SHOWN_PAIRS).to_pylist() for side in ("source", "target"))
    for source, target in zip(*sides, strict=True):
        context.say(f"  {excerpt(source)}")
        context.say(f"      {excerpt(target)}")
