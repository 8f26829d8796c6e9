"""The identity of a pipeline root: a moved root stays the same, a copy becomes another one.

The id is in the root's file `.id`, so that a root that was moved or is mounted elsewhere keeps it. A copy of
a root has the same file. It is a copy if the place where the id was used last still has a root with this id.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Callable
from pathlib import Path

from bitext.pipeline.layout import Layout
from bitext.pipeline.store import Store


def claim(layout: Layout, store: Store, say: Callable[[str], None]) -> str:
    """Returns the root's id, before a run. A copy of a root gets an id of its own, and that is said.

    The root must be locked. If the process is killed, the next call continues.

    Args:
      layout: the folders of the root.
      store: its metadata store.
      say: prints one line.
    """
    if not layout.has_id():  # lost, or not copied with the other files
        runs = [run for run in store.runs() if Path(run.root).resolve() == layout.root.resolve()]
        layout.write_id(next((run.root_id for run in runs if run.root_id), uuid.uuid4().hex))
    old = layout.read_id()
    original = _original(layout, store, old)
    if original is None and not layout.new_id_file.exists():
        return old
    if not layout.new_id_file.exists():
        layout.new_id_file.write_text(uuid.uuid4().hex, encoding="ascii")
        say(
            f"{layout.root} is a copy of {original}, which is still there: from now on, it is a pipeline of"
            " its own"
        )
    new = layout.new_id_file.read_text(encoding="ascii")
    last = next((run for run in store.runs() if run.root_id == old), None)
    if last is not None and Path(last.root).resolve() == layout.root.resolve():  # the records were copied too
        store.change_root_id(old, new)
    layout.new_id_file.replace(layout.id_file)
    return new


def place(root: Path) -> str:
    """Returns the host and the absolute path of a root, for messages and for `claim`."""
    return f"{socket.gethostname()}:{root.resolve()}"


def _original(layout: Layout, store: Store, root_id: str) -> Path | None:
    """Returns the root that this one is a copy of; None if it is no copy."""
    last = next((run for run in store.runs() if run.root_id == root_id and run.place), None)
    if last is None:
        return None
    host, _, path = last.place.partition(":")
    original = Layout(Path(path))
    if host != socket.gethostname():
        return None
    try:
        is_same_id = original.id_file.is_file() and original.read_id() == root_id
    except PermissionError:  # another person's
        return original.root
    return original.root if is_same_id and not os.path.samefile(original.root, layout.root) else None
