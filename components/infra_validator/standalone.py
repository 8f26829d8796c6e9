"""Run as a script in a fresh process: loads an export with stock TensorFlow, as a stranger would.

It imports nothing of this project and makes sure that nothing of it, nor any library a server would not have,
can be imported: a server has TensorFlow, and the messages of its own API. Usage:
`python -I standalone.py REQUEST.json ANSWER.json`, where the request holds

    {"model": SavedModel folder, "samples": [{"source", "translation", "score"}], "score_tolerance": float}

and the answer `{"reasons": [what is wrong, in words]}`.
"""

from __future__ import annotations

import importlib
import importlib.abc
import json
import os
import sys
from typing import Any

FORBIDDEN = (
    "components",
    "pipeline",
    "schemas",
    "sentencepiece",
    "tensorflow_data_validation",
    "tensorflow_text",
    "tensorflow_transform",
    "tfx_bsl",
)

_SEVERAL = {
    "text": "string",
    "score": "float32",
    "log_prob": "float32",
    "length": "int32",
    "alignment": "float32",
}
# Signature: (inputs, outputs), name to dtype. More outputs, and more inputs of `decode_step`, are allowed:
# they are the decoder's states, whose names are the model's own.
SIGNATURES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "serving_default": (
        {"text": "string"},
        {"text": "string", "score": "float32", "length": "int32", "alignment": "float32"},
    ),
    "translate_nbest": (
        {"text": "string", "beam_size": "int32", "length_penalty": "float32", "max_length": "int32"},
        _SEVERAL,
    ),
    "translate_sample": (
        {
            "text": "string",
            "samples": "int32",
            "temperature": "float32",
            "top_k": "int32",
            "top_p": "float32",
            "max_length": "int32",
            "seed": "int32",
        },
        _SEVERAL,
    ),
    "score": (
        {"source": "string", "target": "string"},
        {"log_prob": "float32", "length": "int32", "alignment": "float32"},
    ),
    "tokenize": ({"text": "string"}, {"tokens": "int32", "length": "int32"}),
    "detokenize": ({"tokens": "int32"}, {"text": "string"}),
    "encode": ({"text": "string"}, {"memory": "float32", "memory_length": "int32"}),
    "decode_step": ({"token": "int32"}, {"log_probs": "float32", "alignment": "float32"}),
    "info": ({}, dict.fromkeys(("pad", "bos", "eos", "unk", "vocab_size"), "int32")),
    "default_search": ({}, {"beam_size": "int32", "length_penalty": "float32", "max_length": "int32"}),
}

WARM_UP = os.path.join("assets.extra", "tf_serving_warmup_requests")
MOST_REQUESTS = 1000
"""TensorFlow Serving refuses a model with more."""

NEEDS_PYTHON = ("PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunc")


