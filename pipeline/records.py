"""What the metadata store records: runs, executions and artifacts. Imports nothing heavy."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import itertools
import json
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bitext.components.artifacts import ModelBlessing, PushedModel
from bitext.components.shared import storage
from bitext.components.shared.errors import DataError

ROLLBACK = "Rollback"
"""The node of the executions that record rollbacks."""
TUNER = "Tuner"
"""The node of the executions that record tunings and their trials."""
Scalar = int | float | str
"""The type of an artifact's property."""


class Stopwatch:
    """Measures a duration from its creation on. A change of the system clock does not affect it.

    Attributes:
      started: when it was created, in seconds since the epoch, by the system clock; only shown.
    """

    def __init__(self) -> None:
        self.started = time.time()
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """The seconds since its creation."""
        return time.monotonic() - self._start


class State(enum.StrEnum):
    """The state of a run or of an execution, as ML Metadata names it."""

    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    CACHED = "CACHED"
    CANCELED = "CANCELED"


@dataclasses.dataclass
class StoredArtifact:
    """An artifact on record.

    Attributes:
      type: its kind's TYPE_NAME.
      uri: its folder: an absolute path, or the address of a remote one.
      digest: SHA-256 of its content.
      properties: the properties that its component set.
      id: its id in the store; None: not stored yet.
      files_digest: SHA-256 of the bytes of its files, if that is not its digest (see
        `Artifact.content_digest`); empty: it is.
      split_digests: SHA-256 of the content of each split, if it has any.
      deleted: whether its record says that `bitext gc` removed its folder.
    """

    type: str
    uri: str
    digest: str
    properties: dict[str, Scalar] = dataclasses.field(default_factory=dict)
    id: int | None = None
    split_digests: dict[str, str] = dataclasses.field(default_factory=dict)
    deleted: bool = False
    files_digest: str = ""

    @property
    def exists(self) -> bool:
        """Whether its folder exists, on this machine or in a remote root.

        A remote folder disappears file by file, after its record says that it is deleted.
        """
        return not (self.deleted and storage.is_remote(self.uri)) and self.path.is_dir()

    @property
    def path(self) -> Path:
        """Its folder, which may be remote."""
        return storage.path(self.uri)


Artifacts = dict[str, tuple[StoredArtifact, ...]]
"""The artifacts of an execution by keyword: a tuple of one, or of one per part (span) in order."""


@dataclasses.dataclass
class Execution:
    """One execution of a node in a run, or of a part of its work.

    `started` and `finished` are in seconds since the epoch, by the system clock, which may be set in between.
    They are shown only: `seconds` is the duration, and ids give the order. `peak_megabytes` is the largest
    resident memory of the process meanwhile, in MB of 10^6 bytes (see `memory`); 0: unknown, as in older
    records, or cached.

    A node whose work is divided has an execution for each part that ran, whose `part` is the name of the
    part, and then one for the whole node, whose outputs are those of all parts, new or cached.

    The part of an execution that was made for a trial of a tuning is `trial <number>`. Those of the node
    `Tuner` have the record of the trial as JSON in `trial`, see `tuning.trials`.
    """

    node: str
    run_id: str
    state: State
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
    seconds: float = 0.0
    peak_megabytes: float = 0.0
    trial: str = ""
    stopwatch: Stopwatch = dataclasses.field(default_factory=Stopwatch, compare=False, repr=False)

    def end(self, state: State, error: str = "") -> None:
        """Sets its state and error, and its end to now."""
        self.state, self.error = state, error
        self.finished, self.seconds = time.time(), self.stopwatch.seconds

    @property
    def known_seconds(self) -> float | None:
        """Its duration; None: it has not ended, or it was killed before its progress was recorded."""
        return _known_seconds(self)

    @property
    def is_of_teacher(self) -> bool:
        """Whether its node has a purpose (`Trainer.forward_teacher`): it makes synthetic pairs.

        Reports of the data, the training and the model leave it out.
        """
        return "." in self.node

    def key_values(self) -> dict[str, Any]:
        """The values that its cache key is the hash of, from `cache_key_parts`.

        Raises:
          DataError: the record is damaged.
        """
        try:
            values: dict[str, Any] = json.loads(self.cache_key_parts or "{}")
        except ValueError as error:
            raise DataError(
                f"the metadata record of execution {self.id} of {self.node} is damaged: {error}",
                "restore a copy of the metadata store, or move it away and run again",
            ) from error
        return values

    def all_outputs(self) -> Iterator[StoredArtifact]:
        """Yields the outputs of all keywords."""
        return itertools.chain.from_iterable(self.outputs.values())

    def all_inputs(self) -> Iterator[StoredArtifact]:
        """Yields the inputs of all keywords."""
        return itertools.chain.from_iterable(self.inputs.values())

    def missing_outputs(self) -> list[str]:
        """The output folders that no longer exist."""
        return [artifact.uri for artifact in self.all_outputs() if not artifact.exists]


History = Sequence[Execution]
"""All executions of a pipeline on record, newest first."""


