"""The clients in examples/, run as a user runs them: in a new process and another folder."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import keras
import msgspec
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import json_format, text_format
from PIL import Image
from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from tests.components.small_export import SEARCH, Export, assert_same

EXAMPLES = Path(__file__).parents[2] / "examples"
TEXTS = ["the cat sat", "a mat", "їжак 🦔"]


def example(name: str, folder: Path, *arguments: object, stdin: str = "") -> str:
    """Runs an example and returns what it prints."""
    process = subprocess.run(
        [sys.executable, "-I", EXAMPLES / name, *map(str, arguments)],
        cwd=folder,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout


def lines_of(answer: dict[str, np.ndarray]) -> list[str]:
    """Returns scores and translations as the examples print them."""
    return [f"{score:6.2f}  {text.decode()}" for score, text in zip(answer["score"], answer["text"])]


def test_translate(export, tmp_path):
    lines = [*TEXTS, "", *(f"the cat {number}" for number in range(70))]
    printed = example("translate.py", tmp_path, export.path, stdin="\n".join(lines) + "\n")
    assert printed.splitlines() == lines_of(export("serving_default", text=lines))


@pytest.mark.parametrize(
    "search",
    [
        {},
        {"coverage_penalty": 0.3, "min_length": 4},
        pytest.param({"max_length_factor": 1}, marks=pytest.mark.slow),
    ],
)
def test_beam_search_finds_what_translate_nbest_finds(export, tmp_path, search):
    if search:
        settings = msgspec.structs.replace(SEARCH, **search)
        export = Export(tmp_path, search=settings)
    beam_search = runpy.run_path(str(EXAMPLES / "beam_search.py"))["beam_search"]
    for text in (*TEXTS, "he said the cat sat"):
        for beam_size, length_penalty, max_length in ((1, 1.0, 9), (2, 0.0, 4), (5, 0.6, 9), (5, 1.0, 1)):
            given = {"beam_size": beam_size, "length_penalty": length_penalty, "max_length": max_length}
            expected = export("translate_nbest", text=[text], **given)
            found = beam_search(export.loaded.signatures, text, beam_size, length_penalty, max_length)
            filled = int((expected["score"][0] > -1e8).sum())
            tokens = [[token for token in row if token] for row in expected["tokens"][0, :filled].tolist()]
            assert [row for _, row in found] == tokens, (text, given)
            np.testing.assert_allclose([s for s, _ in found], expected["score"][0, :filled], rtol=1e-4)
    printed = example("beam_search.py", tmp_path, export.path, "a mat")
    best = export("translate_nbest", text=["a mat"], **export("default_search"))
    assert printed.splitlines() == lines_of({name: best[name][0] for name in ("score", "text")})


def test_a_layer_of_keras_translates(export):
    layer = keras.layers.TFSMLayer(str(export.path), call_endpoint="serving_default")
    answer = layer(tf.constant(TEXTS))
    assert_same(
        {name: value.numpy() for name, value in answer.items()}, export("serving_default", text=TEXTS)
    )


def test_run_inference(export, tmp_path):
    (tmp_path / "lines.txt").write_text("\n".join(TEXTS) + "\n", encoding="utf-8")
    example("run_inference.py", tmp_path, export.path, "lines.txt", "translations")
    written = (tmp_path / "translations-00000-of-00001").read_text(encoding="utf-8")
    texts = [text.decode() for text in export("serving_default", text=TEXTS)["text"]]
    assert sorted(written.splitlines()) == sorted(f"{a}\t{b}" for a, b in zip(TEXTS, texts))


def test_step_by_step(export, tmp_path):
    printed = example("step_by_step.py", tmp_path, export.path, "a mat", "alignment.png")
    best = export("translate_nbest", text=["a mat"], beam_size=1, length_penalty=0.0, max_length=100)
    assert printed == best["text"][0, 0].decode() + "\n"
    with Image.open(tmp_path / "alignment.png") as picture:
        assert picture.format == "PNG"
        columns = export("tokenize", text=["a mat"])["length"][0]
        assert picture.size == (200 + 40 * columns, 200 + 40 * best["length"][0, 0])
        assert len(picture.convert("L").getcolors()) > 30  # white, black, and greys


class ServedModel:
    """A loaded model that answers like TensorFlow Serving: inputs and outputs by name and dtype."""

    def __init__(self, export: Export):
        self.functions = export.loaded.signatures
        self.calls: list[tuple[str, str]] = []
        self.ports: tuple[object, ...] = ()
        saved = saved_model_pb2.SavedModel.FromString((export.path / "saved_model.pb").read_bytes())
        self.signatures = get_model_metadata_pb2.SignatureDefMap(
            signature_def=saved.meta_graphs[0].signature_def
        )

    def __call__(self, protocol: str, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
        function = self.functions[signature]
        specs = function.structured_input_signature[1]
        assert set(inputs) == set(specs)
        self.calls.append((protocol, signature))
        outputs = function(**{name: tf.constant(inputs[name], specs[name].dtype) for name in inputs})
        return {name: value.numpy() for name, value in outputs.items()}


class GrpcService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """The gRPC service of a served model."""

    def __init__(self, served: ServedModel):
        self.served = served

    def GetModelMetadata(self, request: Any, context: Any) -> Any:
        assert (request.model_spec.name, list(request.metadata_field)) == ("toy", ["signature_def"])
        answer = get_model_metadata_pb2.GetModelMetadataResponse(model_spec=request.model_spec)
        answer.metadata["signature_def"].Pack(self.served.signatures)
        return answer

    def Predict(self, request: Any, context: Any) -> Any:
        assert request.model_spec.name == "toy"
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        outputs = self.served("gRPC", request.model_spec.signature_name, inputs)
        return predict_pb2.PredictResponse(
            model_spec=request.model_spec,
            outputs={name: tf.make_tensor_proto(value) for name, value in outputs.items()},
        )


def rest(served: ServedModel) -> type[BaseHTTPRequestHandler]:
    """Returns the REST service of a served model."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/v1/models/toy/metadata"
            signatures = json_format.MessageToDict(served.signatures, preserving_proto_field_name=True)
            self.reply({"model_spec": {"name": "toy"}, "metadata": {"signature_def": signatures}})

        def do_POST(self) -> None:
            assert self.path == "/v1/models/toy:predict"
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            names = body["instances"][0].keys()
            inputs = {name: [row[name] for row in body["instances"]] for name in names}
            outputs = served("REST", body["signature_name"], inputs)
            outputs["text"] = np.array([text.decode() for text in outputs["text"]])
            rows = zip(*(value.tolist() for value in outputs.values()), strict=True)
            self.reply({"predictions": [dict(zip(outputs, row, strict=True)) for row in rows]})

        def reply(self, answer: dict[str, Any]) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


