"""A function that changes nested configuration structs."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

T = TypeVar("T", bound=msgspec.Struct)


def changed(struct: T, **changes: Any) -> T:
    """Returns a struct with changed fields. A dictionary changes fields of a nested struct."""
    values = {
        name: changed(getattr(struct, name), **value) if isinstance(value, dict) else value
        for name, value in changes.items()
    }
    return msgspec.structs.replace(struct, **values)
