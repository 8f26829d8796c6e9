"""The store of one pipeline's runs, executions and artifacts."""

from __future__ import annotations

import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from ml_metadata import errors as mlmd_errors
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

from bitext.components.shared.errors import BitextError, DataError, EnvironmentFault
from bitext.pipeline.config import Metadata
from bitext.pipeline.records import Artifacts, Execution, Run, State, StoredArtifact
from bitext.pipeline.store import messages
from bitext.pipeline.store.connection import connection_config, describe, sqlite_file
from bitext.pipeline.store.orphans import delete_orphans
from bitext.pipeline.store.server import wait_for_server
from bitext.pipeline.terminal import log

_RETRY_SECONDS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""The longest pauses before the retries of a transaction."""
_DAMAGE_MESSAGES = re.compile(
    "malformed|not a database|subset of tables|no such table|file is encrypted", re.IGNORECASE
)
"""Parts of SQLite's and ML Metadata's messages about a damaged file."""
_CONFLICT_MESSAGES = re.compile(
    "duplicate (key|entry)|already exists|concurrent|deadlock|could not serialize|please retry|restarting",
    re.IGNORECASE,
)
"""Messages of MySQL, PostgreSQL and ML Metadata about a transaction that conflicts with another."""

T = TypeVar("T")


class Store:
    """Runs, executions and artifacts of one pipeline in an ML Metadata database.

    An SQLite file stores folders below its own folder (by default the pipeline root) relative to it, so that
    a moved root finds its artifacts. All other folders are stored absolute. Folders in records are always
    absolute.

    Args:
      settings: the database.
      root: the pipeline root.
      pipeline: the name of the pipeline.
      say: prints a line if a server does not answer for long.

    Raises (every method):
      EnvironmentFault: the database cannot be reached, read or written.
      DataError: an SQLite file is damaged.
    """

    def __init__(self, settings: Metadata, root: Path, pipeline: str, say: Callable[[str], None] = log.info):
        self._address = describe(settings, root)
        self._pipeline = pipeline
        self._file: Path | None = None
        self._base: Path | None = None
        if not (settings.mysql or settings.postgresql):
            self._file = sqlite_file(settings, root).resolve()
            self._base = self._file.parent
            self._base.mkdir(parents=True, exist_ok=True)
        connection = connection_config(settings, root)
        wait_for_server(settings, self._address, say)
        self._store = self._retrying(lambda: metadata_store.MetadataStore(connection))
        # Another version of this program may have declared fewer fields, or more.
        self._run_type: int = self._retrying(
            lambda: self._store.put_context_type(
                messages.with_fields(pb.ContextType(name="pipeline_run"), messages.RUN_FIELDS),
                can_add_fields=True,
                can_omit_fields=True,
            )
        )
        self._pipeline_id: int = self._retrying(self._put_pipeline)
        self._type_ids: dict[tuple[str, str], int] = {}

    def delete_orphans(self) -> None:
        """Deletes the rows an aborted transaction left in an SQLite file. Only while the root is locked."""
        if self._file is None:
            return
        try:
            delete_orphans(self._file)
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> BitextError:
        """The error for a failed transaction: damage of an SQLite file, or a fault of the environment."""
        if self._file and _DAMAGE_MESSAGES.search(str(error)):
            return DataError(
                f"the metadata store {self._address} is damaged",
                "restore a copy of the file; or move it away and run again, which makes all outputs again",
            )
        return EnvironmentFault(
            f"the metadata store {self._address} failed: {error}",
            "check that it is reachable and writable, and its disk not full (see `metadata`); the log of a"
            " server has more",
        )

    def _put_pipeline(self) -> int:
        kind = self._store.put_context_type(pb.ContextType(name="pipeline"))
        existing = self._store.get_context_by_type_and_name("pipeline", self._pipeline)
        new = pb.Context(type_id=kind, name=self._pipeline)
        context: int = existing.id if existing else self._store.put_contexts([new])[0]
        return context

    def _retrying(self, transaction: Callable[[], T]) -> T:
        """Returns what a transaction returns; retries it after a conflict with another host's transaction.

        A failed transaction has changed nothing. Two hosts conflict if both create the tables of an empty
        database, or declare the same type: the second host finds some or all of it.
        """
        for pause in (*_RETRY_SECONDS, None):
            try:
                return transaction()
            except (mlmd_errors.StatusError, RuntimeError) as error:  # connecting raises RuntimeError
                if pause is None or not _CONFLICT_MESSAGES.search(str(error)):
                    raise self._fault(error) from error
                time.sleep(pause * random.uniform(0.5, 1.0))
        raise AssertionError("not reached")

    # Runs.

    def put_run(self, run: Run) -> None:
        """Records a run or its new state; sets the id of a new one."""
        context = messages.run_message(run, self._run_type)
        context.properties["root"].string_value = self._relative(run.root)
        (run.id,) = self._retrying(lambda: self._store.put_contexts([context]))

    def runs(self) -> list[Run]:
        """All runs of this pipeline, newest first."""
        runs = [run for run in self._runs_of_all_pipelines() if run.pipeline == self._pipeline]
        return sorted(runs, key=lambda run: (run.started, run.id or 0), reverse=True)

    def is_in(self, root: Path) -> bool:
        """Whether the records are in a file in this pipeline root, and so in a copy of the root."""
        return self._base is not None and self._base == root.resolve()

    def change_root_id(self, old: str, new: str) -> None:
        """Gives all runs in the root with the id `old` the id `new`, in one transaction."""
        contexts = self._retrying(lambda: self._store.get_contexts_by_type("pipeline_run"))
        changed = [c for c in contexts if c.properties["root_id"].string_value == old]
        for context in changed:
            context.properties["root_id"].string_value = new
        if changed:
            self._retrying(lambda: self._store.put_contexts(changed))

    def _runs_of_all_pipelines(self) -> list[Run]:
        contexts = self._retrying(lambda: self._store.get_contexts_by_type("pipeline_run"))
        runs = [run for run in map(messages.run_record, contexts) if run is not None]
        for run in runs:
            run.root = self._absolute(run.root)
        return runs

    # Executions.

    def put_execution(self, execution: Execution, run: Run) -> None:
        """Records an execution, its artifacts and events in one transaction; sets the ids of new ones.

        The first record writes the events of the inputs; the record with outputs writes theirs.
        """
        message = messages.execution_message(execution, self._type_id("execution", execution.node))
        pairs = self._with_events(execution.inputs, pb.Event.INPUT) if execution.id is None else []
        pairs += self._with_events(execution.outputs, pb.Event.OUTPUT)
        contexts = [pb.Context(id=self._pipeline_id), pb.Context(id=run.id)]
        execution.id, ids, _ = self._retrying(
            lambda: self._store.put_execution(message, pairs, contexts, force_reuse_context=True)
        )
        outputs = list(execution.all_outputs())
        for artifact, artifact_id in zip(outputs, ids[len(ids) - len(outputs) :], strict=True):
            artifact.id = artifact_id

    def _with_events(self, artifacts: Artifacts, kind: pb.Event.Type) -> list[tuple[pb.Artifact, pb.Event]]:
        """The artifacts and their events.

        ML Metadata refuses two events of one kind between an execution and an artifact. If an artifact is two
        inputs of an execution, the second event is a DECLARED_INPUT.
        """
        pairs: list[tuple[pb.Artifact, pb.Event]] = []
        ids: set[int] = set()
        for key, with_key in artifacts.items():
            for index, artifact in enumerate(with_key):
                type_id = self._type_id("artifact", artifact.type)
                message = messages.artifact_message(artifact, type_id, self._relative(artifact.uri))
                event_kind = pb.Event.DECLARED_INPUT if artifact.id in ids else kind
                pairs.append((message, messages.event_message(key, index, artifact, event_kind)))
                if artifact.id is not None:
                    ids.add(artifact.id)
        return pairs

    def _relative(self, folder: str) -> str:
        """Returns the address that a folder is stored under."""
        if self._base is None or not Path(folder).is_relative_to(self._base):
            return folder
        return Path(folder).relative_to(self._base).as_posix()

    def _absolute(self, address: str) -> str:
        """The folder of a stored address."""
        return address if self._base is None else str(self._base / address)

    def _type_id(self, kind: str, name: str) -> int:
        """The id of an artifact or execution type, which is declared when first used."""
        if (kind, name) not in self._type_ids:
            put = self._put_artifact_type if kind == "artifact" else self._put_execution_type
            self._type_ids[kind, name] = self._retrying(lambda: put(name))
        return self._type_ids[kind, name]

    def _put_artifact_type(self, name: str) -> int:
        type_id: int = self._store.put_artifact_type(pb.ArtifactType(name=name))
        return type_id

    def _put_execution_type(self, name: str) -> int:
        kind = messages.with_fields(pb.ExecutionType(name=name), messages.EXECUTION_FIELDS)
        type_id: int = self._store.put_execution_type(kind, can_add_fields=True, can_omit_fields=True)
        return type_id

    def executions(self) -> list[Execution]:
        """All executions of this pipeline with their inputs and outputs, newest first."""
        records, events, artifacts = self._retrying(self._read_all)
        executions = {record.id: messages.execution_record(record) for record in records}
        stored = {
            id_: messages.artifact_record(artifact, self._absolute(artifact.uri))
            for id_, artifact in artifacts.items()
        }
        for event in messages.in_order(events):
            if event.artifact_id not in stored:  # an orphan
                continue
            execution, key = executions[event.execution_id], event.path.steps[0].key
            side = execution.outputs if event.type == pb.Event.OUTPUT else execution.inputs
            side[key] = (*side.get(key, ()), stored[event.artifact_id])
        return sorted(executions.values(), key=lambda execution: execution.id or 0, reverse=True)

    def _read_all(self) -> tuple[list[pb.Execution], list[pb.Event], dict[int, pb.Artifact]]:
        records = self._store.get_executions_by_context(self._pipeline_id)
        events = self._store.get_events_by_execution_ids([r.id for r in records]) if records else []
        ids = sorted({event.artifact_id for event in events})
        return records, events, {a.id: a for a in self._store.get_artifacts_by_id(ids)} if ids else {}

    def execution_states(self, ids: Iterable[int], root_id: str) -> dict[tuple[str, int], State]:
        """The states, by node and id, of those of `ids` that belong to a run in the root with this id.

        Of other pipelines, only complete executions are included.
        """
        pipelines = {
            run.run_id: run.pipeline for run in self._runs_of_all_pipelines() if run.root_id == root_id
        }
        states = {}
        for record in self._retrying(lambda: self._store.get_executions_by_id(sorted(ids))):
            properties = record.properties
            if "node" not in properties or "run_id" not in properties:  # another program's
                continue
            run_id, state = properties["run_id"].string_value, messages.state_of(record)
            if run_id in pipelines and (state == State.COMPLETE or pipelines[run_id] == self._pipeline):
                states[properties["node"].string_value, record.id] = state
        return states

    def mark_deleted(self, artifacts: Iterable[StoredArtifact]) -> None:
        """Records that the folders of these artifacts are deleted. They stay in the lineage."""
        artifacts = list(artifacts)
        if not (ids := [artifact.id for artifact in artifacts]):
            return
        records = self._retrying(lambda: self._store.get_artifacts_by_id(ids))
        for record in records:
            record.state = pb.Artifact.DELETED
        self._retrying(lambda: self._store.put_artifacts(records))
        for artifact in artifacts:
            artifact.deleted = True

    def is_complete(self, execution: Execution) -> bool:
        """Whether the store has the execution as complete."""
        records = self._retrying(lambda: self._store.get_executions_by_id([execution.id]))
        return any(messages.state_of(record) == State.COMPLETE for record in records)
