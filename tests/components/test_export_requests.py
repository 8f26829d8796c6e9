"""Requests to the exported model: an answer, or an InvalidArgument that names the input."""

from __future__ import annotations

import math
import re
import time
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import msgspec
import numpy as np
import pytest
import tensorflow as tf

from bitext.components.seq2seq import ServingLimits, model
from bitext.components.seq2seq.export.requests import RequestChecks
from bitext.components.shared.errors import ConfigError
from bitext.components.trainer import Parameters
from bitext.components.translation.attention import translate_with_attention
from bitext.components.translation.forced_decoding import score_pairs
from bitext.components.translation.search import Search
from bitext.components.translation.translator import LineTranslator
from bitext.components.translation.word_links import source_word_ends
from bitext.pipeline.memory import PeakMemory
from tests.components.small_export import LINES, MAX_LENGTH, SEARCH, Export

MB = 1_000_000
VALID: dict[str, dict[str, Any]] = {
    "serving_default": {"text": LINES},
    "translate_nbest": {"text": LINES, "beam_size": 2, "length_penalty": 1.0, "max_length": MAX_LENGTH},
    "translate_sample": {
        "text": LINES,
        "samples": 2,
        "temperature": 1.0,
        "top_k": 0,
        "top_p": 1.0,
        "max_length": MAX_LENGTH,
        "seed": [1, 2],
    },
    "translate_constrained": {
        "text": LINES,
        "prefix": [""] * len(LINES),
        "required": [["el"]] * len(LINES),
        "banned": [["a", "gato"]] * len(LINES),
        "no_repeat_ngram": 0,
        "repetition_penalty": 1.0,
        "max_length_factor": 0,
        "beam_size": 2,
        "length_penalty": 1.0,
        "max_length": MAX_LENGTH,
    },
    "score": {"source": LINES, "target": LINES},
    "tokenize": {"text": LINES},
    "detokenize": {"tokens": [[4, 5, 2]]},
    "encode": {"text": LINES},
    "encode_tokens": {"tokens": [[4, 5, 2], [4, 2, 0]], "length": [3, 2]},
}


ONLY_TEXT = [name for name, inputs in VALID.items() if "text" in inputs and "prefix" not in inputs]
"""The signatures whose input `text` alone has a row for each text."""


def refused(export: Export, signature: str, **inputs: Any) -> str:
    """Returns the message of a request that is refused, without the node, which has the input's name."""
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        export(signature, **inputs)
    pattern = r"assertion failed: \[(.*)\]\n\t \[\[\{\{node (\w+)\}\}\]\]"
    [(message, node)] = re.findall(pattern, str(error.value))
    assert message.startswith(f"input {re.sub('_[0-9]+$', '', node)} "), (message, node)
    return str(message)


BIG, NAN = 2**31 - 1, math.nan


