"""Chooses the options of a corpus from what its files look like."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from bitext.components.example_gen import detection
from bitext.components.example_gen.detection import Detected
from bitext.components.example_gen.formats import content, text_columns
from bitext.components.example_gen.formats.languages import matches, primary
from bitext.components.shared import reading
from bitext.components.shared.display import path_text, shell_path
from bitext.components.shared.errors import DataError
from bitext.pipeline.scaffold import quoting
from bitext.pipeline.scaffold.aligned import aligned
from bitext.pipeline.scaffold.sides import Found, Options, as_in, po_languages

COLUMNS = ("source_column", "target_column")
LANGUAGES = ("source_language", "target_language")
_SHOWN = 8
_NO_CORPUS = re.compile(
    r"(?:.*/)?(?:\.[^./][^/]*|(?:readme|licen[cs]e|copying|changelog)[^/]*|.*\.(?:ids|scores|info|md))|__MACOSX/.*",
    re.IGNORECASE,
)
"""Files of an archive beside the sentences."""


def choose(paths: Sequence[str], source: str, target: str) -> list[Found]:
    """Looks at the files and decides how each is read.

    Files with one sentence a line are aligned with each other, two by two in the order given. A file that
    names the sides of the first file has its direction.

    Args:
      paths: files, or members of archives.
      source, target: the column or the language of each side; empty: the first and the second of those found.

    Raises:
      DataError: a file cannot be read or has no pairs, or a file with one sentence a line has no partner.
    """
    detected = _members(paths)
    for path, each in detected:
        if each.format == "json":
            raise content.json_error(each.head, path)
    sides = [(path, d) for path, d in detected if d.format == "parallel"]
    if len(sides) % 2:
        path, last = sides[-1]
        if last.irregular:
            raise DataError(
                f"cannot tell the columns of {path_text(path)}: {last.irregular}",
                "divide the columns of all lines by one tab; or, if it has one text a line, name the two"
                " aligned files, the source first: `bitext init corpus.en corpus.es`",
            )
        raise DataError(
            f"{path_text(path)} has one text a line and no columns, and there is no second file for it",
            "name the two aligned files, the source first: `bitext init corpus.en corpus.es`; if it has"
            " columns, write the configuration yourself, with example_gen.format and delimiter",
        )
    partners = {first[0]: second for first, second in zip(sides[::2], sides[1::2], strict=True)}
    found: list[Found] = []
    for path, each in detected:
        first = found[0] if found else None
        if each.format != "parallel":
            found.append(_single(path, quoting.as_read(path, each), source, target, first))
        elif path in partners:
            found.append(aligned((path, each), partners.pop(path), (source, target), first))
    return found


def _members(paths: Sequence[str]) -> list[tuple[str, Detected]]:
    """The files and what they are, with an archive replaced by its only file, or the two aligned files in it.

    Raises:
      DataError: a path matches no file, or an archive has other files, so that these must be named.
    """
    result = []
    remedy = "correct the path (relative paths start at the current folder)"
    for folder in paths:
        if os.path.isdir(folder):
            raise DataError(
                f"{path_text(folder)} is a folder", f"name the files in it: {shell_path(folder)}/*"
            )
    for path in (file for pattern in paths for file in reading.find_files(pattern, remedy)):
        detected = detection.describe(path)
        if detected.format != detection.ARCHIVE:
            result.append((path, detected))
            continue
        names = [name for name in detected.columns if not _NO_CORPUS.fullmatch(name)]
        members = [name for name in names if detection.language_of(name)]
        if len(members) != 2:
            members = names
        if not (len(members) == 1 or (len(members) == 2 and all(map(detection.language_of, members)))):
            more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
            raise DataError(
                f"{path_text(path)} is an archive of {len(detected.columns)} files:"
                f" {', '.join(map(path_text, names[:_SHOWN])) or 'none with sentences'}{more}",
                f"name those to read: bitext init '{path_text(path)}//MEMBER'",
            )
        files = [f"{path}//{name}" for name in members]
        result += [(file, detection.describe(file)) for file in files]
    return result


def _single(path: str, detected: Detected, source: str, target: str, first: Found | None) -> Found:
    options: Options = {"format": detected.format}
    if detected.encoding not in ("", "utf-8"):
        options["encoding"] = detected.encoding
    if detected.header:
        options["header"] = True
    if detected.format == "csv" and detected.delimiter != ",":
        options["delimiter"] = detected.delimiter
    languages, names, notes = ("", ""), ("", ""), detected.notes
    if detected.format in ("tmx", "xliff"):
        like, ordered = as_in(first, detected.languages)
        languages, unread = _languages(path, detected, (source, target), like)
        names, notes = languages, (*notes, *ordered)
        options |= {key: name for key, name in zip(LANGUAGES, languages, strict=True) if name}
        if unread:
            notes = (
                *notes,
                f"other languages, not read: {', '.join(unread)} (choose with --source, --target)",
            )
    elif detected.format == "po":
        languages = po_languages(path, detected.languages, source, target)
    else:
        named = detected.header or detected.format in ("jsonl", "parquet", "arrow")
        like, ordered = as_in(first, detected.columns if named else ())
        wanted = (source or like[0], target or like[1])
        candidates = _candidates(path, detected, all(wanted))
        if not any(wanted) and all(sides := text_columns.sides_by_name(candidates)):
            candidates = sides
        chosen = _two(path, candidates, *wanted, "column", detected.columns)
        names, notes = chosen if named else names, (*notes, *(ordered if like == chosen else ()))
        if named or chosen != ("0", "1"):
            options |= {key: name if named else int(name) for key, name in zip(COLUMNS, chosen, strict=True)}
        ends = [name.rpartition(".")[2] for name in chosen]
        if set(ends) <= set(detected.languages):
            languages = (ends[0], ends[1])
    options["files"] = [path]
    return Found(f"{path_text(path)}: {detected.in_words()}", options, languages, notes, names)


def _languages(
    path: str, detected: Detected, asked: tuple[str, str], like: tuple[str, str]
) -> tuple[tuple[str, str], tuple[str, ...]]:
    """The languages of source and target, and those that are not read.

    A language stands for its varieties (`en` for `en-US`), unless the file has several that stay apart. XLIFF
    need not name its languages.

    Args:
      asked: those that are asked for; empty: none.
      like: those of the first file, as this one names them; empty: none.
    """
    names = detected.languages
    source, target = asked
    if detected.format == "xliff" and len(names) < 2:
        return (source or "".join(names), target), ()
    if detected.format == "tmx" and not names:
        raise DataError(
            f"{path_text(path)}: no unit (tu) has a variant (tuv) that names its language with xml:lang",
            "name a file with a source and a target in each unit, or add xml:lang to its variants",
        )
    chosen = _two(path, names, source or like[0], target or like[1], "language")
    unread = tuple(name for name in names if not any(matches(side, name) for side in chosen))
    codes = [primary(name) for name in names]
    if codes.count(primary(chosen[0])) == 1 and not source:
        chosen = (primary(chosen[0]), chosen[1])
    if codes.count(primary(chosen[1])) == 1 and not target:
        chosen = (chosen[0], primary(chosen[1]))
    return chosen, () if source and target else unread


def _candidates(path: str, detected: Detected, is_chosen: bool) -> tuple[str, ...]:
    """The columns named by a language, or else those that look like text, if there are two; else all.

    Raises:
      DataError: neither are two, the file has more than two columns, and none are asked for.
    """
    by_language = tuple(c for c in detected.columns if c.strip().rpartition(".")[2] in detected.languages)
    for names in (tuple(c for c in by_language if c in detected.texts), by_language, detected.texts):
        if len(names) > 1:
            return names
    if len(detected.columns) > 2 and not is_chosen:
        raise DataError(
            f"{path_text(path)} has no two columns that look like sentences; its columns:"
            f" {', '.join(map(repr, detected.columns[:_SHOWN]))}; like sentences:"
            f" {', '.join(map(repr, detected.texts)) or 'none'}",
            "name both columns with --source and --target, or name a file with a source and a target in each"
            " row",
        )
    return detected.columns


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
        matches.sort(key=lambda name: name != wanted)
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
