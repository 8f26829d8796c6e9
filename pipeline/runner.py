"""Runs a pipeline: for each node in order, resolve -> cache lookup -> execute in staging -> publish.

Folders below the pipeline root::

    <node>/<output key>/<execution id>/        published artifacts
    .staging/<run id>/<node>/                  outputs of the attempt under way, and its temporary files
    .working/<node>/<cache key>/               what an interrupted attempt leaves for the next (checkpoints)
    .unrecorded/<run id>/...                   outputs found that the metadata knows nothing of
    logs/<run id>.log

Nothing half-done is visible. An execution is on record as RUNNING before it starts; its outputs are
published by one rename each, followed by one metadata transaction that declares it COMPLETE. What a crash
leaves between belongs to an execution that is not COMPLETE, and the next run clears it.
"""

from __future__ import annotations

import dataclasses
import datetime
import errno
import json
import os
import re
import secrets
import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from components.artifacts import Artifact
from components.component import Context, load_function
from components.errors import BitextError, ConfigError, EnvironmentFault, NotBlessedError
from pipeline import cache, metadata, reports
from pipeline.beam import raised_in_beam
from pipeline.graph import LatestBlessedModel, Node, Pipeline
from pipeline.lock import locked
from pipeline.metadata import Execution, Run, Store, StoredArtifact
from pipeline.terminal import Terminal, imports_quietly, log, logging_to

if TYPE_CHECKING:
    import apache_beam

_ENVIRONMENT_FAULTS = {
    errno.ENOSPC: "Free space there, or move `root` to another disk, and run again: finished nodes are kept.",
    errno.EDQUOT: "Free some of your quota, or move `root`, and run again: finished nodes are kept.",
    errno.EFBIG: "Raise the limit of a file's size (`ulimit -f`), or move `root`, and run again.",
    errno.EROFS: "Make it writable, or choose another folder (`root`, `serving`).",
    errno.EACCES: "Give this user the right to it, or choose another folder (`root`, `serving`).",
    errno.EPERM: "Give this user the right to it, or choose another folder (`root`, `serving`).",
}
_REFUSALS = {
    "ModelBlessing": ("blessed", "Train longer or on more data, or change the thresholds in `evaluator`."),
    "InfraBlessing": ("infra-blessed", "Its export does not serve as it was trained: see the log."),
}


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which nodes run.

    Attributes:
      first: nodes before it are taken from their newest completed execution. None: the first node.
      last: nodes after it do not run. None: the last node.
      force: nodes that run although cached.
      explain: say for every node why it runs or does not.
    """

    first: str | None = None
    last: str | None = None
    force: frozenset[str] = frozenset()
    explain: bool = False


@dataclasses.dataclass
class Result:
    """What a run came to: its record, and its executions by node."""

    run: Run
    executions: dict[str, Execution]
    seconds: float

    def artifact(self, type_name: str) -> StoredArtifact | None:
        """The run's artifact of a kind, if the run has it."""
        found = (a for e in self.executions.values() for a in e.outputs.values() if a.type == type_name)
        return next(found, None)


@dataclasses.dataclass
class Work:
    """One node to be done in one run: what the phases hand on."""

    node: Node
    inputs: dict[str, StoredArtifact | None]
    parts: cache.Parts
    cache_key: str


