"""The pipeline's memory: runs, executions and artifacts. The only file that imports ml_metadata.

No `filter_query` and no lineage query is used: ml-metadata's newer builds do not have them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import itertools
import json
import numbers
import os
import random
import re
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

from ml_metadata import errors as mlmd_errors
from ml_metadata.metadata_store import metadata_store
from ml_metadata.proto import metadata_store_pb2 as pb

from bitext.components.shared.errors import ConfigError, EnvironmentFault
from bitext.pipeline.config import Metadata

Scalar = int | float | str

RUNNING, COMPLETE, FAILED, CACHED, CANCELED = "RUNNING", "COMPLETE", "FAILED", "CACHED", "CANCELED"
_WAITS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2)
"""Seconds, at most, between tries of a transaction."""
_CAME_BETWEEN = re.compile(
    "duplicate (key|entry)|already exists|concurrent|deadlock|could not serialize|please retry|restarting",
    re.IGNORECASE,
)
"""In what MySQL, PostgreSQL and ML Metadata say where another transaction came between."""

_BELONGS = (
    ("Event", "artifact_id", "Artifact"),
    ("Event", "execution_id", "Execution"),
    ("EventPath", "event_id", "Event"),
    ("ArtifactProperty", "artifact_id", "Artifact"),
    ("ExecutionProperty", "execution_id", "Execution"),
    ("ContextProperty", "context_id", "Context"),
    ("Attribution", "artifact_id", "Artifact"),
    ("Association", "execution_id", "Execution"),
)
"""Tables of ML Metadata whose rows belong to a row of another: the table, its column, the other."""

T = TypeVar("T")

_DIGEST, _SPLIT_DIGESTS = "content_digest", "split_digests"
_EXECUTION_FIELDS: dict[str, int] = {
    "node": pb.STRING,
    "run_id": pb.STRING,
    "part": pb.STRING,
    "cache_key": pb.STRING,
    "cache_key_parts": pb.STRING,
    "started": pb.DOUBLE,
    "finished": pb.DOUBLE,
    "error": pb.STRING,
    "traceback": pb.STRING,
}
_RUN_FIELDS: dict[str, int] = {
    "pipeline": pb.STRING,
    "root": pb.STRING,
    "root_id": pb.STRING,
    "state": pb.STRING,
    "started": pb.DOUBLE,
    "finished": pb.DOUBLE,
    "error": pb.STRING,
    "spans": pb.STRING,
}


@dataclasses.dataclass
class StoredArtifact:
    """An artifact on record.

    Attributes:
      type: its kind's TYPE_NAME.
      uri: its folder, absolute.
      digest: sha256 of its content.
      properties: what its component said of it.
      id: given by the store.
      split_digests: sha256 of the content of each split, if it has any.
    """

    type: str
    uri: str
    digest: str
    properties: dict[str, Scalar] = dataclasses.field(default_factory=dict)
    id: int | None = None
    split_digests: dict[str, str] = dataclasses.field(default_factory=dict)


Artifacts = dict[str, tuple[StoredArtifact, ...]]
"""By keyword: one artifact, or where a node works by spans, one a span, in order."""


@dataclasses.dataclass
class Execution:
    """One node of one run, or a part of it. Times are seconds since the epoch.

    A node that works by spans has an execution for each span it worked on, whose `part` names the span, and
    then one whose outputs are those of all the spans of the run, made now or before.
    """

    node: str
    run_id: str
    state: str
    started: float
    finished: float = 0.0
    cache_key: str = ""
    cache_key_parts: str = ""
    error: str = ""
    traceback: str = ""
    inputs: Artifacts = dataclasses.field(default_factory=dict)
    outputs: Artifacts = dataclasses.field(default_factory=dict)
    id: int | None = None
    part: str = ""

    @property
    def seconds(self) -> float:
        """How long it took; 0 while it runs."""
        return max(0.0, self.finished - self.started) if self.finished else 0.0

    def every_output(self) -> Iterator[StoredArtifact]:
        """The outputs, whatever their keywords."""
        return itertools.chain.from_iterable(self.outputs.values())


@dataclasses.dataclass
class Run:
    """One run of a pipeline.

    Attributes:
      root: its pipeline root, absolute, and `root_id`, by which the root is known wherever it is mounted.
      spans: the spans of the corpus it used, in words; empty: the corpus has none, or they are not known yet.
    """

    run_id: str
    pipeline: str
    root: str
    state: str
    started: float
    finished: float = 0.0
    error: str = ""
    id: int | None = None
    root_id: str = ""
    spans: str = ""


def new_run_id() -> str:
    """What a run that begins now is called, as no other."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


