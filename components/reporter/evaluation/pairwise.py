"""Two systems on the same sentences: which sentences and which words differ.

`bitext compare` uses these functions for two runs, the report for a model and the served model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bitext.components.artifacts.page import Axis, Block, Chart, Column, Series, Table
from bitext.components.reporter.evaluation.folding import folded
from bitext.components.reporter.evaluation.systems import LABELS, RANKED, System
from bitext.components.reporter.evaluation.words import (
    DEFINITION,
    closest,
    joined,
    longest_of_equal,
    ngrams,
    words_of,
)

SEED = 12345
MOST_POINTS = 2000
"""Points of a scatter plot. More are neither seen nor fast to draw."""
MOST_NGRAMS = 20
ORDERS = (1, 2, 3, 4)
BUCKET = 10
"""Width of a bucket of sentence scores."""
_EQUAL = 0.005
"""A difference of scores that is 0 when it is shown."""

Scores = npt.NDArray[np.float64]


def blocks(first: System, second: System) -> tuple[Block, ...]:
    """Returns what is to be seen of two systems on the same sentences: scores by sentence, and n-grams."""
    return (
        scatter(first, second),
        score_histogram([first, second]),
        *map(folded, ngram_differences(first, second)),
    )


def differences(first: System, second: System) -> Scores:
    """Returns the score of each sentence minus that of the second system, float64[sentences]."""
    return np.nan_to_num(first.scores() - second.scores())


def order_of_change(first: System, second: System) -> tuple[list[int], list[int]]:
    """Returns the indices of the improved sentences and of the worsened ones, the largest change first."""
    change = differences(first, second)
    order = np.argsort(change, kind="stable")
    worsened = [int(index) for index in order if change[index] < -_EQUAL]
    improved = [int(index) for index in np.argsort(-change, kind="stable") if change[index] > _EQUAL]
    return improved, worsened


def scatter(first: System, second: System) -> Chart:
    """Returns the sentence scores of two systems against each other."""
    own, other = first.scores(), second.scores()
    improved, worsened = order_of_change(first, second)
    shown = np.arange(len(own))
    if len(shown) > MOST_POINTS:
        shown = np.sort(np.random.default_rng(SEED).choice(shown, MOST_POINTS, replace=False))
    shown = shown[np.isfinite(own[shown]) & np.isfinite(other[shown])]
    series = Series(
        name=f"{len(shown):,} sentences",
        x=tuple(np.round(other[shown], 1).tolist()),
        y=tuple(np.round(own[shown], 1).tolist()),
        labels=tuple(first.rows[index].id for index in shown.tolist()),
    )
    label, equal = LABELS[RANKED.name], len(own) - len(improved) - len(worsened)
    drawn = "" if len(shown) == len(own) else f" {len(shown):,} of them are drawn, chosen at random."
    return Chart(
        form="scatter",
        title=f"{label} of each sentence: {first.in_sentence} against {second.in_sentence}",
        x=Axis(title=f"{label}, {second.name}"),
        y=Axis(title=f"{label}, {first.name}"),
        series=(series,),
        diagonal=True,
        alternative=f"Of {len(own):,} sentences, {first.in_sentence} has a higher {label} than "
        f"{second.in_sentence} in {len(improved):,}, a lower one in {len(worsened):,}, and the same in "
        f"{equal:,}. The mean difference is {_mean(differences(first, second)):+.2f}.{drawn}",
    )


def score_histogram(systems: Sequence[System]) -> Chart:
    """Returns the number of sentences by score, for each system."""
    edges = np.arange(0, 100 + BUCKET, BUCKET)
    names = [f"{low}–{low + BUCKET}" for low in edges[:-1].tolist()]
    label, series, sentences = LABELS[RANKED.name], [], []
    for number, system in enumerate(systems):
        scores = system.scores()
        counts = np.histogram(scores[np.isfinite(scores)].clip(0, 100), edges)[0].tolist()
        series.append(Series(system.name, tuple(names), tuple(counts), role="other" if number else "main"))
        sentences.append(
            f"{system.name}: {counts[0]:,} sentences below {BUCKET}, {counts[-1]:,} at {100 - BUCKET} or more"
        )
    return Chart(
        form="bar",
        title=f"Sentences by {label}",
        x=Axis(title=f"{label} of the sentence", scale="ordinal"),
        y=Axis(title="sentences"),
        series=tuple(series),
        alternative=f"{'; '.join(sentences)}.",
    )


def ngram_differences(first: System, second: System) -> tuple[Table, Table]:
    """Returns the n-grams of the references that one system translates and the other does not.

    Published in: Neubig et al. 2019, "compare-mt: A Tool for Holistic Comparison of Language Generation
    Systems". An n-gram is matched as often as translation and closest reference both have it.
    """
    own, other = (_matched(system) for system in (first, second))
    return (
        _ngram_table(own, other, (first.in_sentence, second.in_sentence)),
        _ngram_table(other, own, (second.in_sentence, first.in_sentence)),
    )


def _matched(system: System) -> Counter[tuple[str, ...]]:
    """Returns how often each n-gram is in a translation and in its closest reference."""
    translations = words_of([row.hypothesis for row in system.rows])
    references = _references(system)
    matched: Counter[tuple[str, ...]] = Counter()
    for words, of_sentence in zip(translations, references, strict=True):
        reference = of_sentence[closest(words, of_sentence)]
        for order in ORDERS:
            matched.update(Counter(ngrams(words, order)) & Counter(ngrams(reference, order)))
    return matched


def _references(system: System) -> list[list[list[str]]]:
    """Returns the words of the references of each sentence."""
    words = iter(words_of([reference for row in system.rows for reference in row.references]))
    return [[next(words) for _ in row.references] for row in system.rows]


def _ngram_table(
    better: Counter[tuple[str, ...]], worse: Counter[tuple[str, ...]], names: tuple[str, str]
) -> Table:
    """Returns the n-grams that one system matches more often, by the smoothed ratio of the matches."""
    ratios = {
        ngram: (count + 1) / (count + worse[ngram] + 2)
        for ngram, count in better.items()
        if count > worse[ngram]
    }
    order = sorted(ratios, key=lambda ngram: (-ratios[ngram], -better[ngram], -len(ngram), ngram))
    shown = longest_of_equal(order, ratios, MOST_NGRAMS)
    return Table(
        title=f"N-grams that {names[0]} translates more often",
        columns=(
            Column("n-gram", "corpus"),
            Column("words", "number"),
            Column(f"matched by {names[0]}", "number"),
            Column(f"matched by {names[1]}", "number"),
            Column("ratio", "number", 2),
        ),
        rows=tuple(
            (joined(ngram), len(ngram), better[ngram], worse[ngram], ratios[ngram]) for ngram in shown
        ),
        note=f"The {len(shown)} of {len(order):,} n-grams of one to four words with the "
        "highest ratio: (matches + 1) / (matches of both + 2). Parts of one with the same "
        f"ratio are left out. A match is in the translation and in the closest reference. {DEFINITION}",
    )


def _mean(values: Scores) -> float:
    return float(values.mean()) if len(values) else 0.0
