"""The chief of a distributed training in the process of `bitext run`: starts the training and watches it."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from bitext.components.artifacts import Artifact
from bitext.components.component import Context
from bitext.components.shared.errors import ConfigError, EnvironmentFault
from bitext.components.trainer import Parameters, cluster, job, process
from bitext.components.trainer.process_main import ArtifactPath, ChiefRequest

_PATHS = ("working_dir", "temp_dir", "failure_dir", "tensorboard")
_TEXTS = ("run_id", "root_id", "place")
Input = Artifact | Sequence[Artifact] | None


def check(parameters: Parameters) -> None:
    """Checks TF_CONFIG before the first node runs.

    Raises:
      ConfigError: it is missing or wrong, or this process is not the chief.
    """
    own = cluster.from_environment(parameters.distribute.workers)
    if not own.is_chief:
        raise ConfigError(
            f"this process is {own.name(own.index)} by {cluster.VARIABLE}, and `bitext run` is the chief's",
            "start `bitext train-worker CONFIG` here, and `bitext run CONFIG` at the chief",
        )


def run(
    parameters: Parameters,
    context: Context,
    inputs: Mapping[str, Input],
    outputs: Mapping[str, Artifact],
) -> None:
    """Trains together with the other workers.

    Args:
      parameters: the configured parameters.
      context: the resources of the run.
      inputs: the inputs of the Trainer by key.
      outputs: its outputs by key.

    Raises:
      ConfigError: TF_CONFIG is wrong, or the run has no folder that other hosts see.
      EnvironmentFault: a worker has not come in time, or is gone.
      BitextError: as of a training in one process.
    """
    check(parameters)
    if context.job_file is None:
        raise ConfigError(
            f"trainer.distribute.workers is {parameters.distribute.workers}, but the Trainer runs alone",
            "use `bitext run`, or set it to 1",
        )
    own = cluster.from_environment(parameters.distribute.workers)
    request = ChiefRequest(
        parameters,
        parameters.distribute.workers,
        str(context.job_file),
        {
            key: [_described(artifact) for artifact in ([given] if isinstance(given, Artifact) else given)]
            for key, given in inputs.items()
            if given is not None
        },
        {key: _described(artifact) for key, artifact in outputs.items()},
        {name: str(path) for name in _PATHS if (path := getattr(context, name)) is not None},
        {name: getattr(context, name) for name in _TEXTS},
    )
    waiting = _Waiting(own, parameters.distribute.wait_seconds, context)
    with _telling_the_workers(context):
        done = process.run(msgspec.to_builtins(request), own.tf_config(), context, waiting.goes_on)
    for key, properties in (done or process.Done()).properties.items():
        outputs[key].properties.update(properties)


def _described(artifact: Artifact) -> ArtifactPath:
    origin = None if artifact.origin is None else str(artifact.origin)
    return ArtifactPath(str(artifact.path), artifact.properties, artifact.readable, artifact.digest, origin)


@contextlib.contextmanager
def _telling_the_workers(context: Context) -> Iterator[None]:
    """Context manager: records in the job file how the training ended."""
    file: Any = context.job_file
    try:
        yield
    except BaseException as error:
        job.end(file, job.ending_after(error))
        raise
    job.end(file, job.ending_after(None))


@dataclasses.dataclass
class _Waiting:
    """Waits for the other workers.

    Args:
      own: the cluster.
      wait_seconds: how long it waits.
      context: prints who is missing.
    """

    own: cluster.Cluster
    wait_seconds: int
    context: Context

    def __post_init__(self) -> None:
        self._deadline = time.monotonic() + self.wait_seconds
        self._missing = list(range(1, len(self.own.addresses)))
        self._is_told = False

    def goes_on(self, is_joined: bool) -> bool:
        """Tells who is missing.

        Raises:
          EnvironmentFault: one has not come in time.
        """
        if is_joined:
            return True
        before = len(self._missing)
        self._missing = [i for i in self._missing if not cluster.is_open(self.own.addresses[i])]
        names = ", ".join(map(self.own.name, self._missing))
        if self._missing and (len(self._missing) < before or not self._is_told):
            self._is_told = True
            self.context.say(f"waiting for {names}: `bitext train-worker` there")
        if time.monotonic() > self._deadline:
            raise EnvironmentFault(
                f"{names or 'a worker'} has not joined within {self.wait_seconds} s",
                "start `bitext train-worker CONFIG` there and see what it prints; the hosts must reach one "
                "another at the addresses in TF_CONFIG; trainer.distribute.wait_seconds waits longer",
            )
        return True
