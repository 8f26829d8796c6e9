"""The command `bitext serve`: its process, its signals, its messages, and a client of TensorFlow Serving."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bitext.pipeline import cli
from tests.components.served_toys import push
from tests.pipeline.serve_process import BODY, REPOSITORY, Server, running


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("serving") / "toy"
    push(folder, 1)
    return folder


def test_a_client_of_tensorflow_serving_and_new_versions(serving: Path, tmp_path: Path) -> None:
    """The example runs as against TensorFlow Serving; a pushed version is served; SIGTERM ends with 0."""
    log = tmp_path / "requests.jsonl"
    with running(serving, "--request-log", str(log)) as server:
        command = [
            sys.executable,
            "-I",
            REPOSITORY / "examples" / "tf_serving.py",
            "toy",
            "--host",
            "127.0.0.1",
        ]
        command += ["--rest", "--rest-api-port", str(server.port), "one two", "їжак"]
        client = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=200)
        assert client.stdout == "REST\n -3.00  ONE TWO\n -2.00  ЇЖАК\n", client.stderr
        push(serving, 2, "reverse")
        while '"version":2' not in server.get("/healthz"):
            pass
        states = json.loads(server.get("/v1/models/toy"))["model_version_status"]
        assert (states[0]["version"], states[0]["state"]) == ("2", "AVAILABLE")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
    texts = [json.loads(line)["text"] for line in log.read_text(encoding="utf-8").splitlines()]
    assert texts == ["one two", "їжак"]


def test_requests_in_progress_are_finished(serving: Path) -> None:
    with running(serving) as server:
        client = server.begun_request()
        server.end(signal.SIGTERM)
        client.sendall(BODY[-1:])
        answer = client.recv(1 << 16)
        assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
        assert server.process.wait(60) == 0


def test_after_the_grace_time_requests_are_given_up(serving: Path) -> None:
    with running(serving, "--grace", "1") as server:
        client = server.begun_request()
        server.end(signal.SIGTERM)
        answer = received(client)
        assert answer.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"\r\nretry-after: 1\r\n" in answer
        assert answer.endswith(b'\r\n\r\n{"error":"the server stops"}')
        assert server.process.wait(60) == 143
        assert server.errors() == "warning: requests in progress were given up\n"
        client.close()


def test_answers_that_are_not_read_end_with_the_grace_time(serving: Path) -> None:
    with running(serving, "--grace", "1", "--max-characters", "1000000") as server:
        clients = [unread_answer(server) for _ in range(3)]
        server.end(signal.SIGTERM)
        assert server.process.wait(60) == 143
        assert server.errors() == "warning: requests in progress were given up\n"
        for client in clients:
            client.close()


def received(client: socket.socket) -> bytes:
    """Returns what a server sends until it closes the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(1 << 16):
            parts.append(part)
    return b"".join(parts)


def unread_answer(server: Server) -> socket.socket:
    """Asks for answers that are larger than the buffers of the system, and does not read them."""
    body = json.dumps({"signature_name": "encode", "instances": ["a" * 900_000]}).encode()
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    head = f"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    assert client.recv(1) == b"H"
    return client


def test_an_answer_that_is_not_read_is_dropped(serving: Path) -> None:
    with running(serving, "--timeout", "3", "--max-characters", "1000000") as server:
        client = unread_answer(server)
        assert server.process.stderr is not None
        assert server.process.stderr.readline() == (
            "warning: clients do not read their answers: connections are closed\n"
        )
        assert len(received(client)) < 10_000_000  # what the system had already
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0


def test_connections_without_a_request_do_not_keep_others_out(serving: Path) -> None:
    with running(serving, files=400) as server:
        idle = []
        for _ in range(500):
            client = socket.create_connection(("127.0.0.1", server.port), 30)
            client.sendall(b"GET /hea")
            idle.append(client)
        for _ in range(3):
            assert '"status":"ok"' in server.get("/healthz")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        assert server.errors() == (
            "warning: 200 connections are open: those that wait for a request are closed\n"
        )
        for client in idle:
            client.close()


