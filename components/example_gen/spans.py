"""Finds the spans of a corpus, and divides the work of ExampleGen into one part for each span.

The markers in patterns are those of TFX: `{SPAN}`, `{VERSION}`, `{YYYY}`, `{MM}`, `{DD}`. A span by date has
the number of days since 1970-01-01 as its number.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from bitext.components.component import Part
from bitext.components.example_gen import (
    EPOCH,
    Parameters,
    PartParameters,
    Span,
    Window,
    as_part,
    places,
)
from bitext.components.example_gen.files import Files
from bitext.components.shared import reading
from bitext.components.shared.errors import ConfigError, DataError, MissingFileError
from bitext.components.shared.files import literal_prefix

SpanFiles: TypeAlias = dict[tuple[int, int | None], list[str]]
"""The files of each span, by its number and version."""

MARKER = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(?::(\d+))?\}")
_DATE = {"YYYY": 4, "MM": 2, "DD": 2}
_TOKEN = re.compile(
    rf"(?P<marker>{MARKER.pattern})|(?P<glob>\*\*/|\*\*|\*|\?)|(?P<set>\[[^]]+\])|(?P<text>.)", re.DOTALL
)
_GLOBS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_NAMES_OF_ALL = ("eval_share", "test_share", "drop_duplicates", "shards")
"""The parameters that all corpora share."""
_REMEDY = "add the file, or correct the patterns in example_gen"


def parts(parameters: Parameters) -> list[Part]:
    """Divides the work of ExampleGen, corpus by corpus: see `_parts_of_corpus`.

    Raises:
      ConfigError, DataError: as `_parts_of_corpus`.
    """
    if not parameters.corpora:
        return _parts_of_corpus(parameters)
    shared: dict[str, Any] = {name: getattr(parameters, name) for name in _NAMES_OF_ALL}
    all_parts = []
    for corpus in parameters.corpora:
        part: dict[str, Any] = {"corpus": corpus.name, "tag": corpus.tag, "held_out": corpus.held_out}
        with places.keys_of(corpus.name, places.CORPORA):
            all_parts += _parts_of_corpus(PartParameters(**corpus.options(), **shared, **part))
    return all_parts


def _parts_of_corpus(parameters: Parameters) -> list[Part]:
    """Divides a corpus: files without a span first, then one part for each span of the window.

    A corpus without spans is one part. Names begin with the name of the corpus, if it has one.

    Raises:
      ConfigError: the markers of a pattern do not form a span, or a window is given without such a pattern.
      MissingFileError: no span exists.
      DataError: no span is in the window, a span lacks a file, or a file name has an impossible date.
    """
    corpus = as_part(parameters).corpus
    span_patterns = [
        p for files in parameters.files_by_split().values() for p in files.patterns() if MARKER.search(p)
    ]
    if not span_patterns:
        if parameters.window != Window():
            raise ConfigError(
                "example_gen.window is given, but no pattern has a span",
                "write {SPAN}, or {YYYY}, {MM} and {DD}, in a pattern where the file names have the number or"
                " the date; or leave out example_gen.window",
            )
        return [Part(corpus, parameters)]
    spans_of = {pattern: _find_spans(pattern) for pattern in span_patterns}
    if not any(spans_of.values()):
        raise MissingFileError(f"no file matches {span_patterns[0]}", _REMEDY, span_patterns[0])
    numbers = {number for spans in spans_of.values() for number, _ in spans}
    by_date = any("{YYYY}" in pattern for pattern in span_patterns)
    span_parts = []
    if any(not MARKER.search(p) for files in parameters.files_by_split().values() for p in files.patterns()):
        name = f"{corpus} no span".lstrip()
        span_parts.append(Part(name, _part_parameters(parameters, Span(None), {})))
    for number in _select_window(sorted(numbers), parameters):
        versions = [v for spans in spans_of.values() for n, v in spans if n == number and v is not None]
        span = Span(number, max(versions, default=None))
        label = (EPOCH + datetime.timedelta(days=number)).isoformat() if by_date else str(number)
        name = f"{corpus} span {label}".lstrip() + (
            f" version {span.version}" if span.version is not None else ""
        )
        span_parts.append(Part(name, _part_parameters(parameters, span, _files_of(span, name, spans_of))))
    return span_parts


def _select_window(numbers: list[int], parameters: Parameters) -> list[int]:
    window = parameters.window
    first, last = window.bounds()
    numbers_in_window = [n for n in numbers if (first is None or n >= first) and (last is None or n <= last)]
    if not numbers_in_window:
        raise DataError(
            f"no span of the corpus is in example_gen.window; spans that exist: {_ranges(numbers)}",
            "correct the patterns in example_gen or example_gen.window, or add files",
        )
    return numbers_in_window[-window.newest :] if window.newest else numbers_in_window


def _ranges(numbers: list[int]) -> str:
    """Formats ascending span numbers as ranges: `1 to 4, 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in runs)


def _files_of(span: Span, name: str, spans_of: dict[str, SpanFiles]) -> dict[str, tuple[str, ...]]:
    """The files of a span by pattern. If a pattern has a version, only those of the newest version.

    Raises:
      DataError: no file matches a pattern.
    """
    files = {}
    for pattern, spans in spans_of.items():
        version = span.version if "{VERSION" in pattern else None
        files[pattern] = tuple(spans.get((span.number or 0, version), ()))
        if not files[pattern]:
            raise MissingFileError(f"{name}: no file matches {pattern}", _REMEDY, pattern)
    return files


def _part_parameters(parameters: Parameters, span: Span, files: dict[str, tuple[str, ...]]) -> PartParameters:
    """The parameters of a part: with the files of one span, or with the patterns without a span."""

    def select_paths(patterns: tuple[str, ...]) -> tuple[str, ...]:
        if span.number is None:
            return tuple(pattern for pattern in patterns if not MARKER.search(pattern))
        return tuple(path for pattern in patterns for path in files.get(pattern, ()))

    def select_files(given: Files) -> Files:
        return Files(**{name: select_paths(getattr(given, name)) for name in given.__struct_fields__})

    changes: dict[str, object] = {"span": span, "window": Window()}
    if parameters.splits is None:
        changes |= msgspec.structs.asdict(select_files(parameters.unsplit_files()))
    else:
        given = parameters.splits
        splits = {name: select_files(getattr(given, name)) for name in given.__struct_fields__}
        changes["splits"] = msgspec.structs.replace(given, **splits)
    return PartParameters(**(msgspec.structs.asdict(parameters) | changes))


# Patterns.


def _find_spans(pattern: str) -> SpanFiles:
    """The files that match a pattern, by span number and version; sorted within a span."""
    expression = _expression(pattern)
    glob = MARKER.sub("*", pattern)
    spans: SpanFiles = {}
    for path in reading.matching_files(glob):
        if match := expression.fullmatch(path):
            version = match.groupdict().get("VERSION")
            key = (_span_number(match, path), None if version is None else int(version))
            spans.setdefault(key, []).append(path)
    return spans


def _span_number(match: re.Match[str], path: str) -> int:
    fields = match.groupdict()
    if "SPAN" in fields:
        return int(fields["SPAN"])
    try:
        date = datetime.date(*(int(fields[name]) for name in _DATE))
    except ValueError as error:
        raise DataError(
            f"{path}: its name has no valid date: {error}",
            "rename the file, or move it to another folder",
        ) from error
    return (date - EPOCH).days


def _expression(pattern: str) -> re.Pattern[str]:
    """The regular expression for a pattern, with a named group for each marker.

    Raises:
      ConfigError: the markers do not form a span.
    """
    markers = {match[1] for match in MARKER.finditer(pattern)}
    if ("SPAN" in markers) == bool(markers & set(_DATE)) or markers & set(_DATE) not in (set(), set(_DATE)):
        raise ConfigError(
            f"example_gen: {pattern}: a span is {{SPAN}}, or {{YYYY}}, {{MM}} and {{DD}} together",
            "write one of these in the pattern, and no other marker except {VERSION}",
        )
    first = MARKER.search(pattern)
    prefix = literal_prefix(pattern[: first.start()] if first else pattern)
    return re.compile(re.escape(prefix) + "".join(_expression_pieces(pattern.removeprefix(prefix))))


def _expression_pieces(pattern: str) -> Iterator[str]:
    named_markers = set()
    for match in _TOKEN.finditer(pattern):
        if match["marker"]:
            name, width = match[2], match[3] or _DATE.get(match[2])
            yield (
                f"(?P={name})"
                if name in named_markers
                else f"(?P<{name}>[0-9]{f'{{{width}}}' if width else '+'})"
            )
            named_markers.add(name)
        elif match["glob"]:
            yield _GLOBS[match["glob"]]
        elif match["set"]:
            yield match["set"].replace("[!", "[^", 1)
        else:
            yield re.escape(match["text"])
