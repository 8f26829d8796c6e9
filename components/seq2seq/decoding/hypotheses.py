"""The results of decoding, and the back-pointers that a search rebuilds them from."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple, Self

import tensorflow as tf

from bitext.components.seq2seq.decoding.scoring import NEG_INF
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

    def emptied_where(self, blank: tf.Tensor) -> Self:
        """Returns the hypotheses, with no token and with scores of 0 where `blank` bool[B] is true."""

        def emptied(values: tf.Tensor) -> tf.Tensor:
            where = tf.reshape(blank, [-1] + [1] * (values.shape.rank - 1))
            return tf.where(where, tf.zeros_like(values), values)

        fields = dataclasses.fields(self)
        return type(self)(**{field.name: emptied(getattr(self, field.name)) for field in fields})


@dataclasses.dataclass(frozen=True)
class ScoredTokens(Hypotheses):
    """Translations with the log probability of every token. Their `log_prob` is the sum of them.

    Attributes:
      token_log_probs: float32[B, N, T], of the model's distribution; 0 on padding.
    """

    token_log_probs: tf.Tensor

    @classmethod
    def of(cls, hypotheses: Hypotheses, token_log_probs: tf.Tensor) -> ScoredTokens:
        """Returns hypotheses with these log probabilities of their tokens."""
        fields = {field.name: getattr(hypotheses, field.name) for field in dataclasses.fields(Hypotheses)}
        is_filled, total = hypotheses.length > 0, tf.reduce_sum(token_log_probs, -1)
        fields["log_prob"] = tf.where(is_filled, total, hypotheses.log_prob)
        return cls(**fields, token_log_probs=token_log_probs)

    def ranked(self, kept: tf.Tensor) -> tf.Tensor:
        """Returns the indices int32[B, N] of the hypotheses to keep (bool[B, N]), best first, then -1."""
        order = tf.argsort(tf.where(kept, self.score, NEG_INF), direction="DESCENDING", stable=True)
        return tf.where(tf.gather(kept, order, batch_dims=1), order, -1)

    def only(self, order: tf.Tensor) -> ScoredTokens:
        """Returns the hypotheses with the indices int32[B, N] in this order; rows are empty for -1."""

        def ordered(field: str) -> tf.Tensor:
            values = tf.gather(getattr(self, field), tf.maximum(order, 0), batch_dims=1)
            nothing = NEG_INF if field in ("score", "log_prob") else 0
            where = tf.reshape(order >= 0, tf.concat([tf.shape(order), [1] * (values.shape.rank - 2)], 0))
            return tf.where(where, values, tf.cast(nothing, values.dtype))

        return ScoredTokens(**{field.name: ordered(field.name) for field in dataclasses.fields(self)})


class Finished(NamedTuple):
    """The N best finished hypotheses of B sentences, best first; see `Hypotheses`.

    Attributes:
      last_token: int32[B, N].
      parent: int32[B, N], index in the beam of the hypothesis that the last token extends.
      length: int32[B, N].
      log_prob: float32[B, N].
      score: float32[B, N].
      last_log_prob: float32[B, N], log probability of the last token; () if it is not reported.
    """

    last_token: tf.Tensor
    parent: tf.Tensor
    length: tf.Tensor
    log_prob: tf.Tensor
    score: tf.Tensor
    last_log_prob: Any = ()


class BackPointers(NamedTuple):
    """For each step of a search, the chosen tokens and the hypotheses that they extend.

    The search does not copy whole hypotheses from step to step: `backtrace` rebuilds them at the end. A step
    extends B' sentences of the batch, which have K' hypotheses each before the step and K after it.

    Attributes:
      sentence: int32[B'] per step, indices of the sentences in the batch, ascending.
      alignment: float32[B', K', S] per step, alignments computed in the step.
      token: int32[B', K] per step, the chosen tokens.
      parent: int32[B', K] per step, index of the hypothesis before the step that each token extends.
      log_prob: float32[B', K] per step, log probabilities of the chosen tokens; () if they are not reported.
    """

    sentence: Any
    alignment: Any
    token: Any
    parent: Any
    log_prob: Any = ()

    @classmethod
    def empty(cls, reports_tokens: bool = False) -> BackPointers:
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

        arrays = cls(steps(tf.int32, 1), steps(tf.float32, 3), steps(tf.int32, 2), steps(tf.int32, 2))
        return arrays._replace(log_prob=steps(tf.float32, 2)) if reports_tokens else arrays

    @property
    def reports_tokens(self) -> bool:
        """Whether the steps have the log probabilities of their tokens."""
        return not isinstance(self.log_prob, tuple)

    def write(self, t: tf.Tensor, step: BackPointers) -> BackPointers:
        """Adds step t: a tensor in the place of each array."""
        return tf.nest.map_structure(lambda array, tensor: array.write(t, tensor), self, step)

    def _first_columns(
        self, longest: tf.Tensor, zeros: tf.Tensor, shape: list[tf.Tensor], source_length: tf.Tensor
    ) -> tuple[tf.TensorArray, tf.TensorArray, Any]:
        """Returns arrays for the tokens, their alignments and their log probabilities.

        If all translations are empty, no step of `backtrace` writes the only column.
        """
        columns = tf.maximum(longest, 1)
        tokens = tf.TensorArray(tf.int32, columns, element_shape=[None, None])
        alignments = tf.TensorArray(tf.float32, columns, element_shape=[None, None, None])
        tokens = tokens.write(0, zeros)
        alignments = alignments.write(0, tf.zeros([*shape, source_length]))
        scores: Any = ()
        if self.reports_tokens:
            scores = tf.TensorArray(tf.float32, columns, element_shape=[None, None])
            scores = scores.write(0, tf.zeros(shape))
        return tokens, alignments, scores

    def backtrace(self, finished: Finished, source_length: tf.Tensor) -> Hypotheses:
        """Follows the back-pointers of the finished hypotheses from their last tokens to their first.

        Args:
          finished: the hypotheses of all sentences of the batch.
          source_length: int32[], S.

        Returns:
          The hypotheses; `ScoredTokens` if the log probabilities of the tokens are reported.
        """
        sentences, nbest = tf.unstack(tf.shape(finished.length))
        longest = tf.maximum(tf.reduce_max(finished.length), 0)  # the maximum of an empty batch is negative

        def step(
            length: tf.Tensor,
            index: tf.Tensor,
            tokens: tf.TensorArray,
            alignments: tf.TensorArray,
            scores: Any,
        ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.TensorArray, Any]:
            """Reads token number `length` of each hypothesis, whose index in the beam is `index`."""
            t = length - 1
            sentence, alignment, token, parent, log_prob = tf.nest.map_structure(lambda a: a.read(t), self)
            # A sentence that was done before this step has no row: it reads row 0, and the result is masked.
            row = tf.scatter_nd(sentence[:, tf.newaxis], tf.range(tf.size(sentence)), [sentences])
            row = tf.broadcast_to(row[:, tf.newaxis], [sentences, nbest])
            is_last, is_real = tf.equal(finished.length, length), finished.length >= length
            entry = tf.stack([row, index], -1)
            token = tf.where(is_last, finished.last_token, tf.gather_nd(token, entry))
            if self.reports_tokens:
                log_prob = tf.where(is_last, finished.last_log_prob, tf.gather_nd(log_prob, entry))
                scores = scores.write(t, tf.where(is_real, log_prob, 0.0))
            index = tf.where(is_last, finished.parent, tf.gather_nd(parent, entry))
            index = tf.where(is_real, index, 0)
            aligned = tf.gather_nd(alignment, tf.stack([row, index], -1))
            aligned *= tf.cast(is_real, tf.float32)[:, :, tf.newaxis]
            tokens = tokens.write(t, tf.where(is_real, token, PAD_ID))
            return t, index, tokens, alignments.write(t, aligned), scores

        zeros = tf.zeros([sentences, nbest], tf.int32)
        tokens, alignments, scores = self._first_columns(longest, zeros, [sentences, nbest], source_length)
        _, _, tokens, alignments, scores = tf.while_loop(
            lambda length, *_: length > 0,
            step,
            (longest, zeros, tokens, alignments, scores),
            parallel_iterations=1,
        )
        hypotheses = Hypotheses(
            tf.transpose(tokens.stack(), [1, 2, 0]),
            finished.length,
            finished.log_prob,
            finished.score,
            tf.transpose(alignments.stack(), [1, 2, 0, 3]),
        )
        if not self.reports_tokens:
            return hypotheses
        return ScoredTokens.of(hypotheses, tf.transpose(scores.stack(), [1, 2, 0]))