class Runner:
    """Runs one pipeline in one root.

    Args:
      pipeline: the nodes, in order.
      root: the pipeline root.
      store: opens the metadata store; called once the root is locked.
      beam_pipeline: makes the Beam pipeline for components.
      terminal: where progress is told.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        root: Path,
        store: Callable[[], Store],
        beam_pipeline: Callable[[], apache_beam.Pipeline],
        terminal: Terminal,
    ):
        self._pipeline, self._root = pipeline, root
        self._open_store, self._beam_pipeline, self._terminal = store, beam_pipeline, terminal
        self._run_id = f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"
        self.log_file = root / "logs" / f"{self._run_id}.log"

    def run(self, selection: Selection = Selection(), wait: float = 0.0) -> Result:
        """Runs the selected nodes. Blessings are not judged here: see `check_blessed`.

        Args:
          selection: which nodes.
          wait: for how many seconds another run in the root is waited for; `math.inf`: as long as it takes.

        Raises:
          ConfigError: if the selection names no node, or an earlier output it needs does not exist.
          LockedError: if another run is under way in the root.
          EnvironmentFault: if the disk, the folders or the metadata store fail.
          BitextError, or any exception: what a component raised. It is on record, traceback and all.
        """
        chosen = self._chosen(selection)
        if self._root.exists() and not self._root.is_dir():
            raise ConfigError(f"root {self._root} is not a folder", "Choose another with `root` or --root.")
        held = locked(self._root, wait, self._terminal.header)
        with _in_our_terms(self._root), held as left, logging_to(self.log_file):
            if left:
                self._terminal.header(left)
            self._store = self._open_store()
            started = time.time()
            history = self._store.executions()
            self._clear_leftovers(history)
            run = Run(self._run_id, self._pipeline.name, str(self._root.resolve()), metadata.RUNNING, started)
            self._store.put_run(run)
            self._terminal.begun(self._run_id, self._pipeline.name, self._root)
            try:
                executions = self._run_nodes(run, chosen, selection, history)
            except BaseException as error:
                self._end(run, _state_after(error), error)
                raise
            self._end(run, metadata.COMPLETE, None)
            return Result(run, executions, run.finished - started)

    def _chosen(self, selection: Selection) -> dict[str, bool]:
        """Nodes up to the last selected one: whether each may run, or must be taken as it is."""
        names = [node.name for node in self._pipeline.nodes]
        for name in (selection.first, selection.last, *sorted(selection.force)):
            if name is not None and name not in names:
                raise ConfigError(f"there is no node {name}", f"The nodes are {', '.join(names)}.")
        first = names.index(selection.first) if selection.first else 0
        last = names.index(selection.last) if selection.last else len(names) - 1
        if first > last:
            raise ConfigError(
                f"--from {selection.first} comes after --to {selection.last}",
                f"The order is {', '.join(names)}.",
            )
        for name in sorted(selection.force):
            if not first <= names.index(name) <= last:
                raise ConfigError(
                    f"--force {name} is outside --from and --to", "Widen the range or drop --force."
                )
        return {name: index >= first for index, name in enumerate(names[: last + 1])}

    def _run_nodes(
        self, run: Run, chosen: dict[str, bool], selection: Selection, history: list[Execution]
    ) -> dict[str, Execution]:
        nodes = [node for node in self._pipeline.nodes if node.name in chosen]
        for node in nodes:
            if chosen[node.name]:  # a file missed at the end of the line is told before hours of training
                cache.check_external(node.component, node.parameters)
        done: dict[str, Execution] = {}
        for node in nodes:
            if not chosen[node.name]:
                done[node.name] = self._take(node, history, run)
                continue
            started = time.time()
            work = self._resolve(node, done, history)
            hit, reasons = self._look_up(work, history, forced=node.name in selection.force)
            if hit is not None:
                self._terminal.skipped(node.name, "cached")
                done[node.name] = self._record_cached(work, hit, run, started)
            else:
                self._terminal.started(node.name)
            if selection.explain:
                for reason in reasons:
                    self._terminal.because(node.name, reason)
            if hit is None:
                done[node.name] = self._execute_and_publish(work, run)
        return done

    # Resolve.

    def _resolve(self, node: Node, done: dict[str, Execution], history: list[Execution]) -> Work:
        """Finds the artifacts a node's inputs stand for, and the cache key that follows from them."""
        inputs: dict[str, StoredArtifact | None] = {}
        for key, source in node.inputs.items():
            if not isinstance(source, LatestBlessedModel):
                inputs[key] = done[source.node].outputs[source.key]
        for key, source in node.inputs.items():
            if isinstance(source, LatestBlessedModel):
                candidate = inputs["model"]
                inputs[key] = metadata.latest_blessed_model(history, candidate.digest if candidate else "")
        parts = cache.key_parts(node.component, node.parameters, _input_digests(node, inputs))
        return Work(node, inputs, parts, cache.key_of(parts))

    def _take(self, node: Node, history: list[Execution], run: Run) -> Execution:
        """The newest completed outputs of a node that --from leaves out."""
        newest = metadata.newest_of(history, node.name)
        if newest is None or _missing(newest):
            raise ConfigError(
                f"--from starts after {node.name}, and no earlier run's outputs of it are there",
                f"Start from {node.name} or before: --from {node.name}.",
            )
        self._terminal.taken(node.name, newest.run_id)
        taken = dataclasses.replace(newest, id=None, run_id=run.run_id, state=metadata.CACHED)
        taken.started = taken.finished = time.time()
        self._store.put_execution(taken, run)
        return taken

    # Cache lookup.

    def _look_up(
        self, work: Work, history: list[Execution], forced: bool
    ) -> tuple[Execution | None, list[str]]:
        """A completed execution whose outputs can be used again, if there is one; and why, or why not."""
        name = work.node.name
        if forced:
            return None, ["--force names it"]
        hit = metadata.newest_with_key(history, name, work.cache_key)
        if hit is None:
            return None, _why_no_hit(
                work, [e for e in history if e.node == name and e.state == metadata.COMPLETE]
            )
        if gone := _missing(hit):
            return None, [f"{path} is gone" for path in gone]
        still_valid = work.node.component.still_valid
        if still_valid is not None and not load_function(still_valid)(
            **self._artifacts(work.node, hit.outputs)
        ):
            return None, ["what its outputs say of the world outside the pipeline root no longer holds"]
        return hit, [f"nothing changed since run {hit.run_id}"]

    def _artifacts(self, node: Node, stored: dict[str, StoredArtifact]) -> dict[str, Artifact]:
        kinds = {**node.component.inputs, **node.component.outputs}
        return {
            key: kinds[key](Path(a.uri), dict(a.properties), node.component.splits.get(key), a.digest or None)
            for key, a in stored.items()
        }

    def _record_cached(self, work: Work, hit: Execution, run: Run, started: float) -> Execution:
        execution = self._new_execution(work, run, metadata.CACHED)
        execution.outputs = hit.outputs
        execution.started, execution.finished = started, time.time()
        self._store.put_execution(execution, run)
        return execution

    def _new_execution(self, work: Work, run: Run, state: str) -> Execution:
        return Execution(
            node=work.node.name,
            run_id=run.run_id,
            state=state,
            started=time.time(),
            cache_key=work.cache_key,
            cache_key_parts=json.dumps(work.parts, sort_keys=True),
            inputs={key: artifact for key, artifact in work.inputs.items() if artifact},
        )

    # Execute in staging.

    def _execute_and_publish(self, work: Work, run: Run) -> Execution:
        execution = self._new_execution(work, run, metadata.RUNNING)
        self._store.put_execution(execution, run)
        try:
            outputs = self._execute(work)
            self._publish(work, execution, outputs, run)
        except BaseException as error:
            _remove(self._root / ".staging" / self._run_id)  # first: a full disk needs room for the record
            self._record_failure(execution, run, error)
            raise
        _remove(self._root / ".working" / work.node.name / work.cache_key)
        self._tidy()
        self._terminal.finished(execution.seconds)
        return execution

    def _execute(self, work: Work) -> dict[str, Artifact]:
        """Calls the component on staged output folders, and returns its outputs."""
        component = work.node.component
        staging = self._root / ".staging" / self._run_id / work.node.name
        working = self._root / ".working" / work.node.name / work.cache_key
        outputs = {key: kind(staging / key) for key, kind in component.outputs.items()}
        for folder in (*(artifact.path for artifact in outputs.values()), staging / ".tmp", working):
            folder.mkdir(parents=True, exist_ok=True)
        present = {key: artifact for key, artifact in work.inputs.items() if artifact}
        inputs: dict[str, Artifact | None] = dict.fromkeys(work.inputs)
        inputs |= self._artifacts(work.node, present)
        context = Context(
            working_dir=working,
            temp_dir=staging / ".tmp",
            beam_pipeline=self._beam_pipeline,
            say=self._terminal.say,
            interactive=self._terminal.interactive,
            run_id=self._run_id,
        )
        with imports_quietly():
            function = component.load()
        with _in_our_terms(self._root):
            function(work.node.parameters, context, **inputs, **outputs)
        return outputs

    # Publish.

    def _publish(self, work: Work, execution: Execution, outputs: dict[str, Artifact], run: Run) -> None:
        """Renames each output to its place, then declares the execution complete in one transaction."""
        published: dict[str, StoredArtifact] = {}
        for key, artifact in outputs.items():
            digest = cache.content_digest(artifact.path)
            final = self._root / work.node.name / key / str(execution.id)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.rename(artifact.path, final)
            published[key] = StoredArtifact(
                artifact.TYPE_NAME, str(final.resolve()), digest, dict(artifact.properties)
            )
        execution.outputs = published
        execution.finished, execution.state = time.time(), metadata.COMPLETE
        self._store.put_execution(execution, run)

    # Failures, and what they leave.

    def _record_failure(self, execution: Execution, run: Run, error: BaseException) -> None:
        def record() -> None:
            if self._store.is_complete(execution):  # interrupted just after its transaction
                return
            execution.state, execution.outputs = _state_after(error), {}
            execution.finished = time.time()
            execution.error = _one_line(error)
            execution.traceback = "".join(traceback.format_exception(error))
            self._store.put_execution(execution, run)

        self._try_to_record(record)

    def _end(self, run: Run, state: str, error: BaseException | None) -> None:
        run.state, run.finished = state, time.time()
        if error is not None:
            run.error = _one_line(error)
            log.error("run %s: %s", state, "".join(traceback.format_exception(error)))
            self._try_to_record(lambda: self._store.put_run(run))
        else:
            self._store.put_run(run)
        _remove(self._root / ".staging" / self._run_id)
        self._tidy()

    def _try_to_record(self, record: Callable[[], None]) -> None:
        """Records a failure. Where the store fails too (one full disk), the first failure is told."""
        try:
            record()
        except EnvironmentFault as fault:
            log.error("the failure could not be recorded: %s", fault)

    def _clear_leftovers(self, history: list[Execution]) -> None:
        """Ends the records and clears the folders that killed runs left. The root is locked: none is live."""
        here = str(self._root.resolve())
        killed = [r for r in self._store.runs() if r.state == metadata.RUNNING and r.root == here]
        ours = {run.run_id: run for run in killed}
        for execution in history:
            if execution.state == metadata.RUNNING and execution.run_id in ours:
                execution.state, execution.error = metadata.CANCELED, "the process ended before the node did"
                execution.finished = execution.started
                execution.outputs = {}
                self._store.put_execution(execution, ours[execution.run_id])
        for run in killed:
            run.state, run.error, run.finished = (
                metadata.CANCELED,
                "the process ended before the run did",
                run.started,
            )
            self._store.put_run(run)
        _remove(self._root / ".staging")
        self._tidy()
        self._clear_unpublished()

    def _tidy(self) -> None:
        """Removes what is empty of `.working` and `.staging`; what an attempt left for the next stays."""
        working = self._root / ".working"
        for folder in (*working.glob("*/*"), *working.glob("*"), working, self._root / ".staging"):
            with suppress(OSError):  # not empty, or not there
                folder.rmdir()

    def _clear_unpublished(self) -> None:
        """Removes output folders of executions that never completed; sets aside those nobody has heard of."""
        folders = {
            folder: (node.name, int(folder.name))
            for node in self._pipeline.nodes
            for key in node.component.outputs
            for folder in sorted((self._root / node.name / key).glob("*"))
            if folder.name.isdecimal()
        }
        ids = {number for _, number in folders.values()}
        states = self._store.execution_states(ids, str(self._root.resolve())) if ids else {}
        for folder, owner in folders.items():
            if owner not in states:
                aside = self._root / ".unrecorded" / self._run_id / folder.relative_to(self._root)
                aside.parent.mkdir(parents=True, exist_ok=True)
                os.rename(folder, aside)
                self._terminal.header(f"{folder} is in no metadata record; moved to {aside}")
            elif states[owner] != metadata.COMPLETE:
                log.info("clearing %s, which its execution left unpublished", folder)
                _remove(folder)


