"""The server's routes: the protocol, the API of the page, guards, metrics and the request log."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from google.protobuf import json_format
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from starlette.testclient import TestClient
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from bitext.components.artifacts import Withdrawal
from bitext.components.serving.app import Application
from bitext.components.serving.guard import CONTENT_SECURITY_POLICY, allowed_hosts
from bitext.components.serving.loaded import LoadedVersion
from bitext.components.serving.request_log import RequestLog
from bitext.components.serving.settings import Limits
from bitext.components.shared.errors import EnvironmentFault
from bitext.components.statistics_gen.requests import LineCounts, read_texts
from tests.components import served_toys
from tests.components.served_toys import HOST, digest, predict, push
from tests.components.small_export import Export

NBEST = {"beam_size": 3, "length_penalty": 1.0, "max_length": 20}


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A serving folder: version 2 was withdrawn, version 3 is a copy of version 1."""
    folder = tmp_path_factory.mktemp("serving") / "toy"
    push(folder, 1, "upper", bleu=12.5, pipeline="toy")
    push(folder, 2, "reverse")
    withdrawn = {digest("reverse"): Withdrawal(2, "<b>wrong</b>", "2026-01-31T12:00:00+00:00")}
    push(folder, 3, "upper", rolled_back_to=1, withdrawn=withdrawn)
    return folder


@pytest.fixture(scope="module")
def client(serving: Path) -> Iterator[TestClient]:
    with served_toys.client(serving) as test_client:
        yield test_client


