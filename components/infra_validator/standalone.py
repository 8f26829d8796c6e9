"""Script that loads an export with stock TensorFlow in a fresh process, as a server does, and checks it.

It imports no module of this project, and blocks imports of the project and of all libraries that a server
lacks. A server has TensorFlow and the protocol buffers of TensorFlow Serving's API. Usage:
`python -I standalone.py REQUEST.json ANSWER.json`. The request is

    {"model": SavedModel folder, "samples": [{"source", "translation", "score"}], "score_tolerance": float}

and the answer `{"reasons": [why it cannot be served], "damage": the file that cannot be read, or null}`.
"""

from __future__ import annotations

import importlib
import importlib.abc
import json
import os
import sys
from typing import Any

FORBIDDEN = (
    "bitext",
    "sentencepiece",
    "tensorflow_data_validation",
    "tensorflow_text",
    "tensorflow_transform",
    "tfx_bsl",
)

_TRANSLATIONS = {
    "text": "string",
    "score": "float32",
    "log_prob": "float32",
    "length": "int32",
    "alignment": "float32",
}
SIGNATURES: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "serving_default": (
        {"text": "string"},
        {"text": "string", "score": "float32", "length": "int32", "alignment": "float32"},
    ),
    "translate_nbest": (
        {"text": "string", "beam_size": "int32", "length_penalty": "float32", "max_length": "int32"},
        _TRANSLATIONS,
    ),
    "translate_sample": (
        {"text": "string", "temperature": "float32", "top_p": "float32"}
        | dict.fromkeys(("samples", "top_k", "max_length", "seed"), "int32"),
        _TRANSLATIONS,
    ),
    "translate_constrained": (
        dict.fromkeys(("text", "prefix", "required", "banned"), "string")
        | dict.fromkeys(("no_repeat_ngram", "max_length_factor", "beam_size", "max_length"), "int32")
        | dict.fromkeys(("repetition_penalty", "length_penalty"), "float32"),
        _TRANSLATIONS | {"token_log_probs": "float32", "meets_constraints": "bool"},
    ),
    "score": (
        {"source": "string", "target": "string"},
        {"log_prob": "float32", "length": "int32", "alignment": "float32"},
    ),
    "tokenize": ({"text": "string"}, {"tokens": "int32", "length": "int32", "total_length": "int32"}),
    "detokenize": ({"tokens": "int32"}, {"text": "string"}),
    "encode": ({"text": "string"}, {"memory": "float32", "memory_length": "int32"}),
    "encode_tokens": (
        {"tokens": "int32", "length": "int32"},
        {"memory": "float32", "memory_length": "int32"},
    ),
    "decode_step": ({"token": "int32"}, {"log_probs": "float32", "alignment": "float32"}),
    "info": ({}, dict.fromkeys(("pad", "bos", "eos", "unk", "vocab_size", "source_max_length"), "int32")),
    "languages": ({}, {"source_language": "string"}),
    "default_search": ({}, {"beam_size": "int32", "length_penalty": "float32", "max_length": "int32"}),
}
"""The inputs and outputs of each signature, name to dtype. More outputs are allowed, and more inputs of
`decode_step`: the decoder's states, whose names depend on the model."""

SAVED_MODEL_FILE = "saved_model.pb"
WARM_UP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
MAX_WARM_UP_REQUESTS = 1000
"""TensorFlow Serving refuses a model with more."""

PYTHON_OPS = ("PyFunc", "PyFuncStateless", "EagerPyFunc", "NumpyFunc")
"""Ops that call Python code of the process that exported the graph."""


class DamagedModelError(Exception):
    """A file of the SavedModel cannot be read."""


class ImportBlocker(importlib.abc.MetaPathFinder):
    """Makes the forbidden packages impossible to import, installed or not."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname.partition(".")[0] in FORBIDDEN:
            raise ModuleNotFoundError(f"{fullname} is not available where models are served", name=fullname)


def check_isolation() -> list[str]:
    """Checks that no forbidden package is imported or can be imported."""
    reasons = []
    for name in FORBIDDEN:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        reasons.append(f"the package {name} can be imported in the validating process")
    return reasons


def read_meta_graphs(folder: str) -> list[Any]:
    """Returns the meta graphs (graphs with signatures) in `saved_model.pb`.

    Raises:
      DamagedModelError: the file is missing, or is not a SavedModel.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    try:
        with open(os.path.join(folder, SAVED_MODEL_FILE), "rb") as file:
            model.ParseFromString(file.read())
    except (OSError, DecodeError) as error:
        raise DamagedModelError(f"{SAVED_MODEL_FILE} cannot be read: {error}") from error
    if not model.meta_graphs:
        raise DamagedModelError(f"{SAVED_MODEL_FILE} holds no graph")
    return list(model.meta_graphs)


