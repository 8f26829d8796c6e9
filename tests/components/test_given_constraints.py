"""Constraints as text, for tokenizers that mark words before, between or after, and for words."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from bitext.components.artifacts import Segmentation
from bitext.components.seq2seq.export.given_constraints import GivenConstraints
from bitext.components.text import TextSettings, learn
from bitext.components.text.processor import TextProcessor

WORDS = {"▁the": 9, "▁cat": 5, "▁cats": 3, "▁sat": 3, "▁año": 2, ".": 4}


def processor(folder: Path, mark: str = "before", **settings) -> TextProcessor:
    text = TextSettings(**{"unit": "character", **settings})
    vocabulary = learn.learn(WORDS, text, 300)
    paths = folder / "vocabulary", folder / "merges"
    paths[0].write_bytes(vocabulary.vocabulary_file())
    paths[1].write_bytes(vocabulary.merges_file())
    return TextProcessor(text, *map(str, paths), Segmentation(mark=mark))


def given(target: TextProcessor, prefix: str = "", required: str = "", banned: str = "") -> GivenConstraints:
    return GivenConstraints.of(
        target, tf.constant([prefix]), tf.constant([[required]]), tf.constant([[banned]])
    )


def spelled(target: TextProcessor, tokens: tf.Tensor) -> str:
    """The pieces of tokens, whose bytes are characters here."""
    pieces = target.pieces()
    return "".join(pieces[token] for token in tokens.numpy().ravel().tolist() if token).replace("▁", " ")


@pytest.mark.parametrize("unit", ["character", "subword"])
@pytest.mark.parametrize(
    ("mark", "prefix", "beginning"),
    [
        ("before", "", ""),
        ("before", "the c", " the c"),
        ("before", " the  cat ", " the cat "),
        ("before", "the cat.", " the cat."),
        ("before", "c", " c"),
        ("before", "  ", ""),
        ("between", "the c", "the c"),
        ("between", "the cat ", "the cat "),
        ("between", "c", "c"),
        ("after", "the c", "the c"),
        ("after", "the cat ", "the cat "),
        ("after", "c", "c"),
    ],
)
def test_the_prefix_is_what_the_tokens_begin_with(tmp_path, unit, mark, prefix, beginning):
    target = processor(tmp_path, mark, unit=unit)
    constraints = given(target, prefix)
    rest = bytes(byte for byte in constraints.forced.rest.numpy().ravel().tolist() if byte >= 0)
    assert spelled(target, constraints.forced.tokens) + rest.decode() == beginning
    assert constraints.is_writable.numpy().tolist() == [True]


@pytest.mark.parametrize(
    ("mark", "phrase", "tokens"),
    [
        ("before", "cat", " cat"),
        ("between", "cat", " cat"),
        ("before", "the cat", " the cat"),
        ("before", ".", "."),
        ("before", ", cat", ", cat"),
        ("before", "", ""),
        ("before", " cat ", " cat"),
    ],
)
def test_required_phrases_are_spelled_as_inside_of_a_sentence(tmp_path, mark, phrase, tokens):
    target = processor(tmp_path, mark)
    constraints = given(target, required=phrase.replace(",", "."))
    assert spelled(target, constraints.tokens) == tokens.replace(",", ".")
    assert constraints.unwritable.numpy().tolist() == []


def test_words_that_are_unknown_cannot_be_required_or_begin_a_translation(tmp_path):
    target = processor(tmp_path, unit="word")
    known, unknown = given(target, "the cat", "sat"), given(target, "the dog", "dogs")
    assert (known.is_writable.numpy().tolist(), known.unwritable.numpy().tolist()) == ([True], [])
    assert (unknown.is_writable.numpy().tolist(), unknown.unwritable.numpy().tolist()) == ([False], [b"dogs"])


def test_any_character_can_be_required_where_tokens_are_bytes(tmp_path):
    target = processor(tmp_path, unit="subword")
    assert given(target, "猫", "ї猫").unwritable.numpy().tolist() == []


def test_texts_are_converted_to_lower_case_if_the_model_does(tmp_path):
    constraints = given(processor(tmp_path, lowercase=True), "The C", "CAT", "SAT")
    assert constraints.prefix.numpy().tolist() == [b"the c"]
    assert constraints.required.strings.numpy().tolist() == [b"cat", b""]
    assert constraints.banned.strings.numpy().tolist() == [b"sat", b""]


@pytest.mark.parametrize(
    ("prefix", "required", "banned", "text", "is_met"),
    [
        ("", "cat", "", "the cat.", True),
        ("", "cat", "", "the cats.", False),
        ("", "", "cat", "the cat.", False),
        ("", "", "cat", "the cats.", True),
        ("the c", "", "", "the cats.", True),
        ("the cat ", "", "", "the cats.", False),
        ("the cat ", "", "", "the cat sat", True),
        ("the cat ", "", "", "the cat", False),
        ("The", "", "", "the cat", False),
    ],
)
def test_translations_are_compared_as_text(tmp_path, prefix, required, banned, text, is_met):
    constraints = given(processor(tmp_path), prefix, required, banned)
    assert constraints.is_met_by(tf.constant([[text]])).numpy().tolist() == [[is_met]]
