"""Reads held-out sentences from examples, with all translations of a source as its references."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf

from bitext.components.artifacts import Examples
from bitext.components.shared import errors, tfrecord
from bitext.components.shared.damaged_examples import reporting_damaged_examples
from bitext.components.text.normalization import normalize

FEATURES = ("id", "source", "target")


@dataclasses.dataclass
class Sentence:
    """A source and its references.

    Attributes:
      id: the id of the first example with this source.
      source: the source.
      references: the references, in the order of the examples.
      part: the label of the span or corpus that this example is from; empty: there is only one.
    """

    id: str
    source: str
    references: list[str]
    part: str = ""


def read_sentences(
    folders: Sequence[Path],
    limit: int | None = None,
    *,
    by_line: bool = False,
    parts: Sequence[str] | None = None,
) -> list[Sentence]:
    """Reads the distinct sources of a held-out split, in order of first appearance.

    Sources that are equal after normalization are one source, and so are references.

    Args:
      folders: the split's folder, `Split-eval` or `Split-test`, of each of ExampleGen's outputs, in order.
      limit: maximum number of sources. Those with the smallest hashes are read, the same in every run.
      by_line: whether each example is a separate sentence with one reference, even if other examples have the
        same source.
      parts: the label of each folder (`artifacts.span_label`), for `Sentence.part`; None: there are none.

    Raises:
      errors.DataError: the split is missing or empty, or one of its files is damaged.
    """
    sentences: dict[str, Sentence] = {}
    seen: set[tuple[str, str]] = set()
    for folder, part in zip(folders, parts or [""] * len(folders), strict=True):
        for id_, source, target in _rows(folder):
            key = id_ if by_line else normalize(source)
            sentence = sentences.setdefault(key, Sentence(id_, source, [], part))
            reference = key, normalize(target)
            if reference not in seen:
                seen.add(reference)
                sentence.references.append(target)
    if not sentences:
        raise errors.DataError(
            f"the split {folders[0].name.removeprefix('Split-')!r} holds no example: "
            f"{', '.join(map(str, folders))}",
            "give it a share of the data, or files of its own: `splits` of example_gen in the configuration",
        )
    sources = {normalize(sentence.source) for sentence in sentences.values()}
    if limit is not None and len(sources) > limit:
        by_hash = sorted(sources, key=lambda source: hashlib.blake2b(source.encode()).digest())
        sources = set(by_hash[:limit])
    return [sentence for sentence in sentences.values() if normalize(sentence.source) in sources]


def _rows(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Yields (id, source, target) of every example of a split."""
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in FEATURES}
    examples = Examples(folder.parent)
    for file in examples.files(folder.name.removeprefix("Split-")):
        for records in tfrecord.read_records(file):
            with reporting_damaged_examples(folder, examples.node):
                batch = tf.io.parse_example(tf.constant(records), spec)
            columns = (batch[name].numpy() for name in FEATURES)
            texts = [[value.decode("utf-8", "replace") for value in column] for column in columns]
            yield from zip(*texts, strict=True)
