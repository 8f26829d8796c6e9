"""TransformCache: the counts of TensorFlow Transform's analyzers for each span."""

from __future__ import annotations

import hashlib
from pathlib import Path

from bitext.components.artifacts.base import Artifact

_DIGEST_BYTES = hashlib.sha256().digest_size


class DamagedEntryError(ValueError):
    """A cache entry has a wrong checksum. The analysis counts its span again."""


class TransformCache(Artifact):
    """The counts of each span, so that the next analysis counts new spans only (TFT's analyzer cache)::

    <digest of a span's train split>-0/<digest of TFT's cache entry key>

    Each file is the SHA-256 of the entry's name and counts, then the counts in TFT's encoding.
    """

    TYPE_NAME = "TransformCache"
    NODE = "Transform"

    def file(self, dataset: str, analyzer: bytes) -> Path:
        """Returns the file of one entry.

        Args:
          dataset: the span's `DatasetKey.key`.
          analyzer: TFT's cache entry key.
        """
        return self.path / dataset / hashlib.sha256(analyzer).hexdigest()[:16]

    def write(self, dataset: str, analyzer: bytes, counts: bytes) -> None:
        """Writes the encoded counts of one analyzer in one span."""
        path = self.file(dataset, analyzer)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(_digest(dataset, analyzer, counts) + counts)

    def read(self, dataset: str, analyzer: bytes) -> bytes:
        """Reads the encoded counts of one analyzer in one span.

        Raises:
          FileNotFoundError: the cache has no such entry.
          DamagedEntryError: the file has a wrong checksum.
        """
        path = self.file(dataset, analyzer)
        content = path.read_bytes()
        digest, counts = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if digest != _digest(dataset, analyzer, counts):
            raise DamagedEntryError(f"{path}: the checksum is wrong")
        return counts


def _digest(dataset: str, analyzer: bytes, counts: bytes) -> bytes:
    return hashlib.sha256(f"{dataset} {analyzer.hex()} ".encode() + counts).digest()
