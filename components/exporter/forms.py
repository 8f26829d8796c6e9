"""Writes a trained model in another form: a SavedModel with smaller weights, or for another runtime."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from bitext.components.artifacts import Examples, Model, TransformGraph, warm_up_file
from bitext.components.exporter import readme
from bitext.components.exporter.token_formats import TOKEN_FORMATS
from bitext.components.seq2seq import SearchSettings, ServingLimits
from bitext.components.seq2seq.export import checkpoint, lite, quantize, token_graphs
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.shared.errors import ConfigError
from bitext.components.shared.files import write_json
from bitext.components.text.processor import load_text_pair

Form = Literal["saved_model", "tflite", "onnx", "openvino", "tfjs"]
LITE_FILE = "translator.tflite"
README_FILE = "README.md"
DESCRIPTION_FILE = "signatures.json"
"""What a client must know of the graphs of a token format: `token_graphs.Description`."""


@dataclasses.dataclass(frozen=True)
class TrainedModel:
    """A trained model and the artifacts it was trained with.

    Attributes:
      model: the model.
      digest: the model's recorded digest.
      transform_graph: its vocabularies and text settings.
      examples: the examples of each span; the model is scored on their test splits.
    """

    model: Model
    digest: str
    transform_graph: TransformGraph
    examples: Sequence[Examples]


class TrainerSettings(msgspec.Struct, frozen=True):
    """The parameters of the Trainer that the exporter reads."""

    search: SearchSettings
    serving_limits: ServingLimits = ServingLimits()


def check_form(form: Form, precision: quantize.Precision | None) -> None:
    """Checks that a form differs from the served model and can be written here.

    Raises:
      ConfigError: the form is the served model unchanged, does not exist with this precision, or needs
        packages that are not installed.
    """
    if form == "saved_model" and precision is None:
        raise ConfigError(
            "nothing to make smaller: a SavedModel with float32 weights is the served model itself",
            "copy the serving folder, or give --quantize or --format tflite",
        )
    if (token_format := TOKEN_FORMATS.get(form)) is not None:
        if precision is not None and not token_format.quantizes:
            raise ConfigError(
                f"--quantize {precision} is not possible with --format {form}",
                f"leave --quantize out, and use the tools of {token_format.label} to quantize",
            )
        token_format.require_packages()


def write_form(trained: TrainedModel, folder: Path, form: Form, precision: quantize.Precision | None) -> None:
    """Writes a model in another form.

    Args:
      trained: the model.
      folder: an empty folder. All forms but `saved_model` also get the files of the vocabulary.
      form: format of the files.
      precision: type of the stored weights; None: float32.

    Raises:
      DataError: a file of the model is missing or damaged.
    """
    translator = restore(trained)
    if form == "tflite":
        (folder / LITE_FILE).write_bytes(lite.convert(translator, precision))
        trained.transform_graph.copy_text(folder)
    elif (token_format := TOKEN_FORMATS.get(form)) is not None:
        if precision is not None:
            token_format.round_weights(translator, precision)
        graphs = token_graphs.token_graphs(translator)
        token_format.write(graphs, folder, precision)
        description = token_graphs.describe(graphs, translator, form, token_format.suffix)
        write_json(folder / DESCRIPTION_FILE, description)
        content = readme.render(token_format, description, trained.transform_graph.text())
        (folder / README_FILE).write_text(content, encoding="utf-8")
        trained.transform_graph.copy_text(folder)
        shutil.copyfile(trained.model.vocabulary_file, folder / trained.model.vocabulary_file.name)
    elif precision is not None:
        quantize.save(translator, precision, folder)
        extra_assets = warm_up_file(trained.model.serving).parent
        if extra_assets.is_dir():
            shutil.copytree(extra_assets, folder / extra_assets.name)


@contextlib.contextmanager
def exact_model(trained: TrainedModel, form: Form, precision: quantize.Precision | None) -> Iterator[Path]:
    """The SavedModel that a token format must equal: the model, or one with the same rounded weights.

    Raises:
      DataError: a file of the model is missing or damaged.
    """
    if precision is None:
        yield trained.model.serving
        return
    translator = restore(trained)
    TOKEN_FORMATS[form].round_weights(translator, precision)
    with tempfile.TemporaryDirectory() as folder:
        translator.save(Path(folder))
        yield Path(folder)


def restore(trained: TrainedModel) -> Translator:
    """Restores the model from its checkpoint, with the search that the Trainer exported.

    Raises:
      DataError: a file of the model is missing or damaged.
    """
    pair = load_text_pair(trained.transform_graph.path)
    parameters = settings_of(trained)
    model = checkpoint.restore(trained.model.path, pair)
    return Translator(model, pair, parameters.search, parameters.serving_limits)


def settings_of(trained: TrainedModel) -> TrainerSettings:
    """Returns the parameters that the model was trained with.

    Raises:
      DataError: the file of the parameters is missing or damaged.
    """
    return trained.model.trainer_parameters(TrainerSettings)
