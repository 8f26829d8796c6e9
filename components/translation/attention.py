"""Translates lines and returns the attention of the translations.

This module imports no TensorFlow: a `LineTranslator` has loaded it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bitext.components.shared.parallel import parallel_map
from bitext.components.translation.lines import length_sorted_batches, one_line
from bitext.components.translation.translator import LineTranslator, Translation

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Percents = npt.NDArray[np.uint8]


@dataclasses.dataclass(frozen=True)
class Attention:
    """The attention of a translation.

    Attributes:
      source: the ids of the source tokens that the model read, `</s>` included.
      target: the ids of the tokens of the translation, `</s>` included.
      weights: uint8[T, S], for each target token the weight of each source token in percent.
    """

    source: list[int]
    target: list[int]
    weights: Percents


@dataclasses.dataclass(frozen=True)
class AttendedTranslation:
    """The best translation of a line.

    Attributes:
      translation: its text and score.
      attention: its attention; None for a blank line, for a model without attention, and for a model that an
        earlier version of bitext exported, whose signatures do not return `tokens`.
    """

    translation: Translation
    attention: Attention | None


def translate_with_attention(translator: LineTranslator, lines: Sequence[bytes]) -> list[AttendedTranslation]:
    """Returns the best translation of each line, with its attention, in the order of the lines.

    Raises:
      errors.DataError: the model is damaged.
      errors.EnvironmentFault: there is not enough memory for a batch.
    """
    results: list[AttendedTranslation] = [AttendedTranslation(Translation("", 0.0), None)] * len(lines)
    batches = list(length_sorted_batches([len(line) for line in lines], translator.lines_per_call))
    attended = parallel_map(lambda batch: _translate(translator, [lines[i] for i in batch]), batches)
    for batch, rows in zip(batches, attended, strict=True):
        for index, row in zip(batch, rows, strict=True):
            results[index] = row
    return results


def _translate(translator: LineTranslator, lines: list[bytes]) -> list[AttendedTranslation]:
    """Returns the best translation of each line of one batch."""
    outputs = translator.outputs(lines)
    best = [
        Translation(one_line(texts[0]), float(scores[0]))
        for texts, scores in zip(outputs["text"], outputs["score"], strict=True)
    ]
    if "tokens" not in outputs or not outputs["alignment"][:, 0].any():
        return [AttendedTranslation(translation, None) for translation in best]
    sources = translator.tokenize(lines)
    tokens, lengths = sources["tokens"], sources["length"]
    return [
        AttendedTranslation(translation, _attention(outputs, row, tokens[row, : lengths[row]].tolist()))
        for row, translation in enumerate(best)
    ]


def _attention(outputs: dict[str, Any], row: int, source: list[int]) -> Attention | None:
    """Returns the attention of the best translation of a row of a batch; None if all weights are 0."""
    length = int(outputs["length"][row, 0])
    weights = outputs["alignment"][row, 0, :length, : len(source)]
    if not weights.any():
        return None
    target: list[int] = outputs["tokens"][row, 0, :length].tolist()
    return Attention(source, target, (100 * weights).round().astype("uint8"))
