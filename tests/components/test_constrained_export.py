"""The signature `translate_constrained` of an exported model, whose tokens are characters."""

from __future__ import annotations

import re
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from tests.components.small_export import LINES, Export

MAX_LENGTH = 14
SOURCES = [LINES[0], LINES[1], LINES[3]]
COUNT = len(SOURCES)


def translate(
    export: Export,
    prefix: str = "",
    required: list[str] | None = None,
    banned: list[str] | None = None,
    text: list[bytes] | None = None,
    **options: Any,
) -> dict[str, np.ndarray]:
    """Translates with constraints that all texts have."""
    text = SOURCES if text is None else text
    inputs = {
        "text": text,
        "prefix": [prefix] * len(text),
        "required": [required or [""]] * len(text),
        "banned": [banned or [""]] * len(text),
        "no_repeat_ngram": 0,
        "repetition_penalty": 1.0,
        "max_length_factor": 0,
        "beam_size": 4,
        "length_penalty": 1.0,
        "max_length": MAX_LENGTH,
    }
    return export("translate_constrained", **inputs | options)


def contains(text: str, phrase: str) -> bool:
    """Whether a text has a phrase as whole words."""
    begins, ends = (r"(?<!\w)" if phrase[0].isalnum() else "", r"(?!\w)" if phrase[-1].isalnum() else "")
    return bool(re.search(begins + re.escape(phrase) + ends, text))


def translations(outputs: dict[str, np.ndarray]) -> list[str]:
    """The texts of the rows that are filled; the others are empty."""
    is_met = outputs["meets_constraints"]
    assert not outputs["text"][~is_met].astype(bool).any()
    assert not outputs["length"][~is_met].any()
    assert (outputs["score"][~is_met] < -1e8).all()
    return [text.decode() for text in outputs["text"][is_met]]


WORDS = st.text("elga ,.", min_size=1, max_size=4).map(lambda text: " ".join(text.split()))
PREFIXES = st.text("elgato ", max_size=5)


