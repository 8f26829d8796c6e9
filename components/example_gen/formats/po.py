"""Message catalogs of gettext: PO files and compiled catalogs (MO).

The formats are in the manual of gettext, sections "The Format of PO Files" and "The Format of GNU MO Files".
"""

from __future__ import annotations

import codecs
import gettext
import re
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING

from bitext.components.example_gen.formats import content, decoding
from bitext.components.example_gen.formats.base import Format, FormatOptions, SourceFile, text_lines
from bitext.components.example_gen.formats.units import Unit, rows_of
from bitext.components.shared import reading
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

if TYPE_CHECKING:
    from bitext.components.example_gen.rows import Rows

HEAD_BYTES = 1 << 16
MOST_MO_BYTES = 1 << 30
_MO_MAGIC = {b"\xde\x12\x04\x95": "<", b"\x95\x04\x12\xde": ">"}
_CHARSET = re.compile(rb"charset=([A-Za-z0-9._-]+)")
_PLURAL = re.compile(r"plural=([^;\n]+)")
_KEYWORD = re.compile(r"(msgctxt|msgid|msgid_plural|msgstr(?:\[([0-9]+)\])?)\s*(?=\")")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"\s*')
_ESCAPE = re.compile(r"\\(?:([0-7]{1,3})|x([0-9A-Fa-f]{1,2})|(.))")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "a": "\a", "b": "\b", "f": "\f", "v": "\v"}


class Po(Format):
    """Message catalogs. A row of a PO file has the line of its `msgstr`; rows of MO files are numbered.

    Each plural form is a row, with `msgid` for the form of the number 1, else with `msgid_plural`. The
    header and obsolete messages (`#~`) are left out.
    """

    name = "po"

    def numbered(self, path: str) -> str:
        """What the numbers of the rows of a file count: a compiled catalog has no lines."""
        return "message" if path.endswith((".mo", ".gmo")) else "line"

    def rows(self, file: SourceFile, options: FormatOptions) -> Iterator[Rows]:
        """The rows of a catalog, in order."""
        head = b""
        for chunk in reading.read_chunks(file.path, HEAD_BYTES, _check_kind):
            head += chunk
            if len(head) >= HEAD_BYTES:
                break
        is_compiled = head[:4] in _MO_MAGIC
        yield from rows_of(
            _mo_units(file.path, options) if is_compiled else _po_units(file.path, head, options)
        )


def _check_kind(head: bytes, path: str) -> None:
    if head[:4] not in _MO_MAGIC:
        content.check_kind(head, path)


def _encoding_of(head: bytes, options: FormatOptions) -> str:
    """The encoding that the header declares, unless another one is given."""
    match = _CHARSET.search(head)
    if not decoding.is_utf8(options.encoding) or match is None:
        return options.encoding
    try:
        decoding.check_encoding(match[1].decode())
    except ValueError:  # CHARSET, in a template
        return options.encoding
    return match[1].decode()


class _Entry:
    """A message that is read: texts by keyword, and the lines of its `msgstr`."""

    def __init__(self) -> None:
        self.texts: dict[str, list[str]] = {}
        self.lines: dict[str, int] = {}
        self.is_fuzzy = False
        self.size = 0


def _po_units(path: str, head: bytes, options: FormatOptions) -> Iterator[Unit]:
    """The messages. One with a line that is not valid is rejected; the file must begin with a message."""
    entry, keyword, plural = _Entry(), "", _PluralForms()
    has_message = is_broken = False
    for number, raw in enumerate(text_lines(path, _encoding_of(head, options)), 1):
        line = raw.decode("utf-8", "surrogateescape").strip()
        if not line or line.startswith("#"):
            is_broken = False
            if any(key.startswith("msgstr") for key in entry.texts):
                yield from _units_of(entry, plural)
                entry, keyword = _Entry(), ""
            if line.startswith("#,") and "fuzzy" in [flag.strip() for flag in line[2:].split(",")]:
                entry.is_fuzzy = True
            continue
        match = _KEYWORD.match(line)
        begins = match is not None and match[1] in ("msgctxt", "msgid")
        if is_broken and not begins:
            continue
        is_broken = False
        if match:
            if match[1] in entry.texts or (begins and any(key.startswith("msgstr") for key in entry.texts)):
                yield from _units_of(entry, plural)
                entry = _Entry()
            keyword, has_message = match[1], True
            entry.texts[keyword], entry.lines[keyword] = [], number
        string = _STRING.fullmatch(line, match.end() if match else 0)
        if string is None or not keyword:
            if not has_message or number == 1:
                raise _not_po(path, number)
            yield Unit(number, line, "", ("bad_message", f"line {number} is not valid in a PO file"))
            entry, keyword, is_broken = _Entry(), "", True
            continue
        entry.size += len(line)
        if entry.size <= reading.MAX_LINE_BYTES + len(line):
            entry.texts[keyword].append(string[1])
    if any(key.startswith("msgstr") for key in entry.texts):
        yield from _units_of(entry, plural)
    elif entry.texts:
        raise DataError(
            f"cannot read {path_text(path)}: its last message has no msgstr",
            "check that the file is whole, or fetch it again",
        )


