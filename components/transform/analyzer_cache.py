"""Reuses the counts of TensorFlow Transform's analyzers for earlier spans.

The file format of `tft_beam.analyzer_cache` is not used: it has pickles without a checksum, and needs a dozen
Beam stages for each span. Here, each entry is one file with a checksum (`artifacts.TransformCache`).
"""

from __future__ import annotations

import collections
import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from bitext.components.artifacts import DamagedEntryError, TransformCache
from bitext.components.shared import storage
from bitext.components.shared.files import encode_json, folder_digest
from bitext.components.transform import Augmentation, vocabulary

T = TypeVar("T")
R = TypeVar("R")


@dataclasses.dataclass(frozen=True)
class Entry:
    """The key of a cache entry: the counts of one analyzer for one span.

    Attributes:
      dataset: the key of the span.
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


def dataset_keys(folders: Iterable[Path], augmentation: Augmentation) -> list[str]:
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
        keys.append(f"{digest}-{occurrences[digest]}")
        occurrences[digest] += 1
    return keys


@dataclasses.dataclass(frozen=True)
class Window:
    """The spans of an analysis, and which of their counts are already in the updated cache.

    Attributes:
      cache: the updated cache.
      keys: the keys of the spans, in order.
      analyzers: TFT's cache entry keys.
      complete: the spans whose counts are all in the cache. They are not read.
    """

    cache: TransformCache
    keys: tuple[str, ...]
    analyzers: tuple[bytes, ...]
    complete: frozenset[str] = frozenset()

    @classmethod
    def carried_over(
        cls,
        cache: TransformCache,
        keys: Iterable[str],
        old: TransformCache | None,
        analyzers: Iterable[bytes],
    ) -> Window:
        """Copies the undamaged counts of an old cache that this analysis needs.

        Args:
          cache: the updated cache.
          keys: the keys of the spans.
          old: the old cache, which may be missing or damaged; None: there is none.
          analyzers: TFT's cache entry keys. Counts of other analyzers are not copied.
        """
        keys, analyzers = tuple(keys), tuple(sorted(analyzers))
        entries = [Entry(key, analyzer) for key in keys for analyzer in analyzers] if old is not None else []
        copied = _in_parallel(lambda entry: old is not None and entry.copy(old, cache), entries)
        missing = {entry.dataset for entry, is_copied in zip(entries, copied, strict=True) if not is_copied}
        complete = frozenset(keys) - missing if old is not None else frozenset()
        return cls(cache, keys, analyzers, complete)

    def total(self, analyzer: bytes) -> bytes:
        """Returns the sum of the counts of all spans, encoded. All counts must be in the cache."""
        encoded = _in_parallel(lambda key: Entry(key, analyzer).read(self.cache), self.keys)
        return next(encoded) if len(self.keys) == 1 else vocabulary.sum_encoded(encoded)


def _in_parallel(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Yields the result of a function for each item, in order: a remote file is mostly waited for."""
    size = storage.CONCURRENT_FILES
    with ThreadPoolExecutor(size) as pool:
        for start in range(0, len(items), size):
            yield from pool.map(function, items[start : start + size])
