"""Runs a pipeline: for each node in order, resolve -> cache lookup -> execute in staging -> publish.

Folders below the pipeline root::

    <node>/<output key>/<execution id>/        published artifacts
    .id                                        what the metadata knows the root by, wherever it is mounted
    .staging/<run id>/<node>/                  outputs of the attempt under way, and its temporary files
    .working/<node>/<cache key>/               what an interrupted attempt leaves for the next (checkpoints)
    .unrecorded/<run id>/...                   outputs found that the metadata knows nothing of
    logs/<run id>.log

A node whose work falls into parts (the spans of a corpus) has an execution for each part that is new, and
one that names the artifacts of all its parts in this run.

Nothing half-done is visible. An execution is on record as RUNNING before it starts; its outputs are
published by one rename each, followed by one metadata transaction that declares it COMPLETE. What a crash
leaves between belongs to an execution that is not COMPLETE, and the next run clears it.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import re
import shutil
import time
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from bitext.components.artifacts import Artifact
from bitext.components.component import Context, Parameters, Part
from bitext.components.shared import faults
from bitext.components.shared.errors import BitextError, ConfigError, EnvironmentFault, NotBlessedError
from bitext.pipeline import cache, reports, resolve
from bitext.pipeline.beam import raised_in_beam
from bitext.pipeline.graph import (
    NewestOutput,
    Node,
    Output,
    Pipeline,
    PreviousStatistics,
    ServedModel,
    Source,
)
from bitext.pipeline.lock import locked
from bitext.pipeline.records import (
    Artifacts,
    Execution,
    Run,
    State,
    StoredArtifact,
    new_run_id,
    newest_usable,
    with_key,
)
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import Terminal, log, logging_to

if TYPE_CHECKING:
    import apache_beam

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
      force_bless: why the model is blessed whatever its scores; the Evaluator then runs. None: it is judged.
    """

    first: str | None = None
    last: str | None = None
    force: frozenset[str] = frozenset()
    explain: bool = False
    force_bless: str | None = None


@dataclasses.dataclass
class Result:
    """What a run came to: its record, and the (whole) execution of each node."""

    run: Run
    executions: dict[str, Execution]
    seconds: float

    def artifact(self, type_name: str) -> StoredArtifact | None:
        """The run's artifact of a kind, if the run has it."""
        found = (a for e in self.executions.values() for a in e.all_outputs() if a.type == type_name)
        return next(found, None)


