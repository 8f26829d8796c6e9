"""The loop of `bitext tune`: starts trials, takes their scores, stops them, and records all of it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import statistics
import time
from pathlib import Path

from bitext.components.artifacts import Trial, TrialState
from bitext.components.artifacts.tuning import Settings
from bitext.components.shared import errors
from bitext.components.shared.errors import ConfigError, EnvironmentFault
from bitext.components.shared.progress import Progress
from bitext.pipeline.graph import create_pipeline
from bitext.pipeline.layout import Layout
from bitext.pipeline.live import LiveFile
from bitext.pipeline.lock import Use
from bitext.pipeline.records import TUNER, Run, Stopwatch
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import Terminal, duration
from bitext.pipeline.tuning import best, identity, nodes, table
from bitext.pipeline.tuning.attempts import Attempts
from bitext.pipeline.tuning.process import Process, Result
from bitext.pipeline.tuning.process import Request as ProcessRequest
from bitext.pipeline.tuning.pruning import is_hopeless
from bitext.pipeline.tuning.search import Search
from bitext.pipeline.tuning.session import executions_of_run
from bitext.pipeline.tuning.space import Base, Space, is_allowed
from bitext.pipeline.tuning.trials import best_of, of_tuning, runs_of_tuning

POLL_SECONDS = 0.5
"""The time between two looks at the trials in progress."""
MAX_FAILURES = 3
"""If no trial is complete after so many have failed, the tuning ends: the configuration is wrong."""
_FATAL = (EnvironmentFault, errors.LockedError)
"""Errors that have nothing to do with the settings of a trial."""


@dataclasses.dataclass(frozen=True)
class Limits:
    """How far a tuning goes.

    Attributes:
      budget: the most seconds of work, those of earlier commands included; None: any.
      trials: the most trials; None: any.
      parallel: number of trials at a time.
      seed: of the search.
      prune_after: the share of its steps before which no trial is stopped; 1: none is.
    """

    budget: float | None
    trials: int | None
    parallel: int
    seed: int
    prune_after: float


@dataclasses.dataclass(frozen=True)
class Request:
    """What a tuning does.

    Attributes:
      base: the configuration that it starts from.
      space: what it varies.
      limits: how far it goes.
      output: the file for the configuration of the best trial.
      wait: seconds to wait for another run in the root to end.
    """

    base: Base
    space: Space
    limits: Limits
    output: Path
    wait: float = 0.0


class Tuner:
    """A tuning in a pipeline root that is locked.

    Args:
      request: what it does.
      layout: the folders of the pipeline root.
      store: the metadata store.
      run: the run.
      use: the use of the root.
      terminal: prints lines.

    Attributes:
      trials: the trials, by number.
      tuning: the identity of the tuning; empty: not known yet.
    """

    def __init__(
        self,
        request: Request,
        layout: Layout,
        store: Store,
        run: Run,
        use: Use,
        terminal: Terminal,
    ):
        base, space, limits = request.base, request.space, request.limits
        self._base, self._space, self._limits, self._output = base, space, limits, request.output
        self._layout, self._store, self._run, self._use = layout, store, run, use
        self._terminal = terminal
        self._config = base.load({})
        self._pipeline = create_pipeline(self._config)
        self._nodes = nodes.of_trials(self._pipeline, base, space)
        self.trials: dict[int, Trial] = {}
        self.tuning = ""
        self._spent_before, self._stopwatch = 0.0, Stopwatch()
        self._search = Search(space, limits.seed, lambda settings: is_allowed(base, settings))
        self._why_over = ""
        self._live = LiveFile(layout.progress, run.run_id)

    @property
    def seconds(self) -> float:
        """The seconds of work, those of earlier commands included."""
        return self._spent_before + self._stopwatch.seconds

    def search(self) -> None:
        """Runs trials until a limit is reached.

        Raises:
          BitextError: no trial can succeed.
        """
        self._prepare()
        attempts = Attempts(
            self.tuning, self._nodes, self._limits.parallel, self._layout, self._store, self._run
        )
        total = self._limits.trials
        self._live.start(TUNER, "")
        shown = Progress("trials", total, 0, self._live.move)
        try:
            self._loop(attempts, shown)
        except BaseException:
            attempts.interrupt_all()
            raise
        finally:
            self._live.remove()

    def _prepare(self) -> None:
        """Executes the nodes before the first one that a trial executes, and finds the earlier trials."""
        folder = self._layout.staging / self._run.run_id / "preparation"
        request = ProcessRequest(
            config=self._config,
            run_id=self._run.run_id,
            nodes=nodes.before_trials(self._pipeline, self._nodes),
            trial="",
            cores=(),
            parent=os.getpid(),
            folder=str(folder.absolute()),
            log=str(self._layout.log_file(self._run.run_id)),
        )
        process = Process(request, self._layout, is_shown=True)
        try:
            while process.code is None:
                time.sleep(0.05)
        except BaseException:
            process.stop()
            raise
        result = process.result()
        if result.error:
            raise result.exception()
        history = self._store.executions()
        executions = executions_of_run(history, self._run.run_id)
        self.tuning = identity.id_of(
            self._config, self._pipeline, self._space, self._limits.seed, executions, history
        )
        self.trials = of_tuning(history, self.tuning)
        runs = runs_of_tuning(history, self.tuning)
        self._spent_before = sum(run.known_seconds or 0.0 for run in self._store.runs() if run.run_id in runs)
        finished = sum(trial.is_finished for trial in self.trials.values())
        if self.trials:
            self._terminal.say_of_run(
                f"continues a tuning: {finished} of {len(self.trials)} trials are finished,"
                f" {duration(self._spent_before)} are spent"
            )

    def _loop(self, attempts: Attempts, shown: Progress) -> None:
        while True:
            self._use.check()
            attempts.look()
            for attempt, result in attempts.ended():
                self._report(attempt.trial, result, attempts)
            self._prune(attempts)
            if self._limits.budget is not None and self.seconds >= self._limits.budget:
                self._why_over = "the budget is spent"
                attempts.interrupt_all()
                return
            while attempts.has_room and (trial := self._next()) is not None:
                attempts.start(trial, self._base.load(trial.settings))
            if not attempts.running:
                return
            shown.done = sum(trial.is_finished for trial in self.trials.values())
            shown.advance(0)
            time.sleep(POLL_SECONDS)

    def _next(self) -> Trial | None:
        """Returns the trial to start now; None: none is to start."""
        running = {n for n, trial in self.trials.items() if trial.state == TrialState.RUNNING}
        if self._is_too_late(len(running)):
            return None
        for trial in self.trials.values():
            if trial.state == TrialState.INTERRUPTED:
                return trial
        number = max(self.trials, default=0) + 1
        if self._limits.trials is not None and number > self._limits.trials:
            self._why_over = f"{self._limits.trials} trials are done"
            return None
        settings = self._own_settings() or self._search.next(list(self.trials.values()))
        if settings is None:
            self._why_over = "all settings of the space are tried"
            return None
        self.trials[number] = Trial(number=number, settings=settings)
        return self.trials[number]

    def _own_settings(self) -> Settings | None:
        """Returns the settings of the configuration, for the first trial; None: they are not in the space."""
        own = self._space.of_config(self._config) if not self.trials else None
        return own if own is not None and is_allowed(self._base, own) else None

    def _is_too_late(self, running: int) -> bool:
        """Whether the rest of the budget is too short for a trial, as far as the complete ones tell."""
        if self._limits.budget is None:
            return False
        complete = [t for t in self.trials.values() if t.state == TrialState.COMPLETE and not t.is_cached]
        needed = statistics.median(trial.seconds for trial in complete) if complete else 0.0
        left = self._limits.budget - self.seconds
        if needed <= left:
            return False
        if not running:
            self._why_over = (
                f"{duration(max(0.0, left))} of the budget are left, and a trial takes {duration(needed)}"
            )
        return True

    def _prune(self, attempts: Attempts) -> None:
        """Stops hopeless trials."""
        curves = [trial.curve for trial in self.trials.values() if trial.state == TrialState.COMPLETE]
        for attempt in attempts.running:
            if not attempt.is_pruned and is_hopeless(attempt.trial.curve, curves, self._limits.prune_after):
                attempts.prune(attempt)

    def _report(self, trial: Trial, result: Result, attempts: Attempts) -> None:
        """Prints the line of a trial that has ended, and writes the configuration of the best one.

        Raises:
          BitextError: the trial has failed, and no other will succeed.
        """
        self._terminal.say_of_run(table.line(trial, self._space))
        if trial.state == TrialState.FAILED:
            error, log = result.exception(), attempts.log_file(trial)
            failed = [t for t in self.trials.values() if t.state == TrialState.FAILED]
            if isinstance(error, _FATAL):
                raise error
            if len(failed) >= MAX_FAILURES and best_of(self.trials.values()) is None:
                message = f"{len(failed)} trials have failed and none is complete; the last one: {error}"
                error.args = (message,)
                error.remedy = f"{error.remedy}; its log is {log}" if error.remedy else f"see {log}"
                raise error
        if trial is best_of(self.trials.values()):
            with contextlib.suppress(ConfigError):  # a person has edited it: the end of the run says so
                best.check_output(self._output)
                best.write(self._output, trial, self._base)

    @property
    def why_over(self) -> str:
        """Why the tuning has ended."""
        return self._why_over

    def require_best(self) -> Trial:
        """Returns the best trial.

        Raises:
          ConfigError: none is complete.
        """
        found = best_of(self.trials.values())
        if found is not None:
            return found
        failed = [trial for trial in self.trials.values() if trial.state == TrialState.FAILED]
        if failed and self._limits.trials is not None and len(failed) >= self._limits.trials:
            raise errors.TrainingError(
                f"no trial is complete; {failed[-1].name} has failed: {failed[-1].error}",
                "change the ranges of the space",
            )
        raise ConfigError(
            f"no trial is complete: {self._why_over or 'none was started'}",
            "repeat the command with a larger --budget: it continues",
        )
