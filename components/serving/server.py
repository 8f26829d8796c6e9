"""Runs the application with uvicorn: the socket, the signals, the end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from bitext.components.serving.app import Application
from bitext.components.serving.batching import Batcher
from bitext.components.serving.catalog import Catalog
from bitext.components.serving.connections import (
    ACCEPTED_AT_ONCE,
    Connection,
    Connections,
    most_connections,
)
from bitext.components.serving.manager import Manager
from bitext.components.serving.metrics import Metrics
from bitext.components.serving.request_log import RequestLog
from bitext.components.serving.service import Service
from bitext.components.serving.settings import Settings
from bitext.components.shared.errors import ConfigError, EnvironmentFault

BACKLOG = 2048
LAST_SECONDS = 1.0
"""Seconds for clients to read that their request was given up."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def serve(settings: Settings, say: Callable[[str], None]) -> int:
    """Serves until SIGINT or SIGTERM.

    The first signal closes the port; requests in progress are answered. The second ends the process at once.

    Args:
      settings: the settings.
      say: prints one line.

    Returns:
      0: all requests were answered; otherwise 128 and the number of the signal.

    Raises:
      ConfigError: the address cannot be listened on, or the port is in use.
      DataError: there is no model that can be loaded.
      EnvironmentFault: the request log cannot be written.
    """
    import uvicorn

    # Each call of the model runs in a thread of its own: cores that share a small product wait for each other.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    catalog = Catalog(settings.model)
    catalog.name = settings.name or catalog.name
    log = RequestLog(settings.request_log, say) if settings.request_log is not None else None
    with contextlib.closing(listen(settings.host, settings.port)) as listener:
        manager = Manager(catalog, settings.trusted, settings.extra_versions, say, settings.labels)
        metrics = Metrics()
        batcher = Batcher(
            len(os.sched_getaffinity(0)),
            settings.batch_rows,
            settings.batch_delay,
            settings.queued_rows,
            metrics.batch,
        )
        manager.start()
        service = Service(settings, manager, batcher, metrics, log)
        application = Application(service)
        connections = Connections(most_connections(), settings.timeout, say)
        config = uvicorn.Config(
            application.asgi(),
            access_log=False,
            log_level="error",
            server_header=False,
            lifespan="on",
            ws="none",
            backlog=ACCEPTED_AT_ONCE,
            http=connections.protocol(),
            h11_max_incomplete_event_size=64 << 10,
        )

        def on_start() -> None:
            listener.listen(BACKLOG)  # asyncio has set it to the number that it accepts at once
            asyncio.get_running_loop().set_exception_handler(connections.on_loop_error)
            say(_address(listener, service.name))

        server = Server(config, settings.grace, on_start)
        application.stop = server.stop
        asyncio.run(server.serve(sockets=[listener]))
    if log is not None:
        log.close()
    if application.failure is not None:
        raise application.failure
    return 128 + server.signal if server.given_up and server.signal else 0


class Server:
    """A uvicorn server with the signals of this program.

    Attributes:
      signal: the number of the first signal; 0: there was none.
      given_up: number of requests that were given up when the server stopped.

    Args:
      config: the configuration of uvicorn.
      grace: seconds for the requests in progress when the server stops.
      on_start: is called when the server accepts requests.
    """

    def __init__(self, config: Any, grace: float, on_start: Callable[[], None]):
        import uvicorn

        outer = self

        class Uvicorn(uvicorn.Server):
            @contextlib.contextmanager
            def capture_signals(self) -> Iterator[None]:
                with outer._handling_signals():
                    yield

            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                on_start()

            async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
                timer = asyncio.get_running_loop().call_later(grace, outer._give_up)
                await super().shutdown(sockets)
                timer.cancel()

        self._server = Uvicorn(config)
        self.signal = self.given_up = 0

    async def serve(self, sockets: list[socket.socket]) -> None:
        """Serves until the first signal, and until the requests in progress are answered or given up."""
        await self._server.serve(sockets)

    def stop(self) -> None:
        """Stops as after the first signal."""
        self._server.should_exit = True

    def _give_up(self) -> None:
        """Ends the requests in progress: with 503 if their answer has not begun."""
        state = self._server.server_state
        connections = [one for one in state.connections if isinstance(one, Connection)]
        for connection in connections:
            if connection.has_request or connection in connection.shared.unread:
                self.given_up += 1
            if not connection.has_request or connection.cycle.response_started:
                connection.abort()
        # Tasks whose connection was closed end by themselves meanwhile.
        loop = asyncio.get_running_loop()
        loop.call_later(LAST_SECONDS / 10, self._cancel_all)
        loop.call_later(LAST_SECONDS, self._abort_all)

    def _cancel_all(self) -> None:
        for task in list(self._server.server_state.tasks):
            task.cancel()

    def _abort_all(self) -> None:
        for connection in list(self._server.server_state.connections):
            if isinstance(connection, Connection):
                connection.abort()

    @contextlib.contextmanager
    def _handling_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.signal:
            os._exit(128 + number)
        self.signal = number
        self._server.should_exit = True


def listen(host: str, port: int) -> socket.socket:
    """Opens the port.

    Raises:
      ConfigError: the port is in use, is not allowed, or the host has no such address.
      EnvironmentFault: the system refuses for another reason.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise ConfigError(
            f"--host {host}: no such address: {error}", "name an address of this machine"
        ) from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise ConfigError(
                f"port {port} of {host} is in use by another program",
                "name another port with --port, or --port 0 for any free one",
            ) from error
        if error.errno in (errno.EACCES, errno.EADDRNOTAVAIL):
            raise ConfigError(
                f"port {port} of {host} cannot be opened: {error.strerror}",
                "name a port above 1023 with --port, and an address of this machine with --host",
            ) from error
        raise EnvironmentFault(f"port {port} of {host} cannot be opened: {error.strerror}") from error
    return listener


def _address(listener: socket.socket, name: str) -> str:
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"{name} is served at http://{shown}:{port}/ (stop: Ctrl-C)"