@dataclasses.dataclass
class Work:
    """A node to be done in one run, or a part of it: what the phases hand on.

    Attributes:
      part: its name; empty: the node does not work by parts.
      alone: whether it is all of the node's work.
      parameters: the node's, or those of the part.
    """

    node: Node
    part: str
    alone: bool
    parameters: Parameters
    inputs: Artifacts
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
        self._run_id = new_run_id()
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
            self._store.delete_orphans()
            self._force_bless = selection.force_bless
            started = time.time()
            history = self._store.executions()
            root = str(self._root.resolve())
            run = Run(self._run_id, self._pipeline.name, root, State.RUNNING, started)
            run.root_id = root_id(self._root)
            self._clear_leftovers(history, run)
            self._store.put_run(run)
            self._terminal.begun(self._run_id, self._pipeline.name, self._root)
            try:
                executions = self._run_nodes(run, chosen, selection, history)
            except BaseException as error:
                self._end(run, _state_after(error), error)
                raise
            self._end(run, State.COMPLETE, None)
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
        parts = {node.name: node.component.parts(node.parameters) for node in nodes if chosen[node.name]}
        for node in nodes:  # what the last one misses is told before hours of training
            for part in parts.get(node.name, ()):
                cache.check_external(node.component, part.parameters)
        done: dict[str, Execution] = {}
        for node in nodes:
            if not chosen[node.name]:
                done[node.name] = self._take(node, history, run)
                continue
            works = self._resolve(node, parts[node.name], done, history)
            if node.component.map_over is None and works[0].part:
                run.parts = ", ".join(work.part for work in works)
                self._store.put_run(run)
                self._terminal.header(f"{len(works)} parts of the corpus: {_first_and_last(works)}")
            done[node.name] = self._do(node, works, run, selection, history)
        return done

    def _do(
        self, node: Node, works: list[Work], run: Run, selection: Selection, history: list[Execution]
    ) -> Execution:
        """Takes a node's work from the cache, or does what of it is new."""
        started = time.time()
        forced = _forced(node, selection)
        found = [(work, *self._look_up(work, history, forced)) for work in works]
        new = [work for work, hit, _ in found if hit is None]
        if new:
            self._terminal.started(node.name)
            if len(new) < len(works):
                self._terminal.say(f"{len(works) - len(new)} of {len(works)} cached")
        else:
            self._terminal.skipped(node.name, "cached")
        executions = []
        for work, hit, reasons in found:
            for reason in reasons if selection.explain else ():
                self._terminal.because(node.name, f"{work.part}: {reason}" if work.part else reason)
            executions.append(hit or self._execute_and_publish(work, run))
        if len(new) == len(works) == 1 and works[0].alone:
            whole = executions[0]
        else:
            whole = self._record_whole(node, works, executions, run, started, cached=not new)
        if new:
            self._terminal.finished(time.time() - started)
        return whole

    # Resolve.

    def _resolve(
        self, node: Node, parts: list[Part], done: dict[str, Execution], history: list[Execution]
    ) -> list[Work]:
        """Finds the artifacts a node's inputs stand for, and the work they make, part by part."""
        component = node.component
        inputs: Artifacts = {}
        for key, source in sorted(node.inputs.items(), key=lambda item: not isinstance(item[1], Output)):
            inputs[key] = self._resolve_input(node, source, inputs, done, history)
        if component.map_over is None:
            return [self._work(node, part.name, len(parts) == 1, part.parameters, inputs) for part in parts]
        several = inputs[component.map_over]
        names = _part_names(several)
        return [
            self._work(
                node, name, len(several) == 1, node.parameters, inputs | {component.map_over: (artifact,)}
            )
            for name, artifact in zip(names, several, strict=True)
        ]

    def _resolve_input(
        self,
        node: Node,
        source: Source,
        inputs: Artifacts,
        done: dict[str, Execution],
        history: list[Execution],
    ) -> tuple[StoredArtifact, ...]:
        if isinstance(source, Output):
            return done[source.node].outputs[source.key]
        if isinstance(source, ServedModel):
            return resolve.served_model(history, source.serving, other_than=inputs["model"][0].digest)
        if isinstance(source, PreviousStatistics):
            return resolve.previous_statistics(history, source.node, inputs["statistics"])
        if isinstance(source, NewestOutput):
            return resolve.newest_output(history, node.name, source.key)

        parts = self._work(node, "", True, node.parameters, inputs).parts
        every = source.from_scratch_every
        return resolve.base_model(history, parts, node.name, source.serving, every)

    def _work(self, node: Node, part: str, alone: bool, parameters: Parameters, inputs: Artifacts) -> Work:
        parts = cache.key_parts(node.component, parameters, _input_digests(node, inputs))
        return Work(node, part, alone, parameters, inputs, parts, cache.key_of(parts))

    def _take(self, node: Node, history: list[Execution], run: Run) -> Execution:
        """The newest completed outputs of a node that --from leaves out."""
        newest = newest_usable(history, node.name)
        if newest is None or not set(node.component.outputs) <= set(newest.outputs):
            raise ConfigError(
                f"--from starts after {node.name}, and no earlier run's outputs of it are there",
                f"Start from {node.name} or before: --from {node.name}.",
            )
        self._terminal.taken(node.name, newest.run_id)
        taken = dataclasses.replace(newest, id=None, run_id=run.run_id, state=State.CACHED)
        taken.started = taken.finished = time.time()
        self._store.put_execution(taken, run)
        return taken

    # Cache lookup.

    def _look_up(
        self, work: Work, history: list[Execution], forced: str
    ) -> tuple[Execution | None, list[str]]:
        """A completed execution whose outputs can be used again, if there is one; and why, or why not."""
        name = work.node.name
        if forced:
            return None, [forced]
        done = with_key(history, name, work.cache_key)
        done = [execution for execution in done if set(work.node.component.outputs) <= set(execution.outputs)]
        hit = next((execution for execution in done if not _missing(execution)), None)
        if hit is None:
            return None, [f"{path} is gone" for path in _missing(done[0])] if done else _why_no_hit(
                work, history
            )
        if not work.node.component.still_valid(**self._artifacts(work.node, hit.outputs)):
            return None, ["what its outputs say of the world outside the pipeline root no longer holds"]
        return hit, [f"nothing changed since run {hit.run_id}"]

    def _artifacts(self, node: Node, stored: Artifacts) -> dict[str, Artifact | tuple[Artifact, ...] | None]:
        """As the component is given them: a tuple where it takes several, else one, or none."""
        component = node.component
        kinds = {**component.inputs, **component.outputs}
        made = {
            key: tuple(
                kinds[key](Path(a.uri), dict(a.properties), component.input_splits.get(key), a.digest or None)
                for a in several
            )
            for key, several in stored.items()
        }
        return {
            key: several if key in component.list_inputs else (several[0] if several else None)
            for key, several in made.items()
        }

    def _record_whole(
        self,
        node: Node,
        works: list[Work],
        executions: list[Execution],
        run: Run,
        started: float,
        cached: bool,
    ) -> Execution:
        """Records what a node has come to in this run: the artifacts of all its parts, in order."""
        key = works[0].cache_key if works[0].alone else ""
        state = State.CACHED if cached else State.COMPLETE
        execution = Execution(node.name, run.run_id, state, started, time.time(), cache_key=key)
        if works[0].alone:
            execution.inputs = {name: several for name, several in works[0].inputs.items() if several}
        for part in executions:
            for name, artifacts in part.outputs.items():
                execution.outputs[name] = (*execution.outputs.get(name, ()), *artifacts)
        self._store.put_execution(execution, run)
        return execution

    # Execute in staging.

    def _execute_and_publish(self, work: Work, run: Run) -> Execution:
        execution = Execution(
            node=work.node.name,
            run_id=run.run_id,
            state=State.RUNNING,
            started=time.time(),
            cache_key=work.cache_key,
            cache_key_parts=json.dumps(work.parts, sort_keys=True),
            inputs={key: several for key, several in work.inputs.items() if several},
            part="" if work.alone else work.part,
        )
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
        return execution

    def _execute(self, work: Work) -> dict[str, Artifact]:
        """Calls the component on staged output folders, and returns its outputs."""
        component = work.node.component
        staging = self._root / ".staging" / self._run_id / work.node.name
        working = self._root / ".working" / work.node.name / work.cache_key
        outputs = {key: kind(staging / key) for key, kind in component.outputs.items()}
        for folder in (*(artifact.path for artifact in outputs.values()), staging / ".tmp", working):
            folder.mkdir(parents=True, exist_ok=True)
        inputs = self._artifacts(work.node, {key: work.inputs.get(key, ()) for key in component.inputs})
        context = Context(
            working_dir=working,
            temp_dir=staging / ".tmp",
            beam_pipeline=self._beam_pipeline,
            say=self._saying(work.part),
            interactive=self._terminal.interactive,
            run_id=self._run_id,
            force_bless=self._force_bless,
        )
        with _in_our_terms(self._root):
            component.run(work.parameters, context, **inputs, **outputs)
        return outputs

    def _saying(self, part: str) -> Callable[[str], None]:
        """What a part says is told with its name before it."""
        say = self._terminal.say
        return (lambda text: say(f"{part}: {text}")) if part else say

    # Publish.

    def _publish(self, work: Work, execution: Execution, outputs: dict[str, Artifact], run: Run) -> None:
        """Renames each output to its place, then declares the execution complete in one transaction."""
        published: Artifacts = {}
        for key, artifact in outputs.items():
            digest = artifact.content_digest()
            of_splits = {name: artifact.split_digest(name) for name in artifact.splits()}
            final = self._root / work.node.name / key / str(execution.id)
            final.parent.mkdir(parents=True, exist_ok=True)
            os.rename(artifact.path, final)
            properties = dict(artifact.properties) | ({"part": work.part} if work.part else {})
            published[key] = (
                StoredArtifact(
                    artifact.TYPE_NAME, str(final.resolve()), digest, properties, split_digests=of_splits
                ),
            )
        execution.outputs = published
        execution.finished, execution.state = time.time(), State.COMPLETE
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

    def _end(self, run: Run, state: State, error: BaseException | None) -> None:
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

    def _clear_leftovers(self, history: list[Execution], now: Run) -> None:
        """Ends the records and clears the folders that killed runs left. The root is locked: none is live."""
        killed = [
            run for run in self._store.runs() if run.state == State.RUNNING and run.root_id == now.root_id
        ]
        ours = {run.run_id: run for run in killed}
        for execution in history:
            if execution.state == State.RUNNING and execution.run_id in ours:
                execution.state, execution.error = State.CANCELED, "the process ended before the node did"
                execution.finished = execution.started
                execution.outputs = {}
                self._store.put_execution(execution, ours[execution.run_id])
        for run in killed:
            run.state, run.error, run.finished = (
                State.CANCELED,
                "the process ended before the run did",
                run.started,
            )
            self._store.put_run(run)
        _remove(self._root / ".staging")
        for folder in (self._root / ".working").glob("*/*"):
            newest = next((e for e in history if (e.node, e.cache_key) == folder.parts[-2:]), None)
            if newest is not None and newest.state == State.COMPLETE:  # killed just after its transaction
                _remove(folder)
        self._tidy()
        self._clear_unpublished(now)

    def _tidy(self) -> None:
        """Removes what is empty of `.working` and `.staging`; what an attempt left for the next stays."""
        working = self._root / ".working"
        for folder in (*working.glob("*/*"), *working.glob("*"), working, self._root / ".staging"):
            with suppress(OSError):  # not empty, or not there
                folder.rmdir()

    def _clear_unpublished(self, now: Run) -> None:
        """Removes output folders of executions that never completed; sets aside those nobody has heard of."""
        folders = {
            folder: (node.name, int(folder.name))
            for node in self._pipeline.nodes
            for key in node.component.outputs
            for folder in sorted((self._root / node.name / key).glob("*"))
            if folder.name.isdecimal()
        }
        ids = {number for _, number in folders.values()}
        states = self._store.execution_states(ids, now.root_id) if ids else {}
        for folder, owner in folders.items():
            if owner not in states:
                aside = self._root / ".unrecorded" / self._run_id / folder.relative_to(self._root)
                aside.parent.mkdir(parents=True, exist_ok=True)
                os.rename(folder, aside)
                self._terminal.header(f"{folder} is in no metadata record; moved to {aside}")
            elif states[owner] != State.COMPLETE:
                log.info("clearing %s, which its execution left unpublished", folder)
                _remove(folder)


