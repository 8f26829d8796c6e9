"""Texts with backslashes in PostgreSQL: ML Metadata's SQL statement for such a text is wrong.

A backslash is stored as U+001A and `1`, and U+001A as U+001A and `0`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from ml_metadata.proto import metadata_store_pb2 as pb

_MARK = "\x1a"
_STORED = re.compile(f"{_MARK}([01])")


class EscapingClient:
    """ML Metadata's client, which stores and returns any text.

    Args:
      client: ML Metadata's client.
    """

    def __init__(self, client: Any):
        self._client = client

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)

        def call(*args: Any, **options: Any) -> Any:
            return _converted(method(*_converted(args, escape), **options), unescape)

        return call


def escape(text: str) -> str:
    """Returns a text without backslashes."""
    return text.replace(_MARK, f"{_MARK}0").replace("\\", f"{_MARK}1")


def unescape(text: str) -> str:
    """Returns the text that `escape` was given."""
    return _STORED.sub(lambda match: "\\" if match[1] == "1" else _MARK, text)


def _converted(value: Any, convert: Callable[[str], str]) -> Any:
    """Copies of messages, also in lists and tuples, with converted texts."""
    if isinstance(value, list | tuple):
        return type(value)(_converted(item, convert) for item in value)
    if not isinstance(value, pb.Artifact | pb.Context | pb.Execution):
        return value
    message = type(value)()
    message.CopyFrom(value)
    for properties in (message.properties, message.custom_properties):
        for stored in properties.values():
            if isinstance(stored.string_value, str) and stored.WhichOneof("value") == "string_value":
                stored.string_value = convert(stored.string_value)
    if isinstance(message, pb.Artifact):
        message.uri = convert(message.uri)
    return message
