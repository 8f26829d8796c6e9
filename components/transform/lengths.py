"""How many examples of a split have which lengths: all that is known of a split without its examples."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import numpy as np
import numpy.typing as npt

from bitext.components.transform import Parameters
from bitext.components.transform.buckets import Ints

_BITS = 32
"""A pair of lengths is one number: the source's times `2**32`, plus the target's."""


@dataclasses.dataclass(frozen=True)
class LengthCounts:
    """Numbers of examples by their lengths in tokens.

    Attributes:
      source: int64[K], a length of the source.
      target: int64[K], a length of the target. All pairs of lengths are different.
      count: int64[K], the examples with both.
    """

    source: Ints
    target: Ints
    count: Ints

    @classmethod
    def of(cls, source: Ints, target: Ints, count: Ints | None = None) -> LengthCounts:
        """Counts examples by their lengths, int64[N] each; `count` is the number of each, by default 1."""
        pairs = (np.asarray(source, np.int64) << _BITS) | np.asarray(target, np.int64)
        distinct, index = np.unique(pairs, return_inverse=True)
        total = np.zeros(len(distinct), np.int64)
        np.add.at(total, index, 1 if count is None else count)
        return cls(distinct >> _BITS, distinct & ((1 << _BITS) - 1), total)

    @classmethod
    def sum(cls, counts: Iterable[LengthCounts]) -> LengthCounts:
        """Adds counts."""
        columns = [(c.source, c.target, c.count) for c in counts]
        if not columns:
            return cls.of(np.zeros(0, np.int64), np.zeros(0, np.int64))
        return cls.of(*(np.concatenate(column) for column in zip(*columns, strict=True)))

    def accepted(self, parameters: Parameters) -> LengthCounts:
        """Returns the examples that are written, with their lengths after truncation."""
        if parameters.over_long == "reject":
            return self._where(~self._is_over_long(parameters))
        return self.of(
            np.minimum(self.source, parameters.source_max_length),
            np.minimum(self.target, parameters.target_max_length),
            self.count,
        )

    def over_long(self, parameters: Parameters) -> int:
        """Number of examples with a side over its limit."""
        return int(self.count[self._is_over_long(parameters)].sum())

    def total(self) -> int:
        """Number of examples."""
        return int(self.count.sum())

    def tokens(self) -> int:
        """Number of tokens of both sides."""
        return int(((self.source + self.target) * self.count).sum())

    def target_tokens(self) -> int:
        """Number of target tokens without `<s>`, which is not predicted."""
        return int(((self.target - 1) * self.count).sum())

    def _is_over_long(self, parameters: Parameters) -> npt.NDArray[np.bool_]:
        over = self.source > parameters.source_max_length
        return over | (self.target > parameters.target_max_length)

    def _where(self, mask: npt.NDArray[np.bool_]) -> LengthCounts:
        return LengthCounts(self.source[mask], self.target[mask], self.count[mask])

    def to_lists(self) -> list[list[int]]:
        """Returns the three columns, for JSON."""
        return [self.source.tolist(), self.target.tolist(), self.count.tolist()]

    @classmethod
    def from_lists(cls, columns: list[list[int]]) -> LengthCounts:
        """Returns the counts that `to_lists` gave."""
        source, target, count = (np.array(column, np.int64) for column in columns)
        return cls(source, target, count)


def percentile(lengths: Ints, counts: Ints, percent: int) -> int:
    """Returns the smallest length that `percent` of the examples do not exceed: NumPy's method `higher`.

    Args:
      lengths: int64[K].
      counts: int64[K], the examples of each length; at least one example in all.
      percent: the percentage.
    """
    order = np.argsort(lengths, kind="stable")
    ends = np.cumsum(counts[order])
    index = int(np.ceil((int(ends[-1]) - 1) * (percent / 100)))
    return int(lengths[order][np.searchsorted(ends, index, side="right")])


Totals = dict[str, LengthCounts]
"""The counts by split, or by another name."""


class SumLengths(beam.CombineFn):
    """Adds (name, LengthCounts) by name, into a dict."""

    def create_accumulator(self) -> Totals:
        """See `beam.CombineFn`."""
        return {}

    def add_input(self, accumulator: Totals, named: tuple[str, LengthCounts]) -> Totals:
        """See `beam.CombineFn`."""
        return self.merge_accumulators([accumulator, {named[0]: named[1]}])

    def merge_accumulators(self, accumulators: Iterable[Totals]) -> Totals:
        """See `beam.CombineFn`."""
        by_name: dict[str, list[LengthCounts]] = {}
        for accumulator in accumulators:
            for name, counts in accumulator.items():
                by_name.setdefault(name, []).append(counts)
        return {
            name: counts[0] if len(counts) == 1 else LengthCounts.sum(counts)
            for name, counts in by_name.items()
        }

    def extract_output(self, accumulator: Totals) -> Totals:
        """See `beam.CombineFn`."""
        return dict(sorted(accumulator.items()))


def to_json(totals: Totals) -> dict[str, Any]:
    """Returns totals as values for JSON."""
    return {name: counts.to_lists() for name, counts in totals.items()}
