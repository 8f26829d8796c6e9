"""Warm start: a new model begins with an earlier one's weights, whatever became of the vocabulary."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from components.errors import DataError
from components.seq2seq import SETTINGS_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from components.seq2seq.model import Seq2Seq
from components.text.processor import TextPair

_PER_TOKEN = {
    "seq2seq/source_embedding": "source",
    "seq2seq/target_embedding": "target",
    "seq2seq/output_embedding": "target",
    "seq2seq/output_bias": "target",
}
"""Weights with a row for every token, and whose tokens."""
_REMEDY = "begin with a model of the same trainer.model settings, or drop trainer.warm_start"


def warm_start(network: Seq2Seq, pair: TextPair, folder: Path) -> Iterator[str]:
    """Gives a new model the weights of an earlier one, and says what became of them.

    Rows of the embeddings and of the output layer follow their tokens; new tokens keep their first weights.
    Where one table now serves what several did, it begins with the target embedding's rows, and with the
    source embedding's for tokens that only the source had.

    Args:
      network: the new model, with its first weights.
      pair: the new model's text path.
      folder: the earlier model's artifact.

    Raises:
      DataError: the files cannot be read, or the architectures differ.
    """
    checkpoint = folder / "checkpoint"
    try:
        with np.load(checkpoint / WEIGHTS_FILE) as file:
            old = {name: file[name] for name in file.files}
        tokens = json.loads((checkpoint / VOCABULARY_FILE).read_text(encoding="utf-8"))
        before = {side: tokens[side] for side in ("source", "target")}
        settings = json.loads((checkpoint / SETTINGS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{checkpoint}: the weights to begin with cannot be read: {error}",
            "trainer.warm_start takes a Model artifact, runs/<name>/Trainer/model/<id>",
        ) from error
    _check_architecture(checkpoint / SETTINGS_FILE, settings, msgspec.to_builtins(network.settings))
    now = {"source": pair.source.pieces(), "target": pair.target.pieces()}
    for variable in network.weights:
        side, found = _PER_TOKEN.get(variable.path), old.get(variable.path)
        if found is None and variable.path.endswith("_embedding"):
            # One table served both sides before, or the output layer as well.
            found = old.get("seq2seq/target_embedding")
        expected = (len(before[side]) if side else variable.shape[0], *variable.shape[1:])
        if found is None or found.shape != expected:
            was = "missing" if found is None else f"of shape {list(found.shape)}"
            raise DataError(
                f"{checkpoint / WEIGHTS_FILE}: {variable.path} is {was}, and the model to train has "
                f"{list(variable.shape)}",
                _REMEDY,
            )
        if side is None:
            variable.assign(found)
            continue
        tables = [(found, before[side])]
        apart = old.get("seq2seq/source_embedding")
        if variable is network.source_embedding is network.target_embedding and apart is not None:
            tables.insert(0, (apart, before["source"]))
        rows, known = variable.numpy(), np.zeros(len(now[side]), bool)
        for table, names in tables:
            rows, found_here = _remap(table, rows, names, now[side])
            known |= found_here
        variable.assign(rows)
        if variable.path.endswith("_embedding"):
            name = variable.path.removeprefix("seq2seq/")
            yield f"{name}: {known.sum():,} of {len(now[side]):,} tokens were known to {folder}"


def _check_architecture(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuses a model whose weights mean something else, even where they have the same shapes.

    Dropouts may differ, and whether the output layer is the embedding.
    """
    for name, value in now.items():
        if name.endswith("_dropout") or name == "tie_embeddings" or before.get(name) == value:
            continue
        raise DataError(
            f"{path}: {name} is {before.get(name)}, and the model to train has {value}",
            _REMEDY,
        )


def _remap(
    old: np.ndarray, new: np.ndarray, before: list[str], now: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """`new` with the `old` rows of the tokens that were there before, and which those are: bool[len(now)]."""
    places = {token: place for place, token in enumerate(before)}
    known = np.array([token in places for token in now])
    rows = new.copy()
    rows[known] = old[[places[token] for token in now if token in places]]
    return rows, known
