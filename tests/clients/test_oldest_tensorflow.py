"""The export in the oldest TensorFlow that can run it, and in `hub.KerasLayer`: `make test-oldest`.

The environment .venv-oldest is made from requirements/oldest.txt.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.components.small_export import MAX_LENGTH, assert_same

CLIENT = Path(__file__).with_name("oldest_tensorflow.py")
PYTHON = Path(__file__).parents[2] / ".venv-oldest" / "bin" / "python"
OLDEST = "2.13."
LINES = ["the cat sat", "", "seven songs on the mat, he said", "їжак 🦔"]
REQUESTS = {
    "serving_default": {"text": LINES},
    "translate_nbest": {"text": LINES, "beam_size": 3, "length_penalty": 1.0, "max_length": MAX_LENGTH},
    "translate_sample": {
        "text": LINES,
        "samples": 2,
        "temperature": 0.0,
        "top_k": 0,
        "top_p": 1.0,
        "max_length": MAX_LENGTH,
        "seed": [1, 2],
    },
    "score": {"source": LINES[:2], "target": ["el gato", ""]},
    "tokenize": {"text": LINES},
    "encode": {"text": LINES},
    "detokenize": {"tokens": [[60, 61, 2], [62, 2, 0]]},
    "info": {},
    "default_search": {},
}


def run(model: Path, requests: dict[str, dict[str, object]]) -> subprocess.CompletedProcess[str]:
    """Runs the client in the environment of the oldest TensorFlow."""
    calls = [{"signature": name, "inputs": inputs} for name, inputs in requests.items()]
    return subprocess.run(
        [PYTHON, "-I", CLIENT, model], input=json.dumps(calls), capture_output=True, text=True, timeout=600
    )


def encode(value: object) -> object:
    """Returns nested lists with texts as bytes."""
    if isinstance(value, list):
        return [encode(one) for one in value]
    return value.encode("latin-1") if isinstance(value, str) else value


@pytest.mark.skipif(not PYTHON.exists(), reason="make test-oldest makes the environment .venv-oldest")
@pytest.mark.slow
class TestOldest:
    def test_signatures_and_layer_answer_as_here(self, export):
        process = run(export.path, REQUESTS)
        assert process.returncode == 0, process.stderr
        assert process.stderr.splitlines()[-1].startswith(OLDEST)
        answers = [{name: encode(v) for name, v in answer.items()} for answer in json.loads(process.stdout)]
        expected = [export(name, **inputs) for name, inputs in REQUESTS.items()]
        for answer, outputs in zip(answers, [*expected, expected[0]], strict=True):
            assert_same(answer, outputs)

    def test_a_limit_is_an_error_that_names_the_input(self, export):
        request = REQUESTS["translate_nbest"] | {"beam_size": 100_000}
        process = run(export.path, {"translate_nbest": request})
        assert process.returncode == 1
        assert "input beam_size must be from 1 to 100, received 100000" in process.stderr