@pytest.fixture
def served(export: Export) -> Iterator[ServedModel]:
    """The model behind two servers; `ports` are the client's options for them."""
    served = ServedModel(export)
    with futures.ThreadPoolExecutor(2) as threads:
        rpc = grpc.server(threads)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(GrpcService(served), rpc)
        port = rpc.add_insecure_port("127.0.0.1:0")
        rpc.start()
        with ThreadingHTTPServer(("127.0.0.1", 0), rest(served)) as http:
            threading.Thread(target=http.serve_forever).start()
            served.ports = ("--port", port, "--rest-api-port", http.server_address[1])
            yield served
            http.shutdown()
        rpc.stop(None).wait()


class TestTensorFlowServing:
    def test_grpc_and_rest_translate(self, export: Export, served: ServedModel, tmp_path: Path) -> None:
        printed = example("tf_serving.py", tmp_path, "toy", "--host", "127.0.0.1", *served.ports, *TEXTS)
        expected = lines_of(export("serving_default", text=TEXTS))
        assert printed.splitlines() == ["gRPC", *expected, "REST", *expected]
        assert served.calls == [("gRPC", "serving_default"), ("REST", "serving_default")]

    def test_without_a_server_the_requests_are_printed(self, export: Export, tmp_path: Path) -> None:
        printed = example("tf_serving.py", tmp_path, "toy", "--model", export.path, *TEXTS)
        message, body = printed.removeprefix("gRPC\n").split("REST\n")
        request = text_format.Parse(message, predict_pb2.PredictRequest())
        assert (request.model_spec.name, request.model_spec.signature_name) == ("toy", "serving_default")
        assert [text.decode() for text in tf.make_ndarray(request.inputs["text"])] == TEXTS
        assert [row["text"] for row in json.loads(body)["instances"]] == TEXTS

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"name": "words"}, "serving_default takes ['words'], not ['text']"),
            ({"dtype": tf.int32}, "text must be int32(None,), not string(3,)"),
            ({"shape": [None, 2]}, "text must be string(None, 2), not string(3,)"),
        ],
        ids=["name", "dtype", "rank"],
    )
    def test_a_request_of_another_form_is_not_sent(self, change: dict[str, Any], message: str) -> None:
        client = runpy.run_path(str(EXAMPLES / "tf_serving.py"))
        signature = meta_graph_pb2.SignatureDef()
        info = signature.inputs[change.get("name", "text")]
        info.dtype = change.get("dtype", tf.string).as_datatype_enum
        info.tensor_shape.CopyFrom(tf.TensorShape(change.get("shape", [None])).as_proto())
        with pytest.raises(SystemExit) as caught:
            client["check"](client["grpc_request"]("toy", TEXTS).inputs, signature)
        assert str(caught.value) == message
        with pytest.raises(SystemExit) as caught:
            client["check_rest"](client["rest_request"](TEXTS), signature)
        assert str(caught.value) == message
