"""Transform: token ids equal those of serving; buckets, over-long pairs, analyzer cache, equal bytes."""

from __future__ import annotations

import collections
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bitext.components import artifacts, text
from bitext.components.shared.errors import DataError
from bitext.components.text import learn
from bitext.components.text.processor import load_text_pair
from bitext.components.transform import (
    Augmentation,
    Parameters,
    analyzer_cache,
    buckets,
    counting,
    executor,
    fitting,
    plan,
    vocabulary,
)
from bitext.components.transform.preprocessing import FEATURES
from tests.components.transform_runs import (
    SPLITS,
    Run,
    Splits,
    expected_ids,
    key_of,
    rows,
    write_examples,
)


@pytest.fixture(scope="module")
def default_run(tmp_path_factory) -> Run:
    return Run(tmp_path_factory.mktemp("default"), SPLITS)


@pytest.mark.parametrize("split", ["train", "eval", "test"])
def test_ids_equal_those_of_serving(default_run, split):
    assert default_run.read(split) == expected_ids(default_run, split)


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters",
    [
        {"unit": "word", "vocabulary_size": 24, "lowercase": True},
        {"unit": "subword", "shared_vocabulary": False},
    ],
    ids=["word", "separate"],
)
def test_ids_equal_those_of_serving_with_other_settings(tmp_path, parameters):
    run = Run(tmp_path, SPLITS, **parameters)
    assert run.read("test") == expected_ids(run, "test")
    pair = load_text_pair(run.graph.path)
    assert pair.shared == run.parameters.shared_vocabulary
    assert pair.source.size() == run.graph.properties["source_vocabulary"] <= run.parameters.vocabulary_size
    if not pair.shared:
        # Targets are upper case, and each vocabulary is learned from its own side only.
        assert b"seven" not in b"".join(p.read_bytes() for p in run.graph.path.rglob("target.vocabulary*"))
        piece = pair.target.tokenize(tf.constant(["seven"])).to_list()[0]
        assert len(piece) > len(pair.source.tokenize(tf.constant(["seven"])).to_list()[0])


def test_the_vocabulary_is_learned_from_the_train_split_only(default_run):
    pieces = next(default_run.graph.path.rglob("vocabulary-*.txt")).read_text().split("\n")
    assert len(pieces) > 300
    assert not [piece for piece in pieces[260:] if set(piece.lower()) & {"z", "q"}]


def test_tensorflow_transform_loads_the_graph(default_run):
    import tensorflow_transform as tft

    output = tft.TFTransformOutput(str(default_run.graph.path))
    assert set(output.transformed_feature_spec()) == {"id", "source_ids", "target_ids"}
    name, source, target = SPLITS["test"][0]
    features = output.transform_features_layer()(
        {key: tf.constant([value]) for key, value in zip(FEATURES, (name, source, target), strict=True)}
    )
    assert features["source_ids"].to_list()[0] == default_run.read("test")[name.encode()][0]


@pytest.mark.slow
def test_batch_size_changes_no_byte_of_the_examples(default_run, tmp_path):
    other = Run(tmp_path, SPLITS, batch_size=7)
    for split in SPLITS:
        names = sorted(path.name for path in default_run.output.split(split).iterdir())
        assert names == sorted(path.name for path in other.output.split(split).iterdir())
        for name in names:
            assert (default_run.output.split(split) / name).read_bytes() == (
                other.output.split(split) / name
            ).read_bytes()
    assert default_run.graph.content_digest() == other.graph.content_digest()


def test_the_transform_graph_contains_no_path_of_this_machine(default_run):
    graph = default_run.graph.path
    model = (graph / "transform_fn" / "saved_model.pb").read_bytes()
    assert str(graph.parent).encode() not in model


def test_over_long_pairs_are_left_out_and_counted(default_run, tmp_path):
    complete = default_run.read("train")
    run = Run(tmp_path, SPLITS, source_max_length=20, target_max_length=24)
    written = run.read("train")
    assert written == {k: v for k, v in complete.items() if len(v[0]) <= 20 and len(v[1]) <= 24}
    left_out = len(complete) - len(written)
    assert 0 < left_out == run.output.properties["train_over_long"]
    assert run.output.properties["train_examples"] == len(written)
    assert any(
        line.startswith("train:") and f"{left_out} over-long left out" in line for line in run.messages
    )


