"""The attention Seq2Seq network: embeddings, encoder, decoder and output layer.

It reads whole target sequences (training, scoring) or one token at a time (search, sampling, `decode_step`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.decoders.base import Decoder, DecoderState
from bitext.components.seq2seq.decoders.conditional import ConditionalDecoder
from bitext.components.seq2seq.decoders.input_feeding import InputFeedingDecoder
from bitext.components.seq2seq.decoders.recurrent import RecurrentDecoder
from bitext.components.seq2seq.encoders.recurrent import Encoder
from bitext.components.seq2seq.layers.cells import Cell
from bitext.components.seq2seq.layers.dropout import NO_DROPOUT, Dropout
from bitext.components.seq2seq.memory import Memory
from bitext.components.seq2seq.parts import in_parts
from bitext.components.text import BOS_ID, EOS_ID, PAD_ID, UNK_ID

PAD, BOS, EOS, UNK = PAD_ID, BOS_ID, EOS_ID, UNK_ID
SCORED_LOGITS = 1 << 24
"""The most logits that `score` holds at once: 64 MB."""
SCORED_TOKENS = 1 << 15
"""The most target tokens that `score` reads at once, with padding; a longer target is read whole."""
DECODERS: dict[str, Callable[[ModelSettings], Decoder]] = {
    "luong": RecurrentDecoder,
    "gnmt": RecurrentDecoder,
    "input_feeding": InputFeedingDecoder,
    "conditional": ConditionalDecoder,
}
"""The decoders by their name in `ModelSettings.decoder`."""


def count_tokens(tokens: tf.Tensor) -> tf.Tensor:
    """Counts the real tokens in each row of int32[..., T]: int32[...]."""
    return tf.reduce_sum(tf.cast(tf.not_equal(tokens, PAD), tf.int32), -1)


class Start(NamedTuple):
    """An encoded batch of sources, with the decoder's state before `<s>`."""

    memory: Memory
    state: DecoderState