@pytest.mark.parametrize(
    ("signature", "name", "value", "message"),
    [
        ("translate_nbest", "beam_size", 0, "must be from 1 to 100, received 0"),
        ("translate_nbest", "beam_size", -1, "must be from 1 to 100, received -1"),
        ("translate_nbest", "beam_size", 101, "must be from 1 to 100, received 101"),
        ("translate_nbest", "beam_size", BIG, f"must be from 1 to 100, received {BIG}"),
        ("translate_nbest", "length_penalty", NAN, "must be from 0.0 to 10.0, received nan"),
        ("translate_nbest", "length_penalty", -math.inf, "must be from 0.0 to 10.0, received -inf"),
        ("translate_nbest", "length_penalty", -0.1, "must be from 0.0 to 10.0, received -0.1"),
        ("translate_nbest", "length_penalty", 1e30, "must be from 0.0 to 10.0, received 1e+30"),
        ("translate_nbest", "max_length", 0, "must be from 1 to 1,000, received 0"),
        ("translate_nbest", "max_length", BIG, f"must be from 1 to 1,000, received {BIG}"),
        ("translate_sample", "samples", 100_000, "must be from 1 to 100, received 100000"),
        ("translate_sample", "samples", 0, "must be from 1 to 100, received 0"),
        ("translate_sample", "max_length", BIG, f"must be from 1 to 1,000, received {BIG}"),
        ("translate_sample", "max_length", -5, "must be from 1 to 1,000, received -5"),
        ("translate_sample", "temperature", NAN, "must be finite, and 0 (greedy) or more, received nan"),
        ("translate_sample", "temperature", -1.0, "must be finite, and 0 (greedy) or more, received -1"),
        ("translate_sample", "temperature", math.inf, "must be finite, and 0 (greedy) or more, received inf"),
        ("translate_sample", "top_k", -1, "must be 0 (off) or more, received -1"),
        ("translate_sample", "top_p", 0.0, "must be above 0 and at most 1 (off), received 0"),
        ("translate_sample", "top_p", 1.5, "must be above 0 and at most 1 (off), received 1.5"),
        ("translate_sample", "top_p", NAN, "must be above 0 and at most 1 (off), received nan"),
        ("score", "target", LINES[:1], "must have as many texts as source, received [6 1]"),
        ("score", "source", LINES[:1], "must have as many texts as source, received [1 6]"),
        (
            "score",
            "target",
            [*LINES[:5], b"x " * 20_001],
            "must have texts of at most 20,000 tokens, received",
        ),
        (
            "score",
            "target",
            [*LINES[:5], b"x" * 180_000],
            "must have texts of at most 65,536 bytes, received 180000",
        ),
        *(
            ("translate_constrained", name, value, message)
            for name, value, message in (
                ("prefix", [b"a"], "must have as many texts as text, received [6 1]"),
                ("prefix", ["a,"] * 6, "must not contain a banned phrase, received a,"),
                ("prefix", ["a "] * 6, "must not contain a banned phrase, received a"),
                ("prefix", ["el el el el el x"] * 6, "must have room for the tokens of the prefix"),
                ("required", [["el"]], "must have as many rows as text, received [1 6]"),
                ("required", [["el a"]] * 6, "must not contain a banned phrase, received el a"),
                ("required", [["x" * 201]] * 6, "must have phrases of at most 200 bytes, received 201"),
                ("required", [[""] * 21] * 6, "must have at most 20 phrases for a text, received 21"),
                ("required", [["el el el el"]] * 6, "the required phrases and the end, received [9 13]"),
                ("banned", [["a"]], "must have as many rows as text, received [1 6]"),
                ("banned", [["x" * 201]] * 6, "must have phrases of at most 200 bytes, received 201"),
                ("banned", [[f"{n}" for n in range(201)]] * 6, "at most 200 different phrases, received 201"),
                ("no_repeat_ngram", -1, "must be from 0 to 20, received -1"),
                ("no_repeat_ngram", BIG, f"must be from 0 to 20, received {BIG}"),
                ("repetition_penalty", 0.9, "must be from 1.0 to 10.0, received 0.9"),
                ("repetition_penalty", NAN, "must be from 1.0 to 10.0, received nan"),
                ("max_length_factor", -1, "must be from 0 to 1,000, received -1"),
            )
        ),
        ("detokenize", "tokens", [[4, -1]], "received [-1]"),
        ("detokenize", "tokens", [[4]] * 8193, "must have at most 8,192 rows, received 8193"),
        ("detokenize", "tokens", [[4] * 8000] * 63, "must have at most 500,000 tokens in all"),
        ("encode_tokens", "tokens", [[4, 5, 6], [4, 2, 0]], "2 (</s>) at the end of each sentence"),
        ("encode_tokens", "tokens", [[4, 0, 2], [4, 2, 0]], "received [0]"),
        ("encode_tokens", "tokens", [[1, 5, 2], [4, 2, 0]], "received [1]"),
        ("encode_tokens", "tokens", [[4, BIG, 2], [4, 2, 0]], f"received [{BIG}]"),
        ("encode_tokens", "length", [3], "must have as many rows as tokens, received [1 2]"),
        ("encode_tokens", "length", [3, 0], "received [0]"),
        ("encode_tokens", "length", [3, 4], "received [4]"),
        ("encode_tokens", "length", [3, -1], "received [-1]"),
        ("detokenize", "tokens", [[4, BIG]], f"received [{BIG}]"),
        *(
            (
                signature,
                "text",
                [b"a", b"x" * 65_537],
                "must have texts of at most 65,536 bytes, received 65537",
            )
            for signature in ONLY_TEXT
        ),
        *(
            (signature, "text", [b"a"] * 1025, "must have at most 1,024 texts, received 1025")
            for signature in ONLY_TEXT
        ),
    ],
)
def test_a_wrong_input_is_named(export: Export, signature: str, name: str, value: Any, message: str) -> None:
    assert message in refused(export, signature, **VALID[signature] | {name: value})
    for outputs in (export(signature, **VALID[signature]), export("serving_default", text=LINES)):
        assert all(len(value) == len(next(iter(outputs.values()))) for value in outputs.values())


