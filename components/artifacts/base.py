"""The base class of all artifact kinds, and how their files are read and written."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec

from bitext.components.shared.errors import DataError
from bitext.components.shared.files import folder_digest, write_json
from bitext.components.shared.numbered import folder_number

Property = int | float | str
T = TypeVar("T")

_DAMAGE: tuple[type[Exception], ...] = (
    msgspec.MsgspecError,
    UnicodeDecodeError,
    EOFError,
    gzip.BadGzipFile,
    zlib.error,
    zipfile.BadZipFile,
)

_RESULT_FILE = ".result.json"
"""The file of `Artifact.write_result`. No published artifact has it."""

SAVED_MODEL_FILE = "saved_model.pb"
"""The file that makes a folder a SavedModel."""


@dataclasses.dataclass
class Artifact:
    """A typed folder that one component writes and others read, with its properties in the metadata store.

    A subclass documents the kind's file tree, and has a method to read and a method to write each file. A
    method that reads raises DataError if the file is missing or damaged.

    Attributes:
      path: the folder. The folder of an output exists and is empty when the component is called.
      properties: scalars recorded with the artifact (counts, scores). A component adds properties to its
        outputs; the runner stores them.
      readable: for an input, the splits that the component may read because it declared them; None: all.
      digest: for an input, the recorded SHA-256 of its content; None: none is recorded.
      origin: for an input, the published folder, of which `path` may be a copy; None: `path` is no copy.
    """

    TYPE_NAME: ClassVar[str] = "Artifact"
    """The kind's name in the metadata store."""
    FILES: ClassVar[tuple[str, ...]] = ()
    """Names of the kind's files. Code outside this package does not spell them."""
    NODE: ClassVar[str] = ""
    """The node that usually writes artifacts of this kind."""

    path: Path
    properties: dict[str, Property] = dataclasses.field(default_factory=dict)
    readable: tuple[str, ...] | None = None
    digest: str | None = None
    origin: Path | None = None

    def split(self, name: str) -> Path:
        """Returns the folder of one split, `Split-<name>`.

        Raises:
          ValueError: the reader has not declared that it reads the split (`Component.input_splits`).
        """
        if self.readable is not None and name not in self.readable:
            raise ValueError(f"split {name} is not among those declared as read: {self.readable}")
        return self.path / f"Split-{name}"

    def splits(self) -> list[str]:
        """Returns the names of the splits present, in alphabetical order."""
        return sorted(p.name.removeprefix("Split-") for p in self.path.glob("Split-*"))

    @property
    def node(self) -> str:
        """The node that wrote the artifact.

        A published artifact is stored in `<root>/<node>/<output>/<execution id>`. For other folders, this is
        the node that usually writes the kind.
        """
        is_published = folder_number(self.path.name) is not None and len(self.path.parts) > 3
        return self.path.parts[-3] if is_published else self.NODE

    def content_digest(self) -> str:
        """Returns the SHA-256 of the names and bytes of the artifact's files, in hexadecimal.

        A kind whose files may hold equal content in different bytes overrides this.
        """
        return folder_digest(self.path)

    def files_digest(self) -> str:
        """Returns the SHA-256 of the names and bytes of all files, in hexadecimal. It shows any damage."""
        return folder_digest(self.path)

    def verify(self) -> None:
        """Checks that the content has the recorded digest, if one is recorded.

        Raises:
          DataError: a file was changed, added or removed.
        """
        if self.digest is not None and self.content_digest() != self.digest:
            raise DataError(
                f"{self.TYPE_NAME} {self.path} is damaged: its files differ from those that were recorded",
                f"make it again: `bitext run CONFIG --force {self.node}`",
            )

    def split_digest(self, name: str) -> str:
        """Returns the SHA-256 of the names and bytes of one split's files, in hexadecimal."""
        return folder_digest(self.split(name))

    @contextlib.contextmanager
    def reporting_damage(self, file: Path, *errors: type[Exception]) -> Iterator[None]:
        """Context manager: re-raises errors of reading a file as a DataError with a remedy.

        Args:
          file: the file that is read, below `path`.
          *errors: further exception types that the reader raises for damaged content. Those of missing files
            and of malformed JSON, UTF-8, gzip and zip are always included.

        Raises:
          DataError: the file is missing or damaged. The message names the artifact, the file and the command
            that makes the artifact again.
        """
        try:
            yield
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise self.damaged(file, "is missing") from error
        except (*_DAMAGE, *errors) as error:
            raise self.damaged(file, f"is damaged: {error}") from error

    def damaged(self, file: Path, problem: str) -> DataError:
        """Returns the error for a file that cannot be used.

        Args:
          file: the file, below `path`.
          problem: what is wrong with it, beginning with a verb: `is missing`.
        """
        name = file.relative_to(self.path) if file.is_relative_to(self.path) else file
        return DataError(
            f"{self.TYPE_NAME} {self.path}: {name} {problem}",
            f"make it again: `bitext run CONFIG --force {self.node}`",
        )

    def write_result(self, value: Any) -> None:
        """Writes a value that a Beam function returns to the component, which may be on another machine."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / _RESULT_FILE, value)

    def take_result(self, kind: type[T]) -> T:
        """Reads the value of `write_result`, and removes its file.

        Args:
          kind: the type of the value.
        """
        path = self.path / _RESULT_FILE
        value = msgspec.json.decode(path.read_bytes(), type=kind)
        path.unlink()
        return value

    def read_json(self, file: Path, kind: type[T]) -> T:
        """Reads a JSON file of the artifact.

        Args:
          file: the file, below `path`.
          kind: the type of its content.

        Raises:
          DataError: the file is missing, is not JSON, or has a value of another type.
        """
        with self.reporting_damage(file):
            return msgspec.json.decode(file.read_bytes(), type=kind)

    def read_json_lines(self, file: Path, kind: type[T]) -> list[T]:
        """Reads a file with a JSON value on each line.

        Args:
          file: the file, below `path`.
          kind: the type of a line.

        Raises:
          DataError: the file is missing or empty, or a line is not JSON or has a value of another type.
        """
        with self.reporting_damage(file):
            values = msgspec.json.Decoder(kind).decode_lines(file.read_bytes())
        if not values:
            raise self.damaged(file, "is damaged: it is empty")
        return values


def span_label(artifact: Artifact) -> str:
    """Returns the label of the artifact's span: `span 7`, `span 7 version 2`; empty without spans.

    It is the property `part` that the runner recorded. Without it, it is made from `span` and `version`.
    """
    numbers = [
        f"{name} {artifact.properties[name]}" for name in ("span", "version") if name in artifact.properties
    ]
    return str(artifact.properties.get("part", " ".join(numbers)))
