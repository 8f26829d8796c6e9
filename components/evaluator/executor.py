"""The evaluator's work: translate the held-out sets, score them, compare, and give the verdict."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import tensorflow as tf

from bitext.components import artifacts
from bitext.components.artifacts import (
    TEST_SPLIT,
    BaselineComparison,
    LengthRow,
    Metrics,
    Translated,
    Verdict,
)
from bitext.components.component import Context
from bitext.components.evaluator import GOLDEN, Parameters
from bitext.components.shared import errors
from bitext.components.shared.heldout import Sentence, read_sentences
from bitext.components.shared.metrics import METRICS, Bleu
from bitext.components.translation.held_out import evaluated_search, translate_sentences
from bitext.components.translation.translate import LineTranslator, Translation, length_sorted_batches

if TYPE_CHECKING:
    from bitext.components.shared.metrics.metric import SentenceStatistics


@dataclasses.dataclass(frozen=True)
class Scored:
    """One set of held-out sentences with their translations, in order, and the scores."""

    sentences: list[Sentence]
    translations: list[Translation]
    metrics: Metrics


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
    """Scores `model` on the test split, and on the golden set; writes scores, translations and the verdict.

    A model that is refused is no error: the verdict is written, and the pipeline goes on without pushing.

    Args:
      examples: of each span, for their test splits.
      baseline: the model now served.

    Raises:
      errors.ConfigError: a BLEU is demanded on a golden set that is not there.
      errors.DataError: a set has no sentence, or a model cannot be loaded.
    """
    if parameters.min_golden_bleu and golden is None:
        raise errors.ConfigError(
            "evaluator.min_golden_bleu is set, and there is no golden set",
            "name its file in `example_gen.golden`, or drop the threshold",
        )
    folders = {TEST_SPLIT: [span.split(TEST_SPLIT) for span in examples]}
    if golden is not None:
        folders[GOLDEN] = [golden.split(GOLDEN)]
    by_line = parameters.references == "by_line"
    sets = {
        name: read_sentences(places, parameters.max_sentences, by_line=by_line)
        for name, places in folders.items()
    }
    candidate, served = _translator(model, parameters), _baseline(baseline, parameters, context)
    scored = {
        name: score_set(name, sentences, candidate, served, parameters, context)
        for name, sentences in sets.items()
    }
    metrics = {name: of.metrics for name, of in scored.items()}
    verdict = judge(metrics, parameters, context.force_bless)
    _write(evaluation, scored)
    _write_blessing(blessing, verdict)
    _report(context, metrics, verdict)


def score_set(
    name: str,
    sentences: list[Sentence],
    candidate: LineTranslator,
    baseline: LineTranslator | None,
    parameters: Parameters,
    context: Context,
) -> Scored:
    """Translates a set with both models, now, and scores what the candidate makes of it."""
    context.say(f"translating the {len(sentences):,} sentences of the {_called(name)}")
    started = time.monotonic()
    translations = translate_sentences(candidate, sentences)
    seconds = time.monotonic() - started
    references = [s.references for s in sentences]
    hypotheses = [t.text for t in translations]
    bleu = Bleu(references, parameters)
    statistics = bleu.statistics(hypotheses)
    comparison = None
    if baseline is not None:
        context.say("translating them with the model now served, to compare")
        others = [t.text for t in translate_sentences(baseline, sentences)]
        compared = bleu.compare(statistics, bleu.statistics(others))
        comparison = BaselineComparison(
            compared.score, compared.interval, compared.difference, compared.p_value
        )
    scores = {}
    for kind in METRICS:
        metric = kind(references, parameters)
        scores[kind.name] = metric.score(metric.statistics(hypotheses))
    metrics = Metrics(
        scores=scores,
        perplexity=perplexity(candidate, sentences),
        length_ratio=bleu.length_ratio(statistics),
        by_source_length=tuple(
            by_source_length(
                bleu, statistics, [len(s.source.split()) for s in sentences], parameters.length_bins
            )
        ),
        sentences=len(sentences),
        sentences_per_second=len(sentences) / max(seconds, 1e-9),
        baseline=comparison,
    )
    return Scored(sentences, translations, metrics)


def by_source_length(
    bleu: Bleu, statistics: SentenceStatistics, words: Sequence[int], starts: Sequence[int]
) -> list[LengthRow]:
    """BLEU of the sentences in each length bin that holds any.

    Args:
      statistics: BLEU's, of each sentence.
      words: the length of each source.
      starts: the length at which each bin begins.
    """
    bins = np.digitize(np.maximum(np.asarray(words), 1), starts) - 1
    rows = []
    for index, first in enumerate(starts):
        in_bin = statistics[bins == index]
        if len(in_bin):
            last = starts[index + 1] - 1 if index + 1 < len(starts) else None
            rows.append(LengthRow(first, last, len(in_bin), bleu.corpus_score(in_bin.sum(axis=0))))
    return rows


def perplexity(translator: LineTranslator, sentences: list[Sentence]) -> float:
    """Of the references given their sources, per target token (`</s>` included). Not finite if the model's
    probabilities are not."""
    score = translator.signature("score")
    pairs = [(s.source.encode(), r.encode()) for s in sentences for r in s.references]
    log_prob, tokens = 0.0, 0
    for batch in length_sorted_batches([len(s) + len(t) for s, t in pairs], translator.batch_size):
        sources, targets = zip(*(pairs[i] for i in batch), strict=True)
        outputs = score(source=tf.constant(sources), target=tf.constant(targets))
        log_prob += float(np.sum(outputs["log_prob"].numpy(), dtype=np.float64))
        tokens += int(np.sum(outputs["length"].numpy()))
    with np.errstate(over="ignore"):
        return float(np.exp(-log_prob / tokens))


def judge(metrics: Mapping[str, Metrics], parameters: Parameters, force: str | None = None) -> Verdict:
    """The verdict, from the scores alone.

    A model is refused when on any set its probabilities are not finite, its BLEU is below the threshold, or
    it is significantly worse than the model now served: lower, with a p-value below `significance`.

    Args:
      metrics: of each set, by name.
      parameters: the thresholds.
      force: why a person has the model blessed all the same; only finite probabilities are still asked for.
    """
    checks = [check for name, of in metrics.items() for check in _checks(name, of, parameters)]
    against = [bad for passed, _, bad in checks if not passed]
    reasons = against or [good for _, good, _ in checks]
    if force is None:
        return Verdict(not against, reasons)
    if not all(map(_is_finite, metrics.values())):
        return Verdict(False, [*reasons, f"not to be forced ({force}): its probabilities are not finite"])
    return Verdict(True, [*reasons, f"forced: {force}"], force)


def _checks(name: str, metrics: Metrics, parameters: Parameters) -> list[tuple[bool, str, str]]:
    """What is asked of the scores of a set: whether it is so, what to say if it is, and what if not."""
    field = "min_golden_bleu" if name == GOLDEN else "min_bleu"
    least, bleu = getattr(parameters, field), metrics.scores[Bleu.name].score
    scored = f"BLEU {bleu:.2f} on the {_called(name)}"
    checks = [
        (
            bleu >= least,
            f"{scored} reaches the threshold {field} {least:g}",
            f"{scored} is below the threshold {field} {least:g}",
        ),
        (
            _is_finite(metrics),
            f"perplexity on it is {metrics.perplexity:.2f}",
            f"perplexity on the {_called(name)} is {metrics.perplexity}: "
            "the model's probabilities are not finite",
        ),
    ]
    if (served := metrics.baseline) is not None:
        figures = (
            f"{scored} against {served.bleu:.2f} of the model now served "
            f"({served.difference:+.2f}, p = {served.p_value:.3f})"
        )
        worse = served.difference < 0 and served.p_value < parameters.significance
        checks.append((not worse, f"{figures}: not significantly worse", f"{figures}: significantly worse"))
    return checks


def _is_finite(metrics: Metrics) -> bool:
    """Whether the model's probabilities of the references are finite."""
    return metrics.perplexity is not None and math.isfinite(metrics.perplexity)


