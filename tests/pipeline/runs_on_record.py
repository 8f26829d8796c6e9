"""Writes metadata stores with the records of runs that never ran, for tests of reports."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from bitext.components.artifacts import ExampleStatistics
from bitext.pipeline.config import Metadata, PipelineConfig, load
from bitext.pipeline.records import ROLLBACK, Execution, Run, Scalar, State, StoredArtifact
from bitext.pipeline.store import Store

NODES = (
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "Transform",
    "Trainer",
    "Evaluator",
    "Pusher",
)
DAY = 86_400.0
FIRST = 1_767_236_400.0
"""2026-01-01 03:00 UTC."""
SIGNATURE = "nrefs:1|bs:1000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"


def configuration(folder: Path) -> PipelineConfig:
    """A configuration whose root is `folder/root`."""
    (folder / "toy.yaml").write_text("name: toy\nexample_gen: {files: [a.tsv]}\n", encoding="utf-8")
    return load(folder / "toy.yaml", [f"root={folder / 'root'}", f"serving={folder / 'serving'}"])


def write_statistics(folder: Path, seed: int, mean: float = 30.0, examples: int = 1000) -> None:
    """Writes statistics of a train split with a feature of numbers and a feature of strings."""
    from tensorflow_metadata.proto.v0 import statistics_pb2

    random = np.random.default_rng(seed)
    statistics = statistics_pb2.DatasetFeatureStatisticsList()
    dataset = statistics.datasets.add(num_examples=examples)
    for side in ("source", "target"):
        numbers = dataset.features.add(type=statistics_pb2.FeatureNameStatistics.INT)
        numbers.path.step.append(f"{side}_characters")
        values = np.sort(random.gamma(6, mean / 6, examples))
        numbers.num_stats.mean, numbers.num_stats.common_stats.tot_num_values = values.mean(), examples
        histogram = numbers.num_stats.histograms.add(type=statistics_pb2.Histogram.QUANTILES)
        for low, high in itertools.pairwise(np.quantile(values, np.linspace(0, 1, 11)).tolist()):
            histogram.buckets.add(low_value=low, high_value=high, sample_count=examples / 10)
        strings = dataset.features.add(type=statistics_pb2.FeatureNameStatistics.STRING)
        strings.path.step.append(f"{side}_ending")
        for letter, count in zip(
            "aeiou", random.multinomial(examples, [0.4, 0.3, 0.15, 0.1, 0.05]), strict=True
        ):
            strings.string_stats.rank_histogram.buckets.add(label=letter, sample_count=float(count))
    artifact = ExampleStatistics(folder)
    artifact.split("train").mkdir(parents=True)
    artifact.write(statistics, "train")


@dataclasses.dataclass
class Recorder:
    """Records runs of a pipeline in its store, one a day.

    Attributes:
      root: the pipeline root.
      window: number of spans that a run reads; 0: the corpus is not divided.
      with_files: whether the statistics exist, as if `bitext gc` had not removed them.
    """

    root: Path
    window: int = 0
    with_files: bool = True

    def __post_init__(self) -> None:
        self.store = Store(Metadata(), self.root, "toy")
        self.runs: list[Run] = []
        self.version = 0
        self._newest: dict[str, dict[str, tuple[StoredArtifact, ...]]] = {}

    def full(self, outcome: str = "pushed", bleu: float = 30.0, signature: str = SIGNATURE) -> Run:
        """Records a run of all nodes.

        Args:
          outcome: `pushed`, `refused`, `not pushed`, `unchanged`, or a node at which it failed.
          bleu: its BLEU.
          signature: the signature of its BLEU.
        """
        run = self._run()
        failed = outcome if outcome in NODES else None
        for node in NODES:
            if node == failed:
                self._execute(run, node, State.FAILED, {}, error=f"{node} broke")
                return self._end(run, State.FAILED, f"{node} broke")
            self._execute(run, node, *self._result(node, run, outcome, bleu, signature))
        return self._end(run, State.COMPLETE)

    def single(self, first: int, bleu: float = 30.0, failed: bool = False) -> Run:
        """Records a run of one node, as Airflow starts it: earlier nodes are cached."""
        run = self._run(first=NODES[first] if first else "")
        for node in NODES[:first]:
            self._execute(run, node, State.CACHED, self._newest[node])
        if failed:
            self._execute(run, NODES[first], State.FAILED, {}, error="broke")
            return self._end(run, State.FAILED, "broke")
        self._execute(run, NODES[first], *self._result(NODES[first], run, "pushed", bleu, SIGNATURE))
        return self._end(run, State.COMPLETE)

    def rollback(self, to: int, is_complete: bool = True) -> Run:
        """Records a rollback."""
        run = self._run(nodes="")
        if not is_complete:
            return self._end(run, State.FAILED, "the disk is full")
        withdrawn, self.version = self.version, self.version + 1
        run.version = self.version
        properties: dict[str, Scalar] = {
            "pushed": 1, "version": self.version, "from_version": withdrawn, "rolled_back_to": to,
            "reason": "users complain", "time": "2026",
        }  # fmt: skip
        self._execute(run, ROLLBACK, State.COMPLETE, self._outputs(run, ROLLBACK, PushedModel=properties))
        return self._end(run, State.COMPLETE)

    def killed(self) -> Run:
        """Records a run that did not end."""
        run = self._run()
        self._execute(run, NODES[0], State.RUNNING, {})
        return run

    def _run(self, first: str = "", nodes: str = ", ".join(NODES)) -> Run:
        number = len(self.runs)
        started = FIRST + number * DAY
        run = Run(
            *(f"run{number:04d}", "toy", str(self.root), State.RUNNING, started), nodes=nodes, first=first
        )
        self.store.put_run(run)
        self.runs.append(run)
        return run

    def _end(self, run: Run, state: State, error: str = "") -> Run:
        run.state, run.error, run.seconds, run.finished = state, error, 120.0, run.started + 120
        self.store.put_run(run)
        return run

    def _execute(
        self,
        run: Run,
        node: str,
        state: State,
        outputs: dict[str, tuple[StoredArtifact, ...]],
        error: str = "",
    ) -> None:
        seconds = 0.0 if state == State.CACHED else 10.0 + NODES.index(node) if node in NODES else 1.0
        execution = Execution(
            *(node, run.run_id, state, run.started, run.started + seconds),
            error=error,
            outputs=outputs,
            seconds=seconds,
            peak_megabytes=0.0 if state == State.CACHED else 500.0,
        )
        self.store.put_execution(execution, run)
        if outputs:
            self._newest[node] = outputs

    def _result(
        self, node: str, run: Run, outcome: str, bleu: float, signature: str
    ) -> tuple[State, dict[str, tuple[StoredArtifact, ...]]]:
        """The state and outputs of a node that does not fail."""
        if outcome == "unchanged" and node in self._newest:
            return State.CACHED, self._newest[node]
        if node in ("ExampleGen", "StatisticsGen"):
            return State.COMPLETE, self._data(node, run)
        properties: dict[str, dict[str, Scalar]] = {
            {"SchemaGen": "Schema", "Transform": "TransformGraph"}.get(node, "Model"): {}
        }
        if node == "ExampleValidator":
            properties = {"ExampleAnomalies": {"errors": 0, "warnings": len(self.runs) % 3}}
        if node == "Trainer":
            properties = {"Model": {"weights": 10, "tokens_per_second": 6000.0}, "ModelRun": {}}
        if node == "Evaluator":
            scores: dict[str, Scalar] = {"bleu": bleu, "bleu_signature": signature, "chrf": 50.0}
            scores |= {"bleu_low": bleu - 1, "bleu_high": bleu + 1}
            verdict: dict[str, Scalar] = {"blessed": int(outcome != "refused")}
            verdict["reasons"] = "BLEU is what it is"
            properties = {"ModelEvaluation": scores, "ModelBlessing": verdict}
        if node == "Pusher":
            is_pushed = outcome == "pushed"
            self.version += is_pushed
            properties = {
                "PushedModel": {"pushed": 1, "version": self.version} if is_pushed else {"pushed": 0}
            }
        return State.COMPLETE, self._outputs(run, node, **properties)

    def _data(self, node: str, run: Run) -> dict[str, tuple[StoredArtifact, ...]]:
        """The outputs of the spans in the window: the newest is new, the others are those of earlier runs."""
        number = self.runs.index(run)
        kinds: dict[str, dict[str, Scalar]] = {
            "Examples": {"train": 900 + number, "eval": 50, "test": 50, "duplicates": 3},
            "Rejects": {"rows": 1000 + number, "rejected": 12, "too_long": 10, "empty": 2},
        }
        if node == "StatisticsGen":
            kinds = {"ExampleStatistics": {"train": 900 + number, "eval": 50, "test": 50}}
        part: dict[str, Scalar] = {"part": f"span {number}"} if self.window else {}
        new = self._outputs(run, node, **{kind: properties | part for kind, properties in kinds.items()})
        if node == "StatisticsGen" and self.with_files:
            write_statistics(Path(new["ExampleStatistics"][0].uri), number)
        before = self._newest.get(node)
        if not self.window or before is None:
            return new
        return {kind: (*before[kind], *artifacts)[-self.window :] for kind, artifacts in new.items()}

    def _outputs(
        self, run: Run, node: str, **properties: dict[str, Scalar]
    ) -> dict[str, tuple[StoredArtifact, ...]]:
        split_digests = {"test": f"test {self.runs.index(run) if self.window else ''}"}
        return {
            kind: (
                StoredArtifact(
                    *(kind, str(self.root / node / kind / run.run_id), "d", values),
                    split_digests=split_digests if kind == "Examples" else {},
                ),
            )
            for kind, values in properties.items()
        }


def every_block(blocks: Sequence[object]) -> Iterator[object]:
    """Yields blocks, and the blocks inside them."""
    for block in blocks:
        yield block
        yield from every_block(getattr(block, "blocks", ()))
