"""Constraints of translations, from options and from a file with one JSON object for each line.

This module imports no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from bitext.components.seq2seq import MOST_LENGTH_FACTOR, MOST_REPEATED_NGRAM, MOST_REPETITION_PENALTY
from bitext.components.shared import errors
from bitext.components.translation.lines import read_blocks

_REMEDY = 'write one object a line, such as {"prefix": "Hello", "require": ["cat"], "ban": ["dog"]}, or {}'


_RANGES = (
    ("no_repeat_ngram", 0, MOST_REPEATED_NGRAM),
    ("repetition_penalty", 1, MOST_REPETITION_PENALTY),
    ("max_length_factor", 0, MOST_LENGTH_FACTOR),
)
"""The numbers, and the least and the largest value of each."""


class LineConstraints(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one translation must and must not contain; see `seq2seq.export.constrained`.

    Attributes:
      prefix: its beginning.
      require: phrases that it contains.
      ban: phrases that it does not contain.
    """

    prefix: str = ""
    require: tuple[str, ...] = ()
    ban: tuple[str, ...] = ()

    @property
    def is_of_line(self) -> bool:
        """Whether the constraints hold for a whole line, and not for each of its sentences."""
        return bool(self.prefix or self.require)

    def with_those_of(self, line: LineConstraints, where: str) -> LineConstraints:
        """Returns these constraints with those of one line.

        Raises:
          errors.DataError: both have a prefix, or a phrase is empty.
        """
        if self.prefix and line.prefix:
            raise errors.DataError(f"{where}: `prefix` is given with --prefix", "leave one of them out")
        for name in ("require", "ban"):
            if not all(phrase.strip() for phrase in getattr(line, name)):
                raise errors.DataError(f"{where}: `{name}` has an empty phrase", "leave it out")
        return LineConstraints(self.prefix or line.prefix, self.require + line.require, self.ban + line.ban)


@dataclasses.dataclass(frozen=True)
class ConstraintOptions:
    """The constraints of a search.

    Attributes:
      of_all: those of all lines.
      file: a file with more constraints for each line of the input; None: there are none.
      no_repeat_ngram: no so many tokens stand twice in a translation; 0: off.
      repetition_penalty: 1 or more; 1: off.
      max_length_factor: see `seq2seq.length_bound`; 0: off; None: the model's.
    """

    of_all: LineConstraints = LineConstraints()  # noqa: RUF009
    file: Path | None = None
    no_repeat_ngram: int = 0
    repetition_penalty: float = 1.0
    max_length_factor: int | None = None

    def __post_init__(self) -> None:
        for name, least, most in _RANGES:
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise errors.ConfigError(f"{name} must be from {least} to {most:,}, received {value}")

    @property
    def is_default(self) -> bool:
        """Whether nothing is asked for."""
        return self == ConstraintOptions()


class ConstraintReader:
    """The constraints of one line of the input after the other.

    Args:
      options: the options.
      chunks: the bytes of `options.file`; None: there is no file.
    """

    def __init__(self, options: ConstraintOptions, chunks: Iterable[bytes] | None):
        self._options, self._number = options, 0
        self._lines: Iterator[bytes] | None = None
        if chunks is not None:
            self._lines = itertools.chain.from_iterable(read_blocks(chunks))

    def read(self, count: int) -> list[LineConstraints]:
        """Returns the constraints of the next lines.

        Raises:
          errors.DataError: a line is no such object, or the file has fewer lines than the input.
        """
        if self._lines is None:
            return [self._options.of_all] * count
        lines = list(itertools.islice(self._lines, count))
        constraints = [self._parsed(line) for line in lines]
        if len(lines) < count:
            raise errors.DataError(
                f"{self._options.file} has fewer lines than the input: {self._number:,}",
                "write one object for each line of the input, {} for none",
            )
        return constraints

    def finish(self) -> None:
        """Checks that no line is left.

        Raises:
          errors.DataError: the file has more lines than the input.
        """
        if self._lines is not None and next(self._lines, None) is not None:
            raise errors.DataError(
                f"{self._options.file} has more lines than the input: more than {self._number:,}",
                "write one object for each line of the input",
            )

    def _parsed(self, line: bytes) -> LineConstraints:
        self._number += 1
        where = f"{self._options.file}, line {self._number:,}"
        try:
            own = msgspec.json.decode(line, type=LineConstraints)
        except msgspec.DecodeError as error:
            raise errors.DataError(f"{where}: {error}", _REMEDY) from error
        return self._options.of_all.with_those_of(own, where)
