"""The export to TensorFlow.js: its files, its client in Node.js, and its errors."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.exporter.token_formats import TOKEN_FORMATS
from bitext.components.seq2seq.export import node
from bitext.components.seq2seq.export.quantize import Precision
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.seq2seq.export.tfjs_weights import store
from bitext.components.shared.errors import ConfigError, DataError, EnvironmentFault
from tests.components.small_export import LINES, SEARCH
from tests.components.test_quantize import make
from tests.components.tfjs_folder import greedy_tokens, source_tokens, write_folder

ROOT = Path(__file__).parents[2]
INPUTS = {"tokens": np.array([[4, 5, 2]], np.int32), "length": np.array([3], np.int32)}


@pytest.fixture(scope="module")
def translator(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    changes = {"encoder_layers": 2, "attention_heads": 2, "attend_embeddings": True, "output_shortcut": True}
    translator = make(tmp_path_factory.mktemp("text"), **changes)
    translator.search = msgspec.structs.replace(SEARCH, min_length=4, max_length=40, max_length_factor=1)
    return translator


@pytest.fixture(scope="module")
def folder(translator: Translator, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(translator, tmp_path_factory.mktemp("form") / "tfjs")


def run_greedy(folder: Path, text: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = ["node", folder / "greedy.mjs", *options]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False)


def test_the_lock_has_the_versions_that_the_message_names() -> None:
    package = json.loads((ROOT / "requirements" / "tfjs" / "package.json").read_text(encoding="utf-8"))
    assert {name: package["dependencies"].get(name) for name in node.PACKAGES} == node.PACKAGES


def test_the_loops_are_no_functions_and_no_boolean_tensor_is_reversed(folder: Path) -> None:
    """TensorFlow.js frees tensors of functions too early, and its backend WASM reverses bytes as floats."""
    for name in ("encode_tokens", "decode_step"):
        topology = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))["modelTopology"]
        assert not topology.get("library", {}).get("function")
        reversed_types = {n["attr"]["T"]["type"] for n in topology["node"] if n["op"] == "ReverseV2"}
        assert reversed_types == ({"DT_FLOAT", "DT_INT32"} if name == "encode_tokens" else set())


def test_the_weights_fill_their_file(folder: Path) -> None:
    for name in ("encode_tokens", "decode_step"):
        model = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        [group] = model["weightsManifest"]
        sizes = {"float32": 4, "int32": 4, "bool": 1}
        count = sum(sizes[w["dtype"]] * int(np.prod(w["shape"])) for w in group["weights"])
        assert [(folder / path).stat().st_size for path in group["paths"]] == [count]


def test_the_locked_packages_are_those_that_the_error_names() -> None:
    locked = json.loads((ROOT / "requirements" / "tfjs" / "package-lock.json").read_text(encoding="utf-8"))
    assert locked["packages"][""]["dependencies"] == node.PACKAGES
    [version] = set(node.PACKAGES.values())
    assert f'"{version}"' in (node.SCRIPTS / "node.mjs").read_text(encoding="utf-8")


def test_a_missing_node_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError, match="needs Node.js") as error:
        TOKEN_FORMATS["tfjs"].require_packages()
    assert "nodejs" in error.value.remedy


def test_missing_packages_are_named_with_their_versions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`node` here knows the core only."""
    program = tmp_path / "node"
    program.write_text('#!/bin/sh\ncase "$*" in *wasm) exit 1 ;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as error:
        TOKEN_FORMATS["tfjs"].require_packages()
    assert str(error.value).startswith("--format tfjs needs @tensorflow/tfjs-backend-wasm, which Node.js")
    assert str(tmp_path) in str(error.value)
    assert "npm install @tensorflow/tfjs-backend-wasm@4.22.0`" in error.value.remedy
    assert "NODE_PATH" in error.value.remedy


@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.floats(1e-30, 1e4),
    st.sampled_from(["float16", "int8"]),
    st.integers(0, 2**32 - 1),
)
def test_a_stored_weight_is_the_nearest(
    rows: int, columns: int, size: float, precision: Precision, seed: int
) -> None:
    values = np.random.default_rng(seed).normal(0.0, size, (rows, columns)).astype(np.float32)
    stored = store(values, precision)
    assert stored is not None
    largest = stored.scale / 2 if precision == "int8" else np.abs(values) * 2**-11 + 2**-25
    assert (np.abs(stored.restored() - values) <= largest * 1.0001 + np.abs(values) * 1e-6).all()
    again = store(stored.restored(), precision)
    assert again is not None
    np.testing.assert_array_equal(again.values, stored.values)


