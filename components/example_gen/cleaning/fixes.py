"""Corrects the text of rows: mojibake, HTML entities, several blanks.

Each correction finds the texts that may need it with one regular expression over the column. Python looks at
these only.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.example_gen.cleaning import Cleaning
from bitext.components.example_gen.rows import Mask, to_mask
from bitext.components.shared.strings import bytes_of

_CP1252 = "€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_CP1251 = "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—™љ›њќћџЎўЈҐЁЄЇІіґё№єјЅѕї"
_CONTINUATION = r"\x{80}-\x{BF}"
"""What the bytes 0x80 to 0xBF become if they are read as ISO 8859-1; above, as windows-1252 or -1251."""
_MOJIBAKE = (
    rf"[\x{{C2}}-\x{{DF}}][{_CONTINUATION}{_CP1252}]|[\x{{E0}}-\x{{F4}}][{_CONTINUATION}{_CP1252}]{{2}}"
    rf"|(?:[РС][{_CONTINUATION}{_CP1251}]){{2}}|вЂ|пїЅ"
)
_ENTITY = r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
Fix: TypeAlias = Callable[[pa.Array], tuple[Mask, list[str]]]
"""Returns the texts that change, as bool[N], and their new values."""


def _by_python(text: pa.Array, suspicious: pa.Array, correct: Callable[[str], str]) -> tuple[Mask, list[str]]:
    """Corrects the suspicious texts one by one."""
    changed = np.zeros(len(text), bool)
    corrected = []
    for row in np.flatnonzero(to_mask(suspicious)).tolist():
        old = text[row].as_py()
        new = correct(old)
        if new != old:
            changed[row] = True
            corrected.append(new)
    return changed, corrected


def _mojibake(text: pa.Array) -> tuple[Mask, list[str]]:
    data, _ = bytes_of(text)
    if not (data >= 0x80).any():
        return np.zeros(len(text), bool), []
    suspicious = pc.match_substring_regex(text, pattern=_MOJIBAKE)
    if not to_mask(suspicious).any():
        return np.zeros(len(text), bool), []
    import ftfy

    return _by_python(text, suspicious, ftfy.fix_encoding)


def _entities(text: pa.Array) -> tuple[Mask, list[str]]:
    data, _ = bytes_of(text)
    if not (data == ord("&")).any():
        return np.zeros(len(text), bool), []
    entity = re.compile(_ENTITY)
    return _by_python(
        text,
        pc.match_substring_regex(text, pattern=_ENTITY),
        lambda value: entity.sub(lambda match: html.unescape(match[0]), value),
    )


def _blanks(text: pa.Array) -> tuple[Mask, list[str]]:
    data, _ = bytes_of(text)
    if not ((data[1:] == 0x20) & (data[:-1] == 0x20)).any():
        return np.zeros(len(text), bool), []
    double = pc.match_substring(text, "  ")
    corrected = pc.replace_substring_regex(pc.filter(text, double), pattern="  +", replacement=" ")
    return to_mask(double), corrected.to_pylist()


FIXES: dict[str, Fix] = {"fix_mojibake": _mojibake, "fix_entities": _entities, "fix_blanks": _blanks}
"""The corrections by their key in `Cleaning`, in the order in which they are made."""


def fix(text: pa.Array, cleaning: Cleaning) -> tuple[pa.Array, dict[str, Mask]]:
    """Corrects texts.

    Args:
      text: string[N] without nulls.
      cleaning: which corrections are made.

    Returns:
      string[N], and the texts that each correction changed, by its key: bool[N].
    """
    changed: dict[str, Mask] = {}
    for key, correct in FIXES.items():
        if cleaning.limit(key):
            mask, values = correct(text)
            if mask.any():
                text = pc.replace_with_mask(text, pa.array(mask), pa.array(values, pa.string()))
                changed[key] = mask
    return text, changed
