"""Writes the scores, the translations and their attention."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import msgspec

from bitext.components import artifacts
from bitext.components.artifacts import TEST_SPLIT, Aligned, Metrics, Translated, Vocabulary
from bitext.components.evaluator import GOLDEN
from bitext.components.evaluator.scoring import ScoredSet


def write_evaluation(
    evaluation: artifacts.ModelEvaluation, scored: Mapping[str, ScoredSet], model: artifacts.Model
) -> None:
    """Writes the scores, the translations and alignments of each set, and the artifact's properties.

    Args:
      evaluation: the output.
      scored: the sets by split.
      model: the model that translated them, whose vocabulary names the tokens of the alignments.

    Raises:
      errors.DataError: the model's vocabulary is missing or damaged.
    """
    metrics = {name: scored_set.metrics for name, scored_set in scored.items()}
    test, golden = metrics.pop(TEST_SPLIT), metrics.pop(GOLDEN, None)
    evaluation.write_metrics(msgspec.structs.replace(test, golden=golden, test_sets=metrics))
    has_attention = any(t.attention for scored_set in scored.values() for t in scored_set.translations)
    vocabulary = model.vocabulary() if has_attention else None
    for name, scored_set in scored.items():
        evaluation.write_translations(_translated(scored_set), name)
        if vocabulary is not None:
            evaluation.write_alignments(_aligned(scored_set, vocabulary), name)
        prefix = "" if name == TEST_SPLIT else f"{name}_"
        for key, value in _properties(scored_set.metrics).items():
            evaluation.properties[prefix + key] = value


def _translated(scored_set: ScoredSet) -> Iterator[Translated]:
    """Yields the sentences of a set with their translations and scores."""
    nothing: list[str | None] = [None] * len(scored_set.sentences)
    served = nothing if scored_set.served is None else scored_set.served
    served_scores = scored_set.served_scores or [{}] * len(scored_set.sentences)
    rows = zip(
        scored_set.sentences, scored_set.translations, scored_set.scores, served, served_scores, strict=True
    )
    for sentence, best, scores, served_text, scores_of_served in rows:
        yield Translated(
            id=sentence.id,
            source=sentence.source,
            hypothesis=best.translation.text,
            references=sentence.references,
            score=best.translation.score,
            scores=scores,
            part=sentence.part,
            served=served_text,
            served_scores=scores_of_served,
        )


def _aligned(scored_set: ScoredSet, vocabulary: Vocabulary) -> Iterator[Aligned]:
    """Yields the attention of the translations that have one."""
    for sentence, best in zip(scored_set.sentences, scored_set.translations, strict=True):
        if (attention := best.attention) is not None:
            yield Aligned(
                id=sentence.id,
                source=[vocabulary.source[token] for token in attention.source],
                target=[vocabulary.target[token] for token in attention.target],
                weights=attention.weights.tolist(),
            )


def _properties(metrics: Metrics) -> dict[str, artifacts.Property]:
    """Returns the properties for a set's scores. The store refuses values that are not finite."""
    properties: dict[str, artifacts.Property] = {
        "length_ratio": metrics.length_ratio,
        "sentences": metrics.sentences,
    }
    if metrics.perplexity is not None:
        properties["perplexity"] = metrics.perplexity
    for name in {name: None for trivial in metrics.trivial.values() for name in trivial.scores}:
        properties[f"trivial_{name}"] = max(trivial.scores[name] for trivial in metrics.trivial.values())
    for name, score in metrics.scores.items():
        properties |= {name: score.score, f"{name}_signature": score.signature}
        properties |= dict(zip((f"{name}_low", f"{name}_high"), score.interval, strict=True))
    return {
        name: value
        for name, value in properties.items()
        if not isinstance(value, float) or math.isfinite(value)
    }
