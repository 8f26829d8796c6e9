"""The evaluator's work: translate the held-out split, score it, compare, and give the verdict."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf

from components import artifacts
from components.component import Context
from components.evaluator import SPLIT, Parameters
from components.evaluator.scoring import Comparison, CorpusScore, LengthRow, Scorer
from components.heldout import Sentence, read_sentences
from components.translate import LineTranslator, Search, Translation, length_sorted_batches


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether a model is blessed, and the reasons for that, in words."""

    blessed: bool
    reasons: list[str]


@dataclasses.dataclass(frozen=True)
class Metrics:
    """What metrics.json holds. `sentences` counts what was translated."""

    bleu: CorpusScore
    chrf: CorpusScore
    perplexity: float
    length_ratio: float
    by_source_length: list[LengthRow]
    sentences: int
    sentences_per_second: float
    baseline: Comparison | None

    def as_json(self) -> dict[str, Any]:
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return fields | {"by_source_length": [row.as_json() for row in self.by_source_length]}


def run(
    parameters: Parameters,
    context: Context,
    *,
    examples: artifacts.Examples,
    model: artifacts.Model,
    baseline: artifacts.Model | None = None,
    evaluation: artifacts.ModelEvaluation,
    blessing: artifacts.ModelBlessing,
) -> None:
    """Scores `model` on the held-out split; writes the scores, the translations and the verdict.

    A model that is refused is no error: the verdict is written, and the pipeline goes on without pushing.

    Raises:
      errors.DataError: there is no held-out sentence, or the model cannot be loaded.
    """
    by_line = parameters.references == "by_line"
    sentences = read_sentences([examples.split(SPLIT)], parameters.max_sentences, by_line=by_line)
    translator = _translator(model, parameters)
    context.say(f"translating {len(sentences):,} held-out sentences")
    started = time.monotonic()
    translations = translate(translator, sentences)
    seconds = time.monotonic() - started

    scorer = Scorer([s.references for s in sentences], parameters)
    statistics = scorer.statistics(scorer.bleu, [t.text for t in translations])
    comparison = _compare(scorer, statistics, sentences, baseline, parameters, context)
    chrf_statistics = scorer.statistics(scorer.chrf, [t.text for t in translations])
    metrics = Metrics(
        bleu=scorer.score(scorer.bleu, statistics),
        chrf=scorer.score(scorer.chrf, chrf_statistics),
        perplexity=perplexity(translator, sentences),
        length_ratio=scorer.length_ratio(statistics),
        by_source_length=scorer.by_source_length(statistics, [len(s.source.split()) for s in sentences]),
        sentences=len(sentences),
        sentences_per_second=len(sentences) / max(seconds, 1e-9),
        baseline=comparison,
    )
    verdict = judge(metrics, parameters)
    _write(evaluation, metrics, sentences, translations)
    _write_blessing(blessing, verdict)
    _report(context, metrics, verdict)


def translate(translator: LineTranslator, sentences: list[Sentence]) -> list[Translation]:
    """The best translation of each sentence, in order."""
    return [best[0] for best in translator.translate([s.source.encode() for s in sentences])]


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


def judge(metrics: Metrics, parameters: Parameters) -> Verdict:
    """The verdict, from the scores alone.

    A model is refused when its probabilities are not finite, when its BLEU is below `min_bleu`, or when it is
    significantly worse than the baseline: lower, with a p-value below `significance`.
    """
    bleu = metrics.bleu.score
    checks = [  # Each: whether it passed, what to say if so, and if not.
        (
            bleu >= parameters.min_bleu,
            f"BLEU {bleu:.2f} reaches the threshold min_bleu {parameters.min_bleu:g}",
            f"BLEU {bleu:.2f} is below the threshold min_bleu {parameters.min_bleu:g}",
        ),
        (
            math.isfinite(metrics.perplexity),
            f"perplexity is {metrics.perplexity:.2f}",
            f"perplexity is {metrics.perplexity}: the model's probabilities are not finite",
        ),
    ]
    if metrics.baseline is not None:
        against = metrics.baseline
        figures = (
            f"BLEU {bleu:.2f} against {against.bleu:.2f} of the last blessed model "
            f"({against.difference:+.2f}, p = {against.p_value:.3f})"
        )
        worse = against.difference < 0 and against.p_value < parameters.significance
        checks.append((not worse, f"{figures}: not significantly worse", f"{figures}: significantly worse"))
    against_it = [bad for passed, _, bad in checks if not passed]
    return Verdict(blessed=not against_it, reasons=against_it or [good for _, good, _ in checks])