class Store:
    """Runs, executions and artifacts of one pipeline in an ML Metadata database.

    In an SQLite file, folders below the file's own (by default the pipeline root) are stored relative to it,
    so that a moved root finds its artifacts. Elsewhere, and outside it, they are absolute. What is handed out
    is always absolute.

    Raises (every method):
      EnvironmentFault: if the database cannot be reached, read or written.
    """

    def __init__(self, settings: Metadata, root: Path, pipeline: str):
        self._where = describe(settings, root)
        self._pipeline = pipeline
        self._file: Path | None = None
        self._base: Path | None = None
        if not (settings.mysql or settings.postgresql):
            self._file = sqlite_file(settings, root).resolve()
            self._base = self._file.parent
            self._base.mkdir(parents=True, exist_ok=True)
        connection = _connection(settings, root)
        self._store = self._trying(lambda: metadata_store.MetadataStore(connection))
        # Stores of earlier versions lack some fields, those of later ones may have more.
        self._run_type: int = self._trying(
            lambda: self._store.put_context_type(
                _type(pb.ContextType(name="pipeline_run"), _RUN_FIELDS),
                can_add_fields=True,
                can_omit_fields=True,
            )
        )
        self._pipeline_id: int = self._trying(self._put_pipeline)
        self._type_ids: dict[tuple[str, str], int] = {}

    def mend(self) -> None:
        """Removes what belongs to records that never came to be, in an SQLite file; only one run may do so.

        SQLite that finds the disk full ends the transaction by itself, and ML Metadata goes on outside of it.
        It aborts the process that later reads properties of an artifact which is not there.
        """
        if self._file is None:
            return
        try:
            with contextlib.closing(sqlite3.connect(self._file)) as database, database:
                for table, column, parent in _BELONGS:
                    database.execute(f"DELETE FROM {table} WHERE {column} NOT IN (SELECT id FROM {parent})")
        except sqlite3.Error as error:
            raise self._fault(error) from error

    def _fault(self, error: Exception) -> EnvironmentFault:
        return EnvironmentFault(
            f"the metadata store {self._where} failed: {error}",
            "Check that it is reachable and writable, and its disk not full (see `metadata`).",
        )

    def _put_pipeline(self) -> int:
        kind = self._store.put_context_type(pb.ContextType(name="pipeline"))
        found = self._store.get_context_by_type_and_name("pipeline", self._pipeline)
        new = pb.Context(type_id=kind, name=self._pipeline)
        context: int = found.id if found else self._store.put_contexts([new])[0]
        return context

    def _trying(self, transaction: Callable[[], T]) -> T:
        """What a transaction returns, which is tried again where that of another host came between.

        A transaction that fails has changed nothing. Two hosts that make the tables of one empty database, or
        declare one type, do come between: the second finds half of it there, or all.
        """
        for wait in (*_WAITS, None):
            try:
                return transaction()
            except (mlmd_errors.StatusError, RuntimeError) as error:  # connecting fails with the latter
                if wait is None or not _CAME_BETWEEN.search(str(error)):
                    raise self._fault(error) from error
                time.sleep(wait * random.uniform(0.5, 1.0))
        raise AssertionError("not reached")

    # Runs.

    def put_run(self, run: Run) -> None:
        """Records a run, or what became of it; a new one is given its id."""
        context = pb.Context(type_id=self._run_type, name=run.run_id)
        if run.id is not None:
            context.id = run.id
        for field in _RUN_FIELDS:
            _set(context.properties[field], getattr(run, field))
        _set(context.properties["root"], self._address(run.root))
        (run.id,) = self._trying(lambda: self._store.put_contexts([context]))

    def runs(self) -> list[Run]:
        """Every run of this pipeline, newest first."""
        found = [run for run in self._every_run() if run.pipeline == self._pipeline]
        return sorted(found, key=lambda run: (run.started, run.id or 0), reverse=True)

    def _every_run(self) -> list[Run]:
        """Every run of every pipeline."""
        contexts = self._trying(lambda: self._store.get_contexts_by_type("pipeline_run"))
        found = []
        for context in contexts:
            if "pipeline" not in context.properties:  # another program's
                continue
            fields = {
                name: _value(value) for name, value in context.properties.items() if name in _RUN_FIELDS
            }
            fields["root"] = self._folder(str(fields["root"]))
            found.append(Run(run_id=context.name, id=context.id, **fields))  # type: ignore[arg-type]
        return found

    # Executions.

    def put_execution(self, execution: Execution, run: Run) -> None:
        """Records an execution, its artifacts and events in one transaction; new ones are given their ids.

        The inputs' events are written with the first record, the outputs' with the record that has them.
        """
        record = pb.Execution(
            type_id=self._type_id("execution", execution.node),
            last_known_state=pb.Execution.State.Value(execution.state),
        )
        for field in _EXECUTION_FIELDS:
            _set(record.properties[field], getattr(execution, field))
        pairs = []
        if execution.id is None:
            pairs += self._pairs(execution.inputs, pb.Event.INPUT)
        else:
            record.id = execution.id
        pairs += self._pairs(execution.outputs, pb.Event.OUTPUT)
        contexts = [pb.Context(id=self._pipeline_id), pb.Context(id=run.id)]
        execution.id, ids, _ = self._trying(
            lambda: self._store.put_execution(record, pairs, contexts, force_reuse_context=True)
        )
        outputs = list(execution.every_output())
        for artifact, artifact_id in zip(outputs, ids[len(ids) - len(outputs) :], strict=True):
            artifact.id = artifact_id

    def _pairs(self, artifacts: Artifacts, kind: pb.Event.Type) -> list[tuple[pb.Artifact, pb.Event]]:
        """The artifacts and their events.

        The store refuses a second event of one kind with one artifact: where that is two inputs of an
        execution, the second is a DECLARED_INPUT.
        """
        pairs: list[tuple[pb.Artifact, pb.Event]] = []
        seen: set[int] = set()
        for key, several in artifacts.items():
            for index, artifact in enumerate(several):
                pairs.append(
                    self._pair(key, index, artifact, pb.Event.DECLARED_INPUT if artifact.id in seen else kind)
                )
                if artifact.id is not None:
                    seen.add(artifact.id)
        return pairs

    def _pair(
        self, key: str, index: int, artifact: StoredArtifact, kind: pb.Event.Type
    ) -> tuple[pb.Artifact, pb.Event]:
        record = pb.Artifact(
            type_id=self._type_id("artifact", artifact.type),
            uri=self._address(artifact.uri),
            state=pb.Artifact.LIVE,
        )
        if artifact.id is not None:
            record.id = artifact.id
        recorded = {**artifact.properties, _DIGEST: artifact.digest}
        if artifact.split_digests:
            recorded[_SPLIT_DIGESTS] = json.dumps(artifact.split_digests)
        for name, value in recorded.items():
            _set(record.custom_properties[name], value)
        event = pb.Event(type=kind)
        event.path.steps.add(key=key)
        event.path.steps.add(index=index)
        if artifact.id is not None:
            event.artifact_id = artifact.id
        return record, event

    def _address(self, folder: str) -> str:
        """A folder as it is stored."""
        if self._base is None or not Path(folder).is_relative_to(self._base):
            return folder
        return Path(folder).relative_to(self._base).as_posix()

    def _folder(self, address: str) -> str:
        """The folder behind a stored address. Earlier versions stored absolute ones only."""
        return address if self._base is None else str(self._base / address)

    def _type_id(self, of: str, name: str) -> int:
        """The id of an artifact or execution type, declared when first used."""
        if (of, name) not in self._type_ids:
            self._type_ids[of, name] = self._trying(
                lambda: (
                    self._store.put_artifact_type(pb.ArtifactType(name=name))
                    if of == "artifact"
                    else self._store.put_execution_type(
                        _type(pb.ExecutionType(name=name), _EXECUTION_FIELDS),
                        can_add_fields=True,
                        can_omit_fields=True,
                    )
                )
            )
        return self._type_ids[of, name]

    def executions(self) -> list[Execution]:
        """Every execution of this pipeline with its inputs and outputs, newest first."""
        records, events, artifacts = self._trying(self._read_all)
        found = {}
        for record in records:
            fields = {
                name: _value(value) for name, value in record.properties.items() if name in _EXECUTION_FIELDS
            }
            state = pb.Execution.State.Name(record.last_known_state)
            found[record.id] = Execution(id=record.id, state=state, **fields)  # type: ignore[arg-type]
        stored = {id_: self._stored(artifact) for id_, artifact in artifacts.items()}
        for event in sorted(events, key=_place):
            if event.artifact_id not in stored:  # see `mend`
                continue
            execution, key = found[event.execution_id], event.path.steps[0].key
            into = execution.outputs if event.type == pb.Event.OUTPUT else execution.inputs
            into[key] = (*into.get(key, ()), stored[event.artifact_id])
        return sorted(found.values(), key=lambda execution: execution.id or 0, reverse=True)

    def _read_all(self) -> tuple[list[pb.Execution], list[pb.Event], dict[int, pb.Artifact]]:
        records = self._store.get_executions_by_context(self._pipeline_id)
        events = self._store.get_events_by_execution_ids([r.id for r in records]) if records else []
        ids = sorted({event.artifact_id for event in events})
        return records, events, {a.id: a for a in self._store.get_artifacts_by_id(ids)} if ids else {}

    def _stored(self, artifact: pb.Artifact) -> StoredArtifact:
        properties = {name: _value(value) for name, value in artifact.custom_properties.items()}
        digest = str(properties.pop(_DIGEST, ""))
        of_splits = json.loads(str(properties.pop(_SPLIT_DIGESTS, "{}")))
        folder = self._folder(artifact.uri)
        return StoredArtifact(artifact.type, folder, digest, properties, artifact.id, of_splits)

    def execution_states(self, ids: Iterable[int], root: str, root_id: str) -> dict[tuple[str, int], str]:
        """The states, by node and id, of those of `ids` that a run in a root has on record.

        Of another pipeline's executions, only those that are complete.
        """
        pipelines = {run.run_id: run.pipeline for run in self._every_run() if is_in(run, root, root_id)}
        records = self._trying(lambda: self._store.get_executions_by_id(sorted(ids)))
        found = {}
        for record in records:
            node, run_id = (str(_get(record.properties, name, "")) for name in ("node", "run_id"))
            state = pb.Execution.State.Name(record.last_known_state)
            if run_id in pipelines and (state == COMPLETE or pipelines[run_id] == self._pipeline):
                found[node, record.id] = state
        return found

    def forget(self, artifacts: Iterable[StoredArtifact]) -> None:
        """Records that the folders of these artifacts are deleted. Their place in the lineage stays."""
        if not (ids := [artifact.id for artifact in artifacts]):
            return
        records = self._trying(lambda: self._store.get_artifacts_by_id(ids))
        for record in records:
            record.state = pb.Artifact.DELETED
        self._trying(lambda: self._store.put_artifacts(records))

    def is_complete(self, execution: Execution) -> bool:
        """Whether the execution is on record as complete."""
        records = self._trying(lambda: self._store.get_executions_by_id([execution.id]))
        return any(record.last_known_state == pb.Execution.COMPLETE for record in records)