TEXTS = st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(LINES)), max_size=4)
COUNTS = st.one_of(st.integers(-3, 12), st.sampled_from([100, 101, 100_000, BIG, -BIG - 1]))
LENGTHS = st.one_of(st.integers(-2, 20), st.sampled_from([1000, 1001, 50_000_000, BIG]))
NUMBERS = st.one_of(
    st.floats(width=32),
    st.floats(0.0, 2.0, width=32),
    st.sampled_from([0.0, 1.0, NAN, math.inf, -math.inf, 1e-40]),
)
TOKENS = st.one_of(st.integers(0, 40), st.sampled_from([-1, 10_000, BIG, -BIG - 1]))
SOURCE_TOKENS = st.one_of(st.integers(2, 20), TOKENS)
PHRASES = st.integers(0, 3).flatmap(
    lambda n: st.lists(st.lists(st.binary(max_size=6), min_size=n, max_size=n), max_size=4)
)
INPUTS: dict[str, dict[str, st.SearchStrategy[Any]]] = {
    "serving_default": {"text": TEXTS},
    "translate_nbest": {"text": TEXTS, "beam_size": COUNTS, "length_penalty": NUMBERS, "max_length": LENGTHS},
    "translate_sample": {
        "text": TEXTS,
        "samples": COUNTS,
        "temperature": NUMBERS,
        "top_k": COUNTS,
        "top_p": NUMBERS,
        "max_length": LENGTHS,
        "seed": st.lists(st.integers(-BIG - 1, BIG), min_size=2, max_size=2),
    },
    "translate_constrained": {
        "text": TEXTS,
        "prefix": TEXTS,
        "required": PHRASES,
        "banned": PHRASES,
        "no_repeat_ngram": COUNTS,
        "repetition_penalty": NUMBERS,
        "max_length_factor": COUNTS,
        "beam_size": COUNTS,
        "length_penalty": NUMBERS,
        "max_length": LENGTHS,
    },
    "score": {"source": TEXTS, "target": TEXTS},
    "tokenize": {"text": TEXTS},
    "detokenize": {
        "tokens": st.integers(0, 3).flatmap(lambda n: st.lists(st.lists(TOKENS, min_size=n, max_size=n)))
    },
    "encode": {"text": TEXTS},
    "encode_tokens": {
        "tokens": st.integers(0, 4).flatmap(
            lambda n: st.lists(st.lists(SOURCE_TOKENS, min_size=n, max_size=n), max_size=4)
        ),
        "length": st.lists(st.one_of(st.integers(1, 4), COUNTS), max_size=4),
    },
}
STRINGS = {"text", "source", "target", "prefix"}
PHRASE_LISTS = {"required", "banned"}
FLOATS = {"length_penalty", "temperature", "top_p", "repetition_penalty"}


def tensor(name: str, value: Any) -> tf.Tensor:
    if name in STRINGS:
        return tf.constant(value, tf.string, shape=[len(value)])
    if name in PHRASE_LISTS:
        return tf.constant(value, tf.string, shape=[len(value), len(value[0]) if value else 0])
    if name == "tokens":
        return tf.constant(np.array(value, np.int32).reshape(len(value), len(value[0]) if value else 0))
    return tf.constant(value, tf.float32 if name in FLOATS else tf.int32)


