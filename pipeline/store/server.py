"""Waits until a MySQL or PostgreSQL server answers.

ML Metadata connects without a timeout and without giving way to other threads: while it waits for a server
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
"""How long the server is waited for before a line says so."""
LONGEST_WAIT = 60.0
"""How long, in seconds, the server is waited for."""
_SSL_REQUEST = struct.pack("!II", 8, 80877103)
"""PostgreSQL's SSLRequest, which every server answers with one byte. A MySQL server speaks first."""


def wait_for_server(settings: Metadata, address: str, tell: Callable[[str], None]) -> None:
    """Returns once the server of the metadata store answers; at once if the store is an SQLite file.

    A connection that is refused is left to ML Metadata, whose message says why.

    Args:
      settings: the settings of the store.
      address: the server's address for messages.
      tell: prints a line if the server does not answer within `QUIET_SECONDS`.

    Raises:
      EnvironmentFault: the server does not answer within `LONGEST_WAIT`.
    """
    server = settings.mysql or settings.postgresql
    if server is None:
        return
    greeting = b"" if settings.mysql else _SSL_REQUEST
    if _answers(server, greeting, QUIET_SECONDS):
        return
    tell(f"waiting for the metadata store {address}, which does not answer")
    if _answers(server, greeting, LONGEST_WAIT - QUIET_SECONDS):
        return
    raise EnvironmentFault(
        f"the metadata store {address} does not answer within {LONGEST_WAIT:g} s",
        "Check that the server is running and reachable; its own log says more (see `metadata`).",
    )


def _answers(server: SqlServer, greeting: bytes, seconds: float) -> bool:
    """Whether the server answers, or refuses the connection, within so many seconds."""
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
