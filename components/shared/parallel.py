"""Pieces of work side by side, each on its share of the cores.

The recurrences make many small products in a row. Split over all cores, such a product spends much of its
time waiting; two independent rows of them, each on half of the cores, do not wait for each other.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

WAYS = 2
"""How many pieces of work run at a time."""

T = TypeVar("T")
R = TypeVar("R")


def share_cores() -> None:
    """Has TensorFlow split an operation over half of the cores. Call before TensorFlow is imported.

    A number of threads the user has set (`TF_NUM_INTRAOP_THREADS`) stays.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, cores // WAYS)))


def side_by_side(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """What `function` makes of each item, in order, `WAYS` of them at a time.

    The function should spend its time where the interpreter lock is released, as in TensorFlow's graphs.
    """
    with ThreadPoolExecutor(WAYS) as pool:
        yield from pool.map(function, items)