@pytest.mark.slow
def test_over_long_pairs_can_be_truncated_and_large_buckets_have_several_files(
    default_run, tmp_path, monkeypatch
):
    monkeypatch.setattr(plan, "LIMITS", plan.FileLimits(examples=40))
    run = Run(tmp_path, SPLITS, source_max_length=20, target_max_length=24, over_long="truncate")

    def truncate(ids: list[int], limit: int) -> list[int]:
        return ids if len(ids) <= limit else [*ids[: limit - 1], text.EOS_ID]

    complete = default_run.read("train")
    assert run.read("train") == {k: (truncate(s, 20), truncate(t, 24)) for k, (s, t) in complete.items()}
    largest = max(run.buckets("train"), key=lambda bucket: bucket["examples"])
    assert [name.split("-", 3)[3] for name in largest["files"]] == [f"{i:05d}-of-00003.gz" for i in range(3)]


@pytest.mark.slow
def test_all_subword_samples_of_a_training_pair_detokenize_to_the_same_text(default_run, tmp_path):
    run = Run(tmp_path, SPLITS, subword_samples=3, subword_dropout=0.2)
    assert run.read("test") == default_run.read("test")
    pair, default_ids = load_text_pair(run.graph.path), default_run.read("train")
    tokenizations: dict[bytes, list[tuple[list[int], list[int]]]] = {}
    for name, ids in run.records("train"):
        tokenizations.setdefault(name, []).append(ids)
    assert tokenizations.keys() == default_ids.keys()
    for side, processor, smallest_ratio in ((0, pair.source, 1.02), (1, pair.target, 1.04)):
        for name, samples in tokenizations.items():
            side_ids = [ids[side] for ids in samples]
            assert len(side_ids) == 3
            assert default_ids[name][side] in side_ids
            assert len(set(processor.detokenize(tf.ragged.constant(side_ids).to_tensor()).numpy())) == 1
        default_tokens = sum(len(ids[side]) for ids in default_ids.values())
        tokens = sum(len(ids[side]) for samples in tokenizations.values() for ids in samples)
        assert default_tokens * 3 * smallest_ratio < tokens < default_tokens * 3 * 1.5
    assert run.output.properties["train_examples"] == len(default_ids)
    assert any(f"train: {len(default_ids)} pairs, each in 3 tokenizations" in line for line in run.messages)


@pytest.mark.parametrize(
    "parameters",
    [
        {"subword_samples": 2},
        {"subword_dropout": 0.1},
        {"subword_samples": 2, "subword_dropout": 0.1, "unit": "word"},
    ],
)
def test_subword_samples_without_dropout_or_subwords_are_refused(parameters):
    with pytest.raises(ValueError, match="subword_samples above 1"):
        Parameters(**parameters)


@pytest.mark.slow
def test_a_corpus_of_one_line_is_transformed(tmp_path):
    run = Run(tmp_path, {"train": [("one.tsv:1", "Go.", "Ve.")]})
    assert list(run.read("train")) == [b"one.tsv:1"]


@pytest.mark.parametrize(
    ("splits", "parameters", "message"),
    [
        ({"eval": rows(3, 1)}, {}, "no train split"),
        ({"train": rows(3, 1)}, {"source_max_length": 2}, "every pair of the train split"),
    ],
)
def test_unusable_data_is_an_error(tmp_path, splits, parameters, message):
    with pytest.raises(DataError, match=message) as error:
        Run(tmp_path, splits, **parameters)
    assert error.value.remedy


def test_a_split_that_is_empty_in_every_span_is_an_error(tmp_path):
    span = {"train": rows(3, 1), "test": []}
    with pytest.raises(DataError, match=r"0/Split-test: the split has no examples here or in the 1 span a"):
        Run(tmp_path, span, span)


