"""The table of kept, dropped and corrected rows by corpus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from bitext.components.artifacts import Rejects, Summary
from bitext.components.shared.errors import DataError
from bitext.pipeline.records import Execution

Table: TypeAlias = list[dict[str, Any]]
"""Of each corpus `corpus` (its name), `rows` read, `kept` (of these), `dropped` {reason: rows} and `fixed`
{correction: rows}."""
NODES = frozenset({"ExampleGen", "Transform"})
"""The nodes whose rejects are of the corpora, not of test sets."""
_EXACT, _GOLDEN = "exact duplicate", "golden or test set"


def summaries(executions: Iterable[Execution]) -> Iterator[Summary]:
    """Yields the summaries of the rejects of the corpora. Damaged ones are left out."""
    for execution in executions:
        if execution.node in NODES:
            for artifact in execution.all_outputs():
                if artifact.type == Rejects.TYPE_NAME and not artifact.deleted:
                    try:
                        yield Rejects(artifact.path).summary()
                    except DataError:
                        continue


def table(parts: Iterable[Summary]) -> Table:
    """Sums the rows of the parts (spans of corpora) by corpus. `rows` is the sum of `kept` and `dropped`."""
    rows: Counter[str] = Counter()
    dropped: dict[str, Counter[str]] = {}
    fixed: dict[str, Counter[str]] = {}
    for part in parts:
        if part.rows or part.files:
            rows[part.corpus] += part.rows
            removed = {_EXACT: part.duplicates, _GOLDEN: part.golden_removed, **part.reasons}
            dropped.setdefault(part.corpus, Counter()).update(removed)
            fixed.setdefault(part.corpus, Counter()).update(part.fixed)
        for corpus, reasons in part.left_out.items():
            dropped.setdefault(corpus, Counter()).update(reasons)
    return [
        {
            "corpus": corpus,
            "rows": count,
            "kept": count - dropped[corpus].total(),
            "dropped": {reason: number for reason, number in dropped[corpus].most_common() if number},
            "fixed": dict(fixed[corpus].most_common()),
        }
        for corpus, count in rows.items()
    ]


def render(rows_by_corpus: Table) -> list[str]:
    """The table as lines; empty if there are not several corpora."""
    if len(rows_by_corpus) < 2:
        return []
    header = ("corpus", "rows", "kept", "dropped")
    cells = [
        (row["corpus"], *(f"{number:,}" for number in (row["rows"], row["kept"], row["rows"] - row["kept"])))
        for row in rows_by_corpus
    ]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = []
    for values, row in zip((header, *cells), (None, *rows_by_corpus), strict=True):
        name, *numbers = values
        right = (f"{number:>{width}}" for number, width in zip(numbers, widths[1:], strict=True))
        lines.append("  ".join((f"{name:<{widths[0]}}", *right, _reasons(row) if row else "")).rstrip())
    return lines


def _reasons(row: dict[str, Any]) -> str:
    """Why rows are dropped, and which corrections were made: `copied 12; corrected: blanks 3`."""
    dropped = ", ".join(f"{reason} {number:,}" for reason, number in row["dropped"].items())
    fixed = ", ".join(f"{key.removeprefix('fix_')} {number:,}" for key, number in row["fixed"].items())
    return "; ".join(filter(None, (dropped, f"corrected: {fixed}" if fixed else "")))
