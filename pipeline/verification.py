"""The work of `bitext verify`: compares all that is kept with its recorded digests."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bitext.components.artifacts import Artifact, PushedModel, ServedVersion
from bitext.components.pusher.serving import newest_version, versions
from bitext.components.pusher.serving import problem_of as problem_of_version
from bitext.components.shared import storage
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.identity import known_id
from bitext.pipeline.integrity import problem_of
from bitext.pipeline.layout import Layout
from bitext.pipeline.lock import in_use
from bitext.pipeline.records import ROLLBACK, TUNER, History, State, StoredArtifact, made_in
from bitext.pipeline.store import Store
from bitext.pipeline.store import exists as store_exists


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something that is not as recorded.

    Attributes:
      path: the folder or file.
      problem: what is wrong with it, beginning with a verb.
      remedy: what to do.
    """

    path: str
    problem: str
    remedy: str


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of a verification.

    Attributes:
      artifacts: number of outputs in the pipeline root that were compared.
      versions: number of versions in the serving folder that were compared.
      problems: what is not as recorded.
    """

    artifacts: int
    versions: int
    problems: list[Problem]


def collect(config: PipelineConfig, serving_only: bool = False, wait: float = 0.0) -> Report:
    """Compares outputs and served versions with what is recorded. Changes nothing.

    Opening the metadata store checks that it is intact.

    Args:
      config: the configuration of the pipeline.
      serving_only: whether only the serving folder is checked.
      wait: seconds to wait for a run in progress to end.

    Raises:
      LockedError: a run is in progress.
      DataError: the metadata store is damaged, or missing although there are outputs.
      EnvironmentFault: the metadata store fails.
    """
    problems: list[Problem] = []
    artifacts = pushed = 0
    if not serving_only and store_exists(config.metadata, Path(config.work_folder)):
        layout = Layout.of(config)
        with in_use(layout, wait):
            store = Store(config.metadata, layout.root, config.name)  # waits for a locked file
            history = store.executions()
            root_id = known_id(layout, store)
            if not layout.has_id():
                remedy = "run again: `bitext run CONFIG` writes it again"
                problems.append(Problem(str(layout.id_file), "is missing or damaged", remedy))
            made_here = made_in(history, store.runs(), root_id)
            found = list(_artifact_problems(made_here.values(), history))
            pushed = _pushed_version(made_here.values())
        artifacts = len(found)
        problems += [problem for problem in found if problem is not None]
    serving = storage.path(config.serving)
    served = sorted(versions(serving)) if serving.is_dir() else []
    if pushed > max(served, default=0):
        remedy = "`bitext run CONFIG` pushes the model again"
        problems.append(
            Problem(str(serving.absolute() / str(pushed)), "is missing: it was pushed last", remedy)
        )
    for number in served:
        problems += _version_problems(ServedVersion(serving.absolute() / str(number)), serving)
    return Report(artifacts, len(served), problems)


def _pushed_version(artifacts: Iterable[StoredArtifact]) -> int:
    """The highest version that a push or a rollback in this root made; 0: there is none."""
    records = [a.properties for a in artifacts if a.type == PushedModel.TYPE_NAME]
    pushed = (record.get("version", 0) for record in records if record.get(PushedModel.PUSHED_PROPERTY) == 1)
    return max(map(int, pushed), default=0)


def _artifact_problems(artifacts: Iterable[StoredArtifact], history: History) -> Iterator[Problem | None]:
    """Yields the problem of each output in this root that should exist; None: it has none."""
    newest = dict[str, set[int | None]]()
    for execution in history:
        if execution.state in (State.COMPLETE, State.CACHED) and not execution.part:
            newest.setdefault(execution.node, {artifact.id for artifact in execution.all_outputs()})
    current = set().union(*newest.values())
    for artifact in artifacts:
        if artifact.deleted:
            continue
        problem = problem_of(artifact)
        if not problem:
            yield None
        elif (node := Artifact(artifact.path).node) == ROLLBACK:
            yield Problem(artifact.uri, problem, "restore it from a copy; only reports read it")
        elif node == TUNER:
            yield Problem(artifact.uri, problem, "delete it; the same `bitext tune` command writes it again")
        elif artifact.id in current:
            yield Problem(artifact.uri, problem, f"make it again: `bitext run CONFIG --force {node}`")
        else:
            remedy = "restore it from a copy, or remove what no model needs: `bitext gc CONFIG --keep 1`"
            yield Problem(artifact.uri, f"{problem} (it is of an earlier run)", remedy)


def _version_problems(version: ServedVersion, serving: Path) -> Iterator[Problem]:
    """Yields the problem of a served version. One without metadata was not pushed by bitext."""
    is_newest = version.path.name == newest_version(serving).path.name
    remedy = (
        "`bitext run CONFIG` pushes the model again, as the next version, or says what to do if it may not"
        if is_newest
        else "restore the folder from a copy, or move it elsewhere: a rollback cannot use it"
    )
    metadata = version.metadata()
    if is_newest and metadata is not None and metadata.rolled_back_to is not None and metadata.withdrawn:
        reason = list(metadata.withdrawn.values())[-1].reason
        remedy = f"`bitext rollback CONFIG --reason {shlex.quote(reason)}` publishes the model again"
    if problem := problem_of_version(version):
        yield Problem(str(version.path), problem, remedy)


def to_json(report: Report) -> dict[str, Any]:
    """Returns the report as an object that JSON can hold."""
    return dataclasses.asdict(report)


def render(report: Report) -> str:
    """Returns the report as text."""
    lines = []
    for problem in report.problems:
        lines += [f"{problem.path} {problem.problem}", f"    what to do: {problem.remedy}"]
    totals = f"{report.artifacts} outputs and {report.versions} served versions compared with their digests"
    count = len(report.problems)
    return "\n".join([*lines, f"{totals}; {f'{count} problems' if count != 1 else '1 problem'}"])
