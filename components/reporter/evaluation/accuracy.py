"""Accuracy of words by their frequency, and the n-grams that a model writes too often or too rarely.

Published in: Neubig et al. 2019, "compare-mt: A Tool for Holistic Comparison of Language Generation Systems".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from bitext.components.artifacts.page import Axis, Block, Cell, Chart, Column, Series, Table
from bitext.components.reporter.evaluation.breakdowns import FREQUENCIES, binned
from bitext.components.reporter.evaluation.folding import folded
from bitext.components.reporter.evaluation.labels import Words
from bitext.components.reporter.evaluation.systems import System
from bitext.components.reporter.evaluation.words import DEFINITION, joined, longest_of_equal, ngrams

MOST_NGRAMS = 20
ORDERS = (1, 2, 3)
Ngram = tuple[str, ...]


def word_accuracy(
    systems: Sequence[System], words: Sequence[Sequence[Words]], frequencies: Mapping[str, int]
) -> tuple[Block, ...]:
    """Returns precision, recall and F1 of the target words by their frequency in the training split.

    Args:
      systems: the model, and the served model if there is one.
      words: for each system, the words of each sentence.
      frequencies: how often the targets of the training split have each word.
    """
    by_system = [_by_frequency(of_system, frequencies) for of_system in words]
    bins = [name for name in _bins() if any(of_bins[name][:2] != [0, 0] for of_bins in by_system)]
    scores = [[_accuracy(*of_bins[name]) for name in bins] for of_bins in by_system]
    series = [
        Series(
            system.name,
            tuple(bins),
            tuple(None if score[2] is None else round(100 * score[2], 1) for score in of_system),
            role="other" if number else "main",
        )
        for number, (system, of_system) in enumerate(zip(systems, scores, strict=True))
    ]
    shown = zip(bins, series[0].y, strict=True)
    parts = [f"{name}: {'none' if value is None else f'{value:.0f} %'}" for name, value in shown]
    chart = Chart(
        form="bar",
        title="Accuracy of words by their frequency in train",
        x=Axis(title="frequency of the word in the targets of train", scale="ordinal"),
        y=Axis(title="F1 (%)"),
        series=tuple(series),
        alternative=f"F1 of the words of {systems[0].name}, by their frequency in the training split: "
        f"{'; '.join(parts)}.",
    )
    rows: list[tuple[Cell, ...]] = [
        (name, *by_system[0][name][:2], *scores[0][index], *(others[index][2] for others in scores[1:]))
        for index, name in enumerate(bins)
    ]
    return chart, folded(_accuracy_table(systems, rows))


def _accuracy_table(systems: Sequence[System], rows: Sequence[tuple[Cell, ...]]) -> Table:
    return Table(
        title="Accuracy of words by their frequency in train",
        columns=(
            Column("frequency in train"),
            Column("words of references", "number"),
            Column("words written", "number"),
            *(Column(name, "share", 1) for name in ("precision", "recall", "F1")),
            *(Column(f"F1, {system.name}", "share", 1) for system in systems[1:]),
        ),
        rows=tuple(rows),
        note="Precision: the share of the written words that the closest reference has. Recall: the share of "
        f"the reference's words that are written. {DEFINITION}",
    )


def _bins() -> list[str]:
    return binned((), FREQUENCIES)[1][1:]


def _by_frequency(words: Sequence[Words], frequencies: Mapping[str, int]) -> dict[str, list[int]]:
    """Returns words of the references, words written, and matches, by the bin of the word's frequency."""
    totals: list[Counter[str]] = [Counter(), Counter(), Counter()]
    for sentence in words:
        reference, written = Counter(sentence.reference), Counter(sentence.hypothesis)
        for total, counts in zip(totals, (reference, written, reference & written), strict=True):
            total.update(counts)
    vocabulary = list(totals[0] | totals[1])
    groups, _ = binned([frequencies.get(word, 0) for word in vocabulary], FREQUENCIES)
    by_bin = {name: [0, 0, 0] for name in _bins()}
    for word, name in zip(vocabulary, groups, strict=True):
        for index, total in enumerate(totals):
            by_bin[name][index] += total[word]
    return by_bin


def _accuracy(reference: int, written: int, matched: int) -> tuple[float | None, float | None, float | None]:
    """Returns precision, recall and F1, from 0 to 1; None where there is nothing to divide by."""
    return (
        matched / written if written else None,
        matched / reference if reference else None,
        2 * matched / (written + reference) if written + reference else None,
    )


def over_and_under(system: System, words: Sequence[Words]) -> tuple[Block, ...]:
    """Returns the n-grams that a model writes more often than the closest references do, and less often."""
    written: Counter[Ngram] = Counter()
    expected: Counter[Ngram] = Counter()
    for sentence in words:
        for order in ORDERS:
            written.update(ngrams(sentence.hypothesis, order))
            expected.update(ngrams(sentence.reference, order))
    difference = {ngram: written[ngram] - expected[ngram] for ngram in written | expected}
    return (
        folded(_table(f"N-grams that {system.name} writes too often", difference, written, expected, 1)),
        folded(_table(f"N-grams that {system.name} writes too rarely", difference, written, expected, -1)),
    )


def _table(
    title: str, difference: Mapping[Ngram, int], written: Counter[Ngram], expected: Counter[Ngram], sign: int
) -> Table:
    found = [ngram for ngram, count in difference.items() if sign * count > 0]
    order = sorted(found, key=lambda ngram: (-sign * difference[ngram], -len(ngram), ngram))
    shown = longest_of_equal(order, difference, MOST_NGRAMS)
    return Table(
        title=title,
        columns=(
            Column("n-gram", "corpus"),
            Column("words", "number"),
            Column("in translations", "number"),
            Column("in references", "number"),
            Column("difference", "number"),
        ),
        rows=tuple(
            (joined(ngram), len(ngram), written[ngram], expected[ngram], difference[ngram]) for ngram in shown
        ),
        note=f"The {len(shown)} of {len(found):,} n-grams of one to three words with the largest difference "
        f"to the closest references. Parts of one with the same difference are left out. {DEFINITION}",
    )
