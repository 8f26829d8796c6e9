"""Fixtures that run the fake pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bitext.pipeline import graph
from tests.pipeline import fakes


@pytest.fixture(autouse=True)
def clean_calls() -> Iterator[None]:
    """Clears the records and hooks of the fakes before and after each test."""
    fakes.Calls.clear()
    yield
    fakes.Calls.clear()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a configuration, `toy.yaml`, and its corpus, `rows.txt`."""
    (tmp_path / "rows.txt").write_text("a\tb\n", encoding="utf-8")
    (tmp_path / "toy.yaml").write_text("name: toy\nexample_gen: {files: [rows.txt]}\n", encoding="utf-8")
    return tmp_path


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which `bitext run toy.yaml` runs the fakes and writes `metrics/toy.prom`."""
    (tmp_path / "rows.txt").write_text("a\tb\ntest\tc\n", encoding="utf-8")
    (tmp_path / "metrics").mkdir()
    (tmp_path / "toy.yaml").write_text(
        "name: toy\nexample_gen: {files: [rows.txt]}\nmetrics: {textfile: metrics/toy.prom}\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(graph, "create_pipeline", lambda config: fakes.pipeline(tmp_path))
    return tmp_path
