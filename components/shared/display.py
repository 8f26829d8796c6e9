"""How text from files appears on a terminal, in the log and in reports.

File names and sentences may contain escape sequences of terminals, line breaks, and characters that change
the direction of the text around them. `printable` is applied once, where lines are written; `isolate` and
`quoted` where a sentence is put into a line.
"""

from __future__ import annotations

import re
import shlex
import unicodedata

EXCERPT_CHARACTERS = 100
"""The most characters shown of a sentence that is one of several examples."""
_ISOLATE, _END_OF_ISOLATE = "\u2068", "\u2069"
_DIRECTION_CONTROLS = "\u061c\u200e\u200f\u202a-\u202e\u2066\u2067"
_NOT_PRINTABLE = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029{_DIRECTION_CONTROLS}\ud800-\udfff]")
_DIRECTED = re.compile(f"[{_DIRECTION_CONTROLS}{_ISOLATE}{_END_OF_ISOLATE}]")
_SURROGATE_OF_BYTE_0 = 0xDC00
"""Python decodes the byte 0xNN of a file name that is not UTF-8 to the surrogate U+DCNN."""


def printable(text: str) -> str:
    r"""Escapes the characters that are not text: `\x1b`, `\u202e`.

    These are control characters except line feed and tab, separators of lines and paragraphs, direction
    controls except those that `isolate` adds, and bytes of file names that are not UTF-8.
    """
    return _NOT_PRINTABLE.sub(_escape, text)


def path_text(path: str) -> str:
    r"""A path in a message, an id or a report, on one line: `a\nb.tsv`, `caf\xe9.tsv`.

    The characters that `printable` escapes, line feeds and tabs are escaped.
    """
    return printable(path).replace("\n", "\\n").replace("\t", "\\t")


def shell_path(path: str) -> str:
    r"""A path in a command of the shell: quoted if needed, with the escapes of `path_text` as `$'a\nb'`."""
    if path_text(path) == path:
        return shlex.quote(path)
    escaped = path.replace("\\", "\\\\").replace("'", "\\'")
    return f"$'{path_text(escaped)}'"


def message_lines(text: str) -> str:
    """Returns a printable message whose second and further lines are indented by two spaces or more.

    A line break in a file name thus cannot look like another message.
    """
    return re.sub(r"\n(?!  )", "\n  ", printable(text))


def isolate(text: str) -> str:
    """Encloses a text with right-to-left characters in direction isolates (Unicode Standard Annex 9).

    The line around it then keeps its order. Direction controls in the text are removed. A text without
    right-to-left characters is returned without its direction controls.
    """
    text = _DIRECTED.sub("", text)
    if text.isascii() or not any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in text):
        return text
    return f"{_ISOLATE}{text}{_END_OF_ISOLATE}"


def excerpt(text: str, most: int = EXCERPT_CHARACTERS) -> str:
    """Returns an isolated text of which at most `most` characters are shown."""
    return isolate(text if len(text) <= most else f"{text[:most]} ...")


def quoted(text: str) -> str:
    """Returns a text in quotation marks as Python writes it: invisible characters become visible escapes."""
    return isolate(repr(text))


def _escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if _SURROGATE_OF_BYTE_0 + 0x80 <= code <= _SURROGATE_OF_BYTE_0 + 0xFF:
        code -= _SURROGATE_OF_BYTE_0
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"
