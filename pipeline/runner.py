"""Runs a pipeline: for each node in order, resolves its inputs, looks in the cache, executes and publishes.

A node whose work is divided (by the spans of a corpus) has one execution for each new part. One more
execution records the whole node: its outputs are those of all parts, new or cached.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from bitext.components.component import Part
from bitext.components.shared import storage
from bitext.components.shared.errors import ConfigError
from bitext.components.shared.parts import count_parts, list_parts
from bitext.pipeline import cache_keys
from bitext.pipeline.faults import translating_errors
from bitext.pipeline.graph import Pipeline
from bitext.pipeline.integrity import DamagedInput, check_inputs, problem_of
from bitext.pipeline.layout import Layout
from bitext.pipeline.live import LiveFile
from bitext.pipeline.lock import Use, in_use
from bitext.pipeline.lookup import look_up
from bitext.pipeline.plan import Selection, WorkItem, divide
from bitext.pipeline.publish import Publisher
from bitext.pipeline.records import (
    Execution,
    History,
    Run,
    State,
    Stopwatch,
    StoredArtifact,
    new_run_id,
    newest_usable,
    with_key,
)
from bitext.pipeline.run_record import recorded
from bitext.pipeline.sources import Inputs, Node
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import Terminal, logging_to

if TYPE_CHECKING:
    import apache_beam

__all__ = ["Result", "Runner", "Selection", "Session"]

ALL_NODES = Selection()
"""The selection of all nodes."""


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a run: its record, the execution of each node, and its duration in seconds."""

    run: Run
    executions: dict[str, Execution]
    seconds: float

    def artifact(self, type_name: str) -> StoredArtifact | None:
        """The run's first artifact of a kind; None if it has none. Those of teachers do not count."""
        for execution in self.executions.values():
            for artifact in () if execution.is_of_teacher else execution.all_outputs():
                if artifact.type == type_name:
                    return artifact
        return None


