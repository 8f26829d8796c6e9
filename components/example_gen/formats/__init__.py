"""The input formats of ExampleGen."""

from __future__ import annotations

from bitext.components.example_gen.formats.base import Format
from bitext.components.example_gen.formats.csv import Csv
from bitext.components.example_gen.formats.parallel import Parallel
from bitext.components.example_gen.formats.tsv import Tsv

FORMATS: dict[str, Format] = {file_format.name: file_format for file_format in (Tsv(), Csv(), Parallel())}
"""The formats by the value of `example_gen.format`. To add a format, add it to this tuple."""