def check_blessed(result: Result) -> None:
    """Raises NotBlessedError, with the reasons, if the run's model was refused, or is withdrawn."""
    for kind, (blessed, remedy) in _REFUSALS.items():
        artifact = result.artifact(kind)
        if artifact is not None and artifact.properties.get("blessed") == 0:
            raise NotBlessedError(
                f"the model was not {blessed}: {'; '.join(reports.refusal(artifact))}",
                f"Nothing was pushed. {remedy}",
            )
    pushed = result.artifact("PushedModel")
    if pushed is not None and pushed.properties.get("pushed") == 0:
        record = reports.pushed(pushed)
        raise NotBlessedError(
            record.reason if record is not None else f"not pushed: see {pushed.uri}",
            "The model served before stays. Other data or settings train another model.",
        )


def root_id(root: Path) -> str:
    """What a root is known by in the metadata; given to it when it is first used."""
    path = root / ".id"
    try:
        return path.read_text(encoding="ascii")
    except FileNotFoundError:
        made = path.with_suffix(".new")
        made.write_text(uuid.uuid4().hex, encoding="ascii")
        made.rename(path)
        return path.read_text(encoding="ascii")


def _first_and_last(works: list[Work]) -> str:
    return works[0].part if len(works) == 1 else f"{works[0].part} to {works[-1].part}"


