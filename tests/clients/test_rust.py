"""The export in Rust, with the crate `tensorflow`: `make test-rust`, with cargo and pkg-config."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import tensorflow as tf

FOLDER = Path(__file__).with_name("rust")
PACKAGE = Path(tf.__file__).parent
LINES = ["the cat sat", "", "їжак 🦔"]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled client, linked to the libraries of the installed TensorFlow."""
    build = tmp_path_factory.mktemp("rust")
    subprocess.run(["sh", FOLDER / "link.sh", PACKAGE, build / "libraries"], check=True)
    subprocess.run(
        ["cargo", "build", "--quiet", "--locked", "--target-dir", build],
        cwd=FOLDER,
        env={**os.environ, "PKG_CONFIG_PATH": str(build / "libraries")},
        check=True,
    )
    return build / "debug" / "translate"


def translate(program: Path, model: Path, *lines: str) -> subprocess.CompletedProcess[str]:
    """Runs the client on lines."""
    return subprocess.run(
        [program, model],
        input="".join(f"{line}\n" for line in lines),
        env={**os.environ, "LD_LIBRARY_PATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        timeout=200,
    )


@pytest.mark.network
@pytest.mark.slow
def test_translations_equal_those_of_python(export, program):
    process = translate(program, export.path, *LINES)
    assert process.returncode == 0, process.stderr
    assert process.stderr.splitlines()[-1] == f"TensorFlow {tf.__version__}"
    texts = export("serving_default", text=LINES)["text"]
    assert process.stdout.splitlines() == [text.decode() for text in texts]


@pytest.mark.network
@pytest.mark.slow
def test_an_error_names_the_input(export, program):
    process = translate(program, export.path, "x" * 70_000)
    assert process.returncode == 1
    assert "input text must have texts of at most 65,536 bytes, received 70000" in process.stderr
