"""Recognizes the format of a file by its first bytes and its name."""

from __future__ import annotations

import codecs
import csv
import dataclasses
import re
from collections.abc import Iterator, Sequence

from bitext.components.example_gen.formats import (
    columnar,
    content,
    decoding,
    fields,
    guards,
    header_words,
    languages,
    preamble,
    text_columns,
)
from bitext.components.shared import archives, encodings, file_kinds, reading
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

HEAD_BYTES = 1 << 20
ARCHIVE = "archive"
_KINDS = {"a Parquet file": "parquet", "an Arrow file": "arrow", "a compiled gettext catalogue (.mo)": "po"}
_COMPRESSED = tuple(file_kinds.COMPRESSED.values())
_LEAST_ROWS = 3
"""Commas in fewer rows do not show that a file is CSV."""
_STREAM = b"\xff\xff\xff\xff"
"""An Arrow IPC stream begins with it."""
_MOST_LANGUAGES = 10


@dataclasses.dataclass(frozen=True)
class Detected:
    """What a file is.

    Attributes:
      format: value of `example_gen.format`. `parallel`: it has one sentence a line. `archive`: it is a ZIP or
        tar archive, and `columns` are the names of its members. `json`: it is one JSON value, which no
        format reads.
      encoding: value of `example_gen.encoding`; empty: unknown, or the format has none.
      delimiter: the character between columns (`tsv` and `csv`); else empty.
      header: whether the first row looks like the names of the columns.
      columns: names of the columns, of the fields with text (as paths) or of the members; without a header,
        the numbers of the columns from 0.
      texts: the columns among these whose values look like sentences.
      languages: the language codes that the file or its name says, at most 10.
      notes: what else a person should know.
      head: the first bytes of `json`, in UTF-8.
      irregular: what looks like columns in `parallel`; empty: nothing does.
    """

    format: str
    encoding: str = ""
    delimiter: str = ""
    header: bool = False
    columns: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    head: bytes = b""
    irregular: str = ""

    def in_words(self) -> str:
        """The format with its encoding and delimiter: `csv with ';', windows-1252`."""
        delimiter = f" with {self.delimiter!r}" if self.format == "csv" else ""
        encoding = "" if self.encoding in ("", decoding.UTF_8) else f", {self.encoding}"
        return f"{self.format}{delimiter}{encoding}" + (", with a header" if self.header else "")


def describe(path: str) -> Detected:
    """Recognizes a local or remote file, or a member of an archive, by its first MiB.

    Raises:
      DataError: the file cannot be read, is empty, or is of a kind that no format reads.
    """
    head = _head(path)
    kind = file_kinds.kind_of(head)
    if kind is not None and archives.is_archive(path) and kind.name in (*content.ARCHIVES, *_COMPRESSED):
        return _archive(path)
    if head.startswith(_STREAM) or (kind is not None and kind.name in ("a Parquet file", "an Arrow file")):
        return _columnar("parquet" if kind and kind.name == "a Parquet file" else "arrow", path)
    if kind is not None and kind.name in _KINDS:
        return Detected(_KINDS[kind.name], notes=("compiled by gettext",))
    content.check_kind(head, path)
    if not head.strip():
        raise DataError(f"{path_text(path)} is empty", "name a file with sentence pairs")
    encoding, notes = _encoding_of(head)
    if not encoding:
        file_kinds.check_text(head, path)
    text = _decoded(head, encoding or "latin-1")
    found = content.format_of(text.encode("utf-8", "replace"))
    content.check_subtitles(text, path)
    if found.startswith("xml/"):
        content.check_rows(text.encode("utf-8", "replace"), path)
    if found in languages.IN_FILES:
        names = languages.IN_FILES[found](text)
        if not decoding.is_wide(encoding or decoding.UTF_8) and (declared := decoding.declared(head)):
            is_other = not decoding.is_utf8(declared)
            encoding, notes = decoding.UTF_8, (f"its encoding is {declared}, as it says",) * is_other
        return Detected(found, encoding, languages=names[:_MOST_LANGUAGES], notes=notes)
    if found == "json":
        return Detected(found, encoding, notes=notes, head=text.encode("utf-8", "replace"))
    if found == "jsonl":
        return _json_lines(text, encoding, notes)
    return _table(path, text, encoding, notes)


