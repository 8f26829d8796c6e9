"""Every command has the right exit code and prints no traceback if a standard stream is closed or full."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tensorflow.core.protobuf import saved_model_pb2

REPOSITORY = Path(__file__).parents[2]

# `bitext` with the fake pipeline.
COMMAND = """
import sys
from pathlib import Path
from bitext.pipeline import cli, graph
from tests.pipeline import fakes
graph.create_pipeline = lambda config: fakes.pipeline(Path.cwd())
sys.exit(cli.main(sys.argv[1:]))
"""
# The arguments of each command, and its exit code with all streams open.
CASES = [
    ("--help", 0),
    ("--version", 0),
    ("--nonsense", 2),
    ("run toy.yaml", 0),
    ("run toy.yaml --log-format json", 0),
    ("run none.yaml", 2),
    ("run none.yaml --log-format json", 2),
    ("config toy.yaml", 0),
    ("config --explain trainer", 0),
    ("status toy.yaml", 0),
    ("status toy.yaml --json", 0),
    ("lineage 1 toy.yaml", 3),
    ("rollback toy.yaml --reason x", 3),
    ("gc toy.yaml --keep 1", 0),
    ("export none.yaml --output out", 2),
    ("fetch nothing", 2),
    ("translate --model serving/none", 3),
    ("translate rows.txt --model serving/none --output out.txt", 3),
    (f"gc toy.yaml --keep 1 --root {'a' * 300}", 2),
    (f"export toy.yaml --output {'a' * 300}", 2),
]
JSON_RUNS = ("run toy.yaml --log-format json", "run none.yaml --log-format json")
NEEDS_OUTPUT = (*JSON_RUNS, "config", "status", "lineage", "translate --model")


def bitext(
    folder: Path, arguments: str, redirection: str, command: str = COMMAND
) -> subprocess.CompletedProcess[str]:
    """Runs the command with a shell's redirection."""
    return subprocess.run(
        ["bash", "-c", f'exec "$0" "$@" {redirection}', sys.executable, "-c", command, *arguments.split()],
        cwd=folder,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"},
        input="a line\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.parametrize(("arguments", "code"), CASES)
@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
def test_every_command_with_closed_streams(folder: Path, arguments: str, code: int, redirection: str) -> None:
    process = bitext(folder, arguments, redirection)
    assert "Traceback" not in process.stderr + process.stdout
    expected = code
    if ">&-" in redirection.replace("2>&-", "") and arguments.startswith(NEEDS_OUTPUT):
        expected = 2
        if "2>" not in redirection:
            closed = "input" if arguments.startswith("translate") and "<" in redirection else "output"
            assert f"error: standard {closed} is closed" in process.stderr
    elif "<&-" in redirection and arguments == "translate --model serving/none":
        expected = 2
        assert "error: standard input is closed\nwhat to do: name a FILE" in process.stderr
    assert process.returncode == expected, process.stderr
    if "2>&-" in redirection:
        assert "error:" not in process.stdout


@pytest.mark.parametrize(("arguments", "code"), CASES)
def test_every_command_with_a_full_standard_output(folder: Path, arguments: str, code: int) -> None:
    """Lost output is an error, unless the command reports another error."""
    process = bitext(folder, arguments, ">/dev/full")
    assert "Traceback" not in process.stderr
    assert "Exception ignored" not in process.stderr
    if code == 0:
        assert process.returncode == 6
        assert "No space left on device" in process.stderr
    else:
        assert process.returncode == code


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2> >(true)"])
def test_standard_error_that_cannot_be_written_keeps_the_exit_code(folder: Path, redirection: str) -> None:
    assert bitext(folder, "run none.yaml", redirection).returncode == 2


def test_no_file_gets_the_descriptor_of_a_closed_stream(folder: Path) -> None:
    """Otherwise a library that prints would write into the file."""
    noise = "import os; fakes.Calls.hooks['Train'] = lambda context: os.write(1, b'noise') and None\n"
    script = COMMAND.replace("sys.exit(", f"{noise}sys.exit(")
    process = subprocess.run(
        ["bash", "-c", 'exec "$0" "$@" <&- >&-', sys.executable, "-c", script, "run", "toy.yaml"],
        cwd=folder, env={"PYTHONPATH": str(REPOSITORY), "PATH": "/usr/bin:/bin"}, check=False, timeout=120,
    )  # fmt: skip
    assert process.returncode == 0
    assert not [path for path in folder.rglob("*") if path.is_file() and b"noise" in path.read_bytes()]


# `bitext` that gets two signals when it reads the configuration, or looks for the served model.
INTERRUPTED = """
import os, signal, sys
from bitext.pipeline import entry, served_here
from bitext.pipeline.commands import common

def load(options):
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(os.getpid(), number)
    raise AssertionError("not interrupted")

signal.signal(signal.SIGINT, signal.default_int_handler)
common.load = served_here.default_model = load
sys.exit(entry.main())
"""


@pytest.mark.parametrize("redirection", ["", ">&-", "2>&-", ">&- 2>&-", ">/dev/full", "2>/dev/full"])
@pytest.mark.parametrize(
    "arguments",
    [
        "run toy.yaml",
        "run toy.yaml --log-format json",
        "status toy.yaml",
        "lineage 1 toy.yaml",
        "rollback toy.yaml --reason x",
        "gc toy.yaml --keep 1",
        "export toy.yaml --output out",
        "translate rows.txt --output out.txt",
    ],
)
def test_signals_with_every_state_of_the_streams(folder: Path, arguments: str, redirection: str) -> None:
    process = bitext(folder, arguments, redirection, INTERRUPTED)
    refused = ">&-" in redirection.replace("2>&-", "") and arguments.startswith(NEEDS_OUTPUT)
    assert process.returncode == (2 if refused else 143), process.stderr
    assert "Traceback" not in process.stderr + process.stdout
    if "2>" not in redirection and not refused:
        assert process.stderr == "error: terminated\n"
    assert sorted(path.name for path in folder.iterdir()) == ["rows.txt", "toy.yaml"]


@pytest.mark.parametrize("redirection", [">&-", "2>&-", "2>/dev/full"])
def test_a_refused_model_with_closed_streams(folder: Path, redirection: str) -> None:
    model = saved_model_pb2.SavedModel()
    model.meta_graphs.add().graph_def.node.add(name="x", op="WriteFile")
    (folder / "model").mkdir()
    (folder / "model" / "saved_model.pb").write_bytes(model.SerializeToString())
    process = bitext(folder, "translate rows.txt --model model --output out.txt", redirection)
    assert process.returncode == 3
    assert "Traceback" not in process.stderr + process.stdout
    if "2>" not in redirection:
        assert "operations that read or write files (WriteFile)\nwhat to do: use it only if" in process.stderr
    assert not (folder / "out.txt").exists()
