"""ExampleStatistics: TFDV's statistics of each split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bitext.components.artifacts.base import Artifact

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import statistics_pb2

SERVING_SPLIT = "serving"
"""The split with the statistics of the requests to a served model."""


class ExampleStatistics(Artifact):
    """TFDV statistics of each split, a `DatasetFeatureStatisticsList` with one dataset::

    Split-train/FeatureStats.pb

    From RequestStatistics, statistics of the requests to a served model, source side only::

    Split-serving/FeatureStats.pb
    """

    TYPE_NAME = "ExampleStatistics"
    FILES = ("FeatureStats.pb",)
    NODE = "StatisticsGen"

    def file(self, split: str) -> Path:
        """Returns the file of a split's statistics."""
        return self.split(split) / "FeatureStats.pb"

    def load(self, split: str) -> statistics_pb2.DatasetFeatureStatisticsList:
        """Reads a split's statistics.

        Raises:
          DataError: the file is missing or damaged.
        """
        from google.protobuf.message import DecodeError
        from tensorflow_metadata.proto.v0 import statistics_pb2

        path = self.file(split)
        with self.reporting_damage(path, DecodeError):
            statistics = statistics_pb2.DatasetFeatureStatisticsList.FromString(path.read_bytes())
        if len(statistics.datasets) != 1:
            raise self.damaged(path, f"is damaged: it has {len(statistics.datasets)} datasets instead of one")
        return statistics

    def write(self, statistics: statistics_pb2.DatasetFeatureStatisticsList, split: str) -> None:
        """Writes a split's statistics. Equal messages give equal bytes.

        Beam's and TFDV's sinks are not used: they fail if the path has a glob character (`[`, `*`, `?`).
        """
        path = self.file(split)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(statistics.SerializeToString(deterministic=True))
