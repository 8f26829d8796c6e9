"""The report of `bitext history`: all runs of a pipeline, and what changed from one to the next."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bitext.pipeline.completion import complete_interrupted
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.layout import Layout
from bitext.pipeline.lock import is_used
from bitext.pipeline.reports.history.entries import Entry
from bitext.pipeline.reports.history.reading import entries
from bitext.pipeline.reports.passes import passes
from bitext.pipeline.reports.running import ENDED
from bitext.pipeline.store import Store
from bitext.pipeline.store import exists as store_exists


class History(msgspec.Struct, frozen=True, kw_only=True):
    """The history of a pipeline.

    Attributes:
      pipeline: its name.
      entries: its passes, oldest first.
      omitted: number of earlier passes that are left out.
      page: the page that shows it.
    """

    pipeline: str
    entries: tuple[Entry, ...]
    omitted: int = 0
    page: str = ""


def collect(config: PipelineConfig, limit: int | None = None) -> History:
    """Returns the history.

    Args:
      config: the configuration of the pipeline.
      limit: the most passes, the newest; None: all.

    Raises:
      DataError, EnvironmentFault: the metadata store is damaged or cannot be read.
    """
    root = Path(config.work_folder)
    if not store_exists(config.metadata, root):
        return History(pipeline=config.name, entries=())
    complete_interrupted(config)
    store = Store(config.metadata, root, config.name)
    every = entries(passes(store.runs(), store.executions()))
    if every and every[-1].outcome == "not ended":
        reason = "it is running" if is_used(Layout.of(config)) else ENDED
        every[-1] = msgspec.structs.replace(every[-1], reasons=(reason,))
    chosen = every if limit is None else every[max(0, len(every) - limit) :]
    return History(pipeline=config.name, entries=tuple(chosen), omitted=len(every) - len(chosen))
