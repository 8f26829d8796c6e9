"""Runs tasks in parallel, each on its share of the cores.

Recurrent layers run many small matrix products in sequence. Spread over all cores, such a product spends much
of its time on synchronization. Two independent sequences, on half of the cores each, do not wait for each
other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

CONCURRENT_TASKS = 2
"""How many tasks run at a time."""

T = TypeVar("T")
R = TypeVar("R")


def share_cores() -> None:
    """Limits TensorFlow's operations to half of the cores each. Call it before TensorFlow is imported.

    If the user has set a number of threads (`TF_NUM_INTRAOP_THREADS`), that number stays.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, cores // CONCURRENT_TASKS)))


def parallel_map(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yields the result of a function for each item, in order; `CONCURRENT_TASKS` calls run at a time.

    The function should spend its time where Python's interpreter lock is released, as TensorFlow's graphs do.
    """
    with ThreadPoolExecutor(CONCURRENT_TASKS) as pool:
        yield from pool.map(function, items)
