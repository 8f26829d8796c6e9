"""Schema: the data contract."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bitext.components.artifacts.base import Artifact

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2


class Schema(Artifact):
    """The data contract, a `tensorflow.metadata.v0.Schema` in text format::

    schema.pbtxt
    """

    TYPE_NAME = "Schema"
    FILES = ("schema.pbtxt",)
    NODE = "SchemaGen"

    @property
    def file(self) -> Path:
        """The file of the schema."""
        return self.path / "schema.pbtxt"

    def load(self) -> schema_pb2.Schema:
        """Reads the schema.

        Raises:
          DataError: the file is missing, malformed, or names no feature.
        """
        from bitext.schemas import loader

        with self.reporting_damage(self.file, ValueError):
            schema = loader.load(self.file)
        if not schema.feature:
            raise self.damaged(self.file, "is damaged: it names no feature")
        return schema

    def write(self, schema: schema_pb2.Schema, comment: str = "") -> None:
        """Writes the schema after a comment of one line or more."""
        from bitext.schemas import loader

        loader.save(schema, self.file, comment)
