"""Some of many items, evenly spaced."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

T = TypeVar("T")


def evenly(items: Sequence[T], count: int) -> list[T]:
    """Returns at most `count` of the items, evenly spaced, the first among them."""
    if len(items) <= count:
        return list(items)
    return [items[index * len(items) // count] for index in range(count)]


def spaced_indices(size: int, count: int) -> npt.NDArray[np.int64]:
    """Returns the indices of at most `count` of `size` rows, evenly spaced from the first to the last."""
    import numpy as np

    return np.linspace(0, size - 1, min(size, count)).astype(np.int64)
