"""A SavedModel's bytes, made to depend on nothing but what it computes.

TensorFlow numbers functions by how many things it has named in the process before, and puts them and their
nodes in no order: what runs after what is in the edges.
"""

from __future__ import annotations

import re
from collections.abc import Callable, MutableMapping, MutableSequence
from pathlib import Path
from typing import Any

from google.protobuf.message import Message
from tensorflow.core.framework import function_pb2
from tensorflow.core.protobuf import saved_model_pb2

_NUMBERED = re.compile(r"(.*_)(\d+)", re.DOTALL)

_USER_NAME = "_user_specified_name"


def rewrite(folder: Path) -> None:
    """Numbers a SavedModel's functions anew, puts all in order, drops the fingerprint of the old bytes."""
    path = folder / "saved_model.pb"
    model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for graph in model.meta_graphs:
        functions = graph.graph_def.library.function
        _replace_strings(graph, _renaming([function.signature.name for function in functions]))
        for function in functions:
            _forget_numbers_of_captures(function)
            function.node_def.sort(key=lambda node: node.name)
        functions.sort(key=lambda function: function.signature.name)
        graph.graph_def.node.sort(key=lambda node: node.name)
    path.write_bytes(model.SerializeToString(deterministic=True))
    (folder / "fingerprint.pb").unlink(missing_ok=True)


def _renaming(names: list[str]) -> Callable[[str], str]:
    """Gives functions whose names end in a number that number's place among all of them instead."""
    numbered = {name: match for name in names if (match := _NUMBERED.fullmatch(name))}
    order = sorted(numbered, key=lambda name: (int(numbered[name][2]), name))
    renamed = {name: f"{numbered[name][1]}{place}" for place, name in enumerate(order)}
    # Other names have names of functions in them; the name of a function may begin with another's.
    pattern = re.compile("|".join(re.escape(name) for name in sorted(renamed, key=len, reverse=True)) or "$^")
    return lambda text: pattern.sub(lambda found: renamed[found[0]], text)


def _forget_numbers_of_captures(function: function_pb2.FunctionDef) -> None:
    """Takes the names off a function's arguments that are numbers, as TensorFlow calls what is captured."""
    for argument in function.arg_attr.values():
        if _USER_NAME in argument.attr and argument.attr[_USER_NAME].s.isdigit():
            del argument.attr[_USER_NAME]


def _replace_strings(message: Message, change: Callable[[str], str]) -> None:
    """Changes every string in a message, keys of maps with them."""
    for field, value in message.ListFields():
        if isinstance(value, str):
            setattr(message, field.name, change(value))
        elif isinstance(value, Message):
            _replace_strings(value, change)
        elif isinstance(value, MutableMapping):
            _replace_in_map(value, change)
        elif isinstance(value, MutableSequence) and isinstance(value[0], str):
            value[:] = [change(item) for item in value]
        elif isinstance(value, MutableSequence) and isinstance(value[0], Message):
            for item in value:
                _replace_strings(item, change)


def _replace_in_map(entries: MutableMapping[Any, Any], change: Callable[[str], str]) -> None:
    """Changes every string in a map field."""
    for key in list(entries):
        to = change(key) if isinstance(key, str) else key
        if isinstance(entries[key], Message):
            _replace_strings(entries[key], change)
            if to != key:
                entries[to].CopyFrom(entries[key])
        elif isinstance(entries[key], str):
            entries[to] = change(entries[key])
        elif to != key:
            entries[to] = entries[key]
        if to != key:
            del entries[key]
