"""Tasks in parallel: results in order, calls at the same time, each on its share of the cores."""

from __future__ import annotations

import threading

import pytest

from bitext.components.shared.parallel import CONCURRENT_TASKS, parallel_map, share_cores


def test_results_are_in_order_and_calls_run_at_the_same_time():
    # Each call waits for another call, so calls that run one by one never return.
    barrier = threading.Barrier(CONCURRENT_TASKS, timeout=60)

    def square(number: int) -> int:
        barrier.wait()
        return number * number

    numbers = range(2 * CONCURRENT_TASKS)
    assert list(parallel_map(square, numbers)) == [n * n for n in numbers]


def test_an_exception_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(parallel_map(lambda n: 1 // n, [1, 0, 1]))


@pytest.mark.parametrize(("cores", "threads"), [(1, "1"), (2, "1"), (9, "4")])
def test_an_operation_has_half_of_the_cores(monkeypatch, cores, threads):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
    environment: dict[str, str] = {}
    monkeypatch.setattr("os.environ", environment)
    share_cores()
    assert environment == {"TF_NUM_INTRAOP_THREADS": threads}


def test_number_of_threads_set_by_the_user_stays(monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    share_cores()
    import os

    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "3"
