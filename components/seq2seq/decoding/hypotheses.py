"""What a search finds, and the way back to it: a search goes forward without carrying what it has taken."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from bitext.components.text import PAD_ID


@dataclasses.dataclass(frozen=True)
class Hypotheses:
    """N translations of each sentence: of a search the best, best first; of sampling in the order drawn.

    Where a search finds fewer than N of at most the maximum length, the rest have length 0 and a score of
    -1e9.

    Attributes:
      tokens: int32[B, N, T], without `<s>`, with `</s>` (unless cut at the maximum length), padded with 0.
      length: int32[B, N], tokens, `</s>` included.
      log_prob: float32[B, N], sum over the tokens.
      score: float32[B, N], log_prob / length_penalty(length) + the coverage penalty; of samples, log_prob.
      alignment: float32[B, N, T, S], of each token; zero on padding.
    """

    tokens: tf.Tensor
    length: tf.Tensor
    log_prob: tf.Tensor
    score: tf.Tensor
    alignment: tf.Tensor


class Finished(NamedTuple):
    """The N best finished hypotheses of B sentences, best first; see `Hypotheses`.

    Attributes:
      word: int32[B, N], their last tokens.
      place: int32[B, N], in the beam that the last tokens were put to.
      length: int32[B, N].
      log_prob, score: float32[B, N].
    """

    word: tf.Tensor
    place: tf.Tensor
    length: tf.Tensor
    log_prob: tf.Tensor
    score: tf.Tensor


class Trail(NamedTuple):
    """What each token's step leaves behind, for B' sentences of the batch and hypotheses of each, K' before
    the step and K after it.

    Attributes:
      row: int32[B'], the sentences' places in the batch, ascending.
      alignment: float32[B', K', S], of the step's tokens.
      word: int32[B', K], the tokens taken.
      place: int32[B', K], of the K' that they were put to.
    """

    row: tf.TensorArray
    alignment: tf.TensorArray
    word: tf.TensorArray
    place: tf.TensorArray

    @classmethod
    def empty(cls) -> Trail:
        """Before the first step."""

        def steps(dtype: tf.DType, rank: int) -> tf.TensorArray:
            return tf.TensorArray(
                dtype,
                0,
                dynamic_size=True,
                clear_after_read=False,
                infer_shape=False,
                element_shape=[None] * rank,
            )

        return cls(steps(tf.int32, 1), steps(tf.float32, 3), steps(tf.int32, 2), steps(tf.int32, 2))

    def write(self, t: tf.Tensor, *step: tf.Tensor) -> Trail:
        """With what step t leaves behind."""
        return Trail(*(array.write(t, tensor) for array, tensor in zip(self, step, strict=True)))

    def back(self, found: Finished, positions: tf.Tensor) -> Hypotheses:
        """Goes back from the last tokens of what was found to the first; positions int32[] are S."""
        sentences, each = tf.unstack(tf.shape(found.length))
        longest = tf.maximum(tf.reduce_max(found.length), 0)  # of no sentences too
        columns = tf.maximum(longest, 1)

        def step(
            before: tf.Tensor, place: tf.Tensor, tokens: tf.TensorArray, alignments: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.TensorArray]:
            """From the hypotheses' places after a step to those before it."""
            t = before - 1
            row, alignment, words, places = (array.read(t) for array in self)
            # What ended before this step may be of a sentence that is no longer there: it looks at the first.
            there = tf.scatter_nd(row[:, tf.newaxis], tf.range(tf.size(row)), [sentences])
            there = tf.broadcast_to(there[:, tf.newaxis], [sentences, each])
            last, real = tf.equal(found.length, before), found.length >= before
            after = tf.stack([there, place], -1)
            word = tf.where(last, found.word, tf.gather_nd(words, after))
            place = tf.where(last, found.place, tf.gather_nd(places, after))
            place = tf.where(real, place, 0)
            aligned = tf.gather_nd(alignment, tf.stack([there, place], -1))
            aligned *= tf.cast(real, tf.float32)[:, :, tf.newaxis]
            return t, place, tokens.write(t, tf.where(real, word, PAD_ID)), alignments.write(t, aligned)

        nothing = tf.zeros([sentences, each], tf.int32)
        tokens = tf.TensorArray(tf.int32, columns, element_shape=[None, None])
        alignments = tf.TensorArray(tf.float32, columns, element_shape=[None, None, None])
        # The one column of translations that are all empty is never come to.
        tokens = tokens.write(0, nothing)
        alignments = alignments.write(0, tf.zeros([sentences, each, positions]))
        _, _, tokens, alignments = tf.while_loop(
            lambda before, *_: before > 0, step, (longest, nothing, tokens, alignments), parallel_iterations=1
        )
        return Hypotheses(
            tf.transpose(tokens.stack(), [1, 2, 0]),
            found.length,
            found.log_prob,
            found.score,
            tf.transpose(alignments.stack(), [1, 2, 0, 3]),
        )
