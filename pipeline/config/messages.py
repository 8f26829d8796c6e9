"""Describes values, and rewords the validation messages of msgspec, for users."""

from __future__ import annotations

import re
from typing import Any

TYPE_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "bool": "true or false",
    "array": "a list",
    "object": "a section of keys and values",
    "null": "nothing",
    "date": "a date",
}
_HINTS = (
    ("int|float", r"[-+]?0[0-9_]+", "a number has no leading zero"),
    ("int|float", r"[-+]?[0-9][0-9_]*_[0-9_.]*", "a number has no underscores"),
    ("int|float", r"[-+]?0[xob][0-9A-Fa-f_]+", "write the number in decimal"),
    ("bool", r"(?i:y|yes|on|n|no|off)", "write true or false"),
    ("null", r"~", "write null"),
)


def describe_value(value: Any) -> str:
    """Returns a value with its type, for a message."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a section of keys and values"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"the text {value!r}" if isinstance(value, str) else f"the number {value}"


def reword(message: str, received: Any, choices: list[str]) -> str:
    """Returns a validation message of msgspec in the words of this project.

    Args:
      message: msgspec's, without the path.
      received: the value that was refused.
      choices: the allowed values, if the field is a choice.
    """
    if match := re.fullmatch(r"Expected `([^`]+)`, got `([^`]+)`", message):
        kinds = [kind.strip() for kind in match[1].split("|")]
        if choices and "str" in kinds:
            kinds.remove("str")
        words = [*choices, *(TYPE_WORDS.get(kind, kind) for kind in kinds)]
        hint = _hint(kinds, received)
        return f"must be {' or '.join(words)}; received {describe_value(received)}{hint}"
    if match := re.fullmatch(r"Expected `([^`]+)` (.+)", message):
        return f"must be {TYPE_WORDS.get(match[1], match[1])} {match[2]}; received {describe_value(received)}"
    if message.startswith("Invalid enum value"):
        return f"must be {' or '.join(choices)}; received {describe_value(received)}"
    if match := re.fullmatch(r"Object contains unknown field `([^`]+)`", message):
        return f"has no key {match[1]}"
    return message


def _hint(kinds: list[str], received: Any) -> str:
    """Returns how to write the value that was probably meant; empty if there is no hint."""
    if not isinstance(received, str):
        return ""
    for expected, pattern, hint in _HINTS:
        if set(expected.split("|")) & set(kinds) and re.fullmatch(pattern, received):
            return f" ({hint})"
    return ""
