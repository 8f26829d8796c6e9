"""The checkpoint: weights, vocabularies and settings, from which a model is restored."""

from __future__ import annotations

from pathlib import Path

from bitext.components.artifacts import Model, Vocabulary
from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.model import Seq2Seq
from bitext.components.text.processor import TextPair, TextProcessor


def save(network: Seq2Seq, source: TextProcessor, target: TextProcessor, folder: Path) -> None:
    """Writes a model artifact's checkpoint.

    Args:
      network: the network.
      source, target: the text processors that the network was trained with.
      folder: folder of the artifact.
    """
    weights = {variable.path: variable.numpy() for variable in network.weights}
    vocabulary = Vocabulary(source.pieces(), target.pieces())
    Model(folder).write_checkpoint(network.settings, vocabulary, weights)


def restore(folder: Path, pair: TextPair) -> Seq2Seq:
    """Restores the network of a model artifact.

    Args:
      folder: folder of the artifact.
      pair: the text processors that the network was trained with.

    Raises:
      DataError: the files cannot be read, or belong to other text processors or another version of the model.
    """
    model = Model(folder)
    settings, weights = model.architecture(ModelSettings), model.weights()
    if model.vocabulary() != Vocabulary(pair.source.pieces(), pair.target.pieces()):
        raise model.damaged(
            model.vocabulary_file, "holds another vocabulary than the transform graph of the same run"
        )
    network = Seq2Seq(settings, pair.source.size(), pair.target.size(), pair.shared)
    shapes = {variable.path: tuple(variable.shape) for variable in network.weights}
    if shapes != {name: values.shape for name, values in weights.items()}:
        raise model.damaged(model.weights_file, "has weights whose names or shapes do not fit the settings")
    for variable in network.weights:
        variable.assign(weights[variable.path])
    return network
