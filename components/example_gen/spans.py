"""Which spans a corpus has, and the part of ExampleGen's work that each of them is.

The names are TFX's: `{SPAN}`, `{VERSION}`, `{YYYY}`, `{MM}`, `{DD}` in a pattern; a span by date is numbered
by the days since 1970-01-01.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator

import msgspec

from bitext.components.component import Part
from bitext.components.example_gen import EPOCH, Files, Parameters, Span, SpanParameters, Window
from bitext.components.shared import reading
from bitext.components.shared.errors import ConfigError, DataError
from bitext.components.shared.files import literal_prefix

MARKER = re.compile(r"\{(SPAN|VERSION|YYYY|MM|DD)(?::(\d+))?\}")
_DATE = {"YYYY": 4, "MM": 2, "DD": 2}
_TOKEN = re.compile(
    rf"(?P<marker>{MARKER.pattern})|(?P<glob>\*\*/|\*\*|\*|\?)|(?P<set>\[[^]]+\])|(?P<text>.)", re.DOTALL
)
_GLOBS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_REMEDY = "correct the patterns of example_gen, or provide the file"


def parts(parameters: Parameters) -> list[Part]:
    """The parts of ExampleGen's work: what has no span, then the spans in the window, in order.

    A corpus without spans is one part, and its name is empty.

    Raises:
      ConfigError: a pattern's markers make no span, or a window is given and no pattern has one.
      DataError: there is no span in the window, one lacks a file, or a file's name is no date.
    """
    spanned = [p for files in parameters.groups().values() for p in files.patterns() if MARKER.search(p)]
    if not spanned:
        if parameters.window != Window():
            raise ConfigError(
                "example_gen.window is given, and no pattern has a span",
                "put {SPAN}, or {YYYY}, {MM} and {DD}, where the names of the files have it",
            )
        return [Part("", parameters)]
    found = {pattern: _find(pattern) for pattern in spanned}
    numbers = _in_window(sorted({number for spans in found.values() for number, _ in spans}), parameters)
    by_date = any("{YYYY}" in pattern for pattern in spanned)
    made = []
    if any(not MARKER.search(p) for files in parameters.groups().values() for p in files.patterns()):
        made.append(Part("no span", _part(parameters, Span(None), {})))
    for number in numbers:
        versions = [v for spans in found.values() for n, v in spans if n == number and v is not None]
        span = Span(number, max(versions, default=None))
        label = (EPOCH + datetime.timedelta(days=number)).isoformat() if by_date else str(number)
        name = f"span {label}" + (f" version {span.version}" if span.version is not None else "")
        made.append(Part(name, _part(parameters, span, _files_of(span, name, found))))
    return made


def _in_window(numbers: list[int], parameters: Parameters) -> list[int]:
    window = parameters.window
    first, last = window.bounds()
    inside = [n for n in numbers if (first is None or n >= first) and (last is None or n <= last)]
    if not inside:
        raise DataError(
            f"no span of the corpus is in the window: there are {_ranges(numbers) or 'none'}",
            "check example_gen's patterns and its window",
        )
    return inside[-window.newest :] if window.newest else inside


def _ranges(numbers: list[int]) -> str:
    """`1 to 4, 7`."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a} to {b}" for a, b in runs)


def _files_of(
    span: Span, name: str, found: dict[str, dict[tuple[int, int | None], list[str]]]
) -> dict[str, tuple[str, ...]]:
    """By pattern, the files of a span, of its newest version where the pattern has one."""
    files = {}
    for pattern, spans in found.items():
        version = span.version if "{VERSION" in pattern else None
        files[pattern] = tuple(spans.get((span.number or 0, version), ()))
        if not files[pattern]:
            raise DataError(f"{name}: no file matches {pattern}", _REMEDY)
    return files


def _part(parameters: Parameters, span: Span, files: dict[str, tuple[str, ...]]) -> SpanParameters:
    """The parameters of a part: of a span, its files for their patterns; else the patterns without a span."""

    def chosen(patterns: tuple[str, ...]) -> tuple[str, ...]:
        if span.number is None:
            return tuple(pattern for pattern in patterns if not MARKER.search(pattern))
        return tuple(path for pattern in patterns for path in files.get(pattern, ()))

    def replaced(given: Files) -> Files:
        return Files(**{name: chosen(getattr(given, name)) for name in given.__struct_fields__})

    changes: dict[str, object] = {"span": span, "window": Window()}
    if parameters.splits is None:
        changes |= msgspec.structs.asdict(replaced(parameters.everything()))
    else:
        given = parameters.splits
        splits = {name: replaced(getattr(given, name)) for name in given.__struct_fields__}
        changes["splits"] = msgspec.structs.replace(given, **splits)
    return SpanParameters(**(msgspec.structs.asdict(parameters) | changes))


# Patterns.


def _find(pattern: str) -> dict[tuple[int, int | None], list[str]]:
    """The files that match a pattern, sorted, by span and version."""
    expression = _expression(pattern)
    glob = MARKER.sub("*", pattern)
    found: dict[tuple[int, int | None], list[str]] = {}
    for path in reading.find(glob):
        if match := expression.fullmatch(path):
            version = match.groupdict().get("VERSION")
            key = (_number(match, path), None if version is None else int(version))
            found.setdefault(key, []).append(path)
    return found


def _number(match: re.Match[str], path: str) -> int:
    fields = match.groupdict()
    if "SPAN" in fields:
        return int(fields["SPAN"])
    try:
        date = datetime.date(*(int(fields[name]) for name in _DATE))
    except ValueError as error:
        raise DataError(
            f"{path}: its name is no date: {error}", "rename the file, or take it out of the folder"
        ) from error
    return (date - EPOCH).days


def _expression(pattern: str) -> re.Pattern[str]:
    """The regular expression of a pattern with spans, a named group for each marker.

    Raises:
      ConfigError: the markers in it make no span.
    """
    markers = {match[1] for match in MARKER.finditer(pattern)}
    if ("SPAN" in markers) == bool(markers & set(_DATE)) or markers & set(_DATE) not in (set(), set(_DATE)):
        raise ConfigError(
            f"example_gen: {pattern}: a span is {{SPAN}}, or {{YYYY}}, {{MM}} and {{DD}} together",
            "correct the pattern",
        )
    first = MARKER.search(pattern)
    prefix = literal_prefix(pattern[: first.start()] if first else pattern)
    return re.compile(re.escape(prefix) + "".join(_pieces(pattern.removeprefix(prefix))))


def _pieces(pattern: str) -> Iterator[str]:
    seen = set()
    for match in _TOKEN.finditer(pattern):
        if match["marker"]:
            name, width = match[2], match[3] or _DATE.get(match[2])
            yield f"(?P={name})" if name in seen else f"(?P<{name}>[0-9]{f'{{{width}}}' if width else '+'})"
            seen.add(name)
        elif match["glob"]:
            yield _GLOBS[match["glob"]]
        elif match["set"]:
            yield match["set"].replace("[!", "[^", 1)
        else:
            yield re.escape(match["text"])
