"""A worker of a distributed training: waits for the chief, trains, and ends with the result of the chief."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from bitext.components.component import Context
from bitext.components.shared import storage
from bitext.components.shared.errors import BitextError, EnvironmentFault
from bitext.components.trainer import job, process
from bitext.components.trainer.cluster import Cluster, is_open
from bitext.components.trainer.process_main import WorkerRequest

POLL_SECONDS = 2.0
"""Seconds between two looks at the job file and at the address of the chief."""
RESULT_SECONDS = 20.0
"""Seconds within which a chief that does not listen any more records how it ended."""


@dataclasses.dataclass
class Joining:
    """One worker, from its start to the end of the chief's training.

    Args:
      own: the processes that train together.
      job_file: where the chief describes what to train.
      context: prints lines, shows how far the training is. `temp_dir` takes copies of remote files.
      sleep: waits some seconds.
    """

    own: Cluster
    job_file: Path
    context: Context
    sleep: Callable[[float], None] = time.sleep

    def run(self, wait_seconds: float = math.inf) -> None:
        """Trains with the chief.

        Args:
          wait_seconds: how long it waits for the chief.

        Raises:
          ConfigError: the chief runs other code, or has other parameters or data.
          EnvironmentFault: the chief has not come in time, or is gone.
          BitextError: the error of the chief.
        """
        seen = job.read(self.job_file)
        deadline = time.monotonic() + wait_seconds
        while True:
            current = self._wait_for_job(seen, deadline)
            if current.ended is None:
                seen, current = current, self._train(current)
                if current.ended is None or current.id != seen.id:
                    continue  # the chief has started again
            if error := current.ended.error():
                raise error
            self.context.say("the chief has ended the training")
            return

    def _wait_for_job(self, seen: job.Job, deadline: float) -> job.Job:
        """Returns the job of the chief, once it trains or has ended since this worker started."""
        chief, is_told = self.own.name(0), False
        while True:
            current = job.read(self.job_file)
            if current.ended is not None and current != seen:
                return current
            if current.id and current.ended is None and is_open(self.own.addresses[0]):
                return job.read(self.job_file)  # as it is since the chief listens
            if not is_told:
                is_told = True
                self.context.say(
                    f"waiting for the {chief}: its `bitext run` listens there when it reaches the Trainer"
                )
            if time.monotonic() > deadline:
                raise EnvironmentFault(
                    f"the {chief} has not reached the Trainer in time: nobody listens there, or "
                    f"{self.job_file} is not the file that it writes",
                    "start `bitext run CONFIG` there, with the same root; --wait SECONDS waits longer",
                )
            self.sleep(POLL_SECONDS)

    def _train(self, current: job.Job) -> job.Job:
        """Trains until the chief has ended, or has started again, and returns the job file after that."""
        current.typed_parameters()
        request = WorkerRequest(
            current,
            str(self._local_examples(current)),
            len(self.own.addresses),
            self.own.index,
            str(self.context.temp_dir),
        )
        self.context.say(f"joining the {self.own.name(0)}")
        lost: BitextError | None = None

        def goes_on(is_joined: bool) -> bool:
            return is_joined or self._is_current(current)

        try:
            process.run(msgspec.to_builtins(request), self.own.tf_config(), self.context, goes_on)
        except EnvironmentFault as fault:
            lost = fault
        return self._wait_for_end(current, lost)

    def _is_current(self, current: job.Job) -> bool:
        return job.read(self.job_file) == current

    def _wait_for_end(self, current: job.Job, lost: BitextError | None) -> job.Job:
        """Returns the job file when the chief has ended or started again.

        Raises:
          EnvironmentFault: the chief is gone, and has not recorded how it ended.
        """
        alive = time.monotonic()
        while (newest := job.read(self.job_file)) == current:
            now = time.monotonic()
            if lost is None and is_open(self.own.addresses[0]):
                alive = now
            elif now - alive > RESULT_SECONDS:
                raise lost or EnvironmentFault(
                    f"the {self.own.name(0)} is gone, and has not recorded how it ended",
                    "see its log, and start all workers again: they continue at the last checkpoint",
                )
            self.sleep(POLL_SECONDS)
        return newest

    def _local_examples(self, current: job.Job) -> Path:
        """Returns a local folder with the training data; a copy if it is remote."""
        folder = current.examples_folder(self.job_file)
        if not storage.is_remote(folder):
            return folder
        from bitext.components.artifacts import TransformedExamples
        from bitext.components.trainer.data import SPLIT

        copy = TransformedExamples(self.context.temp_dir / "examples")
        storage.download(folder, copy.path, [copy.split(SPLIT).name])
        return copy.path
