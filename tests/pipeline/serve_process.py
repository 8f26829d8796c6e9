"""A running `bitext serve`, for tests of the command and of its page."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
BODY = json.dumps({"instances": [{"text": "one two"}]}).encode()
HEAD = (
    f"POST /v1/models/toy:predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n\r\n".encode()
)


class Server:
    """A running `bitext serve`.

    Attributes:
      process: the process.
      port: its port.
      printed: the lines that it printed until it accepted requests.
    """

    def __init__(self, model: Path, *options: str, files: int = 0):
        limit = ["sh", "-c", f'ulimit -n {files}; exec "$0" "$@"'] if files else []
        self.process = subprocess.Popen(
            [*limit, sys.executable, "-m", "bitext", "serve", "--model", str(model), "--port", "0", *options],
            cwd=REPOSITORY,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.printed: list[str] = []
        self.port = 0
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.printed.append(line)
            if match := re.search(r"is served at http://127\.0\.0\.1:(\d+)/", line):
                self.port = int(match[1])
                break
        assert self.port, "".join(self.printed)

    def get(self, path: str) -> str:
        """Returns the body of an answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            text: str = answer.read().decode()
        return text

    def begun_request(self) -> socket.socket:
        """Sends a request without the last byte of its body."""
        client = socket.create_connection(("127.0.0.1", self.port), 30)
        client.sendall(HEAD + BODY[:-1])
        while "route=" not in self.get("/metrics"):  # the server answers: the request has arrived before
            pass
        return client

    def errors(self) -> str:
        """Waits for the end of the process, and returns what it printed since it accepted requests."""
        assert self.process.stderr is not None
        return self.process.stderr.read()

    def end(self, *signals: signal.Signals) -> None:
        """Sends signals, and waits until the first is handled: the port is closed."""
        for number in signals:
            self.process.send_signal(number)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                return
        raise AssertionError("the port is still open")


@contextlib.contextmanager
def running(model: Path, *options: str, files: int = 0) -> Iterator[Server]:
    """Context manager: a server, which is killed at the end.

    Args:
      model: the model.
      *options: options of `bitext serve`.
      files: the limit of open files; 0: that of this process.
    """
    server = Server(model, *options, files=files)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()