def _place(event: pb.Event) -> int:
    """Where an event's artifact stands among those of its keyword. Earlier versions had one, and no index."""
    return event.path.steps[1].index if len(event.path.steps) > 1 else 0


def is_in(run: Run, root: str, root_id: str) -> bool:
    """Whether a run was in this root. Roots of two machines may share a name; earlier versions gave no id."""
    return run.root_id == root_id if run.root_id else run.root == root


def with_key(executions: Iterable[Execution], node: str, cache_key: str) -> list[Execution]:
    """The completed executions of `node` with this cache key, in the order given."""
    return [e for e in executions if (e.node, e.state, e.cache_key) == (node, COMPLETE, cache_key)]


def newest_of(executions: Iterable[Execution], node: str) -> Execution | None:
    """The newest whole execution of `node`, run or cached, whose outputs are there (not another machine's).

    Args:
      executions: newest first.
      node: its name.
    """
    whole = (e for e in executions if e.node == node and e.state in (COMPLETE, CACHED) and not e.part)
    return next((e for e in whole if e.outputs and all(Path(a.uri).is_dir() for a in e.every_output())), None)


def pushed(execution: Execution) -> StoredArtifact | None:
    """The version that an execution pushed or put back, with `version`, `path` and `digest`; None: neither.

    One that is CACHED pushed nothing itself, and names what an earlier one did.
    """
    return next(
        (a for a in execution.every_output() if a.type == "PushedModel" and a.properties.get("pushed") == 1),
        None,
    )


