"""ExampleAnomalies: how the data differs from the schema, from earlier data, and from served requests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bitext.components.artifacts.base import Artifact

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import anomalies_pb2


class ExampleAnomalies(Artifact):
    """TFDV's anomalies: one `Anomalies` message for each comparison, with ExampleValidator's severities::

    Split-train/SchemaDiff.pb               a split against the schema
    drift/Split-train/SchemaDiff.pb         a split against the same split of the previous blessed run
    train-eval/Split-train/SchemaDiff.pb    the train split against the eval split
    serving/Split-train/SchemaDiff.pb       the train split against the requests to the served model

    With spans, each span has the first comparison, and each new span the second. The other comparisons are of
    all spans together::

    span-7/Split-train/SchemaDiff.pb
    span-7/drift/Split-train/SchemaDiff.pb
    """

    TYPE_NAME = "ExampleAnomalies"
    FILES = ("SchemaDiff.pb",)
    NODE = "ExampleValidator"

    def file(self, split: str, comparison: str = ".") -> Path:
        """Returns the file of a comparison.

        Args:
          split: the split that is compared.
          comparison: the comparison's folder in the artifact: `drift`, `span-7/drift`.
        """
        return self.path / comparison / f"Split-{split}" / "SchemaDiff.pb"

    def comparisons(self) -> list[tuple[str, str]]:
        """Returns the folder and the split of each comparison: (`drift`, `train`). See `file`."""
        folders = sorted(path.parent for path in self.path.glob("**/SchemaDiff.pb"))
        return [
            (str(folder.parent.relative_to(self.path)), folder.name.removeprefix("Split-"))
            for folder in folders
        ]

    @staticmethod
    def pattern(folder: Path) -> str:
        """Returns the glob of all comparisons below a folder, for messages."""
        return f"{folder}/**/SchemaDiff.pb"

    def load(self, split: str, comparison: str = ".") -> anomalies_pb2.Anomalies:
        """Reads the anomalies of a comparison.

        Raises:
          DataError: the file is missing or damaged.
        """
        from google.protobuf.message import DecodeError
        from tensorflow_metadata.proto.v0 import anomalies_pb2

        path = self.file(split, comparison)
        with self.reporting_damage(path, DecodeError):
            content = path.read_bytes()
            anomalies = anomalies_pb2.Anomalies.FromString(content)
        if not content:  # TFDV sets fields even if it finds nothing
            raise self.damaged(path, "is damaged: it is empty")
        return anomalies

    def write(self, anomalies: anomalies_pb2.Anomalies, split: str, comparison: str = ".") -> None:
        """Writes the anomalies of a comparison. Equal messages give equal bytes."""
        path = self.file(split, comparison)
        path.parent.mkdir(parents=True)
        path.write_bytes(anomalies.SerializeToString(deterministic=True))
