"""What became of the rows: used, rejected by reason, left out; each reason with examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from bitext.components.artifacts import PairOrigin, Reject, Rejects, Summary, span_label
from bitext.components.artifacts.page import Block, Column, Details, Fact, Facts, Table, Text
from bitext.components.reporter import Inputs

SHOWN_ROWS = 10
"""The most rows shown of a reason."""
SHOWN_CHARACTERS = 500
"""The most characters shown of a row."""
_SYNTHETIC = {
    PairOrigin.FORWARD: "synthetic: training sources translated",
    PairOrigin.BACKWARD: "synthetic: training targets translated",
    PairOrigin.MONOLINGUAL_SOURCE: "synthetic: monolingual sources translated",
    PairOrigin.MONOLINGUAL_TARGET: "synthetic: back-translation",
}
"""The labels of the numbers of synthetic pairs."""
_DUPLICATES, _HELD_OUT = "exact duplicates", "removed for the golden set and test sets"


def summary(inputs: Inputs) -> str:
    """Returns what became of the rows in a sentence; empty: it is not on record."""
    total = _total(inputs)
    if total is None or not total.rows:
        return ""
    share = total.accepted / total.rows
    return (
        f"{total.rows:,} rows were read: {total.accepted:,} became examples ({share:.1%}),"
        f" {total.rejected:,} were rejected, {total.duplicates:,} are exact duplicates."
    )


def blocks(inputs: Inputs) -> Iterator[Block]:
    """Yields the figures, the rejected rows by reason, and the splits.

    Raises:
      DataError: a file is damaged.
    """
    total = _total(inputs)
    if total is not None:
        yield Facts(facts=tuple(_facts(total, inputs)))
    elif inputs.rejects:
        yield Text(
            text="The run stopped because of these rows. The other rows are not on record.", tone="bad"
        )
    parts = [rejects.summary() for rejects in inputs.rejects if rejects.has_summary]
    if len(parts) > 1:
        yield _parts(inputs.rejects)
    yield from _reasons(total.reasons if total else None, inputs.rejects, "rejected")
    if inputs.left_out is not None:
        of_corpora = inputs.left_out.summary().left_out
        counts = sum((Counter(of_corpus) for of_corpus in of_corpora.values()), Counter[str]())
        yield from _reasons(counts, (inputs.left_out,), "left out of training")
    if total is not None and total.fixed:
        columns = (Column(title="correction"), Column(title="rows", content="number"))
        rows = tuple((name.removeprefix("fix_"), count) for name, count in total.fixed.items())
        yield Table(title="Corrected rows", columns=columns, rows=rows)
    if total is not None and total.splits:
        yield _splits(total)


def _total(inputs: Inputs) -> Summary | None:
    """The sums over all spans; None: the counts are not on record."""
    parts = [rejects.summary() for rejects in inputs.rejects if rejects.has_summary]
    return Summary.total(parts) if parts else None


def _facts(total: Summary, inputs: Inputs) -> Iterator[Fact]:
    share = f"{total.accepted / total.rows:.1%} of the rows" if total.rows else ""
    yield Fact(label="rows read", value=f"{total.rows:,}")
    yield Fact(label="examples", value=f"{total.accepted:,}", note=share)
    limit = f"at most {total.max_reject_share:.1%} allowed" if total.max_reject_share is not None else ""
    rejected = f"{total.rejected / total.rows:.1%}; {limit}" if total.rows else limit
    yield Fact(label="rejected", value=f"{total.rejected:,}", note=rejected)
    yield Fact(label=_DUPLICATES, value=f"{total.duplicates:,}")
    if total.golden_removed:
        yield Fact(label=_HELD_OUT, value=f"{total.golden_removed:,}")
    if inputs.left_out is not None:
        of_corpora = inputs.left_out.summary().left_out.values()
        if left_out := sum(sum(of_corpus.values()) for of_corpus in of_corpora):
            yield Fact(label="training pairs left out", value=f"{left_out:,}", note="because of other spans")
    for origin, label in _SYNTHETIC.items():
        properties = inputs.transformed_examples.properties if inputs.transformed_examples else {}
        if isinstance(count := properties.get(origin.pairs_property), int):
            yield Fact(label=label, value=f"{count:,}", note="training pairs with a translation of a teacher")
    if total.cleaning:
        yield Fact(label="cleaning", value=total.cleaning)


def _parts(rejects: tuple[Rejects, ...]) -> Table:
    """The rows of each span or corpus."""
    rows = []
    for part in rejects:
        counts = part.summary()
        label = span_label(part) or counts.corpus or ", ".join(counts.files[:1])
        others = (counts.duplicates, counts.golden_removed, counts.rejected)
        rows.append((label, counts.rows, counts.accepted, *others))
    titles = ("rows", "examples", _DUPLICATES, _HELD_OUT, "rejected")
    columns = (Column(title="span or corpus"), *(Column(title=title, content="number") for title in titles))
    return Table(title="Rows by span and corpus", columns=columns, rows=tuple(rows))


def _reasons(counts: Mapping[str, int] | None, rejects: tuple[Rejects, ...], verb: str) -> Iterator[Block]:
    """Yields the rows of each reason, most rows first.

    Args:
      counts: the number of rows by reason; None: they are counted here.
      rejects: the rows.
      verb: what happened to them.
    """
    shown: dict[str, list[Reject]] = {}
    counted: Counter[str] = Counter()
    for row in (row for part in rejects for row in part.each_row()):
        counted[row.reason] += 1
        if len(of_reason := shown.setdefault(row.reason, [])) < SHOWN_ROWS:
            of_reason.append(row)
        if counts is not None and all(
            len(shown.get(reason, ())) >= min(count, SHOWN_ROWS) for reason, count in counts.items()
        ):
            break
    columns = (
        Column(title="place", content="place"),
        Column(title="why"),
        Column(title="row", content="corpus"),
    )
    for reason, count in Counter(dict(counted if counts is None else counts)).most_common():
        rows = tuple((row.place(), row.detail, _cut(row.text)) for row in shown.get(reason, ()))
        title = f"{reason}: {count:,} row{'s' * (count != 1)} {verb}"
        note = f"The first {len(rows)} of {count:,}. bitext rejects prints more." if count > len(rows) else ""
        yield Details(summary=title, blocks=(Table(title=title, columns=columns, rows=rows, note=note),))


def _cut(text: str) -> str:
    return f"{text[:SHOWN_CHARACTERS]} ..." if len(text) > SHOWN_CHARACTERS else text


def _splits(total: Summary) -> Table:
    examples = sum(total.splits.values())
    rows = [
        (split, count, count / examples if examples else None, total.sources_also_in_train.get(split))
        for split, count in total.splits.items()
    ]
    return Table(
        title="Splits",
        columns=(
            Column(title="split"),
            Column(title="examples", content="number"),
            Column(title="share", content="share", digits=1),
            Column(title="sources also in train", content="number"),
        ),
        rows=tuple(rows),
    )
