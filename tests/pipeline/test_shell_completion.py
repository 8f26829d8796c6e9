"""`bitext completion`: the scripts complete in real shells. Shells that are not installed are skipped."""

from __future__ import annotations

import argparse
import os
import pty
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitext.pipeline import cli, shells
from bitext.pipeline.shells.commands import commands_of, config_keys, node_names

SHELLS = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}


@pytest.fixture(params=["bash", "zsh", "fish"])
def script(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A shell and the file with its script, beside a few files."""
    shell = request.param
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    path = tmp_path / f"bitext.{shell}"
    path.write_text(shells.script(shell, cli.build_parser()), encoding="utf-8")
    folder = tmp_path / "work"
    (folder / "data").mkdir(parents=True)
    for name in ("my corpus.yaml", "toy.yml", "toy.tsv"):
        (folder / name).write_text("")
    return shell, path


def test_the_syntax(script: tuple[str, Path]) -> None:
    shell, path = script
    subprocess.run([shell, "-n", str(path)], check=True)


def test_every_command_and_option_is_in_each_script() -> None:
    commands = commands_of(cli.build_parser())
    paths = [command.path for command in commands]
    assert {"bitext", "bitext run", "bitext show data", "bitext completion"} <= set(paths)
    for shell in shells.WRITERS:
        text = shells.script(shell, cli.build_parser())
        for command in commands:
            assert command.path.split()[-1] in text
            for option in command.options:
                assert all(flag.lstrip("-") in text for flag in option.flags)


def test_nodes_and_keys() -> None:
    assert {"GoldenGen", "ExampleGen", "RequestStatistics", "Trainer", "Pusher"} <= set(node_names())
    assert {"name", "trainer.steps", "trainer.optimizer.learning_rate"} <= set(config_keys())


def bash_candidates(path: Path, words: list[str]) -> list[str]:
    """What bash's completion function offers for the last word."""
    lines = f"""
        source {path}
        COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _bitext
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "--norc", "-c", lines, "bash", *words],
        cwd=path.parent / "work",
        capture_output=True,
        text=True,
        check=True,
    )
    return list(filter(None, done.stdout.split("\n")))


def fish_candidates(path: Path, words: list[str]) -> list[str]:
    """What fish offers for the last word."""
    line = " ".join(words)
    done = subprocess.run(
        ["fish", "--no-config", "-c", f"source {path}; complete -C '{line}'"],
        cwd=path.parent / "work",
        capture_output=True,
        text=True,
        check=True,
    )
    return [row.split("\t")[0] for row in done.stdout.splitlines()]


CASES: list[tuple[list[str], set[str], set[str]]] = [
    (["bitext", "st"], {"status"}, {"show"}),
    (["bitext", "show", ""], {"data", "vocabulary"}, {"status"}),
    (["bitext", "run", "--f"], {"--from", "--force"}, {"--to", "--file"}),
    (["bitext", "run", "--from", "Tr"], {"Trainer", "Transform"}, {"Pusher"}),
    (["bitext", "run", "--log-format", ""], {"human", "json"}, {"toy.yml"}),
    (["bitext", "run", "--set", "trainer.st"], {"trainer.steps="}, {"name="}),
    (["bitext", "config", "--explain", "trainer.st"], {"trainer.steps"}, {"name"}),
    (["bitext", "run", "t"], {"toy.yml"}, {"runs"}),
    (["bitext", "inspect", "--root", ""], {"data"}, {"toy.tsv"}),
    (["bitext", "translate", "t"], {"toy.tsv"}, set()),
    (["bitext", "translate", "--beam-runner", "x"], set(), {"toy.tsv"}),
    (["bitext", "completion", ""], {"bash", "zsh", "fish"}, set()),
]


@pytest.mark.parametrize(
    ("words", "offered", "absent"), CASES, ids=[" ".join(words) for words, _, _ in CASES]
)
def test_candidates(script: tuple[str, Path], words: list[str], offered: set[str], absent: set[str]) -> None:
    shell, path = script
    if shell == "zsh":
        pytest.skip("zsh completes on its command line only, see below")
    found = (bash_candidates if shell == "bash" else fish_candidates)(path, words)
    names = {name.rstrip("/") for name in found}
    assert offered <= names
    assert not absent & names
    assert offered or not names


def test_bash_offers_no_other_files_for_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "work" / "data").mkdir(parents=True)
    for name in ("toy.yml", "toy.tsv"):
        (tmp_path / "work" / name).write_text("")
    (tmp_path / "bitext.bash").write_text(shells.script("bash", cli.build_parser()))
    found = bash_candidates(tmp_path / "bitext.bash", ["bitext", "run", ""])
    assert sorted(found) == ["data", "toy.yml"]


class Shell:
    """An interactive shell in a terminal of its own."""

    def __init__(self, arguments: list[str], folder: Path):
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:
            os.chdir(folder)
            environment = {**os.environ, "TERM": "dumb", "PS1": "ready> ", "HOME": str(folder)}
            os.execvpe(arguments[0], arguments, environment)

    def type(self, text: str, expected: str) -> str:
        """Types a text and returns what the shell prints until it has printed what is expected."""
        os.write(self._descriptor, text.encode())
        printed, deadline = "", time.monotonic() + 20
        while expected not in printed:
            readable, _, _ = select.select([self._descriptor], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"{expected!r} is not in {printed!r}"
            printed += os.read(self._descriptor, 65_536).decode(errors="replace")
        return printed

    def close(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._descriptor)


@pytest.fixture
def line(script: tuple[str, Path]) -> Iterator[Shell]:
    """The command line of a shell that has read the script."""
    shell, path = script
    if shell not in SHELLS:
        pytest.skip("fish is asked for its candidates above")
    try:
        os.close(os.open("/dev/ptmx", os.O_RDWR))
    except OSError as error:
        pytest.skip(f"this system has no pseudo-terminals: {error}")
    started = Shell(SHELLS[shell], path.parent / "work")
    prepare = "autoload -Uz compinit; compinit -u -D; " if shell == "zsh" else ""
    started.type(f"{prepare}source {path}; echo so''urced\n", "sourced")
    yield started
    started.close()


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("bitext stat\t", "bitext status"),
        ("bitext run --from Push\t", "Pusher"),
        ("bitext show vocab\t", "bitext show vocabulary"),
        ("bitext run my\t", "my\\ corpus.yaml"),
        ("bitext run --set trainer.optimizer.learn\t", "trainer.optimizer.learning_rate="),
        ("bitext run --force-b\t", "--force-bless"),
    ],
)
def test_on_the_command_line(line: Shell, typed: str, completed: str) -> None:
    line.type(typed, completed)


def test_help_with_brackets_and_quotes() -> None:
    """What would end a word or a specification of a shell."""
    whole = argparse.ArgumentParser(prog="bitext")
    parser = whole.add_subparsers().add_parser("odd", help='it\'s [odd]: "a" $b `c` \\ (default: none)')
    parser.add_argument("--odd", metavar="FILE", help='it\'s [odd]: "a" $b `c` 100%% \\ (default: none)')
    for shell in shells.WRITERS:
        if shutil.which(shell):
            text = shells.script(shell, whole)
            subprocess.run([shell, "-n"], input=text, text=True, check=True)
