"""Unknown words are replaced by the source words that they are aligned to (Jean et al. 2015, section 3.3)."""

from __future__ import annotations

import tensorflow as tf

from bitext.components.text.processor import TextProcessor


def aligned_words(source: TextProcessor, most: int, text: tf.Tensor, alignment: tf.Tensor) -> tf.Tensor:
    """Returns the source word with the highest alignment for each target token.

    Args:
      source: the text processor of the source, with a vocabulary of words.
      most: number of words of a text that the model reads.
      text: string[B].
      alignment: float32[B, N, T, S]; see `Hypotheses`.

    Returns:
      string[B * N, T].
    """
    sentences, translations, length, source_length = tf.unstack(tf.shape(alignment))
    words = source.pretokenize(source.normalize(text))[:, :most].to_tensor("", shape=[None, None])
    # The alignment has more columns, because `</s>` is a source token but not a word.
    padding = source_length - tf.shape(words)[1]
    words = tf.pad(words, [[0, 0], [0, padding]], constant_values="")
    is_word = tf.cast(tf.not_equal(words, ""), tf.float32)[:, tf.newaxis, tf.newaxis]
    positions = tf.argmax(alignment * is_word, -1, output_type=tf.int32)
    positions = tf.reshape(positions, [sentences, translations * length])
    aligned = tf.gather(words, positions, batch_dims=1)
    return tf.reshape(aligned, [sentences * translations, length])
