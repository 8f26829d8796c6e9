"""The rule for names that are in paths, ids and messages."""

from __future__ import annotations

import msgspec


def name_rule(most: int) -> msgspec.Meta:
    """Letters, digits, `_`, `.` and `-`, with a letter or a digit first.

    Args:
      most: the most characters.
    """
    return msgspec.Meta(
        pattern=rf"^[A-Za-z0-9][A-Za-z0-9_.-]{{0,{most - 1}}}$",
        description=f"letters, digits, `_`, `.` and `-`, at most {most}, with a letter or a digit first",
    )
