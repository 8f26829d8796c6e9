"""The lock of a pipeline root: one run at a time."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bitext.components.shared.errors import EnvironmentFault, LockedError
from bitext.components.shared.files import open_locked
from bitext.pipeline.terminal import moment

PROBED_SECONDS = 0.1
"""`is_held` may hold the lock for a moment. A run waits so long before it reports another one."""


def is_held(root: Path) -> bool:
    """Whether a process, here or on another machine, holds the lock of a pipeline root."""
    try:
        descriptor = os.open(root / ".lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextlib.contextmanager
def locked(root: Path, wait: float = 0.0, say: Callable[[str], None] = print) -> Iterator[str]:
    """Context manager: holds `<root>/.lock`. The operating system releases it even if the process is killed.

    The file names the process that holds it, and is emptied at the end. A killed process leaves its name.

    Args:
      root: the pipeline root; created if necessary.
      wait: seconds to wait for another run to end; `math.inf`: without limit.
      say: prints, once, which process is waited for.

    Yields:
      A message about a process that was killed while it held the lock; empty if there is none.

    Raises:
      LockedError: another process, which the message names, holds the lock.
      EnvironmentFault: the folder or file cannot be created, or the file system has no locks.
    """
    path = root / ".lock"
    descriptor = _acquire(path, PROBED_SECONDS)
    if descriptor is None and wait:
        say(f"waiting for another run in {root}: {_holder(path)}")
        descriptor = _acquire(path, wait)
    if descriptor is None:
        waited = f" after {wait:g} s" if wait else ""
        raise LockedError(
            f"another run is in progress in {root}{waited}: {_holder(path)}",
            "wait until it ends, or use --wait; for an independent run, use another --root",
        )
    with os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace") as file:
        dead_holder = file.read()
        file.seek(0)
        file.truncate()
        json.dump({"host": socket.gethostname(), "pid": os.getpid(), "started": moment(time.time())}, file)
        file.flush()
        try:
            yield f"{path} taken over from {_process(dead_holder)}, which was killed" if dead_holder else ""
        finally:
            # On a full or removed disk this fails; closing the file releases the lock all the same.
            with contextlib.suppress(OSError):
                file.truncate(0)


def _acquire(path: Path, wait: float) -> int | None:
    """Returns the descriptor of the locked file; None if another process still holds it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return open_locked(path, wait, os.O_RDWR | os.O_CREAT)
    except BlockingIOError:
        return None
    except OSError as error:
        raise EnvironmentFault(
            f"{path} cannot be created: {error.strerror}",
            "make the folder writable, or choose another with `root` or --root",
        ) from error


def _holder(path: Path) -> str:
    return _process(path.read_text(encoding="utf-8", errors="replace"))


def _process(text: str) -> str:
    """Returns the process that the content of a lock file names."""
    try:
        holder = json.loads(text)
        return f"process {holder['pid']} on {holder['host']}, since {holder['started']}"
    except (ValueError, KeyError, TypeError):
        return "a process that has not yet written its name"
