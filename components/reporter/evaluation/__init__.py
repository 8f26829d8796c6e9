"""The sections "Evaluation" and "Sentences". No module of this package imports TensorFlow."""

from __future__ import annotations

from collections.abc import Sequence

from bitext.components import artifacts
from bitext.components.artifacts.page import Block, Cell, Section, Text
from bitext.components.reporter.evaluation import accuracy, labels, pairwise, sentences, summary
from bitext.components.reporter.evaluation.breakdowns import (
    FREQUENCIES,
    LENGTHS,
    Breakdown,
    Grouping,
    binned,
    overlap_bins,
)
from bitext.components.reporter.evaluation.labels import Words
from bitext.components.reporter.evaluation.systems import (
    LABELS,
    RANKED,
    SAMPLES,
    ScoreOptions,
    System,
    options_of,
    systems_of,
)
from bitext.components.reporter.evaluation.train_counts import ORDER, TrainCounts, count
from bitext.components.reporter.evaluation.words import DEFINITION, closest, words_of
from bitext.schemas import scripts

MOST_GROUPS = 30
"""Corpora or files that are compared."""


def sections(
    evaluation: artifacts.ModelEvaluation,
    blessing: artifacts.ModelBlessing,
    examples: Sequence[artifacts.Examples] = (),
) -> tuple[Section, Section]:
    """Returns the sections "Evaluation", scores and what they depend on, and "Sentences".

    Args:
      evaluation: the scores and translations, also of an earlier version of bitext.
      blessing: the verdict.
      examples: the examples of each span, for the frequencies of words; empty: those are left out.

    Raises:
      DataError: an artifact is damaged.
    """
    metrics, rows = evaluation.metrics(), evaluation.translations()
    options = options_of(metrics, rows)
    systems = systems_of(rows, options)
    words = [words_of_system(system) for system in systems]
    counts = count_words(examples, words) if examples else None
    alignments, lengths = evaluation.alignments(), _lengths(rows)
    facts = facts_of(systems, lengths, words[0], counts)
    groups = labels.groups(systems, words, counts)
    served_problems = labels.problems(systems[1], words[1], counts) if len(systems) > 1 else None
    file, shown = evaluation.translations_file().name, _worst_first(groups, systems[0])
    blocks: list[Block] = [
        *summary.blocks(metrics, blessing.verdict()),
        *missing(systems, counts, has_alignments=bool(alignments)),
        *_breakdowns(systems, options, groupings(rows, metrics, lengths, words[0], counts)),
        *(pairwise.blocks(*systems) if len(systems) > 1 else [pairwise.score_histogram(systems)]),
        *(accuracy.word_accuracy(systems, words, counts.target) if counts else ()),
        *accuracy.over_and_under(systems[0], words[0]),
    ]
    return (
        Section(
            id="evaluation",
            title="Evaluation",
            blocks=tuple(blocks),
            summary=f"Scores on the test split, {len(rows):,} sentences, and what they depend on.",
        ),
        Section(
            id="sentences",
            title="Sentences",
            blocks=(
                sentences.table_of_labels(groups, served_problems, len(rows)),
                sentences.block(systems, words, shown, alignments, facts, file),
            ),
            summary="Translations with their references, scores and alignments, the lowest scores first.",
        ),
    )


def _breakdowns(
    systems: Sequence[System], options: ScoreOptions, groupings: Sequence[Grouping]
) -> list[Block]:
    """Returns the scores of groups of sentences."""
    breakdown = Breakdown(systems, options)
    how = f"Intervals: 95 %, from {SAMPLES} resamples. BLEU with sacreBLEU's tokenizer {options.tokenize}."
    blocks: list[Block] = [Text(text=f"Scores by groups of sentences. {how}")]
    for grouping in groupings:
        blocks += breakdown.blocks(grouping)
    return blocks


def words_of_system(system: System) -> list[Words]:
    """Returns the words of each sentence of a system."""
    sources = words_of([row.source for row in system.rows])
    hypotheses = words_of([row.hypothesis for row in system.rows])
    references = iter(words_of([reference for row in system.rows for reference in row.references]))
    found = []
    for row, source, hypothesis in zip(system.rows, sources, hypotheses, strict=True):
        of_row = [next(references) for _ in row.references]
        found.append(Words(source, hypothesis, of_row, closest(hypothesis, of_row)))
    return found


def count_words(
    examples: Sequence[artifacts.Examples], words: Sequence[Sequence[Words]]
) -> TrainCounts | None:
    """Counts the words of the sentences in the training split; None: it has no pairs."""
    all_words = [one for of_system in words for one in of_system]
    targets = [text for one in all_words for text in (one.hypothesis, *one.references)]
    counts = count(examples, [one.source for one in words[0]], targets)
    return counts if counts.pairs else None


