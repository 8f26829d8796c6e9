"""Compares the settings with the size of the data: `steps: auto`, and warnings before the training starts."""

from __future__ import annotations

import dataclasses
import math

import msgspec

from bitext.components.artifacts import TransformedExamples
from bitext.components.shared import corpus_size
from bitext.components.trainer import Parameters
from bitext.components.trainer.data import SPLIT, Batches

MAX_PASSES = 500
"""More passes over the data than this are probably a mistake."""
MIN_UPDATES_PER_EPOCH = 10


@dataclasses.dataclass(frozen=True)
class DataSize:
    """The size of the training split.

    Attributes:
      pairs: number of sentence pairs.
      examples: number of examples: each pair once for each of its tokenizations.
      batches: number of batches of an epoch, which reads all examples.
    """

    pairs: int
    examples: int
    batches: int

    @classmethod
    def of(cls, examples: TransformedExamples, batches: Batches) -> DataSize:
        """Returns the size of the split that the batches are read from."""
        count = sum(bucket.examples for bucket in batches.buckets)
        return cls(int(examples.properties.get(f"{SPLIT}_examples", count)), count, batches.per_epoch)

    def updates_per_pass(self, accumulate: int) -> float:
        """Number of updates that read as many examples as there are pairs."""
        return self.batches * self.pairs / self.examples / accumulate


def with_steps(parameters: Parameters, size: DataSize) -> Parameters:
    """Returns the parameters with a number for `steps: auto`."""
    if parameters.steps != corpus_size.AUTO:
        return parameters
    per_pass = size.updates_per_pass(parameters.accumulate)
    steps = corpus_size.steps(size.pairs, per_pass, parameters.schedule.warmup_steps)
    return msgspec.structs.replace(parameters, steps=steps)


def data_warnings(parameters: Parameters, size: DataSize) -> list[str]:
    """Returns a warning for each setting that does not fit the data, with what would fit."""
    return [
        *_validation_warnings(parameters),
        *_pass_warnings(parameters, size),
        *_batch_warnings(parameters, size),
    ]


def _validation_warnings(parameters: Parameters) -> list[str]:
    every, steps = parameters.validation.every, parameters.step_count
    if every <= steps:
        return []
    fitting = max(1, steps // 10)
    return [
        f"validation.every {every:,} is above steps {steps:,}: the model is validated once, at the end, so "
        f"nothing can stop the training early; {fitting:,} would fit"
    ]


def _pass_warnings(parameters: Parameters, size: DataSize) -> list[str]:
    per_pass = size.updates_per_pass(parameters.accumulate)
    passes = parameters.step_count / per_pass
    fitting = corpus_size.steps(size.pairs, per_pass, parameters.schedule.warmup_steps)
    advice = f"{fitting:,} steps would fit (`steps: auto`)"
    if passes > MAX_PASSES:
        return [
            f"steps {parameters.step_count:,} read the {size.pairs:,} pairs {passes:,.0f} times; {advice}"
        ]
    if passes < 1:
        return [
            f"steps {parameters.step_count:,} read {passes:.1%} of the {size.pairs:,} pairs: one pass takes "
            f"{math.ceil(per_pass):,} steps; {advice}"
        ]
    return []


def _batch_warnings(parameters: Parameters, size: DataSize) -> list[str]:
    p, sentences = parameters, size.examples / size.batches
    parts = p.replicas * p.distribute.workers * p.distribute.devices
    if sentences < parts:
        tokens = math.ceil(p.batch_tokens * 2 * parts / sentences)
        of_all = "" if parts == p.replicas else " of all workers and devices"
        return [
            f"batch_tokens {p.batch_tokens:,} is {sentences:.1f} pairs a batch on average, too few for "
            f"{parts} replicas{of_all}; batch_tokens {tokens:,} would fit, or fewer replicas"
        ]
    updates = size.batches / p.accumulate
    # Less than a pair a batch does not help, and each shape has a batch of its own.
    fitting = int(p.batch_tokens * updates / MIN_UPDATES_PER_EPOCH)
    if updates >= MIN_UPDATES_PER_EPOCH or sentences * updates / MIN_UPDATES_PER_EPOCH < 2 * parts:
        return []
    what = "accumulate 1" if p.accumulate > 1 else f"batch_tokens {max(1, fitting):,}"
    return [
        f"an epoch has only {updates:.1f} updates, because a batch of batch_tokens {p.batch_tokens:,} has "
        f"{sentences:,.0f} of {size.examples:,} examples; {what} would fit"
    ]
