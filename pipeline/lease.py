"""The lease of a remote pipeline root: one run at a time, on whatever machine.

An object store has no locks, but it can create a file only if it does not exist. Each holder creates a file
with the next number in `.lease/`, so the highest number is the holder. The holder rewrites its file every
`BEAT_SECONDS`. Another process takes over by creating the next number once the file has not changed for
`EXPIRY_SECONDS` by its own clock; clocks of different machines are not compared. A holder that was suspended
for so long finds the higher number before it publishes (`check`), and publishes nothing.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from bitext.components.shared import storage
from bitext.components.shared.errors import EnvironmentFault, LockedError
from bitext.pipeline.terminal import moment
from bitext.pipeline.waiting import announced_after

BEAT_SECONDS = 5.0
"""How often the holder shows that it lives."""
EXPIRY_SECONDS = 30.0
"""A holder that has not shown that it lives for so long has lost the lease."""
QUIET_SECONDS = 10.0
"""Seconds without an answer of the store before a line announces the wait."""
_POLL_SECONDS = 1.0
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAME = re.compile(r"(\d{8})\.json")


class Holder(msgspec.Struct, frozen=True):
    """The content of a lease.

    Attributes:
      host: the name of the machine.
      pid: the process on it.
      started: when it took the lease, in words.
      lock: what identifies the local lock that it holds, too: a process that holds the same local lock knows
        that this process has ended.
      beat: how often it has shown that it lives.
      seen: when it has done so last, in seconds since the epoch by its clock; only shown.
      is_released: whether it has ended.
    """

    host: str
    pid: int
    started: str
    lock: str
    beat: int = 0
    seen: float = 0.0
    is_released: bool = False

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"


@dataclasses.dataclass
class Lease:
    """A lease that this process holds.

    Attributes:
      folder: the folder of the leases.
      number: its number.
      holder: its content.
      taken_over_from: the process that was killed while it held the lease; empty: none.
    """

    folder: Path
    number: int
    holder: Holder
    taken_over_from: str = ""

    def check(self) -> None:
        """Checks that no other process has taken the lease over.

        Raises:
          LockedError: one has, because this process did not show that it lives for `EXPIRY_SECONDS`.
          EnvironmentFault: the store cannot be reached.
        """
        newest, holder = _newest(self.folder)
        if newest > self.number:
            raise LockedError(
                f"another run has taken over {self.folder.parent}: {holder}; this process was suspended, or"
                f" cut off from the store, for {EXPIRY_SECONDS:g} s",
                "run again when that run has ended",
            )

    def beat(self, stop: threading.Event) -> None:
        """Shows every `BEAT_SECONDS` that the process lives, until `stop` is set."""
        while not stop.wait(BEAT_SECONDS):
            self.holder = msgspec.structs.replace(self.holder, beat=self.holder.beat + 1, seen=time.time())
            try:
                self._write()
            except (OSError, EnvironmentFault) as error:  # the next beat may succeed; `check` decides
                logging.getLogger("lease").warning("the lease cannot be renewed: %s", error)

    def release(self) -> None:
        """Gives the lease back. If the store cannot be reached, it expires."""
        self.holder = msgspec.structs.replace(self.holder, is_released=True, seen=time.time())
        with contextlib.suppress(OSError, EnvironmentFault):
            self._write()

    def _write(self) -> None:
        file = _file(self.folder, self.number)
        with storage.reporting_faults(str(file)):
            file.write_bytes(msgspec.json.encode(self.holder))


@contextlib.contextmanager
def leased(folder: Path, lock: str, wait: float, say: Callable[[str], None]) -> Iterator[Lease]:
    """Context manager: holds the lease of a remote root.

    Args:
      folder: the folder of the leases.
      lock: what identifies the local lock that this process holds.
      wait: seconds to wait for a holder that lives; `math.inf`: without limit.
      say: prints, once, which process is waited for.

    Raises:
      LockedError: another process holds the lease.
      EnvironmentFault: the store cannot be reached or written.
    """
    lease = _acquire(folder, lock, wait, say)
    stop = threading.Event()
    thread = threading.Thread(target=lease.beat, args=[stop], name="lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        stop.set()
        thread.join(BEAT_SECONDS)
        lease.release()


def announced(address: str, say: Callable[[str], None]) -> contextlib.AbstractContextManager[None]:
    """Context manager: prints a line if a store does not answer for `QUIET_SECONDS`."""
    return announced_after(QUIET_SECONDS, say, f"waiting for {address}, which does not answer")


def _acquire(folder: Path, lock: str, wait: float, say: Callable[[str], None]) -> Lease:
    """Takes the lease when its holder has released it, has ended, or does not show that it lives."""
    started = unchanged_since = time.monotonic()
    seen: tuple[int, Holder | None] | None = None
    is_announced = False
    while True:
        with announced(str(folder.parent), say):
            current = number, holder = _newest(folder)
        if current != seen:
            if seen is not None and seen[0] == number and time.monotonic() - started >= wait:
                raise LockedError(
                    f"another run is in progress in {folder.parent}: {holder}",
                    "wait until it ends, or use --wait; for an independent run, use another --root",
                )
            seen, unchanged_since = current, time.monotonic()
        is_free = number == 0 or (holder is not None and (holder.is_released or holder.lock == lock))
        if is_free or time.monotonic() - unchanged_since >= EXPIRY_SECONDS:
            if lease := _take(folder, number + 1, lock):
                is_killed = number > 0 and not (holder and holder.is_released)
                lease.taken_over_from = str(holder or "an unknown process") if is_killed else ""
                return lease
            continue
        if not is_announced:
            is_announced = True
            say(f"{folder.parent} is used by {holder}; waiting up to {EXPIRY_SECONDS:g} s for a sign of life")
        time.sleep(_POLL_SECONDS)


def _take(folder: Path, number: int, lock: str) -> Lease | None:
    """Takes the lease with a number; None: another process has taken it."""
    holder = Holder(socket.gethostname(), os.getpid(), moment(time.time()), lock, seen=time.time())
    if not storage.create(_file(folder, number), msgspec.json.encode(holder)):
        return None
    for old in _numbers(folder):
        if old < number:
            with contextlib.suppress(FileNotFoundError):  # another process removes it, too
                _file(folder, old).unlink()
    return Lease(folder, number, holder)


def is_alive(folder: Path) -> bool:
    """Whether a lease is held by a process that has shown not long ago that it lives, by the clocks."""
    _, holder = _newest(folder)
    return holder is not None and not holder.is_released and time.time() - holder.seen < EXPIRY_SECONDS


def local_lock(descriptor: int) -> str:
    """Returns what identifies an open lock file among those of all machines, until the machine restarts."""
    status = os.fstat(descriptor)
    boot = _BOOT_ID.read_text(encoding="ascii").strip() if _BOOT_ID.exists() else socket.gethostname()
    return f"{boot} {status.st_dev} {status.st_ino}"


def _newest(folder: Path) -> tuple[int, Holder | None]:
    """Returns the highest number, and its holder; (0, None): there is none. A damaged file has no holder."""
    number = max(_numbers(folder), default=0)
    if not number:
        return 0, None
    file = _file(folder, number)
    try:
        return number, msgspec.json.decode(storage.read(file), type=Holder)
    except (FileNotFoundError, msgspec.MsgspecError):  # a higher number has replaced it
        return number, None


def _numbers(folder: Path) -> list[int]:
    names = (file.name for file in storage.files_below(folder))
    return [int(match[1]) for match in map(_NAME.fullmatch, names) if match]


def _file(folder: Path, number: int) -> Path:
    return folder / f"{number:08d}.json"
