"""Translates lines of standard input with a folder of `bitext export --format onnx` or `openvino`.

Usage: python examples/translate_tokens.py FOLDER < lines
It needs the folder, NumPy, and `pip install onnxruntime` or `pip install openvino`. The search is greedy.
Text is normalized as far as ordinary text needs it; README.md in the folder names all rules.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[Mapping[str, Any]], dict[str, np.ndarray]]
QUOTES = str.maketrans(dict.fromkeys("‘’‚‛′´ʻʼʽ", "'") | dict.fromkeys("“”„‟″ˮ⹂", '"'))
INVISIBLE = str.maketrans(dict.fromkeys("\u00ad\u200b\u200e\u200f\u2060\ufeff", "") | {"▁": "_"})
PRETOKEN = re.compile("_?[LM][LMJ]*(?:'[LM][LMJ]*)*|_?N+|_?[OJ']+")  # over the kinds of the characters
CUT = re.compile(".{32}[MJ]{0,8}|.+")


def load(path: Path, form: str) -> Run:
    """Loads a graph into its runtime. It is called with arrays by name, and returns arrays by name."""
    if form == "onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        outputs = [output.name for output in session.get_outputs()]
        return lambda inputs: dict(zip(outputs, session.run(outputs, inputs)))
    import openvino

    model = openvino.Core().compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    ports = [(name, port) for port in model.outputs for name in port.get_names()]

    def run(inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        results = model(inputs)
        return {name: results[port] for name, port in ports}

    return run


class Text:
    """The text path of a vocabulary that bitext learned."""

    def __init__(self, folder: Path):
        text, vocabulary = (
            json.loads((folder / f).read_text("utf-8")) for f in ("text.json", "vocabulary.json")
        )
        self.settings, side = text["settings"], text["source"]
        is_learned = side["segmentation"]["split"] == "pretokens" and not side["segmentation"]["symbols"]
        if not is_learned or self.settings["whole_tokens"] or self.settings["whole_token_pattern"]:
            sys.exit("this client knows neither vocabularies of other programs nor tokens that stay whole")
        self.ids = {piece: token for token, piece in enumerate(vocabulary["source"])}
        self.pieces, self.is_spelled = vocabulary["target"], self.settings["unit"] != "word"
        lines = (folder / side["merges"]).read_text("utf-8").splitlines()
        self.merges = {int(key): int(value) for key, value in (line.split("\t") for line in lines)}

    def tokenize(self, line: str) -> list[int]:
        text = self.normalize(line.translate(INVISIBLE))
        text = text.lower() if self.settings["lowercase"] else text
        text = "▁" + text.replace(" ", "▁") if text else ""
        kinds = "".join(map(self.kind, text))
        found = [m.start() + c.end() for m in PRETOKEN.finditer(kinds) for c in CUT.finditer(m[0])]
        words = [text[start:end] for start, end in zip([0, *found], found)]
        return [token for word in words for token in self.encode(word)]

    def encode(self, word: str) -> list[int]:
        """Byte-pair encoding: the pair with the smallest value in the merges file merges first."""
        if not self.is_spelled:
            return [self.ids.get(word, 3)]
        spelled = [[self.ids[c]] if c in self.ids else [4 + byte for byte in c.encode()] for c in word]
        tokens = [token for character in spelled for token in character]
        while pairs := {i: self.merges[k] for i, k in enumerate(self.keys(tokens)) if k in self.merges}:
            first = min(pairs, key=lambda i: (pairs[i], i))
            tokens[first : first + 2] = [pairs[first] % 2**32]
        return tokens

    def detokenize(self, tokens: list[int]) -> str:
        is_byte = [self.is_spelled and 4 <= token < 260 for token in tokens]
        pieces = [bytes([t - 4]) if byte else self.pieces[t].encode() for t, byte in zip(tokens, is_byte)]
        text = b"".join(pieces).decode(errors="replace").replace("<unk>", "▁⁇").replace("▁", " ")
        return self.normalize(text)

    def normalize(self, text: str) -> str:
        text = "".join(" " if unicodedata.category(c) in ("Cc", "Zs", "Zl", "Zp") else c for c in text)
        text = unicodedata.normalize("NFC", text.translate(QUOTES) if self.settings["fold_quotes"] else text)
        return " ".join(text.split())

    @staticmethod
    def keys(tokens: list[int]) -> list[int]:
        return [left * 2**32 + right for left, right in itertools.pairwise(tokens)]

    @staticmethod
    def kind(character: str) -> str:
        if character in "'’":
            return "'"
        kind = "_" if character == "▁" else "J" if character in "\u180e\u200c\u200d" else ""
        return kind or {"L": "L", "M": "M", "N": "N"}.get(unicodedata.category(character)[0], "O")


def greedy(encode: Run, step: Run, about: dict[str, Any], source: list[int]) -> list[int]:
    """Returns the tokens of the translation of one sentence, without `</s>`."""
    special, search = about["special_tokens"], about["search"]
    source = [*source[: about["source_max_length"] - 1], special["eos"]]
    limit = search["max_length"]
    if search["max_length_factor"]:
        limit = min(limit, max(search["max_length_factor"] * len(source) + 10, search["min_length"]))
    encoded = encode({"tokens": np.array([source], np.int32), "length": np.array([len(source)], np.int32)})
    state = {name: encoded[name] for name in [*about["memory"], *about["state"]]}
    tokens = [special["bos"]]
    while tokens[-1] != special["eos"] and len(tokens) <= limit:
        out = step({"token": np.array(tokens[-1:], np.int32), **state})
        state |= {name: out[output] for name, output in about["state"].items()}
        scores = out["log_probs"][0]
        scores[[special["pad"], special["bos"]]] = -np.inf
        scores[special["eos"]] -= np.inf if len(tokens) < search["min_length"] else 0
        tokens.append(int(scores.argmax()))
    return [token for token in tokens[1:] if token != special["eos"]]


def main(folder: Path) -> None:
    about, text = json.loads((folder / "signatures.json").read_text("utf-8")), Text(folder)
    encode, step = (load(folder / graph["file"], about["format"]) for graph in about["graphs"].values())
    for line in sys.stdin:
        tokens = text.tokenize(line)
        print(text.detokenize(greedy(encode, step, about, tokens)) if tokens else "", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
