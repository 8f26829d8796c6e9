"""Folders that are named by a number: versions of a served model, and outputs of an execution."""

from __future__ import annotations

import re

HIGHEST = 2**63 - 1
"""The highest number: TensorFlow Serving and ML Metadata store it in 64 bits with a sign."""
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
_READ_BY_A_SERVER = re.compile(r"[ \t\n\v\f\r]*\+?0*([0-9]{1,19})[ \t\n\v\f\r]*")


def folder_number(name: str) -> int | None:
    """Returns the number that a name spells; None if the name is none that this program gives to a folder.

    A number has ASCII digits without leading zeros and is at most `HIGHEST`. So `str` gives the name back,
    and no two names have the same number.
    """
    return _in_range(int(name)) if _NUMBER.fullmatch(name) else None


def number_for_a_server(name: str) -> int | None:
    """Returns the version that TensorFlow Serving reads in a folder's name; None if it ignores the folder.

    It accepts leading zeros, a plus sign and blanks as well (`absl::SimpleAtoi`).
    """
    match = _READ_BY_A_SERVER.fullmatch(name)
    return _in_range(int(match[1])) if match else None


def _in_range(number: int) -> int | None:
    return number if number <= HIGHEST else None
