"""Fixtures for the tests of the command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bitext.pipeline import graph
from tests.pipeline import fakes


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, where `bitext run toy.yaml` runs the fakes and writes `metrics/toy.prom`."""
    (tmp_path / "rows.txt").write_text("a\tb\ntest\tc\n", encoding="utf-8")
    (tmp_path / "metrics").mkdir()
    (tmp_path / "toy.yaml").write_text(
        "name: toy\nexample_gen: {files: [rows.txt]}\nmetrics: {textfile: metrics/toy.prom}\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(graph, "create_pipeline", lambda config: fakes.pipeline(tmp_path))
    fakes.Calls.nodes.clear()
    fakes.Calls.inside.clear()
    yield tmp_path
    fakes.Calls.inside.clear()
