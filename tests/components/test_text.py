"""The text path: properties that hold for any text, and agreement with sentencepiece's encoder."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import msgspec
import pytest
import sentencepiece
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitext.components.artifacts import SideFiles, TextFile
from bitext.components.shared.errors import DataError
from bitext.components.text import EOS_ID, SPECIALS, TextSettings, learn, pretokens, processor
from bitext.components.text.normalization import split_key

LINES = [
    "Tom doesn't like cheese very much, does he?",
    "¿Dónde está la biblioteca? — No sé.",
    "Ми вивчаємо українську мову 2024 року.",
    "the theatre there these then them",
    "日本語を話しますか。",
]
UNITS = ("subword", "character", "word")
counter = itertools.count()


def make_processor(folder: Path, lines: list[str], size: int = 400, **changes) -> processor.TextProcessor:
    """Creates a processor with a vocabulary learned from the lines, in new files."""
    text_settings = TextSettings(**changes)
    vocabulary = learn.learn(pretoken_counts(lines, text_settings), text_settings, size)
    paths = [folder / f"{name}{next(counter)}" for name in ("vocabulary", "merges")]
    paths[0].write_bytes(vocabulary.vocabulary_file())
    paths[1].write_bytes(vocabulary.merges_file())
    return processor.TextProcessor(text_settings, *map(str, paths))


def pretoken_counts(lines: list[str], text_settings: TextSettings) -> dict[str, int]:
    """How often each pretoken occurs."""
    words, _, counts = tf.unique_with_counts(
        pretokens.pretokenize(processor.normalize(tf.constant(lines), text_settings)).values
    )
    return {word.decode(): count for word, count in zip(words.numpy(), counts.numpy().tolist(), strict=True)}


@pytest.fixture(scope="module")
def processors(tmp_path_factory) -> dict[str, processor.TextProcessor]:
    folder = tmp_path_factory.mktemp("text")
    return {unit: make_processor(folder, LINES, unit=unit) for unit in UNITS}


def round_trip(path: processor.TextProcessor, text: list) -> tuple[list[bytes], list[bytes]]:
    """The texts after tokenize and detokenize, and after normalize."""
    batch = tf.constant(text, tf.string, shape=[len(text)])
    ids = path.tokenize(batch).to_tensor()
    return path.detokenize(ids).numpy().tolist(), path.normalize(batch).numpy().tolist()


unicode_texts = st.lists(st.text().map(lambda t: t.encode("utf-8", "surrogatepass")), min_size=1, max_size=4)
any_texts = unicode_texts | st.lists(st.binary(), min_size=1, max_size=4)


@pytest.mark.parametrize("unit", ["subword", "character"])
@given(any_texts)
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_detokenize_undoes_tokenize_for_any_bytes(processors, unit, texts):
    detokenized, normalized = round_trip(processors[unit], texts)
    assert detokenized == normalized


@given(any_texts)
@settings(max_examples=150, deadline=None)
def test_normalized_text_has_single_spaces_and_normalizing_again_changes_nothing(texts):
    for lowercase in (False, True):
        text_settings = TextSettings(lowercase=lowercase)
        once = processor.normalize(tf.constant(texts), text_settings)
        assert processor.normalize(once, text_settings).numpy().tolist() == once.numpy().tolist()
        for text in once.numpy().tolist():
            decoded = text.decode("utf-8")
            assert decoded == " ".join(decoded.split())
            assert "\u2581" not in decoded
            assert not any(ord(c) < 32 for c in decoded)


@given(any_texts)
@settings(max_examples=100, deadline=None)
def test_pretokens_are_short_and_lose_nothing(texts):
    normalized = processor.normalize(tf.constant(texts), TextSettings())
    words = pretokens.pretokenize(normalized).to_list()
    for parts, text in zip(words, normalized.numpy().tolist(), strict=True):
        assert b"".join(parts).decode().replace("\u2581", " ")[1:] == text.decode()
        longest = pretokens.LONGEST_PRETOKEN + pretokens.MOST_LAST_MARKS
        assert all(0 < len(part.decode()) <= longest for part in parts)


@pytest.mark.parametrize("letter", ["ที่", "क्", "e\u0323\u0308", "ب\u064e"])
def test_a_cut_does_not_separate_a_letter_from_its_marks(letter):
    text = tf.constant(["x" * offset + letter * 40 for offset in range(8)])
    for parts in pretokens.pretokenize(text).to_list():
        assert len(parts) > 1
        assert not any(unicodedata.category(part.decode()[0])[0] == "M" for part in parts)


@pytest.mark.parametrize("unit", UNITS)
def test_a_sentence_has_the_same_ids_in_every_batch(processors, unit):
    lines = [*LINES, "", "Ünknown 🙂 words", "x" * 100]
    together = processors[unit].tokenize(tf.constant(lines)).to_list()
    assert together == [processors[unit].tokenize(tf.constant([line])).to_list()[0] for line in lines]
    assert processors[unit].tokenize(tf.constant(lines[::-1])).to_list() == together[::-1]


@given(st.text(alphabet="theórabcs'.,5 ", max_size=40))
@settings(max_examples=150, deadline=None)
def test_subword_pieces_equal_those_of_sentencepiece(parity, text):
    path, reference, pieces = parity
    normalized = path.normalize(tf.constant([text]))
    expected = [
        piece
        for word in pretokens.pretokenize(normalized).values.numpy().tolist()
        for piece in reference.encode(word.decode(), out_type=str)
    ]
    assert [pieces[i] for i in path.tokenize(normalized).to_list()[0]] == expected


@pytest.fixture(scope="module")
def parity(tmp_path_factory):
    """A processor, sentencepiece with the same pieces, and the pieces by id."""
    lines = [
        "the theatre there, these then them",
        "the other brother bathes; the others' broths",
        "ó cabaré 55.5",
    ] * 3
    path = make_processor(tmp_path_factory.mktemp("parity"), lines, size=340)
    counts = pretoken_counts(lines, TextSettings())
    reference = sentencepiece.SentencePieceProcessor(model_proto=learn.train_sentencepiece(counts, 340))
    return path, reference, learn.learn(counts, TextSettings(), 340).pieces


@pytest.mark.parametrize("unit", UNITS)
def test_noncharacters_have_the_tokens_and_the_key_of_the_replacement_character(processors, unit):
    texts = [f"a{c}b" for c in ("\ufffd", "\ufdd0", "\ufdef", "\ufffe", "\U0001ffff", "\U0010fffe")]
    tokens = processors[unit].tokenize(tf.constant(texts)).to_list()
    assert tokens == tokens[:1] * len(texts)
    assert {split_key(text) for text in texts} == {split_key(texts[0])}


def test_learned_pieces_shorten_text(processors):
    line = tf.constant(["the theatre there"])
    subwords = processors["subword"].tokenize(line).to_list()[0]
    assert (
        len(subwords) < len(processors["character"].tokenize(line).to_list()[0]) == len("_the_theatre_there")
    )


def test_unknown_words_and_characters(processors):
    unknown = tf.constant(["Tom xyzzy"])
    assert processors["word"].tokenize(unknown).to_list()[0][1] == processor.UNK_ID
    assert round_trip(processors["word"], ["Tom xyzzy"])[0] == ["Tom \u2047".encode()]
    spelt = processors["subword"].tokenize(tf.constant(["\u00df"])).to_list()[0]
    assert spelt[-2:] == [4 + 0xC3, 4 + 0x9F]


def test_detokenize_skips_specials_and_stops_at_the_first_end(processors):
    path = processors["subword"]
    ids = path.tokenize(tf.constant(["Tom", "much"])).to_list()
    width = max(map(len, ids)) * 2 + 3
    rows = [[1, *ids[0], EOS_ID, *ids[1]], [1, *ids[1], 0, 0]]
    dense = tf.constant([row + [0] * (width - len(row)) for row in rows])
    assert path.detokenize(dense).numpy().tolist() == [b"Tom", b"much"]


def test_detokenize_makes_one_valid_line_of_any_ids(processors):
    newline, half, beyond = 4 + 0x0A, 4 + 0xC3, 10**6
    text = processors["subword"].detokenize(tf.constant([[4 + ord("a"), newline, half, beyond, -5]]))
    assert text.numpy()[0].decode() == "a \ufffd"


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("lines", [[], ["a"], ["Go."], ["a", "ab abc"], ["\u2585"], ["ñ" * 1000]])
def test_tiny_corpora_yield_a_vocabulary(tmp_path, unit, lines):
    path = make_processor(tmp_path, lines or [""], unit=unit)
    assert path.size() >= len(SPECIALS)
    detokenized, normalized = round_trip(path, lines or ["x"])
    assert unit == "word" or detokenized == normalized


@pytest.mark.parametrize("size", [261, 262, 270])
def test_a_vocabulary_has_at_most_the_requested_size(tmp_path, size):
    for unit in ("subword", "character"):
        path = make_processor(tmp_path, LINES, unit=unit, size=size)
        assert path.size() <= size
        detokenized, normalized = round_trip(path, LINES)
        assert detokenized == normalized


def test_the_vocabulary_depends_on_counts_alone():
    counts = pretoken_counts(LINES, TextSettings())
    backwards = dict(reversed(counts.items()))
    assert learn.learn(counts, TextSettings(), 350) == learn.learn(backwards, TextSettings(), 350)


def test_lowercase(tmp_path):
    path = make_processor(tmp_path, LINES, lowercase=True)
    assert round_trip(path, ["ÁRBOL Їжак"])[0] == ["árbol їжак".encode()]


@pytest.mark.parametrize("locale", ["tr_TR.UTF-8", "lt_LT.UTF-8"])
def test_lower_case_does_not_depend_on_the_locale(locale):
    program = (
        "import sys, tensorflow as tf; from bitext.components.text import processor;"
        "sys.stdout.buffer.write(processor.lower(tf.constant([sys.argv[1]])).numpy()[0])"
    )
    text = "I İ Ì Í Ĩ J̃ Į̃ AΣ ẞ"
    environment = os.environ | {"LANG": locale, "LC_ALL": locale}
    done = subprocess.run(
        [sys.executable, "-c", program, text], capture_output=True, env=environment, check=True
    )
    assert done.stdout.decode() == processor.lower(tf.constant([text])).numpy()[0].decode() == text.lower()


def test_an_exported_module_contains_its_vocabulary(tmp_path):
    path = make_processor(tmp_path, LINES)
    module = tf.Module()
    module.path = path
    module.tokenize = tf.function(
        lambda text: path.tokenize(text).to_tensor(), input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path / "saved"))
    expected = path.tokenize(tf.constant(LINES)).to_tensor().numpy().tolist()
    for file in tmp_path.glob("vocabulary*"):
        file.unlink()
    (tmp_path / "saved").rename(tmp_path / "moved")
    loaded = tf.saved_model.load(str(tmp_path / "moved"))
    assert loaded.tokenize(tf.constant(LINES)).numpy().tolist() == expected


def test_load_names_what_is_missing(tmp_path):
    with pytest.raises(DataError, match="text.json"):
        processor.load_text_pair(tmp_path)
    side = SideFiles(vocabulary="v.txt", merges="m.txt", size=5)
    text = TextFile(settings=TextSettings(), shared=True, source_max_length=60, source=side, target=side)
    (tmp_path / "text.json").write_bytes(msgspec.json.encode(text))
    with pytest.raises(DataError, match="v.txt"):
        processor.load_text_pair(tmp_path)
