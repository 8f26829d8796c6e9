"""`bitext verify`."""

from __future__ import annotations

import argparse

from bitext.pipeline.commands import common


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "verify",
        run,
        "compare outputs and served models with their recorded digests",
        "bitext verify my.yaml",
        "bitext verify my.yaml --serving",
    )
    common.add_config_arguments(parser)
    parser.add_argument(
        "--serving", action="store_true", help="check the serving folder only, without the pipeline root"
    )
    common.add_json_argument(parser)
    common.add_wait_argument(parser)


def run(options: argparse.Namespace) -> int:
    """Prints the report and returns the exit code: 3 if anything is damaged."""
    from bitext.pipeline.terminal import quiet_libraries

    options.session.require_output()
    quiet_libraries()
    config = common.load(options)
    from bitext.components.shared.errors import DataError
    from bitext.pipeline import verification

    report = verification.collect(config, options.serving, options.wait)
    common.print_report(
        verification.to_json(report) if options.json else report,
        lambda report: options.session.with_config(verification.render(report)),
        options.json,
    )
    return DataError.exit_code if report.problems else 0
