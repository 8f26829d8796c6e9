"""One or several signals: one message, the exit code of the first one, no traceback, and nothing torn."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bitext.pipeline.interruptions import PATIENCE_SECONDS, Interruptions, Terminated

REPOSITORY = Path(__file__).parents[2]
INT, TERM = signal.SIGINT, signal.SIGTERM
ROWS = [[INT], [TERM], [INT, INT], [TERM, INT], [INT, TERM], [INT, INT, INT], [TERM, TERM, TERM]]

PRELUDE = """
import os, signal, sys, time
from pathlib import Path
from bitext.pipeline import entry, interruptions
NUMBERS = [int(number) for number in os.environ["NUMBERS"].split()]

def send():
    for number in NUMBERS:
        os.kill(os.getpid(), number)
        time.sleep(0)  # the handler runs here

def work(seconds=30):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.01)
"""


def program(
    folder: Path, script: str, numbers: list[signal.Signals], *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Runs the program `bitext` with these arguments after a script that prepares the signals."""
    code = f"{PRELUDE}\n{script}\nsys.argv[1:] = {list(arguments)!r}\nsys.exit(entry.main())"
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "NUMBERS": " ".join(str(int(n)) for n in numbers)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def assert_one_message(process: subprocess.CompletedProcess[str], first: signal.Signals) -> None:
    ending = "terminated" if first == TERM else "interrupted"
    assert process.returncode == 128 + first, process.stderr
    errors = [line for line in process.stderr.splitlines() if not re.match("what to do: |log: ", line)]
    assert errors == [f"error: {ending}"]


@pytest.mark.parametrize("numbers", ROWS, ids=lambda numbers: "-".join(n.name for n in numbers))
class TestOneMessage:
    def test_in_a_command(self, tmp_path: Path, numbers: list[signal.Signals]) -> None:
        script = """
from bitext.pipeline import cli
def run(*_):
    try:
        send()
        work()
    finally:
        send()
        Path("cleaned").touch()
cli._run = run
"""
        process = program(tmp_path, script, numbers)
        assert_one_message(process, numbers[0])
        assert (tmp_path / "cleaned").exists()

    def test_in_an_import(self, tmp_path: Path, numbers: list[signal.Signals]) -> None:
        """A module that turns an interruption into an ImportError, as native modules do, does not see it."""
        (tmp_path / "native.py").write_text(
            "import __main__\n"
            "try:\n    __main__.send()\n    __main__.work(0.5)\n"
            "except BaseException as error:\n    raise ImportError('multiarray failed') from error\n"
        )
        script = """
from bitext.pipeline import cli
sys.path.insert(0, ".")
def run(*_):
    import native
    Path("imported").touch()
    work()
cli._run = run
"""
        process = program(tmp_path, script, numbers)
        assert_one_message(process, numbers[0])
        assert (tmp_path / "imported").exists()

    def test_while_the_command_line_is_imported(self, tmp_path: Path, numbers: list[signal.Signals]) -> None:
        script = """
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "bitext.pipeline.commands.status":
            send()
sys.meta_path.insert(0, Finder())
import argparse
argparse.ArgumentParser.print_help = lambda *_: work()
"""
        assert_one_message(program(tmp_path, script, numbers, "--help"), numbers[0])

    def test_in_a_finalizer(self, tmp_path: Path, numbers: list[signal.Signals]) -> None:
        script = """
from bitext.pipeline import cli
class Finalized:
    def __del__(self):
        send()
def run(*_):
    Finalized()
    work()
cli._run = run
"""
        assert_one_message(program(tmp_path, script, numbers), numbers[0])

    def test_hidden_by_a_library(self, tmp_path: Path, numbers: list[signal.Signals]) -> None:
        """Beam and TensorFlow raise other errors for an interruption in a function that they call."""
        script = """
from bitext.pipeline import cli
def run(*_):
    try:
        send()
        work()
    except BaseException as error:
        raise RuntimeError("wrapped") from None
cli._run = run
"""
        assert_one_message(program(tmp_path, script, numbers), numbers[0])

    def test_while_the_message_is_printed(self, tmp_path: Path, numbers: list[signal.Signals]) -> None:
        script = """
from bitext.pipeline import cli, streams
printed = streams.print_message
def print_message(text):
    send()
    printed(text)
    send()
streams.print_message = print_message
def run(*_):
    send()
    work()
cli._run = run
"""
        assert_one_message(program(tmp_path, script, numbers), numbers[0])

    def test_after_an_error(self, tmp_path: Path, numbers: list[signal.Signals]) -> None:
        """The command has failed already, so it ends with its own code."""
        script = """
from bitext.pipeline import streams
printed = streams.print_message
def print_message(text):
    send()
    printed(text)
streams.print_message = print_message
"""
        process = program(tmp_path, script, numbers, "run", "absent.yaml")
        assert process.returncode == 2
        assert re.fullmatch("error: absent.yaml.*\nwhat to do: .*\n", process.stderr)

    def test_while_python_ends(self, tmp_path: Path, numbers: list[signal.Signals]) -> None:
        script = """
import atexit
from bitext.pipeline import cli
cli._run = lambda *_: 4
sys.modules["__main__"].guard = type("Guard", (), {"__del__": lambda self: send()})()
atexit.register(send)
"""
        process = program(tmp_path, script, numbers)
        assert (process.returncode, process.stderr) == (4, "")


