"""Lengths, scripts and repetitions of the sentences, measured on the examples."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.artifacts import Examples
from bitext.components.artifacts.page import Axis, Block, Cell, Chart, Column, Series, Table
from bitext.components.reporter import Inputs
from bitext.components.shared import tfrecord
from bitext.components.shared.language_identification import CONFIDENCE, LEAST_LETTERS, count_languages
from bitext.components.shared.spacing import spaced_indices
from bitext.schemas import features, scripts

MEASURED_ROWS = 250_000
"""The examples of a split that are measured. Of a larger split, blocks that lie evenly in it."""
IDENTIFIED_ROWS = 5_000
"""The examples of a split whose languages are identified: 0.2 s of CPU time."""
_BLOCK_ROWS = 4096
SHOWN_REPETITIONS = 10
_BARS = 60
"""The most bars of a chart of lengths. Almost all lengths have a bar; longer ones share the last."""
_RATIO_STEP = 0.1
_RATIO_BARS = 31
SIDES = ("source", "target")
_LEAST_LANGUAGE = 0.01
"""Rarer languages are shown together: the identifier mistakes one of a hundred short sentences."""
ORDER = ("train", "eval", "test")
"""The order of the splits."""

Floats = npt.NDArray[np.float64]


@dataclasses.dataclass
class Split:
    """The measurements of a split.

    Attributes:
      name: its name.
      measured: number of examples that were measured.
      examples: number of examples.
      lengths: by side, the length of each measured sentence, in words or characters.
      ratios: target characters divided by source characters, of each measured example.
      scripts: by side, the examples by script.
      languages: by side, evenly chosen examples by language; that of undecided ones is empty.
      values: by side, the measured sentences.
    """

    name: str
    measured: int = 0
    examples: int = 0
    lengths: dict[str, Floats] = dataclasses.field(default_factory=dict)
    ratios: Floats = dataclasses.field(default_factory=lambda: np.zeros(0))
    scripts: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)
    languages: dict[str, Counter[str]] = dataclasses.field(default_factory=dict)
    values: dict[str, pa.Array] = dataclasses.field(default_factory=dict)


def blocks(inputs: Inputs) -> Iterator[Block]:
    """Yields the charts and tables.

    Raises:
      DataError: a file of the examples is damaged.
    """
    present = {name for part in inputs.examples for name in part.splits()}
    names = [name for name in ORDER if name in present] + sorted(present.difference(ORDER))
    measured = [measure(inputs.examples, name, whole=not inputs.is_partial) for name in names]
    measured = [split for split in measured if split.measured]
    if not measured:
        return
    largest = max(measured, key=lambda split: split.examples)
    note = "" if largest.measured == largest.examples else _sampled(largest, inputs.is_partial)
    yield _length_chart(largest, note)
    yield _ratio_chart(measured, note)
    yield _script_table(measured)
    yield _language_table(measured)
    yield from _repetitions(largest, note)


def _sampled(split: Split, is_partial: bool) -> str:
    which = "the first" if is_partial else "evenly chosen"
    return f" Measured on {which} {split.measured:,} examples of split {split.name}."


def measure(examples: Sequence[Examples], name: str, *, whole: bool) -> Split:
    """Measures a split of all spans.

    Args:
      examples: the examples of each span.
      name: the split.
      whole: whether the measured examples lie evenly in the split; else they are the first of each file.
    """
    parts = [part for part in examples if name in part.splits()]
    files = [file for part in parts for file in part.files(name)]
    recorded = sum(int(part.properties.get(name, 0)) for part in parts)
    stride = max(1, math.ceil(recorded / MEASURED_ROWS))
    split = Split(name)
    batches: list[tuple[pa.Array, pa.Array]] = []
    for file in files:
        blocks_of_file = MEASURED_ROWS // len(files) // _BLOCK_ROWS + 1
        for number, records in enumerate(tfrecord.read_records(file, _BLOCK_ROWS)):
            if not whole and number >= blocks_of_file:
                break
            split.examples += len(records)
            if not whole or number % stride == 0:
                batches.append(_decode(records, file))
    split.examples = max(split.examples, recorded)
    if batches:
        _measure(split, batches)
    return split


def _decode(records: list[bytes], file: Path) -> tuple[pa.Array, pa.Array]:
    from tfx_bsl.coders import example_coder

    batch = example_coder.ExamplesToRecordBatchDecoder(None).DecodeBatch(records)
    return tfrecord.string_column(batch, "source", file), tfrecord.string_column(batch, "target", file)


def _measure(split: Split, batches: list[tuple[pa.Array, pa.Array]]) -> None:
    derived = [features.derive(source, target) for source, target in batches]
    split.measured = sum(len(source) for source, _ in batches)
    for index, side in enumerate(SIDES):
        split.values[side] = pa.chunked_array([pair[index] for pair in batches])
        split.lengths[side] = _joined(derived, f"{side}_words")
        counts: Counter[str] = Counter()
        for columns in derived:
            for value in pc.value_counts(columns[f"{side}_script"]).to_pylist():
                counts[value["values"]] += value["counts"]
        split.scripts[side] = counts
        rows = pa.array(spaced_indices(split.measured, IDENTIFIED_ROWS))
        split.languages[side] = count_languages(split.values[side].take(rows).combine_chunks())
    split.ratios = _joined(derived, "length_ratio")


def _joined(derived: list[dict[str, pa.Array]], name: str) -> Floats:
    return np.concatenate([columns[name].to_numpy(zero_copy_only=False) for columns in derived]).astype(float)


def _unit(split: Split, side: str) -> str:
    [(script, _)] = split.scripts[side].most_common(1)
    return scripts.unit(scripts.JAPANESE if script == features.KANA else script)


def _length_chart(split: Split, note: str) -> Chart:
    """The lengths of source and target."""
    units = {side: _unit(split, side) for side in SIDES}
    longest = max(np.quantile(split.lengths[side], 0.995) for side in SIDES)
    step = max(1, math.ceil(longest / _BARS))
    bars = max(1, math.ceil(longest / step))
    series = []
    for side in SIDES:
        bar = np.clip((split.lengths[side].astype(np.int64) - 1) // step, 0, bars - 1)
        series.append(
            Series(
                name=f"{side} ({units[side]})",
                x=tuple(float(1 + number * step) for number in range(bars)),
                y=_shares(np.bincount(bar, minlength=bars), split),
                role="main" if side == "source" else "other",
            )
        )
    medians = ", ".join(f"{side} {np.median(split.lengths[side]):.0f} {units[side]}" for side in SIDES)
    most = ", ".join(f"{side} {split.lengths[side].max():.0f}" for side in SIDES)
    unit = units["source"] if len(set(units.values())) == 1 else "words or characters"
    return Chart(
        form="histogram",
        title=f"Length of the sentences of split {split.name}",
        x=Axis(title=f"length ({unit}); the last bar has all longer ones"),
        y=Axis(title="share of the sentences"),
        series=tuple(series),
        alternative=f"The median length is: {medians}. The longest: {most}.{note}",
    )


def _ratio_chart(splits: Sequence[Split], note: str) -> Chart:
    """Target length divided by source length, by split."""
    series = []
    for index, split in enumerate(splits):
        bar = np.minimum(split.ratios / _RATIO_STEP, _RATIO_BARS - 1).astype(np.int64)
        series.append(
            Series(
                name=split.name,
                x=tuple(round(number * _RATIO_STEP, 1) for number in range(_RATIO_BARS)),
                y=_shares(np.bincount(bar, minlength=_RATIO_BARS), split),
                role="other" if index else "main",
            )
        )
    medians = ", ".join(f"{split.name} {np.median(split.ratios):.2f}" for split in splits)
    low, high = np.quantile(splits[0].ratios, [0.025, 0.975])
    return Chart(
        form="line",
        title="Target length divided by source length",
        x=Axis(title="characters of the target / characters of the source"),
        y=Axis(title="share of the examples"),
        series=tuple(series),
        alternative=f"The median is: {medians}. 95 % of split {splits[0].name} lie between {low:.2f} and"
        f" {high:.2f}.{note}",
    )


def _shares(counts: npt.NDArray[np.int64], split: Split) -> tuple[float, ...]:
    """Counts as shares of the measured examples. Five digits are enough to draw them."""
    return tuple(round(float(count) / split.measured, 5) for count in counts)


def _script_table(splits: Sequence[Split]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for side in SIDES:
        total = sum((split.scripts[side] for split in splits), Counter[str]())
        for script, _ in total.most_common():
            shares = (split.scripts[side][script] / split.measured for split in splits)
            rows.append((side, "no letters" if script == features.NONE else script, *shares))
    columns = (
        Column(title="side"),
        Column(title="script of most words"),
        *(Column(title=split.name, content="share", digits=1) for split in splits),
    )
    return Table(title="Scripts", columns=columns, rows=tuple(rows))


def _language_table(splits: Sequence[Split]) -> Table:
    """The languages of the decided examples."""
    rows: list[tuple[Cell, ...]] = []
    for side in SIDES:
        of_split = [split.languages[side] for split in splits]
        total = sum(of_split, Counter[str]())
        least = _LEAST_LANGUAGE * _decided(total)
        shown = [name for name, count in total.most_common() if name and count >= least]
        for name in shown:
            rows.append((side, name, *(_share(counts[name], _decided(counts)) for counts in of_split)))
        others = [_decided(counts) - sum(counts[name] for name in shown) for counts in of_split]
        if any(others):
            rows.append((side, "others", *map(_share, others, map(_decided, of_split))))
        rows.append((side, "undecided", *(_share(counts[""], counts.total()) for counts in of_split)))
    columns = (
        Column(title="side"),
        Column(title="language"),
        *(Column(title=split.name, content="share", digits=1) for split in splits),
    )
    sampled = any(split.measured > IDENTIFIED_ROWS for split in splits)
    what = f" Of {IDENTIFIED_ROWS:,} evenly chosen examples of each larger split." if sampled else ""
    note = (
        f"Shares of the decided sentences. Undecided, as a share of all: those with less than {LEAST_LETTERS}"
        f" letters, and those of which the identifier (lid.176) is less than {CONFIDENCE:.0%} sure.{what}"
    )
    return Table(title="Languages", columns=columns, rows=tuple(rows), note=note)


def _decided(counts: Counter[str]) -> int:
    return counts.total() - counts[""]


def _share(count: int, total: int) -> float | None:
    return count / total if total else None


def _repetitions(split: Split, note: str) -> Iterator[Block]:
    """Yields the sentences that occur most often."""
    for side in SIDES:
        counts = pc.value_counts(split.values[side])
        numbers = counts.field("counts").to_numpy(zero_copy_only=False)
        several = np.flatnonzero(numbers > 1)
        if not len(several):
            continue
        most = several[np.argsort(-numbers[several], kind="stable")][:SHOWN_REPETITIONS]
        texts = counts.field("values").take(pa.array(most)).to_pylist()
        share = numbers[several].sum() / split.measured
        yield Table(
            title=f"The most frequent sentences: {side}",
            columns=(
                Column(title=side, content="corpus"),
                Column(title="examples", content="number"),
                Column(title="share", content="share", digits=2),
            ),
            rows=tuple(
                (text, int(numbers[row]), float(numbers[row] / split.measured))
                for text, row in zip(texts, most, strict=True)
            ),
            note=f"{len(several):,} sentences occur more than once: {share:.1%} of the examples.{note}",
        )
