"""Waits while another program has the SQLite file of the metadata store locked, and says for whom.

ML Metadata waits for minutes without a word and without releasing the GIL. So each transaction is preceded by
a look at the lock: an empty transaction of the same kind, without a timeout, which writes nothing.
"""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bitext.components.shared.errors import EnvironmentFault

QUIET_SECONDS = 0.5
"""Seconds of waiting before a line announces it: other pipelines hold the lock for milliseconds."""
MAX_WAIT_SECONDS = 60.0
"""Seconds of waiting before the file is given up."""
_POLL_SECONDS = (0.005, 0.05)
"""The first and the longest pause between two looks at the lock."""
_MAX_COMMAND = 80
"""The most characters shown of another program's command."""
_LOCK_BYTES = range(0x40000000, 0x40000000 + 512)
"""The bytes of a file that SQLite locks (PENDING_BYTE, RESERVED_BYTE and SHARED_FIRST in its source)."""
_PROC_LOCK = re.compile(
    r"\d+: (?:POSIX|OFDLCK) +\S+ +(?:READ|WRITE) (?P<pid>-?\d+) "
    r"[0-9a-f]+:[0-9a-f]+:(?P<inode>\d+) (?P<start>\d+) "
)
"""A granted lock of a byte range in /proc/locks (a waiting one has `->`)."""


def connect(file: Path, wait_seconds: float = MAX_WAIT_SECONDS) -> sqlite3.Connection:
    """Opens an SQLite file that exists. It never creates the file.

    Args:
      file: the SQLite file.
      wait_seconds: how long a statement waits for locks of others. After `wait_until_unlocked`, another
        pipeline may lock the file again, for milliseconds.
    """
    uri = f"{file.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(uri, uri=True, timeout=wait_seconds, isolation_level=None)
    connection.text_factory = lambda text: text.decode(errors="replace")  # text of a damaged file
    return connection


def wait_until_unlocked(
    file: Path, writes: bool, say: Callable[[str], None], max_seconds: float = MAX_WAIT_SECONDS
) -> None:
    """Returns once no other program's lock prevents a transaction.

    Args:
      file: the SQLite file, which exists.
      writes: whether the transaction writes: it then also waits for programs that read.
      say: prints a line if the wait takes longer than `QUIET_SECONDS`.
      max_seconds: the longest wait.

    Raises:
      EnvironmentFault: the file is still locked after `max_seconds`.
      sqlite3.Error: the file cannot be read, or is damaged.
    """
    started, announced, pause = time.monotonic(), False, _POLL_SECONDS[0]
    while is_locked(file, writes):
        waited = time.monotonic() - started
        if waited >= max_seconds:
            raise EnvironmentFault(
                f"the metadata store {file} is locked by {_holders_text(file)}; waited {max_seconds:g} s",
                "wait until that program is done, or end it; then run the same command again",
            )
        if not announced and waited >= QUIET_SECONDS:
            announced = True
            holder = _holders_text(file)
            say(f"waiting up to {max_seconds:g} s for the metadata store {file}, locked by {holder}")
        time.sleep(pause)
        pause = min(2 * pause, _POLL_SECONDS[1])


def is_locked(file: Path, writes: bool) -> bool:
    """Whether another program's lock prevents a transaction now. See `wait_until_unlocked`."""
    with contextlib.closing(connect(file, wait_seconds=0)) as database:
        try:
            # A writer needs an exclusive lock when it commits; a reader needs a shared one.
            database.execute("BEGIN EXCLUSIVE" if writes else "PRAGMA schema_version").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                return True
            raise
    return False


def _holders_text(file: Path) -> str:
    return " and ".join(holders(file)) or "another program, whose process cannot be found on this machine"


def holders(file: Path) -> list[str]:
    """The other processes that hold a lock of an SQLite file, with their commands: `process 12 (sqlite3 x)`.

    It is empty if they run on another machine, in another container, or the system does not tell.
    """
    try:
        status, table = file.stat(), Path("/proc/locks").read_text(encoding="ascii")
    except OSError:
        return []
    pids = {
        int(lock["pid"])
        for lock in map(_PROC_LOCK.match, table.splitlines())
        if lock and int(lock["inode"]) == status.st_ino and int(lock["start"]) in _LOCK_BYTES
    }
    pids.discard(os.getpid())
    return [f"process {pid}{_command(pid)}" for pid in sorted(pids) if pid > 0 and _may_hold(pid, status)]


def _may_hold(pid: int, status: os.stat_result) -> bool:
    """Whether a process has the file open. Inodes of two file systems may have the same number."""
    try:
        return any(os.path.samestat(other, status) for other in _open_files(pid))
    except PermissionError:  # a process of another user
        return True
    except OSError:  # it has ended
        return False


def _open_files(pid: int) -> Iterator[os.stat_result]:
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            yield descriptor.stat()


def _command(pid: int) -> str:
    """The command of a process in brackets; empty if it cannot be read."""
    try:
        arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return ""
    text = " ".join(os.fsdecode(arguments.replace(b"\0", b" ")).split())
    shown = text if len(text) <= _MAX_COMMAND else f"{text[:_MAX_COMMAND]}..."
    return f" ({shown})" if shown else ""
