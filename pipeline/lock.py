"""The lock of a pipeline root: one run at a time. A remote root has a lease, too."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bitext.components.shared.errors import EnvironmentFault, LockedError
from bitext.components.shared.files import open_locked
from bitext.pipeline import lease
from bitext.pipeline.layout import Layout
from bitext.pipeline.terminal import moment

PROBED_SECONDS = 0.1
"""`is_held` may hold the lock for a moment. A run waits so long before it reports another one."""


def is_used(layout: Layout) -> bool:
    """Whether a process, here or on another machine, uses a pipeline root."""
    return is_held(layout.root) or (layout.remote is not None and lease.is_alive(layout.lease))


def is_held(root: Path) -> bool:
    """Whether a process, here or on another machine, holds the lock of a local folder."""
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


@dataclasses.dataclass(frozen=True)
class Use:
    """The use of a pipeline root by this process.

    Attributes:
      takeover: a message about a process that was killed while it used the root; empty if there is none.
      lease: the lease of a remote root; None: the root is local.
    """

    takeover: str = ""
    lease: lease.Lease | None = None

    def check(self) -> None:
        """Raises LockedError if another process has taken over a remote root."""
        if self.lease is not None:
            self.lease.check()


@contextlib.contextmanager
def in_use(layout: Layout, wait: float = 0.0, say: Callable[[str], None] = print) -> Iterator[Use]:
    """Context manager: uses a pipeline root alone: holds its lock, and the lease of a remote root.

    Args:
      layout: the folders of the root.
      wait: seconds to wait for another run to end; `math.inf`: without limit.
      say: prints, once, which process is waited for.

    Raises:
      LockedError: another process, which the message names, uses the root.
      EnvironmentFault: the folder or file cannot be created, or the store cannot be reached.
    """
    with locked(layout.root, wait, say) as takeover:
        if layout.remote is None:
            yield Use(takeover)
            return
        with (layout.root / ".lock").open("rb") as file:
            identity = lease.local_lock(file.fileno())
        with lease.leased(layout.lease, identity, wait, say) as held:
            if not takeover and held.taken_over_from:
                takeover = (
                    f"{layout.remote} taken over from {held.taken_over_from}, which has not released it"
                )
            yield Use(takeover, held)


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
