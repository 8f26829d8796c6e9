"""Transform on small made corpora: ids as serving makes them, buckets, over-long pairs, stable bytes."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from apache_beam import Pipeline
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given
from hypothesis import strategies as st

from components import artifacts, text, tfrecord
from components.component import Context
from components.errors import DataError
from components.transform import COMPONENT, Parameters, buckets, executor, padded, serialise

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
    f'feature {{ name: "{name}" type: BYTES presence {{ min_fraction: 1 }} }}' for name in executor.FEATURES
)

LONG_ENOUGH = {"source_max_length": 200, "target_max_length": 200}


def rows(count: int, seed: int) -> list[tuple[str, str, str]]:
    rng = random.Random(seed)

    def sentence() -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 14)))

    return [(f"made{seed}.tsv:{i}", sentence(), sentence().upper()) for i in range(count)]


def write_examples(folder: Path, splits: dict[str, list[tuple[str, str, str]]]) -> artifacts.Examples:
    examples = artifacts.Examples(folder)
    for name, split in splits.items():
        examples.split(name).mkdir(parents=True)
        by_feature = zip(*split) if split else ([], [], [])
        columns = dict(zip(executor.FEATURES, (pa.array(c, pa.string()) for c in by_feature), strict=True))
        tfrecord.write_examples(examples.split(name) / "data_tfrecord-00000-of-00001.gz", columns)
    return examples


Splits = dict[str, list[tuple[str, str, str]]]


class Run:
    """One run of Transform over a corpus without spans, or over spans: its outputs, and what it said."""

    def __init__(self, folder: Path, *spans: Splits, cache: Path | None = None, **parameters):
        names = ("schema", "graph", "output", "cache", "working", "temp")
        paths = {name: folder / name for name in names}
        for path in paths.values():
            path.mkdir(parents=True)
        (paths["schema"] / "schema.pbtxt").write_text(SCHEMA)
        self.said: list[str] = []
        self.graph = artifacts.TransformGraph(paths["graph"])
        self.output = artifacts.Examples(paths["output"])
        self.cache = paths["cache"]
        self.parameters = Parameters(
            **{**LONG_ENOUGH, "vocabulary_size": 320, "batch_size": 16, **parameters}
        )
        COMPONENT.load()(
            self.parameters,
            Context(
                paths["working"], paths["temp"], lambda: Pipeline(runner=FnApiRunner()), self.said.append
            ),
            examples=[write_examples(folder / "examples" / str(i), splits) for i, splits in enumerate(spans)],
            schema=artifacts.Schema(paths["schema"]),
            analyzer_cache=None if cache is None else artifacts.TransformCache(cache),
            transform_graph=self.graph,
            transformed_examples=self.output,
            updated_analyzer_cache=artifacts.TransformCache(self.cache),
        )

    def buckets(self, split: str) -> list[dict]:
        return json.loads((self.output.split(split) / "buckets.json").read_text())

    def read(self, split: str) -> dict[bytes, tuple[list[int], list[int]]]:
        """Ids by example id."""
        return dict(self.records(split))

    def records(self, split: str) -> Iterator[tuple[bytes, tuple[list[int], list[int]]]]:
        """Example ids and the ids of both sides, having checked padding, lengths and counts."""
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


# Only eval has the letters z and q.
SPLITS = {
    "train": rows(90, 1),
    "eval": [*rows(20, 2), ("eval:z", "zzzz qqqq " * 9, "QZ")],
    "test": rows(25, 3),
}


@pytest.fixture(scope="module")
def default_run(tmp_path_factory) -> Run:
    return Run(tmp_path_factory.mktemp("default"), SPLITS)


def expected_ids(run: Run, split: str) -> dict[bytes, tuple[list[int], list[int]]]:
    """What the text path the exported model is built from makes of the split."""
    pair = text.load(run.graph.path)
    names, sources, targets = zip(*SPLITS[split])
    source = pair.source.tokenise(tf.constant(sources)).to_list()
    target = pair.target.tokenise(tf.constant(targets)).to_list()
    return {
        name.encode(): ([*s, text.EOS_ID], [text.BOS_ID, *t, text.EOS_ID])
        for name, s, t in zip(names, source, target, strict=True)
    }


@pytest.mark.parametrize("split", ["train", "eval", "test"])
def test_serving_makes_the_same_ids(default_run, split):
    assert default_run.read(split) == expected_ids(default_run, split)


@pytest.mark.parametrize(
    "parameters",
    [
        {"unit": "word", "vocabulary_size": 24, "lowercase": True},
        {"unit": "subword", "shared_vocabulary": False},
    ],
    ids=["word", "separate"],
)
def test_serving_makes_the_same_ids_in_other_settings(tmp_path, parameters):
    run = Run(tmp_path, SPLITS, **parameters)
    assert run.read("test") == expected_ids(run, "test")
    pair = text.load(run.graph.path)
    assert pair.shared == run.parameters.shared_vocabulary
    assert pair.source.size() == run.graph.properties["source_vocabulary"] <= run.parameters.vocabulary_size
    if not pair.shared:
        # Targets are upper case: each side learnt from its own text alone.
        assert b"seven" not in b"".join(p.read_bytes() for p in run.graph.path.rglob("target.vocabulary*"))
        piece = pair.target.tokenise(tf.constant(["seven"])).to_list()[0]
        assert len(piece) > len(pair.source.tokenise(tf.constant(["seven"])).to_list()[0])


def test_the_vocabulary_is_learnt_from_train_alone(default_run):
    pieces = next(default_run.graph.path.rglob("vocabulary-*.txt")).read_text().split("\n")
    assert len(pieces) > 300
    assert not [piece for piece in pieces[260:] if set(piece.lower()) & {"z", "q"}]


def test_the_transform_graph_serves_as_transform_graphs_do(default_run):
    import tensorflow_transform as tft

    output = tft.TFTransformOutput(str(default_run.graph.path))
    assert set(output.transformed_feature_spec()) == {"id", "source_ids", "target_ids"}
    name, source, target = SPLITS["test"][0]
    features = output.transform_features_layer()(
        {
            key: tf.constant([value])
            for key, value in zip(executor.FEATURES, (name, source, target), strict=True)
        }
    )
    assert features["source_ids"].to_list()[0] == default_run.read("test")[name.encode()][0]


def test_batch_size_changes_no_byte_of_the_examples(default_run, tmp_path):
    other = Run(tmp_path, SPLITS, batch_size=7)
    for split in SPLITS:
        names = sorted(path.name for path in default_run.output.split(split).iterdir())
        assert names == sorted(path.name for path in other.output.split(split).iterdir())
        for name in names:
            assert (default_run.output.split(split) / name).read_bytes() == (
                other.output.split(split) / name
            ).read_bytes()
    assert (default_run.graph.path / "text.json").read_bytes() == (
        other.graph.path / "text.json"
    ).read_bytes()


def test_no_folder_of_this_machine_is_in_the_transform_graph(default_run):
    graph = default_run.graph.path
    model = (graph / "transform_fn" / "saved_model.pb").read_bytes()
    assert str(graph.parent).encode() not in model


def test_over_long_pairs_are_left_out_and_counted(default_run, tmp_path):
    whole = default_run.read("train")
    run = Run(tmp_path, SPLITS, source_max_length=20, target_max_length=24)
    kept = run.read("train")
    assert kept == {k: v for k, v in whole.items() if len(v[0]) <= 20 and len(v[1]) <= 24}
    left_out = len(whole) - len(kept)
    assert 0 < left_out == run.output.properties["train_over_long"]
    assert run.output.properties["train_examples"] == len(kept)
    assert any(said.startswith("train:") and f"{left_out} over-long left out" in said for said in run.said)


def test_over_long_pairs_are_truncated_when_asked_and_large_buckets_get_several_files(
    default_run, tmp_path, monkeypatch
):
    monkeypatch.setattr(padded, "CHUNK", 40)
    run = Run(tmp_path, SPLITS, source_max_length=20, target_max_length=24, over_long="truncate")

    def cut(ids: list[int], limit: int) -> list[int]:
        return ids if len(ids) <= limit else [*ids[: limit - 1], text.EOS_ID]

    whole = default_run.read("train")
    assert run.read("train") == {k: (cut(s, 20), cut(t, 24)) for k, (s, t) in whole.items()}
    largest = max(run.buckets("train"), key=lambda bucket: bucket["examples"])
    assert [name.split("-", 3)[3] for name in largest["files"]] == [f"{i:05d}-of-00003.gz" for i in range(3)]


def test_further_segmentations_of_the_training_split_are_the_same_text(default_run, tmp_path):
    changes = {"segmentations": 3, "subword_dropout": 0.2}
    run = Run(tmp_path, SPLITS, **changes)
    assert run.read("test") == default_run.read("test")
    pair, whole = text.load(run.graph.path), default_run.read("train")
    found: dict[bytes, list[tuple[list[int], list[int]]]] = {}
    for name, ids in run.records("train"):
        found.setdefault(name, []).append(ids)
    assert found.keys() == whole.keys()
    for side, process, least in ((0, pair.source, 1.02), (1, pair.target, 1.05)):
        for name, several in found.items():
            spelt = [ids[side] for ids in several]
            assert len(spelt) == 3
            assert whole[name][side] in spelt  # as serving splits it
            assert len(set(process.detokenise(tf.ragged.constant(spelt).to_tensor()).numpy())) == 1
        once = sum(len(ids[side]) for ids in whole.values())
        lengths = sum(len(ids[side]) for several in found.values() for ids in several)
        assert once * 3 * least < lengths < once * 3 * 1.5
    assert run.output.properties["train_examples"] == len(whole)
    assert any(f"train: {len(whole)} pairs, each in 3 segmentations" in said for said in run.said)


@pytest.mark.parametrize(
    "impossible",
    [
        {"segmentations": 2},
        {"subword_dropout": 0.1},
        {"segmentations": 2, "subword_dropout": 0.1, "unit": "word"},
    ],
)
def test_segmentations_that_cannot_be_are_refused(impossible):
    with pytest.raises(ValueError, match="segmentations above 1"):
        Parameters(**impossible)


def test_a_corpus_of_one_line(tmp_path):
    run = Run(tmp_path, {"train": [("one.tsv:1", "Go.", "Ve.")]})
    assert list(run.read("train")) == [b"one.tsv:1"]


@pytest.mark.parametrize(
    ("splits", "parameters", "message"),
    [
        ({"eval": rows(3, 1)}, {}, "no train split"),
        ({"train": rows(3, 1)}, {"source_max_length": 2}, "every pair of the train split"),
    ],
)
def test_what_cannot_be_used_is_said(tmp_path, splits, parameters, message):
    with pytest.raises(DataError, match=message) as error:
        Run(tmp_path, splits, **parameters)
    assert error.value.remedy


def test_an_empty_split_is_said(tmp_path):
    split = tmp_path / "Split-train"
    split.mkdir()
    with gzip.open(split / "data_tfrecord-00000-of-00001.gz", "wb"):
        pass
    with pytest.raises(DataError, match="Split-train: the split has no examples"):
        executor._files(artifacts.Examples(tmp_path), "train")


def test_a_schema_without_the_features_is_refused(tmp_path):
    (tmp_path / "schema.pbtxt").write_text('feature { name: "id" type: BYTES }')
    with pytest.raises(DataError, match="no feature source of type BYTES"):
        executor._feature_schema(tmp_path / "schema.pbtxt")


def test_a_vocabulary_without_room_for_bytes_is_refused():
    with pytest.raises(ValueError, match="at least 261"):
        Parameters(vocabulary_size=260)
    assert Parameters(vocabulary_size=260, unit="word").vocabulary_size == 260
    with pytest.raises(msgspec.ValidationError, match="over_long"):
        msgspec.convert({"over_long": "drop"}, Parameters)


@given(st.integers(2, 500), st.floats(1.0, 3.0))
def test_bounds_rise_to_the_longest(longest, growth):
    bounds = buckets.bounds(longest, growth)
    assert bounds[-1] == longest
    assert (np.diff(bounds) > 0).all()
    assert (bounds[1:] <= np.maximum(bounds[:-1] + 1, np.ceil(bounds[:-1] * growth))).all()


@given(st.data())
def test_rare_buckets_go_to_larger_ones(data):
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    cells = st.lists(st.integers(0, 200), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    counts = np.array(data.draw(cells)).reshape(shape)
    source, target = np.arange(4, 4 + shape[0]), np.arange(4, 4 + shape[1])
    destination = buckets.merge_rare(counts, source, target)
    merged = np.zeros(counts.size, int)
    np.add.at(merged, destination.ravel(), counts.ravel())
    for (row, column), to in np.ndenumerate(destination):
        assert to // shape[1] >= row
        assert to % shape[1] >= column
    # A rare bucket is left only where nothing larger is in use.
    used = merged.reshape(shape)
    for (row, column), count in np.ndenumerate(used):
        if 0 < count < buckets.FEWEST_EXAMPLES:
            assert used[row:, column:].sum() == count


@given(st.lists(st.lists(st.integers(0, 2**35 - 1), min_size=3, max_size=3), min_size=1, max_size=5))
def test_serialised_examples_are_what_protobuf_reads(values):
    ids = pa.array([b"x" * (50 * i) for i in range(len(values))], pa.binary())
    serialised = serialise.examples({"numbers": np.array(values, np.int64), "id": ids})
    for record, expected, name in zip(serialised.to_pylist(), values, ids.to_pylist(), strict=True):
        features = tf.train.Example.FromString(record).features.feature
        assert list(features["numbers"].int64_list.value) == expected
        assert list(features["id"].bytes_list.value) == [name]
        assert len(features) == 2


def test_serialised_example_of_known_bytes():
    (record,) = serialise.examples({"n": np.array([[1, 300]])}).to_pylist()
    assert record == b"\x0a\x0e\x0a\x0c\x0a\x01n\x12\x07\x1a\x05\x0a\x03\x01\xac\x02"
