"""Further segmentations of the training split: subword regularisation (Kudo 2018).

As BPE-dropout (Provilkov et al. 2020) does, a word is sometimes spelt in smaller subwords than byte-pair
encoding makes of it, so that the model learns what subwords are made of. There merges are left out while a
word is encoded; here they are undone in what has been encoded, which is one pass over arrays of ids.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pyarrow as pa

from bitext.components.text import KEY_FACTOR
from bitext.components.transform import ragged
from bitext.components.transform.buckets import Ints

SEED = 1


@dataclasses.dataclass(frozen=True)
class Splits:
    """The pairs of subwords that join, by what they join to.

    Attributes:
      left: int64[M], right: int64[M], in the order of the ids of what they join to.
      starts: int64[V + 1], where the pairs of each id begin.
    """

    left: Ints
    right: Ints
    starts: Ints

    @classmethod
    def read(cls, merges: Path, size: int) -> Splits:
        """Reads a merges file (`bitext.components.text.learn`) of a vocabulary of `size` ids."""
        key, merged = np.loadtxt(merges, np.int64, delimiter="\t", ndmin=2).T
        known = key >= 0
        key, merged = key[known], merged[known]
        order = np.lexsort((key, merged))
        key, merged = key[order], merged[order]
        return cls(key // KEY_FACTOR, key % KEY_FACTOR, np.searchsorted(merged, np.arange(size + 1)))

    def apply(self, ids: Ints, rate: float, random: np.random.Generator) -> tuple[Ints, Ints]:
        """Splits subwords at random, and the halves again.

        Args:
          ids: int64[N].
          rate: probability of each subword that can be split to be split, at a place drawn evenly.
          random: what is drawn from.

        Returns:
          The ids int64[N'], and for each the place in `ids` of what it is a part of, int64[N'].
        """
        origin = np.arange(len(ids))
        fresh = np.ones(len(ids), bool)
        while fresh.any():
            first, ways = self.starts[ids], self.starts[ids + 1] - self.starts[ids]
            split = fresh & (ways > 0) & (random.random(len(ids)) < rate)
            way = first[split] + (random.random(np.count_nonzero(split)) * ways[split]).astype(np.int64)
            sizes = 1 + split
            at = (np.cumsum(sizes) - sizes)[split]
            ids, origin, fresh = (np.repeat(array, sizes) for array in (ids, origin, split))
            ids[at], ids[at + 1] = self.left[way], self.right[way]
        return ids, origin


def write(folder: Path, many: int, rate: float, splits: dict[str, Splits], longest: dict[str, int]) -> None:
    """Puts `many - 1` further segmentations of its examples beside each Arrow file of a folder.

    Args:
      folder: of files whose names, of digits, sort in the order of the input. A further segmentation of all
        of them sorts after them, as another pass over the text.
      many: segmentations, with the one that is there.
      rate: see `Splits.apply`.
      splits: by column.
      longest: by column, most ids of a row. A row that would become longer stays as it is.
    """
    for number, file in enumerate(sorted(folder.glob("*.arrow"))):
        table = ragged.read(file)
        for further in range(1, many):
            random = np.random.default_rng((SEED, number, further))
            resegmented = table
            for name, of_column in splits.items():
                lists = _split(table, name, of_column, rate, longest[name], random)
                at = table.schema.get_field_index(name)
                resegmented = resegmented.set_column(at, table.schema.field(at), lists)
            ragged.write(folder / f"further-{further:05d}-{file.stem}.arrow", resegmented)


def _split(
    table: pa.Table, name: str, splits: Splits, rate: float, longest: int, random: np.random.Generator
) -> pa.Array:
    """A list column with its subwords split at random."""
    values, starts, lengths = ragged.column(table, name)
    values = values[starts[0] : starts[-1] + lengths[-1]]
    rows = np.repeat(np.arange(len(lengths)), lengths)
    ids, origin = splits.apply(values, rate, random)
    grown = np.bincount(rows[origin], minlength=len(lengths))
    fits = grown <= longest
    as_split, as_it_was = fits[rows[origin]], ~fits[rows]
    origin = np.concatenate([origin[as_split], np.flatnonzero(as_it_was)])
    ids = np.concatenate([ids[as_split], values[as_it_was]])[np.argsort(origin, kind="stable")]
    offsets = np.concatenate([[0], np.cumsum(np.where(fits, grown, lengths))])
    kind = table.schema.field(name).type
    return pa.LargeListArray.from_arrays(offsets, ids).cast(kind)
