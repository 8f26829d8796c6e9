"""The identity of a pipeline root: a moved root stays the same, a copy becomes another one.

The id is in the root's file `.id`, so that a root that was moved or is mounted elsewhere keeps it. A copy of
a root has the same file. On one host, it is a copy if the place where the id was used last still has a root
with this id. On another host, it is a copy if the file is another one: it is the same file if the folder is
mounted there. A folder that was moved to another host cannot be told from a copy.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from pathlib import Path

from bitext.components.shared import storage
from bitext.components.shared.storage import is_remote
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import Run
from bitext.pipeline.store import Store


def claim(layout: Layout, store: Store, say: Callable[[str], None]) -> str:
    """Returns the root's id, before a run. A copy of a root gets an id of its own, and that is said.

    The root must be locked. If the process is killed, the next call continues.

    Args:
      layout: the folders of the root.
      store: its metadata store.
      say: prints one line.
    """
    if not layout.has_id():
        layout.write_id(known_id(layout, store) or uuid.uuid4().hex)
    old = layout.read_id()
    original = _original(layout, store, old)
    if original is None and not layout.new_id_file.exists():
        return old
    if layout.remote is not None:
        layout.write_id(uuid.uuid4().hex)
        say(f"{layout.address} is a copy of {original}: from now on, it is a pipeline of its own")
        return layout.read_id()
    if not layout.new_id_file.exists():
        layout.new_id_file.write_text(uuid.uuid4().hex, encoding="ascii")
        say(f"{layout.root} is a copy of {original}: from now on, it is a pipeline of its own")
    new = layout.new_id_file.read_text(encoding="ascii")
    last = next((run for run in store.runs() if run.root_id == old), None)
    if last is not None and _is_in(last, layout):  # the records were copied too
        store.change_root_id(old, new)
    layout.new_id_file.replace(layout.id_file)
    return new


def known_id(layout: Layout, store: Store) -> str:
    """Returns the root's id. If the file is lost, or was not copied, the id on record; empty if none is."""
    if layout.has_id():
        return layout.read_id()
    runs = (run for run in store.runs() if _is_in(run, layout))
    return next((run.root_id for run in runs if run.root_id), "")


def _is_in(run: Run, layout: Layout) -> bool:
    """Whether a run was in the root at this address."""
    return (run.root if is_remote(run.root) else str(Path(run.root).resolve())) == layout.address


def place(layout: Layout) -> str:
    """Returns the host and the absolute path of a root, for messages and for `claim`; a remote address."""
    return layout.address if layout.remote is not None else f"{socket.gethostname()}:{layout.address}"


def identify(run: Run, layout: Layout) -> None:
    """Records which root a run is in, so that a copy of the root is recognized."""
    run.root_id, run.place, run.id_file = layout.read_id(), place(layout), id_file_stamp(layout)


def id_file_stamp(layout: Layout) -> str:
    """Returns what identifies the file `.id` wherever its folder is mounted: its inode and change time.

    A copied file has another inode and another change time. A remote file has neither: the text is empty.
    """
    if layout.remote is not None:
        return ""
    status = layout.id_file.stat()
    return f"{status.st_ino} {status.st_ctime_ns}"


def _original(layout: Layout, store: Store, root_id: str) -> str | None:
    """Returns the root that this one is a copy of, and whether it is there; None if it is no copy."""
    last = next((run for run in store.runs() if run.root_id == root_id and run.place), None)
    if last is None:
        return None
    if layout.remote is not None or is_remote(last.place):
        return None if last.place == layout.address else _original_elsewhere(last, root_id)
    host, _, path = last.place.partition(":")
    original = Layout(Path(path))
    if host != socket.gethostname():
        seen, now = last.id_file.split(), id_file_stamp(layout).split()
        # Some network file systems make up inodes, and `chown` sets the change time: both differ in a copy.
        is_copy = bool(seen) and all(old != new for old, new in zip(seen, now, strict=True))
        return f"{last.place}, or was moved from there" if is_copy else None
    there = f"{original.root}, which is still there"
    try:
        is_same_id = original.id_file.is_file() and original.read_id() == root_id
    except PermissionError:  # another person's
        return there
    return there if is_same_id and not os.path.samefile(original.root, layout.root) else None


def _original_elsewhere(last: Run, root_id: str) -> str | None:
    """Returns the root that a run was in, if that root is still there with its id; None: it is gone.

    A local root on another machine cannot be looked at, so it counts as there.
    """
    if not is_remote(last.place):
        return last.place
    original = Layout(Path(), storage.path(last.place))
    return last.place if original.has_id() and original.read_id() == root_id else None
