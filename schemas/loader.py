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
      ValueError: it is no schema; the message names the line.
    """
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), schema_pb2.Schema())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no schema: {error}") from error


def save(schema: schema_pb2.Schema, path: Path, comment: str = "") -> None:
    """Writes a schema, below a comment of one line or more."""
    head = "".join(f"# {line}\n" for line in comment.splitlines())
    text = text_format.MessageToString(schema, as_utf8=True)
    path.write_text(head + text, encoding="utf-8")


def restrict_domain(schema: schema_pb2.Schema, feature: str, values: Iterable[str]) -> None:
    """Lets a string feature of the schema take these values alone.

    Raises:
      ValueError: the schema has no such feature.
    """
    found = [f for f in schema.feature if f.name == feature]
    if not found:
        raise ValueError(f"the schema has no feature {feature!r}")
    found[0].ClearField("domain_info")
    found[0].string_domain.name = feature
    found[0].string_domain.value.extend(values)