def _called(name: str) -> str:
    """What a person calls a set."""
    return "golden set" if name == GOLDEN else f"{name} split"


def _translator(model: artifacts.Model, parameters: Parameters) -> LineTranslator:
    return LineTranslator(model.serving, evaluated_search(parameters), parameters.batch_size)


def _baseline(
    baseline: artifacts.Model | None, parameters: Parameters, context: Context
) -> LineTranslator | None:
    """The model now served, if it is to be compared with."""
    if baseline is None or not parameters.compare_with_baseline:
        return None
    if not baseline.has_saved_model:
        # An old run may have been tidied away by hand; that must not stop every later model.
        context.say(f"the model now served is gone from {baseline.path}; no comparison with it")
        return None
    return _translator(baseline, parameters)


def _write(evaluation: artifacts.ModelEvaluation, scored: Mapping[str, Scored]) -> None:
    """Writes the scores, the translations of each set, and the artifact's properties."""
    golden = scored[GOLDEN].metrics if GOLDEN in scored else None
    evaluation.write_metrics(msgspec.structs.replace(scored[TEST_SPLIT].metrics, golden=golden))
    for name, of in scored.items():
        rows = (
            Translated(sentence.id, sentence.source, best.text, sentence.references, best.score)
            for sentence, best in zip(of.sentences, of.translations, strict=True)
        )
        evaluation.write_translations(rows, golden=name == GOLDEN)
        properties: dict[str, artifacts.Property] = {
            "length_ratio": of.metrics.length_ratio,
            "sentences": of.metrics.sentences,
        }
        if of.metrics.perplexity is not None:
            properties["perplexity"] = of.metrics.perplexity
        for metric, score in of.metrics.scores.items():
            properties |= {metric: score.score, f"{metric}_signature": score.signature}
        prefix = "golden_" if name == GOLDEN else ""
        evaluation.properties.update({prefix + k: v for k, v in properties.items() if _recorded(v)})