def describe(settings: Metadata, root: Path) -> str:
    """Where the metadata is, for messages; never a password."""
    for kind in ("mysql", "postgresql"):
        if server := getattr(settings, kind):
            return f"{kind}://{server.user}@{server.host}:{server.port}/{server.database}"
    return str(sqlite_file(settings, root))


def is_made(settings: Metadata, root: Path) -> bool:
    """Whether there may be records: an SQLite file that nothing has been written to is not there."""
    server = settings.mysql or settings.postgresql
    return server is not None or sqlite_file(settings, root).is_file()


def sqlite_file(settings: Metadata, root: Path) -> Path:
    """The SQLite file, where no server is configured."""
    return Path(settings.sqlite) if settings.sqlite else root / "metadata.sqlite"


def _connection(settings: Metadata, root: Path) -> pb.ConnectionConfig:
    config = pb.ConnectionConfig()
    if server := settings.mysql or settings.postgresql:
        password = ""
        if server.password_env:
            if server.password_env not in os.environ:
                raise ConfigError(
                    f"the environment variable {server.password_env} is not set",
                    f"Set it to the password of {describe(settings, root)}; password_env names it.",
                )
            password = os.environ[server.password_env]
        if settings.mysql:
            mysql = config.mysql
            mysql.host, mysql.port, mysql.database = server.host, server.port, server.database
            mysql.user, mysql.password = server.user, password
        else:
            postgresql = config.postgresql
            postgresql.host, postgresql.port = server.host, str(server.port)
            postgresql.user, postgresql.password, postgresql.dbname = server.user, password, server.database
        return config
    config.sqlite.filename_uri = str(sqlite_file(settings, root))
    config.sqlite.connection_mode = pb.SqliteMetadataSourceConfig.READWRITE_OPENCREATE
    return config


def _type(
    message: pb.ContextType | pb.ExecutionType, fields: Mapping[str, int]
) -> pb.ContextType | pb.ExecutionType:
    for name, kind in fields.items():
        message.properties[name] = kind
    return message


def _set(value: pb.Value, scalar: Scalar) -> None:
    if isinstance(scalar, numbers.Integral):  # bool and numpy's integers among them
        value.int_value = int(scalar)
    elif isinstance(scalar, numbers.Real):
        value.double_value = float(scalar)
    else:
        value.string_value = str(scalar)


def _value(value: pb.Value) -> Scalar:
    scalar: Scalar = getattr(value, value.WhichOneof("value"))
    return scalar


def _get(properties: Mapping[str, pb.Value], name: str, default: Scalar) -> Scalar:
    return _value(properties[name]) if name in properties else default