@dataclasses.dataclass
class Run:
    """One run of a pipeline.

    Attributes:
      root: its pipeline root: an absolute path, or the address of a remote one.
      started: seconds since the epoch, by the system clock; only shown. Ids give the order.
      finished: as `started`; 0 while it runs.
      root_id: the id in the root's file `.id`, which stays the same wherever the root is mounted.
      parts: names of the parts that the corpus was divided into, comma-separated; empty: it is not divided,
        or the parts are not known yet.
      nodes: names of the pipeline's nodes in order, comma-separated; empty: it runs none (a rollback).
      first: name of the node that it starts at; it takes the outputs of nodes before it from earlier runs.
        Empty: the first node.
      place: host and absolute path of the root during the run, for messages and to find out that a root was
        copied.
      id_file: inode and change time of the root's file `.id` during the run; see `identity`.
      version: number of the version that it publishes as a rollback; 0: it is no rollback, or has not
        chosen one yet.
      seconds: its duration, which a change of the system clock does not affect; 0 while it runs.
      remedy: what the error says to do; empty: nothing, or an older version recorded the run.
    """

    run_id: str
    pipeline: str
    root: str
    state: State
    started: float
    finished: float = 0.0
    error: str = ""
    id: int | None = None
    root_id: str = ""
    parts: str = ""
    nodes: str = ""
    first: str = ""
    place: str = ""
    id_file: str = ""
    version: int = 0
    seconds: float = 0.0
    remedy: str = ""
    stopwatch: Stopwatch = dataclasses.field(default_factory=Stopwatch, compare=False, repr=False)

    @property
    def known_seconds(self) -> float | None:
        """Its duration; None: it has not ended, or it was killed before its progress was recorded."""
        return _known_seconds(self)

    @property
    def is_tuning(self) -> bool:
        """Whether it is a run of `bitext tune`, and so no pass through the pipeline."""
        return self.nodes.split(", ")[-1] == TUNER

    def own_nodes(self) -> list[str]:
        """The nodes of the pipeline from the one that it starts at."""
        names = self.nodes.split(", ") if self.nodes else []
        return names[names.index(self.first) :] if self.first in names else names

    def end(self, state: State, error: str = "", remedy: str = "") -> None:
        """Sets its state, error and remedy, and its end to now."""
        self.state, self.error, self.remedy = state, error, remedy
        self.finished, self.seconds = time.time(), self.stopwatch.seconds


def _known_seconds(record: Execution | Run) -> float | None:
    """The duration of a record. That of a killed process is 0 if it is unknown."""
    if not record.finished or (record.state == State.CANCELED and not record.seconds):
        return None
    return record.seconds


def new_run_id() -> str:
    """Returns a unique id for a run that starts now."""
    now = datetime.datetime.fromtimestamp(time.time(), datetime.UTC)
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def with_key(history: History, node: str, cache_key: str) -> list[Execution]:
    """The complete executions of `node` with this cache key, newest first."""
    return [e for e in history if (e.node, e.state, e.cache_key) == (node, State.COMPLETE, cache_key)]


def newest_usable(history: History, node: str) -> Execution | None:
    """The newest execution of the whole node, run or cached, whose output folders all exist.

    Another machine with the same metadata store may have made outputs that do not exist on this one.
    """
    for execution in history:
        if execution.node != node or execution.part or not execution.outputs:
            continue
        if execution.state in (State.COMPLETE, State.CACHED) and not execution.missing_outputs():
            return execution
    return None


def pushed_artifact(execution: Execution) -> StoredArtifact | None:
    """Returns the PushedModel of an execution that pushed or rolled back a version; None for any other.

    It has the properties `version`, `path` and `digest`. A CACHED execution pushed nothing itself: its
    artifact describes what an earlier one did.
    """
    for artifact in execution.all_outputs():
        if (
            artifact.type == PushedModel.TYPE_NAME
            and artifact.properties.get(PushedModel.PUSHED_PROPERTY) == 1
        ):
            return artifact
    return None


def pushed_folder(pushed_model: StoredArtifact, serving: str) -> Path | None:
    """Returns the folder of a pushed version in this serving folder; None if nothing was pushed.

    The path on record is not used: it is that of another place if root and serving folder were copied.
    """
    version = pushed_model.properties.get("version")
    return None if version is None else storage.path(serving).absolute() / str(version)


def blesses(execution: Execution) -> bool:
    """Whether an execution blessed a model."""
    return any(
        artifact.type == ModelBlessing.TYPE_NAME
        and artifact.properties.get(ModelBlessing.BLESSED_PROPERTY) == 1
        for artifact in execution.all_outputs()
    )


def made_in(history: History, runs: Iterable[Run], root_id: str) -> dict[int | None, StoredArtifact]:
    """The artifacts that executions in the root with this id made, by id.

    Several roots may share a store. The executions of whole nodes whose work is divided make nothing.
    """
    own = {run.run_id for run in runs if run.root_id in ("", root_id)}
    makers = (e for e in history if e.run_id in own and e.state == State.COMPLETE)
    return artifacts_by_id(e for e in makers if e.cache_key_parts or e.node == ROLLBACK)


def artifacts_by_id(executions: Iterable[Execution]) -> dict[int | None, StoredArtifact]:
    """All outputs of the executions, by id."""
    return {artifact.id: artifact for execution in executions for artifact in execution.all_outputs()}
