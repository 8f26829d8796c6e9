"""`bitext doctor`."""

from __future__ import annotations

import argparse

from bitext.pipeline.commands import common


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "doctor",
        run,
        "show versions, machine, disks, metadata and the last run, and what is wrong with them",
        "bitext doctor my.yaml",
        "bitext doctor --json",
    )
    common.add_config_arguments(parser)
    parser.add_argument(
        "--gpu",
        action="store_true",
        help="ask TensorFlow for GPUs also if none is seen; it takes some seconds",
    )
    common.add_json_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the report and returns the exit code: that of the first problem, or 0."""
    from bitext.pipeline.terminal import quiet_libraries

    session: common.Session = options.session
    session.require_output()
    quiet_libraries()
    from bitext.pipeline import doctor

    file = common.config_file(options)
    report = doctor.collect(file, options.set, options.root, ask_tensorflow=options.gpu)
    common.print_report(report, lambda report: session.with_config(doctor.render(report)), options.json)
    return doctor.exit_code(report)
