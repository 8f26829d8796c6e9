"""Decodes text in any encoding that Python knows, and gives it as UTF-8.

Bytes that cannot be decoded become bytes that are not UTF-8: the row that has them is rejected, and the rows
after it are read.
"""

from __future__ import annotations

import codecs
import difflib
import re
from collections.abc import Iterator
from encodings.aliases import aliases

from bitext.components.shared import encodings, file_kinds
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

UTF_8 = "utf-8"
_MARKS_32 = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_NO_TEXT = ("idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined")
"""Codecs that are no encodings of text files."""
_WINDOWS = ("ansi", "mbcs", "dbcs", "windows", "western", "western_european", "windows_ansi", "windows_latin")
_MEANT = {
    **dict.fromkeys(_WINDOWS, "windows-1252"),
    **dict.fromkeys(("unicode", "windows_unicode", "unicode_text", "ucs_2", "ucs2", "ucs_2_le"), "utf-16"),
    **dict.fromkeys(("utf8mb4", "utf_8_bom", "utf8_bom", "utf_8_with_bom", "unicode_utf_8"), "utf-8"),
    "oem": "cp437",
}
"""Names of encodings in other programs."""
_NO_LETTERS = re.compile(r"[^a-z0-9]+")
_DECLARED = re.compile(
    rb"""\A\s*<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["']|\n"Content-Type:[^"\n]*charset=([A-Za-z0-9._-]+)"""
)
_UNDECODABLE = "\udcff"
"""Stands for bytes that cannot be decoded. A surrogate is not valid in UTF-8."""
_LEAST_UTF8_CHARACTERS = 10
"""Text beyond ASCII in another encoding is hardly ever valid UTF-8 with so many characters."""


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return _UNDECODABLE, error.end


codecs.register_error("bitext.mark", _mark)


def is_utf8(encoding: str) -> bool:
    """Whether an encoding is UTF-8, with or without a byte order mark."""
    return codecs.lookup(encoding).name in ("utf-8", "utf-8-sig")


def is_wide(encoding: str) -> bool:
    """Whether an encoding is UTF-16 or UTF-32."""
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))


def check_encoding(encoding: str) -> None:
    """Checks that Python knows an encoding and can decode text files with it.

    Raises:
      ValueError: it does not, or cannot.
    """
    if not _is_encoding(encoding):
        likely = _likely_name(encoding)
        hint = f"; did you mean {likely!r}?" if likely else ""
        raise ValueError(f"encoding {encoding!r} is no encoding of text that Python knows{hint}")


def _is_encoding(name: str) -> bool:
    try:
        "".encode(name)
        codecs.getincrementaldecoder(name)
        return codecs.lookup(name).name.replace("_", "-") not in _NO_TEXT
    except (LookupError, ValueError):  # a NUL in the name is a ValueError
        return False


def _likely_name(encoding: str) -> str:
    """The encoding that is meant by a name that Python does not know; empty: none.

    A codec of Python for something else than text, as `base64`, is no spelling mistake.
    """
    name = _NO_LETTERS.sub("_", encoding.lower()).strip("_")
    if name in _MEANT or name in aliases or name in aliases.values():
        return _MEANT.get(name, "")
    names = sorted(filter(_is_encoding, {*aliases, *aliases.values()}))
    return next(iter(difflib.get_close_matches(name, names, 1)), "")


def declared(head: bytes) -> str:
    """The encoding that an XML or PO file declares; empty: none, or one in which its first bytes are not."""
    match = _DECLARED.search(head.removeprefix(codecs.BOM_UTF8))
    name = (match[1] or match[2]).decode() if match else ""
    try:
        check_encoding(name)
        codecs.getincrementaldecoder(name)().decode(head)
    except ValueError:  # also an UnicodeDecodeError
        return ""
    return "" if is_wide(name) else name


def name_for_setting(encoding: str) -> str:
    """The name for `example_gen.encoding` of an encoding that `encodings.likely_encoding` names."""
    for name in (encoding, encodings.codec_of(encoding)):
        try:
            check_encoding(name)
        except ValueError:
            continue
        return name
    return ""


def remedy(encoding: str, path: str) -> str:
    """How to read a file in a likely encoding: the setting, or the command that converts it."""
    convert = encodings.remedy(encoding, path)
    name = name_for_setting(encoding) if encoding else ""
    return f"set example_gen.encoding to {name}; or {convert}" if name else convert


def to_utf8(chunks: Iterator[bytes], path: str, encoding: str) -> Iterator[bytes]:
    """Decodes the bytes of a file in chunks, and yields the text as UTF-8.

    Raises:
      DataError: the file is UTF-8, and the encoding is another one.
    """
    first = next(chunks, b"")
    _check_not_utf8(first, path, encoding)
    decoder = codecs.getincrementaldecoder(_with_byte_order(encoding, first))("bitext.mark")
    chunk: bytes = first
    while chunk:
        if data := decoder.decode(chunk).encode("utf-8", "surrogatepass"):
            yield data
        chunk = next(chunks, b"")
    if data := decoder.decode(b"", True).encode("utf-8", "surrogatepass"):
        yield data


def _with_byte_order(encoding: str, head: bytes) -> str:
    """UTF-16 and UTF-32 with the byte order of a text that has no byte order mark."""
    name = codecs.lookup(encoding).name
    if name not in ("utf-16", "utf-32"):
        return encoding
    marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) if name == "utf-16" else _MARKS_32
    if head.startswith(marks):
        return encoding
    found = file_kinds.wide_encoding(head[: file_kinds.HEAD_BYTES]).lower()
    return found if found in (f"{name}le", f"{name}be") else f"{name}-le"


def _check_not_utf8(data: bytes, path: str, encoding: str) -> None:
    has_mark = data.startswith(codecs.BOM_UTF8)
    if not has_mark:
        try:
            text = codecs.getincrementaldecoder("utf-8")().decode(data)
        except UnicodeDecodeError:
            return
        characters = sum(map(len, text.split())) if is_wide(encoding) else len(data) - len(text)
        if "\x00" in text or characters < _LEAST_UTF8_CHARACTERS:
            return
    raise DataError(
        f"{path_text(path)} is UTF-8 text, not {encoding} as example_gen.encoding says",
        "leave out example_gen.encoding",
    )
