"""What every test shares: quiet libraries, one Hypothesis profile, and no network."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

# Set before any test module imports TensorFlow: it reads them once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import hypothesis
import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# A shell's background jobs ignore Ctrl-C, and so would the commands that tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No deadline: the first example pays for tracing a graph. In CI the same examples every time.
hypothesis.settings.register_profile(
    "house", deadline=None, derandomize=bool(os.environ.get("CI")), print_blob=True
)
hypothesis.settings.load_profile("house")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Has the tests of a file, and all that share the finished pipeline run, in one worker process."""

    class ByFixtures(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return "e2e" if "/e2e/" in file else file

    return ByFixtures(config, log)


@pytest.fixture(scope="session")
def export(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A small model, exported: `tests.components.small_export.Export`."""
    from tests.components.small_export import Export  # brings TensorFlow, which most tests do without

    return Export(tmp_path_factory.mktemp("export"))


class NetworkRefused(OSError):
    """A test tried to leave this machine."""


def _is_local(family: int, address: Any) -> bool:
    if family not in (socket.AF_INET, socket.AF_INET6):
        return True
    host = address[0]
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # A name: resolving it would need the network already.
        return False


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connections that leave this machine fail, and so does the test, even where a library swallows it.

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
