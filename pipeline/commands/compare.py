"""`bitext compare`."""

from __future__ import annotations

import argparse
import shlex

from bitext.components.shared.errors import ConfigError
from bitext.pipeline.commands import common
from bitext.pipeline.commands.history import add_page_arguments


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "compare",
        run,
        "compare two runs: configuration, data, training, scores, sentences",
        "bitext compare previous last my.yaml",
        "bitext compare last last my.yaml --other their.yaml",
    )
    for name in ("first", "second"):
        parser.add_argument(
            name,
            type=common.run_argument,
            metavar="RUN",
            help="the id of a run, the beginning of one, `last`, `previous`, or `served`: the run that"
            " trained the served model",
        )
    common.add_config_arguments(parser)
    parser.add_argument(
        "--other",
        type=common.path_argument,
        metavar="CONFIG",
        help="the configuration of the second RUN, if that is of another pipeline",
    )
    add_page_arguments(parser, "ROOT/reports/compare-RUN-RUN.html")
    common.add_json_argument(parser, " with all figures, and write no page unless --output is given")


def _check_names(options: argparse.Namespace) -> None:
    """Refuses a configuration in place of a RUN: `bitext compare last my.yaml`.

    Raises:
      ConfigError: a RUN is the name of a YAML file.
    """
    for name in (options.first, options.second):
        if name.endswith((".yaml", ".yml")):
            raise ConfigError(
                f"{name} is a configuration, and not a run",
                f"name two runs before it: bitext compare previous last {shlex.quote(name)}",
            )


def run(options: argparse.Namespace) -> int:
    """Writes the page, prints the summary and returns the exit code."""
    from bitext.pipeline.terminal import quiet_libraries

    options.session.require_output()
    quiet_libraries()
    _check_names(options)
    config = common.load(options)
    import msgspec

    from bitext.pipeline.config import load
    from bitext.pipeline.reports import compare
    from bitext.pipeline.reports.compare import page, summary
    from bitext.pipeline.reports.writing import write_page

    other = config if options.other is None else load(options.other, [], None)
    report = compare.collect(
        (options.first, options.second), (config, other), "" if options.other is None else str(options.other)
    )
    comparison = report.comparison
    if options.output or options.open or not options.json:
        name = f"compare-{comparison.first.id}-{comparison.second.id}.html"
        layout = report.first.layout
        file = options.output or layout.reports / name
        write_page(page.page(report), file, layout, options.open)
        comparison = msgspec.structs.replace(comparison, page=str(file))
    common.print_report(
        msgspec.to_builtins(comparison) if options.json else comparison,
        lambda shown: options.session.with_config(summary.render(shown)),
        options.json,
    )
    return 0
