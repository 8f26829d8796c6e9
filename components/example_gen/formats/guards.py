"""Checks the first rows of a table: a header that is read as a pair, quotes, columns that are missing."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

from bitext.components.example_gen.formats import header_words
from bitext.components.shared.display import path_text, quoted
from bitext.components.shared.errors import DataError

SAMPLE_ROWS = 1000
LEAST_ROWS = 10
"""Fewer rows do not show how many columns a file has."""
DELIMITERS = ("\t", ";", ",", "|")
FAST_ALIGN = " ||| "
"""Divides the columns in files for fast_align and of Moses."""
_MOST_SHOWN = 60
_LANGUAGES_TEXT = (
    "afrikaans albanian amharic arabic armenian azerbaijani basque belarusian bengali bosnian bulgarian"
    " burmese catalan chinese croatian czech danish dutch english esperanto estonian finnish french"
    " galician georgian german greek gujarati hausa hebrew hindi hungarian icelandic igbo indonesian irish"
    " italian japanese javanese kannada kazakh khmer korean kurdish kyrgyz lao latin latvian lithuanian"
    " macedonian malay malayalam maltese mandarin marathi mongolian nepali norwegian pashto persian polish"
    " portuguese punjabi romanian russian serbian sinhala slovak slovene slovenian somali spanish swahili"
    " swedish tagalog tajik tamil tatar telugu thai tibetan turkish turkmen ukrainian urdu uyghur uzbek"
    " vietnamese welsh xhosa yiddish yoruba zulu"
)
_LANGUAGES = frozenset(_LANGUAGES_TEXT.split())
_CODES_TEXT = (
    "af am ar az be bg bn bo br bs ca cs cy da de dv dz el en eo es et eu fa fi fo fr ga gd gl gu ha he"
    " hi hr ht hu hy id ig is it ja jv ka kk km kn ko ku ky lb lo lt lv mg mi mk ml mn mr ms mt my nb ne"
    " nl nn no ny oc or pa pl ps pt ro ru rw sd si sk sl so sq sr st su sv sw ta te tg th ti tk tl tr tt"
    " ug uk ur uz vi wo xh yi yo zh zu ara ces chi cmn cze dan deu dut ell eng est fas fin fra fre ger heb"
    " hin hun ind ita jpn kor lit lvs nld nor pol por ron rum rus slk slv spa swe tha tur ukr vie zho"
)
_CODES = frozenset(_CODES_TEXT.split())
_WORDS_TEXT = (
    "source target src tgt trg sentence sentences text translation translated original reference ref"
    " input output segment utterance id"
    " quelle ziel origen destino origine destinazione origem cible übersetzung traducción перевод оригинал"
    " 原文 译文 訳文 翻译"
)
_WORDS = frozenset(_WORDS_TEXT.split())
_CODE = re.compile(r"([a-z]{2,3})(?:[-_](?:[A-Z]{2}|[A-Z][a-z]{3}|[0-9]{3}))*")
_SNAKE_CASE = re.compile(r"[a-z]+(?:_[a-z0-9]+)+")
_PIECES = re.compile(r"[_.:-]+|(?<=[a-z])(?=[0-9])|(?<=[a-z])(?=[A-Z])")
_WRITTEN_BY_CSV = re.compile(rb'"(?:[^"]|"")*"')
_DOUBLED = re.compile(rb'"(?=.*[^"]).*"".*"', re.DOTALL)
_QUOTED = re.compile(rb'"(?:[^"]++|"")*+"')
_ROW = re.compile(rb'(?:"(?:[^"]++|"")*+"|[^"\t\n]*+)(?:\t(?:"(?:[^"]++|"")*+"|[^"\t\n]*+))*+\n')
"""A row as a CSV writer writes it, which may go over several lines."""
_MOST_ROW_BYTES = 1 << 16
_LEAST_SPANNING = 2
_LEAST_QUOTED_SHARE = 0.5
_MANY_FIELDS = 100


def is_language_code(text: str) -> bool:
    """Whether a text is a language code: `en`, `eng`, `pt-BR`, `zh_Hans`, `eng_Latn`."""
    match = _CODE.fullmatch(text.lower() if text.isupper() else text)
    return match is not None and match[1] in _CODES


def is_header_cell(text: str) -> bool:
    """Whether a cell looks like the name of a column: a language, its code, or words as `source_text`."""
    text = text.strip().strip("\"'")
    if is_language_code(text) or _SNAKE_CASE.fullmatch(text):
        return True
    if (name := header_words.without_brackets(text).lower()) != text.lower():
        return name in _WORDS | _LANGUAGES
    if " " in text:
        return all(word.lower() in _WORDS | _LANGUAGES for word in text.split(" "))
    pieces = [piece for piece in _PIECES.split(text) if not piece.isdecimal()]
    return bool(pieces) and all(
        piece.lower() in _WORDS or piece.lower() in _LANGUAGES or piece in _CODES for piece in pieces
    )


def looks_like_header(cells: Sequence[str]) -> bool:
    """Whether the cells of a source and a target look like names of columns."""
    names = {cell.strip().lower() for cell in cells}
    if len(cells) < 2:
        return False
    if header_words.name_both_sides(cells) or names == {"segment"}:
        return True
    if len({header_words.side_of(cell) or cell for cell in cells}) < 2:
        return False  # they may translate each other, as `Translation` and `Traducción`
    return len(names) > 1 and all(map(is_header_cell, cells))


def may_be_header(cells: Sequence[str]) -> bool:
    """Whether one of the cells looks like the name of a column."""
    return looks_like_header(cells) or any(is_header_cell(c) or header_words.side_of(c) for c in cells)


def check_header(rows: Sequence[Sequence[str]], columns: tuple[int, int], path: str) -> None:
    """Checks that the first row that is not blank is a sentence pair, in a file without a header.

    Raises:
      DataError: it looks like a header.
    """
    first = next((row for row in rows if any(cell.strip() for cell in row)), ())
    if max(columns) >= len(first):
        return
    cells = [first[column] for column in columns]
    if looks_like_header(cells):
        raise DataError(
            f"{path_text(path)}: the first row looks like a header, not like a sentence pair:"
            f" {' and '.join(quoted(cell[:_MOST_SHOWN]) for cell in cells)}",
            "set example_gen.header to true; if it is a sentence pair, move it to another line",
        )


def check_columns(
    rows: Sequence[Sequence[str]], columns: tuple[int, int], path: str, file_format: str, delimiter: str
) -> None:
    """Checks that the first rows have the columns, if they all have the same number of columns.

    Raises:
      DataError: they do not have them.
    """
    widths = {len(row) for row in rows if len(row) > 1 or any(cell.strip() for cell in row)}
    if len(widths) != 1 or len(rows) < LEAST_ROWS:
        return
    (width,) = widths
    if max(columns) < width:
        return
    if width == 1:
        lines = [row[0] for row in rows if row]
        other = delimiter_of(lines)
        if other and other != delimiter:
            raise DataError(
                f"{path_text(path)}: the rows have one column, because none of the first has"
                f" {in_words(delimiter)}; {in_words(other)} looks like the delimiter",
                "set example_gen.format to tsv"
                if other == "\t" and not any('"' in line for line in lines)
                else f'set example_gen.format to csv and example_gen.delimiter to "{escaped(other)}"',
            )
        return
    if sorted(columns) == list(range(1, width + 1))[-2:]:
        source, target = (column - 1 for column in columns)
        raise DataError(
            f"{path_text(path)} has {width} columns, and no column {max(columns)}: columns count from 0",
            f"set example_gen.source_column to {source} and example_gen.target_column to {target}",
        )


def delimiter_of(lines: Sequence[str]) -> str:
    """The character that divides all lines into the same number of columns, at least two; "" if none does."""
    best = ("", 0)
    if 2 * sum(FAST_ALIGN in line for line in lines) > len(lines):
        return ""
    for delimiter in DELIMITERS:
        try:
            widths = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
        except csv.Error:
            continue
        if not widths:
            continue
        width, count = widths.most_common(1)[0]
        if width > 1 and count >= 0.9 * widths.total() and (count > best[1] or not best[0]):
            best = (delimiter, count)
    return best[0]


@dataclasses.dataclass
class QuoteCounts:
    """Fields with quotation marks of a TSV file.

    Attributes:
      fields: number of fields with a quotation mark.
      by_csv: fields among them as a CSV writer quotes them.
      doubled: fields among these with doubled quotation marks.
      spanning: rows in which line ends or tabs are quoted, and which have as many columns as most lines.
    """

    fields: int = 0
    by_csv: int = 0
    doubled: int = 0
    spanning: int = 0

    @property
    def is_prose(self) -> bool:
        """Whether so many fields are not quoted as in CSV that the rest of the file need not be counted."""
        return self.fields >= _MANY_FIELDS and 2 * self.by_csv < self.fields

    def add(self, block: bytes) -> None:
        """Counts the fields of a block of whole lines."""
        text = block.replace(b"\r", b"\n").removesuffix(b"\n") + b"\n"
        tabs = _tabs_of_most(text)
        start = 0
        while (mark := text.find(b'"', start)) >= 0:
            start = text.rfind(b"\n", 0, mark) + 1
            end = text.index(b"\n", mark)
            row = _ROW.match(text, start, start + _MOST_ROW_BYTES) if tabs else None
            if row is not None and _is_spanning(row[0], tabs):
                self.spanning += 1
                fields, end = _QUOTED.findall(row[0]), row.end() - 1
            else:
                fields = [field for field in text[start:end].split(b"\t") if b'"' in field]
            for field in fields:
                self.fields += 1
                if _WRITTEN_BY_CSV.fullmatch(field):
                    self.by_csv += 1
                    self.doubled += _DOUBLED.fullmatch(field) is not None
            start = end + 1

    def add_counts(self, other: QuoteCounts) -> None:
        """Adds the fields that were counted elsewhere."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))

    def are_by_csv(self, total_fields: int | None = None) -> bool:
        """Whether the file was written as CSV with tabs.

        Args:
          total_fields: number of all fields, if it is known.
        """
        if self.by_csv < 0.9 * self.fields:
            return False
        if self.doubled or self.spanning >= _LEAST_SPANNING:
            return True
        return total_fields is not None and self.by_csv > max(1, _LEAST_QUOTED_SHARE * total_fields)


