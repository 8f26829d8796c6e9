"""OpenVINO: writes the graphs of a model with its TensorFlow frontend, and runs them."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import openvino

from bitext.components.seq2seq.export.token_graphs import TokenGraph

SUFFIX = ".xml"
"""Suffix of the file of a graph. Its weights are beside it, in a file with the suffix `.bin`."""
_FLOAT32 = {"INFERENCE_PRECISION_HINT": "f32"}
"""On some processors, OpenVINO computes in bfloat16 unless it is told not to."""


def write(graphs: Sequence[TokenGraph], folder: Path) -> None:
    """Writes two files for each graph into a folder."""
    core = openvino.Core()
    for graph in graphs:
        with tempfile.TemporaryDirectory() as temporary:
            path = Path(temporary) / "graph.pb"
            path.write_bytes(graph.definition.SerializeToString())
            model = core.read_model(path)
        for port in model.inputs:
            port.get_tensor().set_names({name for name in graph.inputs if f"{name}:0" in port.get_names()})
        # Outputs that are the same tensor become one tensor with several names.
        names = [
            {name for name, tensor in graph.tensors.items() if tensor in port.get_names()}
            for port in model.outputs
        ]
        for port, its_names in zip(model.outputs, names, strict=True):
            port.get_tensor().set_names(its_names)
        _save(core, model, folder / f"{graph.name}{SUFFIX}")


def _save(core: openvino.Core, model: openvino.Model, path: Path) -> None:
    """Writes a model.

    Raises:
      OSError: the files are not complete, for example on a full disk. OpenVINO does not say so by itself.
    """
    openvino.save_model(model, path, compress_to_fp16=False)
    try:
        core.read_model(path)
    except RuntimeError as error:
        raise OSError(f"{path} is not complete: {str(error).strip().splitlines()[-1].strip()}") from error


class OpenVinoModel:
    """The graphs of a folder in OpenVINO, on CPUs. An instance is a `token_graphs.Run`."""

    def __init__(self, folder: Path):
        core = openvino.Core()
        self._models = {
            path.stem: core.compile_model(path, "CPU", _FLOAT32) for path in folder.glob(f"*{SUFFIX}")
        }

    def __call__(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        model = self._models[name]
        read = {key: inputs[key] for port in model.inputs for key in port.get_names() if key in inputs}
        outputs = model(read)
        # OpenVINO adds names of its own, such as `MatMul_2:0`.
        names = ((port, key) for port in model.outputs for key in port.get_names() if ":" not in key)
        return {key: outputs[port] for port, key in names}
