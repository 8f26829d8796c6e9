"""What is wrong with XML that cannot be parsed, and what to do. The text at the place is shown."""

from __future__ import annotations

import re
from xml.parsers import expat
from xml.parsers.expat import errors

from bitext.components.example_gen.formats import decoding
from bitext.components.shared import encodings
from bitext.components.shared.display import quoted, shell_path

_BEFORE, _AFTER = 30, 30
_CONTROL = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_REFERENCES = "s/&#(x0*(1?[0-8bBcCeEfF]|1[9aAdD])|0*([0-8]|1[124-9]|2[0-9]|3[01]));//g"
"""Removes references to control characters."""
_INCOMPLETE = frozenset(
    errors.codes[name]
    for name in (errors.XML_ERROR_UNCLOSED_TOKEN, errors.XML_ERROR_PARTIAL_CHAR, errors.XML_ERROR_NO_ELEMENTS)
)
_FETCH = "fetch the file again: it is incomplete"


def describe(
    error: expat.ExpatError, data: bytes, at: int, is_end: bool, path: str, encoding: str
) -> tuple[str, str]:
    """What is wrong, and what to do.

    Args:
      error: what the parser says.
      data: the bytes that it reads.
      at: where in `data` the error is.
      is_end: whether the file ends after `data`.
      path: the file.
      encoding: `example_gen.encoding`.

    Returns:
      The problem and the remedy.
    """
    code, at = error.code, min(max(0, at), len(data))
    around = data[max(0, at - _BEFORE) : at + _AFTER]
    seen = f" at {quoted(around.decode('utf-8', 'replace').strip())}" if around.strip() else ""
    if code in _INCOMPLETE or (is_end and at >= len(data) - 1):
        return f"the file ends within it{seen}", _FETCH
    if code == errors.codes[errors.XML_ERROR_INVALID_TOKEN]:
        return _invalid(data, at, seen, path, encoding)
    if code == errors.codes[errors.XML_ERROR_BAD_CHAR_REF]:
        return (
            f"a reference to a character that XML does not allow{seen}",
            f"remove such references: sed -E '{_REFERENCES}' {shell_path(path)} > NEW",
        )
    if code == errors.codes[errors.XML_ERROR_UNDEFINED_ENTITY]:
        name = re.match(rb"&[\w.-]+;", data[at:])
        shown = name[0].decode("utf-8", "replace") if name else "an entity"
        return f"{shown} is not declared{seen}", "write the character itself, or its number, as &#160;"
    if code == errors.codes[errors.XML_ERROR_MISPLACED_XML_PI]:
        return f"<?xml ...?> is not at the beginning{seen}", "remove all that is before <?xml"
    if code == errors.codes[errors.XML_ERROR_JUNK_AFTER_DOC_ELEMENT]:
        return f"text after the last element{seen}", "divide files that were joined, or remove this text"
    if code == errors.codes[errors.XML_ERROR_TAG_MISMATCH]:
        return f"an end tag that does not belong to its start tag{seen}", "correct the tags at this place"
    if code == errors.codes[errors.XML_ERROR_INCORRECT_ENCODING]:
        return (
            f"it is not in the encoding that it declares{seen}",
            "name its encoding in example_gen.encoding",
        )
    return f"{expat.ErrorString(code)}{seen}", "correct the file at this place"


def _invalid(data: bytes, at: int, seen: str, path: str, encoding: str) -> tuple[str, str]:
    """A byte that no token has: a control character, text in another encoding, or `&` or `<` in text."""
    if control := _CONTROL.match(data, at):
        return (
            f"the character U+{control[0][0]:04X}, which XML does not allow{seen}",
            f"remove such characters: tr -d '\\000-\\010\\013\\014\\016-\\037' < {shell_path(path)} > NEW",
        )
    rest = data[at : data.find(b"<", at) + 1]
    if decoding.is_utf8(encoding) and not rest[:4].isascii() and not encodings.is_utf8(rest):
        foreign = [line for line in data.split(b"\n") if not encodings.is_utf8(line)]
        likely = encodings.likely_encoding(b"\n".join(foreign))
        return f"text that is not UTF-8{seen}", decoding.remedy(likely, path)
    if b"&" in data[max(0, at - 1) : at + 1] or re.search(rb"&[^;<>&]{0,30}$", data[max(0, at - 31) : at]):
        return f"an & that begins no entity{seen}", "write &amp; for &"
    if b"<" in data[max(0, at - 1) : at + 1]:
        return f"a < in text{seen}", "write &lt; for < in text"
    return f"an unexpected character{seen}", "correct the file at this place"
