"""Finds the run that a user names: by its id, a prefix of it, `last`, `previous` or `served`."""

from __future__ import annotations

from collections.abc import Sequence

from bitext.components.shared.errors import ConfigError
from bitext.components.shared.suggestions import similar
from bitext.pipeline.records import History, Run, State, pushed_artifact
from bitext.pipeline.reports.passes import Pass, passes

LAST, PREVIOUS, SERVED = "last", "previous", "served"
NAMES = (LAST, PREVIOUS, SERVED)
MOST_LISTED = 10
"""The most runs that a message lists."""


def choose(name: str, runs: Sequence[Run], history: History, pipeline: str) -> Pass:
    """Returns the pass through the pipeline of the run that is named.

    Args:
      name: the id of a run, the beginning of one, or one of `NAMES`.
      runs: all runs, newest first.
      history: see `History`.
      pipeline: the name of the pipeline, for messages.

    Raises:
      ConfigError: there is no such run, or several, or it is a rollback.
    """
    if not name:
        raise ConfigError("a RUN is empty", f"name an id, the beginning of one, {', '.join(NAMES)}")
    every = passes(runs, history)
    if not every and not runs:
        raise ConfigError(
            f"{name}: no run yet of pipeline {pipeline!r}", "start one with `bitext run CONFIG`"
        )
    if name in (LAST, PREVIOUS):
        return _from_the_end(name, every)
    run_id = _served(history, pipeline) if name == SERVED else _with_prefix(name, runs)
    if any(run.run_id == run_id and run.is_tuning for run in runs):
        raise ConfigError(
            f"run {run_id} is a tuning: it has many trainings and no scores on the test split",
            "`bitext status CONFIG` shows it; name another run",
        )
    chosen = next(one for one in every if any(run.run_id == run_id for run in one.runs))
    if chosen.is_rollback or not chosen.executions:
        what = "is a rollback" if chosen.is_rollback else "ended before its first node"
        raise ConfigError(
            f"run {run_id} {what}: it has no data, no training and no scores",
            "name another run; `bitext history CONFIG` lists them",
        )
    return chosen


def named_run(name: str, runs: Sequence[Run], history: History, pipeline: str) -> Run:
    """Returns the run that `--run` names, which may be a rollback.

    Args:
      name: as of `choose`.
      runs: all runs, newest first.
      history: see `History`.
      pipeline: the name of the pipeline, for messages.

    Raises:
      ConfigError: there is no such run, or several.
    """
    try:
        if not runs or name in NAMES:
            return choose(name, runs, history, pipeline).last
        run_id = _with_prefix(name, runs)
        if any(run.run_id == run_id and run.is_tuning for run in runs):
            return choose(run_id, runs, history, pipeline).last
    except ConfigError as error:
        raise ConfigError(f"--run {error}", error.remedy) from None
    return next(run for run in runs if run.run_id == run_id)


def _from_the_end(name: str, every: Sequence[Pass]) -> Pass:
    """The newest pass that ran a node, or the one before it."""
    ran = [one for one in every if one.executions and not one.is_rollback]
    position = 1 if name == LAST else 2
    if len(ran) < position:
        count = "no run has" if not ran else f"only run {ran[0].last.run_id} has"
        raise ConfigError(f"{name}: {count} run a node", "run the pipeline again with `bitext run CONFIG`")
    return ran[-position]


def _served(history: History, pipeline: str) -> str:
    """The run that trained the version that was pushed last, or that was rolled back to."""
    pushes = {}
    for execution in reversed(history):
        artifact = pushed_artifact(execution) if execution.state == State.COMPLETE else None
        if artifact is not None:
            pushes[artifact.properties.get("version")] = (execution, artifact)
    if not pushes:
        raise ConfigError(
            f"{SERVED}: the pipeline {pipeline!r} has pushed no version", "name a run by its id, or `last`"
        )
    execution, artifact = list(pushes.values())[-1]
    while (earlier := artifact.properties.get("rolled_back_to")) is not None:
        if earlier not in pushes:
            raise ConfigError(
                f"{SERVED}: version {earlier}, which was rolled back to, is not on record",
                "name a run by its id, or `last`",
            )
        execution, artifact = pushes[earlier]
    return execution.run_id


def _with_prefix(name: str, runs: Sequence[Run]) -> str:
    """The run with this id, or the only one whose id begins so."""
    ids = [run.run_id for run in runs]
    if name in ids:
        return name
    found = [id_ for id_ in ids if id_.lower().startswith(name.lower())]
    if len(found) == 1:
        return found[0]
    if found:
        more = f" and {len(found) - MOST_LISTED:,} more" if len(found) > MOST_LISTED else ""
        raise ConfigError(
            f"{name}: {len(found):,} runs begin so: {', '.join(found[:MOST_LISTED])}{more}",
            "write more of the id",
        )
    meant = similar(name, [*NAMES, *ids])
    hint = f"did you mean {meant}? " if meant else ""
    raise ConfigError(
        f"{name}: there is no such run",
        f"{hint}name an id, the beginning of one, {LAST}, {PREVIOUS} or {SERVED}; `bitext history CONFIG`"
        " lists the runs",
    )
