"""One run of `bitext tune`: from the lock of the pipeline root to the artifacts of the Tuner."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

from bitext.components.artifacts import Trial, TrialState
from bitext.components.component import Part
from bitext.components.tuner import Parameters
from bitext.components.tuner import Tuner as Component
from bitext.pipeline.beam import JobRecords, pipeline_factory
from bitext.pipeline.faults import translating_errors
from bitext.pipeline.graph import create_pipeline
from bitext.pipeline.layout import Layout
from bitext.pipeline.live import LiveFile
from bitext.pipeline.lock import Use, in_use
from bitext.pipeline.lookup import look_up
from bitext.pipeline.plan import divide
from bitext.pipeline.publish import Publisher
from bitext.pipeline.records import TUNER, Execution, Run, State, Stopwatch, new_run_id
from bitext.pipeline.run_record import recorded
from bitext.pipeline.sources import Node
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import Terminal, logging_to
from bitext.pipeline.tuning import best
from bitext.pipeline.tuning.hyper_parameters import keras_tuner_space
from bitext.pipeline.tuning.nodes import TRAINER
from bitext.pipeline.tuning.space import value_of
from bitext.pipeline.tuning.tuner import Request, Tuner


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The result of a tuning.

    Attributes:
      trials: all trials.
      best: the best one.
      seconds: the seconds of work, those of earlier commands included.
      why_over: why it has ended.
      artifact: the folder of the HyperParameters.
    """

    trials: list[Trial]
    best: Trial
    seconds: float
    why_over: str
    artifact: str


class TuningRun:
    """One run of `bitext tune`.

    Args:
      request: what it does.
      open_store: opens the metadata store, once the root is locked.
      terminal: prints lines.

    Attributes:
      log_file: the log of the run.
    """

    def __init__(self, request: Request, open_store: Callable[[], Store], terminal: Terminal):
        self._request, self._open_store, self._terminal = request, open_store, terminal
        self._config = request.base.load({})
        self._layout, self._run_id = Layout.of(self._config), new_run_id()
        self.log_file = self._layout.log_file(self._run_id)

    def run(self) -> Outcome:
        """Tunes until a limit is reached.

        Raises:
          LockedError: another run is in progress in the root.
          BitextError: the data cannot be used, or no trial can succeed.
        """
        layout, say = self._layout, self._terminal.say_of_run
        use = in_use(layout, self._request.wait, say)
        with translating_errors(layout.root, layout.address), use as used, logging_to(self.log_file):
            if used.takeover:
                say(used.takeover)
            JobRecords(layout.jobs).end_orphans(say)
            return self._run(used)

    def _run(self, use: Use) -> Outcome:
        layout, terminal, store = self._layout, self._terminal, self._open_store()
        pipeline, history = create_pipeline(self._config), store.executions()
        names = [node.name for node in pipeline.nodes]
        nodes = ", ".join([*names[: names.index(TRAINER) + 1], TUNER])
        run = Run(self._run_id, pipeline.name, layout.address, State.RUNNING, time.time(), nodes=nodes)
        with recorded(run, pipeline, layout, store, history, terminal.say_of_run):
            terminal.run_started(self._run_id, pipeline.name, layout.published)
            request = self._request
            tuner = Tuner(request, layout, store, run, use, terminal)
            stopwatch = Stopwatch()
            tuner.search()
            winner = tuner.require_best()
            live = LiveFile(layout.progress, run.run_id)
            publisher = Publisher(layout, store, run, pipeline_factory(), terminal, live, use=use)
            execution = self._publish(tuner, winner, publisher, stopwatch)
            live.remove()
            best.check_output(request.output)  # a person may have edited it meanwhile
            best.write(request.output, winner, request.base)
        [artifact] = execution.outputs["best_hyperparameters"]
        return Outcome(list(tuner.trials.values()), winner, tuner.seconds, tuner.why_over, artifact.uri)

    def _publish(self, tuner: Tuner, winner: Trial, publisher: Publisher, stopwatch: Stopwatch) -> Execution:
        """Publishes the artifacts of the Tuner, or finds them in the cache."""
        ranked = sorted((t for t in tuner.trials.values() if t.is_finished), key=lambda trial: trial.rank)
        history = publisher.store.executions()
        by_id = {execution.id: execution for execution in history}
        trained = [
            by_id[t.training] for t in ranked if t.state == TrialState.COMPLETE and t.training in by_id
        ]
        records = [record for execution in trained for record in execution.outputs.get("model_run", ())]
        parameters = Parameters(
            tuning=tuner.tuning,
            best=winner.training or 0,
            space=keras_tuner_space(self._request.space, self._defaults(winner)),
            trials=tuple(ranked),
        )
        node = Node(Component(), parameters)
        inputs = {"model_run": tuple({record.id: record for record in records}.values())}
        [item] = divide(node, [Part("", parameters)], inputs)
        hit = look_up(item, history, "").hit
        if hit is not None:
            return publisher.record_node([item], [hit], stopwatch, cached=True)
        return publisher.execute_and_publish(item)

    def _defaults(self, winner: Trial) -> dict[str, object]:
        """The values of the user's configuration; for a key that has no plain value there, the best one."""
        return {
            key: winner.settings[key] if value_of(self._config, key) is None else value_of(self._config, key)
            for key in self._request.space.keys
        }
