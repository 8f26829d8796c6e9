"""The input formats of ExampleGen."""

from __future__ import annotations

from bitext.components.example_gen.formats.base import Format
from bitext.components.example_gen.formats.csv import Csv
from bitext.components.example_gen.formats.parallel import Parallel
from bitext.components.example_gen.formats.tsv import Tsv

FORMATS: dict[str, Format] = {one.name: one for one in (Tsv(), Csv(), Parallel())}
"""By the value of `example_gen.format`. A new format is one more entry of this tuple."""
