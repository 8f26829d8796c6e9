"""The connections of the server: their number, and the time that each may take to send and to read."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Callable
from typing import Any

import h11
import msgspec
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST_CONNECTIONS, FEWEST_CONNECTIONS = 1000, 16
OTHER_FILES = 200
"""Files that the process may need besides its connections."""
ACCEPTED_AT_ONCE = 16
"""Connections that are accepted before those above the limit are closed."""
SLOWEST_READER = 16 << 10
"""Bytes a second that a client must read of an answer."""
MOST_UNREAD_BYTES = 128 << 20
"""Bytes of answers that wait in memory until their clients read them."""
QUIET_SECONDS = 60
"""Seconds until the same message is printed again."""


def most_connections() -> int:
    """Raises the limit of open files if necessary and allowed. Returns how many may be connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_CONNECTIONS + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    files = wanted if soft == resource.RLIM_INFINITY else min(wanted, soft)
    return max(FEWEST_CONNECTIONS, files - OTHER_FILES)


class Connections:
    """What the connections of a server share.

    Args:
      most: number of connections that may be open.
      seconds: time of a connection until its next request is complete but for the body, and of a client that
        does not read.
      say: prints one line.
    """

    def __init__(self, most: int, seconds: float, say: Callable[[str], None]):
        self.most, self.seconds, self._say = most, seconds, say
        self.waiting: dict[Connection, None] = {}
        """The connections without a request, the oldest first."""
        self.unread: dict[Connection, None] = {}
        """The connections whose clients do not read their answer, the oldest first."""
        self._told: dict[str, float] = {}

    def protocol(self) -> type[Connection]:
        """Returns the protocol class for uvicorn."""

        class Shared(Connection):
            shared = self

        return Shared

    def tell(self, text: str) -> None:
        """Prints a line, the same one at most once a minute."""
        now = time.monotonic()
        if now >= self._told.get(text, 0):
            self._told[text] = now + QUIET_SECONDS
            self._say(text)

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Handles an error of the event loop: that no connection can be accepted is told in one line."""
        error = context.get("exception")
        if isinstance(error, OSError) and "accept" in context.get("message", ""):
            self.tell(f"warning: no connection can be accepted: {error.strerror}; raise `ulimit -n`")
        else:
            loop.default_exception_handler(context)

    def limit_unread(self) -> None:
        """Closes the connections that do not read for longest while too many bytes wait in memory."""
        sizes = {one: one.transport.get_write_buffer_size() for one in self.unread}
        total = sum(sizes.values())
        for one, size in sizes.items():
            if total <= MOST_UNREAD_BYTES:
                return
            self.tell("warning: clients do not read their answers: connections are closed")
            total -= size
            one.transport.abort()


class Connection(H11Protocol):
    """A connection that is closed if its next request or the reading of its answer takes too long.

    Attributes:
      shared: what all connections share.
    """

    shared: Connections
    _deadline: asyncio.TimerHandle | None = None
    _reading_deadline: asyncio.TimerHandle | None = None

    @property
    def has_request(self) -> bool:
        """Whether a request is in progress."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: Any) -> None:
        """Makes room for the connection: the one that waits for a request for longest is closed."""
        super().connection_made(transport)
        shared = self.shared
        if len(self.connections) > shared.most:
            shared.tell(
                f"warning: {shared.most:,} connections are open: those that wait for a request are closed"
            )
            if not shared.waiting:
                self._refuse(503, "the server has too many connections; try again", retry=True)
                return
            next(iter(shared.waiting)).abort()
        self._update()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forgets the connection."""
        super().connection_lost(exc)
        self._stop_waiting()
        self._stop_reading()

    def abort(self) -> None:
        """Closes the connection at once."""
        self._stop_waiting()
        self.connections.discard(self)
        self.transport.abort()

    def handle_events(self) -> None:
        """Handles what was received."""
        super().handle_events()
        self._update()

    def on_response_complete(self) -> None:
        """Waits for the next request."""
        super().on_response_complete()
        self._update()

    def _update(self) -> None:
        """Starts the time until the next request, which what arrives meanwhile does not extend."""
        if self.has_request or self.transport.is_closing():
            self._stop_waiting()
        elif self._deadline is None:
            self.shared.waiting[self] = None
            self._deadline = self.loop.call_later(self.shared.seconds, self.abort)

    def _stop_waiting(self) -> None:
        self.shared.waiting.pop(self, None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def pause_writing(self) -> None:
        """Starts the time that the client has to read."""
        super().pause_writing()
        self.shared.unread[self] = None
        self._check_reading(None)
        self.shared.limit_unread()

    def resume_writing(self) -> None:
        """Ends the time that the client has to read."""
        super().resume_writing()
        self._stop_reading()

    def _stop_reading(self) -> None:
        self.shared.unread.pop(self, None)
        if self._reading_deadline is not None:
            self._reading_deadline.cancel()
            self._reading_deadline = None

    def _check_reading(self, before: int | None) -> None:
        """Closes the connection if its client reads too slowly."""
        size = self.transport.get_write_buffer_size()
        if before is not None and before - size < SLOWEST_READER * self.shared.seconds:
            self.shared.tell("warning: clients do not read their answers: connections are closed")
            self.transport.abort()
            return
        self._reading_deadline = self.loop.call_later(self.shared.seconds, self._check_reading, size)

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP."""
        self._refuse(400, msg)

    def _refuse(self, status: int, message: str, *, retry: bool = False) -> None:
        """Answers without the application, and closes the connection."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.abort()
            return
        body = msgspec.json.encode({"error": message})
        headers = [("content-type", "application/json"), ("content-length", str(len(body)))]
        headers += [("connection", "close"), *([("retry-after", "1")] if retry else [])]
        response = h11.Response(status_code=status, headers=headers)
        for event in (response, h11.Data(data=body), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
