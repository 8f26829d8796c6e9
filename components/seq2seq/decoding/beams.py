"""The loop variables of a search."""

from __future__ import annotations

from typing import Any, NamedTuple

import tensorflow as tf

from bitext.components.seq2seq.decoders.base import DecoderState
from bitext.components.seq2seq.decoding.hypotheses import Finished
from bitext.components.seq2seq.memory import Memory


class Beams(NamedTuple):
    """The loop variables of the search, for B sentences with K unfinished hypotheses each.

    Before the first token, K is 1.

    Attributes:
      sentence: int32[B], indices of the sentences in the batch.
      max_length: int32[B], maximum number of tokens of their hypotheses.
      memory: the memory of these sentences, with heads split.
      state: state of the decoder, [B, K, ...] each.
      token: int32[B, K], the last token.
      log_prob: float32[B, K], best first; -1e9 where there is no hypothesis or it is pruned.
      coverage: float32[B, K, S], sums of the alignments; S is 0 without a coverage penalty.
      finished: the finished hypotheses.
      constraints: what the constraints of a search know of each hypothesis, [B, K, ...] each; () without.
    """

    sentence: tf.Tensor
    max_length: tf.Tensor
    memory: Memory
    state: DecoderState
    token: tf.Tensor
    log_prob: tf.Tensor
    coverage: tf.Tensor
    finished: Finished
    constraints: Any = ()


class Candidates(NamedTuple):
    """N continuations of the hypotheses of each of B sentences by one token, best first.

    Attributes:
      log_prob: float32[B, N], log probabilities of the continued hypotheses; -1e9 on padding.
      token: int32[B, N].
      parent: int32[B, N], indices of the hypotheses that the tokens extend.
      token_log_prob: float32[B, N], log probability of the token; () if it is not reported.
    """

    log_prob: tf.Tensor
    token: tf.Tensor
    parent: tf.Tensor
    token_log_prob: Any = ()
