"""The list of sentences in the report: which are shown, and what is shown of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from bitext.components.artifacts import Aligned, Translated
from bitext.components.artifacts.page import (
    Alignment,
    Candidate,
    Cell,
    Column,
    SentenceRow,
    Sentences,
    Table,
)
from bitext.components.reporter.evaluation import labels
from bitext.components.reporter.evaluation.differing import differing
from bitext.components.reporter.evaluation.labels import DEFINITIONS, Words
from bitext.components.reporter.evaluation.pairwise import SEED
from bitext.components.reporter.evaluation.systems import LABELS, RANKED, System
from bitext.components.shared.metrics import Bleu, ChrF, Ter

MOST_SENTENCES = 1000
MOST_BYTES = 1_000_000
"""Bytes of the list as JSON."""
MOST_CELLS = 2500
"""Cells of the largest alignment that is shown."""
_SHOWN_SCORES = (Bleu, ChrF, Ter)


def block(
    systems: Sequence[System],
    words: Sequence[Sequence[Words]],
    groups: Mapping[str, Sequence[int]],
    alignments: Mapping[str, Aligned],
    facts: Sequence[Mapping[str, Cell]],
    file: str,
) -> Sentences:
    """Returns the list of sentences, worst first.

    Args:
      systems: the model, and the served model if there is one.
      words: for each system, the words of each sentence.
      groups: the indices of the sentences with each label.
      alignments: the attention of the model's translations, by id.
      facts: other properties of each sentence.
      file: the name of the file that has all sentences.
    """
    total = len(systems[0].rows)
    rows: dict[int, SentenceRow] = {}
    size = 0
    members: dict[int, list[str]] = {}
    for label, indices in groups.items():
        for index in indices:
            members.setdefault(index, []).append(label)
    for index in order_of_choice(groups, total)[:MOST_SENTENCES]:
        row = _row(index, systems, words, members.get(index, []), alignments, facts[index])
        size += len(msgspec.json.encode(row))
        if size > MOST_BYTES and rows:
            break
        rows[index] = row
    scores = np.nan_to_num(systems[0].scores())
    worst_first = sorted(rows, key=lambda index: (scores[index], index))
    return Sentences(
        title="Sentences",
        rows=tuple(rows[index] for index in worst_first),
        total=total,
        labels={
            label: f"{len(indices):,} of {total:,} sentences: {DEFINITIONS[label]}"
            for label, indices in groups.items()
            if indices
        },
        lower_is_better=tuple(metric.label for metric in _SHOWN_SCORES if not metric.higher_is_better),
        note=_note(len(rows), total, file),
    )


def _note(shown: int, total: int, file: str) -> str:
    label = LABELS[RANKED.name]
    if shown == total:
        chosen = f"All {total:,} sentences of the test split, the lowest {label} first."
    else:
        chosen = (
            f"{shown:,} of the {total:,} sentences of the test split, the lowest {label} first: those of each"
            f" label in turn, then others at random. All are in the file {file} of the evaluation."
        )
    return (
        f"{chosen} Marked in a translation: what the closest reference, that with most words in common, does"
        " not have. Alignments of very long sentences are left out."
    )


def order_of_choice(groups: Mapping[str, Sequence[int]], total: int) -> list[int]:
    """Returns all indices as they are chosen: one of each label in turn, then the others at random."""
    longest = max(map(len, groups.values()), default=0)
    in_turn = [indices[n] for n in range(longest) for indices in groups.values() if n < len(indices)]
    others = np.random.default_rng(SEED).permutation(total).tolist()
    return list(dict.fromkeys([*in_turn, *others]))


def _row(
    index: int,
    systems: Sequence[System],
    words: Sequence[Sequence[Words]],
    labels_of_row: Sequence[str],
    alignments: Mapping[str, Aligned],
    facts: Mapping[str, Cell],
) -> SentenceRow:
    """Returns what is shown of a sentence."""
    row = systems[0].rows[index]
    return SentenceRow(
        id=row.id,
        source=row.source,
        references=tuple(row.references),
        candidates=tuple(
            _candidate(
                system.name,
                system.rows[index],
                of_system[index],
                alignments.get(row.id) if system is systems[0] else None,
            )
            for system, of_system in zip(systems, words, strict=True)
        ),
        labels=tuple(labels_of_row),
        facts=dict(facts),
    )


def _candidate(name: str, row: Translated, words: Words, aligned: Aligned | None) -> Candidate:
    """Returns a translation with its scores, what differs from the closest reference, and its alignment."""
    is_shown = aligned is not None and len(aligned.source) * len(aligned.target) <= MOST_CELLS
    return Candidate(
        name=name,
        text=row.hypothesis,
        scores={
            metric.label: round(row.scores[metric.name], 1)
            for metric in _SHOWN_SCORES
            if metric.name in row.scores
        },
        differing=differing(row.hypothesis, row.references[words.closest]),
        alignment=_alignment(aligned) if aligned is not None and is_shown else None,
    )


def _alignment(aligned: Aligned) -> Alignment:
    return Alignment(tuple(aligned.source), tuple(aligned.target), tuple(map(tuple, aligned.weights)))


def table_of_labels(
    groups: Mapping[str, Sequence[int]], served: Mapping[str, Sequence[int]] | None, total: int
) -> Table:
    """Returns how many sentences of the whole set have each problem.

    Args:
      groups: the indices of the model's sentences with each label.
      served: the same of the served model; None: there is none.
      total: number of sentences.
    """
    problems = (
        labels.REPETITION, labels.COPY, labels.LENGTH, labels.UNTRANSLATED, labels.UNKNOWN, labels.EMPTY
    )  # fmt: skip
    columns = [Column("problem"), Column("sentences", "number"), Column("share", "share", 2)]
    if served is not None:
        columns.append(Column("served model", "number"))
    rows: list[tuple[Cell, ...]] = []
    for label in problems:
        if label in groups:
            own = len(groups[label])
            other = () if served is None else (len(served[label]),)
            rows.append((label, own, own / total, *other, DEFINITIONS[label]))
    return Table(
        title="Problems of translations",
        columns=(*columns, Column("meaning")),
        rows=tuple(rows),
        note=f"Counted over all {total:,} sentences of the test split.",
    )
