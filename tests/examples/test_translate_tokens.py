"""The client of `bitext export`'s folders tokenizes and detokenizes as the SavedModel does.

That it translates with a runtime is tested in tests/e2e/test_token_formats.py.
"""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf

from bitext.components.text import TextSettings, learn
from bitext.components.text.processor import TextProcessor

EXAMPLE = Path(__file__).parents[2] / "examples" / "translate_tokens.py"
WORDS = {"▁the": 9, "▁cat": 4, "▁songs": 2, "▁don't": 3, "▁señor": 2, "▁кіт": 2, "▁12": 2, ".": 5, "▁«": 1}
LINES = [
    "",
    " the  cat\tsat ",
    "don’t “sing” songs… ½ x² 12٣ IV.",
    "e\u0301a\u0308\u0323 se\u00f1or so\u00adft\u200b",
    "x" * 40 + " " + "e\u0323" * 40,
    "__▁ ' '' a'b'c 'n' l'été",
    "кіт, 猫 🦔 \u0001!",
]


@pytest.fixture(scope="module", params=["subword", "character", "word"])
def paths(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, TextProcessor]:
    """The text path of the example, and that of the SavedModel."""
    folder, settings = tmp_path_factory.mktemp("folder"), TextSettings(unit=request.param)
    vocabulary = learn.learn(WORDS, settings, 300)
    (folder / "vocabulary").write_bytes(vocabulary.vocabulary_file())
    (folder / "merges").write_bytes(vocabulary.merges_file())
    side = {"merges": "merges", "segmentation": {"split": "pretokens", "symbols": []}}
    shown = {"unit": settings.unit, "lowercase": False, "fold_quotes": True}
    text = {
        "settings": shown | {"whole_tokens": [], "whole_token_pattern": ""},
        "source": side,
        "target": side,
    }
    (folder / "text.json").write_text(json.dumps(text))
    pieces = list(vocabulary.pieces)
    (folder / "vocabulary.json").write_text(json.dumps({"source": pieces, "target": pieces}))
    example = runpy.run_path(str(EXAMPLE))["Text"](folder)
    return example, TextProcessor(settings, str(folder / "vocabulary"), str(folder / "merges"))


def assert_same(paths: tuple[Any, TextProcessor], line: str) -> None:
    example, processor = paths
    tokens = processor.tokenize(tf.constant([line.encode()])).to_list()[0]
    assert example.tokenize(line) == tokens
    text = processor.detokenize(tf.constant([tokens], tf.int32, [1, len(tokens)])).numpy()[0].decode()
    assert example.detokenize(tokens) == text


@pytest.mark.parametrize("line", LINES)
def test_ordinary_lines(paths: tuple[Any, TextProcessor], line: str) -> None:
    assert_same(paths, line)


CHARACTERS = "".join({*"".join(LINES)} - {"\n"}) + "abcdeñüß"


@hypothesis.given(st.text(CHARACTERS, max_size=60))
@hypothesis.settings(max_examples=100)
def test_any_text_of_such_characters(paths: tuple[Any, TextProcessor], line: str) -> None:
    assert_same(paths, line)


@pytest.mark.parametrize(
    "change", [{"whole_tokens": ["{name}"]}, {"whole_token_pattern": "x+"}, {"segmentation": "spaces"}]
)
def test_another_vocabulary_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    split = change.pop("segmentation", "pretokens")
    settings = {"unit": "subword", "whole_tokens": [], "whole_token_pattern": "", **change}
    side = {"merges": "merges", "segmentation": {"split": split, "symbols": []}}
    (tmp_path / "text.json").write_text(json.dumps({"settings": settings, "source": side}))
    (tmp_path / "vocabulary.json").write_text(json.dumps({"source": [], "target": []}))
    with pytest.raises(SystemExit, match="knows neither"):
        runpy.run_path(str(EXAMPLE))["Text"](tmp_path)


@pytest.mark.parametrize(
    ("search", "expected"),
    [
        ({"min_length": 1}, []),
        ({"min_length": 4}, [7, 7, 7]),
        ({"min_length": 99}, [7] * 9),
        ({"min_length": 99, "max_length": 50, "max_length_factor": 2}, [7] * 50),
        ({"min_length": 14, "max_length": 50, "max_length_factor": 2}, [7] * 13),
        ({"min_length": 20, "max_length": 50, "max_length_factor": 1}, [7] * 19),
    ],
)
def test_the_search_keeps_to_its_lengths(search: dict[str, int], expected: list[int]) -> None:
    """The model prefers `<pad>`, then `<s>`, then `</s>`, then the token 7."""
    about = {
        "special_tokens": {"pad": 0, "bos": 1, "eos": 2, "unk": 3},
        "search": {"max_length": 9, "max_length_factor": 0, **search},
        "source_max_length": 4,
        "memory": ["memory"],
        "state": {"state": "next_state"},
    }
    read: list[Any] = []

    def encode(inputs: Any) -> dict[str, np.ndarray]:
        assert inputs["tokens"].tolist() == [[8, 9, 10, 2]]
        assert inputs["length"].tolist() == [4]
        return {"memory": np.zeros([1, 4, 3]), "state": np.zeros([1, 1]), "another": np.zeros(1)}

    def step(inputs: Any) -> dict[str, np.ndarray]:
        assert set(inputs) == {"token", "memory", "state"}
        read.append(int(inputs["state"][0, 0]))
        log_probs = np.array([[-1.0, -2, -3, -9, -9, -9, -9, -4]])
        return {"log_probs": log_probs, "next_state": inputs["state"] + 1}

    assert runpy.run_path(str(EXAMPLE))["greedy"](encode, step, about, [8, 9, 10, 11, 12]) == expected
    assert read == [*range(len(read))]
