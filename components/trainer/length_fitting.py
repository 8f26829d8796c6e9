"""`trainer.search.length_penalty: auto`: translations become as long as the training targets are.

A penalty that is chosen by BLEU on the eval split fits the lengths of its references, which differ from those
of other texts. This choice reads no reference.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from bitext.components.seq2seq.export.saved_model import TEXT, Translator
from bitext.components.shared import progress
from bitext.components.shared.graphs import graph_function
from bitext.components.shared.parallel import parallel_map
from bitext.components.text import FIRST_BYTE_ID, SPECIALS, UNK_ID
from bitext.components.text.processor import TextPair, TextProcessor
from bitext.components.trainer.data import Batches
from bitext.components.trainer.validation import batches_by_length

PAIRS = 100_000
"""Training pairs whose lengths are counted: the first that a training reads."""
LOWEST, HIGHEST = 0.0, 2.0
"""The range of penalties that are tried."""
HALVINGS = 6
"""How often the range is halved: the penalty is within 0.02 of the one that is searched for."""


@dataclasses.dataclass(frozen=True)
class Fit:
    """A length penalty, and the lengths that decided.

    Attributes:
      length_penalty: the penalty.
      ratio: characters of the translations per character of their sources.
      training_ratio: characters of the targets per character of the sources in the training data.
      sentences: number of translated sentences.
    """

    length_penalty: float
    ratio: float
    training_ratio: float
    sentences: int

    def __str__(self) -> str:
        return (
            f"length_penalty auto: {self.length_penalty:.2f}. {self.sentences:,} translations have "
            f"{self.ratio:.3f} characters per source character, training targets {self.training_ratio:.3f}"
        )

    @property
    def warning(self) -> str:
        """Why no penalty gives the length of the training data; empty: one does."""
        if LOWEST < self.length_penalty < HIGHEST:
            return ""
        side = "longer" if self.length_penalty == LOWEST else "shorter"
        return (
            f"length_penalty auto: with any penalty from {LOWEST:g} to {HIGHEST:g}, translations are {side} "
            "than the training targets: the model is trained too little, or the eval split differs"
        )


def fit_length_penalty(translator: Translator, sources: Sequence[str], training_ratio: float) -> Fit:
    """Returns the penalty at which translations are as long as the training data has them.

    Translations get longer with the penalty, so the range is halved until it is small.

    Args:
      translator: the trained model, with its search.
      sources: the sources of the eval split that are translated.
      training_ratio: see `Fit`.
    """
    texts = tf.constant(list(sources))
    batches = batches_by_length(translator, texts)
    source_lengths, target_lengths = (piece_lengths(text) for text in (translator.source, translator.target))
    search = translator.search

    @graph_function(input_signature=[TEXT, tf.TensorSpec([], tf.float32)])
    def lengths(text: tf.Tensor, penalty: tf.Tensor) -> tf.Tensor:
        """Characters of the sources and of their translations, int32[2]."""
        ids = translator.source_tokens(text)
        found = translator.decode(
            translator.model.start(ids), search.beam_size, penalty, search.max_length, 1
        )
        return tf.stack([count(ids, source_lengths), count(found.tokens, target_lengths)])

    def ratio(penalty: float) -> float:
        def of_batch(batch: np.ndarray) -> np.ndarray:
            result: np.ndarray = lengths(tf.gather(texts, batch), penalty).numpy()
            progress.count(0)  # a long search is no standstill
            return result

        source, target = np.sum(list(parallel_map(of_batch, batches)), 0)
        return float(target / max(1, source))

    penalty, reached = _bisect(ratio, training_ratio)
    return Fit(penalty, reached, training_ratio, len(sources))


def _bisect(ratio: Callable[[float], float], wanted: float) -> tuple[float, float]:
    """Returns the penalty with the wanted ratio, and its ratio; an end of the range if none has it."""
    lowest = ratio(LOWEST)
    if lowest >= wanted:
        return LOWEST, lowest
    highest = ratio(HIGHEST)
    if highest <= wanted:
        return HIGHEST, highest
    low, high = LOWEST, HIGHEST
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if ratio(middle) < wanted else (low, middle)
    penalty = round((low + high) / 2, 2)
    return penalty, ratio(penalty)


def training_ratio(batches: Batches, pair: TextPair) -> float:
    """Returns the characters of the targets per character of the sources in the training data.

    Args:
      batches: the training data, of which `PAIRS` pairs are read.
      pair: the text paths.
    """
    lengths = [piece_lengths(text) for text in (pair.source, pair.target)]
    pairs, totals = 0, np.zeros(2)
    unchanged = dataclasses.replace(batches, segmenter=None, workers=1, worker=0)
    enough = min(PAIRS, sum(bucket.examples for bucket in batches.buckets))
    for sides in unchanged.after(0):
        totals += [int(count(ids, of_side)) for ids, of_side in zip(sides, lengths, strict=True)]
        pairs += int(sides[0].shape[0])
        if pairs >= enough:
            break
    return float(totals[1] / max(1.0, totals[0]))


def piece_lengths(text: TextProcessor) -> tf.Tensor:
    """Returns the characters that each id stands for, int32[V].

    Of the bytes of a character, one counts. An unknown word has the mean length of the words.
    """
    pieces = text.pieces()
    lengths = [0 if number < len(SPECIALS) else len(piece) for number, piece in enumerate(pieces)]
    if text.words:
        lengths[UNK_ID] = round(sum(lengths) / max(1, len(pieces) - len(SPECIALS)))
    else:
        first_byte_of_character = [int(not 0x80 <= byte < 0xC0) for byte in range(256)]
        lengths[FIRST_BYTE_ID : FIRST_BYTE_ID + 256] = first_byte_of_character
    return tf.constant(lengths, tf.int32)


def count(ids: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Returns the characters of ids int32[...], from those of each id int32[V]: int32[]."""
    return tf.reduce_sum(tf.gather(lengths, ids))
