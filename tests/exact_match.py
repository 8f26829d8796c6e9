"""A metric that sacreBLEU does not have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bitext.components.shared.metrics import Metric

if TYPE_CHECKING:
    from bitext.components.shared.metrics.metric import SentenceStatistics


class ExactMatch(Metric):
    """The percentage of translations that are equal to a reference."""

    name, label = "exact", "exact match"

    def statistics(self, hypotheses: Sequence[str]) -> SentenceStatistics:
        hits = [float(h in references) for h, references in zip(hypotheses, self.references, strict=True)]
        return np.stack([hits, np.ones(len(hits))], axis=1)

    def corpus_score(self, sums: SentenceStatistics) -> float:
        return float(100 * sums[0] / sums[1])

    def signature(self) -> str:
        return "case:mixed"
