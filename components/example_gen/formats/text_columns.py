"""Which columns of a file look like sentences: not numbers, ids, addresses, dates or one repeated word."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from bitext.components.example_gen.formats.guards import LEAST_ROWS, is_language_code
from bitext.components.shared.display import path_text, quoted, shell_path
from bitext.components.shared.errors import DataError

_ADDRESS = re.compile(r"(?:https?|ftp)://\S+|www\.\S+|\S+@\S+\.\w+", re.IGNORECASE)
_WORD = re.compile(r"[\"'(]*[A-Za-z]+(?:['’-][A-Za-z]+)*[.,!?;:…\"')]*")
_LEAST_TO_STOP = 20
"""Fewer values of a column do not stop a run."""
_MOST_SHOWN = 40
_LEAST_DISTINCT = 0.05
_SIDES = (
    frozenset({"source", "src", "original", "input"}),
    frozenset({"target", "tgt", "trg", "translation", "translated", "reference", "output"}),
)
_PIECE = re.compile(r"[^\W_]+")


def of_text(columns: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The names of the columns whose values look like sentences or words, in order."""
    return tuple(name for name, values in columns.items() if _is_text(values))


def check(rows: Sequence[Sequence[str]], columns: tuple[int, int], path: str) -> None:
    """Checks that the columns of source and target look like sentences if two columns of the file do.

    Raises:
      DataError: they are numbers, ids, addresses or one repeated word, and other columns are not.
    """
    widths = Counter(len(row) for row in rows)
    if len(rows) < _LEAST_TO_STOP:
        return
    ((width, count),) = widths.most_common(1)
    if width < 3 or count < 0.9 * len(rows):
        return
    values = {}
    for column in range(width):
        written = [row[column] for row in rows if column < len(row) and row[column].strip()]
        if len(written) >= _LEAST_TO_STOP:
            values[str(column)] = written
    texts = of_text(values)
    wrong = [column for column in columns if str(column) in values and str(column) not in texts]
    if len(texts) < 2 or not wrong:
        return
    shown = values[str(wrong[0])][0]
    raise DataError(
        f"{path_text(path)}: column {wrong[0]} looks like numbers, ids or addresses, not like sentences"
        f" ({quoted(shown[:_MOST_SHOWN])}); columns {' and '.join(texts[:2])} look like sentences",
        f"set example_gen.source_column to {texts[0]} and example_gen.target_column to {texts[1]}; if the"
        " columns are right, write them alone into a file:"
        f" cut -f{columns[0] + 1},{columns[1] + 1} {shell_path(path)}",
    )


def sides_by_name(names: Sequence[str]) -> tuple[str, str]:
    """The columns that are named as source and as target; empty where there is none, or more than one."""
    found = []
    for words in _SIDES:
        named = [name for name in names if words & set(_PIECE.findall(name.rpartition(".")[2].lower()))]
        found.append(named[0] if len(named) == 1 else "")
    return (found[0], found[1]) if found[0] != found[1] else ("", "")


def _is_text(values: Sequence[str]) -> bool:
    if not values:
        return True  # nothing is known
    written = [value.strip() for value in values if value.strip()]
    if 2 * sum(map(_looks_like_text, written)) <= len(written):
        return False
    distinct = set(written)
    if len(written) >= LEAST_ROWS and len(distinct) <= max(1, _LEAST_DISTINCT * len(written)):
        return False
    return len(written) < 2 or not all(map(is_language_code, distinct))


def _looks_like_text(value: str) -> bool:
    """Whether a value has letters, and is neither an address nor, as one word, an id or a path."""
    if not any(map(str.isalpha, value)) or all(map(_ADDRESS.fullmatch, value.split())):
        return False
    return " " in value or not value.isascii() or _WORD.fullmatch(value) is not None
