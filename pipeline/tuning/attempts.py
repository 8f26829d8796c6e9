"""The attempts at trials that are in progress: their processes, their records and their processors."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Sequence

import msgspec

from bitext.components.artifacts import Trial, TrialState
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import TUNER, Execution, Run, State
from bitext.pipeline.store import Store
from bitext.pipeline.tuning.process import Process, Request, Result

_STATES = {
    TrialState.RUNNING: State.RUNNING,
    TrialState.COMPLETE: State.COMPLETE,
    TrialState.FAILED: State.FAILED,
    TrialState.PRUNED: State.CANCELED,
    TrialState.INTERRUPTED: State.CANCELED,
}


@dataclasses.dataclass
class Attempt:
    """An attempt at a trial.

    Attributes:
      trial: the trial, which is brought up to date.
      process: its process.
      execution: its record.
      slot: which share of the processors it has.
      is_pruned: whether it was stopped because it is hopeless.
    """

    trial: Trial
    process: Process
    execution: Execution
    slot: int
    is_pruned: bool = False


class Attempts:
    """The attempts in progress.

    Args:
      tuning: the id of the tuning.
      nodes: the nodes of a trial.
      parallel: how many there may be at a time.
      layout: the folders of the pipeline root.
      store: the metadata store.
      run: the run.
    """

    def __init__(
        self, tuning: str, nodes: Sequence[str], parallel: int, layout: Layout, store: Store, run: Run
    ):
        self._tuning, self._nodes, self._parallel = tuning, tuple(nodes), parallel
        self._layout, self._store, self._run = layout, store, run
        self.running: list[Attempt] = []

    @property
    def has_room(self) -> bool:
        """Whether another one may start."""
        return len(self.running) < self._parallel

    def start(self, trial: Trial, config: PipelineConfig) -> None:
        """Starts an attempt at a trial.

        Args:
          trial: the trial.
          config: the configuration with its settings.
        """
        slot = min(set(range(self._parallel)) - {attempt.slot for attempt in self.running})
        trial.state = TrialState.RUNNING
        parameter = {"tuning": self._tuning, "settings": trial.settings}
        key = json.dumps({"parameter": parameter}, sort_keys=True)
        execution = Execution(
            TUNER,
            self._run.run_id,
            State.RUNNING,
            time.time(),
            cache_key=hashlib.sha256(key.encode()).hexdigest(),
            cache_key_parts=key,
            part=trial.name,
        )
        self._record(execution, trial)
        folder = self._layout.staging / self._run.run_id / trial.name.replace(" ", "-")
        request = Request(
            config=config,
            run_id=self._run.run_id,
            nodes=self._nodes,
            trial=trial.name,
            cores=self._cores(slot),
            parent=os.getpid(),
            folder=str(folder.absolute()),
            log=str(self.log_file(trial)),
        )
        self.running.append(Attempt(trial, Process(request, self._layout), execution, slot))

    def log_file(self, trial: Trial) -> str:
        """The log of a trial in this run."""
        return str(self._layout.logs / self._run.run_id / f"{trial.name.replace(' ', '-')}.log")

    def _cores(self, slot: int) -> tuple[int, ...]:
        """The processors of a share; empty: all."""
        own = sorted(os.sched_getaffinity(0))
        return tuple(own[slot :: self._parallel]) if 1 < self._parallel <= len(own) else ()

    def look(self) -> None:
        """Brings the scores of all trials in progress up to date."""
        for attempt in self.running:
            attempt.trial.take(*attempt.process.training())

    def prune(self, attempt: Attempt) -> None:
        """Stops an attempt that is hopeless. It ends soon."""
        attempt.is_pruned = True
        attempt.process.interrupt()

    def ended(self) -> list[tuple[Attempt, Result]]:
        """Returns the attempts that have ended since the last call, with their results, and records them."""
        ended = [attempt for attempt in self.running if attempt.process.code is not None]
        self.running = [attempt for attempt in self.running if attempt not in ended]
        return [(attempt, self._end(attempt)) for attempt in ended]

    def _end(self, attempt: Attempt) -> Result:
        trial, result = attempt.trial, attempt.process.result()
        if result.execution is not None:  # also if it was to be stopped just before its end
            trial.take(result.validations, result.steps)
            if result.selection is not None:
                trial.take_exported(result.selection)
            trial.state, trial.training, trial.is_cached = (
                TrialState.COMPLETE,
                result.execution,
                result.is_cached,
            )
        elif attempt.is_pruned:
            trial.take(*attempt.process.training())
            trial.state = TrialState.PRUNED
        else:
            trial.state, trial.error = TrialState.FAILED, result.error
        if trial.state == TrialState.PRUNED:  # the error of a failed one may name its checkpoint
            attempt.process.discard_training()
        if trial.state != TrialState.COMPLETE:
            self._close_executions(attempt, State.FAILED, result.error)
        self._record(attempt.execution, trial)
        return result

    def interrupt_all(self) -> None:
        """Stops all attempts. They can be continued."""
        for attempt in self.running:
            attempt.process.interrupt()
        for attempt in self.running:
            attempt.process.stop()
            attempt.trial.take(*attempt.process.training())
            attempt.trial.state = TrialState.INTERRUPTED
            self._close_executions(attempt, State.CANCELED, "interrupted")
            self._record(attempt.execution, attempt.trial)
        self.running = []

    def _record(self, execution: Execution, trial: Trial) -> None:
        if trial.state != TrialState.RUNNING:
            about = (
                f"pruned after {trial.minutes:.1f} min" if trial.state == TrialState.PRUNED else trial.error
            )
            execution.end(_STATES[trial.state], about)
            trial.seconds += execution.seconds
        execution.trial = msgspec.json.encode(trial).decode()
        self._store.put_execution(execution, self._run)

    def _close_executions(self, attempt: Attempt, state: State, error: str) -> None:
        """Ends the records of the executions of a process that was killed before it could."""
        for execution in self._store.executions():
            is_own = (execution.run_id, execution.part) == (self._run.run_id, attempt.trial.name)
            if is_own and execution.node != TUNER and execution.state == State.RUNNING:
                execution.outputs = {}
                execution.end(state, error)
                self._store.put_execution(execution, self._run)
