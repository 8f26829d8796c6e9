"""`bitext history`."""

from __future__ import annotations

import argparse

from bitext.pipeline.commands import common, rejects


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "history",
        run,
        "write a page about all runs: scores, data, drift, time and memory over time",
        "bitext history my.yaml",
        "bitext history my.yaml --limit 30 --output month.html",
    )
    common.add_config_arguments(parser)
    parser.add_argument(
        "--limit",
        type=rejects.limit,
        metavar="N",
        help="only the newest N runs; 0: all (default: all on the page, 20 in the table)",
    )
    add_page_arguments(parser, "ROOT/reports/history.html")
    common.add_json_argument(
        parser, " with all that the page shows, and write no page unless --output is given"
    )


def add_page_arguments(parser: argparse.ArgumentParser, default: str) -> None:
    """Adds `--output` and `--open`."""
    parser.add_argument(
        "--output",
        type=common.page_argument,
        metavar="FILE",
        help=f"the HTML file to write (default: {default})",
    )
    parser.add_argument("--open", action="store_true", help="open the page in the browser")


def run(options: argparse.Namespace) -> int:
    """Writes the page, prints the table and returns the exit code."""
    from bitext.pipeline.terminal import quiet_libraries

    options.session.require_output()
    quiet_libraries()
    config = common.load(options)
    import msgspec

    from bitext.pipeline.layout import Layout
    from bitext.pipeline.reports import history
    from bitext.pipeline.reports.history import page, table
    from bitext.pipeline.reports.writing import write_page

    report = history.collect(config, options.limit or None)
    if report.entries and (options.output or options.open or not options.json):
        layout = Layout.of(config)
        file = options.output or layout.reports / "history.html"
        write_page(page.page(report), file, layout, options.open)
        report = msgspec.structs.replace(report, page=str(file))
    limit = len(report.entries) if options.limit == 0 else options.limit
    common.print_report(
        msgspec.to_builtins(report) if options.json else report,
        lambda shown: options.session.with_config(table.render(shown, limit)),
        options.json,
    )
    return 0
