"""The values that one configuration key, or several keys together, may have in a tuning."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

from bitext.components.shared.suggestions import did_you_mean
from bitext.pipeline.config.messages import describe_value

SIGNIFICANT_DIGITS = 4
"""The digits of a number from a continuous range. More make no difference to a training."""
WORDS = ("min", "max", "step", "log", "values", "same_as")
"""The words of a range."""
FORMS = (
    "write {min: 0.1, max: 0.4}, {min: 0.1, max: 0.4, step: 0.05}, {min: 1e-4, max: 1e-2, log: true},"
    " {values: [1, 2, 4]} or {same_as: KEY}"
)


class SpaceError(Exception):
    """A range that cannot be used.

    Attributes:
      problem: what is wrong with it, beginning with a verb or a noun.
      remedy: what to do.
    """

    def __init__(self, problem: str, remedy: str = FORMS):
        super().__init__(problem)
        self.problem, self.remedy = problem, remedy


@dataclasses.dataclass(frozen=True)
class Dimension:
    """The values of a key: a list, or the numbers of a range.

    A point of a dimension is what the search chooses. It is a number of the range, or the index of a value
    in the list or on the grid of the range.

    Attributes:
      key: the dotted configuration key.
      values: the values of a list, ascending if all are numbers; empty: it is a range.
      low: the lowest number of the range.
      high: the highest number of the range.
      step: the distance of its numbers; None: the range is continuous, or has all whole numbers.
      is_log: whether each order of magnitude is equally likely.
      is_whole: whether its numbers are whole.
    """

    key: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    step: float | None = None
    is_log: bool = False
    is_whole: bool = False

    @property
    def is_continuous(self) -> bool:
        """Whether it has more values than a search could try."""
        return not self.values and self.step is None and not self.is_whole

    @property
    def is_ordered(self) -> bool:
        """Whether neighboring points have similar values."""
        return not self.values or all(_is_number(value) for value in self.values)

    @property
    def count(self) -> int | None:
        """The number of its values; None: it is continuous."""
        if self.values:
            return len(self.values)
        if self.step is not None:
            return int((_exact(self.high) - _exact(self.low)) / _exact(self.step)) + 1
        return int(self.high) - int(self.low) + 1 if self.is_whole else None

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that decide whether all values are allowed: those of a list, or the ends of a range."""
        return self.values or (self.value(self.points[0]), self.value(self.points[1]))

    @property
    def points(self) -> tuple[float, float]:
        """The lowest and the highest point."""
        if self.values or self.step is not None:
            return 0, (self.count or 1) - 1
        return self.low, self.high

    def value(self, point: float) -> Any:
        """Returns the value at a point."""
        if self.values:
            return self.values[int(point)]
        if self.step is not None:
            number = _exact(self.low) + int(point) * _exact(self.step)
            return int(number) if self.is_whole else float(number)
        if self.is_whole:
            return int(point)
        rounded = float(f"{point:.{SIGNIFICANT_DIGITS}g}")
        return min(max(rounded, self.low), self.high)

    def point(self, value: Any) -> float | None:
        """Returns the point of a value; None: the dimension does not have it."""
        if self.values:
            indices = [i for i, own in enumerate(self.values) if _same(own, value)]
            return indices[0] if indices else None
        if not _is_number(value) or not self.low <= value <= self.high:
            return None
        if self.step is not None:
            index = (_exact(value) - _exact(self.low)) / _exact(self.step)
            return int(index) if index == int(index) else None
        if self.is_whole:
            return int(value) if value == int(value) else None
        return float(value)

    def description(self) -> dict[str, Any]:
        """Returns what it is, for the identity of a tuning and the files that describe it."""
        if self.values:
            return {"values": list(self.values)}
        words: dict[str, Any] = {"min": self.value(self.points[0]), "max": self.value(self.points[1])}
        words |= {"step": self.step} if self.step is not None else {}
        return words | ({"log": True} if self.is_log else {})


