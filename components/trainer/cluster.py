"""The processes of a distributed training, from the environment variable TF_CONFIG."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from typing import Any

import msgspec

from bitext.components.shared.errors import ConfigError

VARIABLE = "TF_CONFIG"
CHIEF, WORKER = "chief", "worker"
_PROBE_SECONDS = 0.5
_EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'
_REMEDY = f"set it to JSON such as {_EXAMPLE}"
_FIELD = "trainer.distribute.workers"


class Cluster(msgspec.Struct, frozen=True):
    """The processes that train together, and which of them this one is.

    Attributes:
      addresses: `host:port` of each, the chief first.
      index: the index of this process.
    """

    addresses: tuple[str, ...]
    index: int

    @property
    def is_chief(self) -> bool:
        """Whether this process is the chief, which `bitext run` starts."""
        return self.index == 0

    def name(self, index: int) -> str:
        """Returns what a user calls a process: `worker 1 (host1:2222)`."""
        return f"{'chief' if index == 0 else f'worker {index}'} ({self.addresses[index]})"

    def tf_config(self) -> str:
        """Returns TF_CONFIG as TensorFlow reads it, with the chief as the first worker."""
        cluster = {WORKER: list(self.addresses)}
        return json.dumps({"cluster": cluster, "task": {"type": WORKER, "index": self.index}})


def from_environment(workers: int, environment: Mapping[str, str] = os.environ) -> Cluster:
    """Reads TF_CONFIG.

    Args:
      workers: the number of processes that the configuration names.
      environment: the environment variables.

    Raises:
      ConfigError: the variable is missing or wrong, or names another number of processes.
    """
    text = environment.get(VARIABLE, "")
    if not text.strip():
        raise _error(f"{_FIELD} is {workers}, but the environment variable {VARIABLE} is not set")
    try:
        value = json.loads(text)
    except ValueError as error:
        raise _error(f"{VARIABLE} is not JSON: {error}; received {text[:200]!r}") from error
    if not (isinstance(value, dict) and isinstance(value.get("cluster"), dict)):
        raise _error(f"{VARIABLE} has no object `cluster`; received {text[:200]!r}")
    addresses = _addresses(value["cluster"])
    if len(addresses) != workers:
        raise ConfigError(
            f"{VARIABLE} names {len(addresses)} processes, but {_FIELD} is {workers}",
            f"set {_FIELD} to the number of processes, the chief included",
        )
    return Cluster(addresses, _index(value.get("task"), value["cluster"], len(addresses)))


def _addresses(cluster: dict[str, Any]) -> tuple[str, ...]:
    """Returns the addresses of a cluster, the chief first."""
    if others := sorted(set(cluster) - {CHIEF, WORKER}):
        raise _error(f"{VARIABLE}: cluster has {others[0]!r}; only {CHIEF!r} and {WORKER!r} train together")
    groups = {kind: cluster.get(kind, []) for kind in (CHIEF, WORKER)}
    for kind, group in groups.items():
        if not isinstance(group, list):
            raise _error(f"{VARIABLE}: cluster.{kind} must be a list; received {group!r}")
        for number, address in enumerate(group):
            _check_address(address, f"{VARIABLE}: cluster.{kind}[{number}]")
    if len(groups[CHIEF]) > 1:
        raise _error(f"{VARIABLE}: cluster.{CHIEF} names {len(groups[CHIEF])} chiefs; there is one")
    addresses = (*groups[CHIEF], *groups[WORKER])
    for address in addresses:
        if addresses.count(address) > 1:
            raise _error(f"{VARIABLE}: cluster names {address} twice; each process has an address of its own")
    return addresses


def _check_address(address: object, place: str) -> None:
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not host or "/" in host or not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise _error(f"{place} must be host:port; received {address!r}")


def _index(task: object, cluster: dict[str, Any], count: int) -> int:
    """Returns the index of a task among all processes."""
    if not isinstance(task, dict):
        raise _error(f"{VARIABLE} has no object `task`, which says which process this one is")
    kind, number = task.get("type"), task.get("index")
    if isinstance(number, str) and number.isascii() and number.isdigit():
        number = int(number)  # as shells make it
    group = cluster.get(kind, []) if isinstance(kind, str) else []
    if not group:
        kinds = " or ".join(repr(name) for name in cluster if cluster[name])
        raise _error(f"{VARIABLE}: task.type must be {kinds or repr(WORKER)}; received {kind!r}")
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(group):
        raise _error(
            f"{VARIABLE}: there is no task {kind} {number!r}: task.index must be 0 to {len(group) - 1}"
        )
    return number + (len(cluster.get(CHIEF, [])) if kind == WORKER else 0)


def _error(message: str) -> ConfigError:
    return ConfigError(message, _REMEDY)


def is_open(address: str) -> bool:
    """Whether a process listens at `host:port`."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PROBE_SECONDS).close()
    except (OSError, UnicodeError):  # also an unknown host, which may come
        return False
    return True
