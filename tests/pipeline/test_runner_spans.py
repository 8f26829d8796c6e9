"""Runs over spans: only new spans are processed, and inputs come from the right earlier run."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bitext.components import artifacts
from bitext.components.component import Component, Context, Parameters, Part
from bitext.components.example_gen import Parameters as ExampleGenParameters
from bitext.components.shared.errors import ConfigError, DataError
from bitext.pipeline.config import Metadata, PipelineConfig
from bitext.pipeline.graph import Pipeline
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import Run, State
from bitext.pipeline.reports import status
from bitext.pipeline.runner import Result, Runner, Selection
from bitext.pipeline.sources import BaseModel, NewestOutput, Node, PreviousOutput, ServedModel
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import Terminal
from tests.pipeline import fakes

CALLS: list[str] = []
"""The components that ran, in order, with the span for Read and Count."""
RECEIVED: dict[str, Any] = {}
"""The content of the inputs that the components received, by a short name."""


class ReadParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes: `folder` of all spans; `file` of one span."""

    folder: str
    file: str = ""


class JudgeParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes: whether to `bless`."""

    bless: bool = True


class NoParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No parameters."""


class Read(Component[ReadParameters]):
    """Reads each span."""

    inputs = {}
    outputs = {"examples": artifacts.Examples}
    parameters = ReadParameters
    failing: ClassVar[str] = ""

    def parts(self, parameters: ReadParameters) -> list[Part]:
        files = sorted(Path(parameters.folder).glob("*.txt"))
        return [Part(f"span {f.stem}", ReadParameters(folder="", file=str(f))) for f in files]

    def external_inputs(self, parameters: ReadParameters) -> list[str]:
        return [parameters.file] if parameters.file else []

    def run(self, parameters: ReadParameters, context: Context, *, examples: artifacts.Examples) -> None:
        CALLS.append(f"Read {Path(parameters.file).stem}")
        if Path(parameters.file).stem == Read.failing:
            raise DataError("damaged", "repair it")
        for split in ("train", "eval"):
            examples.split(split).mkdir()
            (examples.split(split) / "data").write_bytes(Path(parameters.file).read_bytes() + split.encode())
        context.say("read")


class Count(Component[NoParameters]):
    """Counts each span."""

    inputs = {"examples": artifacts.Examples}
    outputs = {"statistics": artifacts.ExampleStatistics}
    parameters = NoParameters
    map_over = "examples"

    def run(
        self,
        parameters: NoParameters,
        context: Context,
        *,
        examples: artifacts.Examples,
        statistics: artifacts.ExampleStatistics,
    ) -> None:
        text = (examples.split("train") / "data").read_text()
        CALLS.append(f"Count {examples.properties['part']}")
        (statistics.path / "count").write_text(text)


class Check(Component[NoParameters]):
    """Records which statistics it gets."""

    inputs = {"statistics": artifacts.ExampleStatistics, "previous_statistics": artifacts.ExampleStatistics}
    outputs = {"anomalies": artifacts.ExampleAnomalies}
    parameters = NoParameters
    optional = frozenset({"previous_statistics"})
    list_inputs = frozenset({"statistics", "previous_statistics"})

    def run(
        self,
        parameters: NoParameters,
        context: Context,
        *,
        statistics: tuple[artifacts.ExampleStatistics, ...],
        previous_statistics: tuple[artifacts.ExampleStatistics, ...],
        anomalies: artifacts.ExampleAnomalies,
    ) -> None:
        CALLS.append("Check")
        RECEIVED["statistics"] = [(a.path / "count").read_text() for a in statistics]
        RECEIVED["previous"] = [(a.path / "count").read_text() for a in previous_statistics]
        (anomalies.path / "none").touch()


