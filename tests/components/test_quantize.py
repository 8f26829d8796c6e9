"""Smaller exports: SavedModels of float16 and int8 weights, and TensorFlow Lite."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.seq2seq.export import checkpoint, lite, quantize
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.translation.graph_check import check_graph
from tests.components.architectures import ARCHITECTURES, label
from tests.components.small_export import LINES, MAX_LENGTH, SEARCH, text_pair
from tests.components.tiny_model import SETTINGS, build
from tests.components.transformer_decoder import CHANGES as TRANSFORMER_CHANGES
from tests.components.transformer_decoder import TransformerDecoder

ARCHITECTURE = {
    "decoder": "gnmt",
    "decoder_layers": 2,
    "attention_heads": 2,
    "attend_embeddings": True,
    "output_shortcut": True,
    "cell": "gru",
}


def make(folder: Path, make_decoder: Any = None, **changes: Any) -> Translator:
    folder.mkdir(exist_ok=True)
    pair = text_pair(folder, shared=False)
    settings, sizes = msgspec.structs.replace(SETTINGS, **changes), (pair.target.size(), pair.source.size())
    model = build(settings, *sizes, seed=5, make_decoder=make_decoder)
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
def test_an_int8_weight_is_rounded_to_a_step_of_its_row_or_column(rows, columns, size, name, seed):
    values = np.random.default_rng(seed).normal(0.0, size, (rows, columns)).astype(np.float32)
    values[0] = 0.0
    stored = quantize.QuantizedWeight(name, values, "int8")
    assert stored.values.dtype == tf.int8
    axis = 1 if name.endswith("_embedding") else 0
    step = np.abs(values).max(axis, keepdims=True) / quantize.INT8_MAX
    assert (np.abs(stored().numpy() - values) <= 0.501 * step + 1e-37).all()


def test_vectors_stay_float32():
    bias = np.array([0.1, -2.7], np.float32)
    for precision in ("float16", "int8"):
        np.testing.assert_array_equal(quantize.QuantizedWeight("bias", bias, precision)(), bias)


@pytest.fixture(scope="module", params=["float16", "int8"])
def small(request, translator, tmp_path_factory) -> tuple[quantize.Precision, Path]:
    """A smaller SavedModel, and its precision."""
    folder = tmp_path_factory.mktemp("small") / "model"
    quantize.save(translator, request.param, folder)
    check_graph(folder)
    return request.param, folder


@pytest.fixture
def rounded(translator, small) -> Iterator[Translator]:
    """The translator with the weights that the smaller SavedModel stores."""
    variables = translator.model.weights
    before = [v.numpy() for v in variables]
    for variable, values in zip(variables, before, strict=True):
        variable.assign(quantize.QuantizedWeight(variable.path, values, small[0])())
    yield translator
    for variable, values in zip(variables, before, strict=True):
        variable.assign(values)


@pytest.mark.slow
def test_a_smaller_saved_model_computes_with_the_rounded_weights(rounded, small):
    """Every signature equals that of the translator with the rounded weights."""
    functions = tf.saved_model.load(str(small[1])).signatures
    signatures = rounded.signatures()
    assert set(functions) == set(signatures)
    text, token = tf.constant(LINES), tf.fill([len(LINES)], 1)
    numbers = {"max_length": MAX_LENGTH, "beam_size": 3, "length_penalty": 1.0}
    sampling = {"samples": 2, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": [1, 2]}
    values = {n: tf.constant(v) for n, v in (numbers | sampling).items()}
    values |= {
        "text": text,
        "source": text,
        "target": text,
        "tokens": tf.constant([[60, 61, 2]]),
        "length": tf.constant([3]),
    }
    nothing = tf.fill([len(LINES), 1], "")
    values |= {"prefix": nothing[:, 0], "required": nothing, "banned": tf.fill([len(LINES), 1], "the")}
    values |= {n: tf.constant(v) for n, v in (("no_repeat_ngram", 3), ("max_length_factor", 2))}
    values |= {"repetition_penalty": tf.constant(1.5)}
    values |= {"token": token, **rounded.encode(text)}
    for name, (function, inputs) in signatures.items():
        arguments = {key: values[key] for key in inputs}
        expected, outputs = function(**arguments), functions[name](**arguments)
        assert set(expected) == set(outputs)
        for output, value in outputs.items():
            if value.dtype == tf.string:
                np.testing.assert_array_equal(value.numpy(), expected[output].numpy())
            else:
                np.testing.assert_allclose(value, expected[output], rtol=2e-4, atol=1e-5)


def test_the_stored_weights_have_a_half_or_a_quarter_of_the_size():
    values = np.ones([128, 512], np.float32)
    sizes = {
        precision: sum(v.dtype.size * v.shape.num_elements() for v in stored.variables)
        for precision in ("float16", "int8")
        if (stored := quantize.QuantizedWeight("kernel", values, precision))
    }
    assert sizes == {"float16": values.nbytes // 2, "int8": values.nbytes // 4 + 4 * 512}


def test_a_smaller_saved_model_holds_no_weight_twice(small, translator):
    precision, folder = small
    reader = tf.train.load_checkpoint(str(folder / "variables" / "variables"))
    shapes = reader.get_variable_to_shape_map()
    matrices = [name for name, shape in shapes.items() if len(shape) == 2 and 1 not in shape]
    assert len(matrices) == sum(len(v.shape) == 2 for v in translator.model.weights)
    assert {reader.get_tensor(name).dtype.name for name in matrices} == {precision}


PROGRAM = """
import sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
outputs = model.signatures["serving_default"](text=tf.constant(["the cat sat"]))
assert "components" not in sys.modules
print(outputs["text"].numpy()[0].decode())
"""


def test_a_smaller_saved_model_needs_nothing_but_tensorflow(small, rounded, tmp_path):
    moved = shutil.copytree(small[1], tmp_path / "moved")
    command = [sys.executable, "-I", "-c", PROGRAM, str(moved)]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    expected = rounded.signatures()["serving_default"][0](text=tf.constant(["the cat sat"]))
    assert process.stdout.rstrip("\n") == expected["text"].numpy()[0].decode()


def assert_same_greedy_tokens(translator: Translator, model: lite.LiteModel) -> None:
    """Asserts that greedy search in the interpreter and in the graph give the same tokens."""
    tokens = translator.source_tokens(tf.constant(LINES))
    start = translator.model.start(tokens)
    hypotheses = translator.decode(start, tf.constant(1), tf.constant(0.0), tf.constant(MAX_LENGTH))
    for row, source in enumerate(tokens.numpy()):
        tokens = model.greedy(source[source > 0], MAX_LENGTH)
        length = int(hypotheses.length[row, 0])
        assert tokens.tolist() == hypotheses.tokens[row, 0, :length].numpy().tolist()


@pytest.fixture(scope="module")
def transformer(tmp_path_factory) -> Translator:
    return make(tmp_path_factory.mktemp("transformer"), TransformerDecoder, **TRANSFORMER_CHANGES)


@pytest.mark.parametrize("model", ["translator", "transformer"])
def test_tensorflow_lite_translates_greedily_as_the_model_does(request, model):
    translator = request.getfixturevalue(model)
    content = lite.convert(translator, None)
    assert_same_greedy_tokens(translator, lite.LiteModel(content))
    interpreter = lite.Interpreter(model_content=content)
    operations = {detail["op_name"] for detail in interpreter._get_ops_details()}
    assert operations
    assert not {name for name in operations if name.startswith("Flex")}


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_smaller_tensorflow_lite_model_is_near_the_model(translator, precision):
    interpreter = lite.Interpreter(model_content=lite.convert(translator, precision))
    [tokens] = translator.source_tokens(tf.constant(LINES[:1])).numpy()
    encoded = interpreter.get_signature_runner("encode")(tokens=tokens[np.newaxis])
    stepped = interpreter.get_signature_runner("decode_step")(token=np.array([1], np.int32), **encoded)
    expected = translator.encode_padded(tf.constant([tokens]))
    assert set(encoded) == set(expected)
    first = translator.decode_step(tf.constant([1]), **expected)
    assert set(stepped) == set(first)
    tolerance = 0.02 if precision == "float16" else 0.5
    for name, value in stepped.items():
        np.testing.assert_allclose(value, first[name], atol=tolerance)


def test_a_client_of_tensorflow_lite_steps_several_hypotheses(translator):
    interpreter = lite.Interpreter(model_content=lite.convert(translator, None))
    [tokens] = translator.source_tokens(tf.constant(LINES[:1])).numpy()
    encoded = interpreter.get_signature_runner("encode")(tokens=tokens[np.newaxis])
    repeated = {name: np.repeat(value, 3, 0) for name, value in encoded.items()}
    tokens = np.array([1, 5, 6], np.int32)
    stepped = interpreter.get_signature_runner("decode_step")(token=tokens, **repeated)
    expected = translator.decode_step(tf.constant(tokens), **{n: tf.constant(v) for n, v in repeated.items()})
    np.testing.assert_allclose(stepped["log_probs"], expected["log_probs"], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=label)
def test_every_architecture_converts_to_tensorflow_lite(architecture, tmp_path):
    changes = {f: getattr(architecture, f) for f in architecture.__struct_fields__}
    translator = make(tmp_path / "text", **changes)
    assert_same_greedy_tokens(translator, lite.LiteModel(lite.convert(translator, None)))


def test_a_restored_checkpoint_is_the_model(translator, tmp_path):
    checkpoint.save(translator.model, translator.source, translator.target, tmp_path)
    (tmp_path / "text").mkdir()
    pair = text_pair(tmp_path / "text", shared=False)
    restored = Translator(checkpoint.restore(tmp_path, pair), pair, SEARCH)
    expected, outputs = (t.translate(tf.constant(LINES)) for t in (translator, restored))
    for name, value in expected.items():
        np.testing.assert_array_equal(outputs[name].numpy(), value.numpy())
