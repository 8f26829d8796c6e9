"""Describes values, and rewords the validation messages of msgspec, for users."""

from __future__ import annotations

import re
from typing import Any

from bitext.pipeline.config import field_types

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
NUMBERS = {int: "int", float: "float"}
_HINTS = (
    ("int|float", r"[-+]?0[0-9_]+", "a number has no leading zero"),
    ("int|float", r"[-+]?[0-9][0-9_]*_[0-9_.]*", "a number has no underscores"),
    ("int|float", r"[-+]?0[xob][0-9A-Fa-f_]+", "write the number in decimal"),
    ("bool", r"(?i:y|yes|on|n|no|off)", "write true or false"),
    ("null", r"~", "write null"),
)


def spelled(key: str) -> str:
    """Returns a dotted key as messages spell it: `severities.0.check` is `severities[0].check`."""
    return re.sub(r"\.(\d+)(?=\.|$)", r"[\1]", key)


def describe_value(value: Any, written: str = "") -> str:
    """Returns a value with its type, for a message.

    Args:
      value: the value.
      written: a number as the configuration writes it; empty: as Python writes it.
    """
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a section of keys and values"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"the text {value!r}" if isinstance(value, str) else f"the number {written or value}"


def reword(message: str, received: Any, kind: Any, written: str = "") -> str:
    """Returns a validation message of msgspec in the words of this project.

    Args:
      message: msgspec's, without the path.
      received: the value that was refused.
      kind: the type of the field; None: unknown.
      written: the value as the configuration writes it, if it is not text.
    """
    description = describe_value(received, written)
    if match := re.fullmatch(r"Object contains unknown field `([^`]+)`", message):
        return f"has no key {match[1]}"
    if message == "Expected `str` of length >= 1":
        return "must not be empty"
    if match := re.fullmatch(r"Expected `([^`]+)`, got `([^`]+)`", message):
        kinds = [kind.strip() for kind in match[1].split("|")]
        choices = field_types.choices(kind)
        hint = _hint([kind for kind in kinds if not choices or kind != "str"], received)
        return f"must be {_allowed(kinds, choices)}; received {description}{hint}"
    if message.startswith("Invalid enum value"):
        numbers = [NUMBERS[kind] for kind in field_types.alternatives(kind) if kind in NUMBERS]
        allowed = _allowed(numbers, field_types.choices(kind))
        return f"must be {allowed}; received {description}{_hint(numbers, received)}"
    constraint = _allowed_by(message, kind)
    return message if constraint is None else f"must be {constraint}; received {description}"


def _allowed(kinds: list[str], choices: list[str]) -> str:
    """Returns the values that msgspec's names of types and the choices of a field allow."""
    words = [TYPE_WORDS.get(kind, kind) for kind in kinds if not (choices and kind == "str")]
    return " or ".join([*choices, *words])


def _allowed_by(message: str, kind: Any) -> str | None:
    """Returns the values that a message of msgspec says are allowed; None: it says something else."""
    meta = field_types.constraints(kind)
    if message.startswith("Expected `str` matching regex") and meta and meta.description:
        return meta.description
    if message == "Expected `str` of length <= 1":
        return "one character"
    if match := re.fullmatch(r"Expected `([^`]+)` (.+)", message):
        return f"{TYPE_WORDS.get(match[1], match[1])} {match[2]}"
    if message == "Invalid RFC3339 encoded date":
        others = {int: "int", type(None): "null"}
        kinds = [others[kind] for kind in field_types.alternatives(kind) if kind in others]
        return " or ".join(["a date that exists (YYYY-MM-DD)", *(TYPE_WORDS[kind] for kind in kinds)])
    return None


def _hint(kinds: list[str], received: Any) -> str:
    """Returns how to write the value that was probably meant; empty if there is no hint."""
    if "str" in kinds and isinstance(received, bool | int | float):
        return " (in quotes it is text)"
    if not isinstance(received, str):
        return ""
    if "array" in kinds:
        return f" (write [{received}])"
    for expected, pattern, hint in _HINTS:
        if set(expected.split("|")) & set(kinds) and re.fullmatch(pattern, received):
            return f" ({hint})"
    return ""
