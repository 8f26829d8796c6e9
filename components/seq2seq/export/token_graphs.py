"""The graphs of `encode_tokens` and `decode_step` for runtimes without strings, tables and variables.

The weights are constants. An output has the name of the SavedModel's output, or that name after `next_` if an
input has it: ONNX and OpenVINO need one name for each tensor.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf

from bitext.components.seq2seq import SearchSettings
from bitext.components.seq2seq.export.quantize import replace_weights
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.seq2seq.model import BOS, EOS, PAD, UNK

NEXT = "next_"
"""Stands before the name of an output of `decode_step` that is an input of the next step."""
Run = Callable[[str, Mapping[str, np.ndarray]], dict[str, np.ndarray]]
"""Calls a graph in a runtime: (the name of the graph, inputs by name) -> outputs by name.

Inputs that the graph does not have are ignored.
"""


@dataclasses.dataclass(frozen=True)
class TokenGraph:
    """One graph.

    Attributes:
      name: `encode_tokens` or `decode_step`.
      definition: the GraphDef. The loops are functions of its library.
      inputs: for each input that the graph reads, its specification. The name of the tensor is `NAME:0`.
      outputs: for each output, its specification.
      tensors: for each output, the name of its tensor in the graph.
    """

    name: str
    definition: Any
    inputs: dict[str, tf.TensorSpec]
    outputs: dict[str, tf.TensorSpec]
    tensors: dict[str, str]


class TensorDescription(msgspec.Struct, frozen=True):
    """A tensor of a graph.

    Attributes:
      dtype: `int32` or `float32`.
      shape: the size of each dimension; None: any.
    """

    dtype: str
    shape: list[int | None]


class GraphDescription(msgspec.Struct, frozen=True):
    """A graph for its client.

    Attributes:
      file: the name of its file.
      inputs: its inputs, by name.
      outputs: its outputs, by name.
    """

    file: str
    inputs: dict[str, TensorDescription]
    outputs: dict[str, TensorDescription]


class Description(msgspec.Struct, frozen=True):
    """What a client must know of the graphs: the content of `signatures.json`.

    Attributes:
      format: format of the files.
      graphs: `encode_tokens` and `decode_step`.
      memory: outputs of `encode_tokens` that every step reads under the same name.
      state: outputs of `encode_tokens` that the first step reads under the same name, each with the output of
        a step that the next step reads under that name.
      special_tokens: the ids of `pad`, `bos`, `eos` and `unk`.
      source_max_length: maximum number of source tokens, `</s>` included.
      source_vocabulary_size: number of source tokens: their ids are below it.
      search: the search of the SavedModel's `serving_default`.
    """

    format: str
    graphs: dict[str, GraphDescription]
    memory: list[str]
    state: dict[str, str]
    special_tokens: dict[str, int]
    source_max_length: int
    source_vocabulary_size: int
    search: SearchSettings


def token_graphs(translator: Translator) -> list[TokenGraph]:
    """Returns the graphs of `encode_tokens` and `decode_step`.

    The inputs are not checked: a wrong one has an undefined result. What follows the `length` tokens of a
    sentence is ignored, as in the SavedModel.
    """
    signatures = translator.signatures()

    def encode_tokens(tokens: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        is_token = tf.sequence_mask(length, tf.shape(tokens)[1])
        return translator.encode_padded(tf.where(is_token, tokens, PAD))

    return [
        _graph(translator, "encode_tokens", encode_tokens, signatures["encode_tokens"][1]),
        _graph(translator, "decode_step", translator.decode_step, signatures["decode_step"][1]),
    ]


def describe(graphs: list[TokenGraph], translator: Translator, form: str, suffix: str) -> Description:
    """Returns the description of graphs that are written to files of a format.

    Args:
      graphs: from `token_graphs`.
      translator: the model.
      form: the name of the format.
      suffix: the suffix of the files, after the names of the graphs.
    """
    encoder, decoder = graphs
    state = {name: NEXT + name for name in encoder.outputs if NEXT + name in decoder.outputs}
    return Description(
        form,
        {
            graph.name: GraphDescription(
                f"{graph.name}{suffix}",
                {name: _describe(spec) for name, spec in graph.inputs.items()},
                {name: _describe(spec) for name, spec in graph.outputs.items()},
            )
            for graph in graphs
        },
        [name for name in encoder.outputs if name in decoder.inputs and name not in state],
        state,
        {"pad": PAD, "bos": BOS, "eos": EOS, "unk": UNK},
        translator.source_max_length,
        translator.model.source_embedding.shape[0],
        translator.search,
    )


def _graph(
    translator: Translator,
    name: str,
    function: Callable[..., dict[str, tf.Tensor]],
    inputs: Mapping[str, tf.TensorSpec],
) -> TokenGraph:
    def renamed(**tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        # One node for each output, also where the model returns one tensor under two names.
        return {
            NEXT + key if key in tensors else key: tf.identity(value)
            for key, value in function(**tensors).items()
        }

    variables = translator.model.weights
    constants = [functools.partial(tf.constant, variable.numpy()) for variable in variables]
    traced = replace_weights(variables, constants, renamed).get_concrete_function(**inputs)
    names = sorted(traced.structured_outputs)
    tensors = dict(zip(names, (tensor.name for tensor in traced.outputs), strict=True))
    definition = _pruned(traced.graph.as_graph_def(), tensors.values())
    nodes = {node.name for node in definition.node}
    outputs = {
        key: tf.TensorSpec(tensor.shape, tensor.dtype, key)
        for key, tensor in zip(names, traced.outputs, strict=True)
    }
    return TokenGraph(name, definition, {n: s for n, s in inputs.items() if n in nodes}, outputs, tensors)


def _pruned(definition: Any, tensors: Any) -> Any:
    """Removes the nodes that no output depends on, inputs included."""
    nodes = {node.name: node for node in definition.node}
    needed, pending = set(), [tensor.partition(":")[0] for tensor in tensors]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending += [tensor.lstrip("^").partition(":")[0] for tensor in nodes[name].input]
    kept = [node for node in definition.node if node.name in needed]
    del definition.node[:]
    definition.node.extend(kept)
    return definition


def _describe(spec: tf.TensorSpec) -> TensorDescription:
    return TensorDescription(spec.dtype.name, spec.shape.as_list())