def _tabs_of_most(text: bytes) -> int:
    """The number of tabs that most of the first lines with a tab have."""
    counts = Counter(line.count(b"\t") for line in text.split(b"\n", SAMPLE_ROWS)[:SAMPLE_ROWS])
    counts.pop(0, None)
    return counts.most_common(1)[0][0] if counts else 0


def _is_spanning(row: bytes, tabs: int) -> bool:
    """Whether line ends or tabs of a row are within quotes, and it has this number of other tabs."""
    others = _QUOTED.sub(b"", row)
    return others.count(b"\t") == tabs and row.count(b"\n") + row.count(b"\t") > tabs + 1


def quoting_error(path: str, counts: QuoteCounts) -> DataError:
    """The error of a TSV file that is quoted."""
    spanning = f"; {counts.spanning:,} rows have line ends or tabs within quotes" if counts.spanning else ""
    return DataError(
        f"{path_text(path)} is quoted as in CSV: {counts.by_csv:,} of {counts.fields:,} fields with quotation"
        f" marks begin and end with one, and those inside are doubled{spanning}; format tsv would keep them"
        " in the text",
        'set example_gen.format to csv and example_gen.delimiter to "\\t"',
    )


def escaped(delimiter: str) -> str:
    """A delimiter as it is written in double quotes in YAML."""
    return "\\t" if delimiter == "\t" else delimiter


def in_words(delimiter: str) -> str:
    """A delimiter in words."""
    names = {"\t": "the tab", ",": "the comma", ";": "the semicolon", "|": "the vertical bar"}
    return names.get(delimiter, repr(delimiter))