def test_a_background_job_still_ignores_ctrl_c(tmp_path: Path) -> None:
    script = """
signal.signal(signal.SIGINT, signal.SIG_IGN)
from bitext.pipeline import cli
def run(*_):
    send()
    return 0
cli._run = run
"""
    process = program(tmp_path, script, [INT, INT])
    assert (process.returncode, process.stderr) == (0, "")


@pytest.mark.parametrize(("first", "second"), [(INT, INT), (TERM, INT)])
def test_a_later_signal_ends_a_command_that_hangs(
    tmp_path: Path, first: signal.Signals, second: signal.Signals
) -> None:
    script = f"""
interruptions.PATIENCE_SECONDS = 0.2
from bitext.pipeline import cli
def run(*_):
    try:
        os.kill(os.getpid(), {int(first)})
        work()
    finally:
        time.sleep(0.3)
        os.kill(os.getpid(), {int(second)})
        work()
cli._run = run
"""
    assert_one_message(program(tmp_path, script, []), first)


def test_a_long_import_is_not_a_hanging_command(tmp_path: Path) -> None:
    """The signal that is sent again during an import is no further one."""
    (tmp_path / "slow.py").write_text("import __main__\n__main__.send()\n__main__.work(1.0)\n")
    script = """
interruptions.PATIENCE_SECONDS = 0.2
from bitext.pipeline import cli
sys.path.insert(0, ".")
def run(*_):
    import slow
    Path("imported").touch()
    work()
cli._run = run
"""
    assert_one_message(program(tmp_path, script, [INT]), INT)
    assert (tmp_path / "imported").exists()


class TestContext:
    def test_handlers_are_restored(self) -> None:
        before = [signal.getsignal(number) for number in (INT, TERM)]
        with Interruptions() as outer, Interruptions() as inner:
            assert inner is outer
            assert signal.getsignal(INT) != before[0]
        assert [signal.getsignal(number) for number in (INT, TERM)] == before
        assert sys.unraisablehook is sys.__unraisablehook__

    @pytest.mark.parametrize(("number", "kind"), [(INT, KeyboardInterrupt), (TERM, Terminated)])
    def test_the_first_signal_is_raised_and_others_are_not(self, number: signal.Signals, kind: type) -> None:
        with Interruptions() as interruptions:
            with pytest.raises(KeyboardInterrupt) as caught:
                signal.raise_signal(number)
            assert type(caught.value) is kind
            signal.raise_signal(INT)
            signal.raise_signal(TERM)
            with pytest.raises(kind):
                interruptions.raise_again()
        assert PATIENCE_SECONDS > 0

    def test_a_thread_handles_no_signals(self) -> None:
        handlers = []

        def run() -> None:
            with Interruptions():
                handlers.append(signal.getsignal(TERM))

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        assert handlers == [signal.getsignal(TERM)]
