"""Checks a SavedModel before TensorFlow loads it: its graph is a program, and may be a stranger's.

A graph whose operations only compute is accepted. Others can read and write files, open connections or call
Python code, some already while the model is loaded. Two things are accepted that every export has: lookup
tables from the model's own assets, and the functions that save and restore the variables, if nothing else
calls them.
"""

from __future__ import annotations

import collections
import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitext.components.artifacts.base import SAVED_MODEL_FILE
from bitext.components.shared.errors import DataError
from bitext.components.translation.graph_operations import CALLING, COMPUTING

if TYPE_CHECKING:
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

TABLE_FILE_INPUT = {"InitializeTableFromTextFile": 1, "InitializeTableFromTextFileV2": 1}
"""The operations that read a table from a file, and the position of the file's name among their inputs."""
SAVING = frozenset({"MergeV2Checkpoints", "RestoreV2", "SaveV2", "ShardedFilename"})
"""The operations of the functions that save and restore variables, besides those that compute."""
_KINDS = (
    ("call Python code", re.compile("PyFunc|NumpyFunc")),
    (
        "read or write files",
        re.compile(
            "File|Save|Restore|Reader|Record|TextLine|Summary|Checkpoint|Vocab|Remap|Snapshot|Cache|Csv|CSV|Sql"
            "|ImmutableConst|Debug|PrintV2|LMDB|FixedUnigram|Proto|asset file"
        ),
    ),
    (
        "exchange data with other processes",
        re.compile("Send|Recv|Rpc|Remote|Collective|DataService|Service|Nccl|TPU|Client"),
    ),
)
_OTHER = "are not known to only compute"
_SHOWN, _LONGEST = 8, 60
"""Operations that a message names, and the most characters of each."""
_MAX_DEPTH = 20
"""Of calls that are followed to the origin of a file's name. In an export there are three."""
PUSH_AGAIN = "push it again with `bitext run`, or name another model with --model"
_REMEDY = "use it only if you trust its author: --trust-model loads it whatever it does"


def check_graph(folder: Path) -> None:
    """Checks that the graphs of a SavedModel only compute.

    Args:
      folder: the SavedModel.

    Raises:
      DataError: they do not, or the file cannot be read.
    """
    model = _read(folder)
    operations = suspicious_operations(model) | _assets_outside(model, folder)
    if not operations:
        return
    by_kind = collections.defaultdict(list)
    for operation in sorted(operations):
        by_kind[_kind(operation)].append(operation)
    texts = (f"{kind} ({_listing(names)})" for kind, names in by_kind.items())
    raise DataError(
        f"the model at {folder} can do more than translate: its graph has operations that"
        f" {', that '.join(texts)}",
        _REMEDY,
    )


def suspicious_operations(model: SavedModel) -> set[str]:
    """Returns the operations of all graphs and functions of a SavedModel that do not only compute."""
    # Only such a model is loaded as objects. Of others, TensorFlow runs nodes of the graph to load them.
    has_objects = len(model.meta_graphs) == 1 and model.meta_graphs[0].HasField("object_graph_def")
    return set().union(*(_Graph(graph, has_objects).suspicious() for graph in model.meta_graphs))


def _assets_outside(model: SavedModel, folder: Path) -> set[str]:
    """Returns the assets of a SavedModel that are not files in its folder, or are links to others."""
    inside = folder.resolve()
    return {
        f"the asset file {asset.filename!r}"
        for graph in model.meta_graphs
        for asset in graph.asset_file_def
        if not (folder / "assets" / asset.filename).resolve().is_relative_to(inside)
    }


def _read(folder: Path) -> SavedModel:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    try:
        return saved_model_pb2.SavedModel.FromString((folder / SAVED_MODEL_FILE).read_bytes())
    except (OSError, DecodeError) as error:
        raise DataError(
            f"the model at {folder} cannot be loaded: {SAVED_MODEL_FILE}: {error}", PUSH_AGAIN
        ) from error


def _kind(operation: str) -> str:
    return next((kind for kind, pattern in _KINDS if pattern.search(operation)), _OTHER)


def _listing(names: Sequence[str]) -> str:
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(name[:_LONGEST] for name in names[:_SHOWN]) + more


