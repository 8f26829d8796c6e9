"""Reads files as ExampleGen does, for tests of formats."""

from __future__ import annotations

from pathlib import Path

from bitext.components.example_gen import Parameters
from bitext.components.example_gen.filters import REASONS, filter_rows
from bitext.components.example_gen.sources import find_source_files, read_rows


def read(*paths: Path, **options) -> list[tuple[int, str | None, str | None, str]]:
    """(line, source, target, reason) of every row of a file, or of two aligned files."""
    files = {"files": (str(paths[0]),)}
    if len(paths) == 2:
        files = {"source_files": (str(paths[0]),), "target_files": (str(paths[1]),)}
    parameters = Parameters(**files, **options)
    rows = []
    for file in find_source_files(parameters):
        for block in read_rows(file, parameters):
            filtered = filter_rows(block, parameters)
            for row in range(len(block.line)):
                sides = (filtered.source[row].as_py(), filtered.target[row].as_py())
                reason = filtered.details.get(row, "")
                rows.append((int(block.line[row]), *sides, reason))
    return rows


def read_reasons(path: Path, **options) -> list[tuple[int, str, str, str]]:
    """(line, source, target, reason) of every row of a file; rejected rows have their texts, too."""
    parameters = Parameters(files=(str(path),), **options)
    rows = []
    for file in find_source_files(parameters):
        for block in read_rows(file, parameters):
            filtered = filter_rows(block, parameters)
            for row in range(len(block.line)):
                code = int(filtered.reason[row])
                sides = [
                    (side[row].as_py() or b"").decode("utf-8", "backslashreplace") for side in block.sides
                ]
                rows.append((int(block.line[row]), sides[0], sides[1], REASONS[code - 1] if code else ""))
    return rows
