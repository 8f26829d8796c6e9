"""Cleans up after killed runs: records that are still RUNNING, staging folders, unpublished outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from bitext.components.shared import storage
from bitext.pipeline import live
from bitext.pipeline.graph import Pipeline
from bitext.pipeline.layout import Layout, remove
from bitext.pipeline.records import ROLLBACK, TUNER, History, Run, State
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import log

_OTHER_OUTPUTS = (
    (ROLLBACK, "pushed_model"),
    (TUNER, "best_hyperparameters"),
    (TUNER, "tuner_results"),
)
"""Outputs, by node, that no node of the pipeline makes."""


@dataclasses.dataclass(frozen=True)
class Recovery:
    """Clears a pipeline root before a run. The root must be locked, so that no other run is in progress.

    Attributes:
      pipeline: the pipeline.
      layout: the folders of the root.
      store: the metadata store.
      run: the run that is about to start.
      say: prints one line.
    """

    pipeline: Pipeline
    layout: Layout
    store: Store
    run: Run
    say: Callable[[str], None]

    def clear(self, history: History) -> None:
        """Ends the records of killed runs and removes the folders that they left.

        Args:
          history: see `History`. Its records are brought up to date.
        """
        self._end_records(history)
        remove(self.layout.staging)
        remove(self.layout.root / ".inputs")
        for folder in self.layout.all_working():
            newest = next((e for e in history if (e.node, e.cache_key) == folder.parts[-2:]), None)
            if newest is not None and newest.state == State.COMPLETE:  # killed just after its transaction
                remove(folder)
        self.layout.remove_empty_folders()
        self._clear_unpublished()

    def _end_records(self, history: History) -> None:
        """Ends the records of killed runs. They took as long as they are known to have moved."""
        work = live.read(self.layout.progress)
        killed = {
            run.run_id: run
            for run in self.store.runs()
            if run.state == State.RUNNING and run.root_id == self.run.root_id
        }
        for execution in history:
            if execution.state == State.RUNNING and execution.run_id in killed:
                execution.state, execution.error = State.CANCELED, "the process ended before the node did"
                if work is not None and (work.run, work.node) == (execution.run_id, execution.node):
                    execution.seconds = work.node_seconds
                execution.finished, execution.outputs = execution.started + execution.seconds, {}
                self.store.put_execution(execution, killed[execution.run_id])
        for run in killed.values():
            run.state, run.error = State.CANCELED, "the process ended before the run did"
            run.seconds = work.run_seconds if work is not None and work.run == run.run_id else 0.0
            run.finished = run.started + run.seconds
            self.store.put_run(run)

    def _clear_unpublished(self) -> None:
        """Removes outputs of executions that never completed; moves outputs without a record aside."""
        outputs = [(node.name, key) for node in self.pipeline.nodes for key in node.component.outputs]
        folders = {
            folder: (name, execution_id)
            for name, key in (*outputs, *_OTHER_OUTPUTS)
            for execution_id, folder in self.layout.outputs(name, key)
        }
        ids = {execution_id for _, execution_id in folders.values()}
        states = self.store.execution_states(ids, self.run.root_id) if ids else {}
        for folder, owner in folders.items():
            if owner not in states:
                target = self.layout.unrecorded(self.run.run_id, folder)
                storage.move(folder, target)
                self.say(f"{folder} is in no metadata record; moved to {target}")
            elif states[owner] != State.COMPLETE:
                log.info("removing %s, which its execution left unpublished", folder)
                remove(folder)
