"""The section "Training": curves over updates and minutes, and sample translations."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bitext.components.artifacts import ModelRun, Progress, Selection, Validation, ValidationSamples
from bitext.components.artifacts.page import (
    Axis,
    Block,
    Candidate,
    Chart,
    Fact,
    Facts,
    Section,
    SentenceRow,
    Sentences,
    Series,
    Text,
)

MAX_POINTS = 500
"""The most points of a curve."""
UPDATES = Axis("updates")
Point = tuple[float, float | None]
"""Updates or minutes, and a value."""


def section(model_run: ModelRun, earlier: ModelRun | None = None) -> Section:
    """Returns the section "Training".

    Args:
      model_run: the record of the training.
      earlier: the record of an earlier training of the same pipeline, drawn behind it.

    Raises:
      DataError: a file of a record is damaged.
    """
    curves, earlier_curves = _Curves(model_run), _Curves(earlier) if earlier else None
    blocks: list[Block] = [_facts(model_run, curves)]
    if not model_run.has_progress:
        text = (
            "This training is of an older version of bitext. It recorded its validations only: no learning "
            "rate, no speed, no gradient norm and no sample translations."
        )
        blocks.append(Text(text=text, tone="warning"))
    blocks += _charts(curves, earlier_curves)
    if model_run.has_progress and (samples := _samples(model_run.samples(), curves)):
        blocks.append(samples)
    last, selection = curves.history[-1], curves.selection
    summary = (
        f"{last.step:,} updates in {_minutes(last.minutes)}; the model is {_exported(selection)}, with "
        f"validation BLEU {selection.bleu:.2f}."
    )
    return Section(id="training", title="Training", blocks=tuple(blocks), summary=summary)


class _Curves:
    """The records of one training.

    Attributes:
      history: its validations.
      progress: its records of progress; none in a record of an older version.
      best: the best validation.
      selection: which weights were exported.
    """

    def __init__(self, run: ModelRun):
        self.history = run.history()
        self.progress = run.progress() if run.has_progress else []
        self.best = run.best_validation()
        self.selection = run.selection()

    def of_progress(self, value: Callable[[Progress], float]) -> list[Point]:
        """A curve of the records of progress over updates."""
        return [(float(record.step), value(record)) for record in self.progress]

    def of_validations(
        self, value: Callable[[Validation], float | None], x: Callable[[Validation], float] = lambda v: v.step
    ) -> list[Point]:
        """A curve of the validations, over updates unless `x` says otherwise."""
        return [(float(x(validation)), value(validation)) for validation in self.history]

    @property
    def training_loss(self) -> list[Point]:
        """The training loss, from the validations if progress was not recorded."""
        if self.progress:
            return self.of_progress(lambda record: record.loss)
        return self.of_validations(lambda validation: validation.loss)


def _exported(selection: Selection) -> str:
    """Names the weights that were exported."""
    if selection.validations == 1:
        return f"that of update {selection.last_step:,}"
    return (
        f"the mean of the weights at {selection.validations} validations, updates {selection.first_step:,} "
        f"to {selection.last_step:,}"
    )


def _facts(run: ModelRun, curves: _Curves) -> Facts:
    last, best = curves.history[-1], curves.best
    chrf = "" if best.chrf is None else f", chrF {best.chrf:.2f}"
    facts = [
        Fact("updates", f"{last.step:,}"),
        Fact("training time", _minutes(last.minutes)),
        Fact("best update", f"{best.step:,}", f"validation BLEU {best.bleu:.2f}{chrf}"),
    ]
    if (chosen := curves.selection).length_ratio is not None:
        note = (
            f"chosen by length: translations have {chosen.length_ratio:.3f} characters per source character, "
            f"training targets {chosen.training_length_ratio:.3f}"
        )
        facts.append(Fact("length penalty", f"{chosen.length_penalty:.2f}", note))
    if not run.has_progress:
        return Facts(facts=tuple(facts))
    size = run.size()
    if last.step < size.steps:
        facts[0] = Fact("updates", f"{last.step:,}", f"of at most {size.steps:,}: stopped early")
    speed = sum(record.tokens_per_second for record in curves.progress) / len(curves.progress)
    facts += [
        Fact("speed", f"{speed:,.0f}", "target tokens per second, without validations"),
        Fact(
            "epochs",
            f"{last.step / size.updates_per_epoch:.1f}",
            f"{size.updates_per_epoch:,.0f} updates each",
        ),
        Fact("weights", f"{size.weights:,}", f"{size.target_vocabulary:,} target tokens"),
    ]
    if size.warm_starts:
        facts.append(
            Fact("warm starts", f"{size.warm_starts:,}", "trainings since the last one from scratch")
        )
    return Facts(facts=tuple(facts))


def _charts(curves: _Curves, earlier: _Curves | None) -> list[Chart]:
    best = curves.best.step

    def series(
        get: Callable[[_Curves], list[Point]], name: str, role: str = "main", mark: float = -1
    ) -> list[Series]:
        """The curve of this training behind which that of the earlier one is drawn."""
        drawn = [_series(get(curves), name, role, mark)]
        if earlier:
            drawn.append(_series(get(earlier), f"{name}, earlier run", "earlier", -1))
        return [curve for curve in drawn if curve.x]

    loss = series(lambda c: c.training_loss, "training") + series(
        lambda c: c.of_validations(lambda v: v.validation_loss), "validation", "other", best
    )
    bleu = series(lambda c: c.of_validations(lambda v: v.bleu), "BLEU", "main", best)
    chrf = series(lambda c: c.of_validations(lambda v: v.chrf), "chrF", "other", best)
    over_minutes = series(
        lambda c: c.of_validations(lambda v: v.bleu, lambda v: v.minutes), "BLEU", "main", curves.best.minutes
    )
    charts = [
        _chart("Loss", UPDATES, Axis("nats per token", zero=False), loss),
        _chart("Validation scores", UPDATES, Axis("score"), bleu + chrf),
        _chart("Validation BLEU over time", Axis("minutes"), Axis("BLEU"), over_minutes),
    ]
    if curves.progress:
        rate = series(lambda c: c.of_progress(lambda r: r.learning_rate), "learning rate")
        speed = series(lambda c: c.of_progress(lambda r: r.tokens_per_second), "speed")
        norm = series(lambda c: c.of_progress(lambda r: r.gradient_norm), "gradient norm")
        charts += [
            _chart("Learning rate", UPDATES, Axis("learning rate"), rate),
            _chart("Speed", UPDATES, Axis("target tokens per second"), speed),
            _chart("Gradient norm before clipping", UPDATES, Axis("norm"), norm),
        ]
    return charts


def _series(points: list[Point], name: str, role: str, mark: float) -> Series:
    """Returns a curve of at most `MAX_POINTS` points; the last point and the marked one are among them."""
    points = [point for point in points if point[1] is not None]
    every = max(1, -(-len(points) // MAX_POINTS))
    last = len(points) - 1
    points = [p for i, p in enumerate(points) if i % every == 0 or i == last or p[0] == mark]
    x = tuple(point[0] for point in points)
    marked = tuple(index for index, value in enumerate(x) if value == mark)
    return Series(name, x, tuple(point[1] for point in points), role=role, marked=marked)  # type: ignore[arg-type]


def _chart(title: str, x: Axis, y: Axis, series: Sequence[Series]) -> Chart:
    text = " ".join(_in_words(curve, x.title) for curve in series)
    return Chart(form="line", title=title, x=x, y=y, series=tuple(series), alternative=text)


def _in_words(curve: Series, unit: str) -> str:
    """Describes a curve in a sentence with its first, last, lowest and highest value."""
    values = [value for value in curve.y if value is not None]
    if curve.role == "earlier":
        return f"{curve.name}: {_number(values[-1])} at {_number(curve.x[-1])} {unit}."
    lowest, highest = min(values), max(values)
    places = {value: curve.x[curve.y.index(value)] for value in (lowest, highest)}
    marked = "".join(f"; marked: {_number(curve.y[i])} at {_number(curve.x[i])} {unit}" for i in curve.marked)
    return (
        f"{curve.name}: from {_number(values[0])} at {_number(curve.x[0])} {unit} to {_number(values[-1])} "
        f"at {_number(curve.x[-1])}, lowest {_number(lowest)} at {_number(places[lowest])}, highest "
        f"{_number(highest)} at {_number(places[highest])}{marked}."
    )


def _number(value: str | float | None) -> str:
    """A number with four significant digits or all digits before the point: `0.0008`, `12.35`, `4,000`."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 or value.is_integer() else f"{value:.4g}"


