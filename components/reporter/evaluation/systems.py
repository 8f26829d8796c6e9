"""Translations of the same sentences by several systems, with their sentence scores."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

import msgspec

from bitext.components.artifacts import Metrics, Translated
from bitext.components.shared.errors import ConfigError
from bitext.components.shared.metrics import METRICS, Bleu, ChrF, Metric, tokenizers

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from bitext.components.shared.metrics.metric import SentenceStatistics

THIS, SERVED = "this model", "served model"
RANKED = ChrF
"""The metric that sentences are ranked by: BLEU of a short sentence is too coarse."""
SAMPLES = 300
"""Resamples for the intervals of groups of sentences."""
LABELS = {metric.name: metric.label for metric in METRICS}


@dataclasses.dataclass(frozen=True)
class System:
    """Translations of a list of sentences.

    Attributes:
      name: whose they are: `this model`, `served model`, or a run.
      rows: a row for each sentence, with the scores of the translation.
    """

    name: str
    rows: Sequence[Translated]

    @property
    def in_sentence(self) -> str:
        """The name as the subject or object of a sentence: `the served model`."""
        return f"the {self.name}" if self.name == SERVED else self.name

    def scores(self, metric: str = RANKED.name) -> npt.NDArray[np.float64]:
        """Returns the score of each sentence, float64[sentences]; not a number where there is none."""
        import numpy as np

        return np.array([row.scores.get(metric, np.nan) for row in self.rows], np.float64)


@dataclasses.dataclass(frozen=True)
class ScoreOptions:
    """The options that sentences are scored with here: a `MetricOptions`.

    Attributes:
      tokenize: sacreBLEU's tokenizer.
      lowercase: whether letter case is ignored.
      bootstrap_samples: resamples for an interval.
    """

    tokenize: str = tokenizers.AUTO
    lowercase: bool = False
    bootstrap_samples: int = SAMPLES


def options_of(metrics: Metrics, rows: Sequence[Translated]) -> ScoreOptions:
    """Returns the options that an evaluation recorded, or those of its signatures.

    The tokenizer is chosen anew where neither tells, where its packages are not installed, and where it does
    not split the references: earlier versions of bitext accepted one that makes a token of each sentence.
    """
    score = metrics.scores.get(Bleu.name)
    signature = score.signature if score else ""
    written = re.search(r"(?:^|\|)tok:([^|]*)", signature)
    tokenizer = metrics.tokenizer or (written[1] if written else "")
    for name in get_args(tokenizers.Tokenizer):
        if tokenizer.startswith(("ja-mecab", "ko-mecab")) and tokenizer.startswith(name):
            tokenizer = name
    references = [row.references for row in rows]
    known = tokenizer in get_args(tokenizers.Tokenizer)
    try:
        resolved = tokenizers.resolve(tokenizer if known else tokenizers.AUTO, references)
    except ConfigError:
        resolved = tokenizers.resolve(tokenizers.AUTO, references)
    return ScoreOptions(resolved.tokenizer, lowercase="case:lc" in signature)


def systems_of(rows: Sequence[Translated], options: ScoreOptions) -> list[System]:
    """Returns the model of an evaluation, and the served model if its translations are recorded.

    Scores that older files do not have are computed.
    """
    systems = [System(THIS, scored(rows, options))]
    if rows and all(row.served is not None for row in rows):
        served = [
            msgspec.structs.replace(
                row, hypothesis=row.served or "", score=None, scores=row.served_scores, served=None,
                served_scores={},
            )
            for row in rows
        ]  # fmt: skip
        systems.append(System(SERVED, scored(served, options)))
    return systems


def scored(rows: Sequence[Translated], options: ScoreOptions) -> list[Translated]:
    """Returns the rows with BLEU and chrF of each sentence; those that have them are not scored again."""
    needed = [kind for kind in (Bleu, ChrF) if any(kind.name not in row.scores for row in rows)]
    metrics = metrics_of(rows, options, needed)
    columns = {
        name: [metric.sentence_score(of_row) for of_row in metric.statistics([r.hypothesis for r in rows])]
        for name, metric in metrics.items()
    }
    return [
        msgspec.structs.replace(
            row, scores=row.scores | {name: column[number] for name, column in columns.items()}
        )
        for number, row in enumerate(rows)
    ]


def metrics_of(
    rows: Sequence[Translated], options: ScoreOptions, kinds: Sequence[type[Metric]] = (Bleu, ChrF)
) -> dict[str, Metric]:
    """Returns metrics with the references of the rows, by name."""
    references = [row.references for row in rows]
    return {kind.name: kind(references, options) for kind in kinds}


def statistics_of(metric: Metric, system: System) -> SentenceStatistics:
    """Returns the statistics of a system's translations, float64[sentences, figures]."""
    return metric.statistics([row.hypothesis for row in system.rows])


def common(first: System, second: System) -> tuple[System, System]:
    """Returns two systems on the sentences that both have: with equal id, source and references."""
    others = {(row.id, row.source, tuple(row.references)): row for row in second.rows}
    pairs = [
        (row, other)
        for row in first.rows
        if (other := others.get((row.id, row.source, tuple(row.references)))) is not None
    ]
    return System(first.name, [pair[0] for pair in pairs]), System(second.name, [pair[1] for pair in pairs])
