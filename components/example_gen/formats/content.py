"""What a file given as text is, and the setting that reads it: nothing else is read as text.

Other kinds of files are known by their first bytes, other formats of text by their first lines.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from bitext.components.example_gen.formats import decoding
from bitext.components.shared import archives, file_kinds
from bitext.components.shared.display import path_text, shell_path
from bitext.components.shared.errors import DataError

_FORMAT = "set example_gen.format to "
_MEMBER = "name files in it, as ARCHIVE//MEMBER (globs are allowed)"
ARCHIVES = {file_kinds.ZIP: ".zip", "a tar archive": ".tar"}
"""The kinds of archives that are read, and the endings of their names."""
_SETTINGS = {
    "a Parquet file": f"{_FORMAT}parquet",
    "an Arrow file": f"{_FORMAT}arrow",
    "an encrypted Parquet file": f"write it again without encryption, and {_FORMAT}parquet",
    "a Feather file of version 1": "write it again as version 2 (pyarrow.feather.write_feather), and"
    f" {_FORMAT}arrow",
    "a compiled gettext catalogue (.mo)": f"{_FORMAT}po",
    "an Excel workbook (.xlsx)": "save the sheet as CSV in UTF-8, and set example_gen.format to csv",
    "an Excel or Word document": "save the sheet as CSV in UTF-8, and set example_gen.format to csv",
    "an OpenDocument file": "save the sheet as CSV in UTF-8, and set example_gen.format to csv",
    file_kinds.POINTER: file_kinds.FETCH,
    "an old Excel or Word document": "save the sheet as CSV in UTF-8, and set example_gen.format to csv",
}
_XLIFF = (".mqxliff", ".xlf", ".xliff", ".sdlxliff")
_PROLOG = re.compile(
    rb"\s+|<\?.*?\?>|<!--.*?-->|<!doctype[^<>\[]*(?:\[[^\]]*\]\s*)?>", re.DOTALL | re.IGNORECASE
)
_XML_REMEDIES = {
    "cesalign": "it only names sentences of other files: take the aligned files of the corpus (OPUS: Moses, a"
    " .txt.zip), or write them with opus_read",
    "ts": "convert it to a PO file (ts2po of translate-toolkit), and set example_gen.format to po",
}
_ROOTS = frozenset({"html", "head", "body", "svg", "rss", "cesalign", "ts", "resources", "tbx", "martif"})
_MOST_ROOT_BYTES = 1000
_ROOT = re.compile(rb"<([\w:.-]+)")
_PO = re.compile(
    rb"(?>(?:#[^\n]*|[ \t\r]*|msgctxt [^\n]*|\"[^\n]*)\n)*+msgid \"[^\n]*\n(?:\"[^\n]*\n)*+"
    rb"(?:msgid_plural [^\n]*\n(?:\"[^\n]*\n)*+)?msgstr(?:\[0\])? \""
)
_JSON_BEGIN = re.compile(rb'\s*(?:\{\s*"(?:[^"\\]|\\.)*"\s*:|\[\s*["{\[])')
_SUBTITLES = re.compile(
    r"\s*(?:WEBVTT\b|(?:\d+[ \t]*\n)?\s*(?:\d+:)?\d\d:\d\d[,.]\d{3}[ \t]*-->|\[Script Info\])", re.IGNORECASE
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
    if kind and kind.name == file_kinds.ZIP and not archives.is_archive(path):
        _check_xliff(head, path)
    if kind and kind.name in ARCHIVES:
        remedy = _archive_remedy(path, kind)
        raise DataError(f"cannot read {path_text(path)}: it is {kind.name}, not text", remedy)
    if kind and kind.name in _SETTINGS:
        remedy = _SETTINGS[kind.name]
        if kind.command:
            remedy += f"; or decompress it: {file_kinds.command_for(kind, path)}"
        raise DataError(f"cannot read {path_text(path)}: it is {kind.name}, not text", remedy)
    if kind:
        file_kinds.check_text(head, path)


def _check_xliff(head: bytes, path: str) -> None:
    """Checks that a ZIP archive with another ending is no package of XLIFF files, as memoQ writes."""
    members = [name for name in file_kinds.zip_members(head) if name.lower().endswith(_XLIFF)]
    if not members:
        return
    package = "a memoQ file (.mqxlz)" if members[0].endswith(".mqxliff") else file_kinds.ZIP
    raise DataError(
        f"cannot read {path_text(path)}: it is {package} with {path_text(members[0])} in it, which is XLIFF",
        "rename it, with the ending .zip, name the file in it as ARCHIVE.zip//MEMBER, and"
        " set example_gen.format to xliff",
    )


def _archive_remedy(path: str, kind: file_kinds.Kind) -> str:
    """How to read the files in an archive, which may have another name or be within another archive."""
    if archives.is_archive(path):
        return f"{_MEMBER}; or decompress it: {file_kinds.command_for(kind, path)}"
    if parts := archives.split_path(path):
        return f"unpack {path_text(parts[0])}: an archive within an archive is not read"
    ending = next((ending for ending in file_kinds.COMPRESSED if path.endswith(ending)), "")
    if ending and kind.name == file_kinds.ZIP:
        return f"decompress it, without the ending {ending}, and name files in it, as ARCHIVE.zip//MEMBER"
    return f"rename it, with the ending {ARCHIVES[kind.name]}{ending}, and {_MEMBER}"


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
        raise json_error(head, path)
    root = found[4:]
    if not root:
        raise DataError(
            f"cannot read {path_text(path)} as rows of text: it is XML whose first element is after"
            f" {file_kinds.HEAD_BYTES >> 10} KiB",
            f"if it is TMX or XLIFF, {_FORMAT}tmx or xliff",
        )
    raise DataError(
        f"cannot read {path_text(path)} as rows of text: it is XML or HTML (<{root}>)",
        _XML_REMEDIES.get(root.lower(), "save its sentences as text in UTF-8, for example as TSV"),
    )


def check_subtitles(text: str, path: str) -> None:
    """Checks that text is not subtitles.

    Raises:
      DataError: it is SubRip (.srt), WebVTT or Advanced SubStation Alpha (.ass).
    """
    if _SUBTITLES.match(text):
        raise DataError(
            f"cannot read {path_text(path)}: it is subtitles, which are aligned by time, not by line",
            "write aligned text first, with a tool that aligns subtitles by time; OPUS has those of"
            " OpenSubtitles aligned",
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
        is_declared = head.lstrip().startswith((b"<?xml", b"<!DOCTYPE", b"<!doctype"))
        if (
            is_declared
            or name in _ROOTS
            or b"xmlns=" in head[start : start + _MOST_ROOT_BYTES].partition(b">")[0]
        ):
            return f"xml/{root}"
    elif head[start:].startswith((b"<!--", b"<?xml", b"<!DOCTYPE")):
        # A comment or document type declaration is longer than the bytes that are looked at.
        return "xml/"
    if _PO.match(head):
        return "po"
    return _json_of(head)


def json_error(head: bytes, path: str) -> DataError:
    """The error of a file of JSON that is not one value a line, with the command that writes it so."""
    head = head[: file_kinds.HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")
    found, command = "JSON, but not one value a line", "jq -c ."
    if _PYTHON.match(head):
        return DataError(
            f"cannot read {path_text(path)}: its lines are values of Python, not JSON",
            "write each with json.dumps, and set example_gen.format to jsonl",
        )
    if re.match(rb"\s*\{", head) and _are_pairs(list(map(_text, _KEY.findall(head)))):
        found, command = "one JSON object of many pairs", "jq -c 'to_entries[] | [.key, .value]'"
    elif re.match(rb"\s*\[", head):
        found, command = "one JSON value, an array", "jq -c '.[]'"
    elif match := _COLUMNS.match(head):
        found = "one JSON value, an object with an array for each column"
        command = (
            f"jq -c '[.[]] | transpose[]' (or the arrays by name, as .{match[1].decode('utf-8', 'replace')})"
        )
    elif match := _ARRAY.match(head):
        found, command = "one JSON value, an object", f"jq -c '.{match[1].decode('utf-8', 'replace')}[]'"
    elif all(line.rstrip().endswith(b",") for line in head.splitlines()[:2]):
        found, command = "JSON lines that end in commas", "sed 's/,[[:space:]]*$//'"
    return DataError(
        f"cannot read {path_text(path)}: it is {found}",
        f"write one value a line: {command} {shell_path(path)} > NEW.jsonl; and set example_gen.format to"
        " jsonl",
    )


def _are_pairs(keys: Sequence[str]) -> bool:
    """Whether the keys of the text values of an object are sentences or a word list, not names of fields."""
    sentences = sum(not _FIELD.fullmatch(key) for key in keys)
    return 1 < len(keys) == len(set(keys)) and (2 * sentences >= len(keys) or len(keys) > _MOST_FIELDS)


def _text(key: bytes) -> str:
    return key.decode("utf-8", "replace")


_KEY = re.compile(rb'"((?:[^"\\]|\\.)*)"\s*:\s*"')
_FIELD = re.compile(r"[\w.:-]+")
_MOST_FIELDS = 20
_PYTHON = re.compile(rb"\s*[{\[]\s*(?:'|None\b|True\b)")
_COLUMNS = re.compile(rb'\s*\{\s*"(\w+)"\s*:\s*\[\s*"')
_ARRAY = re.compile(
    rb'\s*\{\s*(?:"\w+"\s*:\s*(?:"(?:[^"\\]|\\.)*"|[\d.]+|true|false|null)\s*,\s*)*"(\w+)"\s*:\s*\['
)


def _json_of(head: bytes) -> str:
    lines = [line for line in head.splitlines()[:_MOST_LINES] if line.strip()]
    is_cut = not head.endswith((b"\n", b"\r"))
    if len(lines) > 1 and is_cut:
        lines.pop()  # it may be incomplete
    if not lines:
        return ""
    if lines[0].strip() in (b"[", b"{") or re.match(rb'\s*\[\s*\{\s*"', lines[0]):
        return "json"
    if len(lines) == 1:
        return _json_of_line(lines[0], is_cut)
    if 2 * sum(bool(_JSON_LINE.fullmatch(line)) for line in lines) <= len(lines):
        return ""
    if 2 * sum(bool(_PYTHON.match(line)) for line in lines) > len(lines):
        return "json"
    values = _values_in(lines)
    if 2 * values > len(lines):
        return "jsonl"
    return "json" if 2 * _values_in([line.rstrip().removesuffix(b",") for line in lines]) > len(lines) else ""


def _values_in(lines: Sequence[bytes]) -> int:
    """The number of lines that are a JSON object or array."""
    return sum(isinstance(_value_of(line), dict | list) for line in lines)


def _value_of(line: bytes) -> Any:
    """The JSON value of a line; None: it has none."""
    import msgspec

    try:
        return msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _json_of_line(line: bytes, is_cut: bool) -> str:
    """`jsonl` if the only line of a file is a record; `json` if it is many, or the beginning of a value."""
    value = _value_of(line)
    if value is None:
        is_value = _JSON_BEGIN.match(line) and (is_cut or b"}{" in line or b"} {" in line)
        return "json" if is_value or _PYTHON.match(line) else ""
    if not isinstance(value, dict | list):
        return ""
    if isinstance(value, dict) and _are_pairs([key for key, v in value.items() if isinstance(v, str)]):
        return "json"
    arrays = [value] if isinstance(value, list) else [v for v in value.values() if isinstance(v, list)]
    records = [len(array) > 1 and isinstance(array[0], dict | list) for array in arrays]
    columns = [len(array) > 2 for array in arrays]
    return "json" if any(records) or (len(columns) > 1 and all(columns)) else "jsonl"
