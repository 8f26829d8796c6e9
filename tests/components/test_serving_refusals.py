"""What the server does not answer, in words that tell what to change; and empty requests."""

from __future__ import annotations

import json
import shutil
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from starlette.testclient import TestClient

from bitext.components.seq2seq import ServingLimits
from bitext.components.serving.limits import answer_bytes
from bitext.components.serving.loaded import LoadedVersion
from bitext.components.serving.settings import Limits
from bitext.components.serving.tensors import encode_answer
from bitext.components.shared.errors import DataError
from bitext.components.translation.translator import LineTranslator
from tests.components import served_toys
from tests.components.served_toys import predict, push
from tests.components.small_export import LINES, Export


@pytest.fixture(scope="module")
def client(export: Export) -> Iterator[TestClient]:
    """A client of a small model of this project."""
    with served_toys.client(export.path, name="toy") as test_client:
        yield test_client


def answer(client: TestClient, signature: str, **inputs: Any) -> Any:
    """Returns the answer to a request by column."""
    body = {"signature_name": signature, "inputs": inputs}
    return client.post("/v1/models/toy:predict", content=json.dumps(body))


SAMPLE = {"samples": 2, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "max_length": 9, "seed": [1, 2]}
NBEST = {"beam_size": 2, "length_penalty": 1.0, "max_length": 9}


class TestNoRows:
    @pytest.mark.parametrize(
        ("signature", "inputs"),
        [
            ("score", {"source": [], "target": []}),
            ("translate_sample", {"text": [], **SAMPLE}),
            ("translate_nbest", {"text": [], **NBEST}),
            ("serving_default", {"text": []}),
            ("tokenize", {"text": []}),
            ("encode", {"text": []}),
        ],
    )
    def test_they_have_an_empty_answer(
        self, client: TestClient, signature: str, inputs: dict[str, Any]
    ) -> None:
        response = answer(client, signature, **inputs)
        assert response.status_code == 200, response.text
        outputs = response.json()["outputs"]
        metadata = client.get("/v1/models/toy/metadata").json()["metadata"]["signature_def"]
        assert set(outputs) == set(metadata["signature_def"][signature]["outputs"])
        assert set(map(str, outputs.values())) == {"[]"}


def test_temperature_0_is_greedy_search(client: TestClient) -> None:
    drawn = answer(client, "translate_sample", text=["the cat sat"], **SAMPLE | {"temperature": 0.0})
    best = answer(client, "translate_nbest", text=["the cat sat"], **NBEST | {"beam_size": 1})
    assert drawn.json()["outputs"]["text"][0] == best.json()["outputs"]["text"][0] * 2


def test_a_model_with_narrow_limits_answers_in_several_calls(client: TestClient, tmp_path: Path) -> None:
    export = Export(tmp_path, limits=ServingLimits(batch_size=3, hypotheses=4, tokens=80))
    lines = [line.decode() for line in LINES[:4]] * 2
    with served_toys.client(export.path, name="toy") as narrow:
        for signature, options in (("serving_default", {}), ("translate_nbest", NBEST), ("tokenize", {})):
            responses = [answer(each, signature, text=lines, **options) for each in (client, narrow)]
            assert [response.status_code for response in responses] == [200, 200]
            wide, divided = (response.json()["outputs"] for response in responses)
            assert wide.get("text", wide.get("tokens")) == divided.get("text", divided.get("tokens"))


@pytest.mark.parametrize("token", [99_999, -1])
def test_a_token_that_does_not_exist(client: TestClient, token: int) -> None:
    encoded = answer(client, "encode", text=["a cat"]).json()["outputs"]
    response = answer(client, "decode_step", token=[token], **encoded)
    assert response.status_code == 400
    assert response.json()["error"].startswith("input 'token' must be 0 to ")
    assert response.json()["error"].endswith(f", received {token}")
    assert answer(client, "decode_step", token=[1], **encoded).status_code == 200