class Train(Component[NoParameters]):
    """Records its cache and base model, and writes the text of all spans as the model."""

    inputs = {
        "examples": artifacts.Examples,
        "cache": artifacts.TransformCache,
        "base_model": artifacts.Model,
    }
    outputs = {"model": artifacts.Model, "updated_cache": artifacts.TransformCache}
    parameters = NoParameters
    optional = frozenset({"cache", "base_model"})
    list_inputs = frozenset({"examples"})
    uncached_inputs = frozenset({"cache"})
    input_splits = {"examples": ("train",)}

    def run(
        self,
        parameters: NoParameters,
        context: Context,
        *,
        examples: tuple[artifacts.Examples, ...],
        cache: artifacts.TransformCache | None,
        base_model: artifacts.Model | None,
        model: artifacts.Model,
        updated_cache: artifacts.TransformCache,
    ) -> None:
        CALLS.append("Train")
        RECEIVED["cache"] = None if cache is None else (cache.path / "names").read_text()
        RECEIVED["base"] = None if base_model is None else (base_model.path / "weights").read_text()
        texts = [(e.split("train") / "data").read_text() for e in examples]
        (model.path / "weights").write_text(" ".join(texts))
        (updated_cache.path / "names").write_text(str(len(texts)))


class Judge(Component[JudgeParameters]):
    """Blesses the model if its parameters say so."""

    inputs = {"model": artifacts.Model, "baseline": artifacts.Model}
    outputs = {"blessing": artifacts.ModelBlessing}
    parameters = JudgeParameters
    optional = frozenset({"baseline"})
    obeys_force_bless = True

    def run(
        self,
        parameters: JudgeParameters,
        context: Context,
        *,
        model: artifacts.Model,
        baseline: artifacts.Model | None,
        blessing: artifacts.ModelBlessing,
    ) -> None:
        CALLS.append("Judge")
        RECEIVED["baseline"] = None if baseline is None else (baseline.path / "weights").read_text()
        RECEIVED["forced"] = context.force_bless
        blessed = parameters.bless or context.force_bless is not None
        (blessing.path / ("BLESSED" if blessed else "NOT_BLESSED")).write_text("{}")
        blessing.properties["blessed"] = int(blessed)


NODES_AFTER_SPANS = ["Check", "Train", "Judge"]
"""The nodes that run once for all spans."""


def pipeline(folder: Path, bless: bool, from_scratch_every: int = 0) -> Pipeline:
    read = Node(Read(), ReadParameters(folder=str(folder)))
    count = Node(Count(), NoParameters(), {"examples": read["examples"]})
    check = Node(
        Check(),
        NoParameters(),
        {
            "statistics": count["statistics"],
            "previous_statistics": PreviousOutput(count.name, "statistics", other_than="statistics"),
        },
    )
    train = Node(
        Train(),
        NoParameters(),
        {
            "examples": read["examples"],
            "cache": NewestOutput("updated_cache"),
            "base_model": BaseModel(str(folder / "serving"), from_scratch_every),
        },
    )
    baseline = ServedModel(str(folder / "serving"), other_than="model")
    judge = Node(Judge(), JudgeParameters(bless=bless), {"model": train["model"], "baseline": baseline})
    return Pipeline("toy", (read, count, check, train, judge))


@pytest.fixture(autouse=True)
def no_failing_span() -> Iterator[None]:
    Read.failing = ""
    yield
    Read.failing = ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_span(tmp_path, 1)
    return tmp_path


def write_span(folder: Path, number: int) -> None:
    (folder / f"{number}.txt").write_text(f"{number}-")


def open_store(folder: Path) -> Store:
    return Store(Metadata(), folder / "root", "toy")


def run(
    folder: Path, selection: Selection | None = None, bless: bool = True, from_scratch_every: int = 0
) -> Result:
    """Runs the pipeline. `CALLS` and `RECEIVED` have the records of this call only."""
    CALLS.clear()
    RECEIVED.clear()
    runner = Runner(
        pipeline(folder, bless, from_scratch_every),
        Layout(folder / "root"),
        functools.partial(open_store, folder),
        fakes.no_beam,
        Terminal(),
    )
    return runner.run(selection or Selection())


def test_only_new_spans_are_processed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder)
    assert ["Read 1", "Count span 1", *NODES_AFTER_SPANS] == CALLS
    run(folder)
    assert CALLS == []
    write_span(folder, 2)
    write_span(folder, 3)
    capsys.readouterr()
    run(folder)
    assert ["Read 2", "Read 3", "Count span 2", "Count span 3", *NODES_AFTER_SPANS] == CALLS
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("Read")
    assert lines[start + 1 : start + 4] == ["    1 of 3 cached", "    span 2: read", "    span 3: read"]
    run(folder)
    assert CALLS == []
    (folder / "2.txt").write_text("2b-")
    run(folder)
    assert ["Read 2", "Count span 2", *NODES_AFTER_SPANS] == CALLS
    assert RECEIVED["statistics"] == ["1-train", "2b-train", "3-train"]


