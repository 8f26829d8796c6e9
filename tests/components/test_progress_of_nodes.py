"""Nodes count all rows that they read, and know how many there are if earlier nodes counted them."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.shared.progress import Progress
from bitext.components.statistics_gen import Parameters, executor
from tests.components import example_gen_runs, transform_runs

Ended = list[tuple[str, int, int | None]]


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> Ended:
    """Unit, count and total of each work that has ended."""
    works: Ended = []
    monkeypatch.setattr(Progress, "end", lambda work: works.append((work.unit, work.done, work.total)))
    return works


def test_example_gen_and_statistics_gen(tmp_path: Path, ended: Ended) -> None:
    lines = [f"word {n} of many\tWort {n} von vielen" for n in range(300)]
    file = example_gen_runs.write(tmp_path / "a.tsv", [*lines, "no target"])
    made = example_gen_runs.Result(
        tmp_path / "run", format="tsv", files=[file], eval_share=0.2, test_share=0.2, max_reject_share=0.5
    )
    assert ended == [("rows", 301, None)]
    statistics = artifacts.ExampleStatistics(tmp_path / "statistics")
    statistics.path.mkdir()
    context = Context(tmp_path, tmp_path, lambda: beam.Pipeline(runner=FnApiRunner()), lambda line: None)
    executor.run(Parameters(), context, examples=made.examples, statistics=statistics)
    assert ended[1:] == [("rows", 300, 300)]


@pytest.mark.slow
def test_transform(tmp_path: Path, ended: Ended) -> None:
    spans = [{"train": transform_runs.rows(90, n), "eval": transform_runs.rows(20, n + 5)} for n in (1, 2)]
    transform_runs.Run(tmp_path / "first", spans[0])
    assert ended == [("rows", 90 + 90 + 20, None)]  # these examples do not tell their number
    transform_runs.Run(tmp_path / "second", *spans, cache=tmp_path / "first" / "cache")
    assert ended[1:] == [("rows", 90 + 2 * (90 + 20), None)]  # the first span's analysis is cached
