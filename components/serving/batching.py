"""Translates requests that arrive together in one call of the model.

Only requests of the same version, signature and options share a call, and only of signatures whose answer for
a text does not depend on the other texts. A call runs in a thread; everything else in the event loop.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from bitext.components.serving.errors import UNAVAILABLE, RequestError
from bitext.components.serving.loaded import LoadedVersion
from bitext.components.serving.tensors import Arrays
from bitext.components.translation import requests

_MERGED = {
    "serving_default": "text",
    "translate_nbest": "text",
    "score": "source",
    "tokenize": "text",
}
"""The signatures whose calls are shared, and their input with source texts. `translate_sample` is not among
them: what it draws for a text depends on the position in the batch."""
RETRY_SECONDS = 1

Key = tuple[int, str, tuple[tuple[str, bytes], ...]]


@dataclasses.dataclass(eq=False)
class _Call:
    """A call that waits.

    Attributes:
      loaded: the version.
      signature: the signature.
      inputs: its inputs.
      rows: number of texts.
      most_rows: the most texts in the call, with those of others.
      arrival: when it came, by the clock of the event loop.
      result: its outputs, later.
    """

    loaded: LoadedVersion
    signature: str
    inputs: Arrays
    rows: int
    most_rows: int
    arrival: float
    result: asyncio.Future[Arrays]


class Batcher:
    """Collects calls and runs them.

    Args:
      threads: number of calls that run at the same time.
      max_rows: the most texts in a call; fewer if the model takes fewer. A larger request of another
        signature runs alone.
      delay: seconds that a call may wait for others while a thread is free.
      max_queued_rows: the most texts that wait.
      on_batch: is told the signature and the number of texts of each call.
    """

    def __init__(
        self,
        threads: int,
        max_rows: int,
        delay: float,
        max_queued_rows: int,
        on_batch: Callable[[str, int], None] = lambda signature, rows: None,
    ):
        self._executor = ThreadPoolExecutor(threads, "translate")
        self._free, self._max_rows, self._delay = threads, max_rows, delay
        self._max_queued_rows, self._on_batch = max_queued_rows, on_batch
        self._queues: dict[Any, collections.deque[_Call]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self.queued_rows = 0
        self.running = 0

    async def run(self, loaded: LoadedVersion, signature: str, inputs: Arrays) -> Arrays:
        """Calls a signature, possibly together with other requests.

        A request with more texts than a call has is divided into several calls, which may run at the same
        time, if its answer allows it.

        Raises:
          RequestError: the queue is full, or TensorFlow cannot compute it.
        """
        rows = max(loaded.signatures[signature].rows(inputs).values(), default=1)
        if self.queued_rows and self.queued_rows + rows > self._max_queued_rows:
            raise RequestError(
                UNAVAILABLE,
                f"the server is busy: {self.queued_rows:,} texts wait, and at most"
                f" {self._max_queued_rows:,} may",
                RETRY_SECONDS,
            )
        if not _is_merged(loaded, signature):
            return await self._submit(loaded, signature, inputs, rows, rows)
        most = min(self._max_rows, loaded.most_rows(inputs))
        if rows <= most:
            return await self._submit(loaded, signature, inputs, rows, most)
        specs = loaded.signatures[signature].inputs
        starts = range(0, rows, most)
        parts = [
            {
                name: array[start : start + most] if specs[name].has_rows else array
                for name, array in inputs.items()
            }
            for start in starts
        ]
        sizes = [min(most, rows - start) for start in starts]
        calls = (
            self._submit(loaded, signature, part, size, most)
            for part, size in zip(parts, sizes, strict=True)
        )
        return requests.joined(await asyncio.gather(*calls))

    def _submit(
        self, loaded: LoadedVersion, signature: str, inputs: Arrays, rows: int, most_rows: int
    ) -> asyncio.Future[Arrays]:
        """Appends a call to its queue. Returns its outputs, later."""
        loop = asyncio.get_running_loop()
        call = _Call(loaded, signature, inputs, rows, most_rows, loop.time(), loop.create_future())
        self._queues.setdefault(_key(call), collections.deque()).append(call)
        self.queued_rows += rows
        self._dispatch()
        return call.result

    def _dispatch(self) -> None:
        """Starts calls while a thread is free."""
        while self._free and (batch := self._next_batch()):
            self._free -= 1
            self.running += 1
            task = asyncio.get_running_loop().create_task(self._execute(batch))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _next_batch(self) -> list[_Call]:
        """Takes the calls of the queue whose first call is the oldest, if it need not wait any more."""
        self._drop_cancelled()
        if not self._queues:
            return []
        now = asyncio.get_running_loop().time()
        by_age = sorted(self._queues, key=lambda key: self._queues[key][0].arrival)
        for key in by_age:
            queue = self._queues[key]
            due = queue[0].arrival + self._delay
            is_full = sum(call.rows for call in queue) >= queue[0].most_rows
            if now >= due or is_full or key[1] not in _MERGED:
                return self._take(key)
        if self._timer is not None:
            self._timer.cancel()
        due = self._queues[by_age[0]][0].arrival + self._delay
        self._timer = asyncio.get_running_loop().call_at(due, self._dispatch)
        return []

    def _take(self, key: Any) -> list[_Call]:
        queue = self._queues[key]
        batch = [queue.popleft()]
        rows = batch[0].rows
        while queue and rows + queue[0].rows <= batch[0].most_rows:
            batch.append(queue.popleft())
            rows += batch[-1].rows
        if not queue:
            del self._queues[key]
        self.queued_rows -= rows
        return batch

    def _drop_cancelled(self) -> None:
        """Removes calls whose requests have timed out or were closed by the client."""
        for key in list(self._queues):
            queue = self._queues[key]
            if any(call.result.done() for call in queue):
                self.queued_rows -= sum(call.rows for call in queue if call.result.done())
                self._queues[key] = queue = collections.deque(c for c in queue if not c.result.done())
            if not queue:
                del self._queues[key]

    async def _execute(self, batch: list[_Call]) -> None:
        loop = asyncio.get_running_loop()
        for call in batch:
            call.loaded.use()
        self._on_batch(batch[0].signature, sum(call.rows for call in batch))
        future = loop.run_in_executor(self._executor, _call_all, batch)
        await asyncio.wait({future})
        for call in batch:
            call.loaded.release()
        self._free += 1
        self.running -= 1
        self._dispatch()
        error = future.exception()  # an unexpected one: every request of the batch gets it
        results = future.result() if error is None else [error] * len(batch)
        for call, result in zip(batch, results, strict=True):
            if call.result.done():  # it has timed out meanwhile
                continue
            if isinstance(result, BaseException):
                call.result.set_exception(result)
            else:
                call.result.set_result(result)


def _key(call: _Call) -> Any:
    """Returns what calls must have in common to be merged; for others it is unique."""
    name, inputs = call.signature, call.loaded.signatures[call.signature].inputs
    if not _is_merged(call.loaded, name) or not call.rows:
        return id(call), name
    options = tuple(
        (input, call.inputs[input].tobytes()) for input, spec in inputs.items() if not spec.has_rows
    )
    return id(call.loaded), name, options


def _is_merged(loaded: LoadedVersion, name: str) -> bool:
    """Whether calls of a signature may be merged, and divided."""
    return _MERGED.get(name) in loaded.signatures[name].inputs and "tokenize" in loaded.signatures


def _call_all(batch: list[_Call]) -> list[Arrays | Exception]:
    """Returns the outputs of each call, or its error."""
    first = batch[0]
    if len(batch) > 1:
        try:
            return list(_call_merged(batch))
        except RequestError:  # of one of the calls: which one?
            pass
    results: list[Arrays | Exception] = []
    for call in batch:
        try:
            results.append(_without_padding(call.signature, first.loaded.call(call.signature, call.inputs)))
        except RequestError as error:
            results.append(error)
    return results


def _call_merged(batch: Sequence[_Call]) -> list[Arrays]:
    """Calls the model once for several calls, and divides the outputs."""
    first, name = batch[0], batch[0].signature
    specs = first.loaded.signatures[name].inputs
    inputs = {
        input: np.concatenate([call.inputs[input] for call in batch])
        if spec.has_rows
        else first.inputs[input]
        for input, spec in specs.items()
    }
    outputs = first.loaded.call(name, inputs)
    if name == "tokenize":
        source_lengths = outputs["length"]
    else:
        tokenized = first.loaded.call("tokenize", {"text": inputs[_MERGED[name]]})
        source_lengths = tokenized["length"]
    results, start = [], 0
    for call in batch:
        rows = slice(start, start + call.rows)
        start += call.rows
        part = {output: array[rows] for output, array in outputs.items()}
        results.append(_without_padding(name, part, int(source_lengths[rows].max())))
    return results


def _without_padding(name: str, outputs: Arrays, source_length: int | None = None) -> Arrays:
    """Cuts the padding after the longest text, which depends on the other calls of a batch.

    Args:
      name: the signature.
      outputs: the rows of one call.
      source_length: tokens of the longest source text of the call; None: the call had a batch of its own.
    """
    if name not in _MERGED or "length" not in outputs or not outputs["length"].size:
        return outputs
    source = None if source_length is None else max(source_length, 1)
    if name == "tokenize":
        return {**outputs, "tokens": outputs["tokens"][:, :source]}
    target = max(int(outputs["length"].max()), 1)
    cut = dict(outputs)
    if "alignment" in cut:
        cut["alignment"] = cut["alignment"][..., :target, :source]
    if "tokens" in cut:
        cut["tokens"] = cut["tokens"][..., :target]
    return cut