def check_blessed(result: Result) -> None:
    """Raises NotBlessedError, with the reasons, if the run's model was refused."""
    for kind, (blessed, remedy) in _REFUSALS.items():
        artifact = result.artifact(kind)
        if artifact is not None and artifact.properties.get("blessed") == 0:
            raise NotBlessedError(
                f"the model was not {blessed}: {'; '.join(reports.refusal(Path(artifact.uri)))}",
                f"Nothing was pushed. {remedy}",
            )


def _why_no_hit(work: Work, earlier: list[Execution]) -> list[str]:
    """What sets the key apart from that of the node's newest completed execution."""
    if not earlier:
        return ["it has never completed before"]
    return cache.differences(json.loads(earlier[0].cache_key_parts), work.parts)


def _input_digests(node: Node, inputs: dict[str, StoredArtifact | None]) -> dict[str, str | None]:
    """The content of each input by name, or of each split of it where only some are read."""
    digests: dict[str, str | None] = {}
    for key, artifact in sorted(inputs.items()):
        splits = node.component.splits.get(key)
        if artifact is None or splits is None:
            digests[key] = artifact.digest if artifact else None
            continue
        folder = Artifact(Path(artifact.uri))
        digests |= {f"{key}/{name}": cache.content_digest(folder.split(name)) for name in splits}
    return digests


