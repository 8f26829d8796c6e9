"""Checks rows: a row that cannot become an example is rejected with a reason and a detail.

The checks run on Arrow columns, a block of rows at a time. Python code sees single rows only if they are
rejected.
"""

from __future__ import annotations

import dataclasses
import unicodedata
from collections.abc import Callable
from functools import cached_property
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.example_gen import Parameters
from bitext.components.example_gen import cleaning as cleaning_rules
from bitext.components.example_gen.cleaning import Cleaning, fixes, row_rules
from bitext.components.example_gen.cleaning.texts import Texts
from bitext.components.example_gen.formats.decoding import is_utf8
from bitext.components.example_gen.rows import Ints, Mask, Rows, to_ints, to_mask
from bitext.components.shared import reading
from bitext.components.shared.strings import blank_rows, rows_with_controls
from bitext.components.text.normalization import is_blank

Reject: TypeAlias = Callable[[Mask, str, dict[int, str] | str], None]
"""Rejects the rows of a mask: (mask, reason, detail of each row or of all rows)."""

LENGTH_RATIO = "length_ratio"
ROW_TOO_LONG = "row_too_long"
REASONS = (
    ROW_TOO_LONG,
    "untranslated",
    "fuzzy",
    "missing_language",
    "other_variant",
    "bad_message",
    "bad_json",
    "not_text",
    "bad_quoting",
    "carriage_return",
    "missing_column",
    "invalid_utf8",
    "invalid_encoding",
    "control_characters",
    "empty_side",
    "too_long",
    LENGTH_RATIO,
    *cleaning_rules.REASONS,
)
_UNUSABLE = len(REASONS) - len(cleaning_rules.REASONS)
"""Up to this code of a reason, a row cannot be used; the others are from cleaning."""
SKIPPED = frozenset({"untranslated", "fuzzy", "missing_language", "other_variant"})
"""Reasons of rows that are no faults: their file has more than the pairs that are asked for."""
SIDES = ("source", "target")
SHOWN_CHARACTERS = 5


@dataclasses.dataclass(frozen=True)
class Filtered:
    """A block of rows after the checks.

    Attributes:
      reason: int8[N], 0 if the row is accepted, else 1 + index in REASONS.
      source: string[N] without white space at both ends; "" in some rejected rows.
      target: string[N], likewise.
      details: index of each rejected row to what is wrong with it.
      fixed: rows that each correction changed, by its key in `Cleaning`: bool[N].
    """

    reason: npt.NDArray[np.int8]
    source: pa.Array
    target: pa.Array
    details: dict[int, str]
    fixed: dict[str, Mask] = dataclasses.field(default_factory=dict)

    @cached_property
    def pair(self) -> row_rules.Pair:
        """Both sides, for the rules of cleaning."""
        return Texts(self.source), Texts(self.target)

    def usable(self) -> Mask:
        """The rows that could be used, also those that cleaning rejects: bool[N]."""
        return cast(Mask, (self.reason == 0) | (self.reason > _UNUSABLE))

    def accepted(self) -> Ints:
        """Indices of the accepted rows, ascending: int64[M]."""
        return np.flatnonzero(self.reason == 0)