def graph_nodes(meta_graphs: list[Any]) -> tuple[list[Any], set[str]]:
    """Returns all nodes of all graphs and functions of a SavedModel, and the names of its functions."""
    nodes: list[Any] = []
    functions: set[str] = set()
    for graph in (meta_graph.graph_def for meta_graph in meta_graphs):
        nodes.extend(graph.node)
        for function in graph.library.function:
            functions.add(function.signature.name)
            nodes.extend(function.node_def)
    return nodes, functions


def check_variables(meta_graphs: list[Any]) -> list[str]:
    """Checks that every variable that a signature reads is restored.

    `tf.saved_model.load` restores all variables. A session, which TensorFlow Serving, saved_model_cli, C and
    Java use, has only the variables that the restore operation assigns.
    """
    unrestored = set()
    for meta_graph in meta_graphs:
        nodes = {node.name: node for node in meta_graph.graph_def.node}
        restore_op = nodes.get(meta_graph.saver_def.restore_op_name)
        restored = set(restore_op.input) if restore_op else set()
        outputs = [
            output for signature in meta_graph.signature_def.values() for output in signature.outputs.values()
        ]
        calls = {output.name.partition(":")[0] for output in outputs}
        read = {name for call in calls if call in nodes for name in nodes[call].input}
        unrestored |= {name for name in read - restored if name in nodes and nodes[name].op == "VarHandleOp"}
    return [f"the variable {name} is read, but not restored in a session" for name in sorted(unrestored)]


def check_graph(meta_graphs: list[Any]) -> list[str]:
    """Checks that all ops are in stock TensorFlow and run on any machine, and that no other file is read."""
    import tensorflow as tf
    from tensorflow.python.framework import op_def_registry

    reasons = []
    nodes, functions = graph_nodes(meta_graphs)
    for op in sorted({node.op for node in nodes} - functions):
        if op_def_registry.get(op) is None:
            reasons.append(f"the op {op} is not part of stock TensorFlow")
        elif "cudnn" in op.lower():
            reasons.append(f"the op {op} runs only on a GPU")
        elif op in PYTHON_OPS:
            reasons.append(f"the op {op} calls Python code of the exporting process")
    for node in nodes:
        if node.op == "Const" and node.attr["dtype"].type == tf.string.as_datatype_enum:
            reasons.extend(check_constant(node.name, node.attr["value"].tensor))
    return reasons


def check_constant(name: str, tensor: Any) -> list[str]:
    """Checks that a scalar string constant is not the path of a file, which other machines do not have."""
    if tensor.tensor_shape.dim or len(tensor.string_val) != 1:
        return []
    [value] = tensor.string_val
    # A value with a null byte is no path; isfile returns False for it.
    if value.startswith(b"/") and os.path.isfile(value):
        return [f"the constant {name} names a file outside the model: {os.fsdecode(value)}"]
    return []


def check_signatures(functions: Any) -> list[str]:
    """Checks that every signature exists, with its inputs, outputs and dtypes."""
    reasons = []
    for name, (inputs, outputs) in SIGNATURES.items():
        if name not in functions:
            reasons.append(f"there is no signature {name}; there are {', '.join(sorted(functions))}")
            continue
        function = functions[name]
        actual_inputs = function.structured_input_signature[1]
        for kind, expected, actual in (
            ("input", inputs, actual_inputs),
            ("output", outputs, function.structured_outputs),
        ):
            for key, dtype in expected.items():
                received = actual[key].dtype.name if key in actual else "nothing"
                if received != dtype:
                    reasons.append(f"{name}: the {kind} {key} must be {dtype}, received {received}")
        unexpected = sorted(set(actual_inputs) - set(inputs))
        if unexpected and name != "decode_step":
            reasons.append(f"{name}: unexpected inputs: {', '.join(unexpected)}")
    return reasons


