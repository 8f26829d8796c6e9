"""The ASGI application: the protocol, the page with its API, health and metrics."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from bitext.components.serving.api import Api
from bitext.components.serving.errors import CLOSED_BY_CLIENT, TOO_LARGE, UNAVAILABLE, RequestError
from bitext.components.serving.guard import Guard, allowed_hosts
from bitext.components.serving.metrics import CONTENT_TYPE, Sample
from bitext.components.serving.rest import Rest
from bitext.components.serving.service import Service

PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_JSON = "application/json"
_REQUEST_TIMEOUT = 408
_WRONG_ENCODING = 415
Handler = Callable[[Request], Awaitable[Response]]


class Application:
    """The routes of the server.

    Attributes:
      failure: the unexpected error that ended the watch of the serving folder; None: there was none.
      stop: is called after such an error.

    Args:
      service: what answers.
    """

    def __init__(self, service: Service):
        self._service, self._rest, self._api = service, Rest(service), Api(service)
        self.failure: BaseException | None = None
        self.stop: Callable[[], None] = lambda: None
        self._files = {path: (PAGE / name).read_bytes() for path, (name, _) in _FILES.items()}

    def asgi(self) -> Guard:
        """Returns the application."""
        any_method = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
        routes = [
            *(
                Route(f"/{v1}/{{rest:path}}", self._counted("v1", self._v1), methods=any_method)
                for v1 in ("v1", "V1")
            ),
            Route("/api/versions", self._counted("versions", self._versions)),
            Route("/api/translate", self._counted("translate", self._translate), methods=["POST"]),
            Route("/healthz", self._counted("healthz", self._healthz)),
            Route("/metrics", self._counted("metrics", self._metrics)),
            *(Route(path, self._counted("page", self._file)) for path in _FILES),
        ]
        app = Starlette(
            routes=routes,
            lifespan=self._lifespan,
            exception_handlers={404: _not_found, 405: _wrong_method, Exception: _failed},
        )
        settings = self._service.settings
        return Guard(app, allowed_hosts(settings.host, settings.allowed_hosts))

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Watches the serving folder while the server runs."""
        manager = self._service.manager
        if not manager.catalog.is_watched:
            yield
            return
        task = asyncio.create_task(manager.watch(self._service.settings.poll_seconds))
        task.add_done_callback(self._watch_ended)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})

    def _watch_ended(self, task: asyncio.Task[None]) -> None:
        """Stops the server if the watch failed: it would serve an old version for good."""
        if not task.cancelled():
            self.failure = task.exception()
            self.stop()

    def _counted(self, route: str, handler: Handler) -> Handler:
        """Wraps a handler: errors become answers, and requests are counted."""

        async def handle(request: Request) -> Response:
            start, name = time.perf_counter(), route
            if route == "v1":
                name = self._rest.route(request.method, _path(request))
            try:
                response = await handler(request)
            except RequestError as error:
                response = _error(error)
            except asyncio.CancelledError:  # the time to stop is over
                response = _error(RequestError(UNAVAILABLE, "the server stops", 1))
            except ClientDisconnect:
                response = Response(status_code=CLOSED_BY_CLIENT)
            self._service.metrics.request(name, response.status_code, time.perf_counter() - start)
            return response

        return handle

    async def _v1(self, request: Request) -> Response:
        body = await self._body(request)
        answer = self._rest.answer(request.method, _path(request), body)
        return Response(await _unless_disconnected(request, answer), media_type=_JSON)

    async def _translate(self, request: Request) -> Response:
        body = await self._body(request)
        return Response(await _unless_disconnected(request, self._api.translate(body)), media_type=_JSON)

    async def _versions(self, request: Request) -> Response:
        return Response(self._api.versions(), media_type=_JSON, headers={"cache-control": "no-store"})

    async def _file(self, request: Request) -> Response:
        path = request.url.path
        headers = {"cache-control": "no-cache"}
        return Response(self._files[path], media_type=_FILES[path][1], headers=headers)

    async def _healthz(self, request: Request) -> Response:
        """Answers 200 if a version is served, else 503."""
        served = self._service.manager.served
        if served is None:
            raise RequestError(UNAVAILABLE, "no version is served", 1)
        body = {"status": "ok", "model": self._service.name, "version": served}
        return Response(msgspec.json.encode(body), media_type=_JSON)

    async def _metrics(self, request: Request) -> Response:
        service = self._service
        errors = service.log.errors if service.log is not None else 0
        text = service.metrics.render(service.name, self._gauges(), errors)
        return Response(text, headers={"content-type": CONTENT_TYPE})

    def _gauges(self) -> Iterator[tuple[str, str, list[Sample]]]:
        manager, batcher = self._service.manager, self._service.batcher
        yield "queued_rows", "Texts that wait for a call of the model.", [("", {}, batcher.queued_rows)]
        yield "running_calls", "Calls of the model that run.", [("", {}, batcher.running)]
        served: list[Sample] = [] if manager.served is None else [("", {}, manager.served)]
        yield "served_version", "The version that is served.", served
        loaded: list[Sample] = [("", {"version": str(number)}, 1) for number in sorted(manager.loaded())]
        yield "loaded_version", "The versions in memory.", loaded
        failures: list[Sample] = [("", {}, manager.load_failures)]
        yield "load_failures", "Versions that could not be loaded since the start.", failures

    async def _body(self, request: Request) -> bytes:
        """Reads the body.

        Raises:
          RequestError: it is compressed, too large, or does not come in time.
        """
        limit = self._service.settings.limits.body_bytes
        encoding = request.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise RequestError(_WRONG_ENCODING, f"the body is encoded as {encoding[:40]!r}; send it as it is")
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced[:20]) > limit:
            raise _too_large(f"{int(announced[:20]):,}", limit)
        body = bytearray()
        try:
            async with asyncio.timeout(self._service.settings.timeout):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > limit:
                        raise _too_large(f"more than {limit:,}", limit)
        except TimeoutError as error:
            raise RequestError(
                _REQUEST_TIMEOUT,
                f"the body is incomplete after {self._service.settings.timeout:g} s: {len(body):,} bytes",
            ) from error
        return bytes(body)


