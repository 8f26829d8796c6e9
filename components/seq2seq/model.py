"""The attention Seq2Seq: embeddings, encoder, decoder, output layer, and the one step all decoding takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.decoders.recurrent import make_decoder
from bitext.components.seq2seq.encoders.recurrent import Encoder
from bitext.components.seq2seq.layers.attention import Memory
from bitext.components.seq2seq.layers.cells import State
from bitext.components.seq2seq.layers.dropout import NO_DROPOUT, Dropout
from bitext.components.text import BOS_ID, EOS_ID, PAD_ID, UNK_ID

PAD, BOS, EOS, UNK = PAD_ID, BOS_ID, EOS_ID, UNK_ID


def lengths(tokens: tf.Tensor) -> tf.Tensor:
    """How many of each row's tokens int32[..., T] are real: int32[...]."""
    return tf.reduce_sum(tf.cast(tf.not_equal(tokens, PAD), tf.int32), -1)


class Start(NamedTuple):
    """A batch of sources, ready to be decoded: the memory, and the decoder's state before `<s>`."""

    memory: Memory
    state: State


class Seq2Seq(keras.layers.Layer):
    """The model.

    Args:
      settings: its architecture.
      source_size: source vocabulary, special tokens included.
      target_size: target vocabulary; with `shared`, the same.
      shared: one embedding for both sides.
      seed: of the initial weights; it seeds the process (`keras.utils.set_random_seed`).
    """

    def __init__(
        self, settings: ModelSettings, source_size: int, target_size: int, shared: bool = True, seed: int = 1
    ):
        super().__init__(name="seq2seq")
        keras.utils.set_random_seed(seed)
        self.settings = settings
        self.target_size = target_size
        self.target_embedding = self._table("target_embedding", target_size)
        self.source_embedding = (
            self.target_embedding if shared else self._table("source_embedding", source_size)
        )
        self.encoder = Encoder(settings)
        self.decoder = make_decoder(settings)
        self.output_embedding = (
            self.target_embedding if settings.tie_embeddings else self._table("output_embedding", target_size)
        )
        self.output_bias = self.add_weight(name="output_bias", shape=(target_size,), initializer="zeros")

    def _table(self, name: str, size: int) -> keras.Variable:
        units = self.settings.embedding_units
        initial = keras.initializers.RandomNormal(stddev=units**-0.5)
        return self.add_weight(name=name, shape=(size, units), initializer=initial)

    def _embed(self, table: keras.Variable, tokens: tf.Tensor, dropout: Dropout = NO_DROPOUT) -> tf.Tensor:
        # Tied tables hold rows of norm one, right for the output layer; the recurrences want unit variance.
        # Gathered from a tensor: a variable that was gathered from is copied whole whenever it is read.
        embedded = tf.gather(tf.convert_to_tensor(table), tokens) * (self.settings.embedding_units**0.5)
        embedded = dropout(embedded, self.settings.embedding_dropout)
        return dropout.words(embedded, self.settings.word_dropout)

    def start(self, source: tf.Tensor, dropout: Dropout = NO_DROPOUT) -> Start:
        """Encodes source tokens int32[B, S], padded with 0 on the right."""
        embedded = self._embed(self.source_embedding, tf.transpose(source), dropout)
        encoded = self.encoder.encode(embedded, tf.not_equal(source, PAD), dropout)
        return Start(self.decoder.remember(encoded), self.decoder.initial_state(encoded))

    def logits(self, vectors: tf.Tensor) -> tf.Tensor:
        """Scores float32[N, V] of attentional vectors float32[N, D]."""
        return tf.matmul(vectors, self.output_embedding, transpose_b=True) + self.output_bias

    def output_layer(self, multiple: int) -> Callable[[tf.Tensor], tf.Tensor]:
        """`logits` for many calls, laid out once: of V words and as many more, of probability 0, as make a
        multiple."""
        missing = -self.target_size % multiple
        kernel = tf.pad(tf.transpose(self.output_embedding), [[0, 0], [0, missing]])
        bias = tf.pad(self.output_bias, [[0, missing]], constant_values=-1e9)
        return lambda vectors: tf.matmul(vectors, kernel) + bias

    def vectors(self, tokens: tf.Tensor, state: State, memory: Memory) -> tuple[State, tf.Tensor, tf.Tensor]:
        """One token for each of K hypotheses of B sentences.

        Args:
          tokens: int32[B, K].
          state: float32[B * K, U] each.
          memory: of the B sentences; it is not repeated for the hypotheses.

        Returns:
          The next state, attentional vectors float32[B * K, D], alignment float32[B, K, S].
        """
        embedded = self._embed(self.target_embedding, tokens)
        vectors, alignment, following = self.decoder.step(embedded, state, memory)
        return following, tf.reshape(vectors, [-1, self.settings.embedding_units]), alignment

    def step(self, tokens: tf.Tensor, state: State, memory: Memory) -> tuple[State, tf.Tensor, tf.Tensor]:
        """`vectors`, but with log probabilities float32[B, K, V] of the next token in their place."""
        following, vectors, alignment = self.vectors(tokens, state, memory)
        logits = self.logits(vectors)
        shape = tf.concat([tf.shape(tokens), [self.target_size]], 0)
        return following, tf.reshape(tf.nn.log_softmax(logits), shape), alignment

    def teacher_force(
        self, source: tf.Tensor, target: tf.Tensor, dropout: Dropout = NO_DROPOUT
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Predicts every target token from the true ones before it (Williams and Zipser 1989).

        Args:
          source: int32[B, S].
          target: int32[B, T], the tokens fed: `<s>` and what follows it.

        Returns:
          Attentional vectors float32[B, T, D] and alignments float32[B, T, S].
        """
        start = self.start(source, dropout)
        embedded = self._embed(self.target_embedding, target, dropout)
        return self.decoder.unroll(embedded, start.state, start.memory, dropout)

    def score(self, source: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Log probability float32[B] of the targets int32[B, T] (`<s>` ... `</s>`, padded), and the
        alignments float32[B, T - 1, S] of their tokens after `<s>`."""
        vectors, alignment = self.teacher_force(source, target[:, :-1])
        labels = target[:, 1:]
        logits = self.logits(tf.reshape(vectors, [-1, self.settings.embedding_units]))
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.reshape(labels, [-1]), logits)
        real = tf.cast(tf.not_equal(labels, PAD), tf.float32)
        return -tf.reduce_sum(tf.reshape(losses, tf.shape(labels)) * real, -1), alignment