def test_an_error_of_the_graph_tells_its_reason(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    @tf.function
    def gather(**inputs: tf.Tensor) -> tf.Tensor:
        return tf.gather([1, 2], tf.size(inputs["text"]) + 98)

    monkeypatch.setattr(LineTranslator, "signature", lambda self, name: gather)
    response = answer(client, "tokenize", text=["a"])
    assert response.status_code == 400
    assert response.json()["error"] == "signature 'tokenize': indices = 99 is not in [0, 2)"


def test_an_answer_that_is_too_large(tmp_path: Path) -> None:
    push(tmp_path / "toy", 1)
    with served_toys.client(tmp_path / "toy", limits=Limits(answer_bytes=20_000)) as client:
        assert answer(client, "encode", text=["a" * 1000]).status_code == 200
        response = answer(client, "encode", text=["a" * 1000] * 3)
    assert response.status_code == 400
    assert response.json()["error"] == (
        "the answer has about 33,066 bytes; the limit is 20,000 (--max-answer-bytes); divide the request into"
        " several"
    )


def test_the_size_of_an_answer_is_estimated() -> None:
    generator = np.random.default_rng(1)
    outputs = {
        "state": generator.standard_normal((100, 64)).astype(np.float32),
        "text": np.array(["Ein Satz, der übersetzt ist.".encode()] * 500, object),
    }
    assert answer_bytes(outputs) == pytest.approx(len(encode_answer(outputs, by_row=False)), rel=0.1)


@pytest.mark.parametrize("by_row", [True, False])
def test_a_large_answer_takes_little_memory(by_row: bool) -> None:
    state = np.random.default_rng(1).standard_normal((64, 200, 32)).astype(np.float32)
    outputs = {"memory": state, "length": np.full(64, 200, np.int32)}
    tracemalloc.start()
    body = encode_answer(outputs, by_row)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * len(body)
    rows = json.loads(body)
    memory = [row["memory"] for row in rows["predictions"]] if by_row else rows["outputs"]["memory"]
    assert (np.array(memory, np.float32) == state).all()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/translate", b'{"text": "a\\ud800b"}'),
        ("/v1/models/toy:predict", b'{"instances": ["a\\ud800b"]}'),
        ("/v1/models/toy:predict", b'{"signature_name": "\\uD800", "instances": [NaN]}'),
    ],
)
def test_half_a_surrogate_pair(client: TestClient, path: str, body: bytes) -> None:
    response = client.post(path, content=body)
    assert response.status_code == 400
    assert response.json()["error"].endswith(": \\ud800 is half a surrogate pair, not a character")


def test_no_path_of_the_server_is_told(tmp_path: Path) -> None:
    push(tmp_path / "toy", 1)
    damaged = push(tmp_path / "toy", 2)
    (damaged / "saved_model.pb").write_bytes(b"x")
    said: list[str] = []
    with served_toys.client(tmp_path / "toy", said) as client:
        answers = [
            client.post("/api/translate", content=json.dumps({"text": "a", "version": 7})).text,
            client.post("/api/translate", content=json.dumps({"text": "a", "version": 2})).text,
            client.get("/api/versions").text,
            client.get("/v1/models/toy").text,
        ]
    assert answers[0] == '{"error":"there is no version 7"}'
    assert "version 2 is damaged" in answers[2]
    assert not [text for text in answers if str(tmp_path) in text]
    assert any(str(damaged) in line for line in said)


def test_a_served_version_whose_folder_was_removed_is_listed(tmp_path: Path) -> None:
    push(tmp_path / "toy", 1)
    version = push(tmp_path / "toy", 2)
    service = served_toys.service(tmp_path / "toy", poll_seconds=0.02)
    shutil.rmtree(version)
    service.manager.versions = service.manager.catalog.versions()
    with TestClient(served_toys.Application(service).asgi(), served_toys.HOST) as client:
        listed = client.get("/api/versions").json()
        while listed["served"] == 2:
            assert [one["version"] for one in listed["versions"] if one["served"]] == [2]
            assert [one["version"] for one in listed["versions"]] == [2, 1]
            listed = client.get("/api/versions").json()
        assert predict(client, ["a"]) == ["A"]
    assert listed["served"] == 1


def test_a_label_is_checked_before_a_model_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(tmp_path / "toy", 1)
    monkeypatch.setattr(LoadedVersion, "__init__", None)
    with pytest.raises(DataError, match="--label a=99: there is no version 99"):
        served_toys.service(tmp_path / "toy", labels={"a": 99})