@pytest.mark.parametrize(
    "values", [np.zeros(3, np.float32), np.zeros([2, 0], np.float32), np.eye(3, dtype=np.int32)]
)
def test_vectors_and_integers_stay_as_they_are(values: np.ndarray) -> None:
    assert store(values, "int8") is None


def test_a_constant_matrix_is_stored_exactly() -> None:
    stored = store(np.full([2, 3], 0.3, np.float32), "int8")
    assert stored is not None
    np.testing.assert_array_equal(stored.restored(), np.full([2, 3], 0.3, np.float32))


@pytest.mark.runtime
@pytest.mark.parametrize(("precision", "bytes_a_weight"), [("float16", 2), ("int8", 1)])
def test_tfjs_restores_the_rounded_weights(tmp_path: Path, precision: Precision, bytes_a_weight: int) -> None:
    translator = make(tmp_path / "text", encoder_layers=2)
    form = TOKEN_FORMATS["tfjs"]
    form.round_weights(translator, precision)
    folder = write_folder(translator, tmp_path / "tfjs", precision)
    process = run_greedy(folder, json.dumps(source_tokens(translator)))
    assert json.loads(process.stdout) == greedy_tokens(translator)
    run, tokens = form.load(folder), translator.source_tokens(LINES)
    encoded = run(
        "encode_tokens", {"tokens": tokens.numpy(), "length": (tokens.numpy() > 0).sum(1).astype(np.int32)}
    )
    for name, value in translator.encode_padded(tokens).items():
        np.testing.assert_allclose(encoded[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
    model = json.loads((folder / "decode_step.json").read_text(encoding="utf-8"))
    for weight in model["weightsManifest"][0]["weights"]:
        is_matrix = weight["dtype"] == "float32" and len(weight["shape"]) > 1
        assert ("quantization" in weight) == is_matrix
    matrices = sum(v.numpy().nbytes // 4 for v in translator.model.weights if len(v.shape) > 1)
    size = sum(path.stat().st_size for path in folder.glob("*.bin"))
    assert matrices * bytes_a_weight <= size < matrices * (bytes_a_weight + 1)


@pytest.mark.runtime
class TestTfjsClient:
    @pytest.mark.parametrize("backend", ["cpu", "wasm"])
    def test_it_finds_what_the_model_does(self, translator: Translator, folder: Path, backend: str) -> None:
        process = run_greedy(folder, json.dumps(source_tokens(translator)), "--backend", backend)
        assert (process.returncode, process.stderr) == (0, "")
        expected = greedy_tokens(translator)
        assert json.loads(process.stdout) == expected
        assert expected[LINES.index(b"")] == []
        sizes = [(len(t), len(s)) for t, s in zip(expected, source_tokens(translator), strict=True) if t]
        assert min(size for size, _ in sizes) >= 4
        assert any(size == source_size + 10 for size, source_size in sizes)

    def test_neither_the_batch_nor_the_order_matters(self, translator: Translator, folder: Path) -> None:
        sources, expected = source_tokens(translator), greedy_tokens(translator)
        process = run_greedy(folder, json.dumps(sources[::-1] * 20))
        assert json.loads(process.stdout) == expected[::-1] * 20
        assert run_greedy(folder, "[]").stdout == "[]\n"

    @pytest.mark.parametrize(
        ("text", "error"),
        [
            ("[[4, 2]", "standard input is not JSON: "),
            ("4", "expected an array of sentences"),
            ("[[4, 2], [4, 5]]", "sentence 1: expected tokens from 3 to"),
            ("[[4, 2.5, 2]]", "received [4,2.5,2]"),
            ("[[4, -1, 2]]", "received [4,-1,2]"),
            ("[[4, 2147483647, 2]]", "received [4,2147483647,2]"),
            ("[[4, 0, 2]]", "received [4,0,2]"),
            ('[["4", 2]]', 'received ["4",2]'),
            ("[[]]", "received []"),
            ("[null]", "received null"),
            (json.dumps([[4] * 12 + [2]]), "sentence 0: expected at most 12 tokens; received 13"),
        ],
    )
    def test_wrong_tokens_are_an_error(self, folder: Path, text: str, error: str) -> None:
        process = run_greedy(folder, text)
        assert (process.returncode, process.stdout) == (1, "")
        assert process.stderr.startswith("greedy.mjs: ")
        assert error in process.stderr
        assert process.stderr.count("\n") == 1

    @pytest.mark.parametrize(
        ("options", "error"),
        [
            (["--folder", "missing"], "missing/signatures.json"),
            (["--backend", "abacus"], "Backend name 'abacus' not found"),
            (["--beam"], "--beam"),
        ],
    )
    def test_wrong_options_are_an_error(self, folder: Path, options: list[str], error: str) -> None:
        process = run_greedy(folder, "[[4, 2]]", *options)
        assert (process.returncode, process.stdout) == (1, "")
        assert error in process.stderr

    def test_a_package_that_is_not_installed_is_named(
        self, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("NODE_PATH", raising=False)
        process = run_greedy(folder, "[[4, 2]]")
        assert process.returncode == 1
        assert "@tensorflow/tfjs is not installed; run: npm install @tensorflow/tfjs@4.22.0" in process.stderr


def changed(folder: Path, target: Path, change: Any) -> Path:
    """Returns a copy of a folder with another graph `decode_step`."""
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    model = json.loads((target / "decode_step.json").read_text(encoding="utf-8"))
    change(model)
    (target / "decode_step.json").write_text(json.dumps(model), encoding="utf-8")
    return target


@pytest.mark.runtime
class TestTfjsErrors:
    def test_an_operation_that_the_runtime_lacks_is_an_error(self, folder: Path, tmp_path: Path) -> None:
        def change(model: dict[str, Any]) -> None:
            next(node for node in model["modelTopology"]["node"] if node["op"] == "Tanh")["op"] = "Tan42"

        run = node.GraphProcess(changed(folder, tmp_path / "tfjs", change))
        encoded = run("encode_tokens", INPUTS)
        with pytest.raises(DataError, match="TensorFlow.js cannot run decode_step: .*Tan42"):
            run("decode_step", encoded | {"token": np.array([1], np.int32)})
        np.testing.assert_array_equal(run("encode_tokens", INPUTS)["memory"], encoded["memory"])

    def test_a_damaged_graph_is_an_error(self, folder: Path, tmp_path: Path) -> None:
        damaged = changed(folder, tmp_path / "tfjs", lambda model: model.pop("modelTopology"))
        with pytest.raises(DataError, match=f"TensorFlow.js cannot load {damaged}: "):
            node.GraphProcess(damaged)

    def test_a_process_that_ends_is_an_error(self, folder: Path) -> None:
        run = node.GraphProcess(folder)
        run._process.kill()
        with pytest.raises(EnvironmentFault, match="Node.js ended with code -9"):
            run("encode_tokens", INPUTS)

    def test_an_input_that_changes_in_place_is_sent_again(self, folder: Path) -> None:
        run = node.GraphProcess(folder)
        tokens = np.array([[4, 5, 2]], np.int32)
        before = run("encode_tokens", INPUTS | {"tokens": tokens})
        tokens[0, 0] = 6
        after = run("encode_tokens", INPUTS | {"tokens": tokens})
        assert np.abs(after["memory"] - before["memory"]).max() > 1e-4
