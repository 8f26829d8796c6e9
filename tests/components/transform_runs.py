"""Runs of Transform over small random corpora, for several test modules."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import tensorflow as tf
from apache_beam import Pipeline
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from bitext.components import artifacts, text
from bitext.components.component import Context
from bitext.components.shared import tfrecord
from bitext.components.text.processor import load_text_pair
from bitext.components.transform import Augmentation, Transform, WeightedParameters, analyzer_cache
from bitext.components.transform.preprocessing import FEATURES

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "while",
    "seven",
    "ñandúes",
    "sang",
    "їжак",
    "猫",
    "songs,",
    "didn't",
    "they?",
    "42",
    "!",
]
SCHEMA = "".join(
    f'feature {{ name: "{name}" type: BYTES presence {{ min_fraction: 1 }} }}' for name in FEATURES
)

LONG_ENOUGH = {"source_max_length": 200, "target_max_length": 200}


def rows(count: int, seed: int) -> list[tuple[str, str, str]]:
    """Returns random (id, source, target) rows. A target is its source in upper case."""
    rng = random.Random(seed)

    def sentence() -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 14)))

    return [(f"random{seed}.tsv:{i}", sentence(), sentence().upper()) for i in range(count)]


Splits = dict[str, list[tuple[str, str, str]]]
"""The rows of each split."""


def write_examples(
    folder: Path, splits: Splits, properties: dict[str, str] | None = None
) -> artifacts.Examples:
    """Writes an Examples artifact."""
    examples = artifacts.Examples(folder, dict(properties or {}))
    for name, split in splits.items():
        examples.split(name).mkdir(parents=True, exist_ok=True)
        by_feature = zip(*split) if split else ([], [], [])
        columns = dict(zip(FEATURES, (pa.array(c, pa.string()) for c in by_feature), strict=True))
        tfrecord.write_examples(examples.shard(name), columns)
    return examples


class Run:
    """Runs Transform over one or more spans, and holds its outputs and messages."""

    def __init__(
        self,
        folder: Path,
        *spans: Splits,
        cache: Path | None = None,
        beam_pipeline: Callable[[], Pipeline] | None = None,
        root: Path | None = None,
        properties: Sequence[dict[str, str]] = (),
        **parameters,
    ):
        """Runs Transform.

        Args:
          folder: the folder of everything.
          spans: the examples.
          cache: the analyzer cache of another run.
          beam_pipeline: creates pipelines on an engine; None: they run in this process.
          root: the folder of the artifacts that workers open, which may be remote; None: `folder`.
          properties: the properties of the spans; left out: they have none.
          parameters: Transform's parameters.
        """
        root = root or folder
        paths = {name: folder / name for name in ("schema", "graph", "rejects", "working", "temp")}
        paths |= {name: root / name for name in ("output", "cache")}
        for path in paths.values():
            path.mkdir(parents=True, exist_ok=True)
        (paths["schema"] / "schema.pbtxt").write_text(SCHEMA)
        self.messages: list[str] = []
        self.graph = artifacts.TransformGraph(paths["graph"])
        self.output = artifacts.TransformedExamples(paths["output"])
        self.cache = paths["cache"]
        self.parameters = WeightedParameters(
            **{**LONG_ENOUGH, "vocabulary_size": 320, "batch_size": 16, **parameters}
        )
        Transform().run(
            self.parameters,
            Context(
                paths["working"],
                paths["temp"],
                beam_pipeline or (lambda: Pipeline(runner=FnApiRunner())),
                self.messages.append,
                spill_dir=paths["temp"] / "spilled" if beam_pipeline is None else None,
                local_pipeline=lambda: Pipeline(runner=FnApiRunner()),
            ),
            examples=tuple(
                write_examples(root / "examples" / str(i), splits, *properties[i : i + 1])
                for i, splits in enumerate(spans)
            ),
            schema=artifacts.Schema(paths["schema"]),
            analyzer_cache=None if cache is None else artifacts.TransformCache(cache),
            transform_graph=self.graph,
            transformed_examples=self.output,
            updated_analyzer_cache=artifacts.TransformCache(self.cache),
            rejects=artifacts.Rejects(paths["rejects"]),
        )

    def buckets(self, split: str) -> list[dict]:
        return json.loads((self.output.split(split) / "buckets.json").read_text())

    def read(self, split: str) -> dict[bytes, tuple[list[int], list[int]]]:
        """Returns the token ids of source and target, by example id."""
        return dict(self.records(split))

    def records(self, split: str) -> Iterator[tuple[bytes, tuple[list[int], list[int]]]]:
        """Yields example ids with the token ids of source and target. Checks padding, lengths and counts."""
        for bucket in self.buckets(split):
            tokens = 0
            spec = {"id": tf.io.FixedLenFeature([], tf.string)}
            for side in ("source", "target"):
                spec[f"{side}_ids"] = tf.io.FixedLenFeature([bucket[side]], tf.int64)
                spec[f"{side}_length"] = tf.io.FixedLenFeature([], tf.int64)
            paths = [str(self.output.split(split) / name) for name in bucket["files"]]
            dataset = tf.data.TFRecordDataset(paths, compression_type="GZIP")
            parsed = [tf.io.parse_single_example(record, spec) for record in dataset]
            assert len(parsed) == bucket["examples"] > 0
            for example in parsed:
                ids = []
                for side in ("source", "target"):
                    padded_ids, length = example[f"{side}_ids"].numpy(), int(example[f"{side}_length"])
                    assert (padded_ids[:length] > 0).all()
                    assert not padded_ids[length:].any()
                    ids.append(padded_ids[:length].tolist())
                tokens += len(ids[1]) - 1
                yield example["id"].numpy(), (ids[0], ids[1])
            assert tokens == bucket["target_tokens"]


def distinct(splits: Splits) -> Splits:
    """Returns the rows whose source is in no earlier row: a partition of them into spans loses none."""
    first: dict[str, tuple[str, str, str]] = {}
    for row in (row for split in splits.values() for row in split):
        first.setdefault(row[1].casefold(), row)
    kept = {row[0] for row in first.values()}
    return {name: [row for row in split if row[0] in kept] for name, split in splits.items()}


# Only eval has the letters z and q.
SPLITS = distinct(
    {
        "train": rows(90, 1),
        "eval": [*rows(20, 2), ("eval:z", "zzzz qqqq " * 9, "QZ")],
        "test": rows(25, 3),
    }
)


def expected_ids(run: Run, split: str) -> dict[bytes, tuple[list[int], list[int]]]:
    """Returns the token ids of a split, made by the text processor that exported models use."""
    pair = load_text_pair(run.graph.path)
    names, sources, targets = zip(*SPLITS[split])
    source = pair.source.tokenize(tf.constant(sources)).to_list()
    target = pair.target.tokenize(tf.constant(targets)).to_list()
    return {
        name.encode(): ([*s, text.EOS_ID], [text.BOS_ID, *t, text.EOS_ID])
        for name, s, t in zip(names, source, target, strict=True)
    }


def key_of(span: Path) -> str:
    """Returns the key of a span that differs from all other spans."""
    (key,) = analyzer_cache.dataset_keys([span / "Split-train"], Augmentation())
    return key
