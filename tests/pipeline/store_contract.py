"""Checks that hold for the metadata store in every database."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from pathlib import Path

from bitext.components.artifacts import kind_named
from bitext.pipeline.config import Metadata
from bitext.pipeline.records import Execution, Run, State, StoredArtifact
from bitext.pipeline.store import Store


def check_round_trip(settings: Metadata, root: Path) -> None:
    """Checks that a pipeline reads its records as they were written, and no records of another pipeline."""
    store = Store(settings, root, "toy")
    run = Run("r1", "toy", str(root), State.RUNNING, 1.5, root_id="id")
    store.put_run(run)
    source = StoredArtifact("Examples", "/a", "d1", {"rows": 3, "share": 0.5, "name": "їжак"})
    first = Execution("Source", "r1", State.COMPLETE, 2.0, 3.0, "k", "{}", outputs={"examples": (source,)})
    store.put_execution(first, run)
    second = Execution("Train", "r1", State.RUNNING, 3.0, inputs={"examples": (source,)})
    store.put_execution(second, run)
    second.state, second.error, second.finished = State.FAILED, "oh", 5.0
    second.traceback = "Trace\n" * 20_000
    second.cache_key_parts = (
        f"{secrets.token_hex(10_000)}{'їжак😀' * 3000}"  # PostgreSQL compresses less of it
    )
    store.put_execution(second, run)
    reopened = Store(settings, root, "toy")
    assert reopened.executions() == [second, first]
    assert reopened.runs() == [run]
    assert reopened.execution_states([first.id or 0, 99], "id") == {("Source", first.id): State.COMPLETE}
    assert reopened.execution_states([first.id or 0, 99], "another") == {}
    assert [reopened.is_complete(execution) for execution in (first, second)] == [True, False]
    _check_deleted(settings, root, run, source)
    other = Store(settings, root, "other")
    assert (other.runs(), other.executions()) == ([], [])


def _check_deleted(settings: Metadata, root: Path, run: Run, source: StoredArtifact) -> None:
    """Checks that a deleted artifact stays deleted in the records, also as the input of a later execution."""
    store = Store(settings, root, "toy")
    kept = StoredArtifact("Model", "/b", "d2")
    store.put_execution(Execution("Train", "r1", State.COMPLETE, 4.0, outputs={"model": (kept,)}), run)
    store.mark_deleted([source])
    assert source.deleted
    reader = Execution("Evaluate", "r1", State.COMPLETE, 5.0, inputs={"x": (source,), "model": (kept,)})
    store.put_execution(reader, run)
    recorded = {
        (artifact.uri, artifact.deleted)
        for execution in Store(settings, root, "toy").executions()
        for artifact in (*execution.all_inputs(), *execution.all_outputs())
    }
    assert recorded == {("/a", True), ("/b", False)}


def altered_outputs(executions: Iterable[Execution]) -> Iterator[StoredArtifact]:
    """Yields the recorded outputs of complete executions whose content differs from their recorded digest."""
    for execution in executions:
        for artifact in execution.all_outputs() if execution.state == State.COMPLETE else ():
            if kind_named(artifact.type)(Path(artifact.uri)).content_digest() != artifact.digest:
                yield artifact
