"""The source files of a corpus: which they are, and what is checked before they are read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from bitext.components.example_gen import Parameters, span_of
from bitext.components.example_gen.files import Files
from bitext.components.example_gen.formats import FORMATS
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.example_gen.rows import Rows
from bitext.components.shared.errors import DataError


def find(parameters: Parameters, groups: Mapping[str | None, Files] | None = None) -> list[SourceFile]:
    """The files that the configuration names, after all checks that need no parsing of the rows.

    Args:
      parameters: the parameters of ExampleGen.
      groups: the files of each split; None for those of the corpus (`parameters.groups()`).

    Raises:
      DataError: a pattern matches no file, a file is in two splits, a header lacks a column, or aligned files
        have different numbers of lines.
    """
    file_format = FORMATS[parameters.format]
    splits: dict[str, str | None] = {}
    targets: dict[str, str | None] = {}
    for split, files in (groups or parameters.groups()).items():
        for path, target in file_format.find(files):
            if path in splits:
                raise DataError(
                    f"{path} is given twice: for {splits[path]} and {split}",
                    "name the file in one split of example_gen.splits only",
                )
            splits[path], targets[path] = split, target
    prefix = _label_prefix(parameters)
    name_counts = Counter(map(_name, splits))
    return [
        SourceFile(
            index=index,
            label=prefix + (_name(path) if name_counts[_name(path)] == 1 else path),
            path=path,
            target_path=targets[path],
            split=split,
            columns=file_format.inspect(path, targets[path], parameters),
        )
        for index, (path, split) in enumerate(splits.items())
    ]


def _name(path: str) -> str:
    return path.rpartition("/")[2]


def _label_prefix(parameters: Parameters) -> str:
    """What the labels of a span's files begin with: `span-7/`, `span-7-v2/`; "" without a span."""
    span = span_of(parameters)
    if span is None or span.number is None:
        return ""
    return f"span-{span.number}/" if span.version is None else f"span-{span.number}-v{span.version}/"


def read(file: SourceFile, parameters: Parameters) -> Iterator[Rows]:
    """The rows of a file, without its header, in order and in blocks.

    Raises:
      DataError: the file cannot be read.
    """
    return FORMATS[parameters.format].rows(file, parameters)
