"""Sampling in the graph: translations drawn word by word, batched like the search."""

from __future__ import annotations

import tensorflow as tf

from bitext.components.seq2seq.decoding.hypotheses import Hypotheses
from bitext.components.seq2seq.decoding.search import NEVER, refused
from bitext.components.seq2seq.layers.cells import State
from bitext.components.seq2seq.model import BOS, EOS, PAD, Seq2Seq, Start, lengths


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
    """Draws translations word by word, in the order drawn.

    Log probabilities and scores are the model's own, of the distribution before it was cut or heated; the
    score is not normalised by length.

    Args:
      samples: int32[], translations of each sentence.
      max_length: int32[], tokens at most, `</s>` included.
      seed: int32[2]; the same seed draws the same for the same batch.
      temperature: float32[], what log probabilities are divided by, above 0.
      top_k: int32[], draw from so many best words only (Fan et al. 2018); 0: from all.
      top_p: float32[], draw from the fewest best words that hold so much of the probability (Holtzman et al.
        2020), at least one; 1: from all.
      min_length: int32[], tokens at least, `</s>` included.
    """
    batch, size = tf.shape(start.memory.mask)[0], model.target_size
    width = [batch, samples]
    state = tuple(tf.repeat(s, samples, axis=0) for s in start.state)
    kept_at_most = tf.where(tf.equal(top_k, 0), size, top_k)

    def unfinished(t: tf.Tensor, state: State, tokens: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
        return tf.logical_and(t < max_length, tf.reduce_any(_open(tokens)))

    def advance(
        t: tf.Tensor,
        state: State,
        tokens: tf.Tensor,
        drawn: tf.TensorArray,
        total: tf.Tensor,
        aligned: tf.TensorArray,
    ) -> tuple[tf.Tensor, State, tf.Tensor, tf.TensorArray, tf.Tensor, tf.TensorArray]:
        going = _open(tokens)
        state, log_probs, alignment = model.step(tokens, state, start.memory)
        never = refused(tf.range(size), size, t + 1, min_length)
        best, words = tf.math.top_k(tf.where(never, NEVER, log_probs), size)
        heated = tf.nn.log_softmax(best / temperature)
        before = tf.cumsum(tf.exp(heated), axis=-1, exclusive=True)
        rank = tf.range(size)
        candidate = tf.logical_or(rank == 0, tf.logical_and(rank < kept_at_most, before < top_p))
        flat = tf.reshape(tf.where(candidate, heated, NEVER), [-1, size])
        chosen = tf.random.stateless_categorical(
            flat, 1, tf.random.experimental.stateless_fold_in(seed, t), tf.int32
        )
        chosen = tf.reshape(chosen, [batch, samples, 1])
        word = tf.gather(words, chosen, batch_dims=2)[:, :, 0]
        gain = tf.gather(best, chosen, batch_dims=2)[:, :, 0]
        tokens = tf.where(going, word, PAD)
        alignment *= tf.cast(going, tf.float32)[:, :, tf.newaxis]
        return (
            t + 1,
            state,
            tokens,
            drawn.write(t, tokens),
            total + tf.where(going, gain, 0.0),
            aligned.write(t, alignment),
        )

    drawn = tf.TensorArray(tf.int32, max_length, element_shape=[None, None])
    aligned = tf.TensorArray(tf.float32, max_length, element_shape=[None, None, None])
    begin = (tf.constant(0), state, tf.fill(width, BOS), drawn, tf.zeros(width), aligned)
    steps, _, _, drawn, total, aligned = tf.while_loop(unfinished, advance, begin, parallel_iterations=1)
    taken = tf.range(steps)
    tokens = tf.transpose(drawn.gather(taken), [1, 2, 0])
    alignment = tf.transpose(aligned.gather(taken), [1, 2, 0, 3])
    return Hypotheses(tokens, lengths(tokens), total, total, alignment)


def _open(tokens: tf.Tensor) -> tf.Tensor:
    """Whether the last token is neither `</s>` nor what comes after it."""
    return tf.logical_and(tf.not_equal(tokens, EOS), tf.not_equal(tokens, PAD))
