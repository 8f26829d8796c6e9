"""A version of the model in memory."""

from __future__ import annotations

import functools
import gc
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bitext.components.artifacts import ServedVersion, warm_up_file
from bitext.components.serving import signatures
from bitext.components.serving.catalog import Version
from bitext.components.serving.errors import FAILED, INVALID, STATUS_OF_CODE, RequestError
from bitext.components.serving.tensors import Arrays
from bitext.components.shared.errors import DataError
from bitext.components.translation import requests
from bitext.components.translation.forced_decoding import MAX_LOGITS
from bitext.components.translation.graph_check import PUSH_AGAIN
from bitext.components.translation.translator import LineTranslator

_SERIALS = itertools.count()
_WARM_UP_TEXT = b"a"
_MESSAGE_CHARACTERS = 500
"""Characters of an error of TensorFlow that a client is told."""


class LoadedVersion:
    """A version of the model in memory, with the requests that use it.

    Attributes:
      serial: a number that no other loaded version of this process has.

    Args:
      version: the version.
      trusted: whether its graph may do more than compute.

    Raises:
      DataError: it is damaged, or not trusted.
    """

    def __init__(self, version: Version, trusted: bool):
        import tensorflow as tf

        self._tf = tf
        self.serial = next(_SERIALS)
        self.version = version
        served = ServedVersion(version.path)
        if served.metadata() is None and (version.path / served.METADATA).exists():
            raise DataError(
                f"the model at {version.path} is damaged: {served.METADATA} cannot be read", PUSH_AGAIN
            )
        self.translator = LineTranslator(version.path, trusted=trusted)
        self.signatures, self.metadata = signatures.read(version.path)
        self._users = 0
        self._lock = threading.Lock()
        self._on_idle: Callable[[], None] | None = None

    def signature(self, name: str) -> signatures.Signature:
        """Returns a signature.

        Raises:
          RequestError: there is none of this name.
        """
        if name not in self.signatures:
            raise RequestError(INVALID, f'Serving signature name: "{name}" not found in signature def')
        return self.signatures[name]

    def call(self, name: str, inputs: Arrays) -> Arrays:
        """Calls a signature.

        Raises:
          RequestError: TensorFlow cannot compute it.
        """
        signature = self.signatures[name]
        if 0 in signature.rows(inputs).values() and (empty := signature.empty_outputs()) is not None:
            return empty
        if name == "score":
            return self._score(inputs)
        if name == "decode_step" and "token" in inputs:
            self._check_tokens("token", inputs["token"])
        if name == "translate_sample" and inputs.get("temperature") == 0 and not self._takes_temperature_0:
            raise RequestError(INVALID, "input 'temperature' must be above 0 for this version, received 0")
        return self._call(name, inputs)

    def most_rows(self, inputs: Arrays) -> int:
        """Returns the most texts that the model's own limits allow in one call with such inputs."""
        if "info" not in self.signatures:
            return requests.NO_LIMIT
        beam_size = max(1, int(inputs.get("beam_size", self.default_beam)))
        return self.translator.most_lines(beam_size, int(inputs.get("max_length", 0)))

    def _check_tokens(self, name: str, tokens: np.ndarray[Any, Any]) -> None:
        size = self.vocabulary_size
        wrong = tokens[(tokens < 0) | (tokens >= size)]
        if size > 1 and wrong.size:
            raise RequestError(INVALID, f"input {name!r} must be 0 to {size - 1:,}, received {wrong.flat[0]}")

    def _call(self, name: str, inputs: Arrays) -> Arrays:
        function = self.translator.signature(name)
        dtypes = {input: self._tf.as_dtype(spec.dtype) for input, spec in self._inputs(name)}
        try:
            tensors = {input: self._tf.constant(inputs[input], dtype) for input, dtype in dtypes.items()}
            return {output: tensor.numpy() for output, tensor in function(**tensors).items()}
        except self._tf.errors.OpError as error:
            status = STATUS_OF_CODE.get(error.error_code, FAILED)
            raise RequestError(status, f"signature {name!r}: {_reason(error)}") from error

    def _score(self, inputs: Arrays) -> Arrays:
        """Calls `score` in parts, because its memory grows with target tokens times the vocabulary.

        A target has at most one token for each byte, and two more.
        """
        rows = len(inputs["target"])
        longest = max((len(text) for text in inputs["target"].tolist()), default=0) + 2
        size = max(1, MAX_LOGITS // (self.vocabulary_size * longest))
        parts = [
            self._call("score", {name: array[start : start + size] for name, array in inputs.items()})
            for start in range(0, max(rows, 1), size)
        ]
        return requests.joined(parts)

    @functools.cached_property
    def _takes_temperature_0(self) -> bool:
        """Whether sampling at temperature 0 is greedy search; models of bitext 0.2.0 and earlier draw noise."""
        return "info" in self.signatures and "limit_samples" in self.translator.info

    @functools.cached_property
    def vocabulary_size(self) -> int:
        """The size of the target vocabulary; 1 if the model does not tell it."""
        if "info" not in self.signatures:
            return 1
        return int(self.translator.info.get("vocab_size", 1))

    def _inputs(self, name: str) -> Iterator[tuple[str, signatures.TensorSpec]]:
        yield from self.signatures[name].inputs.items()

    def warm_up(self) -> int:
        """Runs the requests that the version brings, as TensorFlow Serving does, and one of each search.

        Returns:
          The number of requests.

        Raises:
          DataError: the file of the requests is damaged, or a request fails.
        """
        count = 0
        try:
            for name, inputs in self._warm_up_requests():
                if name in self.signatures:
                    self.call(name, inputs)
                    count += 1
        except RequestError as error:
            raise DataError(
                f"the model at {self.version.path} fails in its warm-up: {error}",
                "push it again with `bitext run`, or remove the version",
            ) from error
        return count

    def _warm_up_requests(self) -> Iterator[tuple[str, Arrays]]:
        from google.protobuf.message import DecodeError
        from tensorflow_serving.apis import prediction_log_pb2

        path = warm_up_file(self.version.path)
        try:
            dataset = self._tf.data.TFRecordDataset([str(path)] if path.is_file() else [])
            records = list(dataset.as_numpy_iterator())
            logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
        except (DecodeError, self._tf.errors.OpError) as error:
            raise _damaged_warm_up(path) from error
        for log in logs:
            request = log.predict_log.request
            inputs = {name: self._tf.make_ndarray(value) for name, value in request.inputs.items()}
            name = request.model_spec.signature_name
            if name in self.signatures and set(inputs) != set(self.signatures[name].inputs):
                raise _damaged_warm_up(path)
            yield name, inputs
        text = np.array([_WARM_UP_TEXT], object)
        if not records and "serving_default" in self.signatures:
            yield "serving_default", {"text": text}
        if {"translate_nbest", "default_search"} <= set(self.signatures):
            yield "translate_nbest", {"text": text, **self.default_search()}

    def default_search(self) -> Arrays:
        """Returns the scalar inputs of `translate_nbest` that `serving_default` uses."""
        return {name: value.numpy() for name, value in self.translator.signature("default_search")().items()}

    @functools.cached_property
    def default_beam(self) -> int:
        """The beam size of `serving_default`; 0 if the model does not tell it."""
        return int(self.default_search()["beam_size"]) if "default_search" in self.signatures else 0

    def use(self) -> None:
        """Registers a request that uses the version."""
        with self._lock:
            self._users += 1

    def release(self) -> None:
        """Ends what `use` began."""
        with self._lock:
            self._users -= 1
            on_idle = self._on_idle if not self._users else None
        if on_idle is not None:
            on_idle()

    @property
    def users(self) -> int:
        """The number of requests that use the version."""
        return self._users

    def when_idle(self, function: Callable[[], None]) -> None:
        """Calls a function when no request uses the version any more: at once, if none does."""
        with self._lock:
            self._on_idle = function
            is_idle = not self._users
        if is_idle:
            function()

    def unload(self) -> None:
        """Frees the memory of the model. No request may use it any more."""
        del self.translator
        gc.collect()  # the functions of a model refer to each other


def _reason(error: Any) -> str:
    """Returns the line of an error of TensorFlow that tells the reason: the last before the graph's nodes."""
    lines = (line.strip() for line in str(error.message or "").splitlines())
    told = [line for line in itertools.takewhile(lambda line: not line.startswith("[["), lines) if line]
    return (told[-1] if told else type(error).__name__)[:_MESSAGE_CHARACTERS]


def _damaged_warm_up(path: Path) -> DataError:
    return DataError(
        f"{path} holds no requests of this model",
        "push the model again with `bitext run`, or remove the file",
    )
