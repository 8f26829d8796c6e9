"""The configuration file that a pipeline root belongs to: two of one name would share it unnoticed."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from bitext.components.shared.errors import ConfigError
from bitext.components.shared.files import write_json
from bitext.pipeline.config import PipelineConfig, load
from bitext.pipeline.layout import Layout


class Owner(msgspec.Struct, frozen=True):
    """The last configuration that ran in a root.

    Attributes:
      config: the file, absolute.
      folder: the folder that the command started in, to which its paths are relative.
      root: the pipeline root at that time, absolute.
    """

    config: str
    folder: str
    root: str


def read(layout: Layout) -> Owner | None:
    """Returns the last configuration that ran in a root; None: no run so far, or the record is damaged."""
    try:
        return msgspec.json.decode(layout.owner_file.read_bytes(), type=Owner)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def check(config: PipelineConfig, file: Path, layout: Layout) -> None:
    """Checks that no other configuration file uses the root.

    A root that was copied or moved, or whose configuration was moved, deleted or given another root, belongs
    to the next configuration that runs in it.

    Raises:
      ConfigError: another file uses the root, and neither of the two has `share_root`.
    """
    owner = read(layout)
    if owner is None:
        return
    other, root = Path(owner.config), layout.root.resolve()
    if config.share_root or owner.root != str(root) or not file.is_file() or not other.is_file():
        return
    if os.path.samefile(file, other):
        return
    try:
        other_config = load(other, warn=lambda _: None)
    except ConfigError:  # it is no configuration any more
        return
    if other_config.share_root or Path(owner.folder, other_config.work_folder).resolve() != root:
        return
    names = f", and both are named {config.name!r}" if other_config.name == config.name else ""
    raise ConfigError(
        f"{file.absolute()} and {other} are two configurations with one pipeline root, {layout.root}{names}:"
        " their runs, models and caches would be taken for those of one pipeline",
        "give one of them another `name` or `root`; if they are one pipeline, set `share_root: true`",
    )


def record(file: Path, layout: Layout) -> None:
    """Records the configuration file of a run. The root must be locked."""
    if file.is_file():  # not a pipe
        owner = Owner(str(file.absolute()), os.getcwd(), str(layout.root.resolve()))
        if read(layout) != owner:
            write_json(layout.owner_file, owner)
