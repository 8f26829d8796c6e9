"""Several processes or devices that train together: one update is that of the whole batch.

Each worker process and each device has a copy of the weights and of the optimizer's state, and computes the
gradients of its rows of a batch. The gradients of all of them are added (`all_reduce`), and each makes the
same update. The chief does the rest of a training alone: validation, checkpoints, records.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from bitext.components.shared.errors import ConfigError, EnvironmentFault
from bitext.components.shared.graphs import graph_function

_LOST = (
    tf.errors.UnavailableError,
    tf.errors.DeadlineExceededError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
)
"""Errors of TensorFlow after which a worker is gone."""
_ABORTED = "Collective ops is aborted"
_DIGEST_NUMBERS = 4
"""A SHA-256 as this many int64."""


@dataclasses.dataclass(frozen=True)
class Distribution:
    """The processes and devices that train together.

    Attributes:
      strategy: copies the variables and adds the gradients; None: one process on one device.
      workers: number of processes.
      index: which of them this process is; 0 is the chief.
      devices: number of devices of this process that train.
    """

    strategy: tf.distribute.Strategy | None = None
    workers: int = 1
    index: int = 0
    devices: int = 1

    @property
    def parts(self) -> int:
        """Number of parts of each batch: one for each device of each worker."""
        return self.workers * self.devices

    def scope(self) -> contextlib.AbstractContextManager[object]:
        """Context manager: variables that are made in it have a copy on each device of each worker."""
        return contextlib.nullcontext() if self.strategy is None else self.strategy.scope()

    def check_variables(self, variables: Iterable[tf.Variable]) -> None:
        """Checks that variables were made in `scope`. Others would have other values on each device.

        Raises:
          RuntimeError: one was not.
        """
        if self.strategy is None:
            return
        for variable in variables:
            is_distributed = isinstance(variable, tf.distribute.DistributedValues)
            if not is_distributed or len(self.strategy.experimental_local_results(variable)) != self.devices:
                raise RuntimeError(f"{variable.name} was not made in the scope of the strategy")

    def run(self, function: Callable[..., Sequence[tf.Tensor]], *args: tf.Tensor) -> list[tf.Tensor]:
        """Runs a function on each device, and returns what it returns on the first device of this process."""
        if self.strategy is None:
            return list(function(*args))
        results = self.strategy.run(function, args=args)
        return [self.strategy.experimental_local_results(result)[0] for result in results]

    def part(self) -> tf.Tensor | int:
        """The index of this device among those of this process; call it in a function that `run` runs."""
        if self.devices == 1:
            return 0
        return tf.distribute.get_replica_context().replica_id_in_sync_group

    def all_reduce(self, tensors: list[tf.Tensor]) -> list[tf.Tensor]:
        """Adds tensors of all devices of all workers; call it in a function that `run` runs."""
        if self.strategy is None:
            return tensors
        added = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, tensors)
        return list(added)

    def broadcast(self, variables: Sequence[tf.Variable]) -> None:
        """Gives variables the values that they have in the chief. All workers call it.

        Raises:
          EnvironmentFault: a worker is gone.
        """
        if self.workers == 1:
            return
        by_type: dict[tf.DType, list[tf.Variable]] = {}
        for variable in variables:
            by_type.setdefault(variable.dtype, []).append(variable)

        def receive() -> list[tf.Tensor]:
            for dtype, group in by_type.items():
                # x + -0.0 is x for each x, also for -0.0.
                zero = tf.constant(-0.0 if dtype.is_floating else 0, dtype)
                sent = [v.read_value() if self.index == 0 else tf.fill(v.shape, zero) for v in group]
                for variable, value in zip(group, self.all_reduce(sent), strict=True):
                    tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)
            return []

        with self.reporting_lost_workers():
            graph_function(lambda: self.run(receive))()

    @functools.cached_property
    def _exchange(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """The graph that adds int64[W, N] of all workers."""

        @graph_function(input_signature=[tf.TensorSpec([self.workers, _DIGEST_NUMBERS], tf.int64)])
        def add(rows: tf.Tensor) -> tf.Tensor:
            # The copy is on this device. An argument of the graph is on none, and cannot be added.
            return self.run(lambda rows: self.all_reduce([tf.identity(rows)]), rows)[0]

        return add

    def exchange(self, numbers: Sequence[int]) -> np.ndarray:
        """Returns the numbers of each worker, int64[W, 4]. All workers call it.

        It waits for all workers, as long as they live: for the chief while it validates.

        Args:
          numbers: up to four numbers of this worker.

        Raises:
          EnvironmentFault: a worker is gone.
        """
        rows = np.zeros([self.workers, _DIGEST_NUMBERS], np.int64)
        rows[self.index, : len(numbers)] = numbers
        if self.workers == 1:
            return rows
        with self.reporting_lost_workers():
            received: np.ndarray = self._exchange(tf.constant(rows)).numpy()
        return received

    def check_equal(self, content: bytes, problem: str, remedy: str) -> None:
        """Checks that all workers have the same content. All workers call it.

        Args:
          content: what is compared, by its digest.
          problem: what it means if a worker has another, with `{}` for the worker.
          remedy: what to do then.

        Raises:
          ConfigError: a worker has other content than the chief.
          EnvironmentFault: a worker is gone.
        """
        rows = self.exchange(np.frombuffer(hashlib.sha256(content).digest(), np.int64).tolist())
        others = [str(index) for index, row in enumerate(rows) if not np.array_equal(row, rows[0])]
        if others:
            raise ConfigError(problem.format(f"worker {', '.join(others)}"), remedy)

    @contextlib.contextmanager
    def reporting_lost_workers(self) -> Iterator[None]:
        """Context manager: re-raises errors of a lost connection to another worker.

        Raises:
          EnvironmentFault: a worker is gone.
        """
        try:
            yield
        except tf.errors.OpError as error:
            if self.workers == 1 or not (isinstance(error, _LOST) or _ABORTED in str(error)):
                raise
            who = "another worker" if self.index == 0 else "the chief or another worker"
            raise EnvironmentFault(
                f"the connection to {who} is lost: it was killed or has failed, or its network",
                "see the logs of the others, and start all again: they continue at the last checkpoint",
            ) from error


ALONE = Distribution()
"""One process on one device."""


def over_workers(workers: int, index: int) -> Distribution:
    """Returns the distribution over the processes that the environment variable TF_CONFIG names.

    It waits until all of them are there. It must come before any other use of TensorFlow in the process. A
    process uses one GPU, if it has one.

    Raises:
      EnvironmentFault: this process cannot listen at its address, or a worker is gone already.
    """
    if gpus := tf.config.list_physical_devices("GPU"):
        tf.config.set_visible_devices(gpus[:1], "GPU")
    try:
        return Distribution(tf.distribute.MultiWorkerMirroredStrategy(), workers, index)
    except tf.errors.OpError as error:
        raise EnvironmentFault(
            f"this process cannot join the others that TF_CONFIG names: {error.message}",
            "check that the port of its address is free, and that the hosts reach one another",
        ) from error


def over_devices(devices: int) -> Distribution:
    """Returns the distribution over devices of this process: its GPUs, or its logical CPUs without one.

    Raises:
      ConfigError: the machine has fewer.
    """
    if devices == 1:
        return ALONE
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    names = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(names) < devices:
        raise ConfigError(
            f"trainer.distribute.devices is {devices}, but this machine has {len(names)} of kind {kind}",
            f"set it to {len(names)}; on a CPU, trainer.replicas uses the cores",
        )
    return Distribution(tf.distribute.MirroredStrategy(names[:devices]), devices=devices)


def bytes_of(variables: Iterable[tf.Variable]) -> bytes:
    """Returns the values of variables, one after the other."""
    return b"".join(variable.numpy().tobytes() for variable in variables)