class _Graph:
    """One graph of a SavedModel and its functions. A scope is a function's name; None: the graph itself."""

    def __init__(self, proto: MetaGraphDef, has_objects: bool):
        self._proto, self._has_objects = proto, has_objects
        library = proto.graph_def.library
        self._functions = {function.signature.name: function for function in library.function}
        self._are_assets: dict[tuple[str, str], bool] = {}
        scopes: list[tuple[str | None, Any]] = [(None, proto.graph_def.node)]
        scopes += [(function.signature.name, function.node_def) for function in library.function]
        self._scopes = [(scope, nodes, [node.op for node in nodes]) for scope, nodes in scopes]

    def suspicious(self) -> set[str]:
        """Returns the operations that do not only compute."""
        # TensorFlow's own names of functions begin like this, and no operation's name does.
        known = COMPUTING | {name for name in self._functions if name.startswith("__")}
        found = set()
        for scope, nodes, operations in self._scopes:
            for operation in set(operations) - known:
                if operation in SAVING and scope in self._saving_functions:
                    continue
                if operation in TABLE_FILE_INPUT and self._reads_assets(operation, scope, nodes):
                    continue
                found.add(operation)
        return found

    @functools.cached_property
    def _calls(self) -> dict[str | None, list[tuple[Any, list[str]]]]:
        """The nodes of each scope that call functions, and the names of the functions."""
        calling = CALLING | self._functions.keys()
        return {
            scope: [
                (nodes[index], list(_called(nodes[index])))
                for index, operation in enumerate(operations)
                if operation in calling
            ]
            for scope, nodes, operations in self._scopes
        }

    @functools.cached_property
    def _saving_functions(self) -> set[str]:
        """The functions that are called to save and restore variables, and by nothing else.

        `tf.saved_model.load` restores the variables without them.
        """
        if not self._has_objects:
            return set()
        saver = self._proto.saver_def
        saver_nodes = {name.partition(":")[0] for name in (saver.save_tensor_name, saver.restore_op_name)}
        by_saver: set[str] = set()
        by_others = set(self._proto.object_graph_def.concrete_functions)
        for node, names in self._calls[None]:
            (by_saver if node.name in saver_nodes else by_others).update(names)
        for gradient in self._proto.graph_def.library.gradient:
            by_others.update((gradient.function_name, gradient.gradient_func))
        saving = self._reached(by_saver)
        by_others.update(name for name in self._functions if name not in saving)
        return saving - self._reached(by_others)

    def _reached(self, names: Iterable[str]) -> set[str]:
        """Returns functions and all functions that they call, directly or not."""
        reached: set[str] = set()
        pending = [name for name in names if name in self._functions]
        while pending:
            name = pending.pop()
            if name not in reached:
                reached.add(name)
                called = (other for _, names in self._calls[name] for other in names)
                pending += [other for other in called if other in self._functions]
        return reached

    def _reads_assets(self, operation: str, scope: str | None, nodes: Any) -> bool:
        """Returns whether each node with this operation reads an asset of the model."""
        position = TABLE_FILE_INPUT[operation]
        return all(
            len(node.input) > position and self._is_asset(scope, node.input[position])
            for node in nodes
            if node.op == operation
        )

    def _is_asset(self, scope: str | None, tensor: str, depth: int = 0) -> bool:
        """Returns whether a tensor is the path of an asset, whichever way its function is called."""
        name = tensor.partition(":")[0]
        if scope is None:
            return name in {asset.tensor_info.name.partition(":")[0] for asset in self._proto.asset_file_def}
        if (scope, name) not in self._are_assets:
            self._are_assets[scope, name] = False  # for functions that call each other
            self._are_assets[scope, name] = depth < _MAX_DEPTH and self._is_asset_argument(scope, name, depth)
        return self._are_assets[scope, name]

    def _is_asset_argument(self, function: str, name: str, depth: int) -> bool:
        """Returns whether a tensor of a function is an argument that is an asset's path in every call."""
        arguments = self._functions[function].signature.input_arg
        if any(argument.number_attr or argument.type_list_attr for argument in arguments):
            return False
        position = next((i for i, argument in enumerate(arguments) if argument.name == name), None)
        if position is None:
            return False
        sources = list(self._captures(function, position, len(arguments)))
        for caller, calls in self._calls.items():
            if caller is None and self._has_objects:
                continue  # TensorFlow runs nothing of this graph itself
            for node, names in calls:
                if function in names:
                    is_plain_call = node.op in ("PartitionedCall", "StatefulPartitionedCall")
                    is_plain_call = is_plain_call and position < len(node.input)
                    sources.append(is_plain_call and self._is_asset(caller, node.input[position], depth + 1))
        return bool(sources) and all(sources)

    def _captures(self, function: str, position: int, arguments: int) -> Iterator[bool]:
        """Yields whether the function object, if there is one, has an asset at this position."""
        objects = self._proto.object_graph_def
        if function in objects.concrete_functions:
            captured = objects.concrete_functions[function].bound_inputs
            index = position - (arguments - len(captured))
            yield index >= 0 and captured[index] in self._asset_objects

    @functools.cached_property
    def _asset_objects(self) -> set[int]:
        """The numbers of the objects that are assets, and of no class that reads its own data."""
        objects = enumerate(self._proto.object_graph_def.nodes)
        return {
            number
            for number, node in objects
            if node.WhichOneof("kind") == "asset" and not node.registered_name
        }


def _called(node: Any) -> Iterator[str]:
    """Yields the names of the functions that a node calls, or gives to the functions that it calls."""
    yield node.op
    pending = list(node.attr.values())
    while pending:
        value = pending.pop()
        for function in (*([value.func] if value.HasField("func") else ()), *value.list.func):
            yield function.name
            pending += function.attr.values()
