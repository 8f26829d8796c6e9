"""Executes work items in a staging folder and publishes their outputs.

No output is visible before it is complete. An execution is recorded as RUNNING before it starts. Its outputs
are published by one rename each, followed by one transaction that records it as COMPLETE. What a crash leaves
in between belongs to an execution that is not COMPLETE, and the next run removes it (see `recovery`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import os
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitext.components.artifacts import Artifact
from bitext.components.component import Component, Context
from bitext.components.shared import storage
from bitext.components.shared.errors import BitextError, DataError, EnvironmentFault
from bitext.components.shared.files import fsync, fsync_tree
from bitext.components.shared.progress import Progress
from bitext.pipeline.beam import pipeline_factory
from bitext.pipeline.faults import translating_errors
from bitext.pipeline.input_copies import InputCopies
from bitext.pipeline.layout import Layout, remove
from bitext.pipeline.live import LiveFile
from bitext.pipeline.lock import Use
from bitext.pipeline.lookup import component_artifacts
from bitext.pipeline.memory import MEGABYTE, PeakMemory
from bitext.pipeline.plan import WorkItem
from bitext.pipeline.records import Artifacts, Execution, Run, State, Stopwatch, StoredArtifact
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import Terminal, log

if TYPE_CHECKING:
    import apache_beam

_LONGEST_ERROR = 2000
"""The most characters of an error that are recorded."""


@dataclasses.dataclass(frozen=True)
class Publisher:
    """Executes and publishes the work items of one run.

    Attributes:
      layout: the folders of the pipeline root.
      store: the metadata store.
      run: the run.
      beam_pipeline: creates the Beam pipeline for components.
      terminal: prints the lines of components.
      live: records how far the work is.
      force_bless: see `Context`.
      is_on_engine: whether Beam runs on an engine, and not in this process.
      use: the use of the pipeline root by this run; None: nothing else can use it.
      trial: the trial of a tuning that it works for, `trial 3`; other processes work for other trials of
        the same run at the same time. Empty: it works for the run itself.
    """

    layout: Layout
    store: Store
    run: Run
    beam_pipeline: Callable[[], apache_beam.Pipeline]
    terminal: Terminal
    live: LiveFile
    force_bless: str | None = None
    is_on_engine: bool = False
    use: Use | None = None
    trial: str = ""

    @property
    def attempt(self) -> str:
        """The id of the run, or of the trial in it: `20261130T150549Z-3f2a-trial-3`."""
        return f"{self.run.run_id}-{self.trial}".replace(" ", "-") if self.trial else self.run.run_id

    @functools.cached_property
    def copies(self) -> InputCopies:
        """The copies of remote artifacts."""
        return InputCopies(self.layout.input_copies(self.attempt))

    def input_path(self, component: Component[Any], key: str, artifact: StoredArtifact) -> Path:
        """Returns the folder that a component gets of an input: a copy, if it is remote and for no worker."""
        if key in self._opened_by_workers(component):
            return artifact.path
        return self.copies.path(artifact, component.input_splits.get(key))

    def _opened_by_workers(self, component: Component[Any]) -> frozenset[str]:
        """The names of inputs and outputs that workers of an engine open in a remote root."""
        is_remote = self.is_on_engine and self.layout.remote is not None
        return component.opened_by_workers if is_remote else frozenset()

    def execute_and_publish(self, item: WorkItem) -> Execution:
        """Executes a work item, publishes its outputs and returns the record of the execution.

        Raises:
          BitextError, or any exception: what the component raised. It is recorded with its traceback.
        """
        execution = Execution(
            node=item.node.name,
            run_id=self.run.run_id,
            state=State.RUNNING,
            started=time.time(),
            cache_key=item.cache_key,
            cache_key_parts=json.dumps(item.key_parts, sort_keys=True),
            inputs={key: artifacts for key, artifacts in item.inputs.items() if artifacts},
            part=self.trial or item.recorded_part,
        )
        self.store.put_execution(execution, self.run)
        memory = PeakMemory()
        try:
            try:
                outputs = self._execute(item, execution)
            finally:
                execution.peak_megabytes = memory.bytes() / MEGABYTE
            self._publish(item, execution, outputs)
        except BaseException as error:
            # First: on a full disk, this frees space for the record.
            remove(self.layout.staging / self.attempt)
            if self.layout.remote is not None and not self._is_recorded(execution):
                for key in item.node.component.outputs:
                    remove(self.layout.output(item.node.name, key, execution.id))
            self._record_failure(execution, error)
            raise
        remove(self.layout.working(item.node.name, item.cache_key))
        if not self.trial:  # another trial may be about to write into its folder
            self.layout.remove_empty_folders()
        return execution

    def _execute(self, item: WorkItem, execution: Execution) -> dict[str, Artifact]:
        """Runs the component and returns its outputs: staged, or where workers have written them."""
        component = item.node.component
        staging = self.layout.staging / self.attempt / item.node.name
        if self.is_on_engine:  # workers have other working directories
            staging = staging.absolute()
        temp_dir, working_dir = staging / ".tmp", self.layout.working(item.node.name, item.cache_key)
        outputs = {
            key: kind(
                self.layout.output(item.node.name, key, execution.id)
                if key in self._opened_by_workers(component)
                else staging / key
            )
            for key, kind in component.outputs.items()
        }
        for folder in (*(artifact.path for artifact in outputs.values()), temp_dir, working_dir):
            folder.mkdir(parents=True, exist_ok=True)
        stored = {key: item.inputs.get(key, ()) for key in component.inputs}
        inputs = component_artifacts(item.node, stored, self.input_path)
        context = Context(
            working_dir=working_dir,
            temp_dir=temp_dir,
            beam_pipeline=self.beam_pipeline,
            say=self._say_of(item.part),
            run_id=self.attempt,
            root_id=self.run.root_id,
            place=self.run.place,
            force_bless=self.force_bless,
            failure_dir=self.layout.failure(self.attempt, item.node.name),
            tensorboard=self.layout.tensorboard,
            observe=self._observe,
            check_use=self._check_use,
            spill_dir=None if self.is_on_engine else temp_dir / "spilled",
            local_pipeline=pipeline_factory(),
            job_file=self.layout.job_file,
        )
        self.live.start(item.node.name, item.part)
        with translating_errors(self.layout.root, self.layout.address), self._explaining_other_disks(staging):
            component.run(item.parameters, context, **inputs, **outputs)
        return outputs

    @contextlib.contextmanager
    def _explaining_other_disks(self, folder: Path) -> Iterator[None]:
        """Context manager: says why a file of the outputs is missing after a job on an engine.

        Raises:
          EnvironmentFault: the root is a folder of this machine, and the workers do not see it.
        """
        try:
            yield
        except FileNotFoundError as error:
            if (
                not self.is_on_engine
                or self.layout.remote is not None
                or str(folder) not in str(error.filename)
            ):
                raise
            raise EnvironmentFault(
                f"the workers of the Beam engine have not written {error.filename}: they do not see the disk"
                " of this machine",
                "set `root` to a remote folder (`s3://`, `gs://`, `abfs://`, `hdfs://`), or to one that all"
                " workers mount under the same path",
            ) from error

    def _observe(self, progress: Progress) -> None:
        """Records and shows how far the work of a component is."""
        self.live.move(progress)
        self.terminal.show(progress)

    def _say_of(self, part: str) -> Callable[[str], None]:
        """Returns the function that prints a component's lines, prefixed by the name of the part."""
        say = self.terminal.say
        return (lambda text: say(f"{part}: {text}")) if part else say

    def _publish(self, item: WorkItem, execution: Execution, outputs: dict[str, Artifact]) -> None:
        """Moves each output to its folder, then records the execution as complete in one transaction.

        The files are on disk before the record is: after a power failure, a complete output is complete. In a
        remote root, the outputs are copied to their folders, and the record makes them visible.
        """
        published: Artifacts = {}
        for key, artifact in outputs.items():
            digest, files_digest = artifact.content_digest(), artifact.files_digest()
            split_digests = {name: artifact.split_digest(name) for name in artifact.splits()}
            folder = self.layout.output(item.node.name, key, execution.id)
            self._place(artifact.path, folder)
            properties = dict(artifact.properties) | ({"part": item.part} if item.part else {})
            address = str(folder if storage.is_remote(folder) else folder.resolve())
            stored = StoredArtifact(artifact.TYPE_NAME, address, digest, properties)
            stored.split_digests = split_digests
            stored.files_digest = files_digest if files_digest != digest else ""
            published[key] = (stored,)
        execution.outputs = published
        execution.end(State.COMPLETE)
        self._check_use()
        self.store.put_execution(execution, self.run)

    def _check_use(self) -> None:
        """Raises LockedError if another run has taken over a remote root."""
        if self.use is not None:
            self.use.check()

    def _place(self, output: Path, folder: Path) -> None:
        """Moves an output to its folder in the pipeline root."""
        if output == folder:  # workers have written it there
            return
        if storage.is_remote(folder):
            storage.upload(output, folder)
            self.copies.keep(output, folder)
            return
        folder.parent.mkdir(parents=True, exist_ok=True)
        fsync_tree(output)
        os.rename(output, folder)
        fsync(folder.parent)

    def _is_recorded(self, execution: Execution) -> bool:
        """Whether an execution is recorded as complete, or may be: the store does not answer."""
        try:
            return self.store.is_complete(execution)
        except BitextError:
            return True

    def _record_failure(self, execution: Execution, error: BaseException) -> None:
        def record() -> None:
            if self.store.is_complete(execution):  # interrupted just after its transaction
                return
            execution.end(state_after(error), one_line(error))
            execution.outputs = {}
            execution.traceback = "".join(traceback.format_exception(error))
            self.store.put_execution(execution, self.run)

        try_to_record(record)

    def record_node(
        self, items: list[WorkItem], executions: list[Execution], stopwatch: Stopwatch, cached: bool
    ) -> Execution:
        """Records the execution of a node: its outputs are those of all its work items, in order.

        Args:
          items: all work items of the node.
          executions: the execution of each work item, from this run or cached.
          stopwatch: runs since the node started.
          cached: whether all work items are cached.
        """
        [first, *_] = items
        key = first.cache_key if first.is_whole else ""
        own = (e.peak_megabytes for e in executions if e.run_id == self.run.run_id)
        execution = Execution(
            first.node.name,
            self.run.run_id,
            State.RUNNING,
            stopwatch.started,
            cache_key=key,
            stopwatch=stopwatch,
            peak_megabytes=max(own, default=0.0),
        )
        execution.end(State.CACHED if cached else State.COMPLETE)
        if first.is_whole:
            execution.inputs = {name: artifacts for name, artifacts in first.inputs.items() if artifacts}
        for item_execution in executions:
            for name, artifacts in item_execution.outputs.items():
                execution.outputs[name] = (*execution.outputs.get(name, ()), *artifacts)
        self.store.put_execution(execution, self.run)
        return execution


def try_to_record(record: Callable[[], None]) -> None:
    """Records a failure. If the store fails too (on the same full disk), that error is only logged."""
    try:
        record()
    except (DataError, EnvironmentFault) as fault:
        log.error("the failure could not be recorded: %s", fault)


def state_after(error: BaseException) -> State:
    """Returns the state of a run or execution that an exception ended."""
    return State.CANCELED if isinstance(error, KeyboardInterrupt) else State.FAILED


def one_line(error: BaseException) -> str:
    """Returns the text of an error for a record: one line, at most `_LONGEST_ERROR` characters."""
    parts = [str(error)] if isinstance(error, BitextError) else [type(error).__name__, str(error)]
    return " ".join(": ".join(filter(None, parts)).split())[:_LONGEST_ERROR]
