"""Runs MonolingualGen: reads text files with one sentence a line, and writes the sentences that can be used.

The files are read once, block by block, into a temporary file. Then the sentences are chosen, and written to
files of `SHARD_ROWS`. Only hashes are in memory, 8 bytes for each sentence.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components import artifacts
from bitext.components.artifacts import TRAIN_SPLIT
from bitext.components.component import Context
from bitext.components.example_gen import MonolingualParameters, PartParameters, preview
from bitext.components.example_gen.cleaning import REASONS as CLEANING_REASONS
from bitext.components.example_gen.cleaning import Cleaning
from bitext.components.example_gen.filters import REASONS, filter_rows
from bitext.components.example_gen.formats import base, content
from bitext.components.example_gen.rows import Rows
from bitext.components.shared import directions, reading, tfrecord
from bitext.components.shared.display import EXCERPT_CHARACTERS, excerpt, path_text, quoted, shell_path
from bitext.components.shared.errors import BitextError, DataError
from bitext.components.shared.hash_counts import HashCounts
from bitext.components.shared.language_identification import count_languages
from bitext.components.shared.strings import without_tag
from bitext.components.text.hashing import Hashes, mixed, source_hashes

SHARD_ROWS = 1_000_000
SHOWN = 3
"""Sentences that are shown, and rejected lines of which an error shows the text."""
_SEED = 1
"""Chooses the sentences, if there are more than `max_sentences`."""
BLANK, DUPLICATE, IN_BITEXT, HELD_OUT = "blank", "duplicate", "in the bitext", "held out"
_RULES_OF_PAIRS: dict[str, Any] = {
    "min_copied_words": 0,
    "max_shared_words": 0.0,
    "numbers": False,
    "final_marks": False,
    "max_length_ratio": 0.0,
    "near_duplicates": False,
    "max_targets": 0,
    "max_other_script_share": 0.0,
    "min_language_confidence": 0.0,
    "source_language": "",
    "target_language": "",
}
"""The rules of cleaning that compare both sides, or a row with its corpus, turned off."""


def run(
    parameters: MonolingualParameters,
    context: Context,
    *,
    bitext: Sequence[artifacts.Examples],
    golden: artifacts.Examples | None,
    examples: artifacts.Examples,
) -> None:
    """Writes the sentences of one language as the side of examples, without the other side.

    Lines are checked by the rules of ExampleGen that look at one side. A sentence that the files have twice,
    or that the bitext has on the same side, is left out; so is one that is a source or a target of a held-out
    pair, so that the score stays that of unseen sentences.

    Args:
      parameters: the component's parameters.
      context: the run.
      bitext: the examples of each span of the bitext.
      golden: the golden set and the test sets.
      examples: the output, with `Split-train` only.

    Raises:
      DataError: a file is missing, damaged or no text; too many lines cannot be used; the sentences are in
        the language of the other side; or none is left.
    """
    with _own_keys(parameters.side):
        reader = _Reader(parameters, _Known.of(parameters, bitext, golden))
        temporary = context.temp_dir / "sentences.gz"
        with context.progress("lines") as progress, tfrecord.example_writer(temporary) as write:
            for columns in reader.sentences():
                write(columns)
                progress.advance(reader.lines - progress.done)
        reader.check()
        kept = _write(parameters, reader, temporary, examples)
        context.say(f"{reader.lines:,} lines: {kept:,} sentences{_left_out(reader.counts)}")
        for line in _look(parameters, examples.files(TRAIN_SPLIT)[0], bitext):
            context.say(line)
    examples.properties.update({TRAIN_SPLIT: kept})


@contextlib.contextmanager
def _own_keys(side: str) -> Iterator[None]:
    """Context manager: errors name the keys of the monolingual files, not those of `example_gen`."""
    key = f"augmentation.monolingual.{side}"
    try:
        yield
    except BitextError as error:
        if "example_gen.format" in error.remedy:
            error.remedy = f"{key} takes text files with one sentence a line: write the sentences to one"
        error.remedy = error.remedy.replace("example_gen.encoding", f"{key}.encoding")
        raise


@dataclasses.dataclass(frozen=True)
class _Known:
    """The hashes of the sentences that are left out.

    Attributes:
      held_out: both sides of the held-out pairs, sorted.
      trained: the same side of the training pairs, sorted.
    """

    held_out: Hashes
    trained: Hashes

    @classmethod
    def of(
        cls,
        parameters: MonolingualParameters,
        bitext: Sequence[artifacts.Examples],
        golden: artifacts.Examples | None,
    ) -> _Known:
        """Reads the hashes of the bitext."""
        held_out, trained = ([np.zeros(0, np.uint64)] for _ in range(2))
        for part in (*bitext, *([] if golden is None else [golden])):
            tag = parameters.tags.get(part.corpus, "")
            for split in part.splits():
                for file in part.files(split):
                    for batch in tfrecord.read_record_batches(file):
                        source, target = (
                            tfrecord.string_column(batch, name, file) for name in ("source", "target")
                        )
                        sides = {"source": without_tag(source, tag), "target": target}
                        if split == TRAIN_SPLIT:
                            trained.append(source_hashes(sides[parameters.side]))
                        else:
                            held_out += [source_hashes(text) for text in sides.values()]
        return cls(*(np.unique(np.concatenate(hashes)) for hashes in (held_out, trained)))


class _Reader:
    """Reads and checks the files.

    Attributes:
      lines: number of lines.
      counts: number of lines that are left out, by the reason.
      kept: the hashes of the sentences that are left, in order, block by block.
    """

    def __init__(self, parameters: MonolingualParameters, known: _Known):
        self._parameters, self._known, self._seen = parameters, known, HashCounts()
        self._cleaning: Cleaning = msgspec.structs.replace(parameters.cleaning, **_RULES_OF_PAIRS)
        self._limits = PartParameters(encoding=parameters.encoding, max_characters=parameters.max_characters)
        self._shown: list[str] = []
        self.lines = 0
        self.counts: Counter[str] = Counter()
        self.kept: list[Hashes] = []

    def sentences(self) -> Iterator[dict[str, pa.Array]]:
        """Yields the features of the sentences that can be used, block by block."""
        remedy = f"correct the paths in augmentation.monolingual.{self._parameters.side}.files"
        paths = [path for pattern in self._parameters.files for path in reading.find_files(pattern, remedy)]
        names = Counter(_name(path) for path in paths)
        for path in dict.fromkeys(paths):
            label = _name(path) if names[_name(path)] == 1 else path_text(path)
            head = base.text_head(path, self._parameters.encoding)
            content.check_rows(head, path)
            _check_columns(head, path)
            numbered = enumerate(base.text_lines(path, self._parameters.encoding), 1)
            for block in base.in_blocks(numbered, lambda row: len(row[1])):
                numbers = np.array([number for number, _ in block], np.int64)
                yield self._block(path, label, numbers, pa.array([line for _, line in block], pa.binary()))

    def _block(
        self, path: str, label: str, numbers: npt.NDArray[np.int64], text: pa.Array
    ) -> dict[str, pa.Array]:
        """Checks a block of lines of a file."""
        self.lines += len(text)
        rows = Rows(numbers, (text, text), (text,), np.ones(len(text), np.int64))
        filtered = filter_rows(rows, self._limits, self._cleaning)
        for row, detail in filtered.details.items():
            reason = REASONS[filtered.reason[row] - 1]
            self.counts[BLANK if reason == "empty_side" else reason] += 1
            if reason not in ("empty_side", *CLEANING_REASONS) and len(self._shown) < SHOWN:
                what = detail.replace("source: ", "", 1)
                shown = quoted(rows.text(row)[:EXCERPT_CHARACTERS])
                self._shown.append(f"  {path_text(path)}:{numbers[row]}: {reason} ({what}): {shown}")
        usable = filtered.accepted()
        sentences = filtered.source.take(pa.array(usable))
        left = np.arange(len(usable))
        hashes = source_hashes(sentences)
        for reason, is_left in (
            (HELD_OUT, ~np.isin(hashes, self._known.held_out)),
            (IN_BITEXT, ~np.isin(hashes, self._known.trained)),
        ):
            mask = is_left[left]
            self._count(reason, mask)
            left = left[mask]
        mask = self._seen.first(hashes[left])
        self._count(DUPLICATE, mask)
        left = left[mask]
        self.kept.append(hashes[left])
        ids = pa.array(numbers[usable[left]]).cast(pa.string())
        return {
            "id": pc.binary_join_element_wise(pa.scalar(f"{label}:"), ids, pa.scalar("")),
            self._parameters.side: sentences.take(pa.array(left)),
        }

    def _count(self, reason: str, is_left: npt.NDArray[np.bool_]) -> None:
        if number := int((~is_left).sum()):
            self.counts[reason] += number

    def check(self) -> None:
        """Checks that enough lines can be used.

        Raises:
          DataError: too many lines cannot be used, or no sentence is left.
        """
        faults = set(REASONS).difference(CLEANING_REASONS)
        unusable = {name: number for name, number in self.counts.items() if name in faults}
        read = self.lines - self.counts[BLANK]
        number, limit = sum(unusable.values()), self._parameters.max_reject_share
        if number > limit * read:
            counts = ", ".join(f"{name} {count:,}" for name, count in unusable.items())
            raise DataError(
                f"{number:,} of {read:,} lines ({number / read:.1%}) of the monolingual files cannot be used"
                f" ({counts}), over max_reject_share {limit:.1%}. The first are:\n" + "\n".join(self._shown),
                "correct these lines, or raise example_gen.max_reject_share or example_gen.max_characters",
            )
        if not sum(map(len, self.kept)):
            raise DataError(
                f"no sentence of the {self.lines:,} lines of {', '.join(self._parameters.files)} is left"
                f"{_left_out(self.counts)}",
                f"name other files in augmentation.monolingual.{self._parameters.side}.files",
            )


def _check_columns(head: bytes, path: str) -> None:
    """Checks that the lines of a file are no rows of a table.

    Raises:
      DataError: half of the first lines have a tab.
    """
    lines = [line for line in base.split_block(head) if line.strip()]
    if sum(b"\t" in line for line in lines) * 2 > len(lines):
        raise DataError(
            f"{path_text(path)} has columns, divided by tabs: {quoted(lines[0].decode(errors='replace'))}",
            f"write the sentences of one column to a text file (cut -f2 {shell_path(path)} > FILE)",
        )


def _left_out(counts: Counter[str]) -> str:
    """Says how many lines are left out, and why; empty: none is."""
    listed = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f"; left out: {listed}" if listed else ""


def _name(path: str) -> str:
    return path_text(path.rpartition("/")[2])


def _write(
    parameters: MonolingualParameters, reader: _Reader, temporary: Path, examples: artifacts.Examples
) -> int:
    """Writes the sentences with the smallest hashes, at most `max_sentences`, and returns their number."""
    order = mixed(np.concatenate(reader.kept), _SEED)
    most = parameters.max_sentences
    is_chosen = np.ones(len(order), bool)
    if most is not None and most < len(order):
        is_chosen[:] = False
        is_chosen[np.argpartition(order, most)[:most]] = True
    kept = int(is_chosen.sum())
    shards, first = -(-kept // SHARD_ROWS), 0
    shard_of_row = np.where(is_chosen, (np.cumsum(is_chosen) - 1) // SHARD_ROWS, -1)
    with contextlib.ExitStack() as stack:
        number, write = -1, None
        for batch in tfrecord.read_record_batches(temporary):
            of_block = shard_of_row[first : first + batch.num_rows]
            first += batch.num_rows
            columns = {
                name: tfrecord.string_column(batch, name, temporary) for name in ("id", parameters.side)
            }
            for shard in np.unique(of_block[of_block >= 0]).tolist():
                if shard != number:
                    stack.close()
                    file = examples.shard(TRAIN_SPLIT, shard, shards)
                    number, write = shard, stack.enter_context(tfrecord.example_writer(file))
                chosen = pa.array(np.flatnonzero(of_block == shard))
                if write is not None:
                    write({name: column.take(chosen) for name, column in columns.items()})
    return kept


def _look(
    parameters: MonolingualParameters, file: Path, bitext: Sequence[artifacts.Examples]
) -> Iterator[str]:
    """Yields the language of the sentences, a warning if it is not that of their side, and some sentences.

    Raises:
      DataError: it is the language of the other side.
    """
    batch = next(tfrecord.read_record_batches(file, preview.SAMPLE_ROWS))
    sentences = tfrecord.string_column(batch, parameters.side, file)
    found = count_languages(sentences)
    yield preview.in_words(sentences, found)
    language = preview.dominant_language(found)
    languages = dict(zip(("source", "target"), directions.of(bitext[0].properties), strict=True))
    own = languages.pop(parameters.side)
    [other] = languages.values()
    if language and own and language != own:
        problem = f"the monolingual {parameters.side} sentences are {language}, and those of the bitext {own}"
        if language == other:
            raise DataError(
                f"{problem}: they are in the language of the other side",
                "name these files under the other side of augmentation.monolingual",
            )
        yield f"warning: {problem}; check augmentation.monolingual.{parameters.side}.files"
    for sentence in sentences.slice(0, SHOWN).to_pylist():
        yield f"  {excerpt(sentence)}"