def partition(splits: Splits, spans: int) -> list[Splits]:
    """Divides the splits into spans, and adds three: without train, without test, and without any row."""
    span_splits: list[Splits] = [{name: [] for name in splits} for _ in range(spans + 3)]
    spans_with = {"train": [*range(spans), spans + 1], "test": [0, spans]}
    for name, split in splits.items():
        indices = spans_with.get(name, [0, 1, spans])
        for number, index in enumerate(indices):
            first, last = (len(split) * n // len(indices) for n in (number, number + 1))
            span_splits[index][name] = split[first:last]
    return span_splits


@pytest.fixture
def files_counted(monkeypatch) -> list[Path]:
    """The training files that an analysis counts."""
    files: list[Path] = []
    build = counting.build

    def build_and_note(pipeline, spans, *arguments):
        files.extend(file.path for of_span in spans.values() for file in of_span)
        build(pipeline, spans, *arguments)

    monkeypatch.setattr(counting, "build", build_and_note)
    return files


def spans_of(files: list[Path]) -> list[int]:
    """Returns the numbers of the spans that files belong to."""
    return [int(path.parts[-3]) for path in files]


def assert_equal_outputs(run: Run, other: Run) -> None:
    """The graphs are equal, and the examples. The order of the training examples depends on the files."""
    assert run.graph.content_digest() == other.graph.content_digest()
    assert run.output.splits() == other.output.splits()
    for split in run.output.splits():
        assert sorted(run.records(split)) == sorted(other.records(split))
        assert run.buckets(split) == other.buckets(split)
        if split != "train":
            assert run.output.split_digest(split) == other.output.split_digest(split)


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param({}, id="subword"),
        pytest.param(
            {"unit": "word", "shared_vocabulary": False, "vocabulary_size": 24, "lowercase": True},
            id="words of either side",
        ),
    ],
)
@pytest.mark.slow
def test_only_new_spans_are_counted_and_the_examples_are_those_of_one_corpus(
    tmp_path, files_counted, parameters
):
    spans = partition(SPLITS, 3)
    one_corpus = Run(tmp_path / "one corpus", SPLITS, **parameters)
    assert not [line for line in one_corpus.messages if "spans" in line]
    first = Run(tmp_path / "first", *spans[:3], **parameters)
    assert "analysis of 0 of 3 spans taken from the cache" in first.messages
    files_counted.clear()
    second = Run(tmp_path / "second", *spans, cache=first.cache, **parameters)
    assert "analysis of 3 of 6 spans taken from the cache" in second.messages
    assert spans_of(files_counted) == [3, 4, 5]
    assert_equal_outputs(second, one_corpus)


@pytest.mark.slow
def test_a_span_with_a_damaged_cache_entry_is_counted_again(tmp_path, files_counted):
    spans = partition(SPLITS, 3)
    joined = {name: spans[1][name] + spans[2][name] + spans[3][name] for name in SPLITS}
    one_corpus = Run(tmp_path / "one corpus", joined, vocabulary_size=300)
    first = Run(tmp_path / "first", *spans[:4])
    damaged = next(first.cache.glob(f"{key_of(tmp_path / 'first' / 'examples' / '2')}/*"))
    damaged.write_bytes(damaged.read_bytes()[:-1])
    files_counted.clear()
    # The counts do not depend on the size of the vocabulary.
    second = Run(tmp_path / "second", *spans[1:4], cache=first.cache, vocabulary_size=300)
    assert spans_of(files_counted) == [1]
    assert_equal_outputs(second, one_corpus)
    assert len(list(second.cache.iterdir())) == 3


def test_the_key_of_a_span_covers_its_training_split_only(tmp_path):
    split = {"train": rows(5, 1), "eval": rows(2, 2)}
    write_examples(tmp_path / "one", split)
    write_examples(tmp_path / "other eval", {**split, "eval": rows(2, 3)})
    write_examples(tmp_path / "other train", {**split, "train": [*rows(4, 1), ("a", "b", "c")]})
    assert key_of(tmp_path / "one") == key_of(tmp_path / "other eval") != key_of(tmp_path / "other train")
    equal = analyzer_cache.dataset_keys([tmp_path / "one" / "Split-train"] * 2, Augmentation())
    assert len(set(equal)) == 2


KEY = "0123-0"
ENTRY = analyzer_cache.Entry(KEY, b"key")
OTHER = analyzer_cache.Entry("0123-1", b"key")


