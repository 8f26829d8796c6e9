"""A corpus in spans: only new spans are processed; and how inputs from earlier runs are chosen."""

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
from bitext.pipeline.records import Run, State
from bitext.pipeline.reports import status
from bitext.pipeline.runner import Result, Runner, Selection
from bitext.pipeline.sources import BaseModel, NewestOutput, Node, PreviousStatistics, ServedModel
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import Terminal

CALLS: list[str] = []
GIVEN: dict[str, Any] = {}


class Files(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes: `folder` of all spans; `file` of one span."""

    folder: str
    file: str = ""


class Blessed(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attributes: whether to `bless`."""

    bless: bool = True


class Nothing(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No parameters."""


class Read(Component[Files]):
    """Reads each span."""

    inputs = {}
    outputs = {"examples": artifacts.Examples}
    parameters = Files
    failing: ClassVar[str] = ""

    def parts(self, parameters: Files) -> list[Part]:
        files = sorted(Path(parameters.folder).glob("*.txt"))
        return [Part(f"span {f.stem}", Files(folder="", file=str(f))) for f in files]

    def external_inputs(self, parameters: Files) -> list[str]:
        return [parameters.file] if parameters.file else []

    def run(self, parameters: Files, context: Context, *, examples: artifacts.Examples) -> None:
        CALLS.append(f"Read {Path(parameters.file).stem}")
        if Path(parameters.file).stem == Read.failing:
            raise DataError("torn", "mend it")
        for split in ("train", "eval"):
            examples.split(split).mkdir()
            (examples.split(split) / "data").write_bytes(Path(parameters.file).read_bytes() + split.encode())
        context.say("read")


class Count(Component[Nothing]):
    """Counts each span."""

    inputs = {"examples": artifacts.Examples}
    outputs = {"statistics": artifacts.ExampleStatistics}
    parameters = Nothing
    map_over = "examples"

    def run(
        self,
        parameters: Nothing,
        context: Context,
        *,
        examples: artifacts.Examples,
        statistics: artifacts.ExampleStatistics,
    ) -> None:
        text = (examples.split("train") / "data").read_text()
        CALLS.append(f"Count {examples.properties['part']}")
        (statistics.path / "count").write_text(text)


class Check(Component[Nothing]):
    """Records which statistics it gets."""

    inputs = {"statistics": artifacts.ExampleStatistics, "previous_statistics": artifacts.ExampleStatistics}
    outputs = {"anomalies": artifacts.ExampleAnomalies}
    parameters = Nothing
    optional = frozenset({"previous_statistics"})
    list_inputs = frozenset({"statistics", "previous_statistics"})

    def run(
        self,
        parameters: Nothing,
        context: Context,
        *,
        statistics: tuple[artifacts.ExampleStatistics, ...],
        previous_statistics: tuple[artifacts.ExampleStatistics, ...],
        anomalies: artifacts.ExampleAnomalies,
    ) -> None:
        CALLS.append("Check")
        GIVEN["statistics"] = [(a.path / "count").read_text() for a in statistics]
        GIVEN["previous"] = [(a.path / "count").read_text() for a in previous_statistics]
        (anomalies.path / "none").touch()


class Train(Component[Nothing]):
    """Records its cache and base model; the model is the text of all spans."""

    inputs = {
        "examples": artifacts.Examples,
        "cache": artifacts.TransformCache,
        "base_model": artifacts.Model,
    }
    outputs = {"model": artifacts.Model, "updated_cache": artifacts.TransformCache}
    parameters = Nothing
    optional = frozenset({"cache", "base_model"})
    list_inputs = frozenset({"examples"})
    uncached_inputs = frozenset({"cache"})
    input_splits = {"examples": ("train",)}

    def run(
        self,
        parameters: Nothing,
        context: Context,
        *,
        examples: tuple[artifacts.Examples, ...],
        cache: artifacts.TransformCache | None,
        base_model: artifacts.Model | None,
        model: artifacts.Model,
        updated_cache: artifacts.TransformCache,
    ) -> None:
        CALLS.append("Train")
        GIVEN["cache"] = None if cache is None else (cache.path / "names").read_text()
        GIVEN["base"] = None if base_model is None else (base_model.path / "weights").read_text()
        texts = [(e.split("train") / "data").read_text() for e in examples]
        (model.path / "weights").write_text(" ".join(texts))
        (updated_cache.path / "names").write_text(str(len(texts)))


class Judge(Component[Blessed]):
    """Blesses the model if its parameters say so."""

    inputs = {"model": artifacts.Model, "baseline": artifacts.Model}
    outputs = {"blessing": artifacts.ModelBlessing}
    parameters = Blessed
    optional = frozenset({"baseline"})
    obeys_force_bless = True

    def run(
        self,
        parameters: Blessed,
        context: Context,
        *,
        model: artifacts.Model,
        baseline: artifacts.Model | None,
        blessing: artifacts.ModelBlessing,
    ) -> None:
        CALLS.append("Judge")
        GIVEN["baseline"] = None if baseline is None else (baseline.path / "weights").read_text()
        GIVEN["forced"] = context.force_bless
        blessed = parameters.bless or context.force_bless is not None
        (blessing.path / ("BLESSED" if blessed else "NOT_BLESSED")).write_text("{}")
        blessing.properties["blessed"] = int(blessed)


LAST = ["Check", "Train", "Judge"]


def pipeline(folder: Path, bless: bool, every: int = 0) -> Pipeline:
    source = Node(Read(), Files(folder=str(folder)))
    counted = Node(Count(), Nothing(), {"examples": source["examples"]})
    checked = Node(
        Check(),
        Nothing(),
        {
            "statistics": counted["statistics"],
            "previous_statistics": PreviousStatistics(counted.name, other_than="statistics"),
        },
    )
    trained = Node(
        Train(),
        Nothing(),
        {
            "examples": source["examples"],
            "cache": NewestOutput("updated_cache"),
            "base_model": BaseModel(str(folder / "serving"), every),
        },
    )
    baseline = ServedModel(str(folder / "serving"), other_than="model")
    judged = Node(Judge(), Blessed(bless=bless), {"model": trained["model"], "baseline": baseline})
    return Pipeline("toy", (source, counted, checked, trained, judged))


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    Read.failing = ""
    yield
    Read.failing = ""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    arrive(tmp_path, 1)
    return tmp_path


def arrive(folder: Path, number: int) -> None:
    (folder / f"{number}.txt").write_text(f"{number}-")


def store_of(folder: Path) -> Store:
    return Store(Metadata(), folder / "root", "toy")


def run(folder: Path, selection: Selection | None = None, bless: bool = True, every: int = 0) -> Result:
    CALLS.clear()
    GIVEN.clear()
    open_store = functools.partial(store_of, folder)
    return Runner(pipeline(folder, bless, every), folder / "root", open_store, lambda: None, Terminal()).run(  # type: ignore[arg-type, return-value]
        selection or Selection()
    )


def test_only_new_spans_are_processed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(folder)
    assert ["Read 1", "Count span 1", *LAST] == CALLS
    run(folder)
    assert CALLS == []
    arrive(folder, 2)
    arrive(folder, 3)
    capsys.readouterr()
    run(folder)
    assert ["Read 2", "Read 3", "Count span 2", "Count span 3", *LAST] == CALLS
    lines = capsys.readouterr().out.splitlines()
    start = lines.index("Read")
    assert lines[start + 1 : start + 4] == ["    1 of 3 cached", "    span 2: read", "    span 3: read"]
    run(folder)
    assert CALLS == []
    (folder / "2.txt").write_text("2b-")
    run(folder)
    assert ["Read 2", "Count span 2", *LAST] == CALLS
    assert GIVEN["statistics"] == ["1-train", "2b-train", "3-train"]


def test_a_moved_window_reruns_only_the_nodes_after_the_spans(folder: Path) -> None:
    arrive(folder, 2)
    run(folder)
    (folder / "1.txt").unlink()
    run(folder)
    assert CALLS == LAST
    assert GIVEN["statistics"] == ["2-train"]


def test_a_run_and_its_executions_record_the_names_of_the_spans(folder: Path) -> None:
    arrive(folder, 2)
    result = run(folder)
    [record] = store_of(folder).runs()
    assert record.parts == result.run.parts == "span 1, span 2"
    executions = store_of(folder).executions()
    assert [(e.part, e.state) for e in executions if e.node == "Read"] == [
        ("", State.COMPLETE),
        ("span 2", State.COMPLETE),
        ("span 1", State.COMPLETE),
    ]
    whole = result.executions["Count"].outputs["statistics"]
    assert [a.properties["part"] for a in whole] == ["span 1", "span 2"]
    assert [len(a.split_digests) for a in result.executions["Read"].outputs["examples"]] == [2, 2]


def test_spans_before_a_failed_one_stay_cached(folder: Path) -> None:
    arrive(folder, 2)
    Read.failing = "2"
    with pytest.raises(DataError, match="torn"):
        run(folder)
    Read.failing = ""
    run(folder)
    assert ["Read 2", "Count span 1", "Count span 2", *LAST] == CALLS


def test_from_uses_every_span_of_the_newest_run(folder: Path) -> None:
    arrive(folder, 2)
    run(folder)
    arrive(folder, 3)
    Read.failing = "3"
    with pytest.raises(DataError):
        run(folder)
    result = run(folder, Selection(first="Check", force=frozenset({"Check"})))
    assert CALLS == ["Check"]
    assert GIVEN["statistics"] == ["1-train", "2-train"]
    assert result.executions["Read"].state == State.CACHED


def test_previous_statistics_are_of_the_newest_blessed_run_with_other_data(folder: Path) -> None:
    run(folder)
    assert GIVEN["previous"] == []
    arrive(folder, 2)
    run(folder, bless=False)
    assert GIVEN["previous"] == ["1-train"]
    run(folder, bless=False)
    assert CALLS == []
    arrive(folder, 3)
    run(folder)
    assert GIVEN["previous"] == ["1-train"]
    run(folder)
    assert CALLS == []
    arrive(folder, 4)
    run(folder)
    assert GIVEN["previous"] == ["1-train", "2-train", "3-train"]


def test_a_training_begins_with_the_served_model_and_not_with_its_own_result(folder: Path) -> None:
    run(folder)
    assert GIVEN["base"] is None
    run(folder)
    assert CALLS == []
    arrive(folder, 2)
    run(folder, bless=False)
    assert GIVEN["base"] == "1-train"
    arrive(folder, 3)
    run(folder)
    assert GIVEN["base"] == "1-train"
    run(folder)
    assert CALLS == []
    arrive(folder, 4)
    run(folder)
    assert GIVEN["base"] == "1-train 2-train 3-train" == GIVEN["baseline"]


def test_every_nth_training_begins_from_scratch_whether_blessed_or_not(folder: Path) -> None:
    begun_with = []
    for day, blessed in enumerate([True, True, False, True, True, False, True, True], start=1):
        arrive(folder, day)
        run(folder, bless=blessed, every=3)
        begun_with.append(GIVEN["base"] and len(GIVEN["base"].split()))
        run(folder, bless=blessed, every=3)
        assert CALLS == []
    assert begun_with == [None, 1, 2, None, 4, 5, None, 7]


def test_several_artifacts_for_an_input_that_takes_one_are_an_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the error, the component would get the first span and never see the others."""
    monkeypatch.setattr(Train, "list_inputs", frozenset())
    arrive(folder, 2)
    with pytest.raises(ValueError, match="Train takes one artifact as examples, and has 2"):
        run(folder)
    assert "Train" not in CALLS


def test_an_uncached_input_is_passed_and_does_not_change_the_key(folder: Path) -> None:
    run(folder)
    assert GIVEN["cache"] is None
    run(folder)
    assert CALLS == []
    arrive(folder, 2)
    run(folder)
    assert GIVEN["cache"] == "1"
    arrive(folder, 3)
    shutil.rmtree(folder / "root" / "Train" / "updated_cache")
    run(folder)
    assert GIVEN["cache"] is None


def test_a_forced_blessing_is_cached_until_an_input_changes(folder: Path) -> None:
    run(folder, bless=False)
    assert GIVEN["forced"] is None
    result = run(folder, Selection(force_bless="the fair is tomorrow"), bless=False)
    assert (CALLS, GIVEN["forced"]) == (["Judge"], "the fair is tomorrow")
    again = run(folder, bless=False)
    assert CALLS == []
    blessings = [r.artifact("ModelBlessing") for r in (result, again)]
    assert [b.properties["blessed"] for b in blessings if b is not None] == [1, 1]
    arrive(folder, 2)
    run(folder, bless=False)
    assert GIVEN["forced"] is None


def test_two_machines_share_a_history_and_each_clears_its_own_killed_runs(folder: Path) -> None:
    """Their roots have the same path on different disks."""
    shared = Metadata(sqlite=str(folder / "shared.sqlite"))
    roots = [folder / "a" / "root", folder / "b" / "root"]
    store = Store(shared, roots[0], "toy")
    result = Runner(
        pipeline(folder, True),
        roots[0],
        lambda: Store(shared, roots[0], "toy"),
        lambda: None,
        Terminal(),  # type: ignore[arg-type, return-value]
    ).run()
    alive = Run("alive", "toy", str(roots[1]), State.RUNNING, 1.0, root_id=result.run.root_id)
    killed = Run("killed", "toy", "/elsewhere", State.RUNNING, 1.0, root_id="of b")
    for one in (alive, killed):
        store.put_run(one)
    roots[1].mkdir(parents=True)
    (roots[1] / ".id").write_text("of b", encoding="ascii")
    CALLS.clear()
    Runner(
        pipeline(folder, True),
        roots[1],
        lambda: Store(shared, roots[1], "toy"),
        lambda: None,
        Terminal(),  # type: ignore[arg-type, return-value]
    ).run()
    assert CALLS == []  # a's outputs can be reached from b here, and so are used
    states = {run.run_id: run.state for run in store.runs()}
    assert (states["alive"], states["killed"]) == (State.RUNNING, State.CANCELED)


def test_status_shows_the_spans(folder: Path) -> None:
    arrive(folder, 2)
    run(folder)
    config = PipelineConfig(
        name="toy", root=str(folder / "root"), example_gen=ExampleGenParameters(files=("a.tsv",))
    )
    [shown] = status.collect(config)["runs"]
    assert shown["spans"] == ["span 1", "span 2"]
    assert shown["nodes"]["Read"]["outputs"]["examples"] == [
        str(folder / "root" / "Read" / "examples" / number) for number in ("1", "2")
    ]
    assert json.dumps(shown)


def test_from_needs_a_whole_execution_of_nodes_with_spans(folder: Path) -> None:
    Read.failing = "1"
    with pytest.raises(DataError):
        run(folder)
    with pytest.raises(ConfigError, match="no earlier run's outputs"):
        run(folder, Selection(first="Count"))
