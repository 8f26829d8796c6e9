"""A folder of the export to TensorFlow.js, and what a client of it must find."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from bitext.components.exporter.forms import DESCRIPTION_FILE
from bitext.components.seq2seq.export import tfjs_graphs, token_graphs
from bitext.components.seq2seq.export.quantize import Precision
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.shared.files import write_json
from tests.components.small_export import LINES


def write_folder(translator: Translator, folder: Path, precision: Precision | None = None) -> Path:
    """Writes the graphs, their description and the client. Returns the folder."""
    folder.mkdir()
    graphs = token_graphs.token_graphs(translator)
    tfjs_graphs.write(graphs, folder, precision)
    description = token_graphs.describe(graphs, translator, "tfjs", tfjs_graphs.SUFFIX)
    write_json(folder / DESCRIPTION_FILE, description)
    return folder


def source_tokens(translator: Translator) -> list[list[int]]:
    """Returns the tokens of LINES."""
    rows = translator.source_tokens(tf.constant(LINES)).numpy()
    return [row[row > 0].tolist() for row in rows]


def greedy_tokens(translator: Translator) -> list[list[int]]:
    """Returns the tokens of the translations of LINES by the model's greedy search."""
    options = tf.constant(1), tf.constant(0.0), tf.constant(translator.search.max_length)
    best = translator.translate_nbest(tf.constant(LINES), *options)
    rows = zip(best["tokens"].numpy()[:, 0], best["length"].numpy()[:, 0], strict=True)
    return [row[:size].tolist() for row, size in rows]
