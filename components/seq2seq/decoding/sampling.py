"""Sampling: draws translations token by token, for a whole batch, in the TensorFlow graph."""

from __future__ import annotations

import dataclasses
from typing import Any

import tensorflow as tf

from bitext.components.seq2seq.decoders.base import DecoderState
from bitext.components.seq2seq.decoding.hypotheses import Hypotheses
from bitext.components.seq2seq.decoding.scoring import NEG_INF, forbidden_tokens
from bitext.components.seq2seq.memory import Memory
from bitext.components.seq2seq.model import BOS, EOS, PAD, Seq2Seq, Start, count_tokens

MIN_TEMPERATURE = 1e-6
"""Lower temperatures draw the most probable token."""


def sample(
    model: Seq2Seq,
    start: Start,
    samples: tf.Tensor,
    max_length: tf.Tensor,
    seed: tf.Tensor,
    temperature: tf.Tensor | float = 1.0,
    top_k: tf.Tensor | int = 0,
    top_p: tf.Tensor | float = 1.0,
    min_length: tf.Tensor | int = 1,
) -> Hypotheses:
    """Draws translations token by token.

    Log probabilities and scores are those of the model's distribution before temperature, `top_k` and `top_p`
    change it. The score is not normalized by length.

    Args:
      model: the model.
      start: the encoded sources.
      samples: int32[], number of translations of each sentence.
      max_length: int32[], maximum number of tokens, `</s>` included.
      seed: int32[2]. The same seed draws the same translations for the same batch.
      temperature: float32[], 0 or more; log probabilities are divided by it. 0: the most probable token, as
        greedy search.
      top_k: int32[], draw from this many most probable tokens only (Fan et al. 2018); 0: from all.
      top_p: float32[], draw from the smallest set of tokens with this total probability, at least one token
        (Holtzman et al. 2020); 1: from all.
      min_length: int32[], minimum number of tokens, `</s>` included.

    Returns:
      The translations, in the order drawn.
    """
    shape = [tf.shape(start.memory.mask)[0], samples]
    state = tf.nest.map_structure(lambda tensor: tf.repeat(tensor, samples, axis=0), start.state)
    state_shape = tf.nest.map_structure(lambda spec: spec.shape, model.decoder.state_spec)
    arrays = [
        tf.TensorArray(dtype, 0, dynamic_size=True, element_shape=[None] * rank)
        for dtype, rank in ((tf.int32, 2), (tf.float32, 3))
    ]
    sampler = _Sampler(model, start.memory, seed, temperature, top_k, top_p, max_length, min_length)
    _, _, _, total, *arrays = tf.while_loop(
        sampler.any_is_unfinished,
        sampler.advance,
        (tf.constant(0), state, tf.fill(shape, BOS), tf.zeros(shape), *arrays),
        (tf.TensorShape([]), state_shape, *[tf.TensorShape([None, None])] * 2, *[tf.TensorShape(None)] * 2),
        parallel_iterations=1,
    )
    drawn, alignments = (array.stack() for array in arrays)
    tokens, alignment = tf.transpose(drawn, [1, 2, 0]), tf.transpose(alignments, [1, 2, 0, 3])
    return Hypotheses(tokens, count_tokens(tokens), total, total, alignment)


