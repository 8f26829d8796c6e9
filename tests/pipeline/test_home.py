"""`~` at the start of a path is the home directory, in every configuration key and command-line option."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import pytest

from bitext.pipeline import cli, config
from bitext.pipeline.config import reference, typed
from bitext.pipeline.config.sections import PipelineConfig
from tests.pipeline.test_config import GOOD, written

PATHS = [key for key in reference.all_keys() if "path" in key.type]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_every_key_that_names_files_is_a_path() -> None:
    names = [
        key.name
        for key in reference.all_keys()
        if "text" in key.type and re.search(r"\b(file|folder|path)s?\b", key.meaning)
    ]
    assert names == []
    assert len(PATHS) > 15


@pytest.mark.parametrize("key", PATHS, ids=lambda key: key.name)
def test_in_a_configuration(home: Path, key: reference.Key) -> None:
    is_list = key.type.startswith("list")
    value: Any = ["~/x", "a"] if is_list else "~/x"
    for name in reversed(key.name.split(".")):
        value = {name: value}
    value = typed.prepare(value, PipelineConfig)
    for name in key.name.split("."):
        value = value[name]
    assert value == ([str(home / "x"), "a"] if is_list else str(home / "x"))


def test_of_another_user_and_elsewhere_in_the_text(tmp_path: Path, home: Path) -> None:
    for text in ("a/~/b", "./~", "~no-such-user/x", "$HOME/x", "a~"):
        assert config.load(written(tmp_path, GOOD), [f"root={text}"]).root == text
    assert config.load(written(tmp_path, GOOD), ["root=~"]).root == str(home)
    assert config.load(written(tmp_path, GOOD), ["root='~/x'"]).root == str(home / "x")
    assert config.load(written(tmp_path, GOOD), ["root=~root"]).root == "/root"
    assert config.load(written(tmp_path, GOOD + "root: ~/${n}\nvariables: {n: 1}\n")).root == str(home / "1")


def test_a_text_that_is_no_path_stays(tmp_path: Path, home: Path) -> None:
    loaded = config.load(
        written(tmp_path, GOOD), ["pusher.card.corpus=~/x", "beam.options=[--temp_location=~/x]"]
    )
    assert (loaded.pusher.card.corpus, loaded.beam.options) == ("~/x", ("--temp_location=~/x",))


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (["run", "~/x"], "config"),
        (["run", "--root=~/x"], "root"),
        (["status", "~/x"], "config"),
        (["export", "--output=~/x"], "output"),
        (["fetch", "tatoeba-es", "--directory=~/x"], "directory"),
        (["translate", "~/x"], "input"),
        (["translate", "--output=~/x"], "output"),
        (["translate", "--model=~/x"], "model"),
    ],
)
def test_on_the_command_line(home: Path, arguments: list[str], option: str) -> None:
    options = cli.build_parser().parse_args(arguments)
    assert getattr(options, option) == home / "x"


def test_every_path_of_the_command_line_is_read_by_one_function() -> None:
    """An option of type `Path` would not expand `~`."""
    [commands] = [a for a in cli.build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    types = {action.type for command in commands.choices.values() for action in command._actions}
    assert Path not in types


@pytest.mark.parametrize("arguments", [["run", ""], ["run", "--root", ""], ["translate", "--output", ""]])
def test_an_empty_path_is_refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "a path must not be empty" in capsys.readouterr().err


def test_a_run_makes_no_folder_of_that_name(toy: Path, home: Path) -> None:
    home.mkdir()
    assert cli.main(["run", "toy.yaml", "--set", "root=~/runs", "--set", "metadata.sqlite=~/m.sqlite"]) == 0
    assert cli.main(["status", "toy.yaml", "--root=~/runs", "--set", "metadata.sqlite=~/m.sqlite"]) == 0
    assert {path.name for path in home.iterdir()} == {"runs", "m.sqlite"}
    assert not list(toy.rglob("~"))
