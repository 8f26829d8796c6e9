"""What a file given as text is, and the setting that reads it: nothing else is read as text.

Other kinds of files are known by their first bytes, other formats of text by their first lines.
"""

from __future__ import annotations

import re

from bitext.components.example_gen.formats import decoding
from bitext.components.shared import file_kinds
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

_FORMAT = "set example_gen.format to "
_MEMBER = "name files in it, as ARCHIVE//MEMBER (globs are allowed)"
_SETTINGS = {
    "a Parquet file": f"{_FORMAT}parquet",
    "an Arrow file": f"{_FORMAT}arrow",
    "a compiled gettext catalogue (.mo)": f"{_FORMAT}po",
    "a ZIP archive": _MEMBER,
    "a tar archive": _MEMBER,
    "an Excel or Word document": "save the sheet as CSV in UTF-8, and set example_gen.format to csv",
    "an OpenDocument file": "save the sheet as CSV in UTF-8, and set example_gen.format to csv",
    "an old Excel or Word document": "save the sheet as CSV in UTF-8, and set example_gen.format to csv",
}
_PROLOG = re.compile(
    rb"\s+|<\?.*?\?>|<!--.*?-->|<!doctype[^<>\[]*(?:\[[^\]]*\]\s*)?>", re.DOTALL | re.IGNORECASE
)
_ROOT = re.compile(rb"<([\w:.-]+)")
_PO = re.compile(
    rb"(?>(?:#[^\n]*|[ \t\r]*|msgctxt [^\n]*|\"[^\n]*)\n)*+msgid \"[^\n]*\n(?:\"[^\n]*\n)*+"
    rb"(?:msgid_plural [^\n]*\n(?:\"[^\n]*\n)*+)?msgstr(?:\[0\])? \""
)
_JSON_LINE = re.compile(rb"\s*[{\[].*[}\]],?\s*")
_MOST_LINES = 100


def check_kind(head: bytes, path: str) -> None:
    """Checks that the first bytes of a decompressed file are not those of a known kind of binary files.

    Raises:
      DataError: they are; the remedy names the setting that reads the file.
    """
    head = head[: file_kinds.HEAD_BYTES]
    kind = file_kinds.kind_of(head)
    if kind and kind.name in _SETTINGS:
        remedy = _SETTINGS[kind.name]
        if kind.command:
            remedy += f"; or decompress it: {file_kinds.command_for(kind, path)}"
        raise DataError(f"cannot read {path_text(path)}: it is {kind.name}, not text", remedy)
    if kind:
        file_kinds.check_text(head, path)


def check_text(head: bytes, path: str, encoding: str = decoding.UTF_8) -> None:
    """Checks that the first bytes of a decompressed file are text in an encoding.

    Raises:
      DataError: they are not; the remedy names the setting that reads the file.
    """
    head = head[: file_kinds.HEAD_BYTES]
    check_kind(head, path)
    found = file_kinds.wide_encoding(head)
    if found and not decoding.is_wide(encoding):
        given = "UTF-8" if decoding.is_utf8(encoding) else encoding
        message = f"cannot read {path_text(path)}: it is {found} text, not {given}"
        raise DataError(message, decoding.remedy(found.lower(), path))
    if decoding.is_wide(encoding):
        return
    if not decoding.is_utf8(encoding):  # an escape sequence is no error in ISO-2022
        head = head.replace(b"\x1b", b"")
    file_kinds.check_text(head, path)


def check_rows(head: bytes, path: str) -> None:
    """Checks that text, in UTF-8, is not XML, a PO file or JSON.

    Raises:
      DataError: it is, and rows of text are expected.
    """
    found = format_of(head)
    if not found:
        return
    names = {"tmx": "TMX", "xliff": "XLIFF", "po": "a PO file", "jsonl": "JSON, one value a line"}
    if found in names:
        raise DataError(
            f"cannot read {path_text(path)} as rows of text: it is {names[found]}", _FORMAT + found
        )
    if found == "json":
        raise DataError(
            f"cannot read {path_text(path)} as rows of text: it is one JSON value",
            "write one object a line (jq -c '.[]' FILE > FILE.jsonl), and set example_gen.format to jsonl",
        )
    raise DataError(
        f"cannot read {path_text(path)} as rows of text: it is XML or HTML (<{found[4:]}>)",
        "save its sentences as text in UTF-8, for example as TSV",
    )


def format_of(head: bytes) -> str:
    """The format of text, in UTF-8, that is no table.

    Returns:
      `tmx`, `xliff`, `po`, `jsonl`, `json` (one value over the whole file), `xml/` and the name of the root
      element, or an empty text.
    """
    head = head[: file_kinds.HEAD_BYTES].removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    start = 0
    while match := _PROLOG.match(head, start):
        start = match.end()
    if match := _ROOT.match(head, start):
        root = match[1].decode("utf-8", "replace")
        name = root.rpartition(":")[2].lower()
        if name in ("tmx", "xliff"):
            return name
        if head.lstrip().startswith((b"<?xml", b"<!DOCTYPE", b"<!doctype")) or name == "html":
            return f"xml/{root}"
    if _PO.match(head):
        return "po"
    return _json_of(head)


def _json_of(head: bytes) -> str:
    import msgspec

    lines = [line for line in head.splitlines()[:_MOST_LINES] if line.strip()]
    if len(lines) > 1 and not head.endswith((b"\n", b"\r")):
        lines.pop()  # it may be incomplete
    if not lines:
        return ""
    if lines[0].strip() in (b"[", b"{") or re.match(rb'\s*\[\s*\{\s*"', lines[0]):
        return "json"
    if 2 * sum(bool(_JSON_LINE.fullmatch(line)) for line in lines) <= len(lines):
        return ""
    values = 0
    for line in lines:
        try:
            values += isinstance(msgspec.json.decode(line.strip().rstrip(b",")), dict | list)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
    return "jsonl" if 2 * values > len(lines) else ""