@hypothesis.given(
    PREFIXES, st.lists(WORDS, max_size=2), st.lists(WORDS, max_size=3), st.integers(0, 3), st.integers(1, 5)
)
@hypothesis.settings(
    max_examples=60, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
def test_what_is_returned_meets_the_constraints(export, prefix, required, banned, ngram, beam):
    phrases = [phrase for phrase in required if phrase], [phrase for phrase in banned if phrase]
    # Any such prefix and two such words have room in 20 tokens.
    options = {"no_repeat_ngram": ngram, "beam_size": beam, "repetition_penalty": 1.2, "max_length": 20}
    beginning = " ".join(prefix.split()) + (" " if prefix.strip() and prefix[-1] == " " else "")
    known = [beginning if beginning.endswith(" ") else beginning + "x", *phrases[0]]
    if any(contains(text, phrase) for text in known for phrase in phrases[1]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="must not contain a banned"):
            translate(export, prefix, *phrases, **options)
        return
    outputs = translate(export, prefix, *phrases, **options)
    for text in translations(outputs):
        assert text.startswith(beginning)
        assert all(contains(text, phrase) for phrase in phrases[0])
        assert not any(contains(text, phrase) for phrase in phrases[1])
    is_met = outputs["meets_constraints"]
    sums = outputs["token_log_probs"].sum(-1)
    np.testing.assert_allclose(sums[is_met], outputs["log_prob"][is_met], rtol=1e-4)


@pytest.mark.parametrize(
    "constraints",
    [
        {},
        {"prefix": "el g"},
        {"required": ["gato"]},
        {"banned": ["el", "e"]},
        {"no_repeat_ngram": 2},
        {"max_length_factor": 1},
    ],
)
def test_scores_are_those_of_the_model(export, constraints):
    outputs = translate(export, **constraints)
    rows, ranks = np.nonzero(outputs["meets_constraints"])
    assert len(rows) > 2
    translator = export.translator
    source = translator.source_tokens(tf.constant([SOURCES[row] for row in rows]))
    tokens = outputs["tokens"][rows, ranks]
    log_prob, _ = translator.model.score(source, np.pad(tokens, [(0, 0), (1, 0)], constant_values=1))
    np.testing.assert_allclose(outputs["log_prob"][rows, ranks], log_prob, rtol=1e-3, atol=1e-4)
    penalty = ((5 + outputs["length"]) / 6.0)[rows, ranks]
    np.testing.assert_allclose(outputs["score"][rows, ranks], log_prob / penalty, rtol=1e-3)


def test_without_constraints_it_is_translate_nbest(export):
    outputs = translate(export)
    expected = export("translate_nbest", text=SOURCES, beam_size=4, length_penalty=1.0, max_length=MAX_LENGTH)
    for name in ("text", "tokens", "length"):
        assert outputs[name].tolist() == expected[name].tolist()
    np.testing.assert_allclose(outputs["score"], expected["score"], rtol=1e-4)
    assert outputs["meets_constraints"].all()


def test_no_column_of_phrases_is_no_phrase(export):
    no_phrases = tf.zeros([COUNT, 0], tf.string)
    outputs = export(
        "translate_constrained",
        text=SOURCES,
        prefix=[""] * COUNT,
        required=no_phrases,
        banned=no_phrases,
        no_repeat_ngram=0,
        repetition_penalty=1.0,
        max_length_factor=0,
        beam_size=4,
        length_penalty=1.0,
        max_length=MAX_LENGTH,
    )
    assert outputs["text"].tolist() == translate(export)["text"].tolist()


def test_each_text_has_its_own_constraints(export):
    prefixes = ["e", "g ", ""]
    outputs = export(
        "translate_constrained",
        text=SOURCES,
        prefix=prefixes,
        required=[["la", ""], ["", ""], ["a", "e"]],
        banned=[["a"], [""], [","]],
        no_repeat_ngram=0,
        repetition_penalty=1.0,
        max_length_factor=0,
        beam_size=4,
        length_penalty=1.0,
        max_length=MAX_LENGTH,
    )
    alone = [
        translate(export, "e", ["la"], ["a"], SOURCES[:1]),
        translate(export, "g ", [], [], SOURCES[1:2]),
        translate(export, "", ["a", "e"], [","], SOURCES[2:]),
    ]
    assert outputs["text"].tolist() == [row["text"][0].tolist() for row in alone]


def test_a_composed_letter_is_banned_in_its_parts(export):
    """`é` may be spelled as e and an accent: normalization joins them after the search."""
    outputs = translate(export, prefix="caf", banned=["café"], beam_size=8)
    assert all(not contains(text, "café") for text in translations(outputs))
    assert outputs["meets_constraints"].any()


@pytest.mark.parametrize(
    ("prefix", "required", "is_met"), [("", [""], True), ("el ", [""], False), ("", ["a"], False)]
)
def test_a_blank_text_has_the_empty_translation(export, prefix, required, is_met):
    outputs = translate(export, prefix, required, ["b"], text=[b" ", LINES[0]])
    assert outputs["text"][0].tolist() == [b""] * 4
    assert outputs["meets_constraints"][0].tolist() == [is_met] * 4
    assert not outputs["token_log_probs"][0].any()
    nothing = 0.0 if is_met else -1e9
    assert outputs["score"][0].tolist() == outputs["log_prob"][0].tolist() == [nothing] * 4


def test_a_text_without_a_translation_says_so(export):
    """No two of these phrases fit into one translation with no repeated character."""
    outputs = translate(export, required=["el", "la"], no_repeat_ngram=1)
    assert not outputs["meets_constraints"].any()
    assert translations(outputs) == []


def test_an_empty_batch_has_an_empty_answer(export):
    outputs = export(
        "translate_constrained",
        text=tf.constant([], tf.string),
        prefix=tf.constant([], tf.string),
        required=tf.zeros([0, 0], tf.string),
        banned=tf.zeros([0, 0], tf.string),
        no_repeat_ngram=0,
        repetition_penalty=1.0,
        max_length_factor=0,
        beam_size=4,
        length_penalty=1.0,
        max_length=MAX_LENGTH,
    )
    assert outputs["text"].shape == (0, 4)
