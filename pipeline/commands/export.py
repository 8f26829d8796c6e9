"""`bitext export`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bitext.components.shared.errors import REFUSED, DataError
from bitext.pipeline.commands import common
from bitext.pipeline.commands.model_arguments import temporary_folder
from bitext.pipeline.streams import print_output

if TYPE_CHECKING:
    from bitext.components.exporter.forms import TrainedModel
    from bitext.pipeline.config import PipelineConfig


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "export",
        run,
        "write the served model in a smaller form or for another runtime",
        "bitext export my.yaml --output small --quantize int8",
        "bitext export my.yaml --output onnx --format onnx",
    )
    common.add_config_arguments(parser)
    parser.add_argument(
        "--output", type=common.path_argument, required=True, metavar="FOLDER", help="the folder to create"
    )
    parser.add_argument(
        "--quantize",
        choices=("float16", "int8"),
        help="type of the stored weights; the loss in BLEU is measured"
        " (default: float32, not for saved_model)",
    )
    parser.add_argument(
        "--format",
        choices=("saved_model", "tflite", "onnx", "openvino", "tfjs"),
        default="saved_model",
        help="saved_model: all signatures; the others: an encoder and `decode_step` over tokens"
        " (default: %(default)s)",
    )
    common.add_trust_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Exports the served model and returns the exit code."""
    from bitext.components.shared.parallel import share_cores
    from bitext.components.translation.output import check_output_folder
    from bitext.pipeline.terminal import native_notices_dropped, quiet_libraries

    quiet_libraries(native_errors=False)
    share_cores()
    config = common.load(options)
    check_output_folder(options.output)
    with native_notices_dropped():  # the converter to TensorFlow Lite writes many notices
        from bitext.components.exporter.exporter import export, render
        from bitext.components.exporter.forms import check_form

        check_form(options.format, options.quantize)
        trained, significance = served_model(config), config.evaluator.significance
        report = export(
            trained,
            options.output,
            options.format,
            options.quantize,
            config.evaluator,
            significance,
            trusted=options.trust_model,
        )
    if report.is_refused(significance):
        problem = f"does not compute what the SavedModel does: {report.tokens}"
        remedy = "use another --format"
        if report.tokens is None:
            bleu = f"BLEU {report.bleu:.2f} against {report.original_bleu:.2f} (p = {report.p_value:.3f})"
            problem, remedy = f"is significantly worse: {bleu}", "choose another precision with --quantize"
        common.print_error(f"{report.name} {problem}; nothing was written", remedy, options.session)
        return REFUSED
    print_output(render(report, options.output))
    return 0


def served_model(config: PipelineConfig) -> TrainedModel:
    """Returns the served model, or the model blessed last if none was pushed.

    Raises:
      DataError: no model was blessed, or an artifact that it was trained with is gone.
    """
    from bitext.components.artifacts import Examples, Model, TransformGraph
    from bitext.components.exporter.forms import TrainedModel
    from bitext.pipeline import sources, store
    from bitext.pipeline.input_copies import InputCopies

    remedy = "run the pipeline first: `bitext run CONFIG`"
    root = Path(config.work_folder)
    if not store.exists(config.metadata, root):
        raise DataError(f"the pipeline {config.name} has not run in {root}", remedy)
    executions = store.Store(config.metadata, root, config.name).executions()
    served = sources.served_model(executions, config.serving)
    if not served:
        raise DataError(f"no model of the pipeline {config.name} in {root} was blessed", remedy)
    [model] = served
    copies = InputCopies(temporary_folder())
    for execution in executions:
        if execution.inputs and any(output.digest == model.digest for output in execution.all_outputs()):
            keys = ("transform_graph", "examples")
            missing = [a for key in keys for a in execution.inputs[key] if not a.exists]
            if missing:
                raise DataError(f"{missing[0].uri}, which {model.uri} was trained with, is gone", remedy)
            paths = {key: [copies.path(artifact) for artifact in execution.inputs[key]] for key in keys}
            [graph] = map(TransformGraph, paths["transform_graph"])
            examples = [Examples(path) for path in paths["examples"]]
            return TrainedModel(Model(copies.path(model)), model.digest, graph, examples)
    raise DataError(f"there is no record of the training of {model.uri}", remedy)
