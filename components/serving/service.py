"""Runs a signature for a request: limits, batching, timeout."""

from __future__ import annotations

import asyncio

from bitext.components.serving.batching import Batcher
from bitext.components.serving.errors import TIMED_OUT, RequestError
from bitext.components.serving.limits import check_inputs
from bitext.components.serving.loaded import LoadedVersion
from bitext.components.serving.manager import Manager
from bitext.components.serving.metrics import Metrics
from bitext.components.serving.request_log import RequestLog
from bitext.components.serving.settings import Settings
from bitext.components.serving.tensors import Arrays

_LOGGED = {
    "serving_default": "text",
    "translate_nbest": "text",
    "translate_sample": "text",
    "translate_constrained": "text",
    "encode": "text",
    "score": "source",
}
"""The signatures whose requests are logged, and their input with source texts."""


class Service:
    """What all routes use.

    Attributes:
      settings: the settings of the server.
      name: the model's name in the protocol.
      manager: the versions of the model.
      batcher: runs the calls of the model.
      metrics: the counts.
      log: the log of requests; None: there is none.
    """

    def __init__(
        self, settings: Settings, manager: Manager, batcher: Batcher, metrics: Metrics, log: RequestLog | None
    ):
        self.settings, self.manager, self.batcher = settings, manager, batcher
        self.metrics, self.log = metrics, log
        self.name = manager.catalog.name

    async def predict(
        self, loaded: LoadedVersion, signature: str, inputs: Arrays, *, checked: bool = False
    ) -> Arrays:
        """Returns the outputs of a signature.

        Args:
          loaded: the version.
          signature: its name.
          inputs: its inputs.
          checked: whether the inputs are the server's own, so that the limits do not apply.

        Raises:
          RequestError: the inputs exceed a limit, the queue is full, the time is over, or TensorFlow refuses.
        """
        if not checked:
            check_inputs(loaded.signature(signature), inputs, self.settings.limits)
        try:
            async with asyncio.timeout(self.settings.timeout):
                return await self.batcher.run(loaded, signature, inputs)
        except TimeoutError as error:
            raise RequestError(
                TIMED_OUT, f"no answer within {self.settings.timeout:g} s: the limit of --timeout"
            ) from error

    def log_request(self, signature: str, inputs: Arrays, version: int) -> None:
        """Logs the source texts of a request, if there is a log."""
        name = _LOGGED.get(signature)
        if self.log is not None and name in inputs:
            self.log.write(inputs[name].ravel().tolist(), version, signature)
