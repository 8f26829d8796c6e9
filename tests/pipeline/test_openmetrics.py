"""The metrics textfile after each kind of run, as the OpenMetrics and the Prometheus parser read it."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

import prometheus_client.openmetrics.parser as openmetrics_parser
import prometheus_client.parser as prometheus_parser
import pytest

from bitext.components.component import Context
from bitext.components.shared import errors
from bitext.pipeline import cli, graph
from bitext.pipeline.config import load
from bitext.pipeline.lock import locked
from bitext.pipeline.records import Execution, Run, State, StoredArtifact
from bitext.pipeline.reports import openmetrics
from bitext.pipeline.reports.openmetrics import Ending
from bitext.pipeline.reports.outcome import collect
from bitext.pipeline.store import Store
from tests.pipeline import fakes
from tests.pipeline.fakes import Calls, raising

Samples = dict[str, float]
TEXTFILE = Path("metrics/toy.prom")
SUCCESS = "bitext_last_success_timestamp_seconds"


def parse(text: str) -> Samples:
    """Returns the samples by name and labels, without the label `pipeline`. Both parsers must agree."""
    samples_by_parser = []
    for parser in (openmetrics_parser, prometheus_parser):
        samples: Samples = {}
        for family in parser.text_string_to_metric_families(text):
            assert (family.type, bool(family.documentation), family.unit) == ("gauge", True, "")
            assert family.samples
            for sample in family.samples:
                assert sample.timestamp is None  # the textfile collector refuses timestamps
                labels = dict(sample.labels)
                assert labels.pop("pipeline") == "toy"
                samples[" ".join([sample.name, *labels.values()])] = sample.value
        samples_by_parser.append(samples)
    assert samples_by_parser[0] == samples_by_parser[1]
    return samples_by_parser[0]


def read_samples() -> Samples:
    """Returns the samples in the textfile."""
    return parse(TEXTFILE.read_text(encoding="utf-8"))


def run(*arguments: str) -> int:
    return cli.main(["run", "toy.yaml", *arguments])


def test_a_complete_run_writes_all_metrics(toy: Path) -> None:
    before = time.time()
    assert run() == 0
    values = read_samples()
    assert (
        before <= values["bitext_run_start_timestamp_seconds"] <= values["bitext_run_end_timestamp_seconds"]
    )
    assert values["bitext_run_end_timestamp_seconds"] == values[SUCCESS] <= time.time()
    durations = [values[f"bitext_node_duration_seconds {node}"] for node in fakes.NODES]
    assert values["bitext_run_duration_seconds"] >= sum(durations) > 0
    without_times = {
        name: value for name, value in values.items() if not name.split()[0].endswith("_seconds")
    }
    assert without_times == {
        "bitext_run_exit_code": 0,
        **{f"bitext_node_cached {node}": 0 for node in fakes.NODES},
        "bitext_rows": 4,
        "bitext_rows_rejected": 2,
        "bitext_examples train": 1,
        "bitext_examples test": 1,
        "bitext_bleu": 31.25,
        "bitext_chrf": 31.25,
        "bitext_chrfpp": 31.25,
        "bitext_ter": 31.25,
        "bitext_model_blessed": 1,
        "bitext_pushed_version": 1,
    }
    assert run() == 0
    again = read_samples()
    assert [again[f"bitext_node_cached {node}"] for node in fakes.NODES] == [1] * 4
    assert again.keys() == values.keys()
    assert again[SUCCESS] > values[SUCCESS]


def test_the_file_is_readable_for_all_and_no_temporary_file_stays(toy: Path) -> None:
    previous = os.umask(0o077)
    try:
        run()
    finally:
        os.umask(previous)
    assert list(TEXTFILE.parent.iterdir()) == [TEXTFILE]
    assert stat.S_IMODE(TEXTFILE.stat().st_mode) == 0o644


def test_a_failed_run_keeps_the_last_success_and_the_served_version(toy: Path) -> None:
    run()
    first = read_samples()
    Calls.hooks["Evaluate"] = raising(errors.DataError("bad day"))
    assert run("--force", "Evaluate") == 3
    values = read_samples()
    assert values["bitext_run_exit_code"] == 3
    assert values["bitext_run_end_timestamp_seconds"] > first["bitext_run_end_timestamp_seconds"]
    assert (values[SUCCESS], values["bitext_pushed_version"]) == (first[SUCCESS], 1)
    assert (values["bitext_node_cached Train"], values["bitext_node_cached Evaluate"]) == (1, 0)
    assert not {"bitext_bleu", "bitext_model_blessed", "bitext_node_cached Push"} & values.keys()


def test_a_failed_first_run_has_no_last_success(toy: Path) -> None:
    Calls.hooks["Train"] = raising(KeyboardInterrupt())
    assert run() == 130
    assert (read_samples()[SUCCESS], read_samples()["bitext_run_exit_code"]) == (0, 130)


def test_a_refused_model_is_a_complete_run(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "create_pipeline", lambda config: fakes.pipeline(toy, bless=False))
    assert run() == 4
    values = read_samples()
    assert (values["bitext_run_exit_code"], values["bitext_model_blessed"]) == (4, 0)
    assert values[SUCCESS] == values["bitext_run_end_timestamp_seconds"]
    assert "bitext_pushed_version" not in values


def test_a_run_that_finds_the_root_locked_does_not_write_metrics(toy: Path) -> None:
    run()
    before = TEXTFILE.read_bytes()
    with locked(toy / "runs" / "toy"):
        assert run() == 5
    assert TEXTFILE.read_bytes() == before


def test_without_the_store_the_other_metrics_are_written(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run()
    first = read_samples()
    (toy / "runs" / "toy" / "metadata.sqlite").write_bytes(b"not a database, surely " * 100)
    capsys.readouterr()
    assert run() == 3
    assert capsys.readouterr().err.startswith("error: the metadata store")
    assert read_samples()["bitext_run_exit_code"] == 3
    assert read_samples()[SUCCESS] == first[SUCCESS] > 0
    assert "bitext_bleu" not in read_samples()


def test_a_store_that_is_damaged_during_the_run_does_not_hide_the_error(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def damage_store(context: Context) -> None:
        (toy / "runs" / "toy" / "metadata.sqlite").write_bytes(b"not a database, surely " * 100)
        raise errors.DataError("bad day")

    Calls.hooks["Train"] = damage_store
    assert run("--log-format", "json") == 3
    captured = capsys.readouterr()
    assert "error: bad day" in captured.err
    assert "warning: the record of the run cannot be read: the metadata store" in captured.err
    assert '"error": "bad day"' in captured.out.splitlines()[-1]
    assert read_samples()["bitext_run_exit_code"] == 3


@pytest.mark.parametrize("code", [0, 3])
def test_a_textfile_that_cannot_be_written_is_a_warning(
    toy: Path, capsys: pytest.CaptureFixture[str], code: int
) -> None:
    TEXTFILE.parent.rmdir()
    if code:
        Calls.hooks["Train"] = raising(errors.DataError("bad day"))
    assert run() == code
    warning = "warning: metrics.textfile metrics/toy.prom cannot be written: No such file or directory\n"
    assert capsys.readouterr().err.startswith(warning)


def test_a_failed_rename_leaves_no_temporary_file(toy: Path) -> None:
    TEXTFILE.mkdir()
    assert run() == 0
    assert list(TEXTFILE.parent.iterdir()) == [TEXTFILE]


def test_without_a_configured_textfile_none_is_written(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmetrics, "write", lambda path, ending: pytest.fail("written"))
    assert run("--set", "metrics.textfile=''") == 0


@pytest.mark.parametrize(
    ("textfile", "message"),
    [("metrics/toy.txt", "must end in .prom"), ("gs://b/toy.prom", "must be a path of this machine")],
)
def test_a_textfile_that_the_collector_does_not_read_is_an_error(
    toy: Path, capsys: pytest.CaptureFixture[str], textfile: str, message: str
) -> None:
    assert run("--set", f"metrics.textfile={textfile}") == 2
    assert message in capsys.readouterr().err


def record_runs(folder: Path, *runs: tuple[str, list[Execution]]) -> Callable[[str], openmetrics.Ending]:
    """Records runs with their executions. Returns a function from a run id to the end of that run."""
    config = load(folder / "toy.yaml")
    store = Store(config.metadata, Path(config.root), "toy")
    for started, (run_id, executions) in enumerate(runs, 1):
        root = str(folder / "runs" / "toy")
        record = Run(run_id, "toy", root, State.COMPLETE, float(started), started + 0.5)
        store.put_run(record)
        for execution in executions:
            execution.run_id = run_id
            store.put_execution(execution, record)
    return lambda run_id: Ending("toy", 0, 1.0, 2.0, 1.0, collect(config, run_id))


def execution(node: str, seconds: float, state: str = State.COMPLETE, **outputs: StoredArtifact) -> Execution:
    kept = {key: (a,) for key, a in outputs.items()}
    return Execution(node, "", state, 10.0, 10.0 + seconds, outputs=kept, seconds=float(seconds))


def test_the_executions_of_a_node_are_summed(toy: Path) -> None:
    def span(number: int, state: str) -> Execution:
        examples = StoredArtifact("Examples", f"e{number}", "d", {"train": 10 * number, "test": number})
        rejects = StoredArtifact("Rejects", f"r{number}", "d", {"rows": 12 * number, "rejected": number})
        return execution("Source", number, state, examples=examples, rejects=rejects)

    transformed = StoredArtifact("Examples", "t", "d", {"train": 7})  # not counted: no rows of the corpus
    anomalies = StoredArtifact("ExampleAnomalies", "a", "d", {"errors": 0, "warnings": 2})
    ending = record_runs(
        toy,
        (
            "r1",
            [
                span(1, State.CACHED),
                span(2, State.COMPLETE),
                execution("Transform", 1, examples=transformed, anomalies=anomalies),
            ],
        ),
    )
    values = parse(openmetrics.render(ending("r1")))
    assert (values["bitext_rows"], values["bitext_rows_rejected"]) == (36, 3)
    assert (values["bitext_examples train"], values["bitext_examples test"]) == (30, 3)
    assert (values["bitext_anomalies error"], values["bitext_anomalies warning"]) == (0, 2)
    assert (values["bitext_node_duration_seconds Source"], values["bitext_node_cached Source"]) == (3, 0)


def test_a_model_is_blessed_only_if_both_verdicts_are(toy: Path) -> None:
    blessing = StoredArtifact("ModelBlessing", "b", "d", {"blessed": 1})
    refusal = StoredArtifact("InfraBlessing", "i", "d", {"blessed": 0})
    ending = record_runs(toy, ("r1", [execution("Evaluate", 1, blessing=blessing, infra=refusal)]))
    assert parse(openmetrics.render(ending("r1")))["bitext_model_blessed"] == 0


def test_a_run_does_not_overwrite_the_metrics_of_a_later_run(toy: Path) -> None:
    ending = record_runs(toy, ("r1", []), ("r2", []))
    openmetrics.write(TEXTFILE, ending("r1"))
    assert not TEXTFILE.exists()
    openmetrics.write(TEXTFILE, ending("r2"))
    assert read_samples()[SUCCESS] == 2.5


def test_the_last_success_in_the_file_counts_for_the_same_pipeline_only(toy: Path) -> None:
    ending = record_runs(toy, ("r1", []))
    openmetrics.write(TEXTFILE, ending("r1"))
    unknown = Ending("toy", 6, 5.0, 6.0, 1.0, None)
    openmetrics.write(TEXTFILE, unknown)
    assert read_samples()[SUCCESS] == 1.5
    TEXTFILE.write_text(TEXTFILE.read_text(encoding="utf-8").replace('"toy"', '"other"'), encoding="utf-8")
    openmetrics.write(TEXTFILE, unknown)
    assert read_samples()[SUCCESS] == 0
