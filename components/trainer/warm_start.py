"""Warm start: whether a training begins with an earlier model's weights, and how, whatever became of the
vocabulary.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bitext.components.artifacts import Model
from bitext.components.seq2seq import SETTINGS_FILE, VOCABULARY_FILE, WEIGHTS_FILE
from bitext.components.seq2seq.model import Seq2Seq
from bitext.components.shared.errors import DataError
from bitext.components.text.processor import TextPair
from bitext.components.trainer import LAST_BLESSED, MOST_SEEDS, Parameters

_PER_TOKEN = {
    "seq2seq/source_embedding": "source",
    "seq2seq/target_embedding": "target",
    "seq2seq/output_embedding": "target",
    "seq2seq/output_bias": "target",
}
"""Weights with a row for every token, and whose tokens."""
_REMEDY = "begin with a model of the same trainer.model settings, or drop trainer.warm_start"


@dataclasses.dataclass(frozen=True)
class Start:
    """What a training begins with.

    Attributes:
      parameters: in effect: updates, learning rate, warm-up and seed are those of this training.
      folder: the earlier model's artifact; None: from scratch.
      warm_starts: trainings, each begun with the one before, since one from scratch.
      digest: of the last blessed model, if the training begins with it and its digest is on record.
      why: why a training told to begin with the last blessed model begins from scratch; empty: it does not.
    """

    parameters: Parameters
    folder: Path | None = None
    warm_starts: int = 0
    digest: str | None = None
    why: str = ""


def start(parameters: Parameters, base: Model | None) -> Start:
    """Decides what a training begins with.

    Args:
      parameters: as configured.
      base: the model now served, if there is one, and no training from scratch is due.
    """
    if parameters.warm_start is None:
        return Start(parameters)
    if parameters.warm_start != LAST_BLESSED:
        return Start(parameters, Path(parameters.warm_start), 1)
    count = int(base.properties.get("warm_starts", 0)) + 1 if base else 0
    why = _against(parameters, base)
    changes: dict[str, Any] = {"warm_steps": None, "warm_learning_rate": None}
    if base is None or why:
        changes |= {"warm_start": None, "from_scratch_every": 0}
        return Start(msgspec.structs.replace(parameters, **changes), why=why)
    steps = parameters.warm_steps or parameters.steps
    changes |= {
        "steps": steps,
        "warmup_steps": parameters.warmup_steps * steps // parameters.steps,
        "learning_rate": parameters.warm_learning_rate or parameters.learning_rate / 4,
        "seed": (parameters.seed + count - 1) % MOST_SEEDS + 1,
    }
    return Start(msgspec.structs.replace(parameters, **changes), base.path, count, base.digest)


def _against(parameters: Parameters, base: Model | None) -> str:
    """Why a training cannot begin with the model now served; empty if it can."""
    if base is None:
        every = parameters.from_scratch_every
        turn = f", or this is the one training in {every} (from_scratch_every)" if every else ""
        return f"no model is served yet{turn}"
    path = base.path / "checkpoint" / SETTINGS_FILE
    if not path.is_file():
        return f"the model now served is gone from {base.path}"
    if difference := _difference(_settings(path), msgspec.to_builtins(parameters.model)):
        return f"the model now served is of another architecture: {difference}"
    return ""


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
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise _unreadable(checkpoint, error) from error
    path = checkpoint / SETTINGS_FILE
    if difference := _difference(_settings(path), msgspec.to_builtins(network.settings)):
        raise DataError(f"{path}: {difference}", _REMEDY)
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


def _settings(path: Path) -> dict[str, Any]:
    """The architecture of an earlier model."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        return dict(settings)
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(path.parent, error) from error


def _unreadable(checkpoint: Path, error: Exception) -> DataError:
    return DataError(
        f"{checkpoint}: the weights to begin with cannot be read: {error}",
        "trainer.warm_start takes a Model artifact, runs/<name>/Trainer/model/<id>",
    )


def _difference(before: dict[str, Any], now: dict[str, Any]) -> str:
    """What makes an earlier model's weights mean something else, even where they have the same shapes.

    Dropouts may differ, and whether the output layer is the embedding.
    """
    for name, value in now.items():
        if not (name.endswith("_dropout") or name == "tie_embeddings" or before.get(name) == value):
            return f"{name} is {before.get(name)}, and the model to train has {value}"
    return ""


def _remap(
    old: np.ndarray, new: np.ndarray, before: list[str], now: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """`new` with the `old` rows of the tokens that were there before, and which those are: bool[len(now)]."""
    places = {token: place for place, token in enumerate(before)}
    known = np.array([token in places for token in now])
    rows = new.copy()
    rows[known] = old[[places[token] for token in now if token in places]]
    return rows, known
