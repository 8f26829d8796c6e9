"""`bitext translate` with constraints: what is wrong is refused before a model is loaded."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

import pytest

from bitext.components.shared.errors import ConfigError
from bitext.components.translation.constraints import ConstraintOptions, LineConstraints
from bitext.pipeline import cli
from bitext.pipeline.commands import constraint_arguments

NOTHING = {
    "prefix": None,
    "require": None,
    "ban": None,
    "constraints": None,
    "no_repeat_ngram": None,
    "repetition_penalty": None,
    "max_length_factor": None,
    "json": False,
    "beam_runner": None,
}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"no_repeat_ngram": 0, "repetition_penalty": 1.0}, None),
        ({"json": True}, ConstraintOptions()),
        ({"max_length_factor": 0}, ConstraintOptions(max_length_factor=0)),
        ({"prefix": "a "}, ConstraintOptions(LineConstraints(prefix="a "))),
        ({"ban": ["a", "b"]}, ConstraintOptions(LineConstraints(ban=("a", "b")))),
        ({"constraints": Path("c")}, ConstraintOptions(file=Path("c"))),
    ],
)
def test_the_search_with_constraints_runs_if_an_option_needs_it(given, expected):
    assert constraint_arguments.constraints(Namespace(**NOTHING | given)) == expected


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"no_repeat_ngram": -1}, "no_repeat_ngram must be from 0 to 20, received -1"),
        ({"ban": ["a"], "alignments": None}, "--alignments does not go with constraints or --json"),
        ({"json": True, "beam_runner": "direct"}, "--beam-runner does not go with constraints or --json"),
    ],
)
def test_what_does_not_go_together_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        constraint_arguments.constraints(Namespace(**NOTHING | given))


@pytest.mark.parametrize("option", ["--ban", "--require", "--prefix"])
@pytest.mark.parametrize("blank", ["", " "])
def test_a_blank_text_is_refused(option, blank, capsys):
    try:
        code = cli.main(["translate", option, blank])
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert f"argument {option}: must not be empty" in capsys.readouterr().err
