"""What a row of bitext must be to become an example, and which split its source belongs to.

Everything works on Arrow columns, a block of rows at a time; Python looks at single rows only where one is
refused.
"""

from __future__ import annotations

import dataclasses
import hashlib
import unicodedata
from collections.abc import Callable
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.example_gen import Parameters

Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Refuse = Callable[[Mask, str, dict[int, str] | str], None]

REASONS = (
    "bad_quoting",
    "missing_column",
    "invalid_utf8",
    "control_characters",
    "empty_side",
    "too_long",
    "length_ratio",
)
SIDES = ("source", "target")
REJECT_TEXT_CHARACTERS = 2000
# Unicode category Cc but for tab, line feed, carriage return and next line, which are white space.
CONTROL = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x{84}\x{86}-\x{9F}]"


@dataclasses.dataclass(frozen=True)
class Rows:
    """A block of rows of one file, read and not yet judged.

    Attributes:
      line: int64[N], each row's (first) line number, from 1.
      sides: source and target, each binary[N], null where the row has no such column.
      raw: binary[N] arrays that, joined by tabs, show the row as it was.
      notes: for rows refused while reading: row index to (reason, detail).
      column_counts: int64[N], columns of each row, for the message.
    """

    line: Ints
    sides: tuple[pa.Array, pa.Array]
    raw: tuple[pa.Array, ...]
    column_counts: Ints
    notes: dict[int, tuple[str, str]] = dataclasses.field(default_factory=dict)

    def shown(self, row: int) -> str:
        """The row's text for a reject, shortened."""
        text = "\t".join(
            (array[row].as_py() or b"").decode("utf-8", "backslashreplace") for array in self.raw
        )
        text = text.rstrip("\r\n")
        if len(text) <= REJECT_TEXT_CHARACTERS:
            return text
        return f"{text[:REJECT_TEXT_CHARACTERS]}... ({len(text)} characters)"


@dataclasses.dataclass(frozen=True)
class Judged:
    """A block of rows, judged.

    Attributes:
      reason: int8[N], 0 where the row is good, else 1 + the index in REASONS.
      source: string[N], white space stripped from both ends; "" in some refused rows.
      target: string[N], likewise.
      details: row index to what is wrong, for every refused row.
    """

    reason: npt.NDArray[np.int8]
    source: pa.Array
    target: pa.Array
    details: dict[int, str]


def split_tsv(block: bytes, first_line: int, columns: tuple[int, int]) -> Rows:
    """Cuts whole lines into rows and two of their columns. Only a line feed ends a line; nothing is quoted.

    Args:
      block: lines, each but possibly the last ending in a line feed; not empty.
      first_line: line number of the block's first.
      columns: indices of source and target column.
    """
    data = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(data == 0x0A)
    if not len(ends) or ends[-1] != len(data) - 1:
        ends = np.append(ends, len(data))
    starts = np.concatenate([[0], ends[:-1] + 1])
    tabs = np.flatnonzero(data == 0x09)
    first, after = np.searchsorted(tabs, starts), np.searchsorted(tabs, ends)
    counts = after - first + 1
    # A tab beyond the last, so that looking one up past the end stays within bounds; `where` discards it.
    tabs = np.append(tabs, len(data))
    buffer = pa.py_buffer(block)
    sides = []
    for column in columns:
        present = column < counts
        last = len(tabs) - 1
        begin = starts if column == 0 else tabs[np.minimum(first + column - 1, last)] + 1
        end = np.where(column < counts - 1, tabs[np.minimum(first + column, last)], ends)
        sides.append(_slices(buffer, np.where(present, begin, ends), np.where(present, end, ends), present))
    lines = _slices(buffer, starts, ends, np.ones(len(ends), bool))
    number = first_line + np.arange(len(ends), dtype=np.int64)
    return Rows(number, (sides[0], sides[1]), (lines,), counts.astype(np.int64))


def _slices(buffer: pa.Buffer, begin: Ints, end: Ints, present: Mask) -> pa.Array:
    """binary[N] of ordered, disjoint slices of a buffer, null where not `present`."""
    offsets = np.stack([begin, end], axis=1).reshape(-1).astype(np.int32)
    # Slices and the gaps between them are one array over the same bytes; the slices are its even elements.
    both = pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, pa.py_buffer(offsets), buffer])
    return both.take(pa.array(np.arange(0, len(offsets), 2), mask=~present))