def entry_file(cache: artifacts.TransformCache, entry: analyzer_cache.Entry) -> Path:
    return cache.file(entry.dataset, entry.analyzer)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path, _: path.write_bytes(path.read_bytes()[:-1]),
        lambda path, _: path.write_bytes(path.read_bytes()[:-1] + b"!"),
        lambda path, _: path.write_bytes(b""),
        lambda path, other: path.write_bytes(other.read_bytes()),
        lambda path, _: (path.unlink(), path.mkdir()),
        lambda path, _: shutil.rmtree(path.parent),
        lambda path, _: (shutil.rmtree(path.parents[1]), path.parents[1].write_text("a file")),
        lambda path, _: shutil.rmtree(path.parents[1]),
    ],
    ids=["cut", "altered", "empty", "another span's", "a folder", "no span", "no cache", "gone"],
)
def test_damaged_entries_and_those_of_another_span_are_not_used(tmp_path, damage):
    old, new = artifacts.TransformCache(tmp_path / "old"), artifacts.TransformCache(tmp_path / "new")
    ENTRY.write(old, b"counts")
    OTHER.write(old, b"other counts")
    window = analyzer_cache.Window.carried_over(new, [KEY], old, [b"key"])
    assert window.complete == {KEY}
    assert ENTRY.read(new) == window.total(b"key") == b"counts"
    # One of two analyzers is cached.
    assert analyzer_cache.Window.carried_over(new, [KEY], old, [b"key", b"other"]).complete == frozenset()
    damage(entry_file(old, ENTRY), entry_file(old, OTHER))
    assert analyzer_cache.Window.carried_over(new, [KEY], old, [b"key"]).complete == frozenset()


WORD = st.text(st.characters(blacklist_categories=("C", "Z")), min_size=1, max_size=4)


@given(
    st.lists(st.lists(st.tuples(WORD, st.integers(1, 40)), max_size=6), min_size=1, max_size=6),
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
    st.sampled_from(["subword", "word", "character"]),
)
def test_the_vocabulary_of_merged_span_counts_equals_that_of_all_counts(batches, span_of_batch, unit):
    combine, coder = vocabulary.SumCounts(), vocabulary.CountsCoder(text.TextSettings(unit=unit))

    def count(word_batches: list[list[tuple[str, int]]]) -> vocabulary.Counts:
        accumulator = combine.create_accumulator()
        for batch in word_batches:
            distinct = {word.encode(): number for word, number in batch}
            arrays = np.array(list(distinct), object), np.array(list(distinct.values()), np.int64)
            accumulator = combine.add_input(accumulator, vocabulary.count_batch(arrays))
        return combine.extract_output(accumulator)

    spans: list[list[list[tuple[str, int]]]] = [[], [], [], []]
    for batch, span in zip(batches, span_of_batch, strict=False):
        spans[span].append(batch)
    cached = [coder.encode_cache(count(span)) for span in spans]
    merged = combine.merge_accumulators([coder.decode_cache(encoded) for encoded in reversed(cached)])
    assert merged == count(batches)
    assert coder.encode_cache(merged) == coder.encode_cache(count(batches))
    learned, expected = (
        learn.learn({w.decode(): n for w, n in c.items()}, text.TextSettings(unit=unit), 280)
        for c in (merged, count(batches))
    )
    assert learned.vocabulary_file() == expected.vocabulary_file()
    assert learned.merges_file() == expected.merges_file()


@given(st.dictionaries(st.binary(max_size=3), st.integers(1, 4)), st.integers(1, 30), st.randoms())
def test_the_most_frequent_words_do_not_depend_on_their_order(counts, number, random):
    items = list(counts.items())
    random.shuffle(items)
    chosen = dict(vocabulary.most_frequent(collections.Counter(dict(items)), number))
    assert chosen.items() <= counts.items()
    assert len(chosen) == min(number, len(counts))
    left_out = counts.keys() - chosen.keys()
    assert all((-chosen[a], a) < (-counts[b], b) for a in chosen for b in left_out)


@given(st.dictionaries(st.binary(max_size=5), st.integers(0, 2**62)))
def test_counts_are_encoded_and_decoded(counts):
    coder = vocabulary.CountsCoder(text.TextSettings())
    encoded = coder.encode_cache(counts)
    assert coder.decode_cache(encoded) == counts
    assert coder.encode_cache(dict(reversed(counts.items()))) == encoded


def test_analyzer_cache_keys_cover_the_text_settings():
    reprs = {
        repr(vocabulary.CountsCoder(text.TextSettings(unit=unit, lowercase=lowercase)))
        for unit in ("subword", "word")
        for lowercase in (False, True)
    }
    assert len(reprs) == 4
    assert {repr(vocabulary.CountBatches()), repr(vocabulary.MergeCounts())} == {
        "CountBatches",
        "MergeCounts",
    }


