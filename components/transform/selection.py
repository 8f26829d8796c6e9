"""Chooses the training pairs of several spans and corpora: without duplicates, and by the corpora's weights.

Each part (a span, or a corpus) was read by itself, so a pair can be in two of them, and a source can be in
the train split of one and in the eval or test split of another, whose files are given. The analysis of the
vocabulary reads all pairs once: its counts of a part do not depend on the other parts, and stay cached.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.artifacts import Examples
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError
from bitext.components.text.hashing import Hashes, pair_hashes, source_hashes
from bitext.components.transform import CorpusUse, WeightedParameters

Copies: TypeAlias = npt.NDArray[np.int16]
"""int16[N], how often each example of a file is written; 0: it is left out."""
HELD_OUT_SPLITS = ("eval", "test")


@dataclasses.dataclass
class Selection:
    """The training pairs to write.

    Attributes:
      copies: by train file, how often each of its examples is written.
      duplicates: number of pairs left out because an earlier part has them.
      held_out: number of pairs left out because their source is in eval or test of another part.
      pairs: number of pairs that are left, by corpus.
      written: number of pairs written, by corpus.
    """

    copies: dict[str, Copies]
    duplicates: int
    held_out: int
    pairs: dict[str, int]
    written: dict[str, int]

    def lines(self) -> Iterator[str]:
        """Yields what a person should know, as lines."""
        if self.duplicates:
            yield f"{self.duplicates:,} training pairs left out: an earlier span or corpus has them"
        if self.held_out:
            yield (
                f"{self.held_out:,} training pairs left out: their source is in eval or test of another span"
                " or corpus"
            )
        for name, pairs in self.pairs.items():
            if (written := self.written[name]) != pairs:
                yield f"{name}: {pairs:,} training pairs are written {written:,} times, as its weight says"


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
    names = [str(part.properties.get("corpus", "")) for part in examples]
    tags = [uses[name].tag if name in uses else "" for name in names]
    held_out = [
        [_hashes(path, tag)[0] for split in HELD_OUT_SPLITS for path in part.files(split)]
        for part, tag in zip(examples, tags, strict=True)
    ]
    files, rows, pairs, excluded = [], [], [], []
    held_out_elsewhere = _by_other_parts([_union(hashes) for hashes in held_out])
    for part, tag, elsewhere in zip(examples, tags, held_out_elsewhere, strict=True):
        for path in part.files("train"):
            of_sources, of_pairs = _hashes(path, tag)
            files.append(str(path))
            rows.append(len(of_pairs))
            pairs.append(of_pairs)
            excluded.append(np.isin(of_sources, elsewhere))
    all_pairs, is_excluded = np.concatenate(pairs), np.concatenate(excluded)
    is_first = np.zeros(len(all_pairs), bool)
    is_first[np.unique(all_pairs, return_index=True)[1]] = True
    kept = is_first & ~is_excluded
    corpus_of_file = [name for part, name in zip(examples, names, strict=True) for _ in part.files("train")]
    corpus = np.repeat(np.array(corpus_of_file, object), rows)
    copies = kept.astype(np.int16)
    if not kept.any():
        raise DataError(
            "no training pair is left: every one is in eval or test of another span or corpus",
            "give more data to train",
        )
    selection = Selection({}, int((~is_first & ~is_excluded).sum()), int(is_excluded.sum()), {}, {})
    for name, use in uses.items():
        own = np.flatnonzero(kept & (corpus == name))
        copies[own] = _weighted(all_pairs[own], use, parameters.sampling_seed)
        if len(own) and not copies[own].any():
            raise DataError(
                f"{name}: none of its {len(own):,} training pairs is taken with weight {use.weight:g}",
                "raise the weight in example_gen.corpora, or leave the corpus out",
            )
        selection.pairs[name], selection.written[name] = len(own), int(copies[own].sum())
    ends = np.cumsum(rows)
    selection.copies = dict(zip(files, np.split(copies, ends[:-1]), strict=True))
    return selection


def copies(
    parameters: WeightedParameters, examples: Sequence[Examples], say: Callable[[str], None]
) -> dict[str, Copies]:
    """Chooses the training pairs as `select` and says what a person should know.

    Returns:
      By train file, how often each of its examples is written; empty: each is written once.
    """
    selection = select(parameters, examples)
    if selection is None:
        return {}
    for line in selection.lines():
        say(line)
    return selection.copies


def _weighted(pairs: Hashes, use: CorpusUse, seed: int) -> Copies:
    """The number of copies of each pair of a corpus: their sum is exactly its weight times the pairs."""
    whole = int(use.weight)
    copies = np.full(len(pairs), whole, np.int16)
    further = round((use.weight - whole) * len(pairs))
    if further:
        copies[np.argsort(_mixed(pairs, seed))[:further]] += 1
    return copies


def _mixed(hashes: Hashes, seed: int) -> Hashes:
    """Other hashes for each seed: the output function of SplitMix64 (Steele et al. 2014, OOPSLA)."""
    mixed = hashes + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _union(hashes: list[Hashes]) -> Hashes:
    return np.unique(np.concatenate([np.zeros(0, np.uint64), *hashes]))


def _by_other_parts(held_out: list[Hashes]) -> Iterator[Hashes]:
    """Yields for each part the held-out hashes of the other parts."""
    hashes, parts = np.unique(np.concatenate(held_out), return_counts=True)
    for own in held_out:
        yield hashes[parts > np.isin(hashes, own)]


def _hashes(path: Path, tag: str) -> tuple[Hashes, Hashes]:
    """The hashes of the sources of a file, without the tag of its corpus, and those of its pairs."""
    of_sources, of_pairs = [np.zeros(0, np.uint64)], [np.zeros(0, np.uint64)]
    for batch in tfrecord.read_record_batches(path):
        source, target = (tfrecord.string_column(batch, side, path) for side in ("source", "target"))
        untagged = pc.utf8_replace_slice(source, 0, len(tag) + 1, "") if tag else source
        of_sources.append(source_hashes(untagged))
        of_pairs.append(pair_hashes(source, target))
    return np.concatenate(of_sources), np.concatenate(of_pairs)


def repeat_rows(batch: pa.RecordBatch, copies: Copies) -> pa.RecordBatch:
    """Returns each row of a batch as often as `copies` says: int16[N]."""
    if (copies == 1).all():
        return batch
    return batch.take(pa.array(np.repeat(np.arange(batch.num_rows), copies)))
