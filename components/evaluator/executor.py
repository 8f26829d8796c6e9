"""Executor of Evaluator: translates and scores the held-out sets, and writes scores and verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from bitext.components import artifacts
from bitext.components.artifacts import TEST_SPLIT, Metrics, Verdict
from bitext.components.component import Context
from bitext.components.evaluator import GOLDEN, TRIVIAL, Parameters, set_label
from bitext.components.evaluator.scoring import score_set
from bitext.components.evaluator.trivial import most_frequent_target
from bitext.components.evaluator.verdict import judge, scores_in_words, trivial_problems
from bitext.components.evaluator.writing import write_evaluation
from bitext.components.shared import errors
from bitext.components.shared.heldout import Sentence, read_sentences
from bitext.components.shared.metrics import METRICS, tokenizers
from bitext.components.translation.held_out import evaluated_search
from bitext.components.translation.translator import LineTranslator


def run(
    parameters: Parameters,
    context: Context,
    *,
    examples: Sequence[artifacts.Examples],
    golden: artifacts.Examples | None = None,
    model: artifacts.Model,
    baseline: artifacts.Model | None = None,
    evaluation: artifacts.ModelEvaluation,
    blessing: artifacts.ModelBlessing,
) -> None:
    """Scores `model` on all held-out sets; writes scores, translations and the verdict.

    A refused model is not an error: the verdict is written, and the pipeline continues without pushing.

    Args:
      examples: the examples of each span, whose test splits are scored as one set.
      golden: the golden set and the named test sets, each a split, if there are any.
      model: the model to score.
      baseline: the model now served, if there is one.
      evaluation: the output for scores and translations.
      blessing: the output for the verdict.

    Raises:
      errors.ConfigError: a threshold is set for a golden set that does not exist, or the tokenizer does not
        suit the references.
      errors.DataError: a set has no sentence, or a model cannot be loaded.
    """
    fixed_sets = [] if golden is None else golden.splits()
    if GOLDEN not in fixed_sets and (unused := parameters.thresholds_of(GOLDEN, defaults=False)):
        raise errors.ConfigError(
            f"evaluator.{unused[0].key} is set, but there is no golden set",
            "name its file in `example_gen.golden`, or remove the threshold",
        )
    folders = _folders(examples, golden)
    by_line = parameters.references == "by_line"
    parts = {TEST_SPLIT: [artifacts.span_label(span) for span in examples]}
    sets = {
        name: read_sentences(set_folders, parameters.max_sentences, by_line=by_line, parts=parts.get(name))
        for name, set_folders in folders.items()
    }
    parameters = _with_tokenizer(parameters, sets[TEST_SPLIT], context)
    model.verify()
    candidate = _translator(model, parameters)
    served = _baseline_translator(baseline, parameters, context)
    frequent = most_frequent_target(examples) if parameters.beat_trivial_baselines else None
    with context.progress("sentences", sum(map(len, sets.values())) * (2 if served else 1)):
        scored = {
            name: score_set(name, sentences, candidate, served, parameters, context, frequent)
            for name, sentences in sets.items()
        }
    metrics = {name: scored_set.metrics for name, scored_set in scored.items()}
    verdict = judge(metrics, parameters, context.force_bless)
    write_evaluation(evaluation, scored, model)
    _write_blessing(blessing, verdict)
    _report(context, metrics, verdict)


def _folders(
    examples: Sequence[artifacts.Examples], golden: artifacts.Examples | None
) -> dict[str, list[Path]]:
    """Returns the folders of each held-out set: the test split, the golden set, the named sets."""
    folders = {TEST_SPLIT: [span.split(TEST_SPLIT) for span in examples]}
    if golden is not None:
        names = sorted(golden.splits(), key=lambda name: (name != GOLDEN, name))
        folders |= {name: [golden.split(name)] for name in names}
    return folders


def _with_tokenizer(parameters: Parameters, sentences: Sequence[Sentence], context: Context) -> Parameters:
    """Returns the parameters with the tokenizer for the test split's references. All sets are scored with it.

    Raises:
      errors.ConfigError: the tokenizer that is set does not suit the references.
    """
    tokenization = tokenizers.resolve(parameters.tokenize, [s.references for s in sentences])
    if tokenization.warning:
        context.say(f"warning: {tokenization.warning}")
    context.say(str(tokenization))
    return msgspec.structs.replace(parameters, tokenize=tokenization.tokenizer)


def _translator(model: artifacts.Model, parameters: Parameters) -> LineTranslator:
    """Loads a model.

    Raises:
      errors.DataError: the model is missing or damaged, or lacks a signature.
    """
    try:
        search, batch_size = evaluated_search(parameters), parameters.batch_size
        return LineTranslator(model.serving, search, batch_size, trusted=True)  # the Trainer made it
    except errors.DataError as error:
        raise model.damaged(model.serving, f"cannot be used: {error}") from error


def _baseline_translator(
    baseline: artifacts.Model | None, parameters: Parameters, context: Context
) -> LineTranslator | None:
    """Loads the model now served; returns None if there is none or `compare_with_baseline` is false.

    Raises:
      errors.DataError: the model is damaged or lacks a signature.
    """
    if baseline is None or not parameters.compare_with_baseline:
        return None
    if not baseline.has_saved_model:
        # A person may have deleted the folder of an old run. This must not stop every later model.
        context.say(f"the model now served is gone from {baseline.path}; no comparison with it")
        return None
    try:
        return _translator(baseline, parameters)
    except errors.DataError as error:
        raise errors.DataError(
            f"the model now served cannot be compared with: {error}",
            "restore its folder, or set `evaluator.compare_with_baseline: false`",
        ) from error


def _write_blessing(blessing: artifacts.ModelBlessing, verdict: Verdict) -> None:
    """Writes the verdict and the artifact's properties."""
    blessing.write(verdict)
    blessing.properties[blessing.BLESSED_PROPERTY] = int(verdict.blessed)
    blessing.properties[blessing.REASONS_PROPERTY] = "; ".join(verdict.reasons)
    if verdict.forced is not None:
        blessing.properties["forced"] = verdict.forced


def _report(context: Context, metrics: Mapping[str, Metrics], verdict: Verdict) -> None:
    """Prints the scores of each set, and the verdict."""
    for name, set_metrics in metrics.items():
        context.say(
            f"{set_label(name)}: {set_metrics.sentences:,} sentences at "
            f"{set_metrics.sentences_per_second:.0f} per second, perplexity {set_metrics.perplexity:.2f}, "
            f"length ratio {set_metrics.length_ratio:.3f}"
        )
        for metric in METRICS:
            score = set_metrics.scores[metric.name]
            low, high = score.interval
            context.say(f"  {metric.label} {score.score:.2f} [{low:.2f}, {high:.2f}]  {score.signature}")
        for row in set_metrics.by_source_length:
            length = f"{row.first}-{row.last}" if row.last else f"{row.first}+"
            context.say(f"  {length:>6} {set_metrics.source_unit}: BLEU {row.bleu:5.2f} on {row.sentences:,}")
        if set_metrics.trivial:
            exceeded = "NOT all exceeded" if trivial_problems(set_metrics) else "all exceeded"
            context.say(f"trivial baselines on the {set_label(name)}, {exceeded}:")
        for baseline, trivial in set_metrics.trivial.items():
            context.say(f"  {TRIVIAL[baseline]}: {scores_in_words(trivial.scores)}")
    outcome = "BLESSED BY FORCE" if verdict.forced else "blessed" if verdict.blessed else "NOT blessed"
    context.say(f"{outcome}: {'; '.join(verdict.reasons)}")