def _head(path: str) -> bytes:
    def accept(head: bytes, path: str) -> None:
        """Accepts all files: they are recognized here."""

    chunks = reading.read_chunks(path, HEAD_BYTES, accept)
    return next(chunks, b"")


def _encoding_of(head: bytes) -> tuple[str, tuple[str, ...]]:
    """The encoding, and a note if it is not certain."""
    if wide := file_kinds.wide_encoding(head[: file_kinds.HEAD_BYTES]):
        return wide.lower(), ()
    try:
        codecs.getincrementaldecoder(decoding.UTF_8)().decode(head)
    except UnicodeDecodeError:
        pass
    else:
        return decoding.UTF_8, ()
    counts = encodings.LineCounts()
    counts.add(head.splitlines())
    if 2 * counts.invalid <= counts.beyond_ascii:
        return decoding.UTF_8, (f"{counts.invalid:,} of the first {counts.lines:,} lines are not UTF-8",)
    likely = encodings.likely_encoding(counts.sample)
    name = decoding.name_for_setting(likely) if likely else ""
    return name, (f"it is not UTF-8; it looks like {likely}" if likely else "its encoding is unknown",)


def _decoded(head: bytes, encoding: str) -> str:
    text = codecs.getincrementaldecoder(encoding)("replace").decode(head).removeprefix("\ufeff")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _archive(path: str) -> Detected:
    members = tuple(match.removeprefix(f"{path}//") for match in reading.matching_files(f"{path}//*"))
    codes = [code for name in members if (code := language_of(name))]
    return Detected(ARCHIVE, columns=members, languages=tuple(dict.fromkeys(codes))[:_MOST_LANGUAGES])


def _columnar(name: str, path: str) -> Detected:
    columns = columnar.text_columns(name, path, guards.SAMPLE_ROWS)
    names = tuple(columns)
    return Detected(name, columns=names, texts=text_columns.of_text(columns), languages=_codes_in(names))


def _json_lines(text: str, encoding: str, notes: tuple[str, ...]) -> Detected:
    import msgspec

    values: dict[str, list[str]] = {}
    for line in _whole_lines(text):
        try:
            record = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
        for name in fields.text_paths(record):
            values.setdefault(name, []).append(fields.value_at(record, name))
    names = tuple(values)
    texts = text_columns.of_text(values)
    return Detected("jsonl", encoding, columns=names, texts=texts, languages=_codes_in(names), notes=notes)


def _table(path: str, text: str, encoding: str, notes: tuple[str, ...]) -> Detected:
    lines = [line for line in _whole_lines(text) if line.strip()]
    before = preamble.of(lines)
    if before.lines:
        notes = (*notes, f"{before.in_words()}, not rows")
        lines = lines[before.lines :]
    delimiter = before.delimiter or _tab_of_most(lines) or guards.delimiter_of(lines)
    rows = _rows(lines, delimiter) if delimiter else []
    header = bool(rows) and _is_header(rows[0])
    language = language_of(path)
    is_prose = delimiter != "\t" and not header and (bool(language) or len(lines) < _LEAST_ROWS)
    if not delimiter or (is_prose and not before.lines):
        languages_of = (language,) if language else ()
        irregular = "; ".join(_irregular(path, lines))
        return Detected("parallel", encoding, languages=languages_of, notes=notes, irregular=irregular)
    name = "csv"
    if delimiter == "\t" and not before.lines:
        quotes = guards.QuoteCounts()
        quotes.add("\n".join(lines).encode())
        if quotes.are_by_csv(sum(line.count("\t") + 1 for line in lines)):
            notes = (*notes, "its fields are quoted as in CSV")
        else:
            name, rows = "tsv", [line.split("\t") for line in lines]
            if alone := sum(len(row) == 1 for row in rows):
                notes = (*notes, f"{alone:,} of its first {len(rows):,} lines have no tab")
    columns = _names(rows[0]) if header else tuple(map(str, range(max(map(len, rows[:100])))))
    values = {
        column: [row[index] for row in rows[header:] if index < len(row)]
        for index, column in enumerate(columns)
    }
    found = _codes_in(columns) if header else ()
    return Detected(name, encoding, delimiter, header, columns, text_columns.of_text(values), found, notes)


