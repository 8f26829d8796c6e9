"""The report of `bitext show subwords`: how a text is normalized and cut into pieces of the vocabulary."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bitext.components.artifacts import TransformGraph, source_vocabulary_file
from bitext.components.shared.errors import DataError
from bitext.components.text import EOS_ID, SPECIALS, UNK_ID
from bitext.components.text.normalization import normalize
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.reports.show.outputs import outputs_of
from bitext.pipeline.reports.show.tables import shown, table
from bitext.pipeline.reports.show.vocabulary import read_pieces

FIRST_BYTE, BYTES = len(SPECIALS), 256


@dataclasses.dataclass(frozen=True)
class Cut:
    """A text that is cut into pieces.

    Attributes:
      normalized: the text after normalization.
      ids: the id of each piece, without `</s>`.
      pieces: the pieces.
    """

    normalized: str
    ids: list[int]
    pieces: list[str]


def of_run(config: PipelineConfig, run_id: str | None, texts: Sequence[str]) -> dict[str, Any]:
    """Returns the report about the vocabulary of a run as an object that JSON can hold.

    Returns:
      `run`, `model` (null), `source_max_length`, and `texts`, each with `text` and `sides`: of `source` and
      `target`, `normalized`, `ids`, `pieces`, `tokens` (their number, `</s>` included), `unknown` (words that
      the vocabulary does not have) and `in_bytes` (characters that it does not have, which became bytes).

    Raises:
      ConfigError: there is no such run.
      DataError: no run has a vocabulary, or a file is damaged.
    """
    outputs = outputs_of(config, TransformGraph, run_id)
    graph = outputs.artifacts[-1]
    import tensorflow as tf

    from bitext.components.text.processor import load_text_pair

    pair, text = load_text_pair(graph.path), graph.text()
    sides: dict[str, list[Cut]] = {}
    for name, processor, files in (
        ("source", pair.source, text.source),
        ("target", pair.target, text.target),
    ):
        pieces = read_pieces(graph, files)
        values = tf.constant([encoded(text) for text in texts])
        normalized = [value.decode() for value in processor.normalize(values).numpy().tolist()]
        ids = processor.tokenize(values).to_list()
        sides[name] = [
            Cut(line, row, [pieces[i] for i in row]) for line, row in zip(normalized, ids, strict=True)
        ]
    return {
        "run": outputs.run.run_id,
        "model": None,
        "source_max_length": pair.source_max_length,
        "texts": _texts(texts, sides, has_bytes=text.settings.unit != "word"),
    }


def of_model(model: Path, texts: Sequence[str], *, trusted: bool) -> dict[str, Any]:
    """Returns the report about a SavedModel, as `of_run`. It has the source side only, and `run` is null.

    Raises:
      DataError: there is no model, or it is damaged, not trusted, or not exported by bitext.
    """
    from bitext.components.translation.translator import LineTranslator

    translator = LineTranslator(model, trusted=trusted)
    file = source_vocabulary_file(translator.path)
    if file is None:
        raise DataError(
            f"the model at {translator.path} has no vocabulary file of bitext among its assets",
            "name a model that bitext exported",
        )
    pieces = file.read_bytes().decode().removesuffix("\n").split("\n")
    ids = [[i for i in row if i != EOS_ID] for row in _source_ids(translator, texts)]
    cuts = [Cut(normalize(text), row, [pieces[i] for i in row]) for text, row in zip(texts, ids, strict=True)]
    return {
        "run": None,
        "model": str(translator.path),
        "source_max_length": translator.source_max_length,
        "texts": _texts(texts, {"source": cuts}, has_bytes=_has_bytes(pieces)),
    }


def encoded(text: str) -> bytes:
    """Returns a text as UTF-8. Bytes of the command line that are not UTF-8 stay as they are."""
    return text.encode("utf-8", "surrogateescape")


def _source_ids(translator: Any, texts: Sequence[str]) -> list[list[int]]:
    outputs = translator.tokenize([encoded(text) for text in texts])
    rows = zip(outputs["tokens"].tolist(), outputs["length"].tolist(), strict=True)
    return [tokens[:length] for tokens, length in rows]


def _has_bytes(pieces: Sequence[str]) -> bool:
    return pieces[FIRST_BYTE : FIRST_BYTE + 1] == ["<0x00>"]


def _texts(texts: Sequence[str], sides: dict[str, list[Cut]], has_bytes: bool) -> list[dict[str, Any]]:
    return [
        {"text": text, "sides": {side: _side(cuts[index], has_bytes) for side, cuts in sides.items()}}
        for index, text in enumerate(texts)
    ]


def _side(cut: Cut, has_bytes: bool) -> dict[str, Any]:
    return {
        "normalized": cut.normalized,
        "ids": cut.ids,
        "pieces": cut.pieces,
        "tokens": len(cut.ids) + 1,
        "unknown": sum(i == UNK_ID for i in cut.ids),
        "in_bytes": spelled_in_bytes(cut.ids) if has_bytes else [],
    }


def spelled_in_bytes(ids: Sequence[int]) -> list[str]:
    """Returns the characters whose bytes are among the ids, in order."""
    is_byte = [FIRST_BYTE <= i < FIRST_BYTE + BYTES for i in ids]
    characters: list[str] = []
    for group, run in itertools.groupby(zip(is_byte, ids, strict=True), key=lambda pair: pair[0]):
        if group:
            characters += bytes(i - FIRST_BYTE for _, i in run).decode("utf-8", "replace")
    return characters


def render(report: dict[str, Any]) -> str:
    """Returns the report as text."""
    origin = f"run {report['run']}" if report["run"] else f"source side of {report['model']}"
    limit = report["source_max_length"]
    lines = [origin + (f", at most {limit} source tokens" if limit else "")]
    for text in report["texts"]:
        sides = text["sides"]
        lines += ["", shown(text["text"])]
        same = len(sides) > 1 and sides["source"] == sides["target"]
        for name, side in sides.items():
            if same and name == "target":
                continue
            lines += _side_lines("both sides" if same else name, side)
            if name == "source" and limit and side["tokens"] > limit:
                lines.append(
                    f"    longer than the model reads: its last {side['tokens'] - limit} tokens are cut"
                )
    return "\n".join(lines)


def _side_lines(name: str, side: dict[str, Any]) -> list[str]:
    lines = [f"  {name}: {side['tokens']} token{'s' * (side['tokens'] != 1)} with </s>"]
    if side["pieces"]:
        pieces = [[str(i), shown(piece)] for i, piece in zip(side["ids"], side["pieces"], strict=True)]
        lines.append(f"    normalized  {shown(side['normalized'])}")
        lines += table(["id", "piece"], pieces, right=(0,), indent="    ")
    if side["unknown"]:
        lines.append(f"    {side['unknown']} unknown: the vocabulary does not have the word")
    if side["in_bytes"]:
        characters = " ".join(shown(character) for character in side["in_bytes"])
        lines.append(f"    not in the vocabulary, so in bytes: {characters}")
    return lines
