"""`bitext export`."""

from __future__ import annotations

import argparse
from pathlib import Path

from bitext.pipeline.commands import common


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "export",
        run,
        "write the served model in a smaller form or for TensorFlow Lite",
        "bitext export my.yaml --output small --quantize int8",
        "bitext export my.yaml --output lite --format tflite",
    )
    common.add_config_arguments(parser)
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="the folder to create")
    parser.add_argument(
        "--quantize",
        choices=("float16", "int8"),
        help="type of the stored weights; the loss in BLEU is measured (default: float32, for tflite only)",
    )
    parser.add_argument(
        "--format",
        choices=("saved_model", "tflite"),
        default="saved_model",
        help="saved_model: all signatures; tflite: `encode` and `decode_step` over tokens"
        " (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Exports the model and returns the exit code."""
    from bitext.components.shared.parallel import share_cores
    from bitext.pipeline.terminal import native_notices_dropped, quiet_libraries

    quiet_libraries(native_errors=False)
    share_cores()
    config = common.load(options)
    with native_notices_dropped():  # the converter to TensorFlow Lite writes many
        from bitext.components.exporter.exporter import export, render

        report = export(config, options.output, options.format, options.quantize)
    print(render(report, options.output))
    return 0
