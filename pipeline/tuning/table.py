"""What `bitext tune` prints: a line for each trial, and the table at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bitext.components.artifacts import Trial, TrialState
from bitext.components.artifacts.tuning import Settings
from bitext.pipeline.config import reference
from bitext.pipeline.terminal import duration
from bitext.pipeline.tuning.space import Space

SHOWN_ERROR = 120
"""The most characters shown of an error."""


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Returns, for each dotted key, its last names: as many as distinguish it from the others."""
    names = {}
    for key in keys:
        parts = key.split(".")
        for count in range(1, len(parts) + 1):
            name = ".".join(parts[-count:])
            if sum(other == name or other.endswith(f".{name}") for other in keys) == 1:
                break
        names[key] = name
    return names


def settings(values: Settings, space: Space) -> str:
    """Returns what a trial varies: `learning_rate 0.0012, cell gru`."""
    names = short_names([dimension.key for dimension in space.dimensions])
    return ", ".join(f"{name} {_value(values[key])}" for key, name in names.items())


def line(trial: Trial, space: Space) -> str:
    """Returns the line about a trial that has ended: `trial 1: BLEU 31.84 at step 3,000, ...`."""
    what = settings(trial.settings, space)
    if trial.state == TrialState.FAILED:
        error = trial.error if len(trial.error) <= SHOWN_ERROR else f"{trial.error[:SHOWN_ERROR]}..."
        return f"{trial.name}: failed ({what}): {error}"
    time = "trained before" if trial.is_cached else duration(60 * trial.minutes)
    if trial.state == TrialState.COMPLETE:
        return f"{trial.name}: BLEU {_score(trial)} at step {trial.step:,}, {time}: {what}"
    at = f"{trial.curve[-1][0]:.0%} of the steps" if trial.curve else "no validation"
    return f"{trial.name}: BLEU {_score(trial)}, {trial.state} at {at}, {time}: {what}"


def render(trials: Sequence[Trial], space: Space, importances: Mapping[str, float]) -> str:
    """Returns the table of all trials, the best first.

    Args:
      trials: the trials.
      space: their settings.
      importances: the importance of each key; empty: unknown.
    """
    names = short_names([dimension.key for dimension in space.dimensions])
    head = ["trial", "BLEU", "chrF", "state", "step", "time", *names.values()]
    rows = [head]
    for trial in sorted(trials, key=lambda trial: trial.rank):
        rows.append(
            [
                str(trial.number),
                _score(trial),
                "" if trial.chrf is None else f"{trial.chrf:.2f}",
                trial.state.value,
                f"{trial.step:,}" if trial.step else "",
                duration(60 * trial.minutes),
                *(_value(trial.settings[key]) for key in names),
            ]
        )
    if importances:
        shares = (f"{importances[key]:.0%}" if key in importances else "" for key in names)
        rows.append(["", "", "", "", "", "importance", *shares])
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    texts = {3}  # columns that are aligned left
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _score(trial: Trial) -> str:
    return "-" if trial.bleu is None else f"{trial.bleu:.2f}"


def _value(value: Any) -> str:
    return reference.as_yaml(value)
