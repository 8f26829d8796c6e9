"""Announces a wait that takes long."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def announced_after(seconds: float, say: Callable[[str], None], line: str) -> Iterator[None]:
    """Context manager: prints a line if the block takes longer than `seconds`."""
    timer = threading.Timer(seconds, say, [line])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
