"""Serves an earlier model again and records that as a run: the work of `bitext rollback`."""

from __future__ import annotations

import time
from collections.abc import Callable

from bitext.components.artifacts import RolledBack
from bitext.components.pusher.rollback import rollback
from bitext.components.shared import storage
from bitext.pipeline.completion import complete_record, record_rollback, recorded_by
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.identity import identify
from bitext.pipeline.layout import Layout
from bitext.pipeline.lock import in_use
from bitext.pipeline.opening import open_store
from bitext.pipeline.publish import one_line, state_after, try_to_record
from bitext.pipeline.records import Run, State, new_run_id
from bitext.pipeline.store import exists as store_exists


def roll_back(
    config: PipelineConfig,
    reason: str,
    wait: float = 0.0,
    from_version: int | None = None,
    say: Callable[[str], None] = print,
) -> tuple[RolledBack, bool]:
    """Serves the previously pushed model again and records that as a run of its own.

    Args:
      config: the configuration of the pipeline.
      reason: why; it is recorded.
      wait: seconds to wait for a run in progress to end.
      from_version: see `components.pusher.rollback.rollback`.
      say: prints what will be done, before it is done.

    Returns:
      The record of the rollback, and whether this call made it. A call that repeats the last rollback only
      completes its record.

    Raises:
      ConfigError: there is no earlier model, another pipeline pushed the newest one, or the newest version is
        not the one to withdraw.
      LockedError: a run is in progress.
      DataError: the earlier version's files are not those that were pushed; or there is no metadata store.
      EnvironmentFault: the serving folder or the metadata store fails.
    """
    layout = Layout.of(config)
    store_exists(config.metadata, layout.root)  # raises if the outputs have lost their records
    with in_use(layout, wait) as use:
        store = open_store(config, layout, say)
        run = Run(new_run_id(), config.name, layout.address, State.RUNNING, time.time())
        identify(run, layout)
        store.put_run(run)

        def announce(record: RolledBack) -> None:
            run.version = record.version
            store.put_run(run)
            say(
                f"{record.model}: version {record.from_version} will be withdrawn, and version"
                f" {record.rolled_back_to} served again as version {record.version}"
            )

        try:
            record = rollback(
                *(storage.path(config.serving), reason, config.name, from_version, announce),
                *(run.root_id, run.place, use.check),
            )
            is_new = recorded_by(store.executions(), record) is None
            if is_new:
                record_rollback(layout, store, run, record)
        except BaseException as error:
            run.end(state_after(error), one_line(error))
            try_to_record(lambda: store.put_run(run))
            try_to_record(lambda: complete_record(config, layout, store))  # the version may be published
            raise
        run.end(State.COMPLETE)
        store.put_run(run)
    return record, is_new


def render(record: RolledBack, is_new: bool) -> str:
    """Returns the result as text.

    Args:
      record: the rollback.
      is_new: whether the call made it.
    """
    lines = [
        f"{record.model} version {record.version} is a copy of version {record.rolled_back_to}: "
        f"{record.path}",
        f"version {record.from_version} is withdrawn and will not be pushed again: {record.reason}",
    ]
    if not is_new:
        lines.append(
            f"This was done before, at {record.time}; nothing was changed now. To go back further:"
            f" --from-version {record.version}"
        )
    return "\n".join(lines)
