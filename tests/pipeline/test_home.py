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
from tests.pipeline.test_config import VALID, write_config

PATH_KEYS = [key for key in reference.all_keys() if "path" in key.type]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sets the home directory to a folder of the test."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_every_key_that_names_files_is_a_path() -> None:
    names = [
        key.name
        for key in reference.all_keys()
        if "text" in key.type
        and re.search(r"\b(file|folder|path)s?\b", key.meaning)
        and not key.name.endswith(("source_column", "target_column"))  # the path of a JSON field
    ]
    assert names == []
    assert len(PATH_KEYS) > 15


@pytest.mark.parametrize("key", PATH_KEYS, ids=lambda key: key.name)
def test_every_path_key_expands_the_tilde(home: Path, key: reference.Key) -> None:
    is_list = key.type.startswith("list")
    value: Any = ["~/x", "a"] if is_list else "~/x"
    for name in reversed(key.name.split(".")):
        value = {name.removesuffix("[]"): [value] if name.endswith("[]") else value}
    value = typed.prepare(value, PipelineConfig)
    for name in key.name.split("."):
        value = value[name.removesuffix("[]")]
        value = value[0] if name.endswith("[]") else value
    assert value == ([str(home / "x"), "a"] if is_list else str(home / "x"))


def test_only_a_tilde_at_the_start_of_a_path_is_expanded(tmp_path: Path, home: Path) -> None:
    for text in ("a/~/b", "./~", "~no-such-user/x", "$HOME/x", "a~"):
        assert config.load(write_config(tmp_path, VALID), [f"root={text}"]).root == text
    assert config.load(write_config(tmp_path, VALID), ["root=~"]).root == str(home)
    assert config.load(write_config(tmp_path, VALID), ["root='~/x'"]).root == str(home / "x")
    assert config.load(write_config(tmp_path, VALID), ["root=~root"]).root == "/root"
    assert config.load(write_config(tmp_path, VALID + "root: ~/${n}\nvariables: {n: 1}\n")).root == str(
        home / "1"
    )


def test_a_text_that_is_no_path_is_unchanged(tmp_path: Path, home: Path) -> None:
    loaded = config.load(
        write_config(tmp_path, VALID), ["pusher.card.corpus=~/x", "beam.options=[--temp_location=~/x]"]
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
def test_every_path_option_expands_the_tilde(home: Path, arguments: list[str], option: str) -> None:
    options = cli.build_parser().parse_args(arguments)
    assert Path(getattr(options, option)) == home / "x"


def test_no_option_has_the_type_path() -> None:
    """An option of the type `Path` would not expand `~`."""
    [commands] = [a for a in cli.build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    types = {action.type for command in commands.choices.values() for action in command._actions}
    assert Path not in types


@pytest.mark.parametrize("arguments", [["run", ""], ["run", "--root", ""], ["translate", "--output", ""]])
def test_an_empty_path_is_refused(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert "a path must not be empty" in capsys.readouterr().err


def test_a_run_creates_no_folder_named_tilde(toy: Path, home: Path) -> None:
    home.mkdir()
    assert cli.main(["run", "toy.yaml", "--set", "root=~/runs", "--set", "metadata.sqlite=~/m.sqlite"]) == 0
    assert cli.main(["status", "toy.yaml", "--root=~/runs", "--set", "metadata.sqlite=~/m.sqlite"]) == 0
    assert {path.name for path in home.iterdir()} == {"runs", "m.sqlite"}
    assert not list(toy.rglob("~"))