def _minutes(minutes: float) -> str:
    return f"{minutes:.1f} min" if minutes < 60 else f"{int(minutes // 60)} h {int(minutes % 60):02d} min"


def _samples(validations: list[ValidationSamples], curves: _Curves) -> Sentences | None:
    """Returns the sample sentences with their translations at the best, a middle and the first validation."""
    chosen = {
        samples.step: samples
        for samples in (
            _nearest(validations, curves.best.step),
            _nearest(validations, curves.best.step / 2),
            validations[0],
        )
    }
    steps = sorted(chosen, reverse=True)
    rows = []
    for number, sample in enumerate(chosen[steps[0]].samples):
        candidates = tuple(
            Candidate(f"update {step:,}", chosen[step].samples[number].hypothesis) for step in steps
        )
        rows.append(SentenceRow(f"sample {number + 1}", sample.source, (sample.reference,), candidates))
    if not rows:
        return None
    scores = {v.step: f"update {v.step:,}: BLEU {v.bleu:.2f}" for v in curves.history}
    note = "Validation " + "; ".join(scores[step] for step in steps if step in scores)
    return Sentences(
        title="Sample translations during the training",
        rows=tuple(rows),
        total=len(rows),
        note=f"{note}. The ModelRun artifact has those of the other validations.",
    )


def _nearest(validations: list[ValidationSamples], step: float) -> ValidationSamples:
    return min(validations, key=lambda samples: abs(samples.step - step))
