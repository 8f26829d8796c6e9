"""A metadata server that does not answer: the wait is announced and ends after a limit."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bitext.components.shared.errors import EnvironmentFault
from bitext.pipeline.config import Metadata, SqlServer
from bitext.pipeline.store import Store, server

KINDS = ["mysql", "postgresql"]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server_socket:
        yield server_socket


def settings(kind: str, listener: socket.socket) -> Metadata:
    host, port = listener.getsockname()
    return Metadata(**{kind: SqlServer(host=host, port=port, database="mlmd", user="me")})


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns a list for the printed lines, and shortens the waits."""
    monkeypatch.setattr(server, "QUIET_SECONDS", 0.1)
    monkeypatch.setattr(server, "MAX_WAIT_SECONDS", 0.4)
    return []


@pytest.mark.parametrize("kind", KINDS)
def test_the_wait_for_a_silent_server_is_announced_and_ends(
    kind: str, listener: socket.socket, lines: list[str], tmp_path: Path
) -> None:
    address = f"{kind}://me@127.0.0.1:{listener.getsockname()[1]}/mlmd"
    with pytest.raises(EnvironmentFault, match="does not answer within 0.4 s") as caught:
        Store(settings(kind, listener), tmp_path, "toy", lines.append)
    assert address in str(caught.value)
    assert "its own log" in caught.value.remedy
    assert lines == [f"waiting for the metadata store {address}, which does not answer"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_wait_for_a_server_that_answers_late_is_announced(
    kind: str, listener: socket.socket, lines: list[str]
) -> None:
    received = []

    def answer_the_second_connection() -> None:
        for answers in (False, True):
            connection, _ = listener.accept()
            if kind == "postgresql":
                received.append(connection.recv(8))
            if answers:
                connection.sendall(b"N")
                connection.close()

    answering = threading.Thread(target=answer_the_second_connection)
    answering.start()
    server.wait_for_server(settings(kind, listener), "the address", lines.append)
    answering.join()
    assert lines == ["waiting for the metadata store the address, which does not answer"]
    assert received == ([server._SSL_REQUEST] * 2 if kind == "postgresql" else [])


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_connection_is_not_waited_for(kind: str, lines: list[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        unreachable = settings(kind, closed)
    server.wait_for_server(unreachable, "the address", lines.append)
    assert lines == []


def test_an_sqlite_file_is_not_waited_for(lines: list[str]) -> None:
    server.wait_for_server(Metadata(), "the address", lines.append)
    assert lines == []
