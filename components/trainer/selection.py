"""What follows the last update: which weights are exported, with which length penalty, and their scores."""

from __future__ import annotations

import math
from collections.abc import Callable

import msgspec

from bitext.components.artifacts import ModelRun, Selection
from bitext.components.seq2seq import SearchSettings
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.seq2seq.model import Seq2Seq
from bitext.components.shared.corpus_size import AUTO
from bitext.components.shared.heldout import Sentence
from bitext.components.text.processor import TextPair
from bitext.components.trainer import Parameters
from bitext.components.trainer.data import Batches
from bitext.components.trainer.length_fitting import Fit, fit_length_penalty, training_ratio
from bitext.components.trainer.validation import validation_function

DEFAULT_PENALTY = 1.0
"""The number for `length_penalty: auto` during training, and with a greedy search."""


def with_penalty(parameters: Parameters, fit: Fit | None = None) -> Parameters:
    """Returns the parameters with a number for `length_penalty: auto`."""
    number = fit.length_penalty if fit else DEFAULT_PENALTY
    search = parameters.search.with_length_penalty(number)
    return msgspec.structs.replace(parameters, search=search)


def select(
    network: Seq2Seq,
    pair: TextPair,
    parameters: Parameters,
    batches: Batches,
    held_out: list[Sentence],
    model_run: ModelRun,
    say: Callable[[str], None],
) -> tuple[SearchSettings, Selection]:
    """Chooses the search of the exported model, and describes its weights.

    Args:
      network: the model with the weights to export.
      pair: the text paths.
      parameters: the parameters in effect.
      batches: the training data.
      held_out: the sentences of the eval split that validations translate.
      model_run: the record of the training.
      say: prints what was chosen.

    Returns:
      The search, with a number for its length penalty; and what is recorded.
    """
    first, last, count = exported_steps(parameters, model_run)
    fit = None
    if parameters.search.length_penalty == AUTO and parameters.search.beam_size > 1:
        translator = Translator(network, pair, with_penalty(parameters).search, parameters.serving_limits)
        sources = [sentence.source for sentence in held_out]
        fit = fit_length_penalty(translator, sources, training_ratio(batches, pair))
        say(str(fit))
        if fit.warning:
            say(f"warning: {fit.warning}")
    parameters = with_penalty(parameters, fit)
    search, best = parameters.search, next(v for v in model_run.history() if v.step == last)
    bleu, chrf, loss = best.bleu, best.chrf, best.validation_loss
    if count > 1 or fit:
        translator = Translator(network, pair, search, parameters.serving_limits)
        scores = validation_function(translator, held_out, parameters, lambda _: None)()
        bleu, chrf, loss = round(scores.bleu, 3), round(scores.chrf, 3), round(scores.loss, 4)
        loss = loss if math.isfinite(loss) else None
        mean = f" (mean of the weights at {count} validations, updates {first:,} to {last:,})"
        say(f"exported model: validation BLEU {bleu:.2f} chrF {chrf:.2f}{mean if count > 1 else ''}")
    ratios = (fit.ratio, fit.training_ratio) if fit else (None, None)
    return search, Selection(first, last, count, bleu, chrf, loss, search.alpha, *ratios)


def exported_steps(parameters: Parameters, model_run: ModelRun) -> tuple[int, int, int]:
    """Returns the updates of the first and the last validation that are exported, and their number."""
    validations = model_run.history()
    late = [v.step for v in validations if parameters.averages_weights_at(v.step)]
    late = late or [max(validations, key=lambda validation: validation.quality).step]
    return late[0], late[-1], len(late)
