"""The exported SavedModel through its signatures only, after the trainer's folders were deleted."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from bitext.components.infra_validator import standalone
from bitext.components.seq2seq import SearchSettings, ServingLimits
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.text import TextSettings, learn, processor
from tests.components.architectures import ARCHITECTURES, label
from tests.components.small_export import LINES, MAX_LENGTH, SEARCH, SOURCE_MAX_LENGTH, Export
from tests.components.tiny_model import SETTINGS, build
from tests.components.transformer_decoder import CHANGES as TRANSFORMER_CHANGES
from tests.components.transformer_decoder import TransformerDecoder

NBEST = {"text", "score", "log_prob", "length", "tokens", "alignment"}
SIGNATURES = {
    "serving_default": ({"text"}, {"text", "score", "length", "tokens", "alignment"}),
    "translate_nbest": ({"text", "beam_size", "length_penalty", "max_length"}, NBEST),
    "translate_sample": (
        {"text", "samples", "temperature", "top_k", "top_p", "max_length", "seed"},
        NBEST,
    ),
    "translate_constrained": (
        {"text", "prefix", "required", "banned", "no_repeat_ngram", "repetition_penalty", "max_length_factor"}
        | {"beam_size", "length_penalty", "max_length"},
        NBEST | {"token_log_probs", "meets_constraints"},
    ),
    "score": ({"source", "target"}, {"log_prob", "length", "alignment"}),
    "tokenize": ({"text"}, {"tokens", "length", "total_length"}),
    "detokenize": ({"tokens"}, {"text"}),
    "info": (
        set(),
        {"pad", "bos", "eos", "unk", "vocab_size", "source_max_length", "max_length_factor", "min_length"}
        | {"coverage_penalty", *(f"limit_{name}" for name in ServingLimits.__struct_fields__)},
    ),
    "languages": (set(), {"source_language"}),
    "default_search": (set(), {"beam_size", "length_penalty", "max_length"}),
}


def test_every_signature_has_its_inputs_and_outputs(export):
    signatures = export.loaded.signatures
    assert set(signatures) == {*SIGNATURES, "encode", "encode_tokens", "decode_step"}
    for name, (inputs, outputs) in SIGNATURES.items():
        assert set(signatures[name].structured_input_signature[1]) == inputs
        assert set(signatures[name].structured_outputs) == outputs
    assert_decode_step_takes_what_encode_returns(export)
    # Clients in other languages rely on these names and shapes.
    specs = signatures["decode_step"].structured_input_signature[1]
    assert {name: spec.shape.as_list() for name, spec in specs.items()} == {
        "token": [None],
        "memory": [None, None, 8],
        "memory_keys": [None, None, 8],
        "memory_length": [None],
        "layer0_hidden": [None, 8],
        "layer0_cell": [None, 8],
    }


def assert_decode_step_takes_what_encode_returns(export: Export) -> None:
    signatures = export.loaded.signatures
    encoded = set(signatures["encode"].structured_outputs)
    inputs = set(signatures["decode_step"].structured_input_signature[1])
    outputs = set(signatures["decode_step"].structured_outputs)
    assert inputs == encoded | {"token"}
    state = {name for name in encoded if not name.startswith("memory")}
    assert outputs == state | {"log_probs", "alignment"}


def test_the_graph_holds_core_cpu_operations_only(export):
    saved = saved_model_pb2.SavedModel.FromString((export.path / "saved_model.pb").read_bytes())
    definition = saved.meta_graphs[0].graph_def
    operations = {n.op for n in definition.node}
    operations |= {n.op for f in definition.library.function for n in f.node_def}
    assert "MatMul" in operations
    assert not [op for op in operations if "cudnn" in op.lower()]
    # A program that loads a graph with a custom gradient prints a warning.
    nodes = [*definition.node, *(n for f in definition.library.function for n in f.node_def)]
    assert not [n.name for n in nodes if "_gradient_op_type" in n.attr]
    assert not [op for op in operations if op in ("PyFunc", "EagerPyFunc", "PyFuncStateless")]


def test_a_session_restores_every_variable(export):
    assert standalone.check_variables(standalone.read_meta_graphs(str(export.path))) == []


def test_translations_equal_those_of_the_translator(export):
    expected = export.translator.translate(tf.constant(LINES))
    outputs = export("serving_default", text=LINES)
    assert outputs["text"].tolist() == expected["text"].numpy().tolist()
    np.testing.assert_allclose(outputs["score"], expected["score"], rtol=1e-5)
    best = export.nbest(LINES, SEARCH.beam_size)
    assert best["text"][:, 0].tolist() == outputs["text"].tolist()
    np.testing.assert_allclose(best["score"][:, 0], outputs["score"], rtol=1e-5)
    assert (np.diff(best["score"], axis=1) <= 0).all()


def test_alignments_belong_to_the_tokens(export):
    outputs = export("serving_default", text=LINES)
    lengths = export("tokenize", text=LINES)["length"]
    assert outputs["alignment"].shape == (len(LINES), outputs["length"].max(), lengths.max())
    for row, (target, source) in enumerate(zip(outputs["length"], lengths, strict=True)):
        np.testing.assert_allclose(outputs["alignment"][row, :target, :source].sum(-1), 1.0, rtol=1e-5)
        assert not outputs["alignment"][row, target:].any()
        assert not outputs["alignment"][row, :, source:].any()


def test_tokens_are_those_of_the_translation(export):
    best, several = export("serving_default", text=LINES), export.nbest(LINES, beam=3, alpha=0.7)
    flat = several["tokens"].reshape([-1, several["tokens"].shape[-1]])
    for tokens, lengths, texts in (
        (best["tokens"], best["length"], best["text"]),
        (flat, several["length"].ravel(), several["text"].ravel()),
    ):
        assert export("detokenize", tokens=tokens)["text"].tolist() == texts.tolist()
        assert np.count_nonzero(tokens, axis=1).tolist() == lengths.tolist()
    assert not best["tokens"][LINES.index(b"")].any()


def test_every_hypothesis_has_its_alignment_and_its_log_probability(export):
    outputs, lengths = export.nbest(LINES, beam=3, alpha=0.7), export("tokenize", text=LINES)["length"]
    for row, source in enumerate(lengths):
        for rank, target in enumerate(outputs["length"][row]):
            alignment = outputs["alignment"][row, rank]
            np.testing.assert_allclose(alignment[:target, :source].sum(-1), 1.0, rtol=1e-5)
            assert not alignment[target:].any()
            assert not alignment[:, source:].any()
    penalty = ((5.0 + outputs["length"]) / 6.0) ** 0.7
    np.testing.assert_allclose(outputs["score"], outputs["log_prob"] / penalty, rtol=1e-5)
    best = export("serving_default", text=LINES)
    np.testing.assert_allclose(
        export.nbest(LINES, beam=3, alpha=1.0)["alignment"][:, 0, : best["alignment"].shape[1]],
        best["alignment"],
        atol=1e-6,
    )


def assert_same_greedy_translations(model: Export) -> None:
    """Asserts that the model in memory, a client of `decode_step`, and the SavedModel's search agree."""
    lines = [line for line in LINES if line]
    tokens, totals = model.client_greedy(lines)
    translator = model.translator
    start = translator.start(tf.constant(lines))
    in_memory = translator.decode(start, tf.constant(1), tf.constant(0.0), tf.constant(MAX_LENGTH)).tokens
    longest = in_memory.shape[-1]
    assert tokens[:, :longest].tolist() == in_memory[:, 0].numpy().tolist()
    assert not tokens[:, longest:].any()
    outputs = model.nbest(lines, beam=1, alpha=0.0)
    assert outputs["text"][:, 0].tolist() == model("detokenize", tokens=tokens)["text"].tolist()
    assert outputs["length"][:, 0].tolist() == np.count_nonzero(tokens, axis=1).tolist()
    np.testing.assert_allclose(outputs["score"][:, 0], totals, rtol=1e-4)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="default"),
        pytest.param(
            {"attention": "none", "cell": "gru", "bidirectional": False, "decoder_layers": 2},
            id="deep GRU without attention",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"decoder": "gnmt", "attention": "scaled", "decoder_layers": 2, "layer_norm": True},
            id="GNMT",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {
                "decoder": "input_feeding",
                "attention": "additive",
                "attend_embeddings": True,
                "output_shortcut": True,
                "cell": "rnn",
                "bridge": "copy",
            },
            id="input feeding",
        ),
        pytest.param(
            {"decoder": "conditional", "attention": "additive", "cell": "gru", "attention_heads": 2},
            id="conditional GRU",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {"make_decoder": TransformerDecoder, **TRANSFORMER_CHANGES},
            id="Transformer",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_client_of_decode_step_gets_the_greedy_translation(export, changes, tmp_path):
    model = Export(tmp_path, **changes) if changes else export
    assert_decode_step_takes_what_encode_returns(model)
    assert_same_greedy_translations(model)


@pytest.mark.slow
@pytest.mark.parametrize("settings", ARCHITECTURES, ids=label)
def test_every_architecture_is_exported_and_stepped(settings, tmp_path):
    model = Export(tmp_path, **{f: getattr(settings, f) for f in settings.__struct_fields__})
    assert_same_greedy_translations(model)


def test_a_blank_text_has_an_empty_translation(export):
    blank = ["", " ", "\u00a0", "\u3000\n", "\u200b", "\ufeff", "\0", "\u00ad\u2060"]
    lines = [line.encode() for line in [*blank, "the cat"]]
    numbers = {"samples": 2, "temperature": 1.5, "top_k": 5, "top_p": 0.9, "max_length": MAX_LENGTH}
    for found in (
        export("serving_default", text=lines),
        export.nbest(lines, beam=3, alpha=0.7),
        export("translate_sample", text=lines, seed=[1, 0], **numbers),
    ):
        assert not found["text"][:-1].any()
        assert all(not values[:-1].any() for name, values in found.items() if name != "text")
        assert found["length"][-1].all()


def test_the_same_text_has_the_same_translation(export):
    pairs = [
        ("caf\u00e9 cat", "cafe\u0301 c\u200bat\ufeff"),
        ("it's, the cat", "it\u2019s\uff0c\u00a0the cat"),
    ]
    for first, second in pairs:
        found = export("serving_default", text=[first.encode(), second.encode()])
        assert found["text"][0] == found["text"][1]
        assert found["score"][0] == pytest.approx(found["score"][1], rel=1e-5)


def test_samples_follow_from_the_seed_and_with_top_k_1_are_greedy(export):
    numbers = {"samples": 2, "temperature": 1.5, "top_k": 5, "top_p": 0.9, "max_length": MAX_LENGTH}
    drawn, same, other = (export("translate_sample", text=LINES, seed=[n, 0], **numbers) for n in (1, 1, 2))
    assert drawn["text"].shape == (len(LINES), 2)
    assert drawn["text"].tolist() == same["text"].tolist() != other["text"].tolist()
    best = export("translate_sample", text=LINES, seed=[1, 0], **(numbers | {"top_k": 1}))
    greedy = export.nbest(LINES, beam=1, alpha=0.0)
    for n in range(2):
        assert best["text"][:, n].tolist() == greedy["text"][:, 0].tolist()
        np.testing.assert_allclose(best["score"][:, n], greedy["score"][:, 0], rtol=1e-4)


def test_an_unknown_word_is_replaced_by_the_source_word_it_is_aligned_to(tmp_path):
    settings = TextSettings(unit="word")
    vocabulary = learn.learn({"▁the": 9, "▁cat": 4}, settings, 6)
    paths = tmp_path / "vocabulary", tmp_path / "merges"
    paths[0].write_bytes(vocabulary.vocabulary_file())
    paths[1].write_bytes(vocabulary.merges_file())
    side = processor.TextProcessor(settings, *map(str, paths))
    pair = processor.TextPair(side, side, True, SOURCE_MAX_LENGTH)
    model = build(SETTINGS, 6)
    # A model that predicts <unk> until the maximum length.
    model.output_bias.assign([0.0, 0.0, -50.0, 50.0, 0.0, 0.0])
    lines = [b"the cat, Zaphod", b"Beeblebrox", b""]
    search = msgspec.structs.replace(SEARCH, max_length=4)
    replacing = Translator(model, pair, search)
    outputs = replacing.translate(tf.constant(lines))
    for row, words in enumerate([["the", "cat", ",", "Zaphod"], ["Beeblebrox"]]):
        text, length = outputs["text"][row].numpy().decode(), int(outputs["length"][row])
        assert length == 4
        best = outputs["alignment"].numpy()[row, :, : len(words)].argmax(-1)
        assert text == "".join(w if w == "," else f" {w}" for w in (words[b] for b in best)).strip()
    assert (outputs["text"][2].numpy(), int(outputs["length"][2])) == (b"", 0)
    unchanged = Translator(model, pair, msgspec.structs.replace(search, replace_unknown=False))
    assert unchanged.translate(tf.constant(lines))["text"][0].numpy().decode() == "⁇ ⁇ ⁇ ⁇"


def test_scores_equal_those_of_the_model(export):
    targets = [b"el gato", b"", b"la alfombra", b"\xff", b"x", b"canciones"]
    outputs = export("score", source=LINES, target=targets)
    translator = export.translator
    tokens = translator.target_tokens(tf.constant(targets))
    expected, alignment = translator.model.score(translator.source_tokens(tf.constant(LINES)), tokens)
    np.testing.assert_allclose(outputs["log_prob"], expected, rtol=1e-5)
    assert outputs["length"].tolist() == (np.count_nonzero(tokens, axis=1) - 1).tolist()
    assert outputs["length"][1] == 1  # An empty translation is `</s>`.
    for row, length in enumerate(outputs["length"]):
        np.testing.assert_allclose(outputs["alignment"][row, :length], alignment[row, :length], atol=1e-6)
        np.testing.assert_allclose(outputs["alignment"][row, :length].sum(-1), 1.0, rtol=1e-5)
        assert not outputs["alignment"][row, length:].any()


def test_tokenize_returns_the_tokens_that_encode_reads(export):
    tokens, state = export("tokenize", text=LINES), export("encode", text=LINES)
    assert tokens["length"].tolist() == state["memory_length"].tolist()
    assert tokens["length"].max() == SOURCE_MAX_LENGTH
    for row, length in zip(tokens["tokens"], tokens["length"], strict=True):
        assert row[length - 1] == 2
        assert not row[length:].any()
    # The unit is characters, and a text begins with a word boundary.
    assert tokens["total_length"][:4].tolist() == [len(line) + 2 if line else 1 for line in LINES[:4]]


def test_encode_tokens_returns_what_encode_returns_and_ignores_what_follows_a_sentence(export):
    tokenized = export("tokenize", text=LINES)
    tokens, length = tokenized["tokens"], tokenized["length"]
    expected = export("encode", text=LINES)
    for given in (tokens, np.where(tokens == 0, 9_999, tokens)):
        outputs = export("encode_tokens", tokens=given, length=length)
        assert set(outputs) == set(expected)
        for name, value in expected.items():
            np.testing.assert_array_equal(outputs[name], value)


def test_info_tells_a_client_the_special_tokens(export):
    info = {name: int(value) for name, value in export("info").items()}
    size = export.translator.model.target_size
    special = {"pad": 0, "bos": 1, "eos": 2, "unk": 3}
    lengths = {"source_max_length": SOURCE_MAX_LENGTH, "max_length_factor": 0, "min_length": 1}
    limits = {f"limit_{name}": value for name, value in msgspec.structs.asdict(ServingLimits()).items()}
    assert info == special | {"vocab_size": size, "coverage_penalty": 0} | lengths | limits


@pytest.mark.parametrize("beam", [1, 3])
def test_no_translation_is_longer_than_its_source_allows(export, beam):
    search = SearchSettings(beam_size=beam, length_penalty=2.0, max_length=20, max_length_factor=1)
    translator = Translator(export.translator.model, export.translator, search)
    lines = tf.constant([*LINES, b"the"])
    outputs, sources = translator.translate(lines), translator.tokenize(lines)["length"].numpy()
    limits = np.minimum(sources + 10, 20)
    assert len(set(limits)) > 2
    assert (outputs["length"].numpy() == limits).any()
    for row, limit in enumerate(limits):
        unlimited = export.translator.translate_nbest(
            lines[row : row + 1], tf.constant(beam), tf.constant(2.0), tf.constant(limit)
        )
        assert outputs["text"][row] == unlimited["text"][0, 0]
        assert outputs["length"][row] == unlimited["length"][0, 0] <= limit
        np.testing.assert_allclose(outputs["score"][row], unlimited["score"][0, 0], rtol=1e-4)


@pytest.fixture(scope="module")
def odd_lines() -> list[bytes]:
    """Requests of all lengths, scripts and directions, and bytes that are not text."""
    family, flag, keycap = (
        "👩🏽‍👩🏻‍👧🏿‍👦",
        "🏴\U000e0067\U000e0062\U000e0077\U000e006c\U000e0073\U000e007f",
        "1️⃣",
    )
    right_to_left = ["مرحبا بالعالم", "שלום, עולם!", "\u202eabc\u202c العدد ١٢٣", "می‌خواهم"]
    emoji = [family, f"a {flag} {keycap} 🦔", "e\u0301\u0302" * 5, "\u200d\ufe0f"]
    long = [b"very long " * 1000, b"x" * 10_000, "ж".encode() * 10_000, (family * 1400).encode()[:10_001]]
    return [
        *LINES,
        *(line.encode() for line in right_to_left + emoji),
        *long,
        b"\x00\x80",
        b"\xed\xa0\x80",
        b" \n\t",
    ]


def test_a_rows_answer_does_not_depend_on_the_others(export, odd_lines):
    batch = export.nbest(odd_lines, beam=3)
    for row, line in enumerate(odd_lines):
        single = export.nbest([line], beam=3)
        assert batch["text"][row].tolist() == single["text"][0].tolist()
        np.testing.assert_allclose(batch["score"][row], single["score"][0], rtol=1e-4)
        [text.decode() for text in single["text"][0]]  # Raises if an output is not valid UTF-8.


def test_a_batch_in_another_order_has_the_same_answers_in_that_order(export, odd_lines):
    outputs = export("serving_default", text=odd_lines)
    order = np.random.default_rng(1).permutation(len(odd_lines))
    other = export("serving_default", text=[odd_lines[row] for row in order])
    assert other["text"].tolist() == outputs["text"][order].tolist()
    assert other["length"].tolist() == outputs["length"][order].tolist()
    for name in ("score", "alignment"):
        np.testing.assert_allclose(other[name], outputs[name][order], rtol=1e-4, atol=1e-6)


def test_an_empty_batch_gives_an_empty_answer(export):
    outputs = export("serving_default", text=np.array([], object).astype(bytes))
    assert outputs["text"].shape == outputs["score"].shape == (0,)
