"""Conversion between records and ML Metadata's messages."""

from __future__ import annotations

import itertools
import json
import numbers
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, TypeVar

from ml_metadata.proto import metadata_store_pb2 as pb

from bitext.pipeline.records import Execution, Run, Scalar, State, StoredArtifact

_DIGEST, _FILES_DIGEST, _SPLIT_DIGESTS = "content_digest", "files_digest", "split_digests"
EXECUTION_FIELDS: dict[str, int] = {
    "node": pb.STRING,
    "run_id": pb.STRING,
    "part": pb.STRING,
    "cache_key": pb.STRING,
    "cache_key_parts": pb.STRING,
    "started": pb.DOUBLE,
    "finished": pb.DOUBLE,
    "seconds": pb.DOUBLE,
    "error": pb.STRING,
    "traceback": pb.STRING,
    "peak_megabytes": pb.DOUBLE,
    "trial": pb.STRING,
}
"""The fields of `Execution` that are properties of ML Metadata's executions, with their types."""
RUN_FIELDS: dict[str, int] = {
    "pipeline": pb.STRING,
    "root": pb.STRING,
    "root_id": pb.STRING,
    "state": pb.STRING,
    "started": pb.DOUBLE,
    "finished": pb.DOUBLE,
    "seconds": pb.DOUBLE,
    "error": pb.STRING,
    "parts": pb.STRING,
    "nodes": pb.STRING,
    "first": pb.STRING,
    "place": pb.STRING,
    "id_file": pb.STRING,
    "version": pb.INT,
    "remedy": pb.STRING,
}
"""The fields of `Run` that are properties of ML Metadata's contexts, with their types."""

_MAX_TEXT_BYTES = 1300
"""The longest text in one property, because PostgreSQL cannot index texts of more than 2704 bytes.

A backslash takes two bytes there (see `postgresql_text`).
The rest of a longer text is in custom properties `<name>/1`, `<name>/2`, ...
"""
_INTEGERS = range(-(2**31), 2**31)
"""The integers that ML Metadata can store in PostgreSQL and MySQL."""

Type = TypeVar("Type", pb.ContextType, pb.ExecutionType)


def with_fields(message: Type, fields: Mapping[str, int]) -> Type:
    """Adds properties to a type."""
    for name, kind in fields.items():
        message.properties[name] = kind
    return message


def run_message(run: Run, type_id: int) -> pb.Context:
    """A run as a context."""
    context = pb.Context(type_id=type_id, name=run.run_id)
    if run.id is not None:
        context.id = run.id
    for field in RUN_FIELDS:
        _set(context.properties, context.custom_properties, field, getattr(run, field))
    return context


def run_record(context: pb.Context) -> Run | None:
    """A context as a run; None: another program's context."""
    if "pipeline" not in context.properties:
        return None
    fields = _values(context, RUN_FIELDS)
    state = State(str(fields.pop("state")))
    return Run(run_id=context.name, id=context.id, state=state, **fields)


def execution_message(execution: Execution, type_id: int) -> pb.Execution:
    """An execution, without its artifacts."""
    state = pb.Execution.State.Value(execution.state)
    message = pb.Execution(type_id=type_id, last_known_state=state)
    if execution.id is not None:
        message.id = execution.id
    for field in EXECUTION_FIELDS:
        _set(message.properties, message.custom_properties, field, getattr(execution, field))
    return message


def execution_record(message: pb.Execution) -> Execution:
    """An execution, without its artifacts."""
    fields = _values(message, EXECUTION_FIELDS)
    return Execution(id=message.id, state=state_of(message), **fields)


def state_of(message: pb.Execution) -> State:
    """The state of an execution."""
    return State(pb.Execution.State.Name(message.last_known_state))


def artifact_message(artifact: StoredArtifact, type_id: int, address: str) -> pb.Artifact:
    """An artifact.

    Args:
      artifact: the record.
      type_id: the id of its type.
      address: its folder as the store has it.
    """
    state = pb.Artifact.DELETED if artifact.deleted else pb.Artifact.LIVE
    message = pb.Artifact(type_id=type_id, uri=address, state=state)
    if artifact.id is not None:
        message.id = artifact.id
    properties = {**artifact.properties, _DIGEST: artifact.digest}
    if artifact.files_digest:
        properties[_FILES_DIGEST] = artifact.files_digest
    if artifact.split_digests:
        properties[_SPLIT_DIGESTS] = json.dumps(artifact.split_digests)
    for name, value in properties.items():
        _set(message.custom_properties, message.custom_properties, name, value)
    return message


