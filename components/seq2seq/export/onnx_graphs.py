"""ONNX: writes the graphs of a model with tf2onnx, and runs them in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
import tf2onnx.optimizer
import tf2onnx.tfonnx
from onnx import numpy_helper

from bitext.components.seq2seq.export.token_graphs import TokenGraph

SUFFIX = ".onnx"
OPSET = 15
"""Version of the operators: ONNX Runtime 1.10 (2021) or later runs it."""
_OPTIMIZERS = ("fold_constants", "merge_duplication", "remove_identity", "remove_back_to_back")
"""The optimizers of tf2onnx that are applied.

`optimize_transpose` of tf2onnx 1.17 is wrong: it reshapes a tensor of unknown size to another shape.
"""


def write(graphs: Sequence[TokenGraph], folder: Path) -> None:
    """Writes one file for each graph into a folder."""
    for graph in graphs:
        with tf.Graph().as_default() as imported:
            tf.import_graph_def(graph.definition, name="")
            names = {tensor: name for name, tensor in graph.tensors.items()}
            converted = tf2onnx.tfonnx.process_tf_graph(
                imported,
                opset=OPSET,
                input_names=[f"{name}:0" for name in graph.inputs],
                output_names=list(names),
                tensors_to_rename={f"{name}:0": name for name in graph.inputs} | names,
            )
        available = tf2onnx.optimizer._get_optimizers()
        chosen = {name: available[name] for name in _OPTIMIZERS}
        optimized = tf2onnx.optimizer.optimize_graph(converted, catch_errors=False, optimizers=chosen)
        model = optimized.make_model(graph.name, producer_name="bitext")
        _fold_constants(model.graph)
        (folder / f"{graph.name}{SUFFIX}").write_bytes(model.SerializeToString())


def _fold_constants(graph: onnx.GraphProto) -> set[str]:
    """Computes the comparisons of constants that tf2onnx leaves, and removes constants that no node reads.

    ONNX Runtime would do so, and warn about each when it loads the graph.

    Returns:
      The names of the tensors that the graph reads, those of the graph around it included.
    """
    constants = {constant.name: constant for constant in graph.initializer}
    for node in [*graph.node]:
        if node.op_type == "Less" and all(name in constants for name in node.input):
            left, right = (numpy_helper.to_array(constants[name]) for name in node.input)
            constants[node.output[0]] = numpy_helper.from_array(np.less(left, right), node.output[0])
            graph.node.remove(node)
    read = {output.name for output in graph.output}
    for node in graph.node:
        read.update(node.input)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                read |= _fold_constants(attribute.g)
    del graph.initializer[:]
    graph.initializer.extend(constant for name, constant in constants.items() if name in read)
    return read


class OnnxModel:
    """The graphs of a folder in ONNX Runtime, on CPUs. An instance is a `token_graphs.Run`."""

    def __init__(self, folder: Path):
        self._sessions = {
            path.stem: onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            for path in folder.glob(f"*{SUFFIX}")
        }

    def __call__(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        session = self._sessions[name]
        read = {each.name: inputs[each.name] for each in session.get_inputs()}
        names = [each.name for each in session.get_outputs()]
        return dict(zip(names, session.run(names, read), strict=True))