def error(response: Any, status: int) -> str:
    """Returns the message of an answer with an error."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    document = response.json()
    assert list(document) == ["error"]
    message: str = document["error"]
    return message


class TestPredict:
    URL = "/v1/models/toy:predict"

    def post(self, client: TestClient, document: Any, path: str = URL) -> Any:
        return client.post(path, content=json.dumps(document))

    def test_rows(self, client: TestClient) -> None:
        answer = self.post(client, {"instances": [{"text": "a b"}, {"text": "ї"}]}).json()
        assert [(row["text"], row["score"]) for row in answer["predictions"]] == [("A B", -3.0), ("Ї", -2.0)]

    def test_columns(self, client: TestClient) -> None:
        inputs = {"text": ["a b"], **NBEST}
        answer = self.post(client, {"signature_name": "translate_nbest", "inputs": inputs}).json()
        assert answer["outputs"]["text"] == [["A B", "AA B", "AAA B"]]
        assert answer["outputs"]["length"] == [[3, 3, 3]]

    def test_constraints(self, client: TestClient) -> None:
        inputs = {
            "text": ["a b", "c"],
            "prefix": ["X ", ""],
            "required": [["A"], [""]],
            "banned": [["b"], [""]],
        }
        numbers = {"no_repeat_ngram": 0, "repetition_penalty": 1.0, "max_length_factor": 0}
        request = {"signature_name": "translate_constrained", "inputs": inputs | numbers | NBEST}
        outputs = self.post(client, request).json()["outputs"]
        assert [row[0] for row in outputs["text"]] == ["X A B", "C"]
        assert outputs["meets_constraints"] == [[True] * 3] * 2

    def test_a_single_output_has_no_name(self, client: TestClient) -> None:
        request = {"signature_name": "detokenize", "instances": [[69, 70]]}
        assert self.post(client, request).json() == {"predictions": ["AB"]}

    def test_bytes(self, client: TestClient) -> None:
        answer = self.post(client, {"instances": [{"b64": "YSBi"}]}).json()
        assert answer["predictions"][0]["text"] == "A B"

    def test_a_version_and_any_case_of_the_path(self, client: TestClient) -> None:
        assert predict(client, ["a"], "/v1/models/toy/versions/3:predict") == ["A"]
        assert predict(client, ["a"], "/V1/models/toy/Versions/0003:predict") == ["A"]
        assert predict(client, ["a"], "/v1/models/%74oy:predict") == ["A"]

    @pytest.mark.parametrize(
        ("path", "status", "message"),
        [
            ("/v1/models/other:predict", 404, "Servable not found for request: Latest(other)"),
            ("/v1/models/toy/versions/9:predict", 404, "Servable not found for request: Specific(toy, 9)"),
            ("/v1/models/toy/versions/1:predict", 404, "Servable not found for request: Specific(toy, 1)"),
            ("/v1/models/toy/labels/new:predict", 400, "Unrecognized servable version label: new"),
            ("/v1/models/toy/versions/99999999999999999999:predict", 400, "Failed to convert version"),
            (
                "/v1/models/toy:classify",
                400,
                "Expected a signature with method_name tensorflow/serving/classify",
            ),
            ("/v1/models/toy:guess", 400, "Malformed request: POST /v1/models/toy:guess"),
            ("/v1/models/toy/versions/x:predict", 400, "Malformed request: POST"),
            ("/v1/models/toy", 400, "Malformed request: POST /v1/models/toy"),
        ],
    )
    def test_paths_of_nothing(self, client: TestClient, path: str, status: int, message: str) -> None:
        assert message in error(self.post(client, {"instances": ["a"]}, path), status)

    def test_an_unknown_signature(self, client: TestClient) -> None:
        response = self.post(client, {"signature_name": "nope", "instances": ["a"]})
        assert error(response, 400) == 'Serving signature name: "nope" not found in signature def'

    def test_a_signature_without_inputs(self, client: TestClient) -> None:
        response = self.post(client, {"signature_name": "info", "inputs": {}})
        assert error(response, 400) == "Failed to get input map for signature: info"

    @pytest.mark.parametrize("path", [URL, "/api/translate"])
    @pytest.mark.parametrize(
        "body",
        [
            b'{"text": "caf\xe9", "instances": ["caf\xe9"]}',
            b'{"text": '
            + b"[" * 900
            + b"]" * 900
            + b', "instances": ['
            + b'{"text": ' * 900
            + b"1"
            + b"}" * 900
            + b"]}",
            b'{"text": "\\ud800", "instances": ["\\ud800"]}',
        ],
    )
    def test_what_is_no_text(self, client: TestClient, path: str, body: bytes) -> None:
        assert error(client.post(path, content=body), 400)

    def test_limits(self, client: TestClient) -> None:
        nbest = {"signature_name": "translate_nbest", "inputs": {"text": ["a"], **NBEST, "beam_size": 10**5}}
        assert "'beam_size' must be 1 to 32, received 100000" in error(self.post(client, nbest), 400)
        assert "129 instances are more than the limit of 128" in error(
            self.post(client, {"instances": ["a"] * 129}), 400
        )

    def test_a_large_body(self, client: TestClient) -> None:
        body = b" " * (1 << 20) + b"{}"
        assert "the body has 1,048,578 bytes; the limit is 1,048,576" in error(
            client.post(self.URL, content=body), 413
        )
        chunks = client.post(self.URL, content=iter([body[:600_000], body[600_000:]]))
        assert "the body has more than 1,048,576 bytes" in error(chunks, 413)

    def test_a_compressed_body(self, client: TestClient) -> None:
        response = client.post(self.URL, content=b"x", headers={"content-encoding": "gzip"})
        assert error(response, 415) == "the body is encoded as 'gzip'; send it as it is"

    def test_an_answer_in_time_or_none(self, serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        go_on = threading.Event()
        with served_toys.client(serving, timeout=0.2) as client:
            call = LoadedVersion.call
            monkeypatch.setattr(LoadedVersion, "call", lambda *arguments: go_on.wait(30) and call(*arguments))
            message = error(self.post(client, {"instances": ["a"]}), 504)
            go_on.set()
        assert message == "no answer within 0.2 s: the limit of --timeout"

    def test_a_full_queue(self, serving: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        go_on = threading.Event()
        with served_toys.client(serving, queued_rows=1) as client:
            call = LoadedVersion.call
            monkeypatch.setattr(LoadedVersion, "call", lambda *arguments: go_on.wait(30) and call(*arguments))
            answers: list[Any] = []
            threads = [
                threading.Thread(target=lambda: answers.append(self.post(client, {"instances": ["a"]})))
                for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            deadline = time.monotonic() + 60
            while len(answers) < 4 and time.monotonic() < deadline:
                time.sleep(0.01)
            go_on.set()
            for thread in threads:
                thread.join()
        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(refused) >= 4
        assert all("the server is busy" in error(answer, 503) for answer in refused)
        assert {answer.headers["retry-after"] for answer in refused} == {"1"}


class TestStatusAndMetadata:
    def test_status(self, client: TestClient) -> None:
        answer = client.get("/v1/models/toy").json()
        first = answer["model_version_status"][0]
        assert first == {
            "version": "3",
            "state": "AVAILABLE",
            "status": {"error_code": "OK", "error_message": ""},
        }
        json_format.ParseDict(answer, get_model_status_pb2.GetModelStatusResponse())
        assert client.get("/v1/models/toy/versions/3").json() == {"model_version_status": [first]}

    def test_the_status_of_a_damaged_version(self, tmp_path: Path) -> None:
        push(tmp_path / "toy", 1)
        version = push(tmp_path / "toy", 2)
        (version / "saved_model.pb").write_bytes(b"x")
        with served_toys.client(tmp_path / "toy") as client:
            answer = client.get("/v1/models/toy/versions/2").json()
        [status] = answer["model_version_status"]
        assert (status["state"], status["status"]["error_code"]) == ("END", "DATA_LOSS")
        assert "its files are not those that were pushed" in status["status"]["error_message"]
        json_format.ParseDict(answer, get_model_status_pb2.GetModelStatusResponse())

    @pytest.mark.parametrize(
        ("path", "status", "message"),
        [
            ("/v1/models/other", 404, "Could not find any versions of model other"),
            ("/v1/models/toy/versions/9", 404, "Could not find version 9 of model toy"),
            ("/v1/models/other/metadata", 404, "Servable not found for request: Latest(other)"),
            ("/v1/models/toy/labels/new/metadata", 400, "Unrecognized servable version label: new"),
            ("/v1/models", 400, "Missing model name in request."),
            ("/v1/models/toy:predict", 400, "Malformed request: GET /v1/models/toy:predict"),
            ("/v1/nothing", 400, "Malformed request: GET /v1/nothing"),
            ("/nothing", 404, "there is no page /nothing"),
        ],
    )
    def test_paths_of_nothing(self, client: TestClient, path: str, status: int, message: str) -> None:
        assert message in error(client.get(path), status)

    def test_metadata_are_the_signatures_of_the_model(self, client: TestClient, serving: Path) -> None:
        for path in ("/v1/models/toy/metadata", "/v1/models/toy/versions/3/metadata"):
            answer = client.get(path).json()
            assert answer["model_spec"] == {"name": "toy", "signature_name": "", "version": "3"}
            printed = answer["metadata"]["signature_def"]
            parsed = json_format.ParseDict(printed, get_model_metadata_pb2.SignatureDefMap())
            model = saved_model_pb2.SavedModel.FromString((serving / "3" / "saved_model.pb").read_bytes())
            expected = model.meta_graphs[0].signature_def
            assert set(parsed.signature_def) == set(expected)
            assert all(parsed.signature_def[name] == expected[name] for name in expected)
            text = printed["signature_def"]["serving_default"]["inputs"]["text"]
            assert text["dtype"] == "DT_STRING"
            assert text["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}


class TestGuard:
    @pytest.mark.parametrize("host", ["127.0.0.1:8500", "localhost", "LOCALHOST:1", "[::1]:8500"])
    def test_names_of_this_machine(self, client: TestClient, host: str) -> None:
        assert client.get("/healthz", headers={"host": host}).status_code == 200

    @pytest.mark.parametrize("host", ["evil.example", "evil.example:8500", "127.0.0.1.evil.example", ""])
    @pytest.mark.parametrize("path", ["/", "/healthz", "/v1/models/toy", "/nothing"])
    def test_a_name_that_was_made_to_point_here(self, client: TestClient, host: str, path: str) -> None:
        assert "is not a name of this server" in error(client.get(path, headers={"host": host}), 403)

    @pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://x"])
    def test_pages_of_another_origin(self, client: TestClient, origin: str) -> None:
        response = client.post("/v1/models/toy:predict", content=b"{}", headers={"origin": origin})
        assert "may not use this server" in error(response, 403)
        assert "access-control-allow-origin" not in response.headers

    def test_the_page_itself(self, client: TestClient) -> None:
        assert client.get("/healthz", headers={"origin": HOST}).status_code == 200

    def test_security_headers(self, client: TestClient) -> None:
        for path in ("/", "/page.js", "/v1/models/toy", "/nothing"):
            headers = client.get(path).headers
            assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
            assert headers["x-content-type-options"] == "nosniff"

    def test_hosts_of_other_addresses(self) -> None:
        assert allowed_hosts("0.0.0.0", ()) is None
        assert allowed_hosts("0.0.0.0", ["mt.example"]) == {
            "0.0.0.0",
            "localhost",
            "127.0.0.1",
            "::1",
            "mt.example",
        }
        assert allowed_hosts("127.0.0.1", ["mt.example"]) == {"localhost", "127.0.0.1", "::1", "mt.example"}


class TestPage:
    def test_files(self, client: TestClient) -> None:
        for path, kind in (("/", "text/html"), ("/page.css", "text/css"), ("/page.js", "text/javascript")):
            response = client.get(path)
            assert response.status_code == 200
            assert response.headers["content-type"].startswith(kind)
        assert "://" not in client.get("/").text.replace("http-equiv", "")

    def test_methods(self, client: TestClient) -> None:
        assert error(client.post("/"), 405) == "/ does not answer POST"
        assert error(client.get("/api/translate"), 405) == "/api/translate does not answer GET"

    def test_versions(self, client: TestClient) -> None:
        answer = client.get("/api/versions").json()
        assert (answer["model"], answer["served"], answer["source_language"]) == ("toy", 3, "en")
        versions = {version["version"]: version for version in answer["versions"]}
        assert list(versions) == [3, 2, 1]
        assert versions[3] | {"bleu": None} == {
            "version": 3,
            "state": "AVAILABLE",
            "error": "",
            "served": True,
            "candidate": False,
            "withdrawn": None,
            "copy_of": 1,
            "bleu": None,
            "pipeline": None,
        }
        assert versions[2]["withdrawn"] == {"reason": "<b>wrong</b>", "time": "2026-01-31T12:00:00+00:00"}
        assert (versions[1]["bleu"], versions[1]["pipeline"]) == (12.5, "toy")

    def translate(self, client: TestClient, **request: Any) -> Any:
        return client.post("/api/translate", content=json.dumps(request))

    def test_a_paragraph_is_split_into_sentences(self, client: TestClient) -> None:
        answer = self.translate(client, text="One two. Is it?\n\n  \nThree.").json()
        assert answer["version"] == 3
        assert answer["paragraphs"] == 4
        assert [(s["paragraph"], s["source"], s["translations"][0]["text"]) for s in answer["sentences"]] == [
            (0, "One two.", "ONE TWO."),
            (0, "Is it?", "IS IT?"),
            (3, "Three.", "THREE."),
        ]

    def test_nbest_lists_and_versions(self, client: TestClient) -> None:
        answer = self.translate(client, text="a b", nbest=3, version=2).json()
        assert answer["version"] == 2
        [sentence] = answer["sentences"]
        assert [t["text"] for t in sentence["translations"]] == ["b a", "bb a", "bbb a"]
        assert [t["score"] for t in sentence["translations"]] == [-3.0, -4.0, -5.0]

    def test_a_long_text_is_translated_whole(self, client: TestClient) -> None:
        sentences = [f"Sentence {n} has so many words that no limit may cut it." for n in range(150)]
        answer = self.translate(client, text=" ".join(sentences), nbest=4).json()
        assert [s["source"] for s in answer["sentences"]] == sentences
        assert [s["translations"][0]["text"] for s in answer["sentences"]] == [s.upper() for s in sentences]

    def test_only_new_sentences_are_sent_to_the_model(self, serving: Path) -> None:
        with served_toys.client(serving) as client:
            for text in ("One. Two.", "One. Two. Three.", "Three. One.", "Three. One."):
                answer = self.translate(client, text=text).json()
                assert [s["translations"][0]["text"] for s in answer["sentences"]] == text.upper().split()
            assert self.translate(client, text="One. Two.", version=2).json()["version"] == 2
            self.translate(client, text="One.", nbest=2)
            families = {f.name: f for f in text_string_to_metric_families(client.get("/metrics").text)}
        rows = {
            sample.labels["signature"]: sample.value
            for sample in families["bitext_serve_batch_rows"].samples
            if sample.name.endswith("_sum")
        }
        assert rows == {"serving_default": 5, "translate_nbest": 1, "tokenize": 6}

    @pytest.mark.parametrize("text", ["", " ", "\n\n", "\u3000"])
    def test_blank_text(self, client: TestClient, text: str) -> None:
        assert self.translate(client, text=text).json()["sentences"] == []

    @pytest.mark.parametrize(
        ("request_", "status", "message"),
        [
            ({"text": 1}, 400, "Expected `str`, got `int` - at `$.text`"),
            ({}, 400, "missing required field `text`"),
            ({"text": "a", "beam": 1}, 400, "unknown field `beam`"),
            ({"text": "a", "nbest": 33}, 400, "'nbest' must be 1 to 32, received 33"),
            ({"text": "a", "nbest": 0}, 400, "'nbest' must be 1 to 32, received 0"),
            ({"text": "a", "version": 9}, 404, "there is no version 9"),
            (
                {"text": "a" * 10_001},
                400,
                "the text has 10,001 characters, more than the limit of 10,000; translate it in parts",
            ),
            (
                {"text": "a" * 2_001},
                400,
                "2,001 characters, more than the limit of 2,000; divide it with a full stop or a line break",
            ),
            (
                {"text": " ".join(f"Yes {n}." for n in range(40)), "nbest": 4, "alignment": True},
                400,
                "40 sentences: with 4 translations each, that is more than the limit of 128 alignments",
            ),
            (
                {"text": " ".join(f"Yes {n}." for n in range(150)), "nbest": 32},
                400,
                "the text has 150 sentences: with 32 translations each, that is more than the limit of 4,096",
            ),
        ],
    )
    def test_errors(self, client: TestClient, request_: Any, status: int, message: str) -> None:
        assert message in error(self.translate(client, **request_), status)

    def test_a_sentence_that_is_longer_than_the_model_reads(self, export: Export) -> None:
        with served_toys.client(export.path) as client:
            [sentence] = self.translate(client, text="seven songs on the mat, he said").json()["sentences"]
            [short] = self.translate(client, text="a mat").json()["sentences"]
        assert (sentence["is_cut"], short["is_cut"]) == (True, False)
        assert sentence["tokens"] > 12

    def test_the_alignment_covers_both_texts(self, export: Export) -> None:
        with served_toys.client(export.path) as client:
            for nbest in (1, 3):
                answer = self.translate(client, text="the cat sat", nbest=nbest, alignment=True).json()
                [sentence] = answer["sentences"]
                outputs = export("serving_default", text=["the cat sat"])
                for translation in sentence["translations"]:
                    aligned = translation["alignment"]
                    assert "".join(text for text, _ in aligned["source"]) == "the cat sat"
                    assert "".join(text for text, _ in aligned["target"]) == translation["text"]
                    units = [
                        {unit for _, unit in aligned[side] if unit is not None}
                        for side in ("source", "target")
                    ]
                    assert units[0] == {0, 1, 2}
                    assert np.shape(aligned["weights"]) == (max(units[1], default=-1) + 1, 3)
                best = sentence["translations"][0]
                assert best["text"] == outputs["text"][0].decode()
                if nbest == 1:
                    rows = outputs["alignment"][0][: outputs["length"][0]]
                    weights = np.array(best["alignment"]["weights"])
                    assert weights.sum() <= len(rows) + 0.01
                    assert (weights >= 0).all()


class TestOperation:
    def test_health(self, client: TestClient) -> None:
        assert client.get("/healthz").json() == {"status": "ok", "model": "toy", "version": 3}

    def test_health_without_a_version(self, tmp_path: Path) -> None:
        service = served_toys.service(push(tmp_path / "toy", 1).parent)
        with TestClient(Application(service).asgi(), HOST) as client:
            service.manager.served = None
            assert error(client.get("/healthz"), 503) == "no version is served"

    def test_metrics(self, serving: Path) -> None:
        with served_toys.client(serving) as client:
            predict(client, ["a", "b"])
            client.get("/v1/models/other")
            response = client.get("/metrics")
        assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
        families = {family.name: family for family in text_string_to_metric_families(response.text)}
        requests = {
            (sample.labels["route"], sample.labels["code"]): sample.value
            for sample in families["bitext_serve_requests"].samples
        }
        assert requests == {("predict", "200"): 1, ("status", "404"): 1}
        assert families["bitext_serve_served_version"].samples[0].value == 3
        assert families["bitext_serve_batch_rows"].type == "histogram"
        [rows] = [s for s in families["bitext_serve_batch_rows"].samples if s.name.endswith("_sum")]
        assert (rows.labels["signature"], rows.value) == ("serving_default", 2)
        assert {sample.labels["model"] for family in families.values() for sample in family.samples} == {
            "toy"
        }

    def test_a_hostile_name_of_a_model(self, tmp_path: Path) -> None:
        name = 'a "b"\\\n\tї'
        push(tmp_path / name, 1)
        with served_toys.client(tmp_path / name) as client:
            families = list(text_string_to_metric_families(client.get("/metrics").text))
        assert {sample.labels["model"] for family in families for sample in family.samples} == {name}

    def test_the_request_log_is_what_request_statistics_reads(self, serving: Path, tmp_path: Path) -> None:
        log = tmp_path / "requests.jsonl"
        texts = ["Where is it?", " ", 'a "quoted"\nline\u2028', "ї" * 2000]
        with served_toys.client(serving, request_log=log) as client:
            assert len(predict(client, texts)) == 4
            client.post(
                "/v1/models/toy:predict",
                content=json.dumps(
                    {"signature_name": "score", "instances": [{"source": "a source", "target": "a target"}]}
                ),
            )
            client.post("/v1/models/toy:predict", content=json.dumps({"instances": [1]}))
            client.post("/api/translate", content=json.dumps({"text": "typed"}))
        counts = LineCounts(str(log))
        [read] = read_texts(str(log), counts)
        assert read == [texts[0], *texts[2:], "a source"]
        assert (counts.lines, counts.damaged) == (5, 0)
        first = json.loads(log.read_text(encoding="utf-8").splitlines()[0])
        assert (first["version"], first["signature"]) == (3, "serving_default")
        assert log.stat().st_mode & 0o777 == 0o600

    def test_a_log_that_was_rotated(self, tmp_path: Path) -> None:
        path = tmp_path / "requests.jsonl"
        log = RequestLog(path, lambda text: None)
        log.write([b"one"], 1, "serving_default")
        path.rename(tmp_path / "old.jsonl")
        log.write([b"two"], 1, "serving_default")
        log.close()
        assert "one" in (tmp_path / "old.jsonl").read_text()
        assert "two" in path.read_text()

    def test_a_log_that_cannot_be_written(self, tmp_path: Path) -> None:
        with pytest.raises(EnvironmentFault, match="cannot be written: No such file or directory"):
            RequestLog(tmp_path / "nothing" / "requests.jsonl", lambda text: None)
        said: list[str] = []
        full = RequestLog(Path("/dev/full"), said.append)
        for _ in range(2):
            full.write([b"one"], 1, "serving_default")
        assert said == [
            "warning: the request log /dev/full cannot be written: No space left on device; requests are"
            " answered, but not logged until it can be; free space, or restore the folder"
        ]
        assert full.errors == 2

    def test_limits_are_settings(self, serving: Path) -> None:
        with served_toys.client(serving, limits=Limits(instances=1)) as client:
            response = client.post("/v1/models/toy:predict", content=json.dumps({"instances": ["a", "b"]}))
        assert "2 instances are more than the limit of 1" in error(response, 400)
