"""Reads XML as a stream: no entity is declared, expanded or fetched, and the memory is limited."""

from __future__ import annotations

import abc
import codecs
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar
from xml.parsers import expat

from bitext.components.example_gen.formats import content, decoding, xml_errors
from bitext.components.example_gen.formats.base import Format, FormatOptions, SourceFile
from bitext.components.example_gen.formats.units import Unit, rows_of
from bitext.components.shared import reading
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

if TYPE_CHECKING:
    from bitext.components.example_gen.rows import Rows

Attributes = Mapping[str, str]

CHUNK_BYTES = 1 << 16
"""A file is parsed in chunks of this size."""
MOST_TOKEN_BYTES = 1 << 24
"""A tag or comment has at most so many bytes."""
MOST_DEPTH = 1000
_KEPT_BYTES = 200
"""So many bytes of the last chunk are kept, for the message about an error at the beginning of the next."""
_DECLARED = re.compile(rb"""<\?xml[^>]*?\sencoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")
_OF_EXPAT = ("utf-8", "utf-16", "utf-16-le", "utf-16-be", "iso8859-1", "ascii")
_NATIVE_CODE = frozenset({"bpt", "ept", "ph", "it", "ut"})
_DELETED = "x-sdl-deleted"
"""The `mtype` of text that a tracked change of Trados Studio has deleted."""
_PAIRED = frozenset({"g", "pc"})
_EMPTY = frozenset({"x", "bx", "ex", "sc", "ec"})
_IDS = ("id", "i", "x")


class Segment:
    """The text of a segment, without its inline elements or with their native code.

    `drop` removes the elements and the native code in `bpt`, `ept`, `ph`, `it` and `ut`. `keep` keeps this
    code as text; an element without code is kept as a tag: `<x id="1"/>`. The text in other elements (`hi`,
    `g`, `mrk`, `pc`) is kept by both, and text that Trados Studio marks as deleted by none.

    Args:
      keeps_markup: whether the setting is `keep`.

    Attributes:
      pieces: the text of each segment that `mrk mtype="seg"` marks (XLIFF 1.2), by its `mid`.
    """

    def __init__(self, keeps_markup: bool) -> None:
        self.pieces: dict[str, str] = {}
        self._marks: list[tuple[Attributes, int]] = []
        self._deleted = 0
        self._keeps_markup = keeps_markup
        self._parts: list[str] = []
        self._characters = 0
        self._codes: list[tuple[str, int]] = []

    def add(self, text: str) -> None:
        """Adds text. The end of a text that is too long for a row is not kept."""
        if (
            (self._keeps_markup or not self._codes)
            and not self._deleted
            and self._characters <= reading.MAX_LINE_BYTES
        ):
            self._parts.append(text)
            self._characters += len(text)

    def start(self, name: str, attributes: Attributes) -> None:
        """An inline element begins."""
        if name in _NATIVE_CODE:
            self._codes.append((_tag(name, attributes), len(self._parts)))
        elif name == "mrk":
            self._marks.append((attributes, len(self._parts)))
            self._deleted += attributes.get("mtype") == _DELETED
        elif self._keeps_markup and name in _PAIRED:
            self.add(f"<{_tag(name, attributes)}>")
        elif self._keeps_markup and name in _EMPTY:
            self.add(f"<{_tag(name, attributes)}/>")

    def end(self, name: str) -> None:
        """An inline element ends."""
        if name in _NATIVE_CODE:
            tag, parts = self._codes.pop()
            if self._keeps_markup and len(self._parts) == parts:
                self.add(f"<{tag}/>")
        elif name == "mrk":
            attributes, first = self._marks.pop()
            self._deleted -= attributes.get("mtype") == _DELETED
            if attributes.get("mtype") == "seg":
                self.pieces[attributes.get("mid", "")] = "".join(self._parts[first:])
        elif self._keeps_markup and name in _PAIRED:
            self.add(f"</{name}>")

    def text(self) -> str:
        """The text so far."""
        return "".join(self._parts)


def _tag(name: str, attributes: Attributes) -> str:
    return name + "".join(f' {key}="{attributes[key]}"' for key in _IDS if key in attributes)


class Collector(abc.ABC):
    """Gathers the units of a file from the elements of a parser. Names have no namespace prefix.

    Attributes:
      segment: the segment that is read; None outside segments.
      units: the units that are complete, and not yet taken.
      number: the number of units that have begun.
    """

    def __init__(self, options: FormatOptions):
        self.options = options
        self.segment: Segment | None = None
        self.units: list[Unit] = []
        self.number = 0
        self._segment_depth = 0

    def open_segment(self) -> None:
        """The element that has begun is a segment."""
        self.segment, self._segment_depth = Segment(self.options.inline_markup == "keep"), 0

    def start(self, name: str, attributes: Attributes) -> None:
        """An element begins."""
        name = name.rpartition(":")[2]
        if self.segment is None:
            self.start_element(name, attributes)
        else:
            self._segment_depth += 1
            self.segment.start(name, attributes)

    def end(self, name: str) -> None:
        """An element ends."""
        name = name.rpartition(":")[2]
        if self.segment is None:
            self.end_element(name)
        elif self._segment_depth:
            self._segment_depth -= 1
            self.segment.end(name)
        else:
            segment, self.segment = self.segment, None
            self.end_segment(name, segment)

    def text(self, text: str) -> None:
        """Text follows."""
        if self.segment is not None:
            self.segment.add(text)

    @abc.abstractmethod
    def start_element(self, name: str, attributes: Attributes) -> None:
        """An element outside segments begins."""

    @abc.abstractmethod
    def end_element(self, name: str) -> None:
        """An element outside segments ends."""

    @abc.abstractmethod
    def end_segment(self, name: str, segment: Segment) -> None:
        """A segment ends."""

    @abc.abstractmethod
    def finish(self, path: str) -> None:
        """The file has ended.

        Raises:
          DataError: the file as a whole cannot be used.
        """


class XmlFormat(Format):
    """A format in XML, one row a translation unit."""

    root: ClassVar[str]
    options_read = frozenset({"encoding", "inline_markup", "source_language", "target_language"})
    keys_of_layout = ("format", "source_language", "target_language")

    def numbered(self, path: str) -> str:
        """What the numbers of the rows of a file count."""
        return "unit"

    @abc.abstractmethod
    def collector(self, options: FormatOptions) -> Collector:
        """What gathers the units of one file."""

    def rows(self, file: SourceFile, options: FormatOptions) -> Iterator[Rows]:
        """The rows of a file, in order."""
        yield from rows_of(self.units(file, options))

    def units(self, file: SourceFile, options: FormatOptions) -> Iterator[Unit]:
        """The units of a file, in order.

        Raises:
          DataError: the file cannot be read, or is not this format.
        """
        collector = self.collector(options)
        parser = _Parser(file.path, options.encoding, self.root, collector)
        yield from parser.units()
        collector.finish(file.path)
        yield from collector.units


class _Parser:
    """Feeds a file to expat."""

    def __init__(self, path: str, encoding: str, root: str, collector: Collector):
        self._path, self._encoding, self._root, self._collector = path, encoding, root, collector
        self._depth = self._bytes = 0
        self._last = b""

    def units(self) -> Iterator[Unit]:
        chunks = reading.read_chunks(self._path, CHUNK_BYTES, content.check_kind)
        first = next(chunks, b"")
        chunks = _with_first(first, chunks)
        encoding = _other_encoding(self._encoding, first)
        if encoding and not decoding.is_utf8(encoding):
            chunks = decoding.to_utf8(chunks, self._path, encoding)
        self._parser = expat.ParserCreate(decoding.UTF_8 if encoding else None)
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._collector.text
        self._parser.EntityDeclHandler = self._refuse_entity
        self._parser.SkippedEntityHandler = self._refuse_skipped
        for chunk in chunks:
            self._feed(chunk, False)
            yield from self._taken()
        self._feed(b"", True)
        yield from self._taken()

    def _taken(self) -> list[Unit]:
        units, self._collector.units = self._collector.units, []
        return units

    def _feed(self, chunk: bytes, is_final: bool) -> None:
        try:
            self._parser.Parse(chunk, is_final)
        except expat.ExpatError as error:
            data = self._last + chunk
            at = self._parser.ErrorByteIndex - self._bytes + len(self._last)
            problem, remedy = xml_errors.describe(error, data, at, is_final, self._path, self._encoding)
            unit = f" in unit {self._collector.number:,}" if self._collector.number else ""
            raise self._error(
                f"line {error.lineno}, column {error.offset + 1}: not well-formed XML{unit}: {problem}",
                remedy,
            ) from error
        except (ValueError, LookupError) as error:  # an encoding that expat does not read
            raise self._error(str(error), "name its encoding in example_gen.encoding") from error
        self._bytes += len(chunk)
        self._last = chunk[-_KEPT_BYTES:]
        if self._bytes - self._parser.CurrentByteIndex > MOST_TOKEN_BYTES:
            raise self._error(
                f"line {self._parser.CurrentLineNumber}: a tag or comment of more than"
                f" {MOST_TOKEN_BYTES >> 20} MiB",
                "correct the file at this line",
            )

    def _error(self, message: str, remedy: str) -> DataError:
        return DataError(f"cannot read {path_text(self._path)}: {message}", remedy)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1 and name.rpartition(":")[2].lower() != self._root:
            raise self._error(
                f"its first element is <{name}>, not <{self._root}>", "correct example_gen.format"
            )
        if self._depth > MOST_DEPTH:
            line = self._parser.CurrentLineNumber
            raise self._error(f"line {line}: over {MOST_DEPTH:,} elements in each other", "correct the file")
        self._collector.start(name, attributes)

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._collector.end(name)

    def _refuse_entity(self, name: str, *_: object) -> None:
        raise self._error(
            f"line {self._parser.CurrentLineNumber}: it declares the entity {name!r}",
            "replace the entities by their text, and remove their declarations (xmllint --noent --dropdtd)",
        )

    def _refuse_skipped(self, name: str, is_parameter: bool) -> None:
        if not is_parameter:
            raise self._error(
                f"line {self._parser.CurrentLineNumber}: the entity &{name}; is not declared",
                "replace it by its text",
            )


def _other_encoding(given: str, head: bytes) -> str:
    """The encoding that expat is not to decode itself: one that is given, or declared and unknown to it."""
    if not decoding.is_utf8(given):
        return given
    declared = _DECLARED.search(head[:1000])
    if declared is None:
        return ""
    name = declared[1].decode()
    try:
        decoding.check_encoding(name)
    except ValueError:
        return ""
    if decoding.is_wide(name):  # it was found byte by byte, so this is not true
        return decoding.UTF_8
    return "" if codecs.lookup(name).name in _OF_EXPAT else name


def _with_first(first: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
        yield from chunks
