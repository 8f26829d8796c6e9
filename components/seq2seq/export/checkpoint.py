"""The checkpoint: weights, vocabularies and settings, from which a model is restored."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import msgspec
import numpy as np

from bitext.components.seq2seq import SETTINGS_FILE, VOCABULARY_FILE, WEIGHTS_FILE, ModelSettings
from bitext.components.seq2seq.model import Seq2Seq
from bitext.components.shared.errors import DataError
from bitext.components.text.processor import TextPair, TextProcessor


def save(network: Seq2Seq, source: TextProcessor, target: TextProcessor, folder: Path) -> None:
    """Writes a model artifact's `checkpoint` folder."""
    checkpoint = folder / "checkpoint"
    checkpoint.mkdir()
    np.savez(checkpoint / WEIGHTS_FILE, **{v.path: v.numpy() for v in network.weights})
    tokens = {"source": source.pieces(), "target": target.pieces()}
    (checkpoint / VOCABULARY_FILE).write_text(json.dumps(tokens, ensure_ascii=False), encoding="utf-8")
    (checkpoint / SETTINGS_FILE).write_bytes(msgspec.json.encode(network.settings))


def restore(folder: Path, pair: TextPair) -> Seq2Seq:
    """Restores the network of a model artifact.

    Args:
      folder: of the artifact.
      pair: the text path that the model was trained with.

    Raises:
      DataError: the files cannot be read, or they belong to another text path or another architecture.
    """
    checkpoint = folder / "checkpoint"
    try:
        settings = msgspec.json.decode((checkpoint / SETTINGS_FILE).read_bytes(), type=ModelSettings)
        tokens = json.loads((checkpoint / VOCABULARY_FILE).read_text(encoding="utf-8"))
        with np.load(checkpoint / WEIGHTS_FILE) as file:
            weights = {name: file[name] for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{checkpoint}: the model cannot be read: {error}", "train the model again: bitext run"
        ) from error
    if tokens != {"source": pair.source.pieces(), "target": pair.target.pieces()}:
        raise DataError(
            f"{checkpoint / VOCABULARY_FILE}: the vocabulary is not the one of the text path",
            "use the transform graph of the same run",
        )
    network = Seq2Seq(settings, pair.source.size(), pair.target.size(), pair.shared)
    shapes = {v.path: tuple(v.shape) for v in network.weights}
    if shapes != {name: values.shape for name, values in weights.items()}:
        raise DataError(
            f"{checkpoint / WEIGHTS_FILE}: names or shapes of the weights do not fit the settings",
            "train the model again: bitext run",
        )
    for variable in network.weights:
        variable.assign(weights[variable.path])
    return network