def _recorded(value: artifacts.Property) -> bool:
    """Whether the metadata store takes it: all but numbers that are not finite."""
    return not isinstance(value, float) or math.isfinite(value)


def _write_blessing(blessing: artifacts.ModelBlessing, verdict: Verdict) -> None:
    """Writes the verdict and the artifact's properties."""
    blessing.write(verdict)
    blessing.properties["blessed"] = int(verdict.blessed)
    if verdict.forced is not None:
        blessing.properties["forced"] = verdict.forced


def _report(context: Context, metrics: Mapping[str, Metrics], verdict: Verdict) -> None:
    """What a person reads of it."""
    for name, of in metrics.items():
        scores = []
        for kind in METRICS:
            score = of.scores[kind.name]
            low, high = score.interval
            scores.append(f"{kind.label} {score.score:.2f} [{low:.2f}, {high:.2f}]")
        context.say(
            f"{_called(name)}: {', '.join(scores)}, "
            f"perplexity {of.perplexity:.2f}, length ratio {of.length_ratio:.3f}, "
            f"{of.sentences:,} sentences at {of.sentences_per_second:.0f} a second"
        )
        for score in of.scores.values():
            context.say(score.signature)
        for row in of.by_source_length:
            words = f"{row.first}-{row.last}" if row.last else f"{row.first}+"
            context.say(f"  {words:>6} words: BLEU {row.bleu:5.2f} on {row.sentences:,}")
    how = "BLESSED BY FORCE" if verdict.forced else "blessed" if verdict.blessed else "NOT blessed"
    context.say(f"{how}: {'; '.join(verdict.reasons)}")
