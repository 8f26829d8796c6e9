"""Translates the held-out sentences that models are scored on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from bitext.components.shared.heldout import Sentence
from bitext.components.shared.metrics import MetricOptions
from bitext.components.translation.search import Search
from bitext.components.translation.translator import LineTranslator, Translation


class EvaluationOptions(MetricOptions, Protocol):
    """How held-out sentences are chosen, translated and scored.

    A protocol that the Evaluator's parameters implement. Their docstring describes each option.
    """

    @property
    def references(self) -> Literal["by_source", "by_line"]: ...
    @property
    def max_sentences(self) -> int | None: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def beam_size(self) -> int | None: ...
    @property
    def length_penalty(self) -> float | None: ...
    @property
    def max_length(self) -> int | None: ...


def evaluated_search(options: EvaluationOptions) -> Search:
    """Returns the search whose translations are scored."""
    return Search(
        beam_size=options.beam_size, length_penalty=options.length_penalty, max_length=options.max_length
    )


def translate_sentences(translator: LineTranslator, sentences: Sequence[Sentence]) -> list[Translation]:
    """Returns the best translation of each sentence, in order."""
    return [best[0] for best in translator.translate([s.source.encode() for s in sentences])]
