"""The format of each file is recognized by its first bytes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from bitext.components.example_gen.formats import base, content, decoding
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

if TYPE_CHECKING:
    from bitext.components.example_gen.files import Files
    from bitext.components.example_gen.rows import Rows


@dataclasses.dataclass(frozen=True)
class _Options:
    """The options of a file: those that are given, with what was recognized."""

    header: bool
    delimiter: str
    source_column: int | str
    target_column: int | str
    encoding: str
    source_language: str | None
    target_language: str | None
    inline_markup: str


class Auto(base.Format):
    """Recognizes the format of each file. Options that are given are read by the formats that have them.

    Args:
      formats: the formats that files may have, by name.
    """

    name = "auto"
    fields_read = ("files",)
    keys_of_layout = ("format", "source_column", "target_column")
    options_read = frozenset(base.DEFAULTS)

    def __init__(self, formats: Mapping[str, base.Format]):
        self._formats = formats

    def fields_for(self, files: Files) -> tuple[str, ...]:
        """`files`, or `source_files` and `target_files`."""
        return self._by_fields(files).fields_read

    def check_options(self, options: base.FormatOptions) -> None:
        """Checks nothing: the format of a file is not yet known."""

    def find(self, files: Files) -> list[base.Paths]:
        """The matched files."""
        return self._by_fields(files).find(files)

    def _by_fields(self, files: Files) -> base.Format:
        return self._formats["parallel" if files.source_files or files.target_files else "tsv"]

    def inspect(self, path: str, target_path: str | None, options: base.FormatOptions) -> tuple[int, int]:
        """Checks a file as the format that was recognized."""
        file_format, recognized = self._resolve(path, target_path, options)
        return file_format.inspect(path, target_path, recognized)

    def rows(self, file: base.SourceFile, options: base.FormatOptions) -> Iterator[Rows]:
        """The rows of a file."""
        file_format, recognized = self._resolve(file.path, file.target_path, options)
        yield from file_format.rows(file, recognized)

    def is_divisible(self, file: base.SourceFile, options: base.FormatOptions) -> bool:
        """Whether the format that is recognized divides the file."""
        file_format, recognized = self._resolve(file.path, file.target_path, options)
        return file_format.is_divisible(file, recognized)

    def counter(self, file: base.SourceFile, options: base.FormatOptions) -> base.Format:
        """The format that is recognized."""
        return self._resolve(file.path, file.target_path, options)[0]

    def header_cells(self, file: base.SourceFile, options: base.FormatOptions) -> tuple[str, ...]:
        """The cells of the header of a file, in the format that is recognized."""
        file_format, recognized = self._resolve(file.path, file.target_path, options)
        return file_format.header_cells(file, recognized)

    def numbered(self, path: str) -> str:
        """What the numbers of the rows of a file count, in the format that is recognized."""
        from bitext.components.example_gen import detection

        file_format = self._formats.get(detection.describe(path).format)
        return file_format.numbered(path) if file_format else super().numbered(path)

    def recognized(self, file: base.SourceFile) -> str:
        """What was recognized, in words; empty for aligned files."""
        from bitext.components.example_gen import detection

        return "" if file.target_path else detection.describe(file.path).in_words()

    def _resolve(
        self, path: str, target_path: str | None, options: base.FormatOptions
    ) -> tuple[base.Format, base.FormatOptions]:
        from bitext.components.example_gen import detection

        given: dict[str, Any] = {key: getattr(options, key) for key in base.DEFAULTS}
        if target_path is not None:
            return self._formats["parallel"], self._of_format(self._formats["parallel"], given, path)
        detected = detection.describe(path)
        if detected.format not in self._formats or detected.format == "parallel":
            raise _unknown(path, detected)
        if decoding.is_utf8(given["encoding"]) and detected.encoding and decoding.is_wide(detected.encoding):
            given["encoding"] = detected.encoding
        if detected.delimiter and given["delimiter"] == base.DEFAULTS["delimiter"]:
            given["delimiter"] = detected.delimiter
        given["header"] = given["header"] or detected.header
        return self._formats[detected.format], self._of_format(self._formats[detected.format], given, path)

    def _of_format(self, file_format: base.Format, given: dict[str, Any], path: str) -> base.FormatOptions:
        read: dict[str, Any] = {
            key: given[key] if key in file_format.options_read else base.DEFAULTS[key] for key in given
        }
        options = _Options(**read)
        try:
            file_format.check_options(options)
        except ValueError as error:
            raise DataError(
                f"{path_text(path)} was recognized as {file_format.name}: {error}",
                "correct the keys of example_gen that this names",
            ) from error
        return options


def _unknown(path: str, detected: Any) -> DataError:
    name = path_text(path)
    if detected.format == "parallel":
        return DataError(
            f"cannot tell the format of {name}: {detected.irregular or 'its lines have no columns'}",
            "set example_gen.format; or name two aligned files in example_gen.source_files and target_files",
        )
    if detected.format == "json":
        return content.json_error(detected.head, path)
    members = ", ".join(map(path_text, detected.columns[:5]))
    return DataError(
        f"cannot read {name}: it is an archive of {members or 'no files'}",
        "name files in it, as ARCHIVE//MEMBER (globs are allowed)",
    )
