"""The report of `bitext show data`: the sentence pairs of a split as ExampleGen wrote them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bitext.components.artifacts import TRAIN_SPLIT, Examples, span_label
from bitext.components.shared.errors import ConfigError, DataError
from bitext.components.shared.suggestions import did_you_mean
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.reports.show.outputs import Outputs, outputs_of
from bitext.pipeline.reports.show.tables import shown


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which pairs are shown.

    Attributes:
      split: the split.
      part: the label of the span or corpus; empty: all.
      text: what a side of the pair must contain; empty: anything.
      first: the number of the first pair shown, from 1, among those that match; None: a random sample.
      limit: the most pairs shown; None: all, in order.
      seed: the seed of the random sample.
    """

    split: str = TRAIN_SPLIT
    part: str = ""
    text: str = ""
    first: int | None = None
    limit: int | None = 10
    seed: int = 0


def collect(config: PipelineConfig, run_id: str | None, choice: Choice) -> dict[str, Any]:
    """Returns the report as an object that JSON can hold.

    Returns:
      `run`, `split`, `pairs` (of the split, or of one span or corpus), `matching` (of these, those with the
      text) and `rows`, each with `number` (from 1, among the matching pairs), `part` (label of the span or
      corpus; empty: there is one), `id` (file and line), `source` and `target`.

    Raises:
      ConfigError: there is no such run, split, span or corpus.
      DataError: no run has examples, or a file is damaged.
    """
    outputs = outputs_of(config, Examples, run_id, lambda execution: execution.node != "Transform")
    chosen = _with_part(_with_split(outputs, choice.split), choice)
    total, matching, rows = 0, 0, []
    for records in _matching(chosen, choice):
        total += records.read
        rows += records.choose(matching, choice)
        matching += len(records.records)
    return {
        "run": outputs.run.run_id,
        "split": choice.split,
        "pairs": total,
        "matching": matching,
        "rows": [row.to_json() for row in sorted(_fewest(rows, choice), key=lambda row: row.number)],
    }


@dataclasses.dataclass(frozen=True)
class _Row:
    """A pair that may be shown: its number from 1, its random key, the label of its part, and its record."""

    number: int
    key: float
    part: str
    record: bytes

    def to_json(self) -> dict[str, Any]:
        from bitext.components.shared.tf_example import texts

        features = texts(self.record)
        named = {name: features.get(name, "") for name in ("id", "source", "target")}
        return {"number": self.number, "part": self.part, **named}


@dataclasses.dataclass(frozen=True)
class _Block:
    """The records of a block of a file that match.

    Attributes:
      part: the label of the span or corpus.
      read: number of records in the block.
      records: those that match.
    """

    part: str
    read: int
    records: Sequence[bytes]

    def choose(self, before: int, choice: Choice) -> list[_Row]:
        """Returns the records that may be shown. `before` is the number of earlier matching records."""
        count = len(self.records)
        if choice.first is not None or choice.limit is None:
            first = max(0, (choice.first or 1) - 1 - before)
            stop = count if choice.limit is None else (choice.first or 1) - 1 + choice.limit - before
            return [self._row(before, index, 0.0) for index in range(first, min(count, stop))]
        keys = np.random.default_rng([choice.seed, before]).random(count)
        smallest = np.argsort(keys)[: choice.limit]
        return [self._row(before, index, float(keys[index])) for index in smallest.tolist()]

    def _row(self, before: int, index: int, key: float) -> _Row:
        return _Row(before + index + 1, key, self.part, self.records[index])


def _fewest(rows: list[_Row], choice: Choice) -> list[_Row]:
    """Returns the rows of a random sample, those with the smallest keys; all rows otherwise."""
    if choice.first is not None or choice.limit is None:
        return rows
    return sorted(rows, key=lambda row: row.key)[: choice.limit]


def _matching(artifacts: Sequence[Examples], choice: Choice) -> Iterator[_Block]:
    """Yields the blocks of records that contain the text."""
    from bitext.components.shared import tfrecord

    for artifact in artifacts:
        for file in artifact.files(choice.split):
            for records in tfrecord.read_records(file):
                yield _Block(span_label(artifact), len(records), _containing(records, choice.text))


def _containing(records: Sequence[bytes], text: str) -> Sequence[bytes]:
    """Returns the records one of whose sides contains a text."""
    if not text:
        return records
    import pyarrow as pa
    import pyarrow.compute as pc

    from bitext.components.shared.tf_example import texts

    wanted = text.encode("utf-8", "surrogateescape")
    found = pc.match_substring(pa.array(records, pa.large_binary()), wanted)
    candidates = [records[index] for index in np.flatnonzero(found.to_numpy(zero_copy_only=False)).tolist()]
    # The bytes of a record are also those of its id and of the names of its features.
    return [
        record
        for record in candidates
        if any(text in texts(record).get(side, "") for side in ("source", "target"))
    ]


def _with_split(outputs: Outputs[Examples], split: str) -> list[Examples]:
    """Returns the artifacts that have a split. Raises ConfigError if none has it."""
    found = [artifact for artifact in outputs.artifacts if split in artifact.splits()]
    if found:
        return found
    known = list(dict.fromkeys(name for artifact in outputs.artifacts for name in artifact.splits()))
    if not known:
        raise DataError(f"run {outputs.run.run_id} has no examples", "bitext rejects CONFIG says why")
    raise ConfigError(
        f"--split {split}: there is no such split{did_you_mean(split, known)}",
        f"the splits are {', '.join(known)}",
    )


def _with_part(artifacts: list[Examples], choice: Choice) -> list[Examples]:
    """Returns the artifacts of one span or corpus. Raises ConfigError if there is no such one."""
    if not choice.part:
        return artifacts
    found = [artifact for artifact in artifacts if span_label(artifact) == choice.part]
    if found:
        return found
    known = [label for artifact in artifacts if (label := span_label(artifact))]
    raise ConfigError(
        f"--part {choice.part}: there is no such span or corpus{did_you_mean(choice.part, known)}",
        f"they are {', '.join(known)}" if known else "leave it out: the corpus is not divided",
    )


def render(report: dict[str, Any], choice: Choice) -> str:
    """Returns the report as text."""
    lines = [f"run {report['run']}  split {report['split']}: {report['pairs']:,} pairs"]
    if choice.text:
        lines[0] += f", {report['matching']:,} with {shown(choice.text)}"
    for row in report["rows"]:
        part = f"  {row['part']}" if row["part"] else ""
        lines += [f"{row['number']:,}  {shown(row['id'])}{part}"]
        lines += [f"    {shown(row[side])}" for side in ("source", "target")]
    rest = report["matching"] - len(report["rows"])
    if choice.first is not None:
        rest = report["matching"] - max([choice.first - 1, *(row["number"] for row in report["rows"])])
        if choice.first > report["matching"]:
            lines.append(f"none from number {choice.first:,} on: the last is number {report['matching']:,}")
    if rest > 0:
        lines.append(f"{rest:,} more (--limit 0 shows all, --from N those from number N)")
    return "\n".join(lines)
