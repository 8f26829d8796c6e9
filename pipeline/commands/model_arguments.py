"""Arguments of the commands that use a model: which one, the search, how lines are split, batches."""

from __future__ import annotations

import argparse
import atexit
import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bitext.components.shared import storage
from bitext.pipeline.commands import common

if TYPE_CHECKING:
    from bitext.components.translation.search import Search
    from bitext.components.translation.sentences import Splitting

SEARCH = ("beam_size", "length_penalty", "max_length")
BATCH_SIZE = 64


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds `--model` and `--trust-model`."""
    parser.add_argument(
        "--model",
        type=_model_argument,
        help="a SavedModel or a serving folder, local or remote (default: the only one that runs from this"
        " folder pushed to)",
    )
    common.add_trust_argument(parser)


def add_search(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the search."""
    parser.add_argument(
        "--beam-size", type=common.whole_number, help="hypotheses kept at each step (default: the model's)"
    )
    parser.add_argument(
        "--length-penalty",
        type=common.number,
        help="larger values prefer longer translations (default: the model's)",
    )
    parser.add_argument(
        "--max-length",
        type=common.whole_number,
        help="the most tokens of a translation (default: the model's)",
    )


def add_splitting(parser: argparse.ArgumentParser) -> None:
    """Adds `--source-language` and `--whole-lines`."""
    parser.add_argument(
        "--source-language",
        metavar="CODE",
        type=_language,
        help="the language of the input (de, fr, ...), whose abbreviations end no sentence (default: the"
        " model's, or by the script)",
    )
    parser.add_argument(
        "--whole-lines",
        action="store_true",
        help="split only lines that are longer than the model reads: for models trained on lines with several"
        " sentences",
    )


def _language(text: str) -> str:
    """A language code for argparse."""
    if not re.fullmatch("[a-z]{2,3}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a language code of two or three letters, as in en")
    return text


def add_batch_size(parser: argparse.ArgumentParser) -> None:
    """Adds `--batch-size`."""
    parser.add_argument(
        "--batch-size",
        type=common.whole_number,
        default=BATCH_SIZE,
        help="number of sentences per batch (default: %(default)s)",
    )


def search(options: argparse.Namespace, nbest: int = 1) -> Search:
    """Returns the search that the options describe."""
    from bitext.components.translation.search import Search

    return Search(**{name: getattr(options, name) for name in SEARCH}, nbest=nbest)


def splitting(options: argparse.Namespace) -> Splitting:
    """Returns how lines are split into sentences."""
    from bitext.components.translation.sentences import Splitting

    return Splitting(options.source_language, options.whole_lines)


def model(options: argparse.Namespace) -> Path:
    """Returns the folder that `--model` names, or without it the only one that is served from here.

    Raises:
      ConfigError: several models are served from here.
      DataError: there is no model.
    """
    from bitext.components.translation.translator import find_saved_model

    if options.model is None:
        from bitext.pipeline.served_here import default_model
    folder = storage.path(options.model) if options.model else default_model(common.DEFAULT_CONFIG)
    saved_model = find_saved_model(folder)
    return _local_copy(saved_model) if storage.is_remote(saved_model) else folder


def _model_argument(text: str) -> str:
    return text if storage.is_remote(text) else str(common.path_argument(text))


def _local_copy(saved_model: Path) -> Path:
    """Returns a copy of a remote SavedModel, which is deleted when the command ends."""
    copy = temporary_folder() / saved_model.name
    storage.download(saved_model, copy)
    return copy


def temporary_folder() -> Path:
    """Returns a new folder that is deleted when the command ends."""
    folder = Path(tempfile.mkdtemp(prefix="bitext-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def import_tensorflow() -> None:
    """Imports TensorFlow without its notices, and without what a SavedModel does not need.

    TensorFlow imports Keras if it is installed, and Keras its plotting library.
    """
    from bitext.components.shared.imports import gc_disabled, packages_hidden
    from bitext.pipeline.terminal import native_notices_dropped

    with native_notices_dropped(), gc_disabled(), packages_hidden("keras", "tf_keras", "googleapiclient"):
        import tensorflow  # noqa: F401
