"""The program `bitext`: handles signals before it imports the command line, which takes a moment."""

from __future__ import annotations

import contextlib
import sys

from bitext.pipeline.interruptions import Interruptions, ending, ignore_at_exit, signal_of


def main() -> int:
    """Runs the command line and returns the exit code. The process ends with it, also on further signals."""
    ignore_at_exit()
    interruptions = Interruptions().__enter__()  # there is no end of it but that of the process
    try:
        from bitext.pipeline.cli import main as run_command_line

        code = run_command_line()
    except SystemExit as error:  # --help, or a command line that cannot be parsed
        code = error.code if isinstance(error.code, int) else 0
    except KeyboardInterrupt as error:  # before the command line handles it
        interruptions.ignore()
        number = signal_of(error)
        with contextlib.suppress(OSError):
            print(f"error: {ending(number)}", file=sys.stderr, flush=True)
        code = 128 + number
    interruptions.exit_with(code)
    return code
