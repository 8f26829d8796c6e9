"""Chooses the training pairs of several spans and corpora: without duplicates, and by the corpora's weights.

Each part (a span, or a corpus) was read by itself, so a pair can be in two of them, and a source can be in
the train split of one and in the eval or test split of another, whose files are given (`judging`).

The analysis of the vocabulary reads all pairs once: its counts of a part do not depend on the other parts,
and stay cached.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bitext.components.artifacts import Examples, PairOrigin, Reject, Rejects, Summary
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError
from bitext.components.text.hashing import Hashes, mixed
from bitext.components.transform import CorpusUse, WeightedParameters
from bitext.components.transform.judging import DUPLICATE, HELD_OUT, KEPT, REASONS, Codes, Judge, detail

Copies: TypeAlias = npt.NDArray[np.int16]
"""int16[N], how often each example of a file is written; 0: it is left out."""
HELD_OUT_SPLITS = ("eval", "test")


@dataclasses.dataclass
class Selection:
    """The training pairs to write.

    Attributes:
      uses: the corpora by name, in order; spans without a corpus have the name "".
      copies: by train file, how often each of its examples is written.
      codes: by train file, why each of its examples is left out.
      left_out: number of pairs left out, by corpus and reason.
      pairs: number of pairs that are left, by corpus.
      written: number of pairs written, by corpus.
    """

    uses: dict[str, CorpusUse]
    copies: dict[str, Copies] = dataclasses.field(default_factory=dict)
    codes: dict[str, Codes] = dataclasses.field(default_factory=dict)
    left_out: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)
    pairs: Counter[str] = dataclasses.field(default_factory=Counter)
    written: Counter[str] = dataclasses.field(default_factory=Counter)

    def synthetic_pairs(self) -> dict[str, int]:
        """The number of different synthetic pairs that are left, by `PairOrigin.pairs_property`."""
        origins = {origin.corpus: origin for origin in PairOrigin}
        return {origins[name].pairs_property: n for name, n in self.pairs.items() if name in origins}

    def synthetic_lines(self) -> Iterator[str]:
        """Yields the number of synthetic pairs of each kind."""
        names = {origin.corpus for origin in PairOrigin}
        for name in (name for name in self.uses if name in names):
            yield f"{name}: {self.pairs[name]:,} training pair{'s' * (self.pairs[name] != 1)}"

    def lines(self) -> Iterator[str]:
        """Yields of each corpus how many pairs are left out, why, and what its weight does."""
        for name, use in self.uses.items():
            prefix = f"{name}: " if name else ""
            if reasons := self.left_out.get(name):
                counts = ", ".join(f"{reason} {count:,}" for reason, count in reasons.items())
                pairs = f"training pair{'s' * (reasons.total() != 1)}"
                yield f"{prefix}{reasons.total():,} {pairs} left out: {counts}"
            if use.weight != 1.0 and self.pairs[name]:
                often = _use_in_words(self.pairs[name], self.written[name])
                yield f"{prefix}weight {use.weight:g}: {often}"


def _use_in_words(pairs: int, written: int) -> str:
    """Says how often the pairs of a corpus are used: `each of its 243 training pairs is used twice`."""
    times, further = divmod(written, pairs)
    if not times:
        return f"{further:,} of its {pairs:,} training pairs are used"
    often = {1: "once", 2: "twice"}.get(times, f"{times:,} times")
    more = f", and {further:,} of them once more" if further else ""
    each = f"each of its {pairs:,} training pairs" if pairs > 1 else "its only training pair"
    return f"{each} is used {often}{more}"


def select(parameters: WeightedParameters, examples: Sequence[Examples]) -> Selection | None:
    """Chooses the training pairs; None: each is written once.

    Args:
      parameters: Transform's parameters, with the weights of the corpora.
      examples: the examples of each part, in order.

    Raises:
      DataError: a file is damaged, or no pair is left.
    """
    uses = {use.name: use for use in parameters.corpora}
    if len(examples) == 1 and all(use.weight == 1.0 for use in uses.values()):
        return None
    names = [part.corpus for part in examples]
    selection = Selection({name: uses.get(name, CorpusUse(name, 1.0, "")) for name in names})
    selection.left_out = {name: Counter() for name in selection.uses}
    judge = Judge(selection.uses.values())
    sampled: dict[str, list[Hashes]] = {name: [] for name in selection.uses}
    held_out = _held_out_elsewhere(judge, selection, examples, names)
    for part, name, hashes in zip(examples, names, held_out, strict=True):
        use = selection.uses[name]
        for path in part.files("train"):
            codes = [np.zeros(0, np.int8)]
            for source, target in _sides(path):
                of_block, pairs = judge.codes(source, target, use, hashes)
                codes.append(of_block)
                if use.weight % 1:
                    sampled[name].append(pairs[of_block == KEPT])
            selection.codes[str(path)] = np.concatenate(codes)
            counts = np.bincount(selection.codes[str(path)], minlength=len(REASONS)).tolist()
            selection.pairs[name] += counts[KEPT]
            for code, count in enumerate(counts):
                if count and code != KEPT:
                    selection.left_out[name][REASONS[code]] += count
    if not selection.pairs.total():
        raise DataError(
            "no training pair is left: every one is in eval or test of another span or corpus",
            "give more data to train",
        )
    for name, use in selection.uses.items():
        files = [
            p for part, of in zip(examples, names, strict=True) if of == name for p in part.files("train")
        ]
        further = _sample(sampled[name], use, parameters.sampling_seed)
        _set_copies(selection, use, list(map(str, files)), further)
    return selection


def _held_out_elsewhere(
    judge: Judge, selection: Selection, examples: Sequence[Examples], names: Sequence[str]
) -> Iterator[Hashes]:
    """Yields for each part the sorted hashes of the sources that are in eval or test of other parts."""
    own = []
    for part, name in zip(examples, names, strict=True):
        paths = [path for split in HELD_OUT_SPLITS for path in part.files(split)]
        hashes = [judge.sources(source, selection.uses[name]) for path in paths for source, _ in _sides(path)]
        own.append(np.unique(np.concatenate([np.zeros(0, np.uint64), *hashes])))
    every, parts = np.unique(np.concatenate(own), return_counts=True)
    for hashes in own:
        elsewhere = parts > 1
        elsewhere |= ~np.isin(every, hashes, assume_unique=True)
        yield every[elsewhere]


def _sample(hashes: Sequence[Hashes], use: CorpusUse, seed: int) -> npt.NDArray[np.bool_] | None:
    """Which pairs of a corpus are written once more than the whole weight says: bool[N]; None: none.

    The sum of all copies is exactly the weight times the pairs.
    """
    if not hashes:
        return None
    order = mixed(np.concatenate(hashes), seed)
    further = np.zeros(len(order), bool)
    number = round((use.weight - int(use.weight)) * len(order))
    if number:
        further[np.argpartition(order, number - 1)[:number]] = True
    return further


def _set_copies(
    selection: Selection, use: CorpusUse, files: Sequence[str], further: npt.NDArray[np.bool_] | None
) -> None:
    """Sets the copies of the examples of a corpus, and their number.

    Raises:
      DataError: the corpus has pairs, but none of them is written.
    """
    position = 0
    for file in files:
        is_kept = selection.codes[file] == KEPT
        copies = is_kept.astype(np.int16) * np.int16(int(use.weight))
        if further is not None:
            end = position + int(is_kept.sum())
            copies[is_kept] += further[position:end]
            position = end
        selection.copies[file] = copies
        selection.written[use.name] += int(copies.sum())
    pairs = selection.pairs[use.name]
    if pairs and not selection.written[use.name]:
        raise DataError(
            f"{use.name}: none of its {pairs:,} training pairs is taken with weight {use.weight:g}",
            "raise the weight in example_gen.corpora, or leave the corpus out",
        )


def choose(
    parameters: WeightedParameters,
    examples: Sequence[Examples],
    rejects: Rejects,
    say: Callable[[str], None],
) -> Selection | None:
    """Chooses the training pairs as `select`, says what a person should know, and writes the rejected pairs.

    Returns:
      The selection; None: each pair is written once.
    """
    selection = select(parameters, examples)
    if selection is None:
        rejects.write_rows([])
        rejects.write_summary(Summary(rows=0, accepted=0))
        return None
    for line in (*selection.lines(), *selection.synthetic_lines()):
        say(line)
    rejects.write_rows(rejected(selection, examples))
    left_out = {name: dict(reasons) for name, reasons in selection.left_out.items()}
    rejects.write_summary(Summary(rows=0, accepted=0, left_out=left_out))
    return selection


def rejected(selection: Selection, examples: Sequence[Examples]) -> Iterator[Reject]:
    """Yields the pairs that rules of cleaning leave out. Others that are left out are only counted."""
    counted = (KEPT, HELD_OUT, DUPLICATE)
    for part in examples:
        use = selection.uses[part.corpus]
        for path in part.files("train"):
            codes, first = selection.codes[str(path)], 0
            if np.isin(codes, counted).all():
                continue
            for batch in tfrecord.read_record_batches(path):
                of_block = codes[first : first + batch.num_rows]
                first += batch.num_rows
                rows = np.flatnonzero(~np.isin(of_block, counted))
                columns = [
                    tfrecord.string_column(batch, name, path).take(pa.array(rows)).to_pylist()
                    for name in ("id", "source", "target")
                ]
                for code, row_id, *sides in zip(of_block[rows].tolist(), *columns, strict=True):
                    file, _, line = row_id.rpartition(":")
                    yield Reject(file, int(line), REASONS[code], detail(code, use), "\t".join(sides))


def _sides(path: Path) -> Iterator[tuple[pa.Array, pa.Array]]:
    """Yields the sources and targets of a file."""
    for batch in tfrecord.read_record_batches(path):
        source, target = (tfrecord.string_column(batch, side, path) for side in ("source", "target"))
        yield source, target


def repeat_rows(batch: pa.RecordBatch, copies: Copies) -> pa.RecordBatch:
    """Returns each row of a batch as often as `copies` says: int16[N]."""
    if (copies == 1).all():
        return batch
    return batch.take(pa.array(np.repeat(np.arange(batch.num_rows), copies)))
