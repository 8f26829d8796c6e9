"""Reads and writes schemas (tensorflow.metadata.v0.Schema in text format). Imports no TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from bitext.schemas import BITEXT


def load(path: Path = BITEXT) -> schema_pb2.Schema:
    """Reads a schema.

    Raises:
      OSError: the file cannot be read.
      ValueError: the file is not a schema. The message names the line.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), schema_pb2.Schema())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is not a schema: {error}") from error


def save(schema: schema_pb2.Schema, path: Path, comment: str = "") -> None:
    """Writes a schema, after a comment of one or more lines."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    text = text_format.MessageToString(schema, as_utf8=True)
    path.write_text(head + text, encoding="utf-8")


def restrict_domain(schema: schema_pb2.Schema, feature: str, values: Iterable[str]) -> None:
    """Restricts a string feature of a schema to some values.

    Raises:
      ValueError: the schema has no such feature.
    """
    for candidate in schema.feature:
        if candidate.name == feature:
            candidate.ClearField("domain_info")
            candidate.string_domain.name = feature
            candidate.string_domain.value.extend(values)
            return
    raise ValueError(f"the schema has no feature {feature!r}")