def test_a_moved_window_reruns_only_the_nodes_after_the_spans(folder: Path) -> None:
    write_span(folder, 2)
    run(folder)
    (folder / "1.txt").unlink()
    run(folder)
    assert CALLS == NODES_AFTER_SPANS
    assert RECEIVED["statistics"] == ["2-train"]


def test_a_run_and_its_executions_record_the_names_of_the_spans(folder: Path) -> None:
    write_span(folder, 2)
    result = run(folder)
    [record] = open_store(folder).runs()
    assert record.parts == result.run.parts == "span 1, span 2"
    executions = open_store(folder).executions()
    assert [(e.part, e.state) for e in executions if e.node == "Read"] == [
        ("", State.COMPLETE),
        ("span 2", State.COMPLETE),
        ("span 1", State.COMPLETE),
    ]
    statistics = result.executions["Count"].outputs["statistics"]
    assert [a.properties["part"] for a in statistics] == ["span 1", "span 2"]
    assert [len(a.split_digests) for a in result.executions["Read"].outputs["examples"]] == [2, 2]


def test_spans_before_a_failed_one_stay_cached(folder: Path) -> None:
    write_span(folder, 2)
    Read.failing = "2"
    with pytest.raises(DataError, match="damaged"):
        run(folder)
    Read.failing = ""
    run(folder)
    assert ["Read 2", "Count span 1", "Count span 2", *NODES_AFTER_SPANS] == CALLS


def test_all_damaged_spans_are_made_again_in_one_run(folder: Path) -> None:
    for number in (2, 3):
        write_span(folder, number)
    run(folder)
    read = next(e for e in open_store(folder).executions() if e.node == "Read" and not e.part)
    for artifact in read.all_outputs():
        (Path(artifact.uri) / "Split-train" / "data").write_text("damaged")
    CALLS.clear()
    run(folder, selection=Selection(force=frozenset({"Train"})))
    assert [name for name in CALLS if name.startswith("Read")] == ["Read 1", "Read 2", "Read 3"]
    assert CALLS.count("Train") == 1


def test_a_run_with_from_uses_all_spans_of_the_newest_complete_run(folder: Path) -> None:
    write_span(folder, 2)
    run(folder)
    write_span(folder, 3)
    Read.failing = "3"
    with pytest.raises(DataError):
        run(folder)
    result = run(folder, Selection(first="Check", force=frozenset({"Check"})))
    assert CALLS == ["Check"]
    assert RECEIVED["statistics"] == ["1-train", "2-train"]
    assert result.executions["Read"].state == State.CACHED


def test_previous_statistics_are_of_the_newest_blessed_run_with_other_data(folder: Path) -> None:
    run(folder)
    assert RECEIVED["previous"] == []
    write_span(folder, 2)
    run(folder, bless=False)
    assert RECEIVED["previous"] == ["1-train"]
    run(folder, bless=False)
    assert CALLS == []
    write_span(folder, 3)
    run(folder)
    assert RECEIVED["previous"] == ["1-train"]
    run(folder)
    assert CALLS == []
    write_span(folder, 4)
    run(folder)
    assert RECEIVED["previous"] == ["1-train", "2-train", "3-train"]


def test_the_base_model_is_the_served_model_and_not_the_result_of_the_same_training(folder: Path) -> None:
    run(folder)
    assert RECEIVED["base"] is None
    run(folder)
    assert CALLS == []
    write_span(folder, 2)
    run(folder, bless=False)
    assert RECEIVED["base"] == "1-train"
    write_span(folder, 3)
    run(folder)
    assert RECEIVED["base"] == "1-train"
    run(folder)
    assert CALLS == []
    write_span(folder, 4)
    run(folder)
    assert RECEIVED["base"] == "1-train 2-train 3-train" == RECEIVED["baseline"]