def judge(rows: Rows, parameters: Parameters, split: str | None = None) -> Judged:
    """Says of every row whether it is good, and if not, the first reason in the order of REASONS.

    Args:
      rows: a block of one file.
      parameters: the limits.
      split: the split whose file was given, None where a hash will decide.
    """
    reason = np.zeros(len(rows.line), np.int8)
    details: dict[int, str] = {}

    def refuse(mask: Mask, name: str, detail: dict[int, str] | str) -> None:
        code = 1 + REASONS.index(name)
        for row in np.flatnonzero(mask & (reason == 0)).tolist():
            details[row] = detail if isinstance(detail, str) else detail[row]
            reason[row] = code

    for row, (name, detail) in rows.notes.items():
        reason[row], details[row] = 1 + REASONS.index(name), detail
    _refuse_missing(rows, parameters, refuse)
    texts = []
    for side, binary in zip(SIDES, rows.sides, strict=True):
        text, invalid = _decode(pc.fill_null(binary, b""))
        mask = np.zeros(len(reason), bool)
        mask[list(invalid)] = True
        refuse(mask, "invalid_utf8", {row: f"{side}: {what}" for row, what in invalid.items()})
        texts.append(pc.utf8_trim_whitespace(text))
    for side, text in zip(SIDES, texts, strict=True):
        mask = _mask(pc.match_substring_regex(text, pattern=CONTROL))
        refuse(mask, "control_characters", {r: f"{side}: {_controls(text[r].as_py())}" for r in _where(mask)})
    sizes = [_ints(pc.utf8_length(text)) for text in texts]
    for side, size in zip(SIDES, sizes, strict=True):
        refuse(size == 0, "empty_side", f"{side} is empty")
    for side, size in zip(SIDES, sizes, strict=True):
        mask = size > parameters.max_characters
        limit = f"over max_characters {parameters.max_characters}"
        refuse(mask, "too_long", {r: f"{side}: {size[r]} characters, {limit}" for r in _where(mask)})
    if split in (None, "train"):
        _refuse_ratio(sizes[0], sizes[1], parameters, refuse)
    return Judged(reason, texts[0], texts[1], details)


def _refuse_missing(rows: Rows, parameters: Parameters, refuse: Refuse) -> None:
    wanted = (parameters.source_column, parameters.target_column)
    for side, column, binary in zip(SIDES, wanted, rows.sides, strict=True):
        mask = _mask(pc.is_null(binary))
        detail = {
            r: f"no {side} column {column!r}: the row has {rows.column_counts[r]}" for r in _where(mask)
        }
        refuse(mask, "missing_column", detail)


def _refuse_ratio(source: Ints, target: Ints, parameters: Parameters, refuse: Refuse) -> None:
    longer, shorter = np.maximum(source, target), np.maximum(np.minimum(source, target), 1)
    mask = (longer >= parameters.ratio_from_characters) & (longer > parameters.max_length_ratio * shorter)
    limit = f"over max_length_ratio {parameters.max_length_ratio:g}"
    detail = {r: f"{source[r]} against {target[r]} characters, {limit}" for r in _where(mask)}
    refuse(mask, "length_ratio", detail)


def _decode(binary: pa.Array) -> tuple[pa.Array, dict[int, str]]:
    """string[N] of UTF-8 binary[N]; rows that are none become "" and are named with what is wrong."""
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


def _controls(text: str) -> str:
    """Names the control characters of a text."""
    found = sorted({c for c in text if unicodedata.category(c) == "Cc" and c not in "\t\n\r\x85"})
    return ", ".join(f"U+{ord(c):04X}" for c in found)


def _where(mask: Mask) -> list[int]:
    return cast(list[int], np.flatnonzero(mask).tolist())


def _mask(array: pa.Array) -> Mask:
    return cast(Mask, array.to_numpy(zero_copy_only=False).astype(bool))


def _ints(array: pa.Array) -> Ints:
    return cast(Ints, array.to_numpy(zero_copy_only=False).astype(np.int64))


def normalize_source(text: str) -> str:
    """What two sources share if they are one sentence: NFKC, case folded, white space collapsed."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def source_hashes(sources: pa.Array) -> npt.NDArray[np.uint64]:
    """uint64[N] of string[N], depending on the normalized source alone.

    The function and its salt never change: a sentence once held out stays held out, whatever else the corpus
    comes to hold. (Unicode guarantees that NFKC and case folding of assigned characters do not change
    either.)
    """
    encoded = sources.dictionary_encode()
    digests = b"".join(
        hashlib.blake2b(normalize_source(text).encode(), digest_size=8, person=b"bitext-split-1").digest()
        for text in encoded.dictionary.to_pylist()
    )
    return np.frombuffer(digests, ">u8").astype(np.uint64)[_ints(encoded.indices)]


def assign_splits(
    hashes: npt.NDArray[np.uint64], eval_share: float, test_share: float
) -> npt.NDArray[np.int8]:
    """Index of each row's split in (train, eval, test), int8[N].

    Test takes the hashes' lower end and eval their upper, so that changing one share moves no sentence
    between the other two for its own sake.
    """
    unit = hashes.astype(np.float64) / 2.0**64
    return np.where(unit < test_share, 2, np.where(unit >= 1.0 - eval_share, 1, 0)).astype(np.int8)


def first_of_duplicates(source: pa.Array, target: pa.Array) -> Ints:
    """Indices, ascending, of the rows that are the first with their source and target: int64[M]."""
    codes = [_ints(side.dictionary_encode().indices) for side in (source, target)]
    pair = codes[0] * (int(codes[1].max(initial=0)) + 1) + codes[1]
    return cast(Ints, np.sort(np.unique(pair, return_index=True)[1]).astype(np.int64))
