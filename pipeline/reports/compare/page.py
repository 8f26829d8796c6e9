"""The page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from bitext.components.artifacts import ModelRun
from bitext.components.artifacts.page import (
    Block,
    Chart,
    Column,
    Details,
    Section,
    Sentences,
    Series,
    Table,
    Text,
    Tone,
)
from bitext.components.pages import Page
from bitext.components.reporter import training
from bitext.components.reporter.evaluation import facts_of, labels, pairwise, sentences, words_of_system
from bitext.components.shared.errors import DataError
from bitext.pipeline.reports.compare import Report
from bitext.pipeline.reports.compare.content import CommonSet, Comparison, Figure
from bitext.pipeline.reports.compare.scores import Paired
from bitext.pipeline.reports.compare.summary import LABELS, not_subtracted
from bitext.pipeline.reports.history.entries import Entry
from bitext.pipeline.reports.history.table import outcome_text, when
from bitext.schemas import scripts

_EARLIER = ", earlier run"
"""How the section about training names the curves of the other run."""


def page(report: Report) -> Page:
    """Returns the page."""
    comparison = report.comparison
    sections = [
        _settings(report),
        _data(report),
        _training(report),
        _scores(report),
        *_sentences(report),
    ]
    return Page(
        title=f"{report.first.name} and {report.second.name}",
        subtitle=" and ".join(dict.fromkeys(comparison.pipelines)),
        verdict=_verdict(comparison),
        lead=(_runs(report), *(Text(text=text) for text in comparison.missing)),
        sections=tuple(section for section in sections if section is not None),
        footer="written by bitext compare",
    )


def _verdict(comparison: Comparison) -> Text:
    """The result on the first set with common sentences."""
    one = next((one for one in comparison.common if one.scores), None)
    if one is None:
        return Text(text="The runs have no translated sentences in common.", tone="warning")
    score = one.scores[0]
    tone: Tone = "plain"
    words = "no significant difference"
    if score.better != "neither":
        words = f"the {score.better} run is significantly better"
        tone = "good" if score.better == "second" else "bad"
    text = (
        f"{LABELS[score.metric]} {score.first:.2f} and {score.second:.2f} ({score.difference:+.2f},"
        f" p = {score.p_value:.3f}) on the {one.sentences:,} common sentences of the {one.set}: {words}"
    )
    return Text(text=text, tone=tone)


def _runs(report: Report) -> Table:
    return Table(
        title="The runs",
        columns=(
            Column(""),
            Column("Run", "run"),
            Column("Pipeline"),
            Column("Started (UTC)"),
            Column("Result"),
            Column("Why"),
            Column("Time", "seconds"),
        ),
        rows=tuple(
            (
                name,
                side.entry.id,
                side.config.name,
                when(side.entry.started),
                outcome_text(side.entry),
                _why(side.entry),
                side.entry.seconds,
            )
            for name, side in (("first", report.first), ("second", report.second))
        ),
    )


def _why(entry: Entry) -> str:
    more = f"; and {len(entry.reasons) - 2} more" if len(entry.reasons) > 2 else ""
    return "; ".join(entry.reasons[:2]) + more


def _settings(report: Report) -> Section:
    """What differs before any data is read."""
    blocks: list[Block] = []
    titles = {
        "configuration": "Configuration",
        "file": "Files",
        "library": "Libraries",
        "code": "Source code of bitext",
    }
    for kind, title in titles.items():
        of_kind = [change for change in report.comparison.settings if change.kind == kind]
        if not of_kind:
            blocks.append(Text(text=f"{title}: no difference."))
            continue
        table = Table(
            title=f"{title}: {len(of_kind)} difference{'s' * (len(of_kind) != 1)}",
            columns=(
                Column("Name", "place" if kind == "file" else "text"),
                Column("First"),
                Column("Second"),
            ),
            rows=tuple((change.name, change.first, change.second) for change in of_kind),
        )
        is_long = kind in ("code", "file") and len(of_kind) > 5
        blocks.append(Details(summary=table.title, blocks=(table,)) if is_long else table)
    summary = "What the outputs of the runs depend on. Files and code are compared by content."
    return Section(id="configuration", title="Configuration", blocks=tuple(blocks), summary=summary)


def _data(report: Report) -> Section | None:
    comparison = report.comparison
    blocks: list[Block] = []
    groups = [f for f in comparison.figures if f.group not in ("model", "training", "seconds")]
    if groups:
        named = [msgspec.structs.replace(figure, name=f"{figure.group}: {figure.name}") for figure in groups]
        blocks.append(_figures("data", named, "Rows and examples"))
    for parts, name in ((comparison.only_first, "first"), (comparison.only_second, "second")):
        if parts:
            blocks.append(
                Text(text=f"Spans and corpora of the {name} run alone, {len(parts):,}: {', '.join(parts)}")
            )
    if any(feature.distance is not None for feature in comparison.features):
        blocks.append(_features(comparison))
    if not blocks:
        return None
    return Section(id="data", title="Data", blocks=tuple(blocks))


def _figures(group: str, figures: Sequence[Figure], title: str = "") -> Table:
    digits = 0 if all(float(v).is_integer() for f in figures for v in (f.first, f.second) if v) else 2
    kind = "seconds" if group == "seconds" else "number"
    numbers = (Column(name, kind, digits) for name in ("First", "Second"))  # type: ignore[arg-type]
    return Table(
        title=title or group.capitalize(),
        columns=(Column(""), *numbers, Column("Difference", "number", digits)),
        rows=tuple((f.name, f.first, f.second, f.difference) for f in figures),
    )


def _features(comparison: Comparison) -> Table:
    return Table(
        title="Features of the training examples",
        columns=(
            Column("Feature"),
            Column("Mean, first", "number", 3),
            Column("Mean, second", "number", 3),
            Column("Distance", "number", 4),
        ),
        rows=tuple((f.name, f.first, f.second, f.distance) for f in comparison.features),
        note="Distance: the Jensen-Shannon divergence of numbers, the L-infinity distance of strings, as TFDV"
        " measures drift; 0: equal, 1: nothing in common.",
    )


def _training(report: Report) -> Section | None:
    """Figures and curves of both trainings."""
    blocks: list[Block] = []
    for group, title in (
        ("model", "Vocabulary and model"),
        ("training", "Training"),
        ("seconds", "Time of the nodes that ran"),
    ):
        figures = [f for f in report.comparison.figures if f.group == group]
        if figures:
            blocks.append(_figures(group, figures, title))
    blocks += _curves(report)
    return Section(id="training", title="Training", blocks=tuple(blocks)) if blocks else None


def _curves(report: Report) -> list[Block]:
    """The curves of both trainings, named by the runs."""
    runs = [side.artifact(ModelRun) for side in (report.first, report.second)]
    if runs[0] is None or runs[1] is None:
        return []
    try:
        section = training.section(runs[1], runs[0])
    except DataError as error:
        return [Text(text=f"The curves cannot be shown: {error}", tone="warning")]
    names = report.first.name, report.second.name
    return [_renamed(block, names) for block in section.blocks if isinstance(block, Chart)]


def _renamed(chart: Chart, names: tuple[str, str]) -> Chart:
    """A chart of the section about training, with the names of the runs."""

    def renamed(series: Series) -> Series:
        is_first = series.name.endswith(_EARLIER)
        name = series.name.removesuffix(_EARLIER)
        return msgspec.structs.replace(series, name=f"{name}, {names[0] if is_first else names[1]}")

    text = chart.alternative.replace(_EARLIER, f", {names[0]}")
    return msgspec.structs.replace(chart, series=tuple(map(renamed, chart.series)), alternative=text)


def _scores(report: Report) -> Section | None:
    comparison = report.comparison
    blocks: list[Block] = []
    for one in comparison.common:
        blocks += _common(one)
    if comparison.scores:
        blocks.append(_recorded(comparison))
        blocks += [Text(text=text, tone="warning") for text in not_subtracted(comparison.scores)]
    if not blocks:
        return None
    summary = (
        "On the sentences that both runs translated, and as each run recorded them on its own sentences."
    )
    return Section(id="scores", title="Scores", blocks=tuple(blocks), summary=summary)


def _common(one: CommonSet) -> list[Block]:
    others = f"{one.first_only:,} are of the first run alone, {one.second_only:,} of the second"
    text = Text(text=f"{one.sentences:,} sentences of the {one.set} are common to both runs; {others}.")
    if not one.scores:
        return [text]
    table = Table(
        title=f"Common sentences of the {one.set}",
        columns=(
            Column("Metric"),
            Column("First", "number", 2),
            Column("Second", "number", 2),
            Column("Difference", "number", 2),
            Column("p", "number", 3),
            Column("Significantly better"),
        ),
        rows=tuple(
            (LABELS[s.metric], s.first, s.second, s.difference, s.p_value, s.better) for s in one.scores
        ),
        note=f"Paired bootstrap; both runs are scored here with {one.signature}.",
    )
    return [text, table]


def _recorded(comparison: Comparison) -> Table:
    def interval(value: tuple[float, float] | None) -> str:
        return "" if value is None else f"[{value[0]:.2f}, {value[1]:.2f}]"

    return Table(
        title="Recorded scores",
        columns=(
            Column("Set"),
            Column("Metric"),
            Column("First", "number", 2),
            Column("95 % interval"),
            Column("Second", "number", 2),
            Column("95 % interval"),
            Column("Difference", "number", 2),
        ),
        rows=tuple(
            (
                *(s.set, LABELS.get(s.metric, s.metric)),
                *(s.first, interval(s.first_interval)),
                *(s.second, interval(s.second_interval)),
                s.difference,
            )
            for s in comparison.scores
        ),
        note="Each run on its own sentences: with new data, the test split is another one.",
    )


def _sentences(report: Report) -> list[Section]:
    """Sentences and n-grams of the first set with common sentences."""
    one = next((one for one in report.paired if one.summary.sentences), None)
    if one is None:
        return []
    own, other = one.systems
    differences = Section(
        id="differences",
        title="Sentence by sentence",
        blocks=pairwise.blocks(own, other),
        summary=f"The common sentences of the {one.summary.set}.",
    )
    listed = Section(
        id="sentences",
        title="Sentences",
        blocks=(_list(one),),
        summary="Both translations of a sentence, the lowest scores of the second run first.",
    )
    return [differences, listed]


def _list(one: Paired) -> Sentences:
    own, other = one.systems
    systems = [own, other]
    words = [words_of_system(system) for system in systems]
    script = scripts.dominant_script([row.source for row in own.rows])
    lengths = [scripts.length(row.source, script) for row in own.rows]
    groups = labels.groups(systems, words, None)
    block = sentences.block(systems, words, groups, {}, facts_of(systems, lengths, words[0], None), "")
    named = {label: text.replace("the served model", "the first run") for label, text in block.labels.items()}
    note = f"{len(block.rows):,} of the {block.total:,} common sentences of the {one.summary.set}."
    return msgspec.structs.replace(block, labels=named, note=note)
