"""The file by which the chief of a distributed training tells the other workers what to train.

It lies where all hosts can read it, below the pipeline root. Only the chief writes it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import platform
import uuid
from pathlib import Path
from typing import Any

import msgspec

from bitext.components.shared import storage
from bitext.components.shared.errors import (
    BitextError,
    ConfigError,
    DataError,
    EnvironmentFault,
    LockedError,
    TrainingError,
)
from bitext.components.trainer import Parameters

_LIBRARIES = ("tensorflow", "keras", "numpy")
_PACKAGE = Path(__file__).parents[1]
_ERRORS: dict[int, type[BitextError]] = {
    error.exit_code: error
    for error in (BitextError, ConfigError, DataError, LockedError, EnvironmentFault, TrainingError)
}


class Ending(msgspec.Struct, frozen=True):
    """How the chief ended.

    Attributes:
      exit_code: the exit code; 0: success.
      message: the error; empty: none.
      remedy: what to do about it.
    """

    exit_code: int
    message: str = ""
    remedy: str = ""

    def error(self) -> BitextError | None:
        """Returns the error of the chief, as an error of a worker; None: it had none."""
        if not self.exit_code:
            return None
        return _ERRORS.get(self.exit_code, BitextError)(f"the chief ended: {self.message}", self.remedy)


def ending_after(error: BaseException | None) -> Ending:
    """Returns how the chief ended, from the exception that ended it."""
    if error is None:
        return Ending(0)
    if isinstance(error, BitextError):
        return Ending(error.exit_code, str(error), error.remedy)
    message = " ".join(f"{type(error).__name__} {error}".split())
    return Ending(EnvironmentFault.exit_code, message, "see its log, and start all workers again")


class Job(msgspec.Struct, frozen=True):
    """What the workers of one attempt at a training do.

    Attributes:
      id: differs for each attempt.
      code: the digest of the code and of the versions of the libraries, `code_digest`.
      parameters: the parameters in effect.
      examples: the folder of the transformed examples, relative to that of the file if it is below it.
      ended: how the chief ended; None: it trains.
    """

    id: str = ""
    code: str = ""
    parameters: dict[str, Any] = {}
    examples: str = ""
    ended: Ending | None = None

    @classmethod
    def new(cls, parameters: Parameters, examples: Path, file: Path) -> Job:
        """Returns the description of a new attempt.

        Args:
          parameters: the parameters in effect.
          examples: the folder of the transformed examples, as all hosts see it.
          file: the file that the description is written to.
        """
        root = file.parent if storage.is_remote(file) else file.parent.resolve()
        folder = examples if storage.is_remote(examples) else examples.resolve()
        is_below = storage.is_remote(root) == storage.is_remote(folder) and folder.is_relative_to(root)
        place = folder.relative_to(root) if is_below else folder
        return cls(uuid.uuid4().hex, code_digest(), msgspec.to_builtins(parameters), str(place))

    def typed_parameters(self) -> Parameters:
        """Returns the parameters.

        Raises:
          ConfigError: the chief runs other code than this process.
        """
        if self.code != code_digest():
            raise ConfigError(
                "the chief runs another version of bitext, or of TensorFlow, Keras, NumPy or Python",
                "install the same version on all hosts",
            )
        return msgspec.convert(self.parameters, Parameters)

    def examples_folder(self, file: Path) -> Path:
        """Returns the folder of the transformed examples, as this host sees it."""
        if storage.is_remote(self.examples):
            return storage.path(self.examples)
        return file.parent / self.examples


def code_digest() -> str:
    """Returns the SHA-256 of the code of the components and of the versions of their libraries."""
    digest = hashlib.sha256(".".join(platform.python_version_tuple()[:2]).encode())
    for name in _LIBRARIES:
        digest.update(f"{name} {importlib.metadata.version(name)}\n".encode())
    for path in sorted(_PACKAGE.rglob("*.py")):
        digest.update(f"{path.relative_to(_PACKAGE)} ".encode() + hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def read(file: Path) -> Job:
    """Reads the description; an empty one if there is none.

    Raises:
      DataError: the file is damaged.
    """
    try:
        content = storage.read(file)
    except FileNotFoundError:
        return Job()
    try:
        return msgspec.json.decode(content, type=Job)
    except msgspec.MsgspecError as error:
        raise DataError(f"{file} is damaged: {error}", "delete it, and start the chief again") from error


def write(file: Path, job: Job) -> None:
    """Writes the description, whole or not at all."""
    content = msgspec.json.encode(job)
    if storage.is_remote(file):
        file.write_bytes(content)  # a store shows a file when it is complete
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_name(f"{file.name}.{uuid.uuid4().hex}.new")
    new.write_bytes(content)
    new.rename(file)


def end(file: Path, ending: Ending) -> None:
    """Records how the chief ended, also if it did not get as far as to train."""
    job = read(file)
    is_new = job.ended is not None or not job.id
    write(file, msgspec.structs.replace(job, id=uuid.uuid4().hex if is_new else job.id, ended=ending))