@pytest.mark.parametrize("signature", INPUTS)
@hypothesis.given(st.data())
@hypothesis.settings(max_examples=40, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_any_request_has_an_answer_or_names_its_wrong_input(
    export: Export, signature: str, data: st.DataObject
) -> None:
    inputs = {name: tensor(name, data.draw(values, name)) for name, values in INPUTS[signature].items()}
    peak = PeakMemory()
    before, start = peak.bytes(), time.monotonic()
    outputs, refusal = {}, None
    try:
        outputs = export.loaded.signatures[signature](**inputs)
    except tf.errors.InvalidArgumentError as error:
        refusal = str(error)
    if refusal:
        named = re.search(r"assertion failed: \[input (\w+) ", refusal)
        assert named is not None, refusal
        assert named[1] in inputs
    else:
        rows = next(iter(inputs.values())).shape[0]
        for name, output in outputs.items():
            assert output.shape[0] == rows, name
            if output.dtype.is_floating:
                assert np.isfinite(output.numpy()).all(), name
    assert time.monotonic() - start < 30
    assert peak.bytes() - before < 500 * MB


class TestDecodeStep:
    @pytest.fixture
    def inputs(self, export: Export) -> dict[str, np.ndarray]:
        return {"token": np.full(len(LINES), 1, np.int32), **export("encode", text=LINES)}

    @pytest.mark.parametrize(
        ("name", "change", "message"),
        [
            ("token", lambda v: np.full(8193, 1, v.dtype), "must have at most 8,192 rows, received 8193"),
            ("token", lambda v: v[:3], "must have as many rows as token, received [6 3]"),
            ("token", lambda v: v - 2, "must be tokens from 0 to 266, received [-1]"),
            ("layer0_hidden", lambda v: v[:1], "must have as many rows as token, received [1 6]"),
            ("memory", lambda v: v[:2], "must have one row, or as many as token, received [2 6]"),
            ("memory", lambda v: v[:1], "must have as many rows as memory, received [6 1]"),
            ("memory_keys", lambda v: v[:, :-1], "must have as many columns as memory, received [11 12]"),
            ("memory_length", lambda v: v * 0 + 99, "must be from 1 to the columns of memory, received [99]"),
            ("memory_length", lambda v: v * 0, "must be from 1 to the columns of memory, received [0]"),
        ],
    )
    def test_inputs_that_do_not_fit_are_named(
        self, export: Export, inputs: dict[str, np.ndarray], name: str, change: Any, message: str
    ) -> None:
        assert message in refused(export, "decode_step", **inputs | {name: change(inputs[name])})

    def test_one_memory_serves_several_hypotheses(self, export: Export) -> None:
        one = export("encode", text=LINES[:1])
        memory = {name: value for name, value in one.items() if name.startswith("memory")}
        states = {name: np.repeat(value, 3, 0) for name, value in one.items() if name not in memory}
        token = np.array([1, 5, 7], np.int32)
        together = export("decode_step", token=token, **memory, **states)
        repeated = {name: np.repeat(value, 3, 0) for name, value in memory.items()}
        for name, value in export("decode_step", token=token, **repeated, **states).items():
            np.testing.assert_allclose(together[name], value, atol=1e-6, err_msg=name)


def test_temperature_0_is_greedy_search(export: Export) -> None:
    for tiny in (0.0, 1e-40, 1e-7):
        drawn = export("translate_sample", **VALID["translate_sample"] | {"temperature": tiny})
        greedy = export.nbest(LINES, beam=1)
        length = greedy["tokens"].shape[-1]
        for sample in range(2):
            assert drawn["tokens"][:, sample, :length].tolist() == greedy["tokens"][:, 0].tolist()


def test_a_high_temperature_draws_no_padding_and_no_start(export: Export) -> None:
    inputs = VALID["translate_sample"] | {"temperature": 1e30, "samples": 50, "text": [LINES[0]]}
    outputs = export("translate_sample", **inputs)
    tokens = outputs["tokens"]
    assert (tokens != 1).all()
    assert (np.count_nonzero(tokens, axis=-1) == outputs["length"]).all()
    assert (outputs["log_prob"] > -1e6).all()
    assert len(np.unique(tokens)) > 100


def test_memory_follows_what_is_generated(export: Export) -> None:
    """The largest lengths that are allowed need no more memory than what they generate."""
    peak = PeakMemory()
    before = peak.bytes()
    inputs = VALID["translate_sample"] | {"text": LINES[:1], "max_length": 1000, "samples": 20}
    assert export("translate_sample", **inputs)["text"].shape == (1, 20)
    assert peak.bytes() - before < 200 * MB


def test_logits_of_a_part_of_the_tokens_give_the_same_scores(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = export.translator.model
    vectors = tf.random.stateless_normal([50, network.settings.embedding_units], [1, 2])
    labels = tf.range(50)
    whole = network._cross_entropies(vectors, labels)
    for rows in (1, 7, 50, 51):
        monkeypatch.setattr(model, "SCORED_LOGITS", rows * network.target_size)
        np.testing.assert_allclose(network._cross_entropies(vectors, labels), whole, rtol=1e-5)


def test_parts_of_the_pairs_give_the_same_scores(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    network, translator = export.translator.model, export.translator
    source, target = (
        translator.source_tokens(tf.constant(LINES)),
        translator.target_tokens(tf.constant(LINES)),
    )
    whole = network.score(source, target)
    for rows in (1, 4, 5):
        monkeypatch.setattr(model, "SCORED_TOKENS", rows * target.shape[1])
        for part, expected in zip(network.score(source, target), whole, strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-4, atol=1e-6)


def test_info_tells_the_limits(export: Export) -> None:
    info = export("info")
    limits = msgspec.structs.asdict(ServingLimits())
    assert {name: int(info[f"limit_{name}"]) for name in limits} == limits
    assert (int(info["min_length"]), float(info["coverage_penalty"])) == (SEARCH.min_length, 0.0)


@pytest.mark.parametrize("text", [b"", b" \t", b"\0", b" \0 ", b"\x01\x02", "\u200b\ufeff".encode()])
def test_blank_text_has_an_empty_translation(export: Export, text: bytes) -> None:
    for signature in ("serving_default", "translate_nbest", "translate_sample"):
        outputs = export(signature, **VALID[signature] | {"text": [text, LINES[0]]})
        for name, nothing in (("text", b""), ("length", 0), ("score", 0.0)):
            assert set(np.atleast_1d(outputs[name][0]).tolist()) == {nothing}, name


class TestTools:
    """The project's own programs divide their work into requests that the model takes."""

    @pytest.fixture(scope="class")
    def narrow(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        limits = ServingLimits(batch_size=2, text_bytes=20, hypotheses=7, tokens=30)
        return Export(tmp_path_factory.mktemp("narrow"), limits=limits).path

    def test_lines_are_divided_and_cut(self, export: Export, narrow: Path) -> None:
        translators = [LineTranslator(path, batch_size=64) for path in (export.path, narrow)]
        lines = [*LINES[:3], LINES[5]] * 3
        assert translators[1].lines_per_call == 2
        expected, received = (translator.translate(lines) for translator in translators)
        assert [[t.text for t in line] for line in received] == [[t.text for t in line] for line in expected]
        long = "the cat sat on the mats ż".encode()
        assert translators[1].cut([long, b"x" * 19 + "ż".encode()]) == [long[:20], b"x" * 19]
        assert translators[1].are_too_long([long, b"x"]) == [True, False]
        assert len(translators[1].translate([long])) == 1

    def test_a_refusal_names_the_input_and_the_remedy(self, narrow: Path) -> None:
        translator = LineTranslator(narrow, Search(beam_size=8))
        refusal = "refuses a request: input beam_size .* at most 7, received 8"
        with pytest.raises(ConfigError, match=refusal) as error:
            translator.translate([b"a"])
        assert "trainer.serving_limits" in error.value.remedy

    def test_texts_are_divided_to_be_tokenized(self, export: Export, narrow: Path) -> None:
        wide, divided = LineTranslator(export.path), LineTranslator(narrow)
        for lines in ([], LINES[:1], [*LINES[:3], LINES[5]] * 3):
            expected, received = wide.tokenize(lines), divided.tokenize(lines)
            assert {name: value.tolist() for name, value in received.items()} == {
                name: value.tolist() for name, value in expected.items()
            }

    def test_words_are_aligned_and_attention_is_read_in_small_requests(
        self, export: Export, narrow: Path
    ) -> None:
        words = [["the", "cat", "sat"], ["a", "mat"], [], ["songs"]]
        expected, received = (source_word_ends(LineTranslator(path), words) for path in (export.path, narrow))
        assert received == expected
        lines = LINES[:3] * 2
        both = [translate_with_attention(LineTranslator(path), lines) for path in (export.path, narrow)]
        assert [row.translation.text for row in both[1]] == [row.translation.text for row in both[0]]

    @pytest.mark.parametrize(
        ("search", "limits", "message"),
        [
            ({"beam_size": 101}, {}, r"search.beam_size .* serving_limits.beam_size. Received: 101 and 100"),
            ({"beam_size": 5}, {"hypotheses": 4}, r"serving_limits.hypotheses. Received: 5 and 4"),
            (
                {"max_length": 1001},
                {},
                r"search.max_length .* serving_limits.max_length. Received: 1001 and 1000",
            ),
        ],
    )
    def test_a_search_above_its_own_limits_is_refused(
        self, search: dict[str, int], limits: dict[str, int], message: str
    ) -> None:
        with pytest.raises(msgspec.ValidationError, match=message):
            msgspec.convert({"search": search, "serving_limits": limits}, Parameters)

    def test_samples_of_the_trainer_fit_into_a_request(self, export: Export) -> None:
        limits = ServingLimits(batch_size=9, text_bytes=5, hypotheses=7, tokens=500)
        checks = RequestChecks(limits, 100)
        texts = ["a", "żżż", "b", "c", "12345", "d"]
        assert checks.fitting(texts, beam_size=2, source_max_length=12) == ["a", "b", "c"]
        assert checks.fitting(texts, beam_size=1, source_max_length=12) == ["a", "b", "c", "12345", "d"]
        assert export.translator.fitting(["a"] * 2000) == ["a"] * 1024

    def test_pairs_are_divided(self, export: Export, narrow: Path) -> None:
        pairs = [(a, b) for a in LINES[:3] for b in LINES[:3]]
        expected, received = (score_pairs(LineTranslator(path), pairs) for path in (export.path, narrow))
        assert [s.length for s in received] == [s.length for s in expected]
        np.testing.assert_allclose([s.log_prob for s in received], [s.log_prob for s in expected], rtol=1e-4)
