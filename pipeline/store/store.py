"""The store of one pipeline's runs, executions and artifacts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

from ml_metadata.metadata_store.metadata_store import MetadataStore
from ml_metadata.proto import metadata_store_pb2 as pb

from bitext.components.shared.storage import is_remote
from bitext.pipeline.config import Metadata
from bitext.pipeline.records import Artifacts, Execution, Run, State, StoredArtifact
from bitext.pipeline.store import messages
from bitext.pipeline.store.database import Database
from bitext.pipeline.streams import print_message


class Store:
    """Runs, executions and artifacts of one pipeline in an ML Metadata database.

    An SQLite file stores folders below its own folder (by default the pipeline root) relative to it, so that
    a moved root finds its artifacts. All other folders are stored absolute. Folders in records are always
    absolute.

    Args:
      settings: the database.
      root: the pipeline root.
      pipeline: the name of the pipeline.
      say: prints a line if the command waits for the database.

    Raises (every method): see `Database`.
    """

    def __init__(
        self, settings: Metadata, root: Path, pipeline: str, say: Callable[[str], None] = print_message
    ):
        self._pipeline = pipeline
        self._database = Database(settings, root, say)
        self._base = self._database.folder
        # Another version of this program may have declared fewer fields, or more.
        run_type = messages.with_fields(pb.ContextType(name="pipeline_run"), messages.RUN_FIELDS)
        self._run_type: int = self._database.write(
            lambda client: client.put_context_type(run_type, can_add_fields=True, can_omit_fields=True)
        )
        self._pipeline_id: int = self._database.write(self._put_pipeline)
        self._type_ids: dict[tuple[str, str], int] = {}

    def _put_pipeline(self, client: MetadataStore) -> int:
        kind = client.put_context_type(pb.ContextType(name="pipeline"))
        existing = client.get_context_by_type_and_name("pipeline", self._pipeline)
        new = pb.Context(type_id=kind, name=self._pipeline)
        context: int = existing.id if existing else client.put_contexts([new])[0]
        return context

    def delete_orphans(self) -> None:
        """Deletes the rows an aborted transaction left in an SQLite file. Only while the root is locked."""
        self._database.delete_orphans()

    # Runs.

    def put_run(self, run: Run) -> None:
        """Records a run or its new state; sets the id of a new one."""
        stored = dataclasses.replace(run, root=self._relative(run.root))
        context = messages.run_message(stored, self._run_type)
        (run.id,) = self._database.write(lambda client: client.put_contexts([context]))

    def runs(self) -> list[Run]:
        """All runs of this pipeline, newest first: by id, because the clock may have been set in between."""
        runs = [run for run in self._runs_of_all_pipelines() if run.pipeline == self._pipeline]
        return sorted(runs, key=lambda run: run.id or 0, reverse=True)

    def change_root_id(self, old: str, new: str) -> None:
        """Gives all runs in the root with the id `old` the id `new`, in one transaction."""
        contexts = self._database.read(lambda client: client.get_contexts_by_type("pipeline_run"))
        changed = [c for c in contexts if c.properties["root_id"].string_value == old]
        for context in changed:
            context.properties["root_id"].string_value = new
        if changed:
            self._database.write(lambda client: client.put_contexts(changed))

    def _runs_of_all_pipelines(self) -> list[Run]:
        contexts = self._database.read(lambda client: client.get_contexts_by_type("pipeline_run"))
        runs = []
        for context in contexts:
            with self._database.reporting_damage(f"context {context.id}"):
                run = messages.run_record(context)
            if run is not None:
                run.root = self._absolute(run.root)
                runs.append(run)
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
        execution.id, ids, _ = self._database.write(
            lambda client: client.put_execution(message, pairs, contexts, force_reuse_context=True)
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
        if self._base is None or is_remote(folder) or not Path(folder).is_relative_to(self._base):
            return folder
        return Path(folder).relative_to(self._base).as_posix()

    def _absolute(self, address: str) -> str:
        """The folder of a stored address."""
        return address if self._base is None or is_remote(address) else str(self._base / address)

    def _type_id(self, kind: str, name: str) -> int:
        """The id of an artifact or execution type, which is declared when first used."""
        if (kind, name) not in self._type_ids:
            put = self._put_artifact_type if kind == "artifact" else self._put_execution_type
            self._type_ids[kind, name] = self._database.write(lambda client: put(client, name))
        return self._type_ids[kind, name]

    def _put_artifact_type(self, client: MetadataStore, name: str) -> int:
        type_id: int = client.put_artifact_type(pb.ArtifactType(name=name))
        return type_id

    def _put_execution_type(self, client: MetadataStore, name: str) -> int:
        kind = messages.with_fields(pb.ExecutionType(name=name), messages.EXECUTION_FIELDS)
        type_id: int = client.put_execution_type(kind, can_add_fields=True, can_omit_fields=True)
        return type_id

    def executions(self) -> list[Execution]:
        """All executions of this pipeline with their inputs and outputs, newest first."""
        self._database.check_references()
        records, events, artifacts = self._database.read(self._read_all)
        executions: dict[int, Execution] = {}
        for record in records:
            with self._database.reporting_damage(f"execution {record.id}"):
                executions[record.id] = messages.execution_record(record)
        stored: dict[int, StoredArtifact] = {}
        for id_, artifact in artifacts.items():
            with self._database.reporting_damage(f"artifact {id_}"):
                stored[id_] = messages.artifact_record(artifact, self._absolute(artifact.uri))
        with self._database.reporting_damage("the events"):
            for event in messages.in_order(events):
                if event.artifact_id not in stored:  # an orphan
                    continue
                execution, key = executions[event.execution_id], event.path.steps[0].key
                side = execution.outputs if event.type == pb.Event.OUTPUT else execution.inputs
                side[key] = (*side.get(key, ()), stored[event.artifact_id])
        return sorted(executions.values(), key=lambda execution: execution.id or 0, reverse=True)

    def _read_all(
        self, client: MetadataStore
    ) -> tuple[list[pb.Execution], list[pb.Event], dict[int, pb.Artifact]]:
        records = client.get_executions_by_context(self._pipeline_id)
        events = client.get_events_by_execution_ids([r.id for r in records]) if records else []
        ids = sorted({event.artifact_id for event in events})
        return records, events, {a.id: a for a in client.get_artifacts_by_id(ids)} if ids else {}

    def execution_states(self, ids: Iterable[int], root_id: str) -> dict[tuple[str, int], State]:
        """The states, by node and id, of those of `ids` that belong to a run in the root with this id.

        Of other pipelines, only complete executions are included.
        """
        pipelines = {
            run.run_id: run.pipeline for run in self._runs_of_all_pipelines() if run.root_id == root_id
        }
        states = {}
        for record in self._database.read(lambda client: client.get_executions_by_id(sorted(ids))):
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
        records = self._database.read(lambda client: client.get_artifacts_by_id(ids))
        for record in records:
            record.state = pb.Artifact.DELETED
        self._database.write(lambda client: client.put_artifacts(records))
        for artifact in artifacts:
            artifact.deleted = True

    def is_complete(self, execution: Execution) -> bool:
        """Whether the store has the execution as complete."""
        records = self._database.read(lambda client: client.get_executions_by_id([execution.id]))
        return any(messages.state_of(record) == State.COMPLETE for record in records)