class Runner:
    """Runs one pipeline in one root.

    Args:
      pipeline: the nodes, in order.
      layout: the folders of the pipeline root.
      store: opens the metadata store; called once the root is locked.
      beam_pipeline: creates the Beam pipeline for components.
      terminal: prints the progress.
      verify_inputs: whether the inputs of a node are compared with their digests before it runs.
      is_on_engine: whether Beam runs on an engine, and not in this process.
      end_orphans: cancels jobs that killed runs have left on Beam engines.

    Attributes:
      log_file: the log of the run.
      live: records how far the run is.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        layout: Layout,
        store: Callable[[], Store],
        beam_pipeline: Callable[[], apache_beam.Pipeline],
        terminal: Terminal,
        verify_inputs: bool = True,
        is_on_engine: bool = False,
        end_orphans: Callable[[], None] = lambda: None,
    ):
        self._pipeline, self._layout = pipeline, layout
        self._open_store, self._beam_pipeline, self._terminal = store, beam_pipeline, terminal
        self._verify_inputs, self._is_on_engine = verify_inputs, is_on_engine
        self._end_orphans, self._run_id = end_orphans, new_run_id()
        self.log_file = self._layout.log_file(self._run_id)
        self.live = LiveFile(self._layout.progress, self._run_id)

    def run(self, selection: Selection = ALL_NODES, wait: float = 0.0) -> Result:
        """Runs the selected nodes. A refused model is not an error: see `reports.refusal`.

        Args:
          selection: which nodes run.
          wait: seconds to wait for another run in the root to end; `math.inf`: without limit.

        Raises:
          ConfigError: if the selection names no node, or an earlier output that it needs does not exist.
          LockedError: if another run is in progress in the root.
          EnvironmentFault: if the disk, the folders or the metadata store fail.
          BitextError, or any exception: what a component raised. It is recorded with its traceback.
        """
        may_run = selection.nodes_of(self._pipeline)
        root = self._layout.root
        if root.exists() and not root.is_dir():
            raise ConfigError(f"root {root} is not a folder", "choose another with `root` or --root")
        use = in_use(self._layout, wait, self._terminal.say_of_run)
        with translating_errors(root, self._layout.address), use as used, logging_to(self.log_file):
            if used.takeover:
                self._terminal.say_of_run(used.takeover)
            self._end_orphans()
            return self._run(may_run, selection, used)

    def _run(self, may_run: dict[str, bool], selection: Selection, use: Use) -> Result:
        layout, terminal = self._layout, self._terminal
        store = self._open_store()
        store.delete_orphans()
        history = store.executions()
        run = Run(
            self._run_id,
            self._pipeline.name,
            layout.address,
            State.RUNNING,
            time.time(),
            nodes=", ".join(node.name for node in self._pipeline.nodes),
            first=selection.first or "",
        )
        say = terminal.say_of_run
        with recorded(run, self._pipeline, layout, store, history, say):
            terminal.run_started(self._run_id, self._pipeline.name, layout.published)
            live = self.live = LiveFile(layout.progress, self._run_id)
            publisher = Publisher(
                layout,
                store,
                run,
                self._beam_pipeline,
                terminal,
                live,
                selection.force_bless,
                self._is_on_engine,
                use,
            )
            session = Session(selection, history, publisher, self._verify_inputs)
            try:
                session.run_nodes(self._pipeline, may_run)
            finally:
                live.remove()
        return Result(run, session.executions, run.seconds)


class Session:
    """One run in progress.

    Args:
      selection: which nodes run.
      history: see `History`, as it was before the run.
      publisher: executes and publishes work items.
      verify_inputs: see `Runner`.

    Attributes:
      executions: the executions so far, by node.
    """

    def __init__(
        self, selection: Selection, history: History, publisher: Publisher, verify_inputs: bool = True
    ):
        self._selection, self._history, self._publisher = selection, history, publisher
        self._verify_inputs = verify_inputs
        self._executed: list[Execution] = []
        self._terminal = publisher.terminal
        self.executions: dict[str, Execution] = {}

    def run_nodes(self, pipeline: Pipeline, may_run: dict[str, bool]) -> None:
        """Runs the nodes in order; uses the newest outputs of those that may not run."""
        nodes = [node for node in pipeline.nodes if node.name in may_run]
        parts = {n.name: n.component.parts(n.parameters) for n in nodes if may_run[n.name]}
        for node in nodes:  # a bad file of the last node is reported before hours of training
            for part in parts.get(node.name, ()):
                cache_keys.check_external(node.component, part.parameters)
                node.component.check_files(part.parameters)
        index, made_again = 0, set[str]()
        while index < len(nodes):
            node = nodes[index]
            try:
                if may_run[node.name]:
                    self.executions[node.name] = self._run_node(node, parts[node.name])
                else:
                    self.executions[node.name] = self._use_newest(node)
            except DamagedInput as damage:
                maker = self._maker(damage.artifact)
                if not maker:
                    raise DamagedInput(damage.artifact, damage.problem, is_of_this_run=False) from damage
                if not may_run.get(maker, False) or maker in made_again:
                    raise
                self._set_damaged_aside(self.executions[maker].all_outputs(), maker)
                made_again.add(maker)
                index = next(i for i, node in enumerate(nodes) if node.name == maker)
            else:
                index += 1

    def _maker(self, artifact: StoredArtifact) -> str:
        """The node of this run that has the artifact as an output; empty: it is from an earlier run."""
        for name, execution in self.executions.items():
            if any(output.id == artifact.id for output in execution.all_outputs()):
                return name
        return ""

    def _set_damaged_aside(self, artifacts: Iterable[StoredArtifact], maker: str) -> None:
        """Moves those of the artifacts that are damaged out of the outputs."""
        for artifact in artifacts:
            if not artifact.deleted and (problem := problem_of(artifact)):
                self._set_aside(DamagedInput(artifact, problem), maker)

    def _set_aside(self, damage: DamagedInput, maker: str) -> None:
        """Moves a damaged artifact out of the outputs, so that the node that made it runs again."""
        layout, folder = self._publisher.layout, damage.artifact.path
        message = str(damage)
        if folder.is_dir():
            target = layout.damaged(self._publisher.run.run_id, folder)
            storage.move(folder, target)
            message += f"; moved to {target}"
        self._publisher.store.mark_deleted([damage.artifact])
        self._terminal.say_of_run(f"{message}; {maker} makes it again")

    def _use_newest(self, node: Node) -> Execution:
        """Uses the newest complete outputs of a node before `--from`."""
        newest = newest_usable(self._history, node.name)
        if newest is None or not set(node.component.outputs) <= set(newest.outputs):
            raise ConfigError(
                f"--from starts after {node.name}, and no earlier run's outputs of this node exist",
                f"start from {node.name} or before: --from {node.name}",
            )
        self._terminal.node_taken(node.name, newest.run_id)
        run = self._publisher.run
        used = dataclasses.replace(
            newest, id=None, run_id=run.run_id, state=State.CACHED, seconds=0.0, peak_megabytes=0.0
        )
        used.started = used.finished = time.time()
        self._publisher.store.put_execution(used, run)
        return used

    def _run_node(self, node: Node, parts: list[Part]) -> Execution:
        """Executes the work items of a node that are not cached, and returns the execution of the node."""
        stopwatch = Stopwatch()
        items = divide(node, parts, Inputs(node, self.executions, self._history).all())
        if node.component.map_over is None and items[0].part:
            self._record_parts(items)
        is_again = any(execution.node == node.name for execution in self._executed)
        forced = "" if is_again else self._selection.why_forced(node)
        if forced and self._verify_inputs:
            for item in items:  # so that `bitext verify` finds them no longer
                for execution in with_key(self._history, node.name, item.cache_key):
                    self._set_damaged_aside(execution.all_outputs(), node.name)
        lookups = [look_up(item, (*self._executed, *self._history), forced) for item in items]
        new_count = sum(lookup.hit is None for lookup in lookups)
        if not new_count:
            self._terminal.node_cached(node.name, "cached")
        else:
            self._terminal.node_started(node.name)
            if new_count < len(items):
                self._terminal.say(f"{len(items) - new_count} of {len(items)} cached")
        executions = []
        for item, lookup in zip(items, lookups, strict=True):
            for reason in lookup.reasons if self._selection.explain else ():
                self._terminal.node_reason(node.name, f"{item.part}: {reason}" if item.part else reason)
            if lookup.hit is None and self._verify_inputs:
                check_inputs(item, self._publisher.input_path)
            if lookup.hit is None:
                self._executed.insert(0, self._publisher.execute_and_publish(item))
            executions.append(lookup.hit or self._executed[0])
        if new_count == 1 and items[0].is_whole:
            [node_execution] = executions
        else:
            node_execution = self._publisher.record_node(items, executions, stopwatch, cached=not new_count)
        if new_count:
            self._terminal.node_finished(stopwatch.seconds)
        return node_execution

    def _record_parts(self, items: list[WorkItem]) -> None:
        """Records and prints the parts that the corpus is divided into."""
        names = [item.part for item in items]
        self._publisher.run.parts = ", ".join(names)
        self._publisher.store.put_run(self._publisher.run)
        self._terminal.say_of_run(f"{count_parts(names)}: {list_parts(names)}")
