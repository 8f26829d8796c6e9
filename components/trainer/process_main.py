"""The process that trains together with others (`process`): `python -m bitext...process_main REQUEST`."""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
import warnings
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.shared import storage
from bitext.components.shared.errors import BitextError
from bitext.components.shared.progress import Progress
from bitext.components.trainer import Parameters, job
from bitext.components.trainer.process import Done, Failed, Joined, Message, Said, Shown


class ArtifactPath(msgspec.Struct, frozen=True):
    """An input or output.

    Attributes:
      path, properties, readable, digest, origin: as of `Artifact`.
    """

    path: str
    properties: dict[str, int | float | str] = {}
    readable: tuple[str, ...] | None = None
    digest: str | None = None
    origin: str | None = None


class ChiefRequest(msgspec.Struct, frozen=True, tag=True):
    """The work of the chief: what `Trainer.run` gets.

    Attributes:
      parameters: the configured parameters.
      workers: number of processes.
      job_file: where the other workers read what to train.
      inputs: the inputs by key; of those that may be absent, only those that are there.
      outputs: the outputs by key.
      paths: the folders of the context, by the name of its field.
      texts: other fields of the context.
    """

    parameters: Parameters
    workers: int
    job_file: str
    inputs: dict[str, list[ArtifactPath]]
    outputs: dict[str, ArtifactPath]
    paths: dict[str, str]
    texts: dict[str, str]


class WorkerRequest(msgspec.Struct, frozen=True, tag=True):
    """The work of another worker.

    Attributes:
      job: what to train.
      examples: a local folder with the transformed examples.
      workers: number of processes.
      index: the index of this one.
      temp_dir: a folder for temporary files.
    """

    job: job.Job
    examples: str
    workers: int
    index: int
    temp_dir: str


Request = ChiefRequest | WorkerRequest


class _Speaker:
    """Writes messages to the process that started this one. Several threads may write."""

    def __init__(self, stream: BinaryIO):
        self._stream, self._lock = stream, threading.Lock()

    def send(self, message: Message) -> None:
        with self._lock:
            self._stream.write(msgspec.json.encode(message) + b"\n")
            self._stream.flush()

    def say(self, text: str) -> None:
        self.send(Said(text))

    def show(self, progress: Progress) -> None:
        self.send(
            Shown(
                progress.unit,
                progress.total,
                progress.done,
                dict(progress.figures),
                progress.is_drawn,
                progress.is_ended,
            )
        )


def _run_chief(request: ChiefRequest, speaker: _Speaker) -> Done:
    from bitext.components.trainer import executor
    from bitext.components.trainer.distribution import Distribution, over_workers

    context = Context(
        beam_pipeline=_no_beam,
        say=speaker.say,
        observe=speaker.show,
        **{name: Path(path) for name, path in request.paths.items()},  # type: ignore[arg-type]
        **request.texts,  # type: ignore[arg-type]
    )
    kinds = {
        "transformed_examples": artifacts.TransformedExamples,
        "transform_graph": artifacts.TransformGraph,
        "examples": artifacts.Examples,
        "base_model": artifacts.Model,
    }
    inputs: dict[str, Any] = {
        key: tuple(kinds[key](Path(a.path), dict(a.properties), a.readable, a.digest) for a in given)
        for key, given in request.inputs.items()
    }
    inputs = {key: given if key == "examples" else given[0] for key, given in inputs.items()}
    outputs = {
        "model": artifacts.Model(Path(request.outputs["model"].path)),
        "model_run": artifacts.ModelRun(Path(request.outputs["model_run"].path)),
    }

    def connect(parameters: Parameters) -> Distribution:
        file = storage.path(request.job_file)
        # Before this process listens: who reaches it finds this description.
        [given] = request.inputs["transformed_examples"]
        job.write(file, job.Job.new(parameters, storage.path(given.origin or given.path), file))
        distribution = over_workers(request.workers, 0)
        speaker.send(Joined())
        return distribution

    executor.run(request.parameters, context, **inputs, **outputs, connect=connect)  # type: ignore[arg-type]
    return Done({key: dict(output.properties) for key, output in outputs.items()})


def _run_worker(request: WorkerRequest, speaker: _Speaker) -> Done:
    from bitext.components.trainer import worker
    from bitext.components.trainer.distribution import over_workers

    parameters, temp_dir = request.job.typed_parameters(), Path(request.temp_dir)
    context = Context(temp_dir, temp_dir, _no_beam, speaker.say, observe=speaker.show)
    distribution = over_workers(request.workers, request.index)
    speaker.send(Joined())
    examples = artifacts.TransformedExamples(Path(request.examples))
    worker.train(parameters, context, examples, distribution)
    return Done()


def _no_beam() -> Any:
    raise RuntimeError("the Trainer runs no Beam pipeline")


def _end_with_caller() -> None:
    """Ends this process when the one that started it is gone."""
    while sys.stdin.buffer.read(1):
        continue
    os._exit(1)


def main(file: str) -> int:
    """Does what a request says, and returns the exit code."""
    threading.Thread(target=_end_with_caller, daemon=True).start()
    # What libraries print goes to standard error, which is the log.
    speaker = _Speaker(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)
    warnings.simplefilter("ignore", FutureWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    logging.basicConfig(level=logging.WARNING)
    try:
        request: Request = msgspec.json.decode(Path(file).read_bytes(), type=Request)
        if isinstance(request, ChiefRequest):
            done = _run_chief(request, speaker)
        else:
            done = _run_worker(request, speaker)
        speaker.send(done)
    except Exception as error:  # noqa: BLE001  (the top of the process: the caller gets the error)
        traceback.print_exc()
        speaker.send(_failure(error))
        return 1
    return 0


def _failure(error: Exception) -> Failed:
    """Returns the message about an error."""
    kind = type(error).__name__
    if isinstance(error, BitextError):
        return Failed(kind, str(error), error.remedy)
    if isinstance(error, OSError) and error.errno is not None:
        path = None if error.filename is None else str(error.filename)
        return Failed(kind, str(error.strerror), number=error.errno, path=path)
    return Failed(kind, str(error))


if __name__ == "__main__":
    code = main(sys.argv[1])
    sys.stderr.flush()
    os._exit(code)  # the connections to other workers are not closed one by one