@dataclasses.dataclass(frozen=True)
class _Sampler:
    """The condition and the body of the loop. The attributes are the arguments of `sample`."""

    model: Seq2Seq
    memory: Memory
    seed: tf.Tensor
    temperature: tf.Tensor | float
    top_k: tf.Tensor | int
    top_p: tf.Tensor | float
    max_length: tf.Tensor
    min_length: tf.Tensor | int

    def any_is_unfinished(self, t: tf.Tensor, state: DecoderState, tokens: tf.Tensor, *_: Any) -> tf.Tensor:
        """Whether a translation is unfinished. The first step is made for an empty batch, too."""
        is_wanted = tf.logical_or(tf.equal(t, 0), tf.reduce_any(_is_unfinished(tokens)))
        return tf.logical_and(t < self.max_length, is_wanted)

    def advance(
        self,
        t: tf.Tensor,
        state: DecoderState,
        tokens: tf.Tensor,
        total: tf.Tensor,
        drawn: tf.TensorArray,
        alignments: tf.TensorArray,
    ) -> tuple[Any, ...]:
        """Extends every unfinished translation by one token.

        Args:
          t: int32[], number of tokens so far.
          state: state of the decoder, with B * K rows.
          tokens: int32[B, K], the last tokens.
          total: float32[B, K], log probabilities of the tokens so far.
          drawn: int32[B, K] per step, the tokens.
          alignments: float32[B, K, S] per step.
        """
        is_unfinished, size = _is_unfinished(tokens), self.model.target_size
        log_probs, alignment, state = self.model.step(tokens, t, state, self.memory)
        forbidden = forbidden_tokens(tf.range(size), size, t + 1, self.min_length)
        seed = tf.random.experimental.stateless_fold_in(self.seed, t)
        log_probs = tf.where(forbidden, NEG_INF, log_probs)
        token, log_prob = draw_tokens(log_probs, seed, self.temperature, self.top_k, self.top_p)
        tokens = tf.where(is_unfinished, token, PAD)
        total += tf.where(is_unfinished, log_prob, 0.0)
        alignment *= tf.cast(is_unfinished, tf.float32)[:, :, tf.newaxis]
        return t + 1, state, tokens, total, drawn.write(t, tokens), alignments.write(t, alignment)


def draw_tokens(
    log_probs: tf.Tensor,
    seed: tf.Tensor,
    temperature: tf.Tensor | float,
    top_k: tf.Tensor | int,
    top_p: tf.Tensor | float,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws one token from each distribution.

    Args:
      log_probs: float32[B, K, V].
      seed: int32[2].
      temperature, top_k, top_p: as in `sample`.

    Returns:
      Tokens int32[B, K] and their log probabilities float32[B, K].
    """
    size = log_probs.shape[-1]
    is_greedy = temperature < MIN_TEMPERATURE
    # Differences from the largest do not overflow with a tiny temperature. With a large one, tokens that must
    # not be drawn would be as probable as others.
    differences = log_probs - tf.reduce_max(log_probs, axis=-1, keepdims=True)
    tempered = tf.nn.log_softmax(
        tf.where(log_probs > NEG_INF / 2, differences / tf.where(is_greedy, 1.0, temperature), NEG_INF)
    )
    count = tf.where(is_greedy, 1, tf.where(tf.equal(top_k, 0), size, tf.minimum(top_k, size)))
    # Sorting a vocabulary costs more than everything else.
    token = tf.cond(
        tf.logical_and(count == size, tf.greater_equal(top_p, 1.0)),
        lambda: _draw(tempered, seed),
        lambda: _draw_from_best(log_probs, tempered, seed, count, top_p),
    )
    return token, tf.gather(log_probs, token, batch_dims=2)


def _draw_from_best(
    log_probs: tf.Tensor, tempered: tf.Tensor, seed: tf.Tensor, count: tf.Tensor, top_p: tf.Tensor | float
) -> tf.Tensor:
    """Draws from the `count` most probable tokens, and of these from those that `top_p` leaves."""
    best, tokens = tf.math.top_k(log_probs, count)
    tempered = tf.gather(tempered, tokens, batch_dims=2)
    cumulative = tf.cumsum(tf.exp(tempered), axis=-1, exclusive=True)
    is_within = tf.logical_and(cumulative < top_p, best > NEG_INF / 2)
    is_candidate = tf.logical_or(tf.range(count) == 0, is_within)
    chosen = _draw(tf.where(is_candidate, tempered, NEG_INF), seed)
    return tf.gather(tokens, chosen, batch_dims=2)


def _draw(log_probs: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draws int32[B, K] from log probabilities float32[B, K, V]."""
    shape = tf.shape(log_probs)
    flat = tf.reshape(log_probs, [-1, shape[2]])
    return tf.reshape(tf.random.stateless_categorical(flat, 1, seed, tf.int32), shape[:2])


def _is_unfinished(tokens: tf.Tensor) -> tf.Tensor:
    """Whether translations are unfinished: bool, true where the last token is neither `</s>` nor padding."""
    return tf.logical_and(tf.not_equal(tokens, EOS), tf.not_equal(tokens, PAD))
