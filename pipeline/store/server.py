"""Waits until a MySQL or PostgreSQL server answers.

ML Metadata connects without a timeout and without releasing the GIL: while it waits for a server
that does not answer, this process can neither print a line nor be interrupted.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable

from bitext.components.shared.errors import EnvironmentFault
from bitext.pipeline.config import Metadata, SqlServer

QUIET_SECONDS = 5.0
"""Seconds without an answer before a line announces the wait."""
MAX_WAIT_SECONDS = 60.0
"""Seconds without an answer before the server is given up."""
_SSL_REQUEST = struct.pack("!II", 8, 80877103)
"""PostgreSQL's SSLRequest, which every server answers with one byte. A MySQL server sends first."""


def wait_for_server(settings: Metadata, address: str, say: Callable[[str], None]) -> None:
    """Returns once the server of the metadata store answers; at once if the store is an SQLite file.

    A connection that is refused is left to ML Metadata, whose message says why.

    Args:
      settings: the settings of the store.
      address: the server's address for messages.
      say: prints a line if the server does not answer within `QUIET_SECONDS`.

    Raises:
      EnvironmentFault: the server does not answer within `MAX_WAIT_SECONDS`.
    """
    server = settings.mysql or settings.postgresql
    if server is None:
        return
    greeting = b"" if settings.mysql else _SSL_REQUEST
    if _answers(server, greeting, QUIET_SECONDS):
        return
    say(f"waiting for the metadata store {address}, which does not answer")
    if _answers(server, greeting, MAX_WAIT_SECONDS - QUIET_SECONDS):
        return
    raise EnvironmentFault(
        f"the metadata store {address} does not answer within {MAX_WAIT_SECONDS:g} s",
        "check that the server is running and reachable; its own log says more (see `metadata`)",
    )


def _answers(server: SqlServer, greeting: bytes, seconds: float) -> bool:
    """Whether the server answers, or refuses the connection, within `seconds`."""
    deadline = time.monotonic() + seconds
    try:
        with socket.create_connection((server.host, server.port), timeout=seconds) as connection:
            connection.sendall(greeting)
            connection.settimeout(max(0.01, deadline - time.monotonic()))
            connection.recv(1)
    except TimeoutError:
        return False
    except OSError:
        return True
    return True
