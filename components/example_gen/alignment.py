"""Finds lines at which source and target look out of step: line n no longer translates line n.

Groups of `GROUP` consecutive rows are measured by what both sides of a translation share: the lengths
correlate, the same numbers occur, and sentences end with the same marks. Each measure is compared with what
it is in most groups of the same file, and with what chance gives in the group itself. The evidence of
neighboring groups is summed: a sequence whose sum is far on the side of chance is out of step.

The lengths are square roots of numbers of characters: in a translation, the variance of the difference is
then about the same for short and for long sentences (Gale and Church 1993, "A program for aligning sentences
in bilingual corpora").
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.example_gen.rows import Ints, Mask, to_ints

Floats: TypeAlias = npt.NDArray[np.float64] | npt.NDArray[np.float32]

GROUP = 25
"""Rows in a group, the unit in which line numbers are reported."""
OFFSETS = (0, -1, 1, -2, 2, -3, 3)
"""Shifts of the target that are measured, in rows. The best of them is reported as the likely shift."""
LEAST_GROUPS = 6
"""A file with fewer groups is not judged."""
EVIDENCE = 20.0
"""Least sum of the evidence of a sequence of groups, as a logarithm of odds."""
MOST_OF_A_GROUP = 8.0
"""Most evidence of one group, so that a few odd rows, such as a table, do not suffice."""

_MARKS = {
    "?": 1,
    "？": 1,
    "؟": 1,
    ";": 1,
    "!": 2,
    "！": 2,
    "¡": 2,
    ".": 3,
    "。": 3,
    "।": 3,
    "።": 3,
    "۔": 3,
    "．": 3,
    ":": 4,
    "：": 4,
    ",": 5,
    "，": 5,
    "、": 5,
    "…": 6,
}
_CLOSING = "\"'”’»›)]）」』】 "
_MARK_CLASSES = 7
_ASCII_MARKS = np.zeros(256, np.uint8)
_ASCII_MARKS[[ord(mark) for mark in _MARKS if mark.isascii()]] = [
    mark_class for mark, mark_class in _MARKS.items() if mark.isascii()
]
_STRENGTH, _MOST_CORRELATION = 0.75, 0.5
_MOST_AGREEMENT = 0.9
_USUAL = 0.75
"""Quantile over the groups that stands for rows in step: up to three quarters of a file may be out of it."""


@dataclasses.dataclass(frozen=True)
class Groups:
    """Measures of consecutive groups of rows. Arrays of [groups, offsets] have a column for each of OFFSETS.

    Attributes:
      first: int64[G], number of the first line of each group.
      last: int64[G], number of its last line.
      rows: float32[G], rows with both sides.
      source_variance: float32[G], variance of the length of the source.
      target_variance: float32[G], likewise of the target.
      covariance: float32[G, offsets] of both lengths.
      pairs: float32[G, offsets], rows that have both sides at an offset.
      same: for the final marks and the numbers: float32[G, offsets], pairs in which both sides are equal.
      chance: for both: float32[G], the share of equal pairs if the targets of the group are shuffled.
      most: for both: float32[G], the largest share of equal pairs in any order of the targets.
    """

    first: Ints
    last: Ints
    rows: Floats
    source_variance: Floats
    target_variance: Floats
    covariance: Floats
    pairs: Floats
    same: tuple[Floats, Floats]
    chance: tuple[Floats, Floats]
    most: tuple[Floats, Floats]


@dataclasses.dataclass(frozen=True)
class OutOfStep:
    """A sequence of lines at which both sides look out of step.

    Attributes:
      first: number of the first line.
      last: number of the last line.
      rows: rows in it.
      shift: the likely shift of the target in rows; 0: unknown.
      correlation: mean correlation of the lengths in it.
      usual: usual correlation in the file.
    """

    first: int
    last: int
    rows: int
    shift: int
    correlation: float
    usual: float


def measure(line: Ints, source: pa.Array, target: pa.Array, accepted: Mask) -> Groups:
    """Measures a block of rows.

    Args:
      line: int64[N], number of each row's line.
      source: string[N].
      target: string[N].
      accepted: bool[N], the rows that can be judged.
    """
    groups = -(-len(line) // GROUP)

    def grouped(values: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
        padded = np.zeros(groups * GROUP, np.float32)
        padded[: len(values)] = values
        return padded.reshape(groups, GROUP)

    weight = grouped(accepted)
    rows = weight.sum(1)
    deviations, variances = [], []
    for side in (source, target):
        length = grouped(np.sqrt(to_ints(pc.utf8_length(side))))
        mean = _total(length, weight) / np.maximum(rows, 1)
        deviations.append((length - mean[:, None]) * weight)
        variances.append(_total(deviations[-1], deviations[-1]) / np.maximum(rows - 1, 1))
    marks = [grouped(_final_marks(side)) for side in (source, target)]
    numbers = [grouped(codes) for codes in _numbers(source, target)]
    covariances, pairs, same_marks, same_numbers = [], [], [], []
    for offset in OFFSETS:
        both = weight * _shifted(weight, offset)
        pairs.append(both.sum(1))
        products = _total(deviations[0], _shifted(deviations[1], offset))
        covariances.append(products / np.maximum(pairs[-1] - 1, 1))
        same_marks.append(_total(both, marks[0] == _shifted(marks[1], offset)))
        same_numbers.append(_total(both, numbers[0] == _shifted(numbers[1], offset)))
    mark_shares = [
        tuple(_total(weight, side == mark) / np.maximum(rows, 1) for side in marks)
        for mark in range(_MARK_CLASSES)
    ]
    without = tuple(_total(weight, side == 0) / np.maximum(rows, 1) for side in numbers)
    return Groups(
        first=line[::GROUP],
        last=line[np.minimum(np.arange(1, groups + 1) * GROUP, len(line)) - 1],
        rows=rows,
        source_variance=variances[0],
        target_variance=variances[1],
        covariance=np.stack(covariances, 1),
        pairs=np.stack(pairs, 1),
        same=(np.stack(same_marks, 1), np.stack(same_numbers, 1)),
        chance=(sum(np.multiply(*shares) for shares in mark_shares), without[0] * without[1]),
        most=(sum(np.minimum(*shares) for shares in mark_shares), 1 - np.abs(without[0] - without[1])),
    )


def _total(values: npt.NDArray[np.float32], factors: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """The sum of products in each group: float32[G]."""
    return cast(
        npt.NDArray[np.float32], np.einsum("gr,gr->g", values, factors.astype(np.float32, copy=False))
    )


def _shifted(values: npt.NDArray[np.float32], offset: int) -> npt.NDArray[np.float32]:
    """The values `offset` rows later; at the edges of the block zeros."""
    shifted = np.zeros(values.size, np.float32)
    shifted[max(0, -offset) : values.size - max(0, offset)] = values.reshape(-1)[
        max(0, offset) : values.size - max(0, -offset)
    ]
    return shifted.reshape(values.shape)


def _buffers(text: pa.Array) -> tuple[Ints, npt.NDArray[np.uint8]]:
    """Where each text begins, and where the last ends; and the bytes of all texts."""
    _, offsets, data = text.buffers()
    begin = np.frombuffer(offsets, np.int32)[text.offset : text.offset + len(text) + 1].astype(np.int64)
    return begin, np.frombuffer(data or b"", np.uint8)


def _final_marks(text: pa.Array) -> npt.NDArray[np.uint8]:
    """The class of the final punctuation mark of each text; 0: none."""
    begin, data = _buffers(pc.utf8_rtrim(text, characters=_CLOSING))
    last = np.where(begin[1:] > begin[:-1], data[np.maximum(begin[1:], 1) - 1] if len(data) else 0, 0)
    marks = _ASCII_MARKS[last]
    others = pa.array(np.flatnonzero(last > 127))
    characters = pc.utf8_slice_codeunits(pc.utf8_rtrim(text.take(others), characters=_CLOSING), -1, None)
    index = pc.index_in(characters, value_set=pa.array(list(_MARKS), pa.string()))
    marks[others.to_numpy()] = np.array([*_MARKS.values(), 0], np.uint8)[
        to_ints(pc.fill_null(index, len(_MARKS)))
    ]
    return marks


def _numbers(source: pa.Array, target: pa.Array) -> list[Ints]:
    """A code for the digits of each text, equal for equal digits on both sides; 0: none."""
    codes = [np.zeros(len(side), np.int64) for side in (source, target)]
    with_digits = [_rows_with_digits(side) for side in (source, target)]
    digits = [
        pc.replace_substring_regex(side.take(pa.array(rows)), "[^0-9]+", "")
        for side, rows in zip((source, target), with_digits, strict=True)
    ]
    encoded = to_ints(pa.concat_arrays(digits).dictionary_encode().indices) + 1
    for side, rows, part in zip(codes, with_digits, np.split(encoded, [len(with_digits[0])]), strict=True):
        side[rows] = part
    return codes


def _rows_with_digits(text: pa.Array) -> Ints:
    """Indices of the texts with an ASCII digit, ascending."""
    begin, data = _buffers(text)
    first = int(begin[0])
    digits = first + np.flatnonzero((data[first : int(begin[-1])] - np.uint8(48)) < 10)
    return np.unique(np.searchsorted(begin, digits, "right") - 1)


def concatenate(blocks: Sequence[Groups]) -> Groups:
    """The groups of consecutive blocks."""
    fields: dict[str, Any] = {}
    for field in dataclasses.fields(Groups):
        values = [getattr(block, field.name) for block in blocks]
        if isinstance(values[0], tuple):
            fields[field.name] = tuple(np.concatenate(parts) for parts in zip(*values, strict=True))
        else:
            fields[field.name] = np.concatenate(values)
    return Groups(**fields)


def find(groups: Groups) -> list[OutOfStep]:
    """The sequences of groups of a file that look out of step, in order."""
    count = len(groups.rows)
    if count < LEAST_GROUPS:
        return []
    lengths = _evidence_of_lengths(groups)
    evidence = np.maximum(lengths + _evidence_of_marks_and_numbers(groups), -MOST_OF_A_GROUP)
    by_length = correlations(groups)
    usual = float(np.quantile(by_length[:, 0], _USUAL))
    in_step = np.quantile(evidence, _USUAL, axis=0).max()
    found = []
    for first, end in sequences(-evidence[:, 0]):
        if lengths[first:end, 0].sum() > 0:
            continue
        totals = evidence[first:end].sum(0)
        best = int(totals.argmax())
        found.append(
            OutOfStep(
                first=int(groups.first[first]),
                last=int(groups.last[end - 1]),
                rows=int(groups.rows[first:end].sum()),
                shift=OFFSETS[best] if totals[best] > _STRENGTH * in_step * (end - first) else 0,
                correlation=float(by_length[first:end, 0].mean()),
                usual=usual,
            )
        )
    return found


def correlations(groups: Groups) -> Floats:
    """The correlation of the lengths in each group: [G, offsets]."""
    variances = np.sqrt(np.maximum(groups.source_variance * groups.target_variance, 1e-9))
    return np.clip(groups.covariance / variances[:, None], -1, 1)


def _evidence_of_marks_and_numbers(groups: Groups) -> Floats:
    """The logarithm of the odds that a group is in step, for each offset: float32[G, offsets]."""
    evidence: Floats = np.zeros_like(groups.pairs)
    for same, chance in zip(groups.same, groups.chance, strict=True):
        pairs = np.maximum(groups.pairs, 1)
        by_chance = np.minimum(np.maximum(chance, 1e-3), 1.0)[:, None]
        informative = by_chance[:, 0] < 0.95
        if informative.sum() < LEAST_GROUPS:
            continue
        # Cohen's kappa: 1 if all pairs agree, 0 if as many agree as by chance.
        kappa = (same / pairs - by_chance) / np.maximum(1 - by_chance, 1e-3)
        usual = np.quantile(kappa[informative], _USUAL, axis=0).max()
        expected = min(_STRENGTH * float(usual), _MOST_AGREEMENT)
        if expected < 0.1:
            continue
        agreed = same * np.log1p(expected * (1 - by_chance) / by_chance)
        evidence = evidence + agreed + (groups.pairs - same) * np.log1p(-expected)
    return evidence


def _evidence_of_lengths(groups: Groups) -> Floats:
    """The logarithm of the odds that a group is in step, by the lengths: float32[G, offsets].

    The expected correlation follows from the variance of the source in the group.
    """
    by_length = correlations(groups)
    slope = np.sqrt(np.median(groups.target_variance) / np.maximum(np.median(groups.source_variance), 1e-9))
    residuals = (
        groups.target_variance[:, None]
        - 2 * slope * groups.covariance
        + slope**2 * groups.source_variance[:, None]
    )
    noise = np.median(np.maximum(residuals, 0), axis=0).min()
    signal = slope**2 * groups.source_variance
    usual = np.quantile(by_length, _USUAL, axis=0).max()
    expected = np.sqrt(signal / np.maximum(signal + noise, 1e-9))
    expected = np.minimum(_STRENGTH * np.minimum(expected, np.maximum(usual, 0)), _MOST_CORRELATION)[:, None]
    rest = 1 - expected**2
    freedom = np.maximum(groups.pairs - 2, 0)
    return freedom * (-0.5 * np.log(rest) - (expected**2 - expected * by_length) / rest)


def sequences(scores: Floats) -> list[tuple[int, int]]:
    """The sequences with a maximal sum of at least EVIDENCE, in order (Ruzzo and Tompa 1999, simplified).

    A sequence ends where its sum has its maximum, before it falls by EVIDENCE.
    """
    found = []
    start, total, best, end = 0, 0.0, 0.0, 0
    for index, score in enumerate([*scores.tolist(), -np.inf]):
        total += score
        if total > best:
            best, end = total, index + 1
        if total <= 0 or total < best - EVIDENCE:
            if best >= EVIDENCE:
                found.append((start, end))
            start, total, best = index + 1, 0.0, 0.0
    return found
