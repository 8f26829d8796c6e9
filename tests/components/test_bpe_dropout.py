"""BPE-dropout: the text stays the same, no merge crosses a word, and one pass differs from the next."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitext.components.artifacts import Bucket
from bitext.components.shared.errors import ConfigError
from bitext.components.text import BOS_ID, EOS_ID, PAD_ID, byte_pairs
from bitext.components.text.bpe_dropout import BpeDropout
from bitext.components.text.processor import TextPair, TextProcessor
from bitext.components.trainer import Parameters
from bitext.components.trainer.data import Batches, equal_parts
from bitext.components.trainer.segmentation import Segmenter
from bitext.pipeline import config
from tests.components import own_vocabulary
from tests.components.own_vocabulary import Own
from tests.components.test_text import LINES, make_processor
from tests.components.test_trainer import example, open_batches, rows, take

SEED = tf.constant([1, 2])
LONG = 10_000
UNFITTING = [
    "'tis l'heure o'clock rock'n'roll a''b x-'y it's' ''",
    "3.5'a 12a a12 ab34cd \u2603\u2603 \U0001f600x",
    "don't, he said: 'no'. (yes)",
    "кіт'ка e\u0301te\u0301 ที่นี่",
]


@pytest.fixture(scope="module")
def text(tmp_path_factory) -> TextProcessor:
    return make_processor(tmp_path_factory.mktemp("text"), [*LINES, *UNFITTING] * 3, size=420)


def again(text: TextProcessor, rate: float, ids: tf.Tensor, seed: tf.Tensor, limit: int) -> tf.Tensor:
    """One batch, tokenized again."""
    [drawn] = BpeDropout(text, rate)([ids], seed, [limit])
    return drawn


def encoded(text: TextProcessor, lines: list[str]) -> tf.Tensor:
    """The ids of targets: `<s>`, the tokens, `</s>`, padding."""
    ids = text.tokenize(tf.constant(lines, tf.string))
    ends = [tf.fill([len(lines), 1], tf.constant(number)) for number in (BOS_ID, EOS_ID)]
    return tf.concat([ends[0], ids, ends[1]], axis=1).to_tensor(PAD_ID)


words = st.text(alphabet="abehtoskéиі'\u2019-.3 \u0301日☃\u200d", max_size=12) | st.sampled_from(
    " ".join([*LINES, *UNFITTING]).split()
)
lines = st.lists(st.lists(words, max_size=8).map(" ".join), min_size=1, max_size=4)
no_fixture_check = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@given(lines)
@no_fixture_check
def test_without_dropout_the_ids_are_those_of_serving(text, lines):
    ids = encoded(text, lines)
    np.testing.assert_array_equal(again(text, 0.0, ids, SEED, LONG), ids)


@pytest.mark.parametrize("kind", ["bpe", "subword-nmt"])
@given(own_vocabulary.TEXTS)
@settings(no_fixture_check, max_examples=15)
def test_without_dropout_the_ids_are_those_of_a_given_vocabulary(given_texts, kind, line):
    ids = encoded(given_texts[kind], [line, "the cat"])
    np.testing.assert_array_equal(again(given_texts[kind], 0.0, ids, SEED, LONG), ids)


@pytest.fixture(scope="module")
def given_texts(tmp_path_factory) -> dict[str, TextProcessor]:
    merges = b"#version: 0.2\nt h\nth e</w>\nc a\nca t</w>\ns a\na t</w>\ns at</w>\n"
    contents = {"bpe": own_vocabulary.model(), "subword-nmt": merges}
    return {
        kind: Own.of(content, tmp_path_factory.mktemp("given")).processor
        for kind, content in contents.items()
    }


@given(lines, st.floats(0.05, 1.0), st.integers(0, 2**31 - 1))
@no_fixture_check
def test_the_text_stays_the_same(text, lines, rate, seed):
    ids = encoded(text, lines)
    drawn = again(text, rate, ids, tf.constant([seed, 1]), LONG)
    np.testing.assert_array_equal(text.detokenize(drawn), text.detokenize(ids))
    assert np.array_equal(np.count_nonzero(drawn == EOS_ID, axis=1), np.ones(len(lines)))
    np.testing.assert_array_equal(drawn[:, 0], BOS_ID)


def test_all_merges_left_out_give_characters(text):
    drawn = again(text, 1.0, encoded(text, ["the theatre"]), SEED, LONG)
    pieces = text.pieces()
    assert [pieces[number] for number in drawn[0, 1:-1].numpy()] == list("\u2581the\u2581theatre")


def test_words_are_cut_as_often_as_the_published_algorithm_cuts_them(text):
    """The algorithm of Provilkov et al. 2020, section 3.1, one word at a time, as the comparison."""
    lines, rate = LINES[:2] * 200, 0.2
    ids = encoded(text, lines)
    mean_length = float(np.count_nonzero(again(text, rate, ids, SEED, LONG)) / len(lines))
    random = np.random.default_rng(3)
    lengths = [
        sum(len(drawn_word(text, word, rate, random)) for word in words) + 2 for words in segments(text)
    ]
    expected = np.mean(lengths)
    assert expected > np.count_nonzero(ids) / len(lines) + 1
    assert mean_length == pytest.approx(expected, rel=0.02)


def segments(text: TextProcessor) -> list[list[list[int]]]:
    """The characters of the words of many sentences."""
    pieces = {piece: number for number, piece in enumerate(text.pieces())}
    sentences = text.pretokenize(text.normalize(tf.constant(LINES[:2]))).to_list() * 200
    return [[[pieces[c] for c in word.decode()] for word in sentence] for sentence in sentences]


def drawn_word(
    text: TextProcessor, symbols: list[int], rate: float, random: np.random.Generator
) -> list[int]:
    keys, values = (each.numpy().tolist() for each in text._merges.export())
    merges = dict(zip(keys, values, strict=True))
    while True:
        pairs = [
            (merges[key], index)
            for index, (left, right) in enumerate(itertools.pairwise(symbols))
            if (key := left * byte_pairs.KEY_FACTOR + right) in merges and random.random() >= rate
        ]
        if not pairs:
            return symbols
        value, index = min(pairs)
        symbols = [*symbols[:index], value % byte_pairs.KEY_FACTOR, *symbols[index + 2 :]]


def test_a_row_that_would_be_too_long_does_not_change(text):
    ids = encoded(text, ["the theatre", "there these then them"])
    whole, cut = (again(text, 1.0, ids, SEED, limit) for limit in (15, LONG))
    np.testing.assert_array_equal(whole[0, :14], cut[0, :14])
    np.testing.assert_array_equal(whole[1, : ids.shape[1]], ids[1])


def test_whole_tokens_stay_whole(tmp_path):
    path = make_processor(
        tmp_path, [*LINES, "take Model 3 there"] * 3, size=420, whole_tokens=("there", "Model 3")
    )
    ids = encoded(path, ["the there Model 3 then"])
    pieces = path.pieces()
    drawn = [pieces[number] for number in again(path, 1.0, ids, SEED, LONG)[0].numpy()]
    assert {"there", "Model\u25813"} <= set(drawn)
    np.testing.assert_array_equal(again(path, 0.0, ids, SEED, LONG), ids)


def pair_of(source: TextProcessor, target: TextProcessor | None = None) -> TextPair:
    return TextPair(source, target or source, target is None, 60)


BUCKETS = [Bucket(source=40, target=60, examples=1, target_tokens=1, files=())]


@pytest.mark.parametrize("unit", ["word", "character"])
def test_a_vocabulary_without_merges_is_refused(tmp_path, unit, text):
    other = make_processor(tmp_path, LINES, unit=unit)
    with pytest.raises(ConfigError, match="the target has (words|characters)"):
        Segmenter.of(pair_of(text, other), Parameters(subword_dropout=0.1), BUCKETS)


def test_no_rate_is_no_segmenter(text):
    assert Segmenter.of(pair_of(text), Parameters(), BUCKETS) is None


@pytest.fixture
def drawn(tmp_path, text) -> Batches:
    """The batches of twelve pairs in two padded shapes, tokenized again."""
    folder, buckets = tmp_path / "Split-train", []
    folder.mkdir()
    for width, line in ((12, "the theatre"), (40, "there these then them")):
        ids = encoded(text, [line])[0].numpy().tolist()
        target = ids + [PAD_ID] * (width - len(ids))
        name = f"transformed_examples-s{width:03d}-t{width:03d}-00000-of-00001.gz"
        with tf.io.TFRecordWriter(str(folder / name), tf.io.TFRecordOptions(compression_type="GZIP")) as file:
            for _ in range(6):
                file.write(example([*target[1:], PAD_ID], target))
        buckets.append(
            {"source": width, "target": width, "examples": 6, "target_tokens": 60, "files": [name]}
        )
    (folder / "buckets.json").write_text(json.dumps(buckets), encoding="utf-8")
    batches = open_batches(folder, seed=3)
    return dataclasses.replace(
        batches, segmenter=Segmenter.of(pair_of(text), Parameters(subword_dropout=0.3), batches.buckets)
    )


def test_each_pass_cuts_otherwise_and_a_later_start_continues_with_the_same_cuts(drawn):
    count = drawn.per_epoch
    from_start = take(drawn, 0, 2 * count)
    first, second = sorted(rows(from_start[:count])), sorted(rows(from_start[count:]))
    assert first != second
    assert len(set(first)) > 2  # equal pairs are cut differently
    for step in (1, count + 2):
        assert rows(take(drawn, step, 2 * count - step)) == rows(from_start[step:])
    other = dataclasses.replace(drawn, seed=4)
    assert sorted(rows(take(other, 0, count))) != first


@pytest.mark.parametrize("batch_tokens", [40, 80])
def test_rows_of_similar_length_form_as_many_batches(drawn, text, batch_tokens):
    batches = dataclasses.replace(drawn, batch_tokens=batch_tokens)
    served = dataclasses.replace(batches, segmenter=None)
    count = batches.per_epoch
    drawn_batches, served_batches = take(batches, 0, count), take(served, 0, count)
    assert len(drawn_batches) == count
    assert texts(text, drawn_batches) == texts(text, served_batches)
    ranges = []
    for batch in drawn_batches:
        assert len(batch[0]) > 0
        lengths = [tf.math.count_nonzero(ids, axis=1).numpy() for ids in batch]
        assert [ids.shape[1] for ids in batch] == [max(side) for side in lengths]
        longer_side = np.maximum(*lengths)
        ranges.append((min(longer_side), max(longer_side)))
    # In the order of their lengths, no row of one batch is longer than a row of the next.
    assert all(one[1] <= following[0] for one, following in itertools.pairwise(sorted(ranges)))


def texts(text: TextProcessor, batches: list[tuple[tf.Tensor, ...]]) -> list[bytes]:
    """The texts of the targets, sorted."""
    return sorted(line for _, target in batches for line in text.detokenize(target[:, 1:]).numpy().tolist())


@given(st.lists(st.integers(1, 60), min_size=1, max_size=50), st.data())
def test_parts_are_about_equal_and_none_is_empty(weights, data):
    count = data.draw(st.integers(1, len(weights)))
    ends = equal_parts(tf.constant(weights, tf.int64), tf.constant(count, tf.int64)).numpy().tolist()
    parts = [weights[start:end] for start, end in itertools.pairwise([0, *ends])]
    assert list(itertools.chain(*parts)) == weights
    assert len(parts) == count
    assert all(parts)
    share = sum(weights) / count
    assert all(sum(part) <= share + 2 * max(weights) or len(part) == 1 for part in parts)


def test_both_sides_are_cut_independently(drawn):
    pairs = [(source.numpy(), target.numpy()[:, 1:]) for source, target in take(drawn, 0, drawn.per_epoch)]
    assert any(s.shape != t.shape or not np.array_equal(s, t) for s, t in pairs)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("unit: word", "needs transform.unit subword; received word"),
        ("subword_samples: 2", "must be 1; received 2"),
    ],
)
def test_a_configuration_with_two_kinds_of_regularization_is_refused(tmp_path, section, message):
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, section, "subword_dropout: 0.1")


def load(folder: Path, transform: str, trainer: str) -> None:
    """Loads a configuration with these settings of two components."""
    path = folder / "c.yaml"
    extra = ", subword_dropout: 0.1" if "samples" in transform else ""
    path.write_text(
        f"name: t\nexample_gen: {{files: [a.tsv]}}\ntransform: {{{transform}{extra}}}\n"
        f"trainer: {{{trainer}}}\n"
    )
    config.load(path)