def missing(systems: Sequence[System], counts: TrainCounts | None, *, has_alignments: bool) -> list[Block]:
    """Returns what the section cannot show, and why."""
    found: list[Block] = []
    if len(systems) == 1:
        found.append(
            Text(
                text="There are no translations by a served model to compare with: none was served, the"
                " comparison is switched off (evaluator.compare_with_baseline), or an earlier version of"
                " bitext made the evaluation."
            )
        )
    if counts is None:
        found.append(Text(text="Without the training split, frequencies of words are left out."))
    if not has_alignments:
        found.append(
            Text(
                text="There are no alignments: the model has no attention, or an earlier version of bitext"
                " made the model or the evaluation."
            )
        )
    return found


def _lengths(rows: Sequence[artifacts.Translated]) -> list[int]:
    """Returns the length of each source in the unit of their script."""
    script = scripts.dominant_script([row.source for row in rows])
    return [scripts.length(row.source, script) for row in rows]


def groupings(
    rows: Sequence[artifacts.Translated],
    metrics: artifacts.Metrics,
    lengths: Sequence[int],
    words: Sequence[Words],
    counts: TrainCounts | None,
) -> list[Grouping]:
    """Returns what the sentences are grouped by."""
    unit = metrics.source_unit
    recorded = {row.first for row in metrics.by_source_length}
    recorded |= {row.last + 1 for row in metrics.by_source_length if row.last is not None}
    groups, order = binned(
        [max(1, length) for length in lengths], sorted({1, *recorded}) if recorded else LENGTHS
    )
    found = [Grouping("source length", f"source length ({unit})", groups, order)]
    if counts is not None:
        rarest = [_rarest(one, counts) for one in words]
        groups, order = binned(rarest, FREQUENCIES)
        note = f"How often the sources of the training split have the rarest word of the source. {DEFINITION}"
        found.append(Grouping("rarest word", "frequency of the rarest word in train", groups, order, note))
        groups, order = overlap_bins(counts.overlap)
        note = (
            f"Share of the source's n-grams of {ORDER} words that a source of the training split has; of a"
            f" shorter source, whether a training source has its words in a row. {DEFINITION}"
        )
        found.append(Grouping("overlap with train", "n-grams that train has", groups, order, note))
    parts = _parts(rows)
    if parts is not None:
        title, of_rows = parts
        found.append(Grouping(title, title, of_rows, sorted(set(of_rows))))
    return found


def _parts(rows: Sequence[artifacts.Translated]) -> tuple[str, list[str]] | None:
    """Returns the corpus or span of each sentence, else its file; None: there is only one, or too many."""
    for title, names in (
        ("corpus or span", [row.part or "(none)" for row in rows]),
        ("file", [row.id.rpartition(":")[0] or "(none)" for row in rows]),
    ):
        if 1 < len(set(names)) <= MOST_GROUPS:
            return title, names
    return None


def _rarest(words: Words, counts: TrainCounts) -> int | None:
    """Returns how often the training split has the rarest word of a source; None: the source has none."""
    return min((counts.source[word] for word in words.source), default=None)


def facts_of(
    systems: Sequence[System],
    lengths: Sequence[int],
    words: Sequence[Words],
    counts: TrainCounts | None,
) -> list[dict[str, Cell]]:
    """Returns the properties of each sentence that a reader can filter and sort by."""
    changes = pairwise.differences(systems[0], systems[1]) if len(systems) > 1 else None
    has_parts = any(row.part for row in systems[0].rows)
    found: list[dict[str, Cell]] = []
    for index, (row, length) in enumerate(zip(systems[0].rows, lengths, strict=True)):
        facts: dict[str, Cell] = {"source length": length}
        if has_parts:
            facts["corpus"] = row.part
        if counts is not None:
            share = counts.overlap[index]
            facts["rarest word in train"] = _rarest(words[index], counts)
            facts["overlap with train (%)"] = None if share is None else round(100 * share)
        if changes is not None:
            facts[f"{LABELS[RANKED.name]} difference"] = round(float(changes[index]), 1)
        found.append(facts)
    return found


def _worst_first(groups: dict[str, list[int]], system: System) -> dict[str, list[int]]:
    """Returns the groups, those of problems with the lowest scores first."""
    scores = system.scores().tolist()
    kept = (labels.WORST, labels.BEST, labels.IMPROVED, labels.WORSENED, labels.RANDOM)
    return {
        label: indices if label in kept else sorted(indices, key=lambda index: scores[index])
        for label, indices in groups.items()
    }
