"""`bitext gc`: removes what nothing needs any more."""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from bitext.components.shared.errors import ConfigError
from bitext.components.shared.files import tree_size
from bitext.pipeline import resolve
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.lineage import chain
from bitext.pipeline.lock import locked
from bitext.pipeline.records import Execution, Run, State, StoredArtifact, pushed_artifact
from bitext.pipeline.store import Store
from bitext.pipeline.store import exists as store_exists

STAGING = ".staging"


@dataclasses.dataclass(frozen=True)
class Collected:
    """What was removed, or would be.

    Attributes:
      artifacts: output folders.
      attempts: what interrupted attempts left that no run would go on with.
      logs: of runs older than those kept.
      size: bytes of all of them.
      kept: how many output folders stay.
    """

    artifacts: list[Path]
    attempts: list[Path]
    logs: list[Path]
    size: int
    kept: int


def collect(config: PipelineConfig, keep: int, dry_run: bool = False, wait: float = 0.0) -> Collected:
    """Removes the outputs of earlier runs.

    Kept are what the newest `keep` complete runs, and every run since, made, or took from the cache, or were
    given; and the model now served with all it was made from, down to the examples. So the next run finds in
    the cache all that it would have found.

    A folder is taken away by one rename before it is deleted: whatever kills this, no output is torn.

    Args:
      config: of the pipeline.
      keep: how many complete runs, at least one.
      dry_run: remove nothing.
      wait: for how many seconds a run that is under way is waited for.

    Raises:
      ConfigError: `keep` is not positive.
      LockedError: a run is under way.
      EnvironmentFault: the metadata store fails.
    """
    if keep < 1:
        raise ConfigError(f"--keep {keep}: at least one run must be kept", "give a positive number")
    root = Path(config.root)
    if not store_exists(config.metadata, root):
        return Collected([], [], [], 0, 0)
    with locked(root, wait):
        store = Store(config.metadata, root, config.name)
        store.delete_orphans()
        history, runs = store.executions(), store.runs()
        recent = _recent(runs, keep)
        needed = {artifact.id for artifact in _needed(history, recent, config.serving)}
        every = {a.id: a for e in history for a in e.all_outputs() if Path(a.uri).is_dir()}
        useless = [artifact for id_, artifact in sorted(every.items()) if id_ not in needed]
        attempts = _attempts(root, history, recent)
        old = {run.run_id for run in runs} - recent
        logs = [path for path in sorted((root / "logs").glob("*.log")) if path.stem in old]
        folders = [Path(artifact.uri) for artifact in useless]
        size = sum(tree_size(path) for path in (*folders, *attempts, *logs))
        if not dry_run:
            _remove(root, (*folders, *attempts, *logs))
            store.mark_deleted(useless)
    return Collected(folders, attempts, logs, size, len(every) - len(useless))


def _recent(runs: Sequence[Run], keep: int) -> set[str]:
    """The newest runs up to the `keep`th complete one; `runs` are newest first."""
    found, complete = set(), 0
    for run in runs:
        if complete == keep:
            break
        found.add(run.run_id)
        complete += run.state == State.COMPLETE
    return found


def _needed(history: Sequence[Execution], recent: set[str], serving: str) -> Iterable[StoredArtifact]:
    """What recent runs made, took or were given, and the lineage of what is served."""
    kept = [execution for execution in history if execution.run_id in recent]
    served = next((e for e in history if e.state == State.COMPLETE and pushed_artifact(e)), None)
    if served is not None:
        kept += chain(history, served)
    for execution in kept:
        yield from execution.all_outputs()
        yield from itertools.chain.from_iterable(execution.inputs.values())
    yield from resolve.served_model(history, serving)


def _attempts(root: Path, history: Sequence[Execution], recent: set[str]) -> list[Path]:
    """Working folders of attempts that belong to no recent run."""
    keys = {execution.cache_key for execution in history if execution.run_id in recent}
    return [folder for folder in sorted((root / ".working").glob("*/*")) if folder.name not in keys]


def _remove(root: Path, paths: Iterable[Path]) -> None:
    """Each by one rename into the staging folder, which the next run clears if this one is killed."""
    staging = root / STAGING / f"gc-{os.getpid()}"
    staging.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(paths):
        gone = staging / str(number)
        path.rename(gone)
        if gone.is_dir():
            shutil.rmtree(gone)
        else:
            gone.unlink()
    shutil.rmtree(staging)


def render(collected: Collected, dry_run: bool) -> str:
    """What was done, for a person."""
    paths = (*collected.artifacts, *collected.attempts, *collected.logs)
    what = (
        f"{'would remove' if dry_run else 'removed'} {len(collected.artifacts)} outputs, "
        f"{len(collected.attempts)} unfinished attempts and {len(collected.logs)} logs, "
        f"{collected.size / 1e6:,.1f} MB; {collected.kept} outputs stay"
    )
    return "\n".join([*map(str, paths), what])
