"""`bitext inspect` calls `bitext run` with all the options that it reads."""

from __future__ import annotations

import argparse

import pytest

from bitext.pipeline import cli
from bitext.pipeline.commands import inspect, run


def test_the_run_has_all_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[argparse.Namespace] = []

    def record(options: argparse.Namespace) -> int:
        received.append(options)
        return 0

    monkeypatch.setattr(run, "run", record)
    for name in ("_print_rejects", "_print_left_out"):
        monkeypatch.setattr(inspect, name, lambda options: None)
    assert cli.main(["inspect", "toy.yaml"]) == 0
    usual = vars(cli.build_parser().parse_args(["run", "toy.yaml"]))
    assert set(usual) <= set(vars(received[0]))
    changed = {"last", "run", "parser", "whole_parser"}
    others = {name: value for name, value in usual.items() if name not in changed}
    assert {name: vars(received[0])[name] for name in others} == others
    assert received[0].last == inspect.LAST