def _missing(execution: Execution) -> list[str]:
    """Output folders that are no longer there."""
    return [artifact.uri for artifact in execution.outputs.values() if not Path(artifact.uri).is_dir()]


def _state_after(error: BaseException) -> str:
    return metadata.CANCELED if isinstance(error, KeyboardInterrupt) else metadata.FAILED


def _one_line(error: BaseException) -> str:
    return " ".join(
        f"{'' if isinstance(error, BitextError) else type(error).__name__ + ': '}{error}".split()
    )[:2000]


def _remove(folder: Path) -> None:
    """Removes a folder that may not be there. What cannot be removed is logged, and stays."""
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except OSError as error:
        log.warning("%s cannot be removed: %s", folder, error)


@contextmanager
def _in_our_terms(root: Path) -> Iterator[None]:
    """Turns a full disk, a read-only or forbidden folder into an EnvironmentFault, wherever it was met.

    An error that a Beam function raised is told as it was raised, without Beam's wrapping.
    """
    try:
        yield
    except Exception as error:
        if own := raised_in_beam(error):
            raise own from error
        if isinstance(error, BitextError):
            raise
        if fault := environment_fault(error, root):
            raise fault from error
        raise


def environment_fault(error: BaseException, root: Path) -> EnvironmentFault | None:
    """The fault of the machine behind an exception, if that is what it is.

    Beam and TensorFlow hand a system error on as text, so the text is searched as well.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError) and seen.errno in _ENVIRONMENT_FAULTS:
            return _fault(seen.errno, str(seen.filename or root))
        seen = seen.__cause__ or seen.__context__
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        if os.strerror(number) in str(error):
            named = re.search(rf"{os.strerror(number)}: '([^']+)'", str(error))
            return _fault(number, named[1] if named else str(root))
    return None


def _fault(number: int, path: str) -> EnvironmentFault:
    return EnvironmentFault(f"{path}: {os.strerror(number)}", _ENVIRONMENT_FAULTS[number])
