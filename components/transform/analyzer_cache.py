"""Reuses the counts of TensorFlow Transform's analyzers for earlier spans.

The file format of `tft_beam.analyzer_cache` is not used: it has pickles without a checksum, and needs a dozen
Beam stages for each span. Here, each entry is one file with a checksum (`artifacts.TransformCache`).
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Iterable
from pathlib import Path

import apache_beam as beam
from tensorflow_transform.beam.analyzer_cache import DatasetCache, DatasetKey

from bitext.components.artifacts import DamagedEntryError, TransformCache
from bitext.components.shared.files import encode_json, folder_digest
from bitext.components.transform import Augmentation


@dataclasses.dataclass(frozen=True)
class Entry:
    """The key of a cache entry: the counts of one analyzer for one span.

    Attributes:
      dataset: the span's `DatasetKey.key`.
      analyzer: TFT's cache entry key.
    """

    dataset: str
    analyzer: bytes

    def read(self, cache: TransformCache) -> bytes:
        """Reads the encoded counts. See `TransformCache.read`."""
        return cache.read(self.dataset, self.analyzer)

    def write(self, cache: TransformCache, counts: bytes) -> None:
        """Writes the encoded counts."""
        cache.write(self.dataset, self.analyzer, counts)

    def copy(self, old: TransformCache, new: TransformCache) -> bool:
        """Copies the entry to another cache. Returns false if it is missing or damaged."""
        try:
            counts = self.read(old)
        except (OSError, DamagedEntryError):
            return False
        self.write(new, counts)
        return True


def dataset_keys(folders: Iterable[Path], augmentation: Augmentation) -> list[DatasetKey]:
    """Returns a key for each folder of examples: the digest of its content, and a counter.

    With an augmentation, the key depends on its settings, because the analyzers count the copies too.
    """
    occurrences: collections.Counter[str] = collections.Counter()
    keys = []
    for folder in folders:
        digest = folder_digest(folder)
        if augmentation != Augmentation():
            settings = hashlib.sha256(encode_json(augmentation)).hexdigest()
            digest = f"{digest}-{settings[:12]}"
        keys.append(DatasetKey(f"{digest}-{occurrences[digest]}"))
        occurrences[digest] += 1
    return keys


@dataclasses.dataclass(frozen=True)
class Window:
    """The spans of an analysis, and their entries that are already in the updated cache.

    Attributes:
      cache: the updated cache.
      cached: the entries in the cache, by span, in the order of the spans.
      complete: the spans whose entries are all in the cache. They are not read.
    """

    cache: TransformCache
    cached: dict[DatasetKey, list[Entry]]
    complete: frozenset[DatasetKey] = frozenset()

    @classmethod
    def carried_over(
        cls,
        cache: TransformCache,
        keys: Iterable[DatasetKey],
        old: TransformCache,
        analyzers: Iterable[bytes],
    ) -> Window:
        """Copies the undamaged entries of an old cache that this analysis needs.

        Args:
          cache: the updated cache.
          keys: the keys of the spans.
          old: the old cache, which may be missing or damaged.
          analyzers: TFT's cache entry keys. Entries of other analyzers are not copied.
        """
        needed = {key: [Entry(key.key, analyzer) for analyzer in sorted(analyzers)] for key in keys}
        cached = {key: [e for e in entries if e.copy(old, cache)] for key, entries in needed.items()}
        complete = frozenset(key for key in needed if cached[key] == needed[key])
        return cls(cache, cached, complete)

    def read(self, pipeline: beam.Pipeline) -> dict[DatasetKey, DatasetCache]:
        """Returns the cached counts in TFT's form, read when the pipeline runs."""
        return {
            key: DatasetCache(
                {
                    entry.analyzer: pipeline
                    | f"ListCached/{span}/{number}" >> beam.Create([entry])
                    | f"ReadCached/{span}/{number}" >> beam.Map(Entry.read, self.cache)
                    for number, entry in enumerate(entries)
                },
                None,
            )
            for span, (key, entries) in enumerate(self.cached.items())
            if entries
        }

    def write(self, counted: dict[DatasetKey, DatasetCache]) -> None:
        """Adds the Beam steps that write the counts of this run to the cache."""
        for span, (key, dataset) in enumerate(counted.items()):
            for number, (analyzer, encoded) in enumerate(dataset.items()):
                entry = Entry(key.key, analyzer)
                _ = encoded | f"WriteCounted/{span}/{number}" >> beam.Map(_write, entry, self.cache)


def _write(counts: bytes, entry: Entry, cache: TransformCache) -> None:
    entry.write(cache, counts)
