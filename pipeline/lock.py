"""One run at a time in a pipeline root."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from components.errors import EnvironmentFault, LockedError


@contextlib.contextmanager
def locked(root: Path) -> Iterator[None]:
    """Holds `<root>/.lock`. The system releases it when the process ends, however it ends: none stays.

    Raises:
      LockedError: if another process holds it, naming that process.
      EnvironmentFault: if the folder or the file cannot be made.
    """
    path = root / ".lock"
    try:
        root.mkdir(parents=True, exist_ok=True)
        opened = path.open("a+", encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(
            f"{path} cannot be made: {error.strerror}",
            "Make the folder writable, or choose another with `root` or --root.",
        ) from error
    with opened as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise LockedError(
                f"another run is under way in {root}: {_holder(file.read())}",
                "Wait for it to end, or give this run another folder with --root.",
            ) from None
        file.truncate(0)
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        json.dump({"host": socket.gethostname(), "pid": os.getpid(), "started": started}, file)
        file.flush()
        try:
            yield
        finally:
            with contextlib.suppress(
                OSError
            ):  # a full or vanished disk: closing the file releases all the same
                file.truncate(0)


def _holder(text: str) -> str:
    try:
        holder = json.loads(text)
        return f"process {holder['pid']} on {holder['host']}, since {holder['started']}"
    except (ValueError, KeyError, TypeError):
        return "a process that has not yet written its name"