def search_of(parameters: Parameters) -> Search:
    """The search that is scored."""
    return Search(
        beam_size=parameters.beam_size,
        length_penalty=parameters.length_penalty,
        max_length=parameters.max_length,
    )


def _translator(model: artifacts.Model, parameters: Parameters) -> LineTranslator:
    return LineTranslator(model.path / "Format-Serving", search_of(parameters), parameters.batch_size)


def _compare(
    scorer: Scorer,
    statistics: np.ndarray[Any, np.dtype[np.float64]],
    sentences: list[Sentence],
    baseline: artifacts.Model | None,
    parameters: Parameters,
    context: Context,
) -> Comparison | None:
    """What users would get against what they get from the baseline, decoded now, on the same sentences."""
    if baseline is None or not parameters.compare_with_baseline:
        return None
    if not (baseline.path / "Format-Serving" / "saved_model.pb").is_file():
        # An old run may have been tidied away by hand; that must not stop every later model.
        context.say(f"the last blessed model is gone from {baseline.path}; no comparison with it")
        return None
    context.say("translating them with the last blessed model, to compare")
    translations = translate(_translator(baseline, parameters), sentences)
    return scorer.compare(statistics, scorer.statistics(scorer.bleu, [t.text for t in translations]))


def _write(
    evaluation: artifacts.ModelEvaluation,
    metrics: Metrics,
    sentences: list[Sentence],
    translations: list[Translation],
) -> None:
    """metrics.json, translations.jsonl, and the artifact's properties."""
    # msgspec writes what is not finite as null, which every JSON reader takes.
    encoded = msgspec.json.format(msgspec.json.encode(metrics.as_json()))
    (evaluation.path / "metrics.json").write_bytes(encoded + b"\n")
    with (evaluation.path / "translations.jsonl").open("wb") as lines:
        for sentence, translation in zip(sentences, translations, strict=True):
            row = {
                "id": sentence.id,
                "source": sentence.source,
                "hypothesis": translation.text,
                "references": sentence.references,
                "score": translation.score,
            }
            lines.write(msgspec.json.encode(row) + b"\n")
    evaluation.properties.update(
        bleu=metrics.bleu.score,
        bleu_signature=metrics.bleu.signature,
        chrf=metrics.chrf.score,
        chrf_signature=metrics.chrf.signature,
        length_ratio=metrics.length_ratio,
        sentences=metrics.sentences,
    )
    if math.isfinite(metrics.perplexity):
        evaluation.properties["perplexity"] = metrics.perplexity


def _write_blessing(blessing: artifacts.ModelBlessing, verdict: Verdict) -> None:
    """One of two files: `BLESSED` or `NOT_BLESSED`."""
    path: Path = blessing.path / ("BLESSED" if verdict.blessed else "NOT_BLESSED")
    path.write_bytes(msgspec.json.format(msgspec.json.encode(verdict)) + b"\n")
    blessing.properties["blessed"] = int(verdict.blessed)


def _report(context: Context, metrics: Metrics, verdict: Verdict) -> None:
    """What a person reads of it."""
    low, high = metrics.bleu.interval
    context.say(
        f"BLEU {metrics.bleu.score:.2f} [{low:.2f}, {high:.2f}], chrF {metrics.chrf.score:.2f}, "
        f"perplexity {metrics.perplexity:.2f}, length ratio {metrics.length_ratio:.3f}, "
        f"{metrics.sentences:,} sentences at {metrics.sentences_per_second:.0f} a second"
    )
    context.say(f"{metrics.bleu.signature}")
    for row in metrics.by_source_length:
        words = f"{row.first}-{row.last}" if row.last else f"{row.first}+"
        context.say(f"  {words:>6} words: BLEU {row.bleu:5.2f} on {row.sentences:,}")
    context.say(f"{'blessed' if verdict.blessed else 'NOT blessed'}: {'; '.join(verdict.reasons)}")
