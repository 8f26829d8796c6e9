"""The trials of a tuning, and how the metadata store has them.

Each attempt at a trial is an execution of the node `Tuner`: its part is `trial <number>`, its record is in
`Execution.trial`. A killed trial has several attempts, and the newest one counts. The executions of
Transform and Trainer that it made have the same part. A complete tuning is an execution of the whole node:
its inputs are all ModelRuns, its output the HyperParameters.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from bitext.components.artifacts import Trial, TrialState
from bitext.pipeline.records import TUNER, Execution, History, State


def best_of(trials: Iterable[Trial]) -> Trial | None:
    """Returns the complete trial with the best score; None: none is complete."""
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    return min(complete, key=lambda trial: trial.rank, default=None)


def tuning_of(execution: Execution) -> str:
    """Returns the id of the tuning that an execution of the Tuner belongs to."""
    return str(_parameter(execution, "tuning"))


def _parameter(execution: Execution, name: str) -> Any:
    return execution.key_values().get("parameter", {}).get(name)


def of_tuning(history: History, tuning: str) -> dict[int, Trial]:
    """Returns the trials of a tuning by number.

    Args:
      history: see `History`.
      tuning: the id of the tuning.
    """
    found: dict[int, Trial] = {}
    for execution in history:
        if execution.node != TUNER or not execution.part or tuning_of(execution) != tuning:
            continue
        trial = _trial(execution)
        found.setdefault(trial.number, trial)
    return dict(sorted(found.items()))


def runs_of_tuning(history: History, tuning: str) -> set[str]:
    """Returns the ids of the runs that worked on a tuning."""
    return {e.run_id for e in history if e.node == TUNER and tuning_of(e) == tuning}


def summary(executions: Sequence[Execution]) -> dict[str, Any]:
    """Returns the number of trials that a run worked on, by state, and their best score, for a report.

    Args:
      executions: those of the run.
    """
    found: dict[int, Trial] = {}
    for execution in sorted(executions, key=lambda e: e.id or 0):
        if execution.node == TUNER and execution.part:
            trial = _trial(execution)
            found[trial.number] = trial
    states = [trial.state for trial in found.values()]
    best = best_of(found.values())
    return {
        "trials": {state.value: states.count(state) for state in TrialState if state in states},
        "validation_bleu": best.bleu if best else None,
    }


def _trial(execution: Execution) -> Trial:
    """The trial of an execution. One that a process left in the middle is INTERRUPTED."""
    trial = msgspec.json.decode(execution.trial, type=Trial)
    if trial.state == TrialState.RUNNING and execution.state != State.RUNNING:
        trial.state = TrialState.INTERRUPTED
    return trial


def is_trial_part(part: str) -> bool:
    """Whether the part of an execution is that of a trial."""
    return re.fullmatch(r"trial [0-9]+", part) is not None


def losers(history: History) -> set[int | None]:
    """Returns the ids of the executions that finished tunings no longer need: of all trials but the best.

    A later tuning of the same settings takes the scores from the records.
    """
    finished = dict[str, Any]()
    tunings = dict[str, str]()
    for execution in history:
        if execution.node != TUNER:
            continue
        tunings[execution.run_id] = tuning_of(execution)
        if not execution.part and execution.state in (State.COMPLETE, State.CACHED):
            finished.setdefault(tuning_of(execution), _parameter(execution, "best"))
    makers = {artifact.id: e for e in reversed(history) for artifact in e.all_outputs()}
    best = [execution for execution in history if execution.id in finished.values()]
    kept = {e.id for e in best}
    kept |= {makers[a.id].id for e in best for a in e.all_inputs() if a.id in makers}
    return {
        execution.id
        for execution in history
        if is_trial_part(execution.part)
        and execution.node != TUNER
        and tunings.get(execution.run_id) in finished
        and execution.id not in kept
    }