async def _unless_disconnected(request: Request, answer: Coroutine[Any, Any, bytes]) -> bytes:
    """Waits for an answer. If the client closes the connection, the answer is given up."""

    async def disconnected() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task = asyncio.create_task(answer)
    watcher = asyncio.create_task(disconnected())
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return await task
    finally:
        for one in (task, watcher):
            one.cancel()


def _path(request: Request) -> str:
    """Returns the path of a request as it was sent, percent-encoded."""
    raw: bytes = request.scope.get("raw_path") or request.url.path.encode()
    return raw.partition(b"?")[0].decode("latin-1")


def _too_large(received: str, limit: int) -> RequestError:
    return RequestError(
        TOO_LARGE, f"the body has {received} bytes; the limit is {limit:,}; divide it into several requests"
    )


def _error(error: RequestError) -> Response:
    headers = {} if error.retry_seconds is None else {"retry-after": str(error.retry_seconds)}
    body = msgspec.json.encode({"error": str(error)})
    return Response(body, error.status, headers=headers, media_type=_JSON)


async def _not_found(request: Request, error: Exception) -> Response:
    text = f"there is no page {request.url.path[:100]}; the page is /, models are below /v1/models/"
    return _error(RequestError(404, text))


async def _wrong_method(request: Request, error: Exception) -> Response:
    return _error(RequestError(405, f"{request.url.path} does not answer {request.method}"))


async def _failed(request: Request, error: Exception) -> Response:
    """Answers an unexpected error; its traceback goes to standard error."""
    return _error(RequestError(500, "unexpected error; the server's log has the traceback"))
