"""Runs tasks in parallel, each on its share of the cores.

Recurrent layers run many small matrix products in sequence. On all cores, such a product spends much of its
time on synchronization. Two independent sequences on half of the cores each do not wait for each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

CONCURRENT_TASKS = 2
"""Number of tasks that run at a time."""

T = TypeVar("T")
R = TypeVar("R")


def share_cores() -> None:
    """Limits each TensorFlow operation to half of the cores. Call it before TensorFlow is imported.

    A number of threads that the user has set (`TF_NUM_INTRAOP_THREADS`) is not changed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, cores // CONCURRENT_TASKS)))


def parallel_map(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Yields the result of a function for each item, in order; `CONCURRENT_TASKS` calls run at a time.

    The function should release Python's interpreter lock most of the time, as TensorFlow's graphs do.
    """
    with ThreadPoolExecutor(CONCURRENT_TASKS) as pool:
        yield from pool.map(function, items)