def artifact_record(message: pb.Artifact, folder: str) -> StoredArtifact:
    """An artifact whose folder is `folder`."""
    properties = _joined(message.custom_properties.items())
    digest = str(properties.pop(_DIGEST, ""))
    files_digest = str(properties.pop(_FILES_DIGEST, ""))
    split_digests = json.loads(str(properties.pop(_SPLIT_DIGESTS, "{}")))
    deleted = message.state == pb.Artifact.DELETED
    return StoredArtifact(
        *(message.type, folder, digest, properties, message.id, split_digests, deleted, files_digest)
    )


def event_message(key: str, index: int, artifact: StoredArtifact, kind: pb.Event.Type) -> pb.Event:
    """The event that links an execution and the artifact `index` of its keyword `key`."""
    event = pb.Event(type=kind)
    event.path.steps.add(key=key)
    event.path.steps.add(index=index)
    if artifact.id is not None:
        event.artifact_id = artifact.id
    return event


def in_order(events: Iterable[pb.Event]) -> list[pb.Event]:
    """Sorts events by the index of their artifact within its keyword."""
    return sorted(events, key=lambda event: event.path.steps[1].index)


def _values(message: pb.Context | pb.Execution, fields: Mapping[str, int]) -> dict[str, Any]:
    """The fields among the properties. Records of earlier versions have no duration but the clock's."""
    properties = itertools.chain(message.properties.items(), message.custom_properties.items())
    values: dict[str, Any] = {name: value for name, value in _joined(properties).items() if name in fields}
    if "seconds" not in values and values.get("finished"):
        values["seconds"] = max(0.0, values["finished"] - values["started"])
    return values


def _joined(properties: Iterable[tuple[str, pb.Value]]) -> dict[str, Scalar]:
    """The values of properties by name. A long text is joined from all properties that have a part of it."""
    values: dict[str, Scalar] = {}
    rests: dict[str, dict[int, str]] = {}
    for key, value in properties:
        name, separator, number = key.rpartition("/")
        if separator:
            rests.setdefault(name, {})[int(number)] = str(scalar(value))
        else:
            values[key] = scalar(value)
    for name, rest in rests.items():
        values[name] = "".join([str(values[name]), *(rest[number + 1] for number in range(len(rest)))])
    return values


def _set(
    properties: MutableMapping[str, pb.Value], rests: MutableMapping[str, pb.Value], name: str, value: Scalar
) -> None:
    """Sets the property `name`, and those in `rests` that have the rest of a long text.

    A large integer becomes a float, if the property has no type.
    """
    is_typed = properties is not rests
    # Integers include bool and NumPy's.
    if isinstance(value, numbers.Integral) and (is_typed or int(value) in _INTEGERS):
        properties[name].int_value = int(value)
    elif isinstance(value, numbers.Real):
        properties[name].double_value = float(value)
    else:
        first, *others = _pieces(str(value))
        properties[name].string_value = first
        for number, piece in enumerate(others, 1):
            rests[f"{name}/{number}"].string_value = piece


def _pieces(text: str) -> list[str]:
    """Cuts a text into pieces of at most `_MAX_TEXT_BYTES` in UTF-8; at least one, which may be empty."""
    encoded, pieces = text.encode(), []
    while len(encoded) > _MAX_TEXT_BYTES:
        piece = encoded[:_MAX_TEXT_BYTES].decode(errors="ignore")  # without a character that is cut
        pieces.append(piece)
        encoded = encoded[len(piece.encode()) :]
    return [*pieces, encoded.decode()]


def scalar(value: pb.Value) -> Scalar:
    """The value of a property.

    Raises:
      ValueError: it is text that is not UTF-8.
      TypeError: it has no value.
    """
    result: Scalar | bytes = getattr(value, value.WhichOneof("value"))
    if isinstance(result, bytes):  # what Protocol Buffers returns for such a text
        raise ValueError(f"{result[:20]!r} is not UTF-8")
    return result
