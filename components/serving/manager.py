"""Loads, swaps and unloads the versions of the model while requests run.

All methods but `start` run in the event loop. Versions are loaded in a thread of their own.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from bitext.components.serving.catalog import (
    Catalog,
    Version,
    check_labels,
    fingerprint,
    rollback_candidate,
    servable,
)
from bitext.components.serving.errors import INVALID, NOT_FOUND, RequestError
from bitext.components.serving.loaded import LoadedVersion
from bitext.components.shared.errors import BitextError, DataError

START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"
KEPT_STATES = 20
"""Versions that ended, whose states are still told."""


@dataclasses.dataclass(frozen=True)
class VersionState:
    """The state of a version, as TensorFlow Serving tells it.

    Attributes:
      state: `START`, `LOADING`, `AVAILABLE`, `UNLOADING` or `END`.
      error: why it was not loaded; empty: no error.
    """

    state: str
    error: str = ""


class Manager:
    """The versions of a model.

    Args:
      catalog: the versions on disk.
      trusted: as for `LoadedVersion`.
      extra_versions: versions besides the served one that `borrow` may load.
      say: prints one line about a version.
      labels: versions that are loaded besides the served one, by a name that clients may give.
    """

    def __init__(
        self,
        catalog: Catalog,
        trusted: bool,
        extra_versions: int,
        say: Callable[[str], None],
        labels: Mapping[str, int] | None = None,
    ):
        self.catalog, self._trusted, self._extra, self._say = catalog, trusted, extra_versions, say
        self._labels = dict(labels or {})
        self.versions: list[Version] = []
        self.states: dict[int, VersionState] = {}
        self.served: int | None = None
        self.load_failures = 0
        self._loaded: dict[int, LoadedVersion] = {}
        self._borrowed: collections.OrderedDict[int, None] = collections.OrderedDict()
        self._failed: dict[int, Any] = {}
        self._seen: dict[int, Any] = {}
        self._unreadable = ""
        self._loading = asyncio.Lock()
        self._executor = ThreadPoolExecutor(1, "load")
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Loads the newest version that is intact and not withdrawn, and those with labels, in this thread.

        Raises:
          DataError: there is none, or a version with a label is missing or damaged.
        """
        self.versions = self.catalog.versions()
        check_labels(self._labels, self.versions, self.catalog.folder)
        self._load_newest()
        by_number = {version.number: version for version in self.versions}
        for number in self._labels.values():
            if number not in self._loaded:
                self._add(self._load(by_number[number]))

    def _load_newest(self) -> None:
        first_error: BitextError | None = None
        for version in servable(self.versions):
            try:
                loaded = self._load(version)
            except BitextError as error:
                first_error = first_error or error
                self._fail(version, error)
            else:
                self._publish(loaded)
                return
        raise first_error or DataError(
            f"every version in {self.catalog.folder} was withdrawn by a rollback",
            "push another model with `bitext run`",
        )

    async def watch(self, seconds: float) -> None:
        """Looks into the serving folder again and again, until it is cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await self.look()

    async def look(self) -> None:
        """Serves the newest version, and unloads those that are gone."""
        try:
            self.versions = await self._in_thread(self.catalog.versions)
        except OSError as error:
            problem = f"the serving folder {self.catalog.folder} cannot be read: {error.strerror}"
            if problem != self._unreadable:
                self._say(f"{problem}; version {self.served} stays")
            self._unreadable = problem
            return
        self._unreadable = ""
        async with self._loading:
            await self._serve_newest()
            on_disk = {version.number: version for version in self.versions}
            for number in [*self._borrowed, *self._labels.values()]:
                if number not in on_disk and number != self.served:
                    self._retire(number)
            for number in self._labels.values():
                if number in on_disk and number not in self._loaded and await self._is_ready(on_disk[number]):
                    await self._try_to_add(on_disk[number])

    async def _try_to_add(self, version: Version) -> None:
        try:
            self._add(await self._load_in_thread(version))
        except BitextError as error:
            await self._remember_failure(version, error)

    async def _serve_newest(self) -> None:
        candidates = servable(self.versions)
        for version in candidates:
            if version.number == self.served:
                return
            if not await self._is_ready(version):
                continue
            try:
                loaded = self._loaded.get(version.number) or await self._load_in_thread(version)
            except BitextError as error:
                await self._remember_failure(version, error)
                continue
            self._publish(loaded)
            return
        if not candidates and self.served is not None:
            self._say(f"there is no version in {self.catalog.folder} any more")
            number, self.served = self.served, None
            self._retire(number)

    async def _is_ready(self, version: Version) -> bool:
        """Whether a new version may be loaded: it did not fail before, and is not being copied."""
        if version.number in self._loaded:
            return True
        try:
            files = await self._in_thread(fingerprint, version.path)
        except OSError:  # it is being removed
            return False
        if self._failed.get(version.number) == files:
            return False
        # A version that bitext pushed appears by one rename, and its digest tells whether it is complete.
        is_complete = version.digest is not None or self._seen.get(version.number) == files
        self._seen[version.number] = files
        return is_complete

    async def _remember_failure(self, version: Version, error: BitextError) -> None:
        self._fail(version, error)
        with contextlib.suppress(OSError):
            self._failed[version.number] = await self._in_thread(fingerprint, version.path)

    def _fail(self, version: Version, error: BitextError) -> None:
        self.load_failures += 1
        self._set_state(version.number, VersionState(END, _for_clients(version, error)))
        kept = "" if self.served is None else f"; version {self.served} stays"
        self._say(f"version {version.number} is not served: {error}{kept}")

    async def _load_in_thread(self, version: Version) -> LoadedVersion:
        self._set_state(version.number, VersionState(LOADING))
        return await self._in_thread(self._load, version)

    def _load(self, version: Version) -> LoadedVersion:
        """Loads and warms up a version. Raises BitextError."""
        start = time.perf_counter()
        try:
            loaded = LoadedVersion(version, self._trusted)
            requests = loaded.warm_up()
        except OSError as error:
            raise DataError(
                f"the model at {version.path} cannot be read: {error.strerror}", "restore the folder"
            ) from error
        seconds = time.perf_counter() - start
        self._say(
            f"version {version.number} is loaded from {version.path}"
            f" ({seconds:.1f} s, {requests} warm-up requests)"
        )
        return loaded

    def _publish(self, loaded: LoadedVersion) -> None:
        """Gives new requests this version, and unloads the one before it."""
        number, before = loaded.version.number, self.served
        self._add(loaded)
        self._borrowed.pop(number, None)
        self.served = number
        if before is not None:
            self._say(f"version {number} is served now, after version {before}")
            if before not in self._labels.values():
                self._retire(before)

    def _add(self, loaded: LoadedVersion) -> None:
        """Makes a version available, besides the served one."""
        self._loaded[loaded.version.number] = loaded
        self._set_state(loaded.version.number, VersionState(AVAILABLE))

    def _retire(self, number: int) -> None:
        """Unloads a version when its requests are finished."""
        loaded = self._loaded.pop(number, None)
        self._borrowed.pop(number, None)
        if loaded is None:
            return
        self._set_state(number, VersionState(UNLOADING))
        loop = asyncio.get_running_loop()

        def unload() -> None:
            task = loop.create_task(self._unload(loaded))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        def on_idle() -> None:
            loop.call_soon_threadsafe(unload)

        loaded.when_idle(on_idle)

    async def _unload(self, loaded: LoadedVersion) -> None:
        await self._in_thread(loaded.unload)
        number = loaded.version.number
        if number not in self._loaded:
            self._set_state(number, VersionState(END))
        self._say(f"version {number} is unloaded")

    @contextlib.contextmanager
    def use(self, number: int | None = None) -> Iterator[LoadedVersion]:
        """Context manager: yields a version that is not unloaded meanwhile.

        Args:
          number: the version; None: the served one.

        Raises:
          RequestError: it is not loaded.
        """
        chosen = self.served if number is None else number
        loaded = None if chosen is None else self._loaded.get(chosen)
        if loaded is None:
            name = self.catalog.name
            request = f"Latest({name})" if number is None else f"Specific({name}, {number})"
            raise RequestError(NOT_FOUND, f"Servable not found for request: {request}")
        if number is not None and number in self._borrowed:
            self._borrowed.move_to_end(number)
        loaded.use()
        try:
            yield loaded
        finally:
            loaded.release()

    async def borrow(self, number: int) -> None:
        """Loads a version besides the served one, and unloads the one that was used least recently.

        Raises:
          RequestError: there is no such version, it cannot be loaded, or no further version is allowed.
        """
        async with self._loading:
            if number in self._loaded:
                return
            version = next((version for version in self.versions if version.number == number), None)
            if version is None:
                raise RequestError(NOT_FOUND, f"there is no version {number}")
            if not self._extra:
                raise RequestError(
                    NOT_FOUND, f"version {number} is not loaded, and --extra-versions 0 allows no other"
                )
            if not await self._is_ready(version):
                state = self.states.get(number)
                raise RequestError(
                    NOT_FOUND, (state and state.error) or f"version {number} is being copied; try again"
                )
            while len(self._borrowed) >= self._extra:
                self._retire(next(iter(self._borrowed)))
            try:
                self._add(await self._load_in_thread(version))
            except BitextError as error:
                await self._remember_failure(version, error)
                raise RequestError(NOT_FOUND, _for_clients(version, error)) from error
            self._borrowed[number] = None

    def number_of(self, label: str) -> int:
        """Returns the version of a label.

        Raises:
          RequestError: there is no such label, or its version is not loaded.
        """
        number = self._labels.get(label)
        if number is None or number not in self._loaded:
            raise RequestError(INVALID, f"Unrecognized servable version label: {label}")
        return number

    def listed(self) -> list[Version]:
        """Returns the versions on disk and those in memory whose folder was removed, newest first."""
        on_disk = {version.number: version for version in self.versions}
        in_memory = {number: loaded.version for number, loaded in self._loaded.items()}
        return [version for _, version in sorted((in_memory | on_disk).items(), reverse=True)]

    def loaded(self) -> dict[int, LoadedVersion]:
        """Returns the versions in memory, without those that are being unloaded."""
        return dict(self._loaded)

    @property
    def candidate(self) -> int | None:
        """The version that `bitext rollback` would serve again; None: there is none."""
        candidate = rollback_candidate(self.versions)
        return candidate.number if candidate else None

    def _set_state(self, number: int, state: VersionState) -> None:
        self.states.pop(number, None)
        self.states[number] = state
        ended = [other for other, of_other in self.states.items() if of_other.state == END]
        for other in ended[:-KEPT_STATES]:
            del self.states[other]

    async def _in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)


def _for_clients(version: Version, error: BitextError) -> str:
    """Returns the message of an error without the paths of the server."""
    path, name = str(version.path), f"version {version.number}"
    text = str(error).replace(f"the model at {path}", name)
    return text.replace(f"{path}{os.sep}", "").replace(path, name)
