"""The input formats of ExampleGen."""

from __future__ import annotations

from bitext.components.example_gen.formats.auto import Auto
from bitext.components.example_gen.formats.base import Format
from bitext.components.example_gen.formats.columnar import Arrow, Parquet
from bitext.components.example_gen.formats.csv import Csv
from bitext.components.example_gen.formats.jsonl import JsonLines
from bitext.components.example_gen.formats.parallel import Parallel
from bitext.components.example_gen.formats.po import Po
from bitext.components.example_gen.formats.tmx import Tmx
from bitext.components.example_gen.formats.tsv import Tsv
from bitext.components.example_gen.formats.xliff import Xliff

_FORMATS: tuple[Format, ...] = (
    Tsv(),
    Csv(),
    Parallel(),
    JsonLines(),
    Parquet(),
    Arrow(),
    Tmx(),
    Xliff(),
    Po(),
)
"""To add a format, add it to this tuple."""
FORMATS: dict[str, Format] = {file_format.name: file_format for file_format in _FORMATS}
"""The formats by the value of `example_gen.format`."""
FORMATS[Auto.name] = Auto(FORMATS)
