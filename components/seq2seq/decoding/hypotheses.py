"""The results of decoding, and the back-pointers that a search rebuilds them from."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import tensorflow as tf

from bitext.components.text import PAD_ID


@dataclasses.dataclass(frozen=True)
class Hypotheses:
    """N translations of each sentence: best first from a search, in the order drawn from sampling.

    If a search finds fewer than N translations, the others have length 0 and a score of -1e9.

    Attributes:
      tokens: int32[B, N, T], without `<s>`, with `</s>` unless truncated at the maximum length.
        Padding is 0.
      length: int32[B, N], number of tokens, `</s>` included.
      log_prob: float32[B, N], sum over the tokens.
      score: float32[B, N]. Search: log_prob / length_penalty(length) + coverage penalty. Sampling: log_prob.
      alignment: float32[B, N, T, S], one row per token; zero on padding.
    """

    tokens: tf.Tensor
    length: tf.Tensor
    log_prob: tf.Tensor
    score: tf.Tensor
    alignment: tf.Tensor

    def emptied_where(self, blank: tf.Tensor) -> Hypotheses:
        """Returns the hypotheses, with no token and with scores of 0 where `blank` bool[B] is true."""

        def emptied(values: tf.Tensor) -> tf.Tensor:
            where = tf.reshape(blank, [-1] + [1] * (values.shape.rank - 1))
            return tf.where(where, tf.zeros_like(values), values)

        fields = dataclasses.fields(self)
        return Hypotheses(**{field.name: emptied(getattr(self, field.name)) for field in fields})


class Finished(NamedTuple):
    """The N best finished hypotheses of B sentences, best first; see `Hypotheses`.

    Attributes:
      last_token: int32[B, N].
      parent: int32[B, N], index in the beam of the hypothesis that the last token extends.
      length: int32[B, N].
      log_prob: float32[B, N].
      score: float32[B, N].
    """

    last_token: tf.Tensor
    parent: tf.Tensor
    length: tf.Tensor
    log_prob: tf.Tensor
    score: tf.Tensor


class BackPointers(NamedTuple):
    """For each step of a search, the chosen tokens and the hypotheses that they extend.

    The search does not copy whole hypotheses from step to step: `backtrace` rebuilds them at the end. A step
    extends B' sentences of the batch, which have K' hypotheses each before the step and K after it.

    Attributes:
      sentence: int32[B'] per step, indices of the sentences in the batch, ascending.
      alignment: float32[B', K', S] per step, alignments computed in the step.
      token: int32[B', K] per step, the chosen tokens.
      parent: int32[B', K] per step, index of the hypothesis before the step that each token extends.
    """

    sentence: tf.TensorArray
    alignment: tf.TensorArray
    token: tf.TensorArray
    parent: tf.TensorArray

    @classmethod
    def empty(cls) -> BackPointers:
        """Returns back-pointers of no steps."""

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

    def write(self, t: tf.Tensor, *step: tf.Tensor) -> BackPointers:
        """Adds step t, with a tensor for each attribute."""
        return BackPointers(*(array.write(t, tensor) for array, tensor in zip(self, step, strict=True)))

    def backtrace(self, finished: Finished, source_length: tf.Tensor) -> Hypotheses:
        """Follows the back-pointers of the finished hypotheses from their last tokens to their first.

        Args:
          finished: the hypotheses of all sentences of the batch.
          source_length: int32[], S.
        """
        sentences, nbest = tf.unstack(tf.shape(finished.length))
        longest = tf.maximum(tf.reduce_max(finished.length), 0)  # the maximum of an empty batch is negative

        def step(
            length: tf.Tensor, index: tf.Tensor, tokens: tf.TensorArray, alignments: tf.TensorArray
        ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.TensorArray]:
            """Reads token number `length` of each hypothesis, whose index in the beam is `index`."""
            t = length - 1
            sentence, alignment, token, parent = (array.read(t) for array in self)
            # A sentence that was done before this step has no row: it reads row 0, and the result is masked.
            row = tf.scatter_nd(sentence[:, tf.newaxis], tf.range(tf.size(sentence)), [sentences])
            row = tf.broadcast_to(row[:, tf.newaxis], [sentences, nbest])
            is_last, is_real = tf.equal(finished.length, length), finished.length >= length
            entry = tf.stack([row, index], -1)
            token = tf.where(is_last, finished.last_token, tf.gather_nd(token, entry))
            index = tf.where(is_last, finished.parent, tf.gather_nd(parent, entry))
            index = tf.where(is_real, index, 0)
            aligned = tf.gather_nd(alignment, tf.stack([row, index], -1))
            aligned *= tf.cast(is_real, tf.float32)[:, :, tf.newaxis]
            tokens = tokens.write(t, tf.where(is_real, token, PAD_ID))
            return t, index, tokens, alignments.write(t, aligned)

        zeros = tf.zeros([sentences, nbest], tf.int32)
        columns = tf.maximum(longest, 1)
        tokens = tf.TensorArray(tf.int32, columns, element_shape=[None, None])
        alignments = tf.TensorArray(tf.float32, columns, element_shape=[None, None, None])
        # If all translations are empty, no step writes the only column.
        tokens = tokens.write(0, zeros)
        alignments = alignments.write(0, tf.zeros([sentences, nbest, source_length]))
        _, _, tokens, alignments = tf.while_loop(
            lambda length, *_: length > 0, step, (longest, zeros, tokens, alignments), parallel_iterations=1
        )
        return Hypotheses(
            tf.transpose(tokens.stack(), [1, 2, 0]),
            finished.length,
            finished.log_prob,
            finished.score,
            tf.transpose(alignments.stack(), [1, 2, 0, 3]),
        )
