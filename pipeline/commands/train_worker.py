"""`bitext train-worker`."""

from __future__ import annotations

import argparse
import math
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitext.pipeline.commands import common
from bitext.pipeline.streams import print_output

if TYPE_CHECKING:
    from bitext.components.shared.progress import Progress

PROGRESS_SECONDS = 60.0
"""The shortest time between two lines about how far the training is."""


def add_to(commands: common.Commands) -> None:
    """Adds the command to the parser."""
    parser = common.add_command(
        commands,
        "train-worker",
        run,
        "train together with `bitext run` on another host; TF_CONFIG names the hosts",
        "bitext train-worker my.yaml",
        "bitext train-worker my.yaml --wait 3600",
    )
    common.add_config_arguments(parser)
    parser.add_argument(
        "--wait",
        type=common.seconds_argument,
        default=math.inf,
        metavar="SECONDS",
        help="end with exit code 6 if the chief does not train after SECONDS (default: no limit)",
    )


def run(options: argparse.Namespace) -> int:
    """Trains with the chief, and returns the exit code: that of its training."""
    from bitext.components.shared.parallel import share_cores
    from bitext.pipeline.terminal import logging_to, quiet_libraries

    quiet_libraries()
    share_cores()
    config = common.load(options)
    from bitext.components.component import Context
    from bitext.components.shared.errors import ConfigError
    from bitext.components.trainer import cluster
    from bitext.components.trainer.joining import Joining
    from bitext.pipeline.faults import translating_errors
    from bitext.pipeline.layout import Layout

    workers = config.trainer.distribute.workers
    if workers == 1:
        raise ConfigError(
            "trainer.distribute.workers is 1: `bitext run` trains alone",
            "set it to the number of processes, the chief included, and start them with this configuration",
        )
    own = cluster.from_environment(workers)
    if own.is_chief:
        raise ConfigError(
            f"this process is the {own.name(0)} by {cluster.VARIABLE}",
            "start `bitext run CONFIG` at the chief, and `bitext train-worker CONFIG` at the others",
        )
    layout = Layout.of(config)
    log_file = Path(tempfile.gettempdir(), f"bitext-worker-{own.index}-{os.getpid()}.log")
    options.session.log_file = log_file
    with (
        tempfile.TemporaryDirectory(prefix="bitext-worker-") as folder,
        translating_errors(layout.published),
        logging_to(log_file),
    ):
        temp_dir = Path(folder)
        context = Context(temp_dir, temp_dir, _no_beam, print_output, observe=_Lines().show)
        Joining(own, layout.job_file, context).run(options.wait)
    log_file.unlink()
    return 0


def _no_beam() -> Any:
    raise RuntimeError("a worker runs no Beam pipeline")


class _Lines:
    """Prints how far the training is, now and then."""

    def __init__(self) -> None:
        self._printed = -math.inf

    def show(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.is_ended or now - self._printed >= PROGRESS_SECONDS:
            self._printed = now
            of = f" of {progress.total:,}" if progress.total is not None else ""
            print_output(f"{progress.done:,}{of} {progress.unit}")
