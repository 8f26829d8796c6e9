"""Work side by side: in order, at the same time, and each piece on its share of the cores."""

from __future__ import annotations

import threading

import pytest

from bitext.components.shared.parallel import WAYS, share_cores, side_by_side


def test_results_are_in_order_and_come_from_pieces_at_the_same_time():
    # Each pair waits for the other: one at a time, none would ever end.
    together = threading.Barrier(WAYS, timeout=60)

    def piece(number: int) -> int:
        together.wait()
        return number * number

    assert list(side_by_side(piece, range(2 * WAYS))) == [n * n for n in range(2 * WAYS)]


def test_a_failure_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(side_by_side(lambda n: 1 // n, [1, 0, 1]))


@pytest.mark.parametrize(("cores", "threads"), [(1, "1"), (2, "1"), (9, "4")])
def test_an_operation_has_half_of_the_cores(monkeypatch, cores, threads):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(cores)), raising=False)
    environment: dict[str, str] = {}
    monkeypatch.setattr("os.environ", environment)
    share_cores()
    assert environment == {"TF_NUM_INTRAOP_THREADS": threads}


def test_what_the_user_has_set_stays(monkeypatch):
    monkeypatch.setenv("TF_NUM_INTRAOP_THREADS", "3")
    share_cores()
    import os

    assert os.environ["TF_NUM_INTRAOP_THREADS"] == "3"
