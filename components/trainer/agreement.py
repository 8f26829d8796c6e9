"""What the workers of a training compare, or take from the chief, before the first update.

Each function is called by all workers, in this order.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np
import tensorflow as tf

from bitext.components.artifacts import TransformedExamples
from bitext.components.seq2seq.model import Seq2Seq
from bitext.components.trainer import Parameters
from bitext.components.trainer.data import SPLIT
from bitext.components.trainer.distribution import Distribution


def compare(distribution: Distribution, parameters: Parameters, examples: TransformedExamples) -> None:
    """Checks that all workers have the same parameters and the same training data.

    Raises:
      ConfigError: a worker has others than the chief.
      EnvironmentFault: a worker is gone.
    """
    if distribution.workers == 1:
        return
    distribution.check_equal(
        msgspec.json.encode(parameters, order="deterministic"),
        "{} has other parameters of the Trainer than the chief",
        "start all workers again: they take the parameters from the chief",
    )
    distribution.check_equal(
        examples.split_digest(SPLIT).encode(),
        "{} has other training data than the chief",
        "give all workers the same root, or one file system that shows them the same files",
    )


def network_of_chief(distribution: Distribution, parameters: Parameters, network: Seq2Seq | None) -> Seq2Seq:
    """Returns the network to train, with the sizes of the vocabularies that the chief has.

    Args:
      distribution: the workers.
      parameters: the parameters in effect.
      network: the network of the chief, with its initial weights; None: this is no chief.
    """
    numbers: list[int] = [] if network is None else list(network.sizes)
    source_size, target_size, shared, _ = distribution.exchange(numbers)[0].tolist()
    with distribution.scope():
        trained = Seq2Seq(parameters.model, source_size, target_size, bool(shared))
    if network is not None:
        trained.take_weights(network)
    return trained


def frozen_rows_of_chief(
    distribution: Distribution, parameters: Parameters, network: Seq2Seq, frozen: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns the frozen rows of the embeddings, which the chief knows.

    Args:
      distribution: the workers.
      parameters: the parameters in effect.
      network: the network to train.
      frozen: of the chief, by the path of a variable, whether each row stays as it is, bool[V].
    """
    if not parameters.embeddings.freeze or distribution.workers == 1:
        return dict(frozen)
    rows = {}
    for side, file in (("source", parameters.embeddings.source), ("target", parameters.embeddings.target)):
        embedding = getattr(network, f"{side}_embedding")
        if file and embedding.path not in rows:
            own = frozen.get(embedding.path, np.zeros(embedding.shape[0], bool))
            with distribution.scope():
                sent = tf.Variable(tf.constant(own, tf.float32), trainable=False)
            distribution.broadcast([sent])
            rows[embedding.path] = sent.numpy() > 0
    return rows
