"""Executes the nodes of one trial, in a process of its own beside those of other trials.

The nodes before the first one that the space changes were executed for the whole tuning. Those from there on,
Transform or only Trainer, are executed with the settings of the trial. Two trials may need the same output at
the same time: the second one waits, and then finds it in the cache.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Sequence

from bitext.components.shared.files import open_locked
from bitext.pipeline.graph import Pipeline
from bitext.pipeline.integrity import check_inputs
from bitext.pipeline.lookup import look_up
from bitext.pipeline.plan import WorkItem, divide
from bitext.pipeline.publish import Publisher
from bitext.pipeline.records import Execution, History, State
from bitext.pipeline.sources import Inputs


def executions_of_run(history: History, run_id: str) -> dict[str, Execution]:
    """Returns the executions of whole nodes, new or cached, of a run, by node."""
    states = (State.COMPLETE, State.CACHED)
    return {e.node: e for e in history if e.run_id == run_id and not e.part and e.state in states}


class TrialSession:
    """The nodes of one trial.

    Args:
      publisher: executes and publishes their work.
      verify_inputs: whether inputs are compared with their digests.
      announce: is called with the cache key of the node that is about to be executed, and its name.
    """

    def __init__(self, publisher: Publisher, verify_inputs: bool, announce: Callable[[str, str], None]):
        self._publisher, self._verify_inputs, self._announce = publisher, verify_inputs, announce

    def run(self, pipeline: Pipeline, names: Sequence[str]) -> tuple[Execution, bool]:
        """Executes nodes in order.

        Args:
          pipeline: the pipeline with the settings of the trial.
          names: the nodes.

        Returns:
          The execution of the last node, and whether it is an earlier one, from the cache.
        """
        history = self._publisher.store.executions()
        executions = executions_of_run(history, self._publisher.run.run_id)
        nodes = {node.name: node for node in pipeline.nodes}
        is_cached = False
        for name in names:
            node = nodes[name]
            history = self._publisher.store.executions()
            [part] = node.component.parts(node.parameters)
            node.component.check_files(part.parameters)
            [item] = divide(node, [part], Inputs(node, executions, history).all())
            with self._exclusive(item.cache_key):
                executions[name], is_cached = self._execution_of(item)
        return executions[names[-1]], is_cached

    def _execution_of(self, item: WorkItem) -> tuple[Execution, bool]:
        """Returns the execution of a work item, and whether it is from the cache."""
        terminal, name = self._publisher.terminal, item.node.name
        hit = look_up(item, self._publisher.store.executions(), "").hit
        if hit is not None:
            terminal.node_cached(name, f"cached, from run {hit.run_id}")
            return hit, True
        terminal.node_started(name)
        if self._verify_inputs:
            check_inputs(item, self._publisher.input_path)
        self._announce(item.cache_key, name)
        execution = self._publisher.execute_and_publish(item)
        terminal.node_finished(execution.seconds)
        return execution, False

    @contextlib.contextmanager
    def _exclusive(self, cache_key: str) -> Iterator[None]:
        """Context manager: no other trial executes the work with this cache key."""
        folder = self._publisher.layout.staging / self._publisher.run.run_id / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = open_locked(folder / cache_key, math.inf, os.O_RDWR | os.O_CREAT)
        try:
            yield
        finally:
            os.close(descriptor)
