"""The export in TensorFlow's C library, in a process that can import no package, not even TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import tensorflow as tf

from tests.components.small_export import assert_same

CLIENT = Path(__file__).with_name("c_api.py")
LINES = ["the cat sat", "", "seven songs on the mat, he said", "їжак 🦔", "\udcff\udcfe broken", "a\x00b"]


def call(model: Path, *calls: tuple[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the answers of signatures through the C library."""
    process = subprocess.run(
        [sys.executable, "-I", "-S", CLIENT, Path(tf.__file__).parent, model],
        input=json.dumps([{"signature": name, "inputs": inputs} for name, inputs in calls]),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert process.returncode == 0, process.stderr
    assert process.stderr.splitlines()[-1] == tf.__version__
    return [{name: encode(v) for name, v in answer.items()} for answer in json.loads(process.stdout)]


def encode(value: Any) -> Any:
    """Returns nested lists with texts as bytes."""
    if isinstance(value, list):
        return [encode(one) for one in value]
    return value.encode() if isinstance(value, str) else value


def test_signatures_answer_as_in_python(export):
    texts, source, target = {"text": LINES}, ["the cat", "a mat"], ["el gato", ""]
    answers = call(
        export.path,
        ("serving_default", texts),
        ("info", {}),
        ("tokenize", texts),
        ("encode", texts),
        ("score", {"source": source, "target": target}),
        ("detokenize", {"tokens": [[60, 61, 2], [62, 2, 0]]}),
    )
    raw = [os.fsencode(line) for line in LINES]
    expected = [
        export("serving_default", text=raw),
        export("info"),
        export("tokenize", text=raw),
        export("encode", text=raw),
        export("score", source=source, target=target),
        export("detokenize", tokens=[[60, 61, 2], [62, 2, 0]]),
    ]
    for answer, of_python in zip(answers, expected, strict=True):
        assert_same(answer, of_python)
