"""`bitext tune`."""

from __future__ import annotations

import argparse
import os
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from bitext.components.shared.errors import ConfigError
from bitext.pipeline.commands import common
from bitext.pipeline.streams import print_output

if TYPE_CHECKING:
    from bitext.pipeline.config import PipelineConfig
    from bitext.pipeline.tuning.run import Outcome
    from bitext.pipeline.tuning.space import Base
    from bitext.pipeline.tuning.tuner import Request

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(rf"(?:[0-9]+(?:\.[0-9]+)?[{''.join(_UNITS)}])+")
PRUNE_AFTER = 0.3
MAX_SEED = 2**31 - 1


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "tune",
        run,
        "train with many settings, and write the configuration of the best ones",
        "bitext tune my.yaml --space space.yaml --budget 6h",
        "bitext tune my.yaml --space space.yaml --trials 20 --parallel 2",
    )
    common.add_config_arguments(parser)
    parser.add_argument(
        "--space",
        type=common.path_argument,
        required=True,
        metavar="FILE",
        help="YAML file with the keys to vary and their values",
    )
    parser.add_argument(
        "--budget",
        type=budget_argument,
        metavar="TIME",
        help="the longest time of work, over all commands that continue the tuning: 90m, 6h, 2d",
    )
    parser.add_argument(
        "--trials", type=_positive, metavar="N", help="the most trials (default: limited by --budget)"
    )
    parser.add_argument(
        "--parallel",
        type=_positive,
        default=1,
        metavar="N",
        help="trials at a time, each on its share of the processors (default: %(default)s)",
    )
    parser.add_argument(
        "--prune-after",
        type=_share,
        default=PRUNE_AFTER,
        metavar="SHARE",
        help="stop a trial that is below the median, but not before this share of its steps; 1: stop none"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--seed", type=_seed, default=1, metavar="N", help="seed of the search (default: %(default)s)"
    )
    parser.add_argument(
        "--output",
        type=common.path_argument,
        metavar="FILE",
        help="the configuration of the best trial (default: NAME.best.yaml in the current folder)",
    )
    common.add_wait_argument(parser)


def budget_argument(text: str) -> float:
    """A time on the command line, in seconds: `90m`, `6h`, `1d12h`."""
    if not _DURATION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"must be a time such as 90m, 6h or 2d; received {text!r}")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9.]+)([a-z])", text))
    if not seconds:
        raise argparse.ArgumentTypeError(f"must be above 0; received {text!r}")
    return seconds


def _positive(text: str) -> int:
    number = common.whole_number(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; received {text!r}")
    return number


def _share(text: str) -> float:
    share = common.number(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1; received {text!r}")
    return share


def _seed(text: str) -> int:
    number = common.whole_number(text)
    if not 0 <= number <= MAX_SEED:
        raise argparse.ArgumentTypeError(f"must be from 0 to {MAX_SEED}; received {text!r}")
    return number


def run(options: argparse.Namespace) -> int:
    """Tunes and returns the exit code."""
    from bitext.pipeline.terminal import Terminal, quiet_libraries

    quiet_libraries()
    session: common.Session = options.session
    from bitext.pipeline import config as configuration
    from bitext.pipeline import root_owner
    from bitext.pipeline.config import read_text
    from bitext.pipeline.layout import Layout
    from bitext.pipeline.opening import open_store
    from bitext.pipeline.reports.run_page.settings import record_of_run
    from bitext.pipeline.store import Store
    from bitext.pipeline.tuning.run import TuningRun
    from bitext.pipeline.tuning.space import Base

    file = common.config_file(options)
    text = read_text(file)  # once: it may be a pipe
    config = configuration.load(file, options.set, options.root, text=text)
    layout, terminal = Layout.of(config), Terminal()
    request = _request(options, config, Base(file, text, tuple(options.set), options.root))
    root_owner.check(config, file, layout)
    for line in _hints(config, request):
        terminal.say_of_run(line)

    def open_own_store() -> Store:
        store = open_store(config, layout, terminal.say_of_run)
        root_owner.record(file, layout)
        record_of_run(config, _command(options), layout, tuning.log_file.stem)
        return store

    tuning = TuningRun(request, open_own_store, terminal)
    session.log_file = tuning.log_file
    outcome = tuning.run()
    print_output(f"\n{_summary(outcome, request)}")
    return 0


def _request(options: argparse.Namespace, config: PipelineConfig, base: Base) -> Request:
    """Returns what the options ask for, after all checks that need no run."""
    from bitext.pipeline.tuning import best, search, space
    from bitext.pipeline.tuning.dimensions import product
    from bitext.pipeline.tuning.tuner import Limits, Request

    search.require_optuna()
    found = space.read(options.space, base)
    if options.budget is None and options.trials is None and product(found.dimensions) is None:
        raise ConfigError(
            "neither --budget nor --trials is given, and the space has no end",
            "give a time, --budget 6h, or a number of trials, --trials 20",
        )
    if config.trainer.distribute.workers > 1:
        raise ConfigError(
            f"trainer.distribute.workers is {config.trainer.distribute.workers}, and a trial is trained by"
            " one process",
            "--set trainer.distribute.workers=1",
        )
    cores = len(os.sched_getaffinity(0))
    if options.parallel > cores:
        raise ConfigError(
            f"--parallel {options.parallel}: there are {cores} processors, and each trial needs one",
            f"give --parallel {cores} or less",
        )
    output = options.output or Path(f"{config.name}.best.yaml")
    best.check_output(output, base.file, options.space)
    limits = Limits(options.budget, options.trials, options.parallel, options.seed, options.prune_after)
    return Request(base, found, limits, output, options.wait)


def _hints(config: PipelineConfig, request: Request) -> list[str]:
    """Returns hints about settings that make all trials slow."""
    cores = len(os.sched_getaffinity(0)) // request.limits.parallel
    if config.trainer.replicas <= cores or "trainer.replicas" in request.space.keys:
        return []
    return [
        f"hint: each trial has {cores} of the processors, and trainer.replicas is {config.trainer.replicas};"
        f" --set trainer.replicas={max(1, cores)} is faster"
    ]


def _command(options: argparse.Namespace) -> list[str]:
    """Returns the command line that repeats the tuning, in words."""
    words = ["bitext", "tune", *shlex.split(options.session.config_arguments or "")]
    words += ["--space", str(options.space)]
    words += ["--budget", f"{options.budget:g}s"] if options.budget is not None else []
    words += ["--trials", str(options.trials)] if options.trials is not None else []
    words += ["--output", str(options.output)] if options.output is not None else []
    words += ["--prune-after", f"{options.prune_after:g}"]
    return [*words, "--parallel", str(options.parallel), "--seed", str(options.seed)]


def _summary(outcome: Outcome, request: Request) -> str:
    """Returns the table of trials, the best one and the command that publishes it."""
    from bitext.pipeline.terminal import duration
    from bitext.pipeline.tuning import table
    from bitext.pipeline.tuning.search import Search

    importances = Search(request.space, request.limits.seed, lambda _: True).importances(outcome.trials)
    best, output = outcome.best, str(request.output)
    lines = [
        table.render(outcome.trials, request.space, importances),
        "",
        f"{len(outcome.trials)} trials in {duration(outcome.seconds)}: {outcome.why_over}",
        f"Best             trial {best.number}, validation BLEU {best.bleu:.2f}",
        f"HyperParameters  {outcome.artifact}",
        f"Configuration    {output}",
        "",
        f"Evaluate and publish its model, which is not trained again: bitext run {shlex.quote(output)}",
    ]
    return "\n".join(lines)
