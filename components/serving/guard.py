"""ASGI middleware: refuses requests of foreign web pages, and adds security headers to every answer."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

import msgspec

from bitext.components.serving.errors import FORBIDDEN, INVALID

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
)

_HOST = re.compile(r"(?:\[[0-9a-f:.]+\]|[^\s\[\]:/@?#]+)(?::\d{0,5})?", re.I | re.A)
_ABSOLUTE = re.compile(rb"https?://([^/?#]*)(/[^?#]*)?", re.I)
"""A target of a request as proxies send it."""


class Guard:
    """Wraps an ASGI application.

    A web page of another origin can send requests to this machine. Its browser tells the page's origin, or,
    if a name of the page's own was made to point here (DNS rebinding), that name as `Host`.

    Args:
      app: the application.
      hosts: the names that `Host` may have; None: any, because the server listens on other addresses.
    """

    def __init__(self, app: Any, hosts: Iterable[str] | None):
        self._app = app
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *_HEADERS]}
            await send(message)

        scope = _origin_form(scope)
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        status, problem = self._problem(headers)
        if problem:
            body = msgspec.json.encode({"error": problem})
            fields = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
            if status == INVALID:
                fields.append((b"connection", b"close"))
            await send_with_headers({"type": "http.response.start", "status": status, "headers": fields})
            await send({"type": "http.response.body", "body": body})
            return
        await self._app(scope, receive, send_with_headers)

    def _problem(self, headers: dict[bytes, str]) -> tuple[int, str]:
        """Returns the status and why a request is refused; empty: it is not."""
        if b"content-length" in headers and b"transfer-encoding" in headers:
            return INVALID, "a request has Content-Length or Transfer-Encoding, not both"
        host = headers.get(b"host", "")
        if host and not _HOST.fullmatch(host):
            return INVALID, f"the header Host {host[:100]!r} is not NAME or NAME:PORT"
        if self._hosts is not None and host_name(host) not in self._hosts:
            return FORBIDDEN, (
                f"the host {host[:100]!r} is not a name of this server; it is reached as"
                f" {' or '.join(sorted(self._hosts))}; --allowed-host adds another name"
            )
        origin = headers.get(b"origin")
        if origin is not None and origin.partition("://")[2].lower() != host.lower():
            return FORBIDDEN, f"a page of {origin[:100]!r} may not use this server, which has another origin"
        return 0, ""


def _origin_form(scope: Any) -> Any:
    """Returns a request to `http://HOST/PATH` as one to `/PATH` with the header `Host: HOST`."""
    target = _ABSOLUTE.fullmatch(scope.get("raw_path") or b"")
    if not target:
        return scope
    host, raw_path = target[1], target[2] or b"/"
    headers = [(name, value) for name, value in scope["headers"] if name.lower() != b"host"]
    path = unquote(raw_path.decode("ascii", "replace"))
    return {**scope, "raw_path": raw_path, "path": path, "headers": [(b"host", host), *headers]}


def host_name(host: str) -> str:
    """Returns the name in a header `Host`, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


def is_loopback(host: str) -> bool:
    """Whether an address or name to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def allowed_hosts(host: str, further: Iterable[str]) -> set[str] | None:
    """Returns the names that `Host` may have; None: any.

    Args:
      host: the address that the server listens on.
      further: names that the user allows.
    """
    names = set(further)
    if is_loopback(host):
        return {"localhost", "127.0.0.1", "::1", host, *names}
    return {host, "localhost", "127.0.0.1", "::1", *names} if names else None
