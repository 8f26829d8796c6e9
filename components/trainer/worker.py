"""A worker of a distributed training other than the chief: it makes the updates, and nothing else."""

from __future__ import annotations

import contextlib

import keras
import tensorflow as tf

from bitext.components.artifacts import TransformedExamples
from bitext.components.component import Context
from bitext.components.trainer import Parameters, agreement
from bitext.components.trainer.data import Batches
from bitext.components.trainer.distribution import Distribution
from bitext.components.trainer.precision import matmul_precision
from bitext.components.trainer.updates import Updates


def train(
    parameters: Parameters, context: Context, examples: TransformedExamples, distribution: Distribution
) -> None:
    """Trains together with the chief.

    Args:
      parameters: the parameters in effect, from the chief.
      context: shows how far the training is.
      examples: the training data.
      distribution: the processes that train together.

    Raises:
      ConfigError: parameters, data or weights differ from those of the chief.
      DataError: the training data is damaged.
      EnvironmentFault: the chief or another worker is gone.
    """
    tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(parameters.seed)  # the order of the batches depends on it
    place = distribution.workers, distribution.index
    batches = Batches.open(examples, parameters.batch_tokens, parameters.seed, *place)
    agreement.compare(distribution, parameters, examples)
    network = agreement.network_of_chief(distribution, parameters, None)
    frozen = agreement.frozen_rows_of_chief(distribution, parameters, network, {})
    with matmul_precision(parameters.precision):
        Worker(network, parameters, batches, frozen=frozen, distribution=distribution).train(context)


class Worker(Updates):
    """Trains together with the chief, from which it takes the weights and when to stop.

    The weights of its model need no initial values.
    """

    def train(self, context: Context) -> None:
        """Trains until the chief ends.

        Raises:
          ConfigError: the weights differ from those of the chief.
          DataError: a file of the training data is damaged.
          EnvironmentFault: the chief or another worker is gone.
        """
        p = self.parameters
        stopped, step = self.receive_state(), self.step
        shown = context.progress("updates", p.step_count, step, is_drawn=p.progress)
        batches = contextlib.closing(self.batches.read_ahead(step * p.accumulate))
        with shown as progress, batches as ahead:
            while step < p.step_count and not stopped:
                self.update_together(ahead)
                step += 1
                progress.advance()
                if step % p.validation.every == 0 or step == p.step_count:
                    stopped = self.synchronize()
