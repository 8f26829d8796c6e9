"""How strings and figures appear in a page."""

from __future__ import annotations

import json
import math
import re
import unicodedata
from typing import Any

from markupsafe import Markup, escape

from bitext.components.artifacts.page import Cell, Column
from bitext.components.shared.display import printable

NOTHING = "–"
"""What stands in place of a value that there is not."""
_ESCAPED = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)
_UNSAFE_IN_SCRIPT = re.compile("[<>&\u2028\u2029\ud800-\udfff]")
_CODE = re.compile("`([^`\n]+)`")
_LONG_WORD = 28
_RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def visible(text: str) -> Markup:
    """Returns a text of the corpus as HTML: markup is escaped, invisible controls are shown by name."""

    def control(match: re.Match[str]) -> str:
        code = f"U+{ord(match[0]):04X}"
        name = unicodedata.name(match[0], "control character")
        return f'<span class="control" title="{escape(name.lower())}">{code}</span>'

    return Markup(_ESCAPED.sub(control, str(escape(text))))


def prose(text: str) -> Markup:
    """Returns a text as `visible` does; what stands between two backquotes is code."""
    return Markup(_CODE.sub(r"<code>\1</code>", str(visible(text))))


def finalize(value: object) -> object:
    """Returns what a template prints of a value: strings without invisible controls."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def script_json(value: Any) -> Markup:
    """Returns a value as JSON that may stand in an element `script`."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(_UNSAFE_IN_SCRIPT.sub(lambda match: f"\\u{ord(match[0]):04x}", text))


def finite(value: float | None) -> float | None:
    """Returns a number, or None if it is none or not finite."""
    return value if value is not None and math.isfinite(value) else None


def is_run(value: Cell) -> bool:
    """Whether a value can be the id of a run, and thus the name of a file in the page's folder."""
    return isinstance(value, str) and _RUN.fullmatch(value) is not None


def has_long_word(value: Cell) -> bool:
    """Whether a text has a word that a narrow column must break, such as a path."""
    return isinstance(value, str) and any(len(word) > _LONG_WORD for word in value.split())


def sort_value(value: Cell) -> str | None:
    """Returns a number as its cell's sort key, with full precision; None for other values."""
    return None if not isinstance(value, int | float) or finite(value) is None else f"{value:.10g}"


def cell_text(value: Cell, column: Column) -> str:
    """Returns a value of a table as text."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if column.content == "share":
        return f"{100 * value:,.{column.digits}f} %"
    if column.content == "seconds":
        return duration(value, column.digits)
    if column.content == "number" and (column.digits or isinstance(value, int)):
        return f"{value:,.{column.digits}f}"
    return figure(value)


def figure(value: float) -> str:
    """Returns a number with at most four significant digits after its integer part."""
    if isinstance(value, int) or value == int(value):
        return f"{value:,.0f}"
    return f"{value:,.{2 if abs(value) >= 10 else 3}f}" if abs(value) >= 0.1 else f"{value:.3g}"


def duration(seconds: float, digits: int = 0) -> str:
    """Returns a duration: `4.2 s`, `3 min 12 s`, `2 h 5 min`."""
    if round(seconds, digits) < 60:
        return f"{seconds:.{digits}f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"
