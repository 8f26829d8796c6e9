"""The attention of sample translations during a training, and its image."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from bitext.components.artifacts.page import Alignment
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.seq2seq.model import PAD

MAX_TOKENS = 40
"""An image has at most this many rows and columns."""

Attend = Callable[[Sequence[str], Sequence[str]], list[Alignment]]
"""Returns the attention of translations, given their sources."""


def attention_function(translator: Translator) -> Attend | None:
    """Returns a function that returns the attention of translations; None if the model has no attention.

    Args:
      translator: the model, whose weights may change between two calls of the function.
    """
    if translator.model.settings.attention == "none":
        return None
    source_pieces, target_pieces = translator.source.pieces(), translator.target.pieces()

    def attend(sources: Sequence[str], translations: Sequence[str]) -> list[Alignment]:
        source_ids = translator.source_tokens(tf.constant(sources)).numpy()
        target_ids = translator.target_tokens(tf.constant(translations)).numpy()[:, 1:]
        weights = translator.score(tf.constant(sources), tf.constant(translations))["alignment"].numpy()
        alignments = []
        for source, target, matrix in zip(source_ids, target_ids, weights, strict=True):
            columns, rows = np.count_nonzero(source != PAD), np.count_nonzero(target != PAD)
            percent = np.rint(100 * matrix[:rows, :columns]).astype(int).tolist()
            alignments.append(
                Alignment(
                    tuple(source_pieces[i] for i in source[:columns]),
                    tuple(target_pieces[i] for i in target[:rows]),
                    tuple(map(tuple, percent)),
                )
            )
        return alignments

    return attend


def image(alignment: Alignment) -> tuple[bytes, tuple[int, int]]:
    """Returns an alignment as a PNG, and its width and height. Source tokens are columns."""
    import vl_convert

    png: bytes = vl_convert.vegalite_to_png(_chart(alignment))
    width, height = struct.unpack(">II", png[16:24])
    return png, (width, height)


def _chart(alignment: Alignment) -> dict[str, Any]:
    """The Vega-Lite chart of an alignment."""
    # A number before each token keeps the order, and equal tokens apart.
    columns = [f"{number:03d}{token}" for number, token in enumerate(alignment.source[:MAX_TOKENS])]
    rows = [f"{number:03d}{token}" for number, token in enumerate(alignment.target[:MAX_TOKENS])]
    cells = [
        {"source": column, "target": row, "weight": weight}
        for row, weights in zip(rows, alignment.weights, strict=False)
        for column, weight in zip(columns, weights, strict=False)
    ]
    axis = {"title": None, "labelExpr": "slice(datum.label, 3)", "labelFontSize": 12}
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v5.json",
        "background": "white",
        "data": {"values": cells},
        "mark": "rect",
        "width": {"step": 20},
        "height": {"step": 20},
        "encoding": {
            "x": {"field": "source", "type": "ordinal", "axis": axis | {"orient": "top", "labelAngle": -90}},
            "y": {"field": "target", "type": "ordinal", "axis": axis},
            "color": {
                "field": "weight",
                "type": "quantitative",
                "scale": {"scheme": "blues", "domain": [0, 100]},
                "legend": None,
            },
        },
    }