def filter_rows(rows: Rows, parameters: Parameters, cleaning: Cleaning | None = None) -> Filtered:
    """Checks every row by itself. The reason of a row is the first of REASONS that applies.

    The length ratio is not checked here: it is judged by the ratio of the whole corpus (`length_ratios`).

    Args:
      rows: a block of rows of one file.
      parameters: the limits.
      cleaning: what is fixed, and the other rules; None: nothing and no rule.
    """
    reason = np.zeros(len(rows.line), np.int8)
    details: dict[int, str] = {}

    def reject(mask: Mask, name: str, detail: dict[int, str] | str) -> None:
        code = 1 + REASONS.index(name)
        for row in np.flatnonzero(mask & (reason == 0)).tolist():
            details[row] = detail if isinstance(detail, str) else detail[row]
            reason[row] = code

    for raw in rows.raw:
        too_long = to_ints(pc.binary_length(raw)) > reading.MAX_LINE_BYTES
        reject(too_long, ROW_TOO_LONG, f"over {reading.MAX_LINE_BYTES:,} bytes in a line")
    for row, (name, detail) in rows.rejected.items():
        if not reason[row]:
            reason[row], details[row] = 1 + REASONS.index(name), detail
    _reject_missing_columns(rows, parameters, reject)
    texts = []
    fixed: dict[str, Mask] = {}
    for side, binary in zip(SIDES, rows.sides, strict=True):
        text, invalid = _decode(pc.fill_null(binary, b""))
        mask = np.zeros(len(reason), bool)
        mask[list(invalid)] = True
        if is_utf8(parameters.encoding):
            reject(mask, "invalid_utf8", {row: f"{side}: {fault}" for row, fault in invalid.items()})
        else:
            reject(mask, "invalid_encoding", f"{side}: has bytes that are not {parameters.encoding}")
        if cleaning is not None:
            text, changed = fixes.fix(text, cleaning)
            fixed |= {key: mask | fixed.get(key, False) for key, mask in changed.items()}
        texts.append(pc.utf8_trim_whitespace(text))
    blank = [blank_rows(text) for text in texts]
    for side, text, is_empty in zip(SIDES, texts, blank, strict=True):
        mask = rows_with_controls(text) & ~is_empty
        controls = {r: f"{side}: {_control_characters(text[r].as_py())}" for r in _indices(mask)}
        reject(mask, "control_characters", controls)
    for side, text, mask in zip(SIDES, texts, blank, strict=True):
        reject(mask, "empty_side", {r: f"{side} {_blank_in_words(text[r].as_py())}" for r in _indices(mask)})
    for side, text in zip(SIDES, texts, strict=True):
        length = to_ints(pc.utf8_length(text))
        mask = length > parameters.max_characters
        limit = f"over max_characters {parameters.max_characters}"
        reject(mask, "too_long", {r: f"{side}: {length[r]} characters, {limit}" for r in _indices(mask)})
    filtered = Filtered(reason, texts[0], texts[1], details, fixed)
    if cleaning is not None:
        for name, violations in row_rules.check(filtered.pair, cleaning):
            rows_left = _indices(violations.mask & (reason == 0))
            reject(violations.mask, name, {row: violations.detail(row) for row in rows_left})
    return filtered


def _reject_missing_columns(rows: Rows, parameters: Parameters, reject: Reject) -> None:
    columns = (parameters.source_column, parameters.target_column)
    for side, column, binary in zip(SIDES, columns, rows.sides, strict=True):
        mask = to_mask(binary.is_null())
        blank = np.zeros(len(mask), bool)
        blank[[r for r in _indices(mask) if rows.column_counts[r] <= 1 and is_blank(rows.text(r))]] = True
        reject(blank, "empty_side", "the line is blank")
        details = {
            r: f"no {side} column {column!r}: the row has {rows.column_counts[r]}" for r in _indices(mask)
        }
        reject(mask, "missing_column", details)


def _blank_in_words(text: str) -> str:
    """Says that a text is blank, and which characters it has: `has only invisible characters: U+200B`."""
    if not text:
        return "is empty"
    characters = sorted(set(text))
    more = len(characters) - SHOWN_CHARACTERS
    shown = ", ".join(f"U+{ord(c):04X}" for c in characters[:SHOWN_CHARACTERS])
    return f"has only invisible characters: {shown}" + (f" and {more} others" if more > 0 else "")


def _decode(binary: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """Decodes UTF-8.

    Args:
      binary: binary[N] without nulls.

    Returns:
      string[N], "" for rows that are not UTF-8; and what is wrong with each of these, by index.
    """
    try:
        return binary.cast(pa.string()), {}
    except pa.ArrowInvalid:
        values, invalid = binary.to_pylist(), {}
    texts = []
    for row, value in enumerate(values):
        try:
            texts.append(value.decode("utf-8"))
        except UnicodeDecodeError as error:
            invalid[row] = f"byte 0x{value[error.start]:02x} at {error.start}, {error.reason}"
            texts.append("")
    return pa.array(texts, pa.string()), invalid


def _control_characters(text: str) -> str:
    """The control characters of a text as code points: `U+0000, U+0007`."""
    characters = sorted({c for c in text if unicodedata.category(c) == "Cc" and c not in "\t\n\r\x85"})
    return ", ".join(f"U+{ord(c):04X}" for c in characters)


def _indices(mask: Mask) -> list[int]:
    return cast(list[int], np.flatnonzero(mask).tolist())