def _tab_of_most(lines: Sequence[str]) -> str:
    """The tab if at least half of the lines have one: it does not occur in sentences."""
    return "\t" if 2 * sum("\t" in line for line in lines) >= max(1, len(lines)) else ""


def _irregular(path: str, lines: Sequence[str]) -> Iterator[str]:
    """What looks like columns in lines that are not divided into the same number of them."""
    if 2 * sum(guards.FAST_ALIGN in line for line in lines) > len(lines):
        yield f"its columns are divided by {guards.FAST_ALIGN!r}: write a tab for it, sed 's/ ||| /\\t/g'"
        return
    is_csv = re.search(r"\.csv(\.\w+)?$", path, re.IGNORECASE)
    for delimiter in guards.DELIMITERS:
        widths = [len(row) for row in _rows(lines, delimiter)]
        divided = sum(width > 1 for width in widths)
        least_share = 0.1 if delimiter == "\t" else 0.5  # other delimiters occur in sentences
        if divided >= least_share * len(lines) > 0 and (delimiter != "," or is_csv):
            least, most = min(width for width in widths if width > 1), max(widths)
            columns = f"{least} to {most}" if most > least else f"{most}"
            yield (
                f"{guards.in_words(delimiter)} divides {divided:,} of its first {len(lines):,} lines, into"
                f" {columns} columns"
            )


def _whole_lines(text: str) -> list[str]:
    """At most `guards.SAMPLE_ROWS` lines, without the last one if it may be incomplete."""
    lines = text.split("\n")
    if len(lines) > 1 and (len(text) > HEAD_BYTES // 8 or not lines[-1]):
        lines.pop()
    return lines[: guards.SAMPLE_ROWS]


def _rows(lines: Sequence[str], delimiter: str) -> list[list[str]]:
    try:
        return [row for row in csv.reader(lines, delimiter=delimiter) if any(map(str.strip, row))]
    except csv.Error:
        return [line.split(delimiter) for line in lines]


def _is_header(row: Sequence[str]) -> bool:
    """Whether most cells, at least two, look like names of columns; those at the end may be empty."""
    names = _names(row)
    if len(names) == 2:
        return names[0] != names[1] and guards.looks_like_header(names)
    both = header_words.name_both_sides(names)
    cells = [cell for cell in names if guards.is_header_cell(cell) or (both and header_words.side_of(cell))]
    return len({cell.lower() for cell in cells}) > 1 and 2 * len(cells) >= len(names)


def _names(row: Sequence[str]) -> tuple[str, ...]:
    """The cells of a header as they are looked up, without empty ones at the end."""
    cells = [cell.strip() for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return tuple(cells)


def _codes_in(names: Sequence[str]) -> tuple[str, ...]:
    """The language codes that are names of columns, or ends of paths."""
    codes = [name.strip().rpartition(".")[2] for name in names]
    found = list(dict.fromkeys(code for code in codes if guards.is_language_code(code)))
    if len(found) > 2 and "id" in found:  # the number of the row, not Indonesian
        found.remove("id")
    return tuple(found[:_MOST_LANGUAGES])


def language_of(path: str) -> str:
    """The language code that ends a file name, without the ending of its compression: `corpus.en.gz`."""
    for ending in reading.ENDINGS:
        path = path.removesuffix(ending)
    code = path.rpartition("/")[2].rpartition(".")[2]
    return code if guards.is_language_code(code) else ""
