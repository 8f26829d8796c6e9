"""A page whose every string is an attack."""

from __future__ import annotations

import typing
from typing import Any, TypeVar

import msgspec

from bitext.components.pages import Page
from tests.browser.demo import full_page

ATTACK = (
    "<script>window.hit=1</script>"
    '"><img src=x onerror="window.hit=2"><svg onload="window.hit=3"><a href="javascript:window.hit=4">x</a>'
    "' onfocus='window.hit=5' autofocus='"
    "</script><script>window.hit=6</script></style></title></textarea><!--]]>"
    "{{7*7}}${7*7}{% raw %}datum.x+signal('a')"
    "\u202etxt.exe\u2066\u200b\x00\x1b[31m\ud800\udc80\ufeff\u2028%s\\"
)
T = TypeVar("T", bound=msgspec.Struct)
_UNTOUCHED = {"id", "edges"}
"""Fields that programs name."""


def attacked(struct: T) -> T:
    """Returns a struct with the attack at the end of every string that is not a choice of a few."""
    hints = typing.get_type_hints(type(struct))
    changes = {
        name: _attacked(getattr(struct, name))
        for name in struct.__struct_fields__
        if typing.get_origin(hints[name]) is not typing.Literal and name not in _UNTOUCHED | {"tone"}
    }
    return msgspec.structs.replace(struct, **changes)


def _attacked(value: Any) -> Any:
    if isinstance(value, str):
        return f"{value} {ATTACK}"
    if isinstance(value, tuple | list):
        return type(value)(map(_attacked, value))
    if isinstance(value, dict):
        return {_attacked(key): _attacked(item) for key, item in value.items()}
    return attacked(value) if isinstance(value, msgspec.Struct) else value


def hostile_page() -> Page:
    """Returns the demonstration page with attacks in all its strings."""
    return attacked(full_page(30))
