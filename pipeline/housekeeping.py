"""The work of `bitext gc`: removes outputs, attempts, logs and reports that are no longer needed."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bitext.components.artifacts import ModelRun
from bitext.components.shared import storage
from bitext.components.shared.errors import ConfigError
from bitext.components.shared.files import tree_size
from bitext.components.shared.storage import is_remote
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.layout import Layout, remove
from bitext.pipeline.lock import in_use
from bitext.pipeline.opening import open_store
from bitext.pipeline.records import (
    ROLLBACK,
    History,
    Run,
    State,
    StoredArtifact,
    made_in,
    pushed_artifact,
)
from bitext.pipeline.reports.lineage import chain
from bitext.pipeline.sources import served_model
from bitext.pipeline.store import exists as store_exists
from bitext.pipeline.tuning.trials import losers

_STAGING_PREFIX = "gc-"
"""How the folders begin that `gc` moves outputs to before it deletes them."""


@dataclasses.dataclass(frozen=True)
class Collected:
    """What was removed, or would be removed.

    Attributes:
      artifacts: output folders.
      attempts: folders of unfinished attempts that no run would continue.
      logs: logs, configurations and reports of older runs, the folders of files that their errors name, and
        logs of trainings for TensorBoard whose ModelRun is removed.
      size: the size of all of them, in bytes.
      remaining: number of output folders that stay.
      dry_run: whether nothing was removed.
    """

    artifacts: list[Path]
    attempts: list[Path]
    logs: list[Path]
    size: int
    remaining: int
    dry_run: bool

    @property
    def paths(self) -> tuple[Path, ...]:
        """All paths, in the order of removal."""
        return (*self.artifacts, *self.attempts, *self.logs)


def collect(
    config: PipelineConfig,
    keep: int,
    dry_run: bool = False,
    wait: float = 0.0,
    say: Callable[[str], None] = print,
) -> Collected:
    """Removes outputs of earlier runs.

    These outputs stay, so that the next run finds the same outputs in the cache as before:

    * inputs and outputs, new or cached, of the newest `keep` passes through the pipeline and of all runs
      since the oldest of them (see `_recent`);
    * the served model with its lineage, down to the examples, and all outputs of the run that pushed it;
    * of the trials of a complete tuning, the best one, and the records of all trainings.

    A folder is moved by one rename before it is deleted: if the process is killed, no output is half deleted,
    and the next call records those that were.

    Args:
      config: the configuration of the pipeline.
      keep: number of passes through the pipeline to keep, at least one.
      dry_run: whether nothing is removed.
      wait: seconds to wait for a run in progress to end.
      say: prints one line.

    Raises:
      ConfigError: `keep` is not positive.
      LockedError: a run is in progress.
      EnvironmentFault: the metadata store fails.
    """
    if keep < 1:
        raise ConfigError(f"--keep {keep}: at least one run must be kept", "give a positive number")
    layout = Layout.of(config)
    if not store_exists(config.metadata, layout.root):
        return Collected([], [], [], 0, 0, dry_run)
    with in_use(layout, wait):
        store = open_store(config, layout, say)
        history, runs = store.executions(), store.runs()
        recent = _recent(history, [run for run in runs if run.root_id in ("", layout.read_id())], keep)
        needed = {artifact.id for artifact in _needed(history, recent, config.serving)}
        made_here = made_in(history, runs, layout.read_id())
        existing = {id_: artifact for id_, artifact in made_here.items() if artifact.exists}
        unneeded = [artifact for id_, artifact in sorted(existing.items()) if id_ not in needed]
        unneeded += _half_deleted(made_here.values())
        removed_before = [a for a in made_here.values() if not a.exists and not a.deleted]
        remaining = [artifact for id_, artifact in existing.items() if id_ in needed]
        attempts = _attempts(layout, history, recent)
        logs = _logs(layout, {run.run_id for run in runs} - recent, remaining, attempts)
        folders = [artifact.path for artifact in unneeded]
        collected = Collected(folders, attempts, logs, 0, len(remaining), dry_run)
        collected = dataclasses.replace(collected, size=sum(map(tree_size, collected.paths)))
        if not dry_run:
            for interrupted in layout.staging.glob(f"{_STAGING_PREFIX}*"):
                remove(interrupted)
            if layout.remote is not None:
                store.mark_deleted(unneeded)  # first: its files are removed one by one
            _remove(layout, collected.paths)
            store.mark_deleted([*unneeded, *removed_before])
    return collected


def _half_deleted(artifacts: Iterable[StoredArtifact]) -> list[StoredArtifact]:
    """The remote artifacts that an earlier call was killed while it deleted."""
    return [a for a in artifacts if a.deleted and is_remote(a.uri) and a.path.is_dir()]


def _recent(history: History, runs: Sequence[Run], keep: int) -> set[str]:
    """The ids of the newest runs that make up `keep` passes through the pipeline.

    A pass is a run of all nodes, or consecutive runs that complete all nodes together: a scheduler may run
    each node by itself, and a failed run may have completed only some. Nodes before `--from` do not count.
    A rollback completes no node.

    Args:
      history: see `History`.
      runs: newest first.
      keep: number of passes.
    """
    completed: dict[str, set[str]] = {}
    for execution in history:
        if execution.state in (State.COMPLETE, State.CACHED) and not execution.part:
            completed.setdefault(execution.run_id, set()).add(execution.node)
    own = {run.run_id: _own_nodes(run, completed.get(run.run_id, set())) for run in runs}
    pipeline = next((run.nodes.split(", ") for run in runs if run.nodes and not run.is_tuning), None)
    ever = set[str]().union(*own.values())
    wanted = ever if pipeline is None else ever.intersection(pipeline)
    recent, missing, passes = set[str](), set(wanted), 0
    for run in runs:
        if passes == keep:
            break
        recent.add(run.run_id)
        missing -= own[run.run_id]
        if not missing and wanted:
            missing, passes = set(wanted), passes + 1
    return recent


def _own_nodes(run: Run, completed: set[str]) -> set[str]:
    """The nodes that a run completed itself: none if it is a tuning, which is no pass through the pipeline.

    bitext 0.2.0 did not record which nodes a run has.
    """
    if run.is_tuning:
        return set()
    return completed.intersection(run.own_nodes()) if run.nodes else completed - {ROLLBACK}


def _needed(history: History, recent: set[str], serving: str) -> Iterable[StoredArtifact]:
    """Yields inputs and outputs of recent runs and of the run that pushed the served model; its lineage."""
    served = served_model(history, serving)
    last_push = next((e for e in history if e.state == State.COMPLETE and pushed_artifact(e)), None)
    pushes = [e for e in history if pushed_artifact(e) and e.inputs.get("model", ()) == served != ()]
    kept = recent.union(push.run_id for push in pushes)
    lost = losers(history)
    executions = [execution for execution in history if execution.run_id in kept and execution.id not in lost]
    if last_push is not None:
        executions += chain(history, last_push)
    for execution in executions:
        yield from itertools.chain(execution.all_outputs(), execution.all_inputs())
    yield from served


def _attempts(layout: Layout, history: History, recent: set[str]) -> list[Path]:
    """Working folders of attempts that belong to no recent run."""
    keys = {execution.cache_key for execution in history if execution.run_id in recent}
    return [folder for folder in layout.all_working() if folder.name not in keys]


def _logs(
    layout: Layout, old: set[str], remaining: Iterable[StoredArtifact], removed_attempts: Iterable[Path]
) -> list[Path]:
    """Logs, configurations and reports of old runs, files that their errors name, and damaged outputs.

    Also logs of trainings for TensorBoard that neither a remaining ModelRun nor a remaining attempt names.
    """
    paths = (*layout.logs.glob("*"), *layout.reports.glob("*.html"), *layout.all_damaged())
    of_old_runs = [path for path in sorted(paths, key=str) if path.name in old or path.stem in old]
    attempts = set(layout.all_working()).difference(removed_attempts)
    names = {ModelRun(folder).log_name for folder in attempts}
    names |= {str(artifact.properties.get(ModelRun.LOG_PROPERTY)) for artifact in remaining}
    return [*of_old_runs, *(folder for folder in layout.all_tensorboard() if folder.name not in names)]


def _remove(layout: Layout, paths: Iterable[Path]) -> None:
    """Moves each path to the staging folder, which the next run or `gc` clears if this process is killed."""
    staging = layout.staging / f"{_STAGING_PREFIX}{os.getpid()}"
    staging.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        if is_remote(path):  # a store deletes file by file
            storage.remove(path)
            continue
        moved = staging / str(number)
        path.rename(moved)
        if moved.is_dir():
            shutil.rmtree(moved)
        else:
            moved.unlink()
    shutil.rmtree(staging)


def render(collected: Collected) -> str:
    """Returns the result as text: each path, and the totals."""
    totals = (
        f"{'would remove' if collected.dry_run else 'removed'} outputs: {len(collected.artifacts)}, "
        f"unfinished attempts: {len(collected.attempts)}, logs and reports: {len(collected.logs)}, "
        f"{collected.size / 1e6:,.1f} MB; outputs that stay: {collected.remaining}"
    )
    return "\n".join([*map(str, collected.paths), totals])
