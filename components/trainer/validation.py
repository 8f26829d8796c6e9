"""The validation of a training: translates sentences of the eval split and scores the translations."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from sacrebleu.metrics import BLEU, CHRF

from bitext.components.seq2seq.export.saved_model import TEXT, Translator
from bitext.components.seq2seq.model import PAD, count_tokens
from bitext.components.shared import progress
from bitext.components.shared.graphs import graph_function
from bitext.components.shared.heldout import Sentence
from bitext.components.shared.metrics import tokenizers
from bitext.components.shared.metrics.sacrebleu_metrics import reference_streams
from bitext.components.shared.parallel import parallel_map
from bitext.components.trainer import Parameters
from bitext.components.trainer.recording import sample_indices

VALIDATION_BATCH = 100
"""Sentences that a validation translates at a time."""
LOSS_SENTENCES = 100
"""Sentences whose loss a validation computes. It only decides between equal BLEU and equal chrF."""
LOSS_BATCH = 25
"""Sentences whose loss is computed at a time. The logits of all their tokens are in memory."""


@dataclasses.dataclass(frozen=True)
class ValidationScores:
    """The scores of a model on sentences of the eval split.

    BLEU of a model that has learned little is 0 in many validations. chrF and the loss then tell which
    weights are better.

    Attributes:
      bleu, chrf: 0 to 100; -1 before the first validation.
      loss: mean cross entropy of the references, in nats per token.
      translations: the translations of the sample sentences; they do not count in the comparison.
    """

    bleu: float
    chrf: float = -1.0
    loss: float = math.inf
    translations: tuple[str, ...] = ()

    def is_better_than(self, other: ValidationScores) -> bool:
        """Whether BLEU is higher; with equal BLEU, chrF is higher; with equal chrF, the loss is lower."""
        return (self.bleu, self.chrf, -self.loss) > (other.bleu, other.chrf, -other.loss)


def validation_function(
    translator: Translator,
    held_out: list[Sentence],
    parameters: Parameters,
    say: Callable[[str], None] = print,
) -> Callable[[], ValidationScores]:
    """Returns a function that translates the held-out sentences and returns the scores.

    Args:
      translator: the model, whose weights may change between two calls of the function.
      held_out: the sentences, with their references.
      parameters: the options of the search and of the scores; where they are null, sacreBLEU's defaults.
      say: prints the tokenizer.

    Raises:
      ConfigError: the tokenizer does not suit the references.
    """
    options = parameters.validation
    length_penalty = translator.search.alpha if options.beam_size > 1 else 0.0
    sources = tf.constant([s.source for s in held_out])
    batches = batches_by_length(translator, sources)
    references = [s.references for s in held_out]
    tokenizer = _tokenizer(options.tokenize or tokenizers.AUTO, references, say)
    streams, lowercase = reference_streams(references), bool(options.lowercase)
    bleu = BLEU(tokenize=tokenizer, lowercase=lowercase, force=True, references=streams)
    chrf = CHRF(lowercase=lowercase, references=streams)
    loss = loss_function(translator, held_out[:LOSS_SENTENCES])

    @graph_function(input_signature=[TEXT])
    def translate(text: tf.Tensor) -> tf.Tensor:
        start = translator.start(text)
        hypotheses = translator.decode(
            start, options.beam_size, length_penalty, translator.search.max_length, nbest=1
        )
        return translator.detokenize_hypotheses(text, hypotheses)[:, 0]

    def validate() -> ValidationScores:
        translations = np.empty(len(held_out), object)

        def texts_of(batch: np.ndarray) -> np.ndarray:
            texts: np.ndarray = translate(tf.gather(sources, batch)).numpy()
            progress.count(0)  # a long validation is no standstill
            return texts

        outputs = parallel_map(texts_of, batches)
        for batch, texts in zip(batches, outputs, strict=True):
            translations[batch] = [t.decode() for t in texts]
        hypotheses = list(translations)
        return ValidationScores(
            float(bleu.corpus_score(hypotheses, None).score),
            float(chrf.corpus_score(hypotheses, None).score),
            loss(),
            tuple(hypotheses[index] for index in sample_indices(len(hypotheses))),
        )

    return validate


def batches_by_length(translator: Translator, sources: tf.Tensor) -> list[np.ndarray]:
    """Returns the indices of sources string[N], the shortest first, at most `VALIDATION_BATCH` in a batch."""
    order = np.argsort(count_tokens(translator.source_tokens(sources)).numpy(), kind="stable")
    return [order[i : i + VALIDATION_BATCH] for i in range(0, len(order), VALIDATION_BATCH)]


def loss_function(translator: Translator, held_out: list[Sentence]) -> Callable[[], float]:
    """Returns a function that returns the mean loss of the first references, in nats per token.

    Args:
      translator: the model, whose weights may change between two calls of the function.
      held_out: the sentences.
    """
    by_length = sorted(held_out, key=lambda s: len(s.source))
    sources = tf.constant([s.source for s in by_length])
    targets = tf.constant([s.references[0] for s in by_length])
    batches = [slice(i, i + LOSS_BATCH) for i in range(0, len(by_length), LOSS_BATCH)]

    @graph_function(input_signature=[TEXT, TEXT])
    def score(source: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The summed log probability of the targets, and their number of tokens."""
        # No longer than a translation: the logits of a very long reference would fill the memory.
        tokens = translator.target_tokens(target)[:, : translator.search.max_length + 1]
        log_prob, _ = translator.model.score(translator.source_tokens(source), tokens)
        return tf.reduce_sum(log_prob), tf.math.count_nonzero(tokens[:, 1:] != PAD)

    def loss() -> float:
        outputs = parallel_map(lambda batch: score(sources[batch], targets[batch]), batches)
        log_probs, tokens = zip(*((float(log_prob), int(count)) for log_prob, count in outputs), strict=True)
        return -sum(log_probs) / sum(tokens)

    return loss


def _tokenizer(tokenize: str, references: list[list[str]], say: Callable[[str], None]) -> str:
    """Returns the tokenizer of the validation BLEU. Prints it if it is chosen and not the usual one."""
    key = "trainer.validation.tokenize (by default evaluator.tokenize)"
    tokenization = tokenizers.resolve(tokenize, references, key)
    if tokenization.warning:
        say(f"warning: {tokenization.warning}")
    if tokenize == tokenizers.AUTO and tokenization.tokenizer != tokenizers.USUAL:
        say(f"validation with {tokenization}")
    return tokenization.tokenizer
