"""The settings of the server, and the limits of what one request may ask for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from bitext.components.shared.errors import ConfigError

DEFAULT_PORT = 8500
_NO_LIMIT_OF_MEMORY = 1 << 30


@dataclasses.dataclass(frozen=True)
class Limits:
    """What one request may ask for. More is refused before the model sees it.

    Attributes:
      body_bytes: bytes of the request's body.
      answer_bytes: bytes of the answer, estimated before it is written.
      instances: texts, or rows of another input, in one request.
      characters: characters of one text.
      beam: `beam_size` of `translate_nbest`, `samples` of `translate_sample`, n-best of the page.
      length: `max_length` of both signatures.
      tokens: the size of the answer: rows times translations of each row times `max_length`, or of `score`
        rows times characters of the longest target.
    """

    body_bytes: int = 1 << 20
    answer_bytes: int = 32 << 20
    instances: int = 128
    characters: int = 2000
    beam: int = 32
    length: int = 512
    tokens: int = 32_768

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            _check_range(
                f"--max-{field.name.replace('_', '-')}", getattr(self, field.name), 1, _NO_LIMIT_OF_MEMORY
            )


@dataclasses.dataclass(frozen=True)
class Settings:
    """The settings of the server.

    Attributes:
      model: a SavedModel, a Model artifact, or a serving folder with numbered versions.
      name: the model's name in the protocol; None: the name of the folder.
      host: the address to listen on.
      port: the port; 0: any free one.
      trusted: whether the model's graph may do more than compute; see `check_graph`.
      batch_rows: the most rows that are translated in one call of the model.
      batch_delay: seconds that a request may wait for others to share a call with.
      queued_rows: the most rows that wait for a call.
      extra_versions: versions besides the served one that the page may load.
      timeout: seconds for a request to arrive, to be answered, and for the client to read the answer.
      grace: seconds after SIGTERM for the requests in progress.
      poll_seconds: seconds between two looks into the serving folder.
      request_log: the file of JSON lines that requests are appended to; None: none.
      labels: versions that are loaded besides the served one, by the names `.../labels/NAME` of the protocol.
      allowed_hosts: further host names that a request may name in its header `Host`.
      limits: what one request may ask for.
    """

    model: Path
    name: str | None = None
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    trusted: bool = False
    batch_rows: int = 32
    batch_delay: float = 0.0
    queued_rows: int = 1024
    extra_versions: int = 2
    timeout: float = 30.0
    grace: float = 10.0
    poll_seconds: float = 1.0
    request_log: Path | None = None
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)
    allowed_hosts: tuple[str, ...] = ()
    limits: Limits = dataclasses.field(default_factory=Limits)

    def __post_init__(self) -> None:
        _check_range("--port", self.port, 0, 65_535)
        _check_range("--batch-size", self.batch_rows, 1, 4096)
        _check_range("--batch-delay", self.batch_delay, 0, 10_000 / 1000)
        _check_range("--queue-size", self.queued_rows, 1, _NO_LIMIT_OF_MEMORY)
        _check_range("--extra-versions", self.extra_versions, 0, 100)
        _check_range("--timeout", self.timeout, 0.001, 86_400)
        _check_range("--grace", self.grace, 0, 86_400)
        _check_range("--poll-seconds", self.poll_seconds, 0.01, 86_400)
        if self.name is not None and (not self.name or set("/:") & set(self.name)):
            raise ConfigError(
                f"--name must be a name without / and :, received {self.name!r}",
                "name the model as clients write it in /v1/models/NAME",
            )
        if self.request_log is not None and not self.request_log.name.endswith(".jsonl"):
            raise ConfigError(
                f"--request-log {self.request_log}: the name does not end in .jsonl",
                "end it in .jsonl: `request_log.files` of a configuration reads such files as JSON lines",
            )


def _check_range(option: str, value: float, lowest: float, highest: float) -> None:
    """Raises ConfigError if a value is out of range, or NaN."""
    if not lowest <= value <= highest:
        raise ConfigError(
            f"{option} must be from {lowest:,} to {highest:,}, received {value}",
            "`bitext serve --help` lists the options",
        )
