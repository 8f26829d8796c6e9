"""The output of a command: standard output, a pipe, a device, or a file.

A file is written completely or not at all.
`check_output_file` and `check_output_folder` refuse an impossible output before the command does any work.
"""

from __future__ import annotations

import bz2
import contextlib
import dataclasses
import gzip
import io
import lzma
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from bitext.components.shared import storage
from bitext.components.shared.errors import ConfigError, EnvironmentFault
from bitext.components.shared.faults import reporting_faults
from bitext.components.shared.files import atomic_writer
from bitext.components.shared.numbered import folder_number

if TYPE_CHECKING:
    from bitext.components.translation.translator import Translation

FILE_REMEDY = "free space, or name another file with --output"
FOLDER_REMEDY = "free space, or name another folder with --output"
STANDARD_INPUT = Path("/dev/stdin")
"""For `check_output_file`: the file that the shell opened as standard input."""
COMPRESSION_LEVEL = 6
"""Of gzip."""
MAX_LINKS = 40
"""Maximum number of symbolic links that Linux follows in one path."""


def check_output_file(path: Path | None, input: Path | None = None) -> None:
    """Checks that an output file can be written, without writing it.

    Args:
      path: the file; None: standard output.
      input: the file that the command reads.

    Raises:
      ConfigError: the output is a folder or is the input, its folder does not exist, or its symbolic links
        form a circle.
      EnvironmentFault: the output cannot be written by this user.
    """
    if path is None:
        return
    if path.is_dir():
        raise ConfigError(f"cannot write {path}: it is a folder", "name a file with --output")
    if storage.is_remote(path):
        storage.check_writable(path.parent)
    if is_special(path):
        _check_writable(path)
        return
    if input is not None and same_file(input, path):
        raise ConfigError(
            f"cannot write {path}: it is the input, which would be lost", "name another file with --output"
        )
    if storage.is_remote(path):
        return
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise ConfigError(
            f"cannot write {path}: its symbolic links lead in a circle", "name another file with --output"
        )
    if not target.parent.is_dir():
        problem = "is no folder" if target.parent.exists() else "does not exist"
        raise ConfigError(
            f"cannot write {path}: {target.parent} {problem}", "create the folder, or name another --output"
        )
    _check_writable(target.parent)
    if target.exists():
        _check_writable(target)


def check_output_folder(path: Path) -> None:
    """Checks that an output folder can be created, without creating it.

    Raises:
      ConfigError: the folder exists, or a parent is not a folder.
      EnvironmentFault: this user cannot create it.
    """
    if os.path.lexists(path):
        raise ConfigError(f"{path} exists already", "name a folder that does not exist with --output")
    parent = next(parent for parent in path.absolute().parents if os.path.lexists(parent))
    if not parent.is_dir():
        raise ConfigError(f"cannot create {path}: {parent} is no folder", "name another folder with --output")
    _check_writable(parent)


def _check_writable(path: Path) -> None:
    if not os.access(path, os.W_OK):
        raise EnvironmentFault(
            f"cannot write {path}: permission denied, or a read-only file system",
            "give this user the right to write there, or name another --output",
        )


def same_file(first: Path, second: Path) -> bool:
    """Returns whether two paths lead to one file, which need not exist."""
    if storage.is_remote(first) or storage.is_remote(second):
        return str(first) == str(second)
    if os.path.realpath(first) == os.path.realpath(second):
        return True
    with contextlib.suppress(OSError):
        return os.path.samefile(first, second)
    return False


def is_special(path: Path) -> bool:
    """Whether a path is a pipe, a device or a descriptor (/dev/stdout), which a rename cannot replace."""
    if storage.is_remote(path):
        return False
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    is_replaceable = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return not is_replaceable or _own_descriptor(path) is not None


def _own_descriptor(path: Path) -> int | None:
    """Returns the file descriptor of this process that a path leads to (/dev/stdout: 1), or None."""
    for _ in range(MAX_LINKS):
        absolute = Path(os.path.realpath(path.absolute().parent)) / path.name
        if absolute.parent == Path(f"/proc/{os.getpid()}/fd"):
            return folder_number(absolute.name)
        if not absolute.is_symlink():
            return None
        path = absolute.parent / absolute.readlink()
    return None


@contextlib.contextmanager
def open_output(path: Path | None) -> Iterator[Callable[[bytes], None]]:
    """Context manager: opens an output and yields a function that writes to it.

    * A regular file is replaced by one rename when its content is complete. It keeps its mode and, if this
      user may set it, its owner. A symbolic link is followed: its target is replaced.
    * A remote file appears when its content is complete, which is in a temporary file until then.
    * A pipe or a device is written to directly.
    * The content is compressed by the ending of the file name: .gz, .bz2, .xz or .zst.

    Args:
      path: the file; None: standard output.

    Raises:
      ConfigError: as `check_output_file`.
      EnvironmentFault: the output cannot be written.
      BrokenPipeError: the reader has closed standard output or the pipe.
    """
    check_output_file(path)
    if path is None:
        yield _write_to_standard_output
        return
    stack = contextlib.ExitStack()
    with _reporting_faults(path):
        file = stack.enter_context(_open_file(path))
        stream = _compressing(file, path.name)

    def write(data: bytes) -> None:
        with _reporting_faults(path):
            stream.write(data)

    try:
        yield write
        with _reporting_faults(path):
            stream.close()  # writes buffered bytes
    except BaseException as error:
        # After a failed write, closing may fail as well. That error must not hide the first one.
        with contextlib.suppress(OSError):
            stream.close()
        with contextlib.suppress(OSError):
            stack.__exit__(type(error), error, error.__traceback__)
        raise
    with _reporting_faults(path):
        stack.close()


