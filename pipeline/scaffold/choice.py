"""Chooses the options of a corpus from what its files look like."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from bitext.components.example_gen import detection
from bitext.components.example_gen.detection import Detected
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

Options = dict[str, Any]
"""Values of `example_gen` by key."""
COLUMNS = ("source_column", "target_column")
LANGUAGES = ("source_language", "target_language")


@dataclasses.dataclass(frozen=True)
class Found:
    """A file, or two aligned files, and how to read them.

    Attributes:
      title: the names and the format, in words.
      options: how to read it, as values of `example_gen`.
      languages: the language codes of source and target; empty: not known.
      notes: what else a person should know.
    """

    title: str
    options: Options
    languages: tuple[str, str]
    notes: tuple[str, ...]


def choose(paths: Sequence[str], source: str, target: str) -> list[Found]:
    """Looks at the files and decides how each is read.

    Files with one sentence a line are aligned with each other, two by two in the order given.

    Args:
      paths: files, or members of archives.
      source, target: the column or the language of each side; empty: the first and the second of those found.

    Raises:
      DataError: a file cannot be read or has no pairs, or a file with one sentence a line has no partner.
    """
    detected = _members(paths)
    sides = [(path, d) for path, d in detected if d.format == "parallel"]
    found = [_single(path, d, source, target) for path, d in detected if d.format != "parallel"]
    if len(sides) % 2:
        path, _ = sides[-1]
        raise DataError(
            f"{path_text(path)} has one text a line and no columns, and there is no second file for it",
            "name the two aligned files, the source first: `bitext init corpus.en corpus.es`; if it has"
            " columns, write the configuration yourself, with example_gen.format and delimiter",
        )
    pairs = zip(sides[::2], sides[1::2], strict=True)
    return found + [_aligned(first, second, source) for first, second in pairs]


def _members(paths: Sequence[str]) -> list[tuple[str, Detected]]:
    """The files and what they are, with an archive replaced by the two aligned files in it.

    Raises:
      DataError: an archive has other files, so that these must be named.
    """
    result = []
    for path in paths:
        detected = detection.describe(path)
        if detected.format != detection.ARCHIVE:
            result.append((path, detected))
            continue
        members = [name for name in detected.columns if detection.language_of(name)]
        if len(members) != 2:
            shown = ", ".join(map(path_text, detected.columns[:8]))
            raise DataError(
                f"{path_text(path)} is an archive of {len(detected.columns)} files: {shown}",
                f"name those to read: bitext init '{path_text(path)}//MEMBER'",
            )
        files = [f"{path}//{name}" for name in members]
        result += [(file, detection.describe(file)) for file in files]
    return result


def _single(path: str, detected: Detected, source: str, target: str) -> Found:
    options: Options = {"format": detected.format}
    if detected.encoding not in ("", "utf-8"):
        options["encoding"] = detected.encoding
    if detected.header:
        options["header"] = True
    if detected.format == "csv" and detected.delimiter != ",":
        options["delimiter"] = detected.delimiter
    languages = ("", "")
    if detected.format in ("tmx", "xliff"):
        languages = _two(path, detected.languages, source, target, "language")
        options |= dict(zip(LANGUAGES, languages, strict=True))
    elif detected.format != "po":
        named = detected.header or detected.format in ("jsonl", "parquet", "arrow")
        candidates = _language_columns(detected) if named else detected.columns
        chosen = _two(path, candidates, source, target, "column", detected.columns)
        if named or chosen != ("0", "1"):
            options |= {key: name if named else int(name) for key, name in zip(COLUMNS, chosen, strict=True)}
        ends = [name.rpartition(".")[2] for name in chosen]
        if set(ends) <= set(detected.languages):
            languages = (ends[0], ends[1])
    options["files"] = [path]
    return Found(f"{path_text(path)}: {detected.in_words()}", options, languages, detected.notes)


def _language_columns(detected: Detected) -> tuple[str, ...]:
    """The columns that are named by a language, if there are two; else all."""
    named = tuple(c for c in detected.columns if c.strip().rpartition(".")[2] in detected.languages)
    return named if len(named) > 1 else detected.columns


def _two(
    path: str,
    candidates: Sequence[str],
    source: str,
    target: str,
    kind: str,
    all_names: Sequence[str] = (),
) -> tuple[str, str]:
    """The source and the target among columns or languages: as asked for, else the first two.

    Raises:
      DataError: what is asked for is not there, or there are no two.
    """
    names = list(all_names or candidates)
    chosen = []
    for wanted, option in ((source, "--source"), (target, "--target")):
        matches = [n for n in names if wanted in (n, n.rpartition(".")[2]) or n.startswith(f"{wanted}-")]
        if wanted and not matches:
            raise DataError(
                f"{path_text(path)} has no {kind} {wanted!r}; it has {', '.join(names) or 'none'}",
                f"name one of them with {option}",
            )
        chosen.append(matches[0] if wanted else "")
    free = [name for name in candidates if name not in chosen]
    for index in (0, 1):
        if not chosen[index] and free:
            chosen[index] = free.pop(0)
    if "" in chosen:
        raise DataError(
            f"{path_text(path)} has no two {kind}s with text: {', '.join(names) or 'none'}",
            "name a file with a source and a target in each row",
        )
    return chosen[0], chosen[1]


def _aligned(first: tuple[str, Detected], second: tuple[str, Detected], source: str) -> Found:
    if source and source == detection.language_of(second[0]):
        first, second = second, first
    (source_path, one), (target_path, other) = first, second
    options: Options = {"format": "parallel"}
    if one.encoding == other.encoding != "utf-8":
        options["encoding"] = one.encoding
    elif one.encoding != other.encoding:
        raise DataError(
            f"{path_text(source_path)} is {one.encoding}, and {path_text(target_path)} is {other.encoding}",
            "convert one of them: iconv -f FROM -t UTF-8 FILE > NEW",
        )
    options |= {"source_files": [source_path], "target_files": [target_path]}
    languages = (detection.language_of(source_path), detection.language_of(target_path))
    title = f"{path_text(source_path)} and {path_text(target_path)}: two aligned files"
    return Found(title, options, languages if all(languages) else ("", ""), (*one.notes, *other.notes))
