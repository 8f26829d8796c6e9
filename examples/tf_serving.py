"""Translates with TensorFlow Serving, by gRPC and by REST; each request is checked before it is sent.

Usage: python examples/tf_serving.py tatoeba --host localhost "Where is the station?" "I like tea."
It prints the answers. The requests are checked against the signature that the server reports.

Usage: python examples/tf_serving.py tatoeba --host localhost --rest --rest-api-port 8500 "I like tea."
By REST only: `bitext serve` speaks it, and no gRPC.

Usage: python examples/tf_serving.py tatoeba --model serving/tatoeba/1 "Where is the station?" "I like tea."
Without a server: it prints the requests, checked against the signature in the SavedModel.

Needs `pip install tensorflow-serving-api`.
"""

from __future__ import annotations

import argparse
import json
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

SIGNATURE = "serving_default"
TIMEOUT_SECONDS = 60


def grpc_request(name: str, texts: list[str]) -> predict_pb2.PredictRequest:
    """Returns the gRPC request: tensors by name."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, SIGNATURE
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(texts, tf.string))
    return request


def rest_request(texts: list[str]) -> dict[str, Any]:
    """Returns the body of the REST request: a row for each text."""
    return {"signature_name": SIGNATURE, "instances": [{"text": text} for text in texts]}


def check(inputs: dict[str, Any], signature: Any) -> None:
    """Checks names, dtypes and shapes of tensors (TensorProto) against a signature (SignatureDef)."""
    if set(inputs) != set(signature.inputs):
        raise SystemExit(f"{SIGNATURE} takes {sorted(signature.inputs)}, not {sorted(inputs)}")
    for name, expected in signature.inputs.items():
        shape, received = tf.TensorShape(expected.tensor_shape), tf.TensorShape(inputs[name].tensor_shape)
        if inputs[name].dtype != expected.dtype or not shape.is_compatible_with(received):
            dtypes = tf.as_dtype(expected.dtype).name, tf.as_dtype(inputs[name].dtype).name
            raise SystemExit(f"{name} must be {dtypes[0]}{shape}, not {dtypes[1]}{received}")


def check_rest(body: dict[str, Any], signature: Any) -> None:
    """Checks the tensors that the server makes from the rows of a REST request."""
    names = {name for row in body["instances"] for name in row}
    columns = {name: [row[name] for row in body["instances"]] for name in names}
    check({name: tf.make_tensor_proto(column) for name, column in columns.items()}, signature)


def signature_of_folder(folder: Path) -> Any:
    """Returns the SignatureDef in a SavedModel."""
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return model.meta_graphs[0].signature_def[SIGNATURE]


def ask_grpc(address: str, request: predict_pb2.PredictRequest) -> list[tuple[float, str]]:
    """Returns scores and translations from the gRPC server at HOST:PORT."""
    with grpc.insecure_channel(address) as channel:
        server = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        metadata_request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        metadata_request.model_spec.name = request.model_spec.name
        signatures = get_model_metadata_pb2.SignatureDefMap()
        server.GetModelMetadata(metadata_request, timeout=TIMEOUT_SECONDS).metadata["signature_def"].Unpack(
            signatures
        )
        check(request.inputs, signatures.signature_def[SIGNATURE])
        outputs = server.Predict(request, timeout=TIMEOUT_SECONDS).outputs
    texts, scores = tf.make_ndarray(outputs["text"]), tf.make_ndarray(outputs["score"])
    return [(score, text.decode()) for score, text in zip(scores.tolist(), texts.tolist())]


def ask_rest(model: str, body: dict[str, Any]) -> list[tuple[float, str]]:
    """Returns scores and translations from the REST server's http://HOST:PORT/v1/models/NAME."""
    with urllib.request.urlopen(f"{model}/metadata", timeout=TIMEOUT_SECONDS) as answer:
        metadata = json.load(answer)["metadata"]["signature_def"]
    signatures = json_format.ParseDict(metadata, get_model_metadata_pb2.SignatureDefMap())
    check_rest(body, signatures.signature_def[SIGNATURE])
    with urllib.request.urlopen(
        f"{model}:predict", json.dumps(body).encode(), timeout=TIMEOUT_SECONDS
    ) as answer:
        return [(row["score"], row["text"]) for row in json.load(answer)["predictions"]]


def show(protocol: str, answers: list[tuple[float, str]]) -> None:
    """Prints scores and translations."""
    print(protocol, *(f"{score:6.2f}  {text}" for score, text in answers), sep="\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="Translate with TensorFlow Serving.")
    parser.add_argument("name", help="name of the model on the server")
    parser.add_argument("texts", nargs="+", help="sentences to translate")
    parser.add_argument("--host", help="host name of the server")
    parser.add_argument("--port", type=int, default=8500, help="gRPC port of the server (default: 8500)")
    parser.add_argument(
        "--rest-api-port", type=int, default=8501, help="REST port of the server (default: 8501)"
    )
    parser.add_argument("--rest", action="store_true", help="translate by REST only")
    parser.add_argument(
        "--model", type=Path, help="folder of the SavedModel, to check the requests without a server"
    )
    options = parser.parse_args()
    request, body = grpc_request(options.name, options.texts), rest_request(options.texts)
    if options.host:
        url = f"http://{options.host}:{options.rest_api_port}/v1/models/{options.name}"
        if not options.rest:
            show("gRPC", ask_grpc(f"{options.host}:{options.port}", request))
        show("REST", ask_rest(url, body))
    elif options.model:
        signature = signature_of_folder(options.model)
        check(request.inputs, signature)
        check_rest(body, signature)
        print("gRPC", request, "REST", json.dumps(body, ensure_ascii=False), sep="\n")
    else:
        parser.error("give --host or --model: the requests are checked against its signature")


if __name__ == "__main__":
    main()