class Seq2Seq(keras.layers.Layer):
    """The model: a Keras layer that owns named weights. Call its methods; it has no `call`.

    The initial weights follow from the random state of Keras: call `keras.utils.set_random_seed` first.

    Args:
      settings: the architecture.
      source_size: size of the source vocabulary, special tokens included.
      target_size: size of the target vocabulary, special tokens included; the same if `shared`.
      shared: whether both sides use one embedding table.
      make_decoder: constructs the decoder; None: the class that `settings.decoder` names.
    """

    def __init__(
        self,
        settings: ModelSettings,
        source_size: int,
        target_size: int,
        shared: bool = True,
        make_decoder: Callable[[ModelSettings], Decoder] | None = None,
    ):
        super().__init__(name="seq2seq")
        self.settings = settings
        self.target_size = target_size
        self.target_embedding = self._make_table("target_embedding", target_size)
        self.source_embedding = (
            self.target_embedding if shared else self._make_table("source_embedding", source_size)
        )
        self.encoder = Encoder(settings)
        self._make_decoder = make_decoder
        self.decoder = (make_decoder or DECODERS[settings.decoder])(settings)
        self.output_embedding = (
            self.target_embedding
            if settings.tie_embeddings
            else self._make_table("output_embedding", target_size)
        )
        self.output_bias = self.add_weight(name="output_bias", shape=(target_size,), initializer="zeros")

    def new_copy(self) -> Seq2Seq:
        """Returns a model of the same architecture with variables of its own, which have the same values."""
        copy = Seq2Seq(self.settings, *self.sizes, self._make_decoder)
        copy.take_weights(self)
        return copy

    def take_weights(self, other: Seq2Seq) -> None:
        """Copies the weights of another model of the same architecture."""
        for variable, value in zip(self.trainable_variables, other.trainable_variables, strict=True):
            variable.assign(tf.convert_to_tensor(value))

    @property
    def sizes(self) -> tuple[int, int, bool]:
        """The sizes of the source and the target vocabulary, and whether both sides share one embedding."""
        shared = self.source_embedding is self.target_embedding
        return int(self.source_embedding.shape[0]), self.target_size, shared

    @property
    def cells(self) -> list[Cell]:
        """The recurrent cells of the encoder and of the decoder."""
        return [*itertools.chain(*self.encoder.cells), *getattr(self.decoder, "cells", [])]

    def _make_table(self, name: str, size: int) -> keras.Variable:
        units = self.settings.embedding_units
        initializer = keras.initializers.RandomNormal(stddev=units**-0.5)
        return self.add_weight(name=name, shape=(size, units), initializer=initializer)

    def _embed(self, table: keras.Variable, tokens: tf.Tensor, dropout: Dropout = NO_DROPOUT) -> tf.Tensor:
        # The initial rows have norm 1 for the tied output layer. The factor gives the units variance 1 for
        # the recurrence. Rows are gathered from a tensor: after a gather from a variable, TensorFlow copies
        # the whole variable at each later read.
        embedded = tf.gather(tf.convert_to_tensor(table), tokens) * (self.settings.embedding_units**0.5)
        embedded = dropout(embedded, self.settings.embedding_dropout)
        return dropout.drop_words(embedded, self.settings.word_dropout)

    def start(self, source: tf.Tensor, dropout: Dropout = NO_DROPOUT) -> Start:
        """Encodes source tokens int32[B, S], padded with 0 on the right."""
        embedded = self._embed(self.source_embedding, tf.transpose(source), dropout)
        encoded = self.encoder.encode(embedded, tf.not_equal(source, PAD), dropout)
        return Start(self.decoder.project_keys(encoded), self.decoder.initial_state(encoded))

    def logits(self, vectors: tf.Tensor) -> tf.Tensor:
        """Logits float32[N, V] of vectors float32[N, D] from the decoder."""
        return tf.matmul(vectors, self.output_embedding, transpose_b=True) + self.output_bias

    def output_layer(self, multiple: int) -> Callable[[tf.Tensor], tf.Tensor]:
        """Returns a function that computes `logits`, for many calls: it transposes and pads the kernel once.

        Args:
          multiple: the vocabulary is padded to a multiple of this, with words of probability 0.
        """
        padding = -self.target_size % multiple
        kernel = tf.pad(tf.transpose(self.output_embedding), [[0, 0], [0, padding]])
        bias = tf.pad(self.output_bias, [[0, padding]], constant_values=-1e9)
        return lambda vectors: tf.matmul(vectors, kernel) + bias

    def step_vectors(
        self, tokens: tf.Tensor, position: tf.Tensor | int, state: DecoderState, memory: Memory
    ) -> tuple[tf.Tensor, tf.Tensor, DecoderState]:
        """Reads one token of each of K hypotheses of B sentences.

        Args:
          tokens: int32[B, K].
          position: int32[] or int32[B * K], number of tokens before them.
          state: the decoder's, with B * K rows.
          memory: of the B sentences; it is not repeated for the hypotheses.

        Returns:
          Vectors float32[B * K, D] for the output layer, alignments float32[B, K, S], the next state.
        """
        embedded = self._embed(self.target_embedding, tokens)
        position = tf.convert_to_tensor(position)
        vectors, alignment, state = self.decoder.step(embedded, position, state, memory)
        return tf.reshape(vectors, [-1, self.settings.embedding_units]), alignment, state

    def step(
        self, tokens: tf.Tensor, position: tf.Tensor | int, state: DecoderState, memory: Memory
    ) -> tuple[tf.Tensor, tf.Tensor, DecoderState]:
        """Reads one token, as `step_vectors`, and applies the output layer.

        Returns:
          Log probabilities float32[B, K, V] of the next token, alignments float32[B, K, S], the next state.
        """
        vectors, alignment, state = self.step_vectors(tokens, position, state, memory)
        shape = tf.concat([tf.shape(tokens), [self.target_size]], 0)
        return tf.reshape(tf.nn.log_softmax(self.logits(vectors)), shape), alignment, state

    def teacher_force(
        self, source: tf.Tensor, target: tf.Tensor, dropout: Dropout = NO_DROPOUT
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts every target token from the true tokens before it (Williams and Zipser 1989).

        Args:
          source: int32[B, S].
          target: int32[B, T], the tokens that the decoder reads: `<s>` and the tokens after it.
          dropout: of this forward pass.

        Returns:
          Vectors float32[B, T, D] for the output layer, and alignments float32[B, T, S].
        """
        start = self.start(source, dropout)
        embedded = self._embed(self.target_embedding, target, dropout)
        return self.decoder.unroll(embedded, start.state, start.memory, dropout)

    def score(self, source: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores given translations.

        Args:
          source: int32[B, S].
          target: int32[B, T], `<s>` ... `</s>`, padded with 0.

        Returns:
          Log probabilities float32[B] of the targets, and the alignments float32[B, T - 1, S] of the tokens
          after `<s>`.
        """
        rows = tf.maximum(1, SCORED_TOKENS // tf.shape(target)[1])
        log_prob, alignment = in_parts(
            lambda part: self._score(source[part], target[part]), rows, tf.shape(target)[0], ranks=[1, 3]
        )
        return log_prob, alignment

    def _score(self, source: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Scores some of the translations; arguments and results as of `score`."""
        vectors, alignment = self.teacher_force(source, target[:, :-1])
        labels = target[:, 1:]
        vectors = tf.reshape(vectors, [-1, self.settings.embedding_units])
        losses = self._cross_entropies(vectors, tf.reshape(labels, [-1]))
        real = tf.cast(tf.not_equal(labels, PAD), tf.float32)
        return -tf.reduce_sum(tf.reshape(losses, tf.shape(labels)) * real, -1), alignment

    def _cross_entropies(self, vectors: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        """Cross entropies float32[N] of labels int32[N], from vectors float32[N, D], some at a time."""
        rows = max(1, SCORED_LOGITS // self.target_size)

        def losses(part: slice) -> list[tf.Tensor]:
            logits = self.logits(vectors[part])
            return [tf.nn.sparse_softmax_cross_entropy_with_logits(labels[part], logits)]

        return in_parts(losses, rows, tf.size(labels), ranks=[1])[0]
