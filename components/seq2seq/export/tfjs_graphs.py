"""TensorFlow.js: writes the graphs of a model as graph models, as its converter does.

The converter itself, the package tensorflowjs 4.22, cannot be installed beside bitext: it needs packaging 23
and tensorflow-decision-forests, whose releases are each for one version of TensorFlow.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf.json_format import MessageToDict
from tensorflow.core.protobuf import config_pb2, meta_graph_pb2, rewriter_config_pb2
from tensorflow.python.grappler import tf_optimizer

from bitext.components.seq2seq.export.node import SCRIPTS, GraphProcess
from bitext.components.seq2seq.export.quantize import Precision
from bitext.components.seq2seq.export.tfjs_weights import round_weights, store
from bitext.components.seq2seq.export.token_graphs import TokenGraph
from bitext.components.shared.files import write_json

SUFFIX = ".json"
"""Suffix of the file of a graph. Its weights are beside it, in a file with the suffix `.bin`."""
CLIENT = ("translator.mjs", "node.mjs", "greedy.mjs")
"""The files of a client that are written beside the graphs."""
__all__ = ["GraphProcess", "round_weights", "write"]
_SIMPLIFIED = ("pruning", "constfold", "arithmetic", "dependency")
_VALUES = ("tensor_content", "half_val", "float_val", "double_val", "int_val", "int64_val", "bool_val")
"""The fields of a TensorProto that have its values."""


def write(graphs: Sequence[TokenGraph], folder: Path, precision: Precision | None = None) -> None:
    """Writes two files for each graph, and a client, into a folder.

    Args:
      graphs: the graphs.
      folder: the folder.
      precision: type of the stored matrices, which `round_weights` has rounded; None: float32.
    """
    for graph in graphs:
        definition = _lowered(graph)
        manifest, contents = [], []
        for name, value in _taken_constants(definition).items():
            entry: dict[str, Any] = {"name": name, "shape": list(value.shape), "dtype": value.dtype.name}
            stored = store(value, precision) if precision is not None else None
            if stored is not None:
                entry["quantization"] = stored.manifest()
            manifest.append(entry)
            contents.append((value if stored is None else stored.values).tobytes())
        (folder / f"{graph.name}.bin").write_bytes(b"".join(contents))
        content = {
            "format": "graph-model",
            "generatedBy": tf.version.VERSION,
            "convertedBy": "bitext",
            "signature": MessageToDict(_signature(graph)),
            "modelTopology": MessageToDict(definition),
            "weightsManifest": [{"paths": [f"{graph.name}.bin"], "weights": manifest}],
        }
        write_json(folder / f"{graph.name}{SUFFIX}", content)
    for name in CLIENT:
        shutil.copyfile(SCRIPTS / name, folder / name)


def _lowered(graph: TokenGraph) -> Any:
    """Returns the graph without functions: its loops are frames of Enter, Merge, Switch and Exit.

    TensorFlow.js 4.22 frees tensors too early in loops of functions that write to a list.
    """
    definition = type(graph.definition)()
    definition.CopyFrom(graph.definition)
    for nodes in (definition.node, *(function.node_def for function in definition.library.function)):
        for node in nodes:
            if node.op in ("While", "StatelessWhile", "If", "StatelessIf"):
                node.attr["_lower_using_switch_merge"].b = True
    meta_graph = meta_graph_pb2.MetaGraphDef(graph_def=definition)
    meta_graph.collection_def["train_op"].node_list.value.extend(graph.tensors.values())  # the outputs
    config = config_pb2.ConfigProto()
    options = config.graph_options.rewrite_options
    options.min_graph_nodes = -1  # also small graphs
    options.optimizers.extend(["function", *_SIMPLIFIED, *_SIMPLIFIED])
    options.function_optimization = rewriter_config_pb2.RewriterConfig.AGGRESSIVE
    return tf_optimizer.OptimizeGraph(config, meta_graph)


def _taken_constants(definition: Any) -> dict[str, np.ndarray]:
    """Returns the constants of a graph by name and removes their values from it."""
    constants = {}
    for node in definition.node:
        if node.op == "Const":
            tensor = node.attr["value"].tensor
            constants[node.name] = tf.make_ndarray(tensor)
            for field in _VALUES:
                tensor.ClearField(field)
    return constants


def _signature(graph: TokenGraph) -> Any:
    """Returns the SignatureDef."""
    signature = meta_graph_pb2.SignatureDef()
    tensors = {name: f"{name}:0" for name in graph.inputs}
    for infos, specs, names in (
        (signature.inputs, graph.inputs, tensors),
        (signature.outputs, graph.outputs, graph.tensors),
    ):
        for name, spec in specs.items():
            infos[name].name = names[name]
            infos[name].dtype = spec.dtype.as_datatype_enum
            infos[name].tensor_shape.CopyFrom(spec.shape.as_proto())
    return signature
