"""The loop of a tuning: with processes that train nothing, and the search, the pruning and the records."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components import artifacts
from bitext.components.artifacts import Selection, Trial, TrialState, Validation
from bitext.components.shared.errors import ConfigError, EnvironmentFault, TrainingError, as_json
from bitext.pipeline import housekeeping
from bitext.pipeline.layout import Layout
from bitext.pipeline.opening import open_store
from bitext.pipeline.records import TUNER, Execution, State, StoredArtifact, newest_usable
from bitext.pipeline.reports import status
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import Quiet
from bitext.pipeline.tuning import attempts, pruning, space, tuner
from bitext.pipeline.tuning.process import Request as ProcessRequest
from bitext.pipeline.tuning.process import Result
from bitext.pipeline.tuning.run import Outcome, Request, TuningRun
from bitext.pipeline.tuning.search import Search
from bitext.pipeline.tuning.tuner import Limits

CONFIG = "name: toy\nexample_gen: {files: [a.tsv]}\ntrainer: {steps: 400, schedule: {warmup_steps: 10}}\n"
SPACE = "trainer.optimizer.learning_rate: {values: [1e-3, 2e-3, 3e-3, 4e-3, 5e-3, 6e-3]}\n"

Curve = list[float] | Result
"""BLEU of each validation of a fake training, or how it fails."""


class FakeProcess:
    """A process whose training makes one validation each time it is looked at."""

    curve: ClassVar[Callable[[float], Curve]]
    started: ClassVar[list[tuple[str, float]]] = []
    stopped: ClassVar[list[str]] = []
    most: ClassVar[int] = 0
    running: ClassVar[int] = 0

    def __init__(self, request: ProcessRequest, layout: Layout, *, is_shown: bool = False):
        self._request, self._layout, self._looks, self._is_stopped = request, layout, 0, False
        rate = request.config.trainer.optimizer.learning_rate
        self._curve = type(self).curve(rate) if request.trial else []
        if request.trial:
            assert request.nodes == ("Trainer",)
            FakeProcess.started.append((request.trial, rate))
            FakeProcess.running += 1
            FakeProcess.most = max(FakeProcess.most, FakeProcess.running)
        else:
            assert request.nodes[-1] == "Transform"

    @property
    def code(self) -> int | None:
        if self._is_stopped:
            return 130
        scores = self._curve if isinstance(self._curve, list) else []
        return None if self._looks < len(scores) else 0

    def training(self) -> tuple[list[Validation], int]:
        scores = self._curve if isinstance(self._curve, list) else []
        if not self._is_stopped:
            self._looks += 1
        return [
            Validation(100 * (i + 1), i + 1.0, 1.0, bleu, 1.0, 2.0)
            for i, bleu in enumerate(scores[: self._looks])
        ], 400

    def result(self) -> Result:
        FakeProcess.running -= bool(self._request.trial)
        if not self._request.trial:
            return Result()
        if isinstance(self._curve, Result):
            return self._curve
        if self._is_stopped:
            return Result(error="interrupted")
        validations, steps = self.training()
        return Result(execution=self._publish(), validations=validations, steps=steps)

    def _publish(self) -> int:
        config = self._request.config
        store = Store(config.metadata, self._layout.root, config.name)
        [run] = [run for run in store.runs() if run.run_id == self._request.run_id]
        execution = Execution("Trainer", run.run_id, State.RUNNING, time.time(), part=self._request.trial)
        execution.cache_key_parts = json.dumps({"parameter": {"trial": self._request.trial}})
        store.put_execution(execution, run)
        for key, kind in (("model", artifacts.Model), ("model_run", artifacts.ModelRun)):
            folder = self._layout.output("Trainer", key, execution.id)
            folder.mkdir(parents=True)
            (folder / "file").write_text(self._request.trial)
            stored = StoredArtifact(kind.TYPE_NAME, str(folder.resolve()), f"{key} {execution.id}")
            execution.outputs[key] = (stored,)
        execution.end(State.COMPLETE)
        store.put_execution(execution, run)
        return execution.id or 0

    def interrupt(self) -> None:
        self._is_stopped = True

    def stop(self) -> None:
        FakeProcess.running -= 1
        FakeProcess.stopped.append(self._request.trial)
        self._is_stopped = True

    def discard_training(self) -> None:
        """Nothing to discard."""


@pytest.fixture(autouse=True)
def fake_processes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.yaml").write_text(CONFIG)
    (tmp_path / "space.yaml").write_text(SPACE)
    for module in (attempts, tuner):
        monkeypatch.setattr(module, "Process", FakeProcess)
    monkeypatch.setattr(tuner, "POLL_SECONDS", 0.0)
    FakeProcess.curve = lambda rate: [1e3 * rate * share for share in (0.2, 0.5, 0.8, 1.0)]
    FakeProcess.most = FakeProcess.running = 0
    FakeProcess.started, FakeProcess.stopped = [], []


def base() -> space.Base:
    return space.Base(Path("toy.yaml"), CONFIG)


def tune(
    trials: int | None = None, budget: float | None = None, parallel: int = 1, after: float = 0.3
) -> Outcome:
    limits = Limits(budget, trials, parallel, seed=1, prune_after=after)
    request = Request(base(), space.read(Path("space.yaml"), base()), limits, Path("toy.best.yaml"))
    config = base().load({})
    return TuningRun(request, lambda: open_store(config, Layout.of(config), print), Quiet()).run()


def history() -> list[Execution]:
    config = base().load({})
    return Store(config.metadata, Layout.of(config).root, config.name).executions()


def test_all_settings_of_a_small_space_the_configuration_first() -> None:
    outcome = tune()
    assert FakeProcess.started[0] == ("trial 1", 0.002)
    assert sorted(rate for _, rate in FakeProcess.started) == [0.001, 0.002, 0.003, 0.004, 0.005, 0.006]
    assert outcome.best.settings == {"trainer.optimizer.learning_rate": 0.006}
    assert outcome.why_over == "all settings of the space are tried"
    assert "learning_rate: 0.006" in Path("toy.best.yaml").read_text()
    results = artifacts.TunerResults(
        Path(outcome.artifact).parents[1] / "tuner_results" / Path(outcome.artifact).name
    )
    assert [trial.rank for trial in results.trials()] == sorted(trial.rank for trial in results.trials())
    values = artifacts.HyperParameters(Path(outcome.artifact)).values()
    assert values == {"trainer.optimizer.learning_rate": 0.006}


def test_the_same_command_again_trains_nothing_and_a_longer_one_continues() -> None:
    first = tune(trials=3)
    again = tune(trials=3)
    assert len(FakeProcess.started) == 3
    assert again.artifact == first.artifact
    newest = history()[0]
    assert (newest.node, newest.part, newest.state) == (TUNER, "", State.CACHED)
    longer = tune(trials=5, parallel=2)
    assert [name for name, _ in FakeProcess.started] == [f"trial {n}" for n in range(1, 6)]
    assert longer.seconds > first.seconds
    assert FakeProcess.most == 2


def test_an_interrupted_tuning_continues_with_the_same_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def interrupted(*_: object) -> bool:
        nonlocal looks
        looks += 1
        if looks == 7:
            raise KeyboardInterrupt
        return False

    with monkeypatch.context() as patch:
        patch.setattr(tuner, "is_hopeless", interrupted)
        with pytest.raises(KeyboardInterrupt):
            tune(trials=4, parallel=2)
    assert len(FakeProcess.stopped) == 2
    before = dict(FakeProcess.started)
    outcome = tune(trials=4, parallel=2)
    restarted = FakeProcess.started[len(before) :][:2]
    assert [name for name, _ in restarted] == FakeProcess.stopped
    assert dict(restarted).items() <= before.items()
    assert [trial.number for trial in outcome.trials] == [1, 2, 3, 4]
    assert all(trial.state == TrialState.COMPLETE for trial in outcome.trials)


def test_hopeless_trials_are_stopped_and_recorded() -> None:
    Path("space.yaml").write_text("trainer.optimizer.learning_rate: {min: 0.001, max: 0.012, step: 0.001}\n")
    outcome = tune(trials=10)
    pruned = [trial for trial in outcome.trials if trial.state == TrialState.PRUNED]
    complete = [trial for trial in outcome.trials if trial.state == TrialState.COMPLETE]
    assert len(complete) >= pruning.MIN_COMPLETE
    assert pruned
    assert all(trial.step < 400 for trial in pruned)
    assert {e.state for e in history() if e.part in {trial.name for trial in pruned}} <= {State.CANCELED}
    assert tune(trials=10).trials == outcome.trials
    assert all(trial.state == TrialState.COMPLETE for trial in tune(trials=10, after=1.0).trials[:4])


def test_a_failing_trial_fails_alone_and_three_end_the_tuning() -> None:
    diverged = TrainingError("training has diverged", "lower it")
    failure = Result(error=str(diverged), remedy=diverged.remedy, failure=as_json(diverged))
    FakeProcess.curve = lambda rate: failure if rate > 0.005 else [rate, 2 * rate, 3 * rate, 4 * rate]
    outcome = tune()
    assert [t.error for t in outcome.trials if t.state == TrialState.FAILED] == ["training has diverged"]
    assert outcome.best.settings["trainer.optimizer.learning_rate"] == 0.005
    FakeProcess.curve = lambda rate: failure
    Path("space.yaml").write_text("trainer.optimizer.beta2: {values: [0.9, 0.95, 0.98, 0.99]}\n")
    with pytest.raises(TrainingError, match="3 trials have failed and none is complete.*diverged") as caught:
        tune()
    assert "trial-" in caught.value.remedy


def test_a_full_disk_ends_the_tuning() -> None:
    full = as_json(EnvironmentFault("disk full", "free space"))
    FakeProcess.curve = lambda rate: Result(error="disk full", remedy="free space", failure=full)
    with pytest.raises(EnvironmentFault, match="disk full"):
        tune()


def test_a_budget_ends_it_and_the_trial_can_be_continued() -> None:
    with pytest.raises(ConfigError, match="no trial is complete: the budget is spent"):
        tune(budget=1e-6)
    assert tune(trials=1).trials[0].state == TrialState.COMPLETE
    assert dict(FakeProcess.started) == {"trial 1": 0.002}


def test_gc_keeps_the_best_trial_of_a_finished_tuning() -> None:
    outcome = tune()
    config = base().load({})
    housekeeping.collect(config, 1)
    models = [e.outputs["model"][0] for e in history() if e.node == "Trainer"]
    assert [model.path.parts[-1] for model in models if model.exists] == [str(outcome.best.training)]
    records = [e.outputs["model_run"][0] for e in history() if e.node == "Trainer"]
    assert all(record.exists for record in records)
    assert tune().trials == outcome.trials


def test_trials_are_not_the_newest_outputs_of_a_node() -> None:
    tune(trials=2)
    assert newest_usable(history(), "Trainer") is None
    [run] = status.collect(base().load({}))["runs"]
    assert run["tuning"] == {"trials": {"complete": 2}, "validation_bleu": pytest.approx(6.0, abs=5)}


@given(st.lists(st.lists(st.tuples(st.floats(0.1, 1), st.floats(0, 50)), min_size=1), max_size=8), st.data())
def test_the_best_of_the_complete_trials_is_never_hopeless(
    curves: list[list[tuple[float, float]]], data: st.DataObject
) -> None:
    curves = [sorted(curve) for curve in curves]
    own = sorted(data.draw(st.lists(st.tuples(st.floats(0.1, 1), st.floats(51, 60)), min_size=1)))
    assert not pruning.is_hopeless(own, curves, 0.0)
    low = [(share, -1.0) for share, _ in own]
    if len([c for c in curves if c[0][0] <= low[-1][0]]) >= pruning.MIN_COMPLETE and low[-1][0] < 1:
        assert pruning.is_hopeless(low, curves, 0.0)
        assert not pruning.is_hopeless(low, curves, 1.0)


def test_the_search_depends_on_the_trials_and_the_seed_only() -> None:
    Path("space.yaml").write_text(
        "trainer.optimizer.learning_rate: {min: 1e-4, max: 1e-2, log: true}\n"
        "trainer.model.cell: {values: [lstm, gru]}\n"
        "trainer.model.embedding_dropout: {min: 0, max: 0.4, step: 0.1}\n"
    )
    found = space.read(Path("space.yaml"), base())

    def trials(count: int, seed: int = 1) -> list[Trial]:
        done: list[Trial] = []
        for number in range(1, count + 1):
            settings = Search(found, seed, lambda _: True).next(done)
            assert settings is not None
            rate = settings["trainer.optimizer.learning_rate"]
            done.append(
                Trial(number=number, settings=settings, state=TrialState.COMPLETE, bleu=-abs(rate - 2e-3))
            )
        return done

    once = trials(14)
    assert once == trials(14)
    assert once[0] != trials(1, seed=2)[0]
    rates = [trial.settings["trainer.optimizer.learning_rate"] for trial in once]
    assert len(set(rates)) == len(rates)
    weights = Search(found, 1, lambda _: True).importances(once)
    assert next(iter(weights)) == "trainer.optimizer.learning_rate"


def test_the_score_is_that_of_the_exported_weights() -> None:
    validations = [Validation(4 * n, 0.1, 1.0, bleu, 1.0, 1.0) for n, bleu in enumerate((5.0, 9.0, 8.0), 1)]
    trial = Trial(number=1, settings={})
    trial.take(validations, 12)
    assert (trial.bleu, trial.step) == (9.0, 8)
    trial.take_exported(Selection(8, 12, 2, 8.6, 2.0, 1.5, 1.0))
    assert (trial.bleu, trial.chrf, trial.loss, trial.step) == (8.6, 2.0, 1.5, 12)
    assert trial.curve == [(0.3333, 5.0), (0.6667, 9.0), (1.0, 8.0)]