def _not_po(path: str, number: int) -> DataError:
    return DataError(
        f"cannot read {path_text(path)}: line {number} is not valid in a PO file",
        "correct the line (msgfmt -c checks a PO file), or example_gen.format",
    )


class _PluralForms:
    """Which plural form is that of the number 1. A header says it; without one, the first form is."""

    def __init__(self) -> None:
        self.singular = 0

    def read(self, header: str) -> None:
        """Reads `Plural-Forms` of a header."""
        match = _PLURAL.search(header)
        if match is None:
            return
        try:
            self.singular = int(gettext.c2py(match[1].strip())(1))  # type: ignore[attr-defined]
        except (ValueError, ZeroDivisionError, RecursionError):
            self.singular = 0

    def source(self, form: int, forms: int, singular: str, plural: str) -> str:
        """The source of a form: `msgid` or `msgid_plural`. An only form is the plural."""
        return singular if forms > 1 and form == self.singular else plural


def _units_of(entry: _Entry, plural: _PluralForms) -> Iterator[Unit]:
    texts = {key: _unescaped("".join(parts)) for key, parts in entry.texts.items()}
    source = texts.get("msgid", "")
    if not source and "msgstr" in texts:
        plural.read(texts["msgstr"])
        return
    forms = [key for key in texts if key.startswith("msgstr")]
    if source and not forms:
        yield Unit(entry.lines["msgid"], source, "", ("bad_message", "it has no msgstr"))
    for key in forms:
        index = int(key[7:-1]) if "[" in key else 0
        text = source
        if "msgid_plural" in texts:
            text = plural.source(index, len(forms), source, texts["msgid_plural"])
        yield Unit(entry.lines[key], text, texts[key], _fault(texts[key], entry.is_fuzzy))


def _fault(target: str, is_fuzzy: bool) -> tuple[str, str] | None:
    if not target:
        return "untranslated", "its msgstr is empty"
    return ("fuzzy", "it is marked as fuzzy") if is_fuzzy else None


def _unescaped(text: str) -> str:
    if "\\" not in text:
        return text
    return _ESCAPE.sub(_character, text)


def _character(escape: re.Match[str]) -> str:
    octal, hexadecimal, letter = escape.groups()
    if octal or hexadecimal:
        return chr(int(octal, 8) % 256 if octal else int(hexadecimal, 16))
    return _ESCAPES.get(letter, letter)


def _mo_units(path: str, options: FormatOptions) -> Iterator[Unit]:
    """The messages of a compiled catalog. The file is read as a whole, up to `MOST_MO_BYTES`."""
    data = bytearray()
    for chunk in reading.read_chunks(path, 1 << 20, _check_kind):
        data += chunk
        if len(data) > MOST_MO_BYTES:
            raise _damaged_mo(path, f"it has more than {MOST_MO_BYTES >> 20:,} MiB")
    order, plural, encoding = _MO_MAGIC[bytes(data[:4])], _PluralForms(), options.encoding
    try:
        revision, count, sources, targets = struct.unpack_from(f"{order}4I", data, 4)
        if revision >> 16 > 1:
            raise _damaged_mo(path, f"its revision is {revision >> 16}.{revision & 0xFFFF}")
        rows = 0
        for number in range(1, count + 1):
            pair = []
            for table in (sources, targets):
                length, offset = struct.unpack_from(f"{order}2I", data, table + 8 * (number - 1))
                if offset + length > len(data):
                    raise _damaged_mo(path, f"message {number} is beyond its end")
                pair.append(bytes(data[offset : offset + length]))
            if not pair[0]:
                encoding = _encoding_of(pair[1], options)
                plural.read(pair[1].decode("utf-8", "replace"))
                continue
            for source, target in _mo_pairs(pair[0], pair[1], encoding, plural):
                rows += 1
                yield Unit(rows, source, target, _fault(target, False))
    except struct.error as error:
        raise _damaged_mo(path, "it ends too early") from error


def _mo_pairs(source: bytes, target: bytes, encoding: str, plural: _PluralForms) -> Iterator[tuple[str, str]]:
    texts = source.rpartition(b"\x04")[2].split(b"\0")  # what is before 0x04 is the context
    forms = target.split(b"\0")
    decode = codecs.getdecoder(encoding)
    for index, form in enumerate(forms):
        text = texts[0]
        if len(texts) > 1:
            text = texts[0] if len(forms) > 1 and index == plural.singular else texts[1]
        yield decode(text, "bitext.mark")[0], decode(form, "bitext.mark")[0]


def _damaged_mo(path: str, problem: str) -> DataError:
    return DataError(f"cannot read {path_text(path)}: {problem}", "write the catalog again with msgfmt")