def check_samples(function: Any, samples: list[dict[str, Any]], tolerance: float) -> list[str]:
    """Checks that the export translates the samples as the Trainer did: equal texts, nearly equal scores.

    Args:
      function: the signature `serving_default`.
      samples: the Trainer's sources, translations and scores.
      tolerance: largest absolute difference of a score.
    """
    import tensorflow as tf

    outputs = function(text=tf.constant([sample["source"] for sample in samples]))
    reasons = []
    for sample, text, score in zip(samples, outputs["text"].numpy(), outputs["score"].numpy(), strict=True):
        source, expected = sample["source"], sample["translation"]
        translation = text.decode("utf-8", "replace")
        if translation != expected:
            reasons.append(f"{source!r} became {translation!r}; the trainer's translation is {expected!r}")
        # `not ... <=`, so that NaN fails.
        elif not abs(float(score) - sample["score"]) <= tolerance:
            reasons.append(
                f"{source!r} scored {float(score):.6f}; the trainer's score is {sample['score']:.6f}"
            )
    return reasons


def check_warm_up(folder: str, functions: Any) -> list[str]:
    """Checks that all warm-up requests succeed. Otherwise, TensorFlow Serving refuses the model.

    Raises:
      DamagedModelError: the requests cannot be read.
    """
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    path = os.path.join(folder, WARM_UP_FILE)
    if not os.path.isfile(path):
        return []
    try:
        records = list(tf.data.TFRecordDataset(path).as_numpy_iterator())
        logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    except (tf.errors.DataLossError, DecodeError) as error:
        raise DamagedModelError(f"{WARM_UP_FILE} cannot be read: {error}") from error
    if len(logs) > MAX_WARM_UP_REQUESTS:
        return [f"there are {len(logs):,} warm-up requests, more than {MAX_WARM_UP_REQUESTS:,}"]
    problems = ((number, replay(log, functions)) for number, log in enumerate(logs, 1))
    return [f"the warm-up request {number} fails: {problem}" for number, problem in problems if problem]


def replay(log: Any, functions: Any) -> str:
    """Runs a warm-up request as a server with batching does. Returns why it fails, or an empty string."""
    import tensorflow as tf

    if log.WhichOneof("log_type") != "predict_log":
        return f"it must be a predict_log, received {log.WhichOneof('log_type') or 'nothing'}"
    request = log.predict_log.request
    name = request.model_spec.signature_name or "serving_default"
    if name not in functions:
        return f"there is no signature {name}"
    expected = functions[name].structured_input_signature[1]
    if set(request.inputs) != set(expected):
        return f"{name} takes {', '.join(sorted(expected))}, received {', '.join(sorted(request.inputs))}"
    try:
        inputs = {
            key: tf.io.parse_tensor(request.inputs[key].SerializeToString(), spec.dtype)
            for key, spec in expected.items()
        }
        for key, spec in expected.items():
            if not spec.shape.is_compatible_with(inputs[key].shape):
                return f"{name}: {key} must have the shape {spec.shape}, received {inputs[key].shape}"
        rows = {tuple(value.shape[:1].as_list()) for value in inputs.values()}
        if len(rows) != 1 or rows == {()}:
            return f"{name}: a server that batches needs inputs with a row for each sentence"
        functions[name](**inputs)
    except tf.errors.OpError as error:
        return f"{name}: {error.message}"
    return ""


def load(folder: str) -> Any:
    """Loads the SavedModel.

    Raises:
      DamagedModelError: a file of the SavedModel is missing or cannot be read.
    """
    import tensorflow as tf

    try:
        return tf.saved_model.load(folder)
    except (OSError, ValueError, LookupError, tf.errors.OpError) as error:
        raise DamagedModelError(str(error)) from error


def validate(request: dict[str, Any]) -> list[str]:
    """Returns all reasons why the export cannot be served.

    Raises:
      DamagedModelError: a file of the SavedModel is missing or cannot be read.
    """
    meta_graphs = read_meta_graphs(request["model"])
    reasons = check_isolation() + check_graph(meta_graphs) + check_variables(meta_graphs)
    try:
        model = load(request["model"])
    except DamagedModelError as error:
        # A graph with unknown ops cannot be loaded either, but it is not damaged.
        if reasons:
            return [*reasons, f"it cannot be loaded: {error}"]
        raise
    reasons += check_signatures(model.signatures)
    if "serving_default" in model.signatures:
        samples, tolerance = request["samples"], request["score_tolerance"]
        reasons += check_samples(model.signatures["serving_default"], samples, tolerance)
    reasons += check_warm_up(request["model"], model.signatures)
    return reasons


def main() -> None:
    sys.meta_path.insert(0, ImportBlocker())
    with open(sys.argv[1], encoding="utf-8") as file:
        request = json.load(file)
    answer: dict[str, Any] = {"reasons": [], "damage": None}
    try:
        answer["reasons"] = validate(request)
    except DamagedModelError as error:
        answer["damage"] = str(error)
    with open(sys.argv[2], "w", encoding="utf-8") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    main()
