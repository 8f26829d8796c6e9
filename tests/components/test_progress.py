"""Progress of long work: counted by threads, observed now and then, ended in any case."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bitext.components.component import Context
from bitext.components.shared import progress
from bitext.components.shared.progress import Progress


def context(folder: Path, seen: list[tuple[int, bool]]) -> Context:
    def observe(shown: Progress) -> None:
        seen.append((shown.done, shown.is_ended))

    return Context(folder, folder, pytest.fail, observe=observe)


def fail_after_three(work: Progress) -> None:
    work.advance(3)
    raise ValueError("no")


def test_threads_count_together(tmp_path: Path) -> None:
    seen: list[tuple[int, bool]] = []
    with context(tmp_path, seen).progress("rows", 80_000) as work, ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: [progress.count(1) for _ in range(10_000)], range(8)))
        assert work.done == 80_000
    assert seen[0] == (0, False)
    assert seen[-1] == (80_000, True)
    assert len(seen) < 1000


def test_work_ends_with_an_error(tmp_path: Path) -> None:
    seen: list[tuple[int, bool]] = []
    working = context(tmp_path, seen).progress("rows")
    with pytest.raises(ValueError, match="no"), working as work:
        fail_after_three(work)
    assert seen[-1] == (3, True)
    progress.count(5)  # nothing is in progress
    assert work.done == 3


def test_work_within_work_is_counted_by_itself(tmp_path: Path) -> None:
    with context(tmp_path, []).progress("rows") as outer:
        with context(tmp_path, []).progress("sentences") as inner:
            progress.count(2)
        progress.count(3)
    assert (outer.done, inner.done) == (3, 2)


def test_the_rate_and_the_time_left_count_from_the_start_of_this_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with context(tmp_path, []).progress("updates", 4000, 1000) as work:
        assert work.seconds_left is None
        now += 50.0
        work.advance(500)
        assert work.rate == 10.0
        assert work.seconds_left == 250.0
    with context(tmp_path, []).progress("rows") as work:
        now += 2.0
        work.advance(10)
        assert (work.rate, work.seconds_left) == (5.0, None)
