"""Finds the source files of a corpus, and checks them before they are read."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from bitext.components.example_gen import Parameters, as_part
from bitext.components.example_gen.files import Files
from bitext.components.example_gen.formats import FORMATS, guards
from bitext.components.example_gen.formats.auto import Auto
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.example_gen.rows import Rows
from bitext.components.shared.display import path_text, quoted
from bitext.components.shared.errors import DataError
from bitext.components.shared.reading import Stamp, file_stamp, remote_stamp
from bitext.components.shared.storage import is_remote

SHOWN_FILES = 3
_MOST_SHOWN = 60


def find_source_files(
    parameters: Parameters, files_by_split: Mapping[str | None, Files] | None = None
) -> list[SourceFile]:
    """Finds the files that the configuration names, and runs all checks that do not parse rows.

    Args:
      parameters: the parameters of ExampleGen.
      files_by_split: the files of each split; by default `parameters.files_by_split()`.

    Raises:
      DataError: a pattern matches no file, a file is in two splits, a header lacks a column, or aligned files
        have different numbers of lines.
    """
    file_format = FORMATS[parameters.format]
    split_of_path: dict[str, str | None] = {}
    target_of_path: dict[str, str | None] = {}
    for split, files in (files_by_split or parameters.files_by_split()).items():
        for path, target in file_format.find(files):
            if path in split_of_path:
                raise DataError(
                    f"{path_text(path)} is given twice: for {split_of_path[path]} and {split}",
                    "name the file in one split of example_gen.splits only",
                )
            split_of_path[path], target_of_path[path] = split, target
    prefix = _label_prefix(parameters)
    name_counts = Counter(map(_name, split_of_path))
    return [
        SourceFile(
            index=index,
            label=prefix + (_name(path) if name_counts[_name(path)] == 1 else path_text(path)),
            path=path,
            target_path=target_of_path[path],
            split=split,
            stamps=_stamps(path, target_of_path[path]),
            columns=file_format.inspect(path, target_of_path[path], parameters),
            numbered=file_format.numbered(path),
        )
        for index, (path, split) in enumerate(split_of_path.items())
    ]


def recognized_formats(files: Sequence[SourceFile], parameters: Parameters) -> Iterator[str]:
    """What `format: auto` recognized, one line for each format; nothing for other formats."""
    file_format = FORMATS[parameters.format]
    if not isinstance(file_format, Auto):
        return
    by_format: dict[str, list[str]] = {}
    for file in files:
        if words := file_format.recognized(file):
            by_format.setdefault(words, []).append(path_text(file.path))
    for words, paths in by_format.items():
        more = f" and {len(paths) - SHOWN_FILES:,} more" if len(paths) > SHOWN_FILES else ""
        yield f"recognized as {words}: {', '.join(paths[:SHOWN_FILES])}{more}"


def doubtful_headers(files: Sequence[SourceFile], parameters: Parameters) -> Iterator[str]:
    """Warnings of files whose first row is left out as a header and does not look like one.

    With `header: true` and columns by number, the header is not looked at otherwise.
    """
    if not parameters.header:
        return
    warnings = []
    for file in files:
        cells = FORMATS[parameters.format].header_cells(file, parameters)
        if any(map(str.strip, cells)) and not guards.may_be_header(cells):
            shown = " and ".join(quoted(cell[:_MOST_SHOWN]) for cell in cells)
            warnings.append(
                f"warning: {path_text(file.path)}: the first row is taken as the header: {shown}; if it is a"
                " sentence pair, set example_gen.header to false"
            )
    yield from warnings[:SHOWN_FILES]
    if more := len(warnings[SHOWN_FILES:]):
        yield f"warning: so are the first rows of {more:,} more {'file' if more == 1 else 'files'}"


def _name(path: str) -> str:
    return path_text(path.rpartition("/")[2])


def _label_prefix(parameters: Parameters) -> str:
    """The first part of the labels of a part's files: `europarl/span-7/`, `span-7-v2/`; "" if it is all."""
    part = as_part(parameters)
    corpus = f"{part.corpus}/" if part.corpus else ""
    if part.span is None or part.span.number is None:
        return corpus
    version = "" if part.span.version is None else f"-v{part.span.version}"
    return f"{corpus}span-{part.span.number}{version}/"


def read_rows(file: SourceFile, parameters: Parameters) -> Iterator[Rows]:
    """The rows of a file, without its header, in order and in blocks.

    Raises:
      DataError: the file cannot be read, or has changed since `find_source_files` inspected it.
    """
    try:
        yield from FORMATS[parameters.format].rows(file, parameters)
    except DataError:
        _check_unchanged(file)
        raise
    _check_unchanged(file)


def _stamps(path: str, target_path: str | None) -> tuple[Stamp | None, Stamp | None]:
    return file_stamp(path), None if target_path is None else file_stamp(target_path)


def with_remote_stamps(file: SourceFile) -> SourceFile:
    """The file with stamps also of remote paths. The parts of a file must be those of one content."""
    paths = (file.path, file.target_path)
    source, target = (
        remote_stamp(path) if path is not None and is_remote(path) else stamp
        for path, stamp in zip(paths, file.stamps, strict=True)
    )
    return dataclasses.replace(file, stamps=(source, target))


def _check_unchanged(file: SourceFile) -> None:
    """Checks that no program has written into a file, or replaced it, while it was read.

    Its last line may be incomplete, and the lines of two aligned files may have been read at different times.
    """
    for path, before in zip((file.path, file.target_path), file.stamps, strict=True):
        if path is None or before is None:
            continue
        after = (remote_stamp if is_remote(path) else file_stamp)(path)
        if before == after:
            continue
        if after is None:
            now = "it was removed"
        elif before[0] == after[0]:
            now = "its content was replaced"
        else:
            now = f"it had {before[0]:,} bytes, and has {after[0]:,} now"
        raise DataError(
            f"{path_text(path)} changed while it was read: {now}",
            "run it again when no program writes into this file, or give a copy of it; the workers of a Beam"
            " engine must see it under the same path",
        )