def test_every_nth_training_begins_from_scratch_whether_blessed_or_not(folder: Path) -> None:
    base_model_spans = []
    for day, blessed in enumerate([True, True, False, True, True, False, True, True], start=1):
        write_span(folder, day)
        run(folder, bless=blessed, from_scratch_every=3)
        base_model_spans.append(RECEIVED["base"] and len(RECEIVED["base"].split()))
        run(folder, bless=blessed, from_scratch_every=3)
        assert CALLS == []
    assert base_model_spans == [None, 1, 2, None, 4, 5, None, 7]


def test_two_artifacts_for_an_input_that_takes_one_are_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the error, the component would get the first span only."""
    monkeypatch.setattr(Train, "list_inputs", frozenset())
    write_span(folder, 2)
    with pytest.raises(ValueError, match="Train takes one artifact as examples, and has 2"):
        run(folder)
    assert "Train" not in CALLS


def test_an_uncached_input_is_passed_and_does_not_change_the_key(folder: Path) -> None:
    run(folder)
    assert RECEIVED["cache"] is None
    run(folder)
    assert CALLS == []
    write_span(folder, 2)
    run(folder)
    assert RECEIVED["cache"] == "1"
    write_span(folder, 3)
    shutil.rmtree(folder / "root" / "Train" / "updated_cache")
    run(folder)
    assert RECEIVED["cache"] is None


def test_a_forced_blessing_is_cached_until_an_input_changes(folder: Path) -> None:
    run(folder, bless=False)
    assert RECEIVED["forced"] is None
    result = run(folder, Selection(force_bless="a demonstration"), bless=False)
    assert (CALLS, RECEIVED["forced"]) == (["Judge"], "a demonstration")
    again = run(folder, bless=False)
    assert CALLS == []
    blessings = [r.artifact("ModelBlessing") for r in (result, again)]
    assert [b.properties["blessed"] for b in blessings if b is not None] == [1, 1]
    write_span(folder, 2)
    run(folder, bless=False)
    assert RECEIVED["forced"] is None


def test_two_machines_share_a_history_and_each_clears_its_own_killed_runs(folder: Path) -> None:
    """Their roots have the same path on different disks."""
    shared = Metadata(sqlite=str(folder / "shared.sqlite"))
    roots = [folder / "a" / "root", folder / "b" / "root"]
    store = Store(shared, roots[0], "toy")
    result = Runner(
        pipeline(folder, True),
        Layout(roots[0]),
        lambda: Store(shared, roots[0], "toy"),
        fakes.no_beam,
        Terminal(),
    ).run()
    alive = Run("alive", "toy", str(roots[1]), State.RUNNING, 1.0, root_id=result.run.root_id)
    killed = Run("killed", "toy", "/elsewhere", State.RUNNING, 1.0, root_id="of b")
    for other_run in (alive, killed):
        store.put_run(other_run)
    roots[1].mkdir(parents=True)
    (roots[1] / ".id").write_text("of b", encoding="ascii")
    CALLS.clear()
    Runner(
        pipeline(folder, True),
        Layout(roots[1]),
        lambda: Store(shared, roots[1], "toy"),
        fakes.no_beam,
        Terminal(),
    ).run()
    assert CALLS == []  # here, the outputs in a can be read from b
    states = {run.run_id: run.state for run in store.runs()}
    assert (states["alive"], states["killed"]) == (State.RUNNING, State.CANCELED)


def test_status_shows_the_spans(folder: Path) -> None:
    write_span(folder, 2)
    run(folder)
    config = PipelineConfig(
        name="toy", root=str(folder / "root"), example_gen=ExampleGenParameters(files=("a.tsv",))
    )
    [report] = status.collect(config)["runs"]
    assert report["spans"] == ["span 1", "span 2"]
    assert report["nodes"]["Read"]["outputs"]["examples"] == [
        str(folder / "root" / "Read" / "examples" / number) for number in ("1", "2")
    ]
    assert json.dumps(report)


def test_a_run_with_from_needs_an_earlier_execution_over_all_spans(folder: Path) -> None:
    Read.failing = "1"
    with pytest.raises(DataError):
        run(folder)
    with pytest.raises(ConfigError, match="no earlier run's outputs"):
        run(folder, Selection(first="Count"))