def _write_to_standard_output(data: bytes) -> None:
    """Writes without Python's buffer: bytes left in it after a failed write would fail again at exit."""
    with _reporting_faults(Path("standard output")):
        sys.stdout.flush()
        binary: Any = sys.stdout.buffer
        _UnbufferedWriter(getattr(binary, "raw", binary)).write(data)


@contextlib.contextmanager
def _reporting_faults(path: Path) -> Iterator[None]:
    """Context manager: `reporting_faults`, except that BrokenPipeError is re-raised unchanged."""
    broken_pipe = None
    with reporting_faults(path, FILE_REMEDY):
        try:
            yield
        except BrokenPipeError as error:
            broken_pipe = error
    if broken_pipe is not None:
        raise broken_pipe


class _UnbufferedWriter:
    """Writes all bytes to an unbuffered file, whose `write` may write only some of them."""

    def __init__(self, file: io.RawIOBase):
        self._file = file

    def write(self, data: bytes) -> int:
        unwritten = memoryview(data)
        while unwritten:
            unwritten = unwritten[self._file.write(unwritten) or 0 :]
        return len(data)

    def flush(self) -> None:
        """Does nothing, because nothing is buffered."""


@contextlib.contextmanager
def _open_special(path: Path) -> Iterator[BinaryIO]:
    """Opens a pipe or a device. Opening a pipe waits for a reader."""
    own = _own_descriptor(path)
    # A duplicate keeps the append mode and the offset of a file that the shell opened (`>>`).
    descriptor = os.open(path, os.O_WRONLY) if own is None else os.dup(own)
    with open(descriptor, "wb", buffering=0) as file:
        yield cast(BinaryIO, _UnbufferedWriter(file))


def _open_file(path: Path) -> contextlib.AbstractContextManager[BinaryIO]:
    if storage.is_remote(path):
        return _open_remote(path)
    return _open_special(path) if is_special(path) else _open_regular(path)


@contextlib.contextmanager
def _open_remote(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary file that is copied to `path` on success."""
    with tempfile.NamedTemporaryFile(prefix="bitext-") as file:
        yield cast(BinaryIO, file)
        file.flush()
        storage.put(Path(file.name), path)


@contextlib.contextmanager
def _open_regular(path: Path) -> Iterator[BinaryIO]:
    """Opens a temporary file that replaces the target of `path` on success and takes its mode and owner."""
    target = Path(os.path.realpath(path))
    replaced = target.stat() if target.exists() else None
    with atomic_writer(target, mode=0o600 if replaced else 0o666) as file:
        if replaced:
            with contextlib.suppress(PermissionError):  # only root may set another owner
                os.fchown(file.fileno(), replaced.st_uid, replaced.st_gid)
            os.fchmod(file.fileno(), stat.S_IMODE(replaced.st_mode))
        yield file


class _Uncompressed:
    """A stream without compression. Its `close` leaves the file open, as those of the compressors do."""

    def __init__(self, file: BinaryIO):
        self.write, self.close = file.write, file.flush


def _compressing(file: BinaryIO, name: str) -> BinaryIO:
    """Returns a stream that compresses into a file as `name` ends. Its `close` leaves the file open."""
    stream: object
    if name.endswith(".gz"):
        stream = gzip.GzipFile("", "wb", COMPRESSION_LEVEL, file, mtime=0)
    elif name.endswith(".bz2"):
        stream = bz2.BZ2File(file, "wb")
    elif name.endswith(".xz"):
        stream = lzma.LZMAFile(file, "wb")  # noqa: SIM115
    elif name.endswith(".zst"):
        import zstandard

        stream = zstandard.ZstdCompressor().stream_writer(file, closefd=False)
    else:
        stream = _Uncompressed(file)
    return cast(BinaryIO, stream)


@dataclasses.dataclass(frozen=True)
class NewFolder:
    """A temporary folder that `commit` renames to its target.

    Attributes:
      path: the temporary folder; its name is random.
      target: the final path.
    """

    path: Path
    target: Path

    def commit(self) -> None:
        """Renames the folder to its target.

        Raises:
          ConfigError: the target exists.
          EnvironmentFault: the folder cannot be renamed.
        """
        check_output_folder(self.target)
        with reporting_faults(self.target, FOLDER_REMEDY):
            self.path.rename(self.target)


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[NewFolder]:
    """Context manager: creates an empty folder beside `path`, and deletes it unless it was committed.

    Raises:
      ConfigError: as `check_output_folder`.
      EnvironmentFault: the folder cannot be created.
    """
    check_output_folder(path)
    folder = NewFolder(path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.partial"), path)
    try:
        with reporting_faults(path, FOLDER_REMEDY):
            path.parent.mkdir(parents=True, exist_ok=True)
            folder.path.mkdir()
        yield folder
    finally:
        shutil.rmtree(folder.path, ignore_errors=True)


def format_lines(results: list[list[Translation]], first_line: int, nbest: int) -> str:
    """Formats translations as lines of text.

    Args:
      results: the translations of each source line.
      first_line: number of the first source line, from 1.
      nbest: if 1, each source line gives one line with its best translation; if more, each translation gives
        one line, `line number <tab> score <tab> text`.
    """
    if nbest == 1:
        return "".join(f"{translations[0].text}\n" for translations in results)
    return "".join(
        f"{number}\t{t.score:.4f}\t{t.text}\n"
        for number, translations in enumerate(results, first_line)
        for t in translations
    )
