"""Fixtures and settings of all tests: library logs off, one Hypothesis profile, no network."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

# Set before any test module imports TensorFlow, which reads these variables once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# A background job of a shell ignores Ctrl-C, and so do its child processes. Some tests interrupt commands.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline, because the first example traces a graph. In CI the examples are the same in every run.
hypothesis.settings.register_profile(
    "bitext", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True
)
hypothesis.settings.load_profile("bitext")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Runs the tests of a file in one worker process, and likewise all end-to-end tests."""

    class FileScheduling(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "e2e" if "/e2e/" in file else file

    return FileScheduling(config, log)


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small exported model: `tests.components.small_export.Export`."""
    from tests.components.small_export import Export  # imports TensorFlow, which most tests do not need

    return Export(tmp_path_factory.mktemp("export"))


class NetworkRefused(OSError):
    """A test tried to connect to another machine."""


def _is_local(family: int, address: Any) -> bool:
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True
    host = address[0]
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a host name, which only the network can resolve
        return False


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connections to other machines fail, and so does the test, even if a library catches the error.

    Covers Python sockets of this process. Tests marked `network` are exempt.
    """
    if request.node.get_closest_marker("network"):
        yield
        return
    attempts: list[str] = []

    def guarded(method: str) -> Any:
        original = getattr(socket.socket, method)

        def call(self: socket.socket, address: Any) -> Any:
            if not _is_local(self.family, address):
                attempts.append(str(address))
                raise NetworkRefused(f"tests use no network; this one tried to connect to {address}")
            return original(self, address)

        return call

    for method in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, method, guarded(method))
    yield
    if attempts:
        pytest.fail(f"tests use no network; this one tried to connect to {', '.join(attempts)}")