def test_the_graph_digest_covers_settings_vocabularies_and_schemas_only(default_run, tmp_path):
    """The SavedModel is not covered: its function names depend on earlier functions of the process."""

    def digest_with(name: str, content: bytes) -> str:
        graph = artifacts.TransformGraph(tmp_path / str(len(list(tmp_path.iterdir()))))
        shutil.copytree(default_run.graph.path, graph.path)
        (graph.path / name).write_bytes(content)
        return graph.content_digest()

    digest, text = default_run.graph.content_digest(), default_run.graph.text()
    assert digest_with("transform_fn/saved_model.pb", b"other functions") == digest
    for name in (text.source.vocabulary, text.source.merges, "text.json", "metadata/schema.pbtxt"):
        assert digest_with(name, b"other") != digest


@pytest.mark.slow
def test_the_graph_digest_is_equal_in_another_process(default_run, tmp_path):
    code = f"""
from pathlib import Path
import tensorflow as tf
tf.function(lambda x: x)(tf.constant(1))  # later functions get higher numbers
from tests.components.transform_runs import SPLITS, Run
print(Run(Path({str(tmp_path)!r}), SPLITS).graph.content_digest())
"""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.split()[-1] == default_run.graph.content_digest()


def test_a_schema_without_the_features_is_refused(tmp_path):
    schema = artifacts.Schema(tmp_path)
    schema.file.write_text('feature { name: "id" type: BYTES }')
    with pytest.raises(DataError, match="no feature source of type BYTES"):
        executor._feature_schema(schema)


def test_a_vocabulary_without_room_for_bytes_is_refused():
    with pytest.raises(ValueError, match="at least 261"):
        Parameters(vocabulary_size=260)
    assert Parameters(vocabulary_size=260, unit="word").vocabulary_size == 260
    with pytest.raises(msgspec.ValidationError, match="over_long"):
        msgspec.convert({"over_long": "drop"}, Parameters)


@given(st.integers(2, 500), st.floats(1.0, 3.0))
def test_bounds_increase_to_the_maximum_length(longest, growth):
    bounds = buckets.bounds(longest, growth)
    assert bounds[-1] == longest
    assert (np.diff(bounds) > 0).all()
    assert (bounds[1:] <= np.maximum(bounds[:-1] + 1, np.ceil(bounds[:-1] * growth))).all()


@given(st.data())
def test_rare_buckets_are_merged_into_larger_ones(data):
    shape = data.draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    cells = st.lists(st.integers(0, 200), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    counts = np.array(data.draw(cells)).reshape(shape)
    source, target = np.arange(4, 4 + shape[0]), np.arange(4, 4 + shape[1])
    destination = buckets.merge_rare(counts, source, target)
    merged = np.zeros(counts.size, int)
    np.add.at(merged, destination.ravel(), counts.ravel())
    for (row, column), index in np.ndenumerate(destination):
        assert index // shape[1] >= row
        assert index % shape[1] >= column
    # A rare bucket is left only where nothing larger is in use.
    used = merged.reshape(shape)
    for (row, column), count in np.ndenumerate(used):
        if 0 < count < buckets.MIN_EXAMPLES:
            assert used[row:, column:].sum() == count


def test_training_pairs_are_counted_only_if_their_number_is_not_recorded(tmp_path, monkeypatch):
    spans = [write_examples(tmp_path / str(count), {"train": rows(count, 1)}) for count in (3, 4)]
    assert executor._pairs(spans) == 7
    spans[0].properties["train"] = 3
    assert executor._pairs(spans) == 7
    spans[1].properties["train"] = 4
    monkeypatch.setattr(executor.tfrecord, "read_records", lambda *_: pytest.fail("it reads a file"))
    assert executor._pairs(spans) == 7


@pytest.mark.slow
def test_vocabulary_size_auto_follows_the_number_of_training_pairs(tmp_path):
    run = Run(tmp_path, {"train": rows(30, seed=1), "eval": rows(2, seed=2)}, vocabulary_size="auto")
    assert "vocabulary_size auto: 2,000 for 30 training pairs" in run.messages
    assert 260 < run.graph.text().source.size < 2_000


@pytest.mark.slow
def test_limits_and_vocabularies_that_do_not_fit_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(fitting.corpus_size, "vocabulary_size", lambda pairs, words: 100)
    splits = {"train": rows(30, seed=1), "eval": rows(2, seed=2)}
    run = Run(tmp_path, splits, source_max_length=8, target_max_length=150, over_long="truncate")
    warnings = [line for line in run.messages if line.startswith("warning: ")]
    assert len(warnings) == 2
    assert "transform.source_max_length 8 truncates" in warnings[0]
    assert "transform.vocabulary_size 100 would fit" in warnings[1]
