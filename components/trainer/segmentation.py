"""Subword regularization while reading: each pass over the training data tokenizes its pairs anew."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from bitext.components.artifacts import Bucket
from bitext.components.shared.errors import ConfigError
from bitext.components.text.bpe_dropout import BpeDropout
from bitext.components.text.processor import TextPair, TextProcessor
from bitext.components.trainer import Parameters


@dataclasses.dataclass(frozen=True)
class Segmenter:
    """Tokenizes batches again by BPE-dropout.

    Attributes:
      source, target: the tokenization of each side; the same object if they share a vocabulary.
      source_limit, target_limit: the most ids of a row; one that would have more keeps its tokenization.
      keeps_served: whether a batch keeps the source as it is tokenized in serving, too.
    """

    source: BpeDropout
    target: BpeDropout
    source_limit: int
    target_limit: int
    keeps_served: bool = False

    @classmethod
    def of(cls, pair: TextPair, parameters: Parameters, buckets: Sequence[Bucket]) -> Segmenter | None:
        """Returns the segmenter for training data in `buckets`; None without `subword_dropout`.

        Raises:
          ConfigError: a side has no byte-pair encoding.
        """
        rate = parameters.subword_dropout
        if not rate:
            return None
        for side, text in (("source", pair.source), ("target", pair.target)):
            _check(side, text)
        source = BpeDropout(pair.source, rate)
        target = source if pair.shared else BpeDropout(pair.target, rate)
        limits = max(b.source for b in buckets), max(b.target for b in buckets)
        return cls(source, target, *limits, keeps_served=bool(parameters.consistency))

    def __call__(self, source: tf.Tensor, target: tf.Tensor, seed: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Returns other tokenizations of source and target; with `keeps_served`, the given source, too.

        Args:
          source: int32[B, S].
          target: int32[B, T].
          seed: int32[2], the seed of the draws.
        """
        limits = self.source_limit, self.target_limit
        if self.source is self.target:
            drawn = self.source((source, target), seed, limits)
        else:
            seeds = [tf.random.experimental.stateless_fold_in(seed, side) for side in (0, 1)]
            drawn = [
                *self.source([source], seeds[0], limits[:1]),
                *self.target([target], seeds[1], limits[1:]),
            ]
        return (*drawn, source) if self.keeps_served else tuple(drawn)


def _check(side: str, text: TextProcessor) -> None:
    """Raises ConfigError if a side has no byte-pair encoding."""
    if text.characters or text.words or text.segmentation.model != "bpe":
        kind = "characters" if text.characters else "words" if text.words else "a unigram model"
        raise ConfigError(
            f"trainer.subword_dropout leaves out merges of byte-pair encoding; the {side} has {kind}",
            "set trainer.subword_dropout: 0; for a unigram model, use transform.subword_samples",
        )
