"""The files of TensorFlow Transform's analyzer cache: what was counted in a span, read only where whole.

`tft_beam.analyzer_cache` has a form of its own: pickles without a checksum, in a dozen Beam stages a span.
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path

import apache_beam as beam
from tensorflow_transform.beam.analyzer_cache import DatasetCache, DatasetKey

from bitext.components.shared.files import folder_digest

_DIGEST_BYTES = hashlib.sha256().digest_size


class DamagedError(ValueError):
    """A file is not as it was written."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """What one analyzer counted in one span: a SHA-256 of all that follows and of what it is, then that.

    Attributes:
      dataset: the span's `DatasetKey.key`.
      analyzer: TFT's cache entry key.
    """

    dataset: str
    analyzer: bytes

    def path(self, cache: Path) -> Path:
        """Where it lies in a cache's folder."""
        return cache / self.dataset / hashlib.sha256(self.analyzer).hexdigest()[:16]

    def write(self, cache: Path, encoded: bytes) -> None:
        """Writes the encoded counts."""
        path = self.path(cache)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self._digest(encoded) + encoded)

    def read(self, cache: Path) -> bytes:
        """The encoded counts.

        Raises:
          OSError: they are not there.
          DamagedError: they are not what was written.
        """
        content = self.path(cache).read_bytes()
        digest, encoded = content[:_DIGEST_BYTES], content[_DIGEST_BYTES:]
        if digest != self._digest(encoded):
            raise DamagedError(f"{self.path(cache)}: the checksum is wrong")
        return encoded

    def copy(self, old: Path, cache: Path) -> bool:
        """Copies it from another cache, if it is whole there; whether it is."""
        try:
            encoded = self.read(old)
        except (OSError, DamagedError):
            return False
        self.write(cache, encoded)
        return True

    def _digest(self, encoded: bytes) -> bytes:
        name = f"{self.dataset} {self.analyzer.hex()} "
        return hashlib.sha256(name.encode() + encoded).digest()


def dataset_keys(folders: Iterable[Path]) -> list[DatasetKey]:
    """A key for each of these folders of examples: its content, and how many before it have the same."""
    before: collections.Counter[str] = collections.Counter()
    keys = []
    for folder in folders:
        digest = folder_digest(folder)
        keys.append(DatasetKey(f"{digest}-{before[digest]}"))
        before[digest] += 1
    return keys


@dataclasses.dataclass(frozen=True)
class Window:
    """The spans of an analysis, and what of it is in the updated cache already.

    Attributes:
      cache: the folder of the updated cache.
      found: of each span, in order, the entries that are there.
      complete: the spans of which none is missing: they need not be read.
    """

    cache: Path
    found: dict[DatasetKey, list[Entry]]
    complete: frozenset[DatasetKey] = frozenset()

    @classmethod
    def carried_over(
        cls, cache: Path, keys: Iterable[DatasetKey], old: Path, analyzers: Iterable[bytes]
    ) -> Window:
        """Copies what is whole and of use from an old cache, whose folder may hold anything.

        Args:
          cache: the folder of the updated cache.
          keys: of the spans.
          old: the folder of the old cache.
          analyzers: TFT's cache entry keys; what was counted under others is left behind.
        """
        entries = {key: [Entry(key.key, analyzer) for analyzer in sorted(analyzers)] for key in keys}
        found = {key: [e for e in wanted if e.copy(old, cache)] for key, wanted in entries.items()}
        complete = frozenset(key for key in entries if found[key] == entries[key])
        return cls(cache, found, complete)

    def read(self, pipeline: beam.Pipeline) -> dict[DatasetKey, DatasetCache]:
        """What was found, as TFT takes it."""
        return {
            key: DatasetCache(
                {
                    entry.analyzer: pipeline
                    | f"ListFound/{span}/{number}" >> beam.Create([entry])
                    | f"ReadFound/{span}/{number}" >> beam.Map(Entry.read, self.cache)
                    for number, entry in enumerate(entries)
                },
                None,
            )
            for span, (key, entries) in enumerate(self.found.items())
            if entries
        }

    def write(self, counted: dict[DatasetKey, DatasetCache]) -> None:
        """Has what TFT counted anew written."""
        for span, (key, dataset) in enumerate(counted.items()):
            for number, (analyzer, encoded) in enumerate(dataset.items()):
                entry = Entry(key.key, analyzer)
                _ = encoded | f"WriteCounted/{span}/{number}" >> beam.Map(_write, entry, self.cache)


def _write(encoded: bytes, entry: Entry, cache: Path) -> None:
    entry.write(cache, encoded)
