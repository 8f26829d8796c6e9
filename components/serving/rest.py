"""TensorFlow Serving's REST protocol: predict, metadata and status.

Paths, bodies, statuses and messages are those of TensorFlow Serving (`http_rest_api_handler.cc`), so that a
client of one works with the other.
"""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import msgspec

from bitext.components.serving.errors import INVALID, NOT_FOUND, RequestError
from bitext.components.serving.limits import answer_bytes
from bitext.components.serving.manager import VersionState
from bitext.components.serving.service import Service
from bitext.components.serving.tensors import Arrays, encode_answer, parse_predict, to_arrays
from bitext.components.shared.numbered import HIGHEST

_PREDICT = re.compile(
    r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?:(classify|regress|predict)", re.I | re.A
)
_STATUS = re.compile(
    r"/v1/models(?:/([^/:]+))?(?:/versions/(\d+)|/labels/([^/:]+))?(?:/(metadata))?", re.I | re.A
)
_LARGE = 50_000
"""Numbers of an answer that is written in a thread."""


class Rest:
    """The protocol.

    Args:
      service: what answers.
    """

    def __init__(self, service: Service):
        self._service = service
        # One at a time: while it is written, an answer takes ten times its memory.
        self._writer = ThreadPoolExecutor(1, "answer")

    def route(self, method: str, path: str) -> str:
        """Returns what a path asks for: `predict`, `metadata`, `status` or `malformed`."""
        if method == "POST" and (match := _PREDICT.fullmatch(path)):
            return match[4].lower()
        if method in ("GET", "HEAD") and (match := _STATUS.fullmatch(path)):
            return "metadata" if match[4] else "status"
        return "malformed"

    async def answer(self, method: str, path: str, body: bytes) -> bytes:
        """Returns the body of the answer.

        Args:
          method: the method of the request.
          path: its path, percent-encoded.
          body: its body.

        Raises:
          RequestError: there is no such model or version, or the request is not answered.
        """
        pattern = {"POST": _PREDICT, "GET": _STATUS, "HEAD": _STATUS}.get(method)
        match = pattern and pattern.fullmatch(path)
        if not match:
            raise RequestError(INVALID, f"Malformed request: {method} {path}")
        if match[1] is None:
            raise RequestError(INVALID, "Missing model name in request.")
        name, number, what = unquote(match[1]), _number(match[2]), (match[4] or "status").lower()
        if what == "status":
            return self._status(name, number)
        if match[3] is not None:
            self._check_name(name, number)
            number = self._service.manager.number_of(unquote(match[3]))
        if what == "metadata":
            return self._metadata(name, number)
        return await self._predict(name, number, what, body)

    def _check_name(self, name: str, number: int | None) -> None:
        if name != self._service.name:
            request = f"Latest({name})" if number is None else f"Specific({name}, {number})"
            raise RequestError(NOT_FOUND, f"Servable not found for request: {request}")

    async def _predict(self, name: str, number: int | None, method: str, body: bytes) -> bytes:
        self._check_name(name, number)
        service = self._service
        with service.manager.use(number) as loaded:
            request = parse_predict(body) if method == "predict" else None
            if request is None:
                raise RequestError(
                    INVALID,
                    f"Expected a signature with method_name tensorflow/serving/{method}; those of this model"
                    " have tensorflow/serving/predict",
                )
            inputs = to_arrays(request, loaded.signature(request.signature))
            outputs = await service.predict(loaded, request.signature, inputs)
            self._check_size(outputs)
            service.log_request(request.signature, inputs, loaded.version.number)
        if _size(outputs) > _LARGE:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._writer, encode_answer, outputs, request.by_row)
        return encode_answer(outputs, request.by_row)

    def _check_size(self, outputs: Arrays) -> None:
        size, limit = answer_bytes(outputs), self._service.settings.limits.answer_bytes
        if size > limit:
            raise RequestError(
                INVALID,
                f"the answer has about {size:,} bytes; the limit is {limit:,} (--max-answer-bytes); divide the"
                " request into several",
            )

    def _metadata(self, name: str, number: int | None) -> bytes:
        self._check_name(name, number)
        with self._service.manager.use(number) as loaded:
            spec = {"name": name, "signature_name": "", "version": str(loaded.version.number)}
            document = {"model_spec": spec, "metadata": {"signature_def": loaded.metadata}}
        return msgspec.json.encode(document)

    def _status(self, name: str, number: int | None) -> bytes:
        states = self._service.manager.states if name == self._service.name else {}
        if number is not None:
            if number not in states:
                raise RequestError(NOT_FOUND, f"Could not find version {number} of model {name}")
            states = {number: states[number]}
        if not states:
            raise RequestError(NOT_FOUND, f"Could not find any versions of model {name}")
        newest_first = sorted(states.items(), reverse=True)
        return msgspec.json.encode(
            {"model_version_status": [_shown_state(version, state) for version, state in newest_first]}
        )


def _shown_state(version: int, state: VersionState) -> dict[str, Any]:
    code = "DATA_LOSS" if state.error else "OK"
    status = {"error_code": code, "error_message": state.error}
    return {"version": str(version), "state": state.state, "status": status}


def _number(text: str | None) -> int | None:
    """Converts the number of a version."""
    if text is None:
        return None
    number = int(text.lstrip("0")[:20] or "0")
    if number > HIGHEST:
        raise RequestError(INVALID, f"Failed to convert version: {text[:40]} to numeric.")
    return number


def _size(outputs: Arrays) -> int:
    return sum(array.size for array in outputs.values())