def read(key: str, words: dict[str, Any], numbers: frozenset[type]) -> Dimension:
    """Reads a range of the space file.

    Args:
      key: the dotted configuration key.
      words: the words of the range, but not `same_as`.
      numbers: the types of numbers that the key takes: `int`, `float`, both, or none.

    Raises:
      SpaceError: it is no range.
    """
    for word in words:
        if word not in WORDS:
            raise SpaceError(f"{word} is no word of a range{did_you_mean(word, WORDS)}")
    if "values" in words:
        _refuse_others(words, "values")
        return Dimension(key, _values(words["values"]))
    if not {"min", "max"} <= set(words):
        missing = "max" if "min" in words else "min"
        raise SpaceError(f"a range needs min and max, or values; {missing} is missing")
    if not numbers:
        raise SpaceError(
            "the key takes no numbers, so it has no min and max", "list its values: {values: [...]}"
        )
    return _range(key, words, is_whole=float not in numbers)


def _refuse_others(words: dict[str, Any], word: str) -> None:
    others = [other for other in words if other != word]
    if others:
        raise SpaceError(
            f"{word} and {', '.join(others)} exclude each other", f"leave {', '.join(others)} out"
        )


def _values(values: Any) -> tuple[Any, ...]:
    """Returns the values of a list, numbers in ascending order."""
    if not isinstance(values, list) or not values:
        raise SpaceError(
            f"values must be a list; received {describe_value(values) if values != [] else '[]'}"
        )
    for index, value in enumerate(values):
        if any(_same(value, other) for other in values[:index]):
            raise SpaceError(f"values has {describe_value(value)} twice", "name each value once")
    return tuple(sorted(values) if all(map(_is_number, values)) else values)


def _range(key: str, words: dict[str, Any], *, is_whole: bool) -> Dimension:
    low, high, step = words["min"], words["max"], words.get("step")
    is_log = words.get("log", False)
    for name, value in (("min", low), ("max", high), ("step", step)):
        if value is None and name == "step":
            continue
        if not _is_number(value) or (is_whole and not isinstance(value, int)):
            kind = "a whole number" if is_whole else "a number"
            raise SpaceError(f"{name} must be {kind}; received {describe_value(value)}")
    if not isinstance(is_log, bool):
        raise SpaceError(f"log must be true or false; received {describe_value(is_log)}")
    if low >= high:
        raise SpaceError(f"min must be below max; received {low} and {high}")
    if is_log and low <= 0:
        raise SpaceError(f"log needs a min above 0; received {low}", "raise min, or leave log out")
    if step is not None:
        _check_step(low, high, step, is_log=is_log)
    return Dimension(key, (), low, high, step, is_log, is_whole)


def _check_step(low: float, high: float, step: float, *, is_log: bool) -> None:
    if is_log:
        raise SpaceError("step and log exclude each other", "leave one of them out, or list the values")
    if step <= 0:
        raise SpaceError(f"step must be above 0; received {step}")
    steps = (_exact(high) - _exact(low)) / _exact(step)
    if steps != int(steps):
        last = float(_exact(low) + int(steps) * _exact(step))
        raise SpaceError(
            f"max {high} is not on the grid from min {low} in steps of {step}",
            f"set max to {last:g} or {float(_exact(low) + (int(steps) + 1) * _exact(step)):g}",
        )


def product(dimensions: Sequence[Dimension]) -> int | None:
    """Returns the number of combinations; None: a dimension is continuous."""
    counts = [dimension.count for dimension in dimensions]
    known = [count for count in counts if count is not None]
    return math.prod(known) if len(known) == len(counts) else None


def random_points(
    dimensions: Sequence[Dimension], uniform: Callable[[float, float], float]
) -> dict[str, float]:
    """Returns a random point of each dimension, by key.

    Args:
      dimensions: the dimensions.
      uniform: returns a random number between two others, as `random.Random.uniform` does.
    """
    points = {}
    for dimension in dimensions:
        low, high = dimension.points
        if dimension.is_log:
            point = math.exp(uniform(math.log(low), math.log(high)))
        elif dimension.is_continuous:
            point = uniform(low, high)
        else:
            point = math.floor(uniform(low, high + 1))
        points[dimension.key] = min(max(point, low), high)
    return points


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    """Whether two values are equal; true is not 1, and a tuple is the list with its items."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return list(one) == list(other)
    return isinstance(one, bool) == isinstance(other, bool) and bool(one == other)


def _exact(number: float) -> Decimal:
    """Returns the number as it is written, so that 0.1 + 2 * 0.05 is 0.2."""
    return Decimal(str(number))
