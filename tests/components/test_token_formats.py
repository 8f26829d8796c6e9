"""The formats of other runtimes: the same outputs as the model, in the runtime itself."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from bitext.components.exporter.token_formats import TOKEN_FORMATS, TokenFormat
from bitext.components.seq2seq.export import token_graphs
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.seq2seq.export.token_graphs import NEXT, Run
from bitext.components.shared.errors import ConfigError
from tests.components.architectures import ARCHITECTURES, label
from tests.components.small_export import LINES, MAX_LENGTH
from tests.components.test_quantize import make
from tests.components.transformer_decoder import CHANGES as TRANSFORMER_CHANGES
from tests.components.transformer_decoder import TransformerDecoder


@pytest.fixture(
    params=[pytest.param(each, marks=pytest.mark.runtime, id=each.name) for each in TOKEN_FORMATS.values()]
)
def token_format(request: pytest.FixtureRequest) -> TokenFormat:
    each: TokenFormat = request.param
    return each


def convert(translator: Translator, token_format: TokenFormat, folder: Path) -> tuple[Run, Any]:
    """Returns the converted model in its runtime, and its description."""
    folder.mkdir()
    graphs = token_graphs.token_graphs(translator)
    token_format.write(graphs, folder)
    description = token_graphs.describe(graphs, translator, token_format.name, token_format.suffix)
    assert {graph.file for graph in description.graphs.values()} <= {path.name for path in folder.iterdir()}
    return token_format.load(folder), description


def greedy(run: Run, description: Any, tokens: np.ndarray, length: np.ndarray) -> list[list[int]]:
    """Greedy search by a client that knows the description only."""
    encoded = run("encode_tokens", {"tokens": tokens, "length": length})
    assert set(encoded) == set(description.graphs["encode_tokens"].outputs)
    memory = {name: encoded[name] for name in description.memory}
    state = {name: encoded[name] for name in description.state}
    special = description.special_tokens
    rows = [[special["bos"]] for _ in tokens]
    for _ in range(MAX_LENGTH):
        token = np.array([row[-1] for row in rows], np.int32)
        inputs = {"token": token, **memory, **state}
        assert set(inputs) == set(description.graphs["decode_step"].inputs)
        outputs = run("decode_step", inputs)
        assert set(outputs) == set(description.graphs["decode_step"].outputs)
        state = {name: outputs[output] for name, output in description.state.items()}
        log_probs = outputs["log_probs"].copy()
        log_probs[:, [special["pad"], special["bos"]]] = -np.inf
        for row, best in zip(rows, log_probs.argmax(-1), strict=True):
            if row[-1] != special["eos"]:
                row.append(int(best))
    return [row[1:] for row in rows]


def assert_equal_to_model(translator: Translator, run: Run, description: Any) -> None:
    tokens = translator.source_tokens(tf.constant(LINES)).numpy()
    length = (tokens > 0).sum(1).astype(np.int32)
    noise = np.where(tokens > 0, tokens, 7)  # what follows a sentence is ignored
    encoded = run("encode_tokens", {"tokens": noise, "length": length})
    expected = {name: value.numpy() for name, value in translator.encode_padded(tf.constant(tokens)).items()}
    assert set(encoded) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(encoded[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    token = np.arange(4, 4 + len(tokens), dtype=np.int32)
    step = translator.decode_step(tf.constant(token), **{n: tf.constant(v) for n, v in expected.items()})
    outputs = run("decode_step", {"token": token, **encoded})
    for name, value in step.items():
        converted = outputs[NEXT + name if name in description.state else name]
        np.testing.assert_allclose(converted, value, rtol=1e-4, atol=1e-5, err_msg=name)
    start = translator.model.start(tf.constant(tokens))
    best = translator.decode(start, tf.constant(1), tf.constant(0.0), tf.constant(MAX_LENGTH))
    rows = zip(best.tokens.numpy()[:, 0], best.length.numpy()[:, 0], strict=True)
    assert greedy(run, description, tokens, length) == [row[:size].tolist() for row, size in rows]


@pytest.mark.parametrize(
    "changes", [{"encoder_layers": 2}, {"attention": "additive", "cell": "gru", "decoder": "input_feeding"}]
)
def test_a_runtime_computes_what_the_model_does(
    token_format: TokenFormat, changes: dict[str, Any], tmp_path: Path
) -> None:
    translator = make(tmp_path / "text", **changes)
    assert_equal_to_model(translator, *convert(translator, token_format, tmp_path / "form"))


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES, ids=label)
def test_every_architecture_computes_what_the_model_does(
    token_format: TokenFormat, architecture: Any, tmp_path: Path
) -> None:
    changes = {field: getattr(architecture, field) for field in architecture.__struct_fields__}
    translator = make(tmp_path / "text", **changes)
    assert_equal_to_model(translator, *convert(translator, token_format, tmp_path / "form"))


def test_a_decoder_whose_state_grows_is_converted(token_format: TokenFormat, tmp_path: Path) -> None:
    translator = make(tmp_path / "text", TransformerDecoder, **TRANSFORMER_CHANGES)
    assert_equal_to_model(translator, *convert(translator, token_format, tmp_path / "form"))


def test_a_batch_is_padded_to_any_length_and_may_have_one_sentence(
    token_format: TokenFormat, tmp_path: Path
) -> None:
    translator = make(tmp_path / "text")
    run, description = convert(translator, token_format, tmp_path / "form")
    tokens = translator.source_tokens(tf.constant(LINES)).numpy()
    length = (tokens > 0).sum(1).astype(np.int32)
    padded = np.pad(tokens, [[0, 0], [0, 40]])
    assert len(set(length.tolist())) > 3
    single = [
        greedy(run, description, tokens[row : row + 1, :size], length[row : row + 1])[0]
        for row, size in enumerate(length)
    ]
    assert greedy(run, description, padded, length) == single
    wide = run("encode_tokens", {"tokens": padded, "length": length})
    for row, size in enumerate(length):
        one = run("encode_tokens", {"tokens": tokens[row : row + 1, :size], "length": length[row : row + 1]})
        np.testing.assert_allclose(wide["memory"][row, :size], one["memory"][0], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(wide["layer0_hidden"][row], one["layer0_hidden"][0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", [each.name for each in TOKEN_FORMATS.values() if each.packages])
def test_a_missing_package_is_named_with_its_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError) as error:
        TOKEN_FORMATS[name].require_packages()
    assert TOKEN_FORMATS[name].packages[0] in str(error.value)
    assert error.value.remedy == f"pip install 'bitext[{name}]'"
