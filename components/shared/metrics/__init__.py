"""Corpus metrics. To add a metric, write a subclass of `Metric` and add it to `METRICS`.

All code that computes, shows or checks scores loops over `METRICS`: the Evaluator, metrics.json, the model
card, the summary of a run and the OpenMetrics file.
"""

from __future__ import annotations

from bitext.components.shared.metrics.metric import Comparison, CorpusScore, Metric, MetricOptions
from bitext.components.shared.metrics.sacrebleu_metrics import Bleu, ChrF, ChrFPlusPlus, Ter

METRICS: list[type[Metric]] = [Bleu, ChrF, ChrFPlusPlus, Ter]
"""The metrics of an evaluation, in the order in which they are shown."""

__all__ = [
    "METRICS",
    "Bleu",
    "ChrF",
    "ChrFPlusPlus",
    "Comparison",
    "CorpusScore",
    "Metric",
    "MetricOptions",
    "Ter",
]
