"""The README of an exported folder describes the text path of its vocabulary, and the search."""

from __future__ import annotations

import msgspec
import pytest

from bitext.components.artifacts import Segmentation, SideFiles, TextFile
from bitext.components.exporter import readme
from bitext.components.exporter.token_formats import TOKEN_FORMATS
from bitext.components.seq2seq import SearchSettings
from bitext.components.seq2seq.export.token_graphs import Description, GraphDescription
from bitext.components.text import TextSettings

SIDE = SideFiles(vocabulary="vocabulary-1.txt", merges="merges-1.txt", size=400)
TEXT = TextFile(settings=TextSettings(), shared=True, source_max_length=60, source=SIDE, target=SIDE)
ABOUT = Description(
    format="onnx",
    graphs={name: GraphDescription(f"{name}.onnx", {}, {}) for name in ("encode_tokens", "decode_step")},
    memory=["memory"],
    state={"state": "next_state"},
    special_tokens={"pad": 0, "bos": 1, "eos": 2, "unk": 3},
    source_max_length=60,
    source_vocabulary_size=400,
    search=SearchSettings(min_length=4, max_length=70, max_length_factor=2),
)


def rendered(text: TextFile) -> str:
    content = readme.render(TOKEN_FORMATS["onnx"], ABOUT, text)
    assert "{" not in content
    return content


def test_the_search_has_its_numbers() -> None:
    content = " ".join(rendered(TEXT).split())
    assert "`encode_tokens.onnx`, `decode_step.onnx`" in content
    assert "Keep at most 59 ids and append 2 (`</s>`)" in content
    assert "while a translation has fewer tokens than 4 - 1" in content
    assert "or the translation has 70 tokens, or 2 * length + 10 if that is less." in content


@pytest.mark.parametrize(
    ("settings", "segmentation", "shown", "hidden"),
    [
        ({}, {}, ["Split into pretokens", "KEY", "as bytes"], ["not split", "did not learn", "lower case"]),
        ({"unit": "word", "lowercase": True}, {}, ["`<unk>`", "lower case"], ["KEY", "as bytes"]),
        ({"whole_tokens": ("x",)}, {}, ["not split", "KEY"], ["did not learn"]),
        ({}, {"split": "nothing", "model": "unigram"}, ["did not learn", "as bytes"], ["KEY", "Split into"]),
    ],
)
def test_the_text_path_is_that_of_the_vocabulary(
    settings: dict[str, object], segmentation: dict[str, object], shown: list[str], hidden: list[str]
) -> None:
    side = msgspec.structs.replace(SIDE, segmentation=Segmentation(**segmentation))  # type: ignore[arg-type]
    changed = TextSettings(**settings)  # type: ignore[arg-type]
    content = rendered(msgspec.structs.replace(TEXT, settings=changed, source=side, target=side))
    assert [words for words in shown if words not in content] == []
    assert [words for words in hidden if words in content] == []


def test_only_tfjs_has_a_client_in_javascript() -> None:
    content = readme.render(TOKEN_FORMATS["tfjs"], ABOUT, TEXT)
    assert "TensorFlow.js" in content
    assert "echo '[[TOKEN, ..., 2], ...]' | node greedy.mjs" in content
    assert "greedy.mjs" not in rendered(TEXT)
