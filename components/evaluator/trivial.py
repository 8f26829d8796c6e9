"""Trivial baselines: the scores of answers that need no model, which a model must exceed to be blessed.

A threshold of BLEU says nothing of a corpus that nobody knows. These scores do: they are measured on the same
references and with the same metrics as the model's.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.compute as pc

from bitext.components import artifacts
from bitext.components.artifacts import TRAIN_SPLIT, TrivialScore
from bitext.components.evaluator import COPIED, FREQUENT, SHUFFLED
from bitext.components.shared import tfrecord
from bitext.components.shared.heldout import Sentence
from bitext.components.shared.metrics import Bleu, ChrF, Metric

if TYPE_CHECKING:
    from bitext.components.shared.metrics.metric import SentenceStatistics

METRIC_NAMES = (Bleu.name, ChrF.name)
"""The metrics in which a model must exceed every baseline."""
MAX_PAIRS = 500_000
"""Largest number of training pairs in which the most frequent target is looked for."""
SEED = 12345


def most_frequent_target(spans: Sequence[artifacts.Examples]) -> str | None:
    """Returns the most frequent target of the first `MAX_PAIRS` training pairs, the newest span first.

    Of equally frequent targets it is the first in the order of their bytes; without training pairs, None.

    Raises:
      DataError: a file is missing or damaged.
    """
    files = (file for span in reversed(spans) for file in span.files(TRAIN_SPLIT))
    batches = ((file, batch) for file in files for batch in tfrecord.read_record_batches(file))
    counts: Counter[bytes] = Counter()
    pairs = 0
    for file, batch in batches:
        targets = tfrecord.string_column(batch, "target", file)[: MAX_PAIRS - pairs]
        pairs += len(targets)
        counted = pc.value_counts(targets.cast("binary"))
        counts.update(dict(zip(*(column.to_pylist() for column in counted.flatten()), strict=True)))
        if pairs == MAX_PAIRS:
            break
    if not counts:
        return None
    return min(counts, key=lambda target: (-counts[target], target)).decode("utf-8", "replace")


def trivial_scores(
    sentences: Sequence[Sentence],
    hypotheses: Sequence[str],
    metrics: Mapping[str, Metric],
    own: Mapping[str, SentenceStatistics],
    frequent_target: str | None,
) -> dict[str, TrivialScore]:
    """Returns the scores of the trivial baselines of a set, by name: `COPIED`, `FREQUENT`, `SHUFFLED`.

    BLEU is left out if it is 0 even for the references themselves: no sentence has four tokens. A baseline
    that does not exist is left out: the shuffled translations of one sentence, and the most frequent target
    without training pairs.

    Args:
      sentences: the set's sentences.
      hypotheses: the model's translations of them.
      metrics: the metrics with the set's references, by name.
      own: the statistics of the model's translations, by metric.
      frequent_target: the most frequent target of the training split.
    """
    names = [name for name in METRIC_NAMES if _is_measurable(metrics[name], sentences)]
    answers = {COPIED: [sentence.source for sentence in sentences]}
    if frequent_target is not None:
        answers[FREQUENT] = [frequent_target] * len(sentences)
    if len(sentences) > 1:
        answers[SHUFFLED] = shuffled(hypotheses)
    scores: dict[str, TrivialScore] = {}
    for baseline, texts in answers.items():
        statistics = {name: metrics[name].statistics(texts) for name in names}
        scores[baseline] = TrivialScore(
            scores={name: metrics[name].corpus_score(statistics[name].sum(axis=0)) for name in names},
            p_values={name: metrics[name].compare(own[name], statistics[name]).p_value for name in names}
            if baseline == SHUFFLED
            else {},
            text=frequent_target if baseline == FREQUENT else None,
        )
    return scores


def shuffled(texts: Sequence[str]) -> list[str]:
    """Returns the texts in a random order, the same in every run, in which each is in another place."""
    order = np.random.default_rng(SEED).permutation(len(texts)).tolist()
    moved = list(texts)
    for place, origin in itertools.pairwise([*order, *order[:1]]):
        moved[place] = texts[origin]
    return moved


def _is_measurable(metric: Metric, sentences: Sequence[Sentence]) -> bool:
    """Returns whether the references of a set have a score above 0."""
    perfect = metric.statistics([sentence.references[0] for sentence in sentences])
    return metric.corpus_score(perfect.sum(axis=0)) > 0
