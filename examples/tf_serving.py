"""Asks TensorFlow Serving for translations, by gRPC and by REST; each request is checked before it is sent.

Usage: python examples/tf_serving.py tatoeba --host localhost "Where is the station?" "I like tea."
It prints what comes back. The requests are checked against the signature that the server says it has.

Usage: python examples/tf_serving.py tatoeba --model serving/tatoeba/1 "Where is the station?" "I like tea."
With no server: it prints what would be sent, checked against the signature in the SavedModel.

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
SECONDS = 60


def grpc_request(name: str, texts: list[str]) -> predict_pb2.PredictRequest:
    """The gRPC request: tensors by name."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = name, SIGNATURE
    request.inputs["text"].CopyFrom(tf.make_tensor_proto(texts, tf.string))
    return request


def rest_request(texts: list[str]) -> dict[str, Any]:
    """The REST request's body: a row for each text. Strings are UTF-8 as they are."""
    return {"signature_name": SIGNATURE, "instances": [{"text": text} for text in texts]}


def check(inputs: dict[str, Any], signature: Any) -> None:
    """Names, dtypes and shapes of tensors (TensorProto) are those of a signature (SignatureDef)."""
    if set(inputs) != set(signature.inputs):
        raise SystemExit(f"{SIGNATURE} takes {sorted(signature.inputs)}, not {sorted(inputs)}")
    for name, wanted in signature.inputs.items():
        shape, received = tf.TensorShape(wanted.tensor_shape), tf.TensorShape(inputs[name].tensor_shape)
        if inputs[name].dtype != wanted.dtype or not shape.is_compatible_with(received):
            dtypes = tf.as_dtype(wanted.dtype).name, tf.as_dtype(inputs[name].dtype).name
            raise SystemExit(f"{name} must be {dtypes[0]}{shape}, not {dtypes[1]}{received}")


def check_rest(body: dict[str, Any], signature: Any) -> None:
    """What the server makes of the rows of a REST request fits the signature."""
    names = {name for row in body["instances"] for name in row}
    columns = {name: [row[name] for row in body["instances"]] for name in names}
    check({name: tf.make_tensor_proto(column) for name, column in columns.items()}, signature)


def signature_of_folder(folder: Path) -> Any:
    """The SignatureDef in a SavedModel."""
    model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return model.meta_graphs[0].signature_def[SIGNATURE]


def ask_grpc(address: str, request: predict_pb2.PredictRequest) -> list[tuple[float, str]]:
    """Scores and translations, from the gRPC server at HOST:PORT."""
    with grpc.insecure_channel(address) as channel:
        server = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        asked.model_spec.name = request.model_spec.name
        signatures = get_model_metadata_pb2.SignatureDefMap()
        server.GetModelMetadata(asked, timeout=SECONDS).metadata["signature_def"].Unpack(signatures)
        check(request.inputs, signatures.signature_def[SIGNATURE])
        outputs = server.Predict(request, timeout=SECONDS).outputs
    texts, scores = tf.make_ndarray(outputs["text"]), tf.make_ndarray(outputs["score"])
    return [(score, text.decode()) for score, text in zip(scores.tolist(), texts.tolist())]


def ask_rest(model: str, body: dict[str, Any]) -> list[tuple[float, str]]:
    """Scores and translations, from the REST server's http://HOST:PORT/v1/models/NAME."""
    with urllib.request.urlopen(f"{model}/metadata", timeout=SECONDS) as answer:
        metadata = json.load(answer)["metadata"]["signature_def"]
    signatures = json_format.ParseDict(metadata, get_model_metadata_pb2.SignatureDefMap())
    check_rest(body, signatures.signature_def[SIGNATURE])
    with urllib.request.urlopen(f"{model}:predict", json.dumps(body).encode(), timeout=SECONDS) as answer:
        return [(row["score"], row["text"]) for row in json.load(answer)["predictions"]]


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask TensorFlow Serving for translations.")
    parser.add_argument("name", help="what the server calls the model")
    parser.add_argument("texts", nargs="+", help="sentences to translate")
    parser.add_argument("--host", help="where the server is")
    parser.add_argument("--port", type=int, default=8500, help="its port for gRPC")
    parser.add_argument("--rest-api-port", type=int, default=8501, help="its port for REST")
    parser.add_argument("--model", type=Path, help="the SavedModel, where there is no server")
    given = parser.parse_args()
    request, body = grpc_request(given.name, given.texts), rest_request(given.texts)
    if given.host:
        url = f"http://{given.host}:{given.rest_api_port}/v1/models/{given.name}"
        for way, answers in (
            ("gRPC", ask_grpc(f"{given.host}:{given.port}", request)),
            ("REST", ask_rest(url, body)),
        ):
            print(way, *(f"{score:6.2f}  {text}" for score, text in answers), sep="\n")
    elif given.model:
        signature = signature_of_folder(given.model)
        check(request.inputs, signature)
        check_rest(body, signature)
        print("gRPC", request, "REST", json.dumps(body, ensure_ascii=False), sep="\n")
    else:
        parser.error("--host or --model says what to check the requests against")


if __name__ == "__main__":
    main()
