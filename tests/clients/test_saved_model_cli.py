"""The export in TensorFlow's command saved_model_cli: one process for each call, as in a shell script."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.components.small_export import Export, assert_same

COMMAND = Path(sys.executable).with_name("saved_model_cli")


def saved_model_cli(*arguments: str) -> str:
    """Runs the command and returns what it prints."""
    process = subprocess.run([COMMAND, *arguments], capture_output=True, text=True, timeout=200)
    assert process.returncode == 0, process.stderr
    return process.stdout


def run(export: Export, signature: str, folder: Path, *inputs: str) -> dict[str, np.ndarray]:
    """Runs a signature, whose outputs are written to `folder`, and returns them."""
    options = ("--dir", str(export.path), "--tag_set", "serve", "--signature_def", signature)
    saved_model_cli("run", *options, *inputs, "--outdir", str(folder))
    return {path.stem: np.load(path, allow_pickle=True) for path in folder.iterdir()}


def test_show_describes_every_signature(export):
    shown = saved_model_cli("show", "--dir", str(export.path), "--all")
    for name, signature in export.loaded.signatures.items():
        [described] = [entry for entry in shown.split("signature_def[") if entry.startswith(f"'{name}'")]
        for tensor in (*signature.structured_input_signature[1], *signature.structured_outputs):
            assert f"['{tensor}'] tensor_info" in described


def test_serving_default_translates(export, tmp_path):
    lines = ["the cat sat", "", "їжак 🦔"]
    outputs = run(export, "serving_default", tmp_path, "--input_exprs", f"text={lines}")
    assert_same(outputs, export("serving_default", text=lines))


def test_decode_step_continues_from_encode(export, tmp_path):
    lines = ["the cat", "a mat"]
    encoded = run(export, "encode", tmp_path / "encoded", "--input_exprs", f"text={lines}")
    assert_same(encoded, export("encode", text=lines))
    files = ";".join(f"{name}={tmp_path / 'encoded' / name}.npy" for name in encoded)
    inputs = ("--inputs", files, "--input_exprs", "token=[1, 1]")
    assert_same(
        run(export, "decode_step", tmp_path / "step", *inputs), export("decode_step", token=[1, 1], **encoded)
    )
