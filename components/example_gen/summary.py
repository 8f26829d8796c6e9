"""Counts of rows: the summary, the printed lines, and the checks that stop a run."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from bitext.components import artifacts
from bitext.components.artifacts.rejects import Summary
from bitext.components.component import Context
from bitext.components.example_gen import SPLITS, Parameters, as_part, cleaning
from bitext.components.example_gen.cleaning import Cleaning, fixes
from bitext.components.example_gen.cleaning.fixes import FIXES
from bitext.components.example_gen.filters import REASONS, SKIPPED, Filtered
from bitext.components.example_gen.formats import FORMATS
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.example_gen.remedies import remedy_for
from bitext.components.example_gen.rows import Mask
from bitext.components.shared.display import path_text, quoted
from bitext.components.shared.errors import BitextError, DataError
from bitext.components.text.length_ratios import corpus_ratio

Counts: TypeAlias = Counter[str]
"""Counts by name: `rows`, `duplicates`, `golden`, `split/train`, `shared/eval`, `reason/too_long`, ..."""

SHOWN_REJECTS = 10
SHOWN_CHARACTERS = 120
_FAULT = "fault/"
_NO_ROWS = "no_rows/"
_FIXED = "fixed/"
_UNCORRECTED = "uncorrected/"
_REMEDIES = {
    "train": "give more rows, or lower example_gen.eval_share and example_gen.test_share",
    "eval": "give more rows, raise example_gen.eval_share, or name each split's files in example_gen.splits",
    "test": "give more rows, raise example_gen.test_share, or name each split's files in example_gen.splits",
}


def fault(error: DataError, file: SourceFile) -> Counts:
    """Encodes the error of a file, or its part, that cannot be read as a count, so that it can be summed."""
    part = 0 if file.part is None else file.part.number
    return Counter({_FAULT + json.dumps([file.index, part, str(error), error.remedy]): 1})


def no_rows(file: SourceFile) -> Counts:
    """Counts a file, or its part, that has no rows."""
    parts = 1 if file.part is None else file.part.parts
    return Counter({f"{_NO_ROWS}{file.index}/{parts}": 1})


def _indices_without_rows(counts: Counts) -> set[int]:
    """The indices of the files whose parts all have no rows."""
    found = set()
    for name, empty_parts in counts.items():
        if name.startswith(_NO_ROWS):
            index, parts = map(int, name.removeprefix(_NO_ROWS).split("/"))
            if empty_parts == parts:
                found.add(index)
    return found


def fixed(filtered: Filtered) -> Counts:
    """Counts the accepted rows that each correction changed."""
    return _accepted(filtered, _FIXED, filtered.fixed)


def uncorrected(split: str, filtered: Filtered, settings: Cleaning) -> Counts:
    """Counts the accepted rows of a split that stays as published, but would be corrected in training.

    Several blanks do not count: every tokenization ignores them.
    """
    changed: dict[str, Mask] = {}
    for text in (filtered.source, filtered.target):
        changed |= {key: mask | changed.get(key, False) for key, mask in fixes.fix(text, settings)[1].items()}
    changed.pop("fix_blanks", None)
    return _accepted(filtered, f"{_UNCORRECTED}{split}/", changed)


def _accepted(filtered: Filtered, prefix: str, changed: Mapping[str, Mask]) -> Counts:
    """Counts the accepted rows of each mask bool[N]. The names of the counts begin with `prefix`."""
    return Counter(
        {f"{prefix}{key}": int((mask & (filtered.reason == 0)).sum()) for key, mask in changed.items()}
    )


def warn_of_uncorrected(
    counts: Counts, labels: Mapping[str, str], corrections: Iterable[str], context: Context
) -> None:
    """Prints a warning for published text that the model does not learn, because train is corrected.

    Args:
      counts: those of `uncorrected`.
      labels: what each split is called.
      corrections: the keys of the corrections that training rows have undergone.
      context: the resources of the run.
    """
    for key in corrections:
        for split, label in labels.items():
            if count := counts[f"{_UNCORRECTED}{split}/{key}"]:
                context.say(
                    f"warning: {count:,} rows of {label} have text that is corrected in train"
                    f" ({key.removeprefix('fix_')}), but stays as it is in {label}: the model does not learn"
                    f" it, and scores on {label} will be too low; set example_gen.cleaning.{key}: false, or"
                    f" correct the files of {label}"
                )


def warn_of_files_without_rows(counts: Counts, files: list[SourceFile], context: Context) -> None:
    """Prints a warning for the files that have no rows, if others have."""
    indices = _indices_without_rows(counts)
    names = [path_text(file.path) for file in files if file.index in indices]
    if names and counts["rows"]:
        more = f" and {len(names) - SHOWN_REJECTS:,} more" if len(names) > SHOWN_REJECTS else ""
        context.say(f"warning: no rows in {', '.join(names[:SHOWN_REJECTS])}{more}")


def check_files_were_read(counts: Counts) -> None:
    """Checks that every file was read.

    Raises:
      DataError: a file could not be read. The error of the first file by message is raised; of a file that is
        read in parts, the error of its first part.
    """
    faults = sorted(json.loads(name.removeprefix(_FAULT)) for name in counts if name.startswith(_FAULT))
    first = {index: (message, remedy) for index, _, message, remedy in reversed(faults)}
    if first:
        raise DataError(*min(first.values()))


def summarize(counts: Counts, parameters: Parameters, files: list[SourceFile]) -> Summary:
    """The summary that the artifact of rejects holds.

    Raises:
      BitextError: the counts do not add up: a row was lost, or counted twice.
    """
    reasons = {name: counts[f"reason/{name}"] for name in REASONS if counts[f"reason/{name}"]}
    splits = {split: counts[f"split/{split}"] for split in SPLITS}
    summary = Summary(
        rows=counts["rows"],
        accepted=sum(splits.values()),
        duplicates=counts["duplicates"],
        golden_removed=counts["golden"],
        rejected=sum(reasons.values()),
        reasons=reasons,
        splits=splits,
        sources_also_in_train={split: counts[f"shared/{split}"] for split in SPLITS[1:]},
        max_reject_share=parameters.max_reject_share,
        files=tuple(
            path_text(path) for file in files for path in (file.path, file.target_path) if path is not None
        ),
        length_ratio=round(corpus_ratio(counts), 3),
        cleaning=parameters.cleaning.level,
        corpus=as_part(parameters).corpus,
        fixed={key: counts[f"{_FIXED}{key}"] for key in FIXES if counts[f"{_FIXED}{key}"]},
    )
    _check_sum(summary)
    return summary


def _check_sum(summary: Summary) -> None:
    """Checks that every row that was read is an example, a duplicate, a golden source or a reject."""
    parts = {
        "examples": summary.accepted,
        "duplicates": summary.duplicates,
        "removed for the golden set and test sets": summary.golden_removed,
        "rejected": summary.rejected,
    }
    if sum(parts.values()) != summary.rows:
        raise BitextError(
            f"ExampleGen read {summary.rows:,} rows, but wrote {sum(parts.values()):,}: "
            + ", ".join(f"{name} {count:,}" for name, count in parts.items()),
            f"this is an error of bitext, not of your data: report it with {', '.join(summary.files)}",
        )


def report(summary: Summary, context: Context) -> None:
    """Prints the counts."""
    splits = ", ".join(f"{split} {count:,}" for split, count in summary.splits.items())
    context.say(f"{summary.rows:,} rows: {splits}; {summary.duplicates:,} exact duplicates dropped")
    for split, count in summary.sources_also_in_train.items():
        if count:
            context.say(
                f"warning: {count:,} sources of {split} are also in train; scores on {split} will be too high"
            )
    if summary.golden_removed:
        context.say(
            f"{summary.golden_removed:,} rows removed because their source is in the golden set or a test set"
        )
    if summary.reasons:
        reasons = ", ".join(f"{name} {count:,}" for name, count in summary.reasons.items())
        context.say(f"{summary.rejected:,} rows rejected: {reasons}")
    if summary.fixed:
        corrections = ", ".join(
            f"{key.removeprefix('fix_')} {count:,}" for key, count in summary.fixed.items()
        )
        context.say(f"text corrected in rows: {corrections}")


def check_rejects(
    summary: Summary, rejects: artifacts.Rejects, parameters: Parameters, context: Context
) -> None:
    """Checks that at most `max_reject_share` of the rows cannot be used, and that cleaning keeps enough rows.

    Raises:
      DataError: more rows are rejected. The message shows the first of them, and names a file with all.
    """
    keys = FORMATS[parameters.format].keys_of_layout
    cleaned = {name: rows for name, rows in summary.reasons.items() if name in cleaning.REASONS}
    skipped = sum(rows for name, rows in summary.reasons.items() if name in SKIPPED)
    unusable = {name: n for name, n in summary.reasons.items() if name not in (*cleaned, *SKIPPED)}
    read = summary.rows - skipped
    if sum(unusable.values()) > parameters.max_reject_share * read:
        problem = f"cannot be used ({{}}), over max_reject_share {parameters.max_reject_share:.1%}"
        reasons, remedy = unusable, remedy_for(unusable, keys, "max_reject_share")
    elif sum(cleaned.values()) > parameters.cleaning.max_reject_share * read:
        share = parameters.cleaning.max_reject_share
        problem = f"are rejected by cleaning ({{}}), over cleaning.max_reject_share {share:.1%}"
        reasons, remedy = cleaned, remedy_for(cleaned, keys, "cleaning.max_reject_share")
    else:
        return
    shown = [
        f"  {row.place()}: {row.reason} ({row.detail}): {quoted(row.text[:SHOWN_CHARACTERS])}"
        for row in rejects.rows(SHOWN_REJECTS, reasons)
    ]
    all_rows = context.keep(rejects.rows_file)
    rows, names = sum(reasons.values()), ", ".join(f"{name} {count:,}" for name, count in reasons.items())
    raise DataError(
        f"{rows:,} of {read:,} rows ({rows / read:.1%}) {problem.format(names)}. The first"
        f" are below, all are in {all_rows}, and `bitext rejects CONFIG` shows them by reason:\n"
        + "\n".join(shown),
        remedy,
    )


def check_splits(summary: Summary) -> None:
    """Checks that every split has an example.

    Raises:
      DataError: a split is empty.
    """
    if summary.rows == 0:
        raise DataError(
            f"no rows in {', '.join(summary.files)}", "name files with sentence pairs in example_gen"
        )
    for split, count in summary.splits.items():
        if count == 0:
            removed, remedy = "", _REMEDIES[split]
            if summary.golden_removed > summary.accepted:
                removed = (
                    f"; {summary.golden_removed:,} rows were removed, because their source is in the golden"
                    " set or a test set"
                )
                remedy = "give a golden set and test sets of other sentences than those of the corpus"
            plural = "s" * (summary.accepted != 1)
            counts = ", ".join(f"{name} {size}" for name, size in summary.splits.items())
            raise DataError(
                f"the {split} split is empty: the corpus has {summary.accepted} usable example{plural}, "
                f"of which {counts}{removed}",
                remedy,
            )
