"""An S3 server for tests, on the loopback interface (moto)."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def s3_server() -> Iterator[str]:
    """Context manager: yields the address of a server, whose files are in the memory of this process."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "tester",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "2",
}
"""The credentials, as AWS's own tools read them."""


@pytest.fixture(scope="session")
def s3_address() -> Iterator[str]:
    """The address of a server for all tests of this process."""
    with s3_server() as address:
        yield address


@pytest.fixture
def bucket(s3_address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket, `s3://...`. The environment has the server's address and credentials."""
    import s3fs

    for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": s3_address}).items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # an instance keeps the address that it was made with
    name = f"b{uuid.uuid4().hex}"
    s3fs.S3FileSystem(use_listings_cache=False).mkdir(name)
    yield f"s3://{name}"
    s3fs.S3FileSystem.clear_instance_cache()