class Refuser(importlib.abc.MetaPathFinder):
    """Makes the forbidden packages impossible to import, installed or not."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname.partition(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"{fullname} is not available where models are served", name=fullname)


def check_isolation() -> list[str]:
    """Nothing of the project has been, or can be, imported."""
    reasons = []
    for name in FORBIDDEN:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        reasons.append(f"the package {name} can be imported in the validating process")
    return reasons


def meta_graphs(folder: str) -> list[Any]:
    """What saved_model.pb holds: one graph, with its signatures, for each use it was saved for."""
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    with open(os.path.join(folder, "saved_model.pb"), "rb") as file:
        model.ParseFromString(file.read())
    return list(model.meta_graphs)


def graph_nodes(folder: str) -> tuple[list[Any], set[str]]:
    """All nodes of all graphs and functions of a SavedModel, and the names of its functions."""
    nodes: list[Any] = []
    functions: set[str] = set()
    for graph in (meta_graph.graph_def for meta_graph in meta_graphs(folder)):
        nodes.extend(graph.node)
        for function in graph.library.function:
            functions.add(function.signature.name)
            nodes.extend(function.node_def)
    return nodes, functions


def check_variables(folder: str) -> list[str]:
    """Every variable a signature reads is among those restored.

    `tf.saved_model.load` finds them by itself. A session, which is what TensorFlow Serving, saved_model_cli,
    C and Java have, knows those only that the restoring operation assigns.
    """
    lost = set()
    for meta_graph in meta_graphs(folder):
        nodes = {node.name: node for node in meta_graph.graph_def.node}
        restoring = nodes.get(meta_graph.saver_def.restore_op_name)
        restored = set(restoring.input) if restoring else set()
        outputs = [output for one in meta_graph.signature_def.values() for output in one.outputs.values()]
        calls = {output.name.partition(":")[0] for output in outputs}
        read = {name for call in calls if call in nodes for name in nodes[call].input}
        lost |= {name for name in read - restored if name in nodes and nodes[name].op == "VarHandleOp"}
    return [f"the variable {name} is read, and not restored in a session" for name in sorted(lost)]


def check_graph(folder: str) -> list[str]:
    """Only ops of stock TensorFlow that run on any machine, and no file outside the folder."""
    import tensorflow as tf
    from tensorflow.python.framework import op_def_registry

    reasons = []
    nodes, functions = graph_nodes(folder)
    for op in sorted({node.op for node in nodes} - functions):
        if op_def_registry.get(op) is None:
            reasons.append(f"the op {op} is not part of stock TensorFlow")
        elif "cudnn" in op.lower():
            reasons.append(f"the op {op} runs only on a GPU")
        elif op in NEEDS_PYTHON:
            reasons.append(f"the op {op} calls the Python of the exporting process")
    for node in nodes:
        if node.op == "Const" and node.attr["dtype"].type == tf.string.as_datatype_enum:
            reasons.extend(check_constant(node.name, node.attr["value"].tensor))
    return reasons


def check_constant(name: str, tensor: Any) -> list[str]:
    """A lone string constant that names a file of this machine: the file would be missing elsewhere."""
    if tensor.tensor_shape.dim or len(tensor.string_val) != 1:
        return []
    [value] = tensor.string_val
    # What holds a null byte is no path, and isfile says so.
    if value.startswith(b"/") and os.path.isfile(value):
        return [f"the constant {name} names a file outside the model: {os.fsdecode(value)}"]
    return []


def check_signatures(functions: Any) -> list[str]:
    """Every signature is there, with its inputs, outputs and dtypes."""
    reasons = []
    for name, (inputs, outputs) in SIGNATURES.items():
        if name not in functions:
            reasons.append(f"there is no signature {name}; there are {', '.join(sorted(functions))}")
            continue
        function = functions[name]
        found_inputs = function.structured_input_signature[1]
        for kind, wanted, found in (
            ("input", inputs, found_inputs),
            ("output", outputs, function.structured_outputs),
        ):
            for key, dtype in wanted.items():
                received = found[key].dtype.name if key in found else "nothing"
                if received != dtype:
                    reasons.append(f"{name}: the {kind} {key} must be {dtype}, received {received}")
        unknown = sorted(set(found_inputs) - set(inputs))
        if unknown and name != "decode_step":
            reasons.append(f"{name}: inputs nobody knows of: {', '.join(unknown)}")
    return reasons


def check_samples(function: Any, samples: list[dict[str, Any]], tolerance: float) -> list[str]:
    """The export translates the samples as the trainer did: equal texts, scores within the tolerance."""
    import tensorflow as tf

    outputs = function(text=tf.constant([sample["source"] for sample in samples]))
    reasons = []
    for sample, text, score in zip(samples, outputs["text"].numpy(), outputs["score"].numpy(), strict=True):
        source, translation = sample["source"], text.decode("utf-8", "replace")
        if translation != sample["translation"]:
            wanted = sample["translation"]
            reasons.append(f"{source!r} became {translation!r}, and for the trainer {wanted!r}")
        # Written so that a score that is not a number fails.
        elif not abs(float(score) - sample["score"]) <= tolerance:
            reasons.append(f"{source!r} scored {float(score):.6f}, and for the trainer {sample['score']:.6f}")
    return reasons


def check_warm_up(folder: str, functions: Any) -> list[str]:
    """The warm-up requests, if there are any, are answered: a server does not load the model if one fails."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    path = os.path.join(folder, WARM_UP)
    if not os.path.isfile(path):
        return []
    try:
        records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
        logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    except (tf.errors.DataLossError, DecodeError) as error:
        return [f"the warm-up requests cannot be read: {error}"]
    if len(logs) > MOST_REQUESTS:
        return [f"there are {len(logs):,} warm-up requests, more than {MOST_REQUESTS:,}"]
    found = ((number, fault) for number, log in enumerate(logs, 1) if (fault := replay(log, functions)))
    return [f"the warm-up request {number} fails: {fault}" for number, fault in found]


def replay(log: Any, functions: Any) -> str:
    """Does a warm-up request as a server would, one that batches too; why it fails, empty if it does not."""
    import tensorflow as tf

    if log.WhichOneof("log_type") != "predict_log":
        return f"it must be a predict_log, received {log.WhichOneof('log_type') or 'nothing'}"
    request = log.predict_log.request
    name = request.model_spec.signature_name or "serving_default"
    if name not in functions:
        return f"there is no signature {name}"
    wanted = functions[name].structured_input_signature[1]
    if set(request.inputs) != set(wanted):
        return f"{name} takes {', '.join(sorted(wanted))}, received {', '.join(sorted(request.inputs))}"
    try:
        inputs = {
            key: tf.io.parse_tensor(request.inputs[key].SerializeToString(), spec.dtype)
            for key, spec in wanted.items()
        }
        for key, spec in wanted.items():
            if not spec.shape.is_compatible_with(inputs[key].shape):
                return f"{name}: {key} must have the shape {spec.shape}, received {inputs[key].shape}"
        rows = {tuple(value.shape[:1].as_list()) for value in inputs.values()}
        if len(rows) != 1 or rows == {()}:
            return f"{name}: a server that batches needs inputs with a row for each sentence"
        functions[name](**inputs)
    except tf.errors.OpError as error:
        return f"{name}: {error.message}"
    return ""


def validate(request: dict[str, Any]) -> list[str]:
    """Everything that is wrong with the export, in words."""
    reasons = check_isolation() + check_graph(request["model"]) + check_variables(request["model"])
    import tensorflow as tf

    model = tf.saved_model.load(request["model"])
    reasons += check_signatures(model.signatures)
    if "serving_default" in model.signatures:
        samples, tolerance = request["samples"], request["score_tolerance"]
        reasons += check_samples(model.signatures["serving_default"], samples, tolerance)
    reasons += check_warm_up(request["model"], model.signatures)
    return reasons


def main() -> None:
    sys.meta_path.insert(0, Refuser())
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    reasons = validate(request)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump({"reasons": reasons}, file)


if __name__ == "__main__":
    main()