@pytest.mark.parametrize("begin", [b"", b"GET /hea", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nG"])
def test_a_connection_without_a_request_is_closed(serving: Path, begin: bytes) -> None:
    with running(serving, "--timeout", "2") as server:
        with socket.create_connection(("127.0.0.1", server.port), 30) as client:
            client.sendall(begin)
            start = time.monotonic()
            received(client)
            assert time.monotonic() - start < 20
        assert '"status":"ok"' in server.get("/healthz")


def test_what_is_no_http_is_refused(serving: Path) -> None:
    with running(serving) as server:

        def answer(request: str) -> str:
            with socket.create_connection(("127.0.0.1", server.port), 30) as client:
                client.sendall(request.replace("\n", "\r\n").encode())
                client.shutdown(socket.SHUT_WR)
                return received(client).decode()

        absolute = answer("GET http://localhost:1/healthz?a=b HTTP/1.1\nHost: evil.example\n\n")
        assert '"status":"ok"' in absolute
        assert " 403 " in answer("GET http://evil.example/healthz HTTP/1.1\nHost: localhost\n\n")
        both = answer(
            "POST /api/translate HTTP/1.1\nHost: localhost\nContent-Length: 5\nTransfer-Encoding: chunked\n\n"
            "0\n\nGET /healthz HTTP/1.1\nHost: localhost\n\n"
        )
        assert " 400 " in both
        assert "connection: close" in both
        assert both.count("HTTP/1.1") == 1
        assert "is not NAME or NAME:PORT" in answer("GET /healthz HTTP/1.1\nHost: [::1\n\n")
        nonsense = answer("nonsense\n\n")
        assert nonsense.startswith("HTTP/1.1 400 ")
        assert nonsense.endswith('{"error":"Invalid HTTP request received."}')


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_at_once(serving: Path, number: signal.Signals, code: int) -> None:
    with running(serving, "--grace", "3000") as server:
        client = server.begun_request()
        server.end(number)
        assert server.process.poll() is None
        server.process.send_signal(number)
        assert server.process.wait(30) == code
        client.close()


class TestRefusals:
    """Errors before the model is loaded."""

    def refuse(self, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
        assert cli.main(["serve", *arguments]) == code
        return capsys.readouterr().err

    def test_a_port_in_use(self, serving: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            printed = self.refuse(capsys, "--model", str(serving), "--port", str(port))
        assert printed == (
            f"error: port {port} of 127.0.0.1 is in use by another program\n"
            "what to do: name another port with --port, or --port 0 for any free one\n"
        )

    def test_without_the_extra(
        self, serving: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find_spec(name)
        )
        assert self.refuse(capsys, "--model", str(serving)) == (
            "error: `bitext serve` needs uvicorn, which is not installed\n"
            "what to do: pip install 'bitext[serve]'\n"
        )

    @pytest.mark.parametrize(
        ("options", "code", "message"),
        [
            (("--model", "nothing"), 3, "no model at nothing: the folder does not exist"),
            (("--model", "README.md"), 3, "no model at README.md: it is a file, not a folder"),
            (("--port", "70000"), 2, "--port must be from 0 to 65,535, received 70000"),
            (("--timeout", "nan"), 2, "--timeout must be from 0.001 to 86,400, received nan"),
            (("--label", "stable=7"), 3, "--label stable=7: there is no version 7"),
            (("--max-beam", "0"), 2, "--max-beam must be from 1 to"),
            (("--request-log", "a.txt"), 2, "--request-log a.txt: the name does not end in .jsonl"),
            (("--request-log", "nothing/a.jsonl"), 6, "the request log nothing/a.jsonl cannot be written"),
            (("--host", "no such host"), 2, "--host no such host: no such address"),
            (("--host", "192.0.2.1"), 2, "cannot be opened: Cannot assign requested address"),
        ],
    )
    def test_options(
        self,
        serving: Path,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
        options: tuple[str, ...],
        code: int,
        message: str,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        Path("README.md").touch()
        printed = self.refuse(capsys, "--model", str(serving), "--port", "0", *options, code=code)
        assert message in printed
        assert "\nwhat to do: " in printed


def test_the_help_imports_no_server() -> None:
    code = (
        "import sys\nfrom bitext.pipeline import cli\n"
        "try: cli.main(['serve', '--help'])\nexcept SystemExit: pass\n"
        "print(*sorted({'starlette', 'uvicorn', 'tensorflow', 'numpy'} & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ,
    )
    assert process.stdout.splitlines()[-1] == ""
    assert "--max-beam N" in process.stdout
