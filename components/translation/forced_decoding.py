"""Scores given translations with the signature `score`: forced decoding."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence

from bitext.components.translation.lines import length_sorted_batches
from bitext.components.translation.translator import LineTranslator

MAX_LOGITS = 1 << 26
"""Maximum of a batch's target tokens times the size of the target vocabulary, in numbers of 4 bytes."""

Pair = tuple[bytes, bytes]
"""A source and a target, UTF-8."""


@dataclasses.dataclass(frozen=True)
class PairScore:
    """The score of a target given its source.

    Attributes:
      log_prob: its log probability in nats, the sum over its tokens.
      length: number of its tokens, `</s>` included.
    """

    log_prob: float
    length: int

    @property
    def mean(self) -> float:
        """The mean log probability of a token; 0 without tokens."""
        return self.log_prob / self.length if self.length else 0.0


def score_pairs(translator: LineTranslator, pairs: Sequence[Pair]) -> list[PairScore]:
    """Returns the score of each pair, in order.

    Raises:
      errors.DataError: the model is damaged.
      errors.EnvironmentFault: there is not enough memory for a batch.
    """
    scores = [PairScore(0.0, 0)] * len(pairs)
    for batch in _batches(translator, pairs):
        sources, targets = zip(*(pairs[i] for i in batch), strict=True)
        outputs = translator.call("score", source=translator.cut(sources), target=targets)
        for index, log_prob, length in zip(
            batch, outputs["log_prob"].tolist(), outputs["length"].tolist(), strict=True
        ):
            scores[index] = PairScore(log_prob, length)
    return scores


def _batches(translator: LineTranslator, pairs: Sequence[Pair]) -> Iterator[list[int]]:
    """Yields indices of pairs, longest first, in batches whose logits fit into the memory.

    A target has at most one token for each byte, and two more.
    """
    vocabulary, most_tokens = int(translator.info["vocab_size"]), translator.limit("tokens")
    most = min(MAX_LOGITS // vocabulary, most_tokens)
    lengths = [len(source) + len(target) for source, target in pairs]
    most_pairs = min(translator.batch_size, translator.limit("batch_size"))
    for batch in length_sorted_batches(lengths, most_pairs):
        start = longest = 0
        for stop, index in enumerate(batch):
            longest = max(longest, len(pairs[index][1]) + 2)
            if stop > start and (stop + 1 - start) * longest > most:
                yield batch[start:stop]
                start, longest = stop, len(pairs[index][1]) + 2
        yield batch[start:]


def perplexity(translator: LineTranslator, pairs: Sequence[Pair]) -> float:
    """Returns the perplexity of the targets given their sources, per target token, `</s>` included.

    It is not finite if one of the model's log probabilities is not finite.
    """
    return perplexity_of(score_pairs(translator, pairs))


def perplexity_of(scores: Sequence[PairScore]) -> float:
    """Returns the perplexity of scored targets, per token; infinity if it is too large for a float."""
    return exp_mean(math.fsum(score.log_prob for score in scores), sum(score.length for score in scores))


def exp_mean(log_prob: float, tokens: int) -> float:
    """Returns exp(-log_prob / tokens), infinity if it is too large for a float."""
    try:
        return math.exp(-log_prob / tokens)
    except OverflowError:
        return math.inf
