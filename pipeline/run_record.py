"""Records the start and the end of a run, whatever ends it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from bitext.components.shared.errors import BitextError
from bitext.pipeline.graph import Pipeline
from bitext.pipeline.identity import identify
from bitext.pipeline.layout import Layout, remove
from bitext.pipeline.publish import one_line, state_after, try_to_record
from bitext.pipeline.records import History, Run, State
from bitext.pipeline.recovery import Recovery
from bitext.pipeline.store import Store
from bitext.pipeline.terminal import log


@contextlib.contextmanager
def recorded(
    run: Run, pipeline: Pipeline, layout: Layout, store: Store, history: History, say: Callable[[str], None]
) -> Iterator[None]:
    """Context manager: clears what killed runs left, records a run, and its end when the context ends.

    Args:
      run: the run, which starts now.
      pipeline: the pipeline.
      layout: the folders of the root, which is locked.
      store: the metadata store.
      history: see `History`. Its records are brought up to date.
      say: prints one line.
    """
    identify(run, layout)
    Recovery(pipeline, layout, store, run, say).clear(history)
    store.put_run(run)
    try:
        yield
    except BaseException as error:
        remedy = error.remedy if isinstance(error, BitextError) else ""
        run.end(state_after(error), one_line(error), remedy)
        log.error("run %s", run.state, exc_info=error)
        try_to_record(lambda: store.put_run(run))
        _clear(layout, run.run_id)
        raise
    run.end(State.COMPLETE)
    store.put_run(run)
    _clear(layout, run.run_id)


def _clear(layout: Layout, run_id: str) -> None:
    """Removes the temporary files of a run."""
    remove(layout.staging / run_id)
    remove(layout.input_copies(run_id))
    layout.remove_empty_folders()
