"""The held-out sentences: read from the examples, with all translations of a source as its references."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

import tensorflow as tf

from bitext.components.shared import errors
from bitext.components.shared.damaged_examples import reporting_damaged_examples

READ_BATCH = 4096


@dataclasses.dataclass
class Sentence:
    """One source and its references, in the order of the examples. `id` is the first example's."""

    id: str
    source: str
    references: list[str]


def read_sentences(
    folders: Sequence[Path], most: int | None = None, *, by_line: bool = False
) -> list[Sentence]:
    """The distinct sources of a held-out split, in order of first appearance.

    Args:
      folders: the split's, `Split-eval` or `Split-test`, of each of ExampleGen's outputs, in order.
      most: keep at most so many sources, those with the smallest hash: the same ones in every run.
      by_line: every example by itself instead, with its one reference, whatever others its source has.

    Raises:
      errors.DataError: there is no such split, it is empty, or a file of it is damaged.
    """
    files = [str(path) for folder in folders for path in sorted(folder.glob("*.gz"))]
    sentences: dict[str, Sentence] = {}
    for id_, source, target in _rows(files):
        sentence = sentences.setdefault(id_ if by_line else source, Sentence(id_, source, []))
        if target not in sentence.references:
            sentence.references.append(target)
    if not sentences:
        raise errors.DataError(
            f"the split {folders[0].name.removeprefix('Split-')!r} holds no example: "
            f"{', '.join(map(str, folders))}",
            "give it a share of the data, or files of its own: `splits` of example_gen in the configuration",
        )
    found = list(sentences.values())
    sources = {s.source for s in found}
    if most is None or len(sources) <= most:
        return found
    kept = set(sorted(sources, key=lambda source: hashlib.blake2b(source.encode()).digest())[:most])
    return [s for s in found if s.source in kept]


def _rows(files: list[str]) -> list[tuple[str, str, str]]:
    """(id, source, target) of every record."""
    if not files:
        return []
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in ("id", "source", "target")}
    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(READ_BATCH)
    rows: list[tuple[str, str, str]] = []
    with reporting_damaged_examples(Path(files[0]).parent, "ExampleGen"):
        for batch in dataset.map(lambda records: tf.io.parse_example(records, spec)).as_numpy_iterator():
            columns = [[value.decode("utf-8", "replace") for value in batch[name]] for name in spec]
            rows.extend(zip(*columns, strict=True))
    return rows