def _part_names(artifacts: Iterable[StoredArtifact]) -> list[str]:
    """What the parts are called in which a node works on these, one by one."""
    return [str(artifact.properties.get("part", "")) for artifact in artifacts]


def _forced(node: Node, selection: Selection) -> str:
    """Why a node runs although it is cached; empty: it need not."""
    if node.name in selection.force:
        return "--force names it"
    judges = any(kind.TYPE_NAME == "ModelBlessing" for kind in node.component.outputs.values())
    return "--force-bless is given" if judges and selection.force_bless is not None else ""


def _why_no_hit(work: Work, history: list[Execution]) -> list[str]:
    """What sets the key apart from that of the newest completed execution of the same work."""
    earlier = (
        execution
        for execution in history
        if execution.node == work.node.name
        and execution.state == State.COMPLETE
        and execution.cache_key_parts
        and execution.part == ("" if work.alone else work.part)
    )
    newest = next(earlier, None)
    if newest is None:
        return ["it has never completed before"]
    return cache.differences(json.loads(newest.cache_key_parts), work.parts)


def _input_digests(node: Node, inputs: Artifacts) -> dict[str, str | list[str] | None]:
    """The content of each input by name, or of each split of it where only some are read."""
    component = node.component
    digests: dict[str, str | list[str] | None] = {}
    for key, several in sorted(inputs.items()):
        if key in component.uncached_inputs:
            continue
        splits = component.input_splits.get(key) if several else None
        if splits is None:
            digests[key] = _one_or_list([a.digest for a in several], key in component.list_inputs)
            continue
        for name in splits:
            found = [_split_digest(artifact, name) for artifact in several]
            digests[f"{key}/{name}"] = _one_or_list(found, key in component.list_inputs)
    return digests


def _split_digest(artifact: StoredArtifact, split: str) -> str:
    """The content of one split. Earlier versions did not record it."""
    recorded = artifact.split_digests.get(split)
    return recorded or Artifact(Path(artifact.uri)).split_digest(split)


def _one_or_list(digests: list[str], several: bool) -> str | list[str] | None:
    if several and len(digests) > 1:
        return digests
    return digests[0] if digests else None


def _missing(execution: Execution) -> list[str]:
    """Output folders that are no longer there."""
    return [artifact.uri for artifact in execution.all_outputs() if not Path(artifact.uri).is_dir()]


def _state_after(error: BaseException) -> State:
    return State.CANCELED if isinstance(error, KeyboardInterrupt) else State.FAILED


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
        if isinstance(seen, OSError) and seen.errno in faults.REMEDIES:
            return faults.environment_fault(seen.errno, seen.filename or root)
        seen = seen.__cause__ or seen.__context__
    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
        if os.strerror(number) in str(error):
            named = re.search(rf"{os.strerror(number)}: '([^']+)'", str(error))
            return faults.environment_fault(number, named[1] if named else root)
    return None
