"""Warns of lines that look out of step, and stops if they are too many.

`alignment` compares the lines with the other lines of their file. `whole_file` compares the file with chance:
sides that agree nowhere may also be free or made-up pairs, so it gives a warning only.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from bitext.components.component import Context
from bitext.components.example_gen import whole_file
from bitext.components.example_gen.alignment import GROUP, Groups, OutOfStep, concatenate, find
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError
from bitext.components.shared.packing import pack, unpack

_COUNT = "out_of_step/"
_DOUBT = "doubt/"
"""The prefixes of the names of counts: of lines that `alignment` found, and that `whole_file` found."""
_MORE_ROWS, _MORE_SEQUENCES = "more_out_of_step/rows", "more_out_of_step/sequences"
"""Counts of the sequences that `alignment` found in a part of a file beside the first `_SHOWN`."""
_SHOWN = 10
MOST_GROUPS = 400_000
"""A file with more groups (10 million rows) is judged in parts of so many, each like a file."""
PackedGroups: TypeAlias = tuple[int, bytes]
"""The number of the first line of a block, and its packed groups."""


def pack_groups(groups: Groups) -> PackedGroups:
    """Packs the groups of a block, at least one."""
    columns: dict[str, Any] = {}
    for field in dataclasses.fields(Groups):
        value = getattr(groups, field.name)
        columns |= (
            {f"{field.name}{i}": part for i, part in enumerate(value)}
            if isinstance(value, tuple)
            else {field.name: value}
        )
    return int(groups.first[0]), pack(columns)


def _unpack_groups(packed: bytes) -> Groups:
    columns: dict[str, Any] = unpack(packed)
    for name in ("same", "chance", "most"):
        columns[name] = columns.pop(f"{name}0"), columns.pop(f"{name}1")
    return Groups(**columns)


def part_of(block: PackedGroups) -> int:
    """The number of the part of its file in which a block begins."""
    return (block[0] - 1) // (MOST_GROUPS * GROUP)


def _in_parts(blocks: Iterable[PackedGroups]) -> Iterator[Groups]:
    """The groups of each part."""
    for _, of_part in itertools.groupby(sorted(blocks), part_of):
        yield concatenate([_unpack_groups(packed) for _, packed in of_part])


def count(group: tuple[tuple[int, int], Iterable[PackedGroups]], files: Sequence[SourceFile]) -> Counter[str]:
    """Judges the groups of a file, or of a part of it.

    Args:
      group: index of the file and number of the part, and the packed groups of blocks in any order.
      files: all files.

    Returns:
      For each sequence that looks out of step, the number of its rows, by a name that describes it.
    """
    (index, _), blocks = group
    file = files[index]
    names = " and ".join(path_text(path) for path in (file.path, file.target_path) if path is not None)
    counts: Counter[str] = Counter()
    for groups in _in_parts(blocks):
        found, doubtful = find(groups), whole_file.find(groups)
        is_doubtful = sum(part.rows for part in doubtful) > sum(part.rows for part in found)
        for part in (doubtful if is_doubtful else found)[:_SHOWN]:
            name = json.dumps([index, part.first, _describe(part, names)])
            counts[(_DOUBT if is_doubtful else _COUNT) + name] = part.rows
        if not is_doubtful and found[_SHOWN:]:
            counts[_MORE_ROWS] += sum(part.rows for part in found[_SHOWN:])
            counts[_MORE_SEQUENCES] += len(found) - _SHOWN
    return counts


def _describe(part: OutOfStep, names: str) -> str:
    detail = f"the lengths correlate by {part.correlation:.2f}"
    if part.usual > part.correlation + 0.1:
        detail += f", in the file by {part.usual:.2f}"
    if part.shift:
        plural = "s" * (abs(part.shift) > 1)
        detail += f"; the translations seem to be {abs(part.shift)} row{plural} "
        detail += "above" if part.shift < 0 else "below"
    return f"lines {part.first:,} to {part.last:,} of {names} look out of step ({detail})"


def check(counts: Counter[str], rows: int, most: float, context: Context) -> None:
    """Prints a warning for each sequence of lines that looks out of step.

    Args:
      counts: counts of `count`, among others.
      rows: number of all rows.
      most: the limit, `example_gen.max_out_of_step_share`.
      context: prints the warnings.

    Raises:
      DataError: their share of the rows is over the limit.
    """
    found = _sorted(counts, _COUNT)
    messages = [message for _, _, message in found[:_SHOWN]]
    more = len(found[_SHOWN:]) + counts[_MORE_SEQUENCES]
    if more:
        messages.append(f"{more:,} more sequence{'s' * (more > 1)} of lines look out of step")
    out_of_step = counts[_MORE_ROWS]
    out_of_step += sum(number for name, number in counts.items() if name.startswith(_COUNT))
    if out_of_step > most * rows:
        raise DataError(
            f"{out_of_step:,} of {rows:,} rows ({out_of_step / rows:.1%}) look out of step, over"
            f" max_out_of_step_share {most:.1%}: source and target no longer correspond:\n"
            + "\n".join(f"  {message}" for message in messages),
            "compare both sides at the first of these lines: a line is missing or is one too many there, or"
            " one side is in another order; or raise example_gen.max_out_of_step_share if they do correspond",
        )
    for message in messages:
        context.say(f"warning: {message}")
    doubtful = _sorted(counts, _DOUBT)
    for _, _, message in doubtful[:_SHOWN]:
        context.say(
            f"warning: {message}; most of the file agrees no better than by chance: compare both sides"
        )


def _sorted(counts: Counter[str], prefix: str) -> list[tuple[int, int, str]]:
    """The index of the file, the first line and the message of each sequence of lines, in order."""
    return sorted(json.loads(name.removeprefix(prefix)) for name in counts if name.startswith(prefix))
