"""One run at a time in a pipeline root."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bitext.components.shared.errors import EnvironmentFault, LockedError
from bitext.components.shared.files import hold
from bitext.pipeline.terminal import moment


@contextlib.contextmanager
def locked(root: Path, wait: float = 0.0, say: Callable[[str], None] = print) -> Iterator[str]:
    """Holds `<root>/.lock`. The system releases it when the process ends, however it ends: none stays.

    Its content names the process that holds it, which clears it in the end; one that is killed leaves it.

    Args:
      root: the pipeline root; made if need be.
      wait: for how many seconds another run is waited for; `math.inf`: as long as it takes.
      say: told, once, who is waited for.

    Yields:
      What there is to say of a process that was killed while it held the lock; empty: nothing.

    Raises:
      LockedError: if another process holds it, naming that process.
      EnvironmentFault: if the folder or the file cannot be made, or its file system has no locks.
    """
    path = root / ".lock"
    descriptor = _attempt(path, 0.0)
    if descriptor is None and wait:
        say(f"waiting for another run in {root}: {_holder(path)}")
        descriptor = _attempt(path, wait)
    if descriptor is None:
        waited = f", {wait:g} s later still" if wait else ""
        raise LockedError(
            f"another run is under way in {root}{waited}: {_holder(path)}",
            "Wait for it to end, as --wait does. A run that need not know of it can have another --root.",
        )
    with os.fdopen(descriptor, "r+", encoding="utf-8", errors="replace") as file:
        left = file.read()
        file.seek(0)
        file.truncate()
        json.dump({"host": socket.gethostname(), "pid": os.getpid(), "started": moment(time.time())}, file)
        file.flush()
        try:
            yield f"{path} taken over from {_named(left)}, which ended without clearing up" if left else ""
        finally:
            with contextlib.suppress(
                OSError
            ):  # a full or vanished disk: closing the file releases all the same
                file.truncate(0)


def _attempt(path: Path, wait: float) -> int | None:
    """The lock's descriptor; None if another process holds it still."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return hold(path, wait, os.O_RDWR | os.O_CREAT)
    except BlockingIOError:
        return None
    except OSError as error:
        raise EnvironmentFault(
            f"{path} cannot be made: {error.strerror}",
            "Make the folder writable, or choose another with `root` or --root.",
        ) from error


def _holder(path: Path) -> str:
    return _named(path.read_text(encoding="utf-8", errors="replace"))


def _named(text: str) -> str:
    """The process that a lock's content names."""
    try:
        holder = json.loads(text)
        return f"process {holder['pid']} on {holder['host']}, since {holder['started']}"
    except (ValueError, KeyError, TypeError):
        return "a process that has not yet written its name"
