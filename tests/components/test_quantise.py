"""Smaller exports: SavedModels of float16 and int8 weights, and TensorFlow Lite."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from components.seq2seq import checkpoint, lite, quantise
from components.seq2seq.export import Translator
from tests.components.architectures import ARCHITECTURES, label
from tests.components.test_export import LINES, MAX_LENGTH, SEARCH, text_pair
from tests.components.tiny_model import SETTINGS, build

ARCHITECTURE = {"decoder": "gnmt", "decoder_layers": 2, "attention_heads": 2, "cell": "gru"}


def make(folder: Path, **changes) -> Translator:
    folder.mkdir(exist_ok=True)
    pair = text_pair(folder, shared=False)
    model = build(msgspec.structs.replace(SETTINGS, **changes), pair.target.size(), pair.source.size(), 5)
    return Translator(model, pair, SEARCH)


@pytest.fixture(scope="module")
def translator(tmp_path_factory) -> Translator:
    return make(tmp_path_factory.mktemp("text"), **ARCHITECTURE)


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 7),
    st.integers(1, 7),
    st.floats(1e-30, 1e4),
    st.sampled_from(["decoder/kernel", "seq2seq/target_embedding"]),
    st.integers(0, 2**32 - 1),
)
def test_an_int8_weight_is_off_by_half_a_step_of_its_row_or_column(rows, columns, size, name, seed):
    values = np.random.default_rng(seed).normal(0.0, size, (rows, columns)).astype(np.float32)
    values[0] = 0.0
    stored = quantise.Stored(name, values, "int8")
    assert stored.values.dtype == tf.int8
    axis = 1 if name.endswith("_embedding") else 0
    step = np.abs(values).max(axis, keepdims=True) / quantise.HIGHEST
    assert (np.abs(stored().numpy() - values) <= 0.501 * step + 1e-37).all()


def test_vectors_stay_as_they_are():
    bias = np.array([0.1, -2.7], np.float32)
    for precision in ("float16", "int8"):
        np.testing.assert_array_equal(quantise.Stored("bias", bias, precision)(), bias)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_smaller_saved_model_computes_with_the_rounded_weights(translator, precision, tmp_path):
    """Its answers are those of the model with these weights: nothing else differs, in any signature."""
    quantise.save(translator, precision, tmp_path / "small")
    small = tf.saved_model.load(str(tmp_path / "small")).signatures
    variables = translator.model.weights
    before = [v.numpy() for v in variables]
    for variable, values in zip(variables, before, strict=True):
        variable.assign(quantise.Stored(variable.path, values, precision)())
    try:
        text = tf.constant(LINES)
        numbers = {"beam_size": 3, "length_penalty": 1.0, "max_length": MAX_LENGTH}
        scalars = {n: tf.constant(v) for n, v in numbers.items()}
        for name, inputs in (
            ("serving_default", {"text": text}),
            ("translate_nbest", {"text": text, **scalars}),
            ("score", {"source": text, "target": text}),
            ("encode", {"text": text}),
            ("tokenize", {"text": text}),
            ("info", {}),
        ):
            mine = translator.signatures()[name][0](**inputs)
            theirs = small[name](**inputs)
            assert set(mine) == set(theirs)
            for output, value in theirs.items():
                if value.dtype == tf.string:
                    assert value.numpy().tolist() == mine[output].numpy().tolist()
                else:
                    np.testing.assert_allclose(value, mine[output], rtol=2e-4, atol=1e-5)
        encoded = small["encode"](text=text)
        token = tf.fill([len(LINES)], 1)
        stepped = small["decode_step"](token=token, **encoded)
        expected = translator._decode_step(token, **encoded)
        np.testing.assert_allclose(stepped["log_probs"], expected["log_probs"], rtol=1e-4, atol=1e-5)
    finally:
        for variable, values in zip(variables, before, strict=True):
            variable.assign(values)


def test_a_smaller_saved_model_has_every_signature_as_it_was(translator, tmp_path):
    translator.save(tmp_path / "whole")
    quantise.save(translator, "int8", tmp_path / "small")
    whole, small = (tf.saved_model.load(str(tmp_path / name)).signatures for name in ("whole", "small"))
    assert set(whole) == set(small)
    for name in whole:
        for kind in ("structured_input_signature", "structured_outputs"):
            theirs, mine = (getattr(loaded[name], kind) for loaded in (whole, small))
            theirs, mine = (found[1] if isinstance(found, tuple) else found for found in (theirs, mine))
            assert {n: (s.dtype, s.shape.rank) for n, s in theirs.items()} == {
                n: (s.dtype, s.shape.rank) for n, s in mine.items()
            }


def test_the_stored_weights_are_as_small_as_said(tmp_path):
    wide = make(tmp_path / "text", embedding_units=128, encoder_units=128, decoder_units=128)
    wide.save(tmp_path / "float32")
    sizes = {"float32": (tmp_path / "float32/variables/variables.data-00000-of-00001").stat().st_size}
    for precision in ("float16", "int8"):
        quantise.save(wide, precision, tmp_path / precision)
        sizes[precision] = (tmp_path / precision / "variables/variables.data-00000-of-00001").stat().st_size
    assert sizes["float16"] / sizes["float32"] == pytest.approx(0.5, abs=0.03)
    assert sizes["int8"] / sizes["float32"] == pytest.approx(0.25, abs=0.05)


STRANGER = """
import sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
found = model.signatures["serving_default"](text=tf.constant(["the cat sat"]))
assert not {"components", "keras_models"} & set(sys.modules)
print(found["text"].numpy()[0].decode())
"""


def test_a_smaller_saved_model_needs_nothing_but_tensorflow(tmp_path):
    mine = make(tmp_path / "text")
    quantise.save(mine, "float16", tmp_path / "small")
    for path in (tmp_path / "text").iterdir():
        path.unlink()
    command = [sys.executable, "-I", "-c", STRANGER, str(tmp_path / "small")]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expected = mine.translate(tf.constant(["the cat sat"]))["text"].numpy()[0].decode()
    assert done.stdout.rstrip("\n") == expected


def steps_greedily(translator: Translator, model: lite.LiteModel) -> None:
    """The interpreter's greedy search gives the tokens that the graph's gives."""
    tokens = translator.source_tokens(tf.constant(LINES))
    found = translator.decode(tokens, tf.constant(1), tf.constant(0.0), tf.constant(MAX_LENGTH))
    for row, source in enumerate(tokens.numpy()):
        mine = model.greedy(source[source > 0], MAX_LENGTH)
        length = int(found.length[row, 0])
        assert mine.tolist() == found.tokens[row, 0, :length].numpy().tolist()


def test_tensorflow_lite_translates_greedily_as_the_model_does(translator):
    content = lite.convert(translator, None)
    steps_greedily(translator, lite.LiteModel(content))
    interpreter = tf.lite.Interpreter(model_content=content)
    operations = {detail["op_name"] for detail in interpreter._get_ops_details()}
    assert operations
    assert not {name for name in operations if name.startswith("Flex")}


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_smaller_tensorflow_lite_model_is_near_the_model(translator, precision):
    interpreter = tf.lite.Interpreter(model_content=lite.convert(translator, precision))
    [tokens] = translator.source_tokens(tf.constant(LINES[:1])).numpy()
    encoded = interpreter.get_signature_runner("encode")(tokens=tokens[np.newaxis])
    stepped = interpreter.get_signature_runner("decode_step")(token=np.array([1], np.int32), **encoded)
    expected = translator.encode_tokens(tf.constant([tokens]))
    assert set(encoded) == set(expected)
    first = translator._decode_step(tf.constant([1]), **expected)
    assert set(stepped) == set(first)
    near = 0.02 if precision == "float16" else 0.5
    for name, value in stepped.items():
        np.testing.assert_allclose(value, first[name], atol=near)


def test_a_client_of_tensorflow_lite_may_follow_several_hypotheses(translator):
    interpreter = tf.lite.Interpreter(model_content=lite.convert(translator, None))
    [tokens] = translator.source_tokens(tf.constant(LINES[:1])).numpy()
    encoded = interpreter.get_signature_runner("encode")(tokens=tokens[np.newaxis])
    repeated = {name: np.repeat(value, 3, 0) for name, value in encoded.items()}
    words = np.array([1, 5, 6], np.int32)
    stepped = interpreter.get_signature_runner("decode_step")(token=words, **repeated)
    expected = translator._decode_step(tf.constant(words), **{n: tf.constant(v) for n, v in repeated.items()})
    np.testing.assert_allclose(stepped["log_probs"], expected["log_probs"], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=label)
def test_every_architecture_converts_to_tensorflow_lite(architecture, tmp_path):
    changes = {f: getattr(architecture, f) for f in architecture.__struct_fields__}
    translator = make(tmp_path / "text", **changes)
    steps_greedily(translator, lite.LiteModel(lite.convert(translator, None)))


def test_a_restored_checkpoint_is_the_model(translator, tmp_path):
    checkpoint.save(translator.model, translator.source, translator.target, tmp_path)
    (tmp_path / "text").mkdir()
    pair = text_pair(tmp_path / "text", shared=False)
    again = Translator(checkpoint.restore(tmp_path, pair), pair, SEARCH)
    mine, theirs = (t.translate(tf.constant(LINES)) for t in (translator, again))
    for name, value in mine.items():
        assert theirs[name].numpy().tolist() == value.numpy().tolist()
