"""Opens the metadata store of a locked pipeline root, for the commands that change the root."""

from __future__ import annotations

from collections.abc import Callable

from bitext.components.pusher.serving import TAKE_OVER_REMEDY, folder_inode, newest_version
from bitext.components.shared import storage
from bitext.components.shared.errors import ConfigError
from bitext.pipeline.completion import complete_record
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.identity import claim
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import State, pushed_artifact
from bitext.pipeline.store import Store


def open_store(config: PipelineConfig, layout: Layout, say: Callable[[str], None]) -> Store:
    """Opens the store and completes what a killed command left.

    Args:
      config: the configuration of the pipeline.
      layout: the folders of the root, which is locked.
      say: prints one line.

    Raises:
      DataError, EnvironmentFault: see `Store`.
    """
    store = Store(config.metadata, layout.root, config.name, say)
    store.delete_orphans()
    claim(layout, store, say)
    complete_record(config, layout, store)
    return store


def check_no_other_root_pushes(config: PipelineConfig, layout: Layout, store: Store) -> None:
    """Checks that no other root of the same pipeline took the serving folder over.

    Otherwise, each root would find the other's model there and push its own again, for ever. A root that has
    never pushed may push to a folder of a pipeline with its name: its root may have been deleted. A copy of a
    serving folder belongs to no other root.

    Raises:
      ConfigError: another root pushed the newest version, and this one has pushed before.
    """
    newest = newest_version(storage.path(config.serving))
    metadata, root_id = newest.metadata(), layout.read_id()
    if metadata is None or metadata.root_id in (None, root_id):
        return
    if metadata.folder_inode != folder_inode(newest.path.parent):
        return
    runs = {run.run_id for run in store.runs() if run.root_id == root_id}
    own = [e for e in store.executions() if e.run_id in runs and e.state == State.COMPLETE]
    if any(map(pushed_artifact, own)):
        raise ConfigError(
            f"the newest model in the serving folder {newest.path.parent}, version {newest.path.name}, was"
            f" pushed by another root of the pipeline {config.name!r}, {metadata.place}; this root has pushed"
            " before",
            TAKE_OVER_REMEDY,
        )
