"""Records of the jobs that runs have started on Beam engines, so that the next run can cancel an orphan.

A record is written before its job starts and removed when the job has ended. A killed run leaves it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from bitext.components.shared import storage
from bitext.components.shared.files import fsync
from bitext.pipeline.beam import flink, job_service
from bitext.pipeline.beam.engine import Engine

CANCEL_SECONDS = 15.0
"""The longest time that a command waits for the end of a job that it canceled."""


class JobRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A job that may still run.

    Attributes:
      name: the name of the job, which no other job has.
      id: the id that the engine gave it; before it runs, the one of its preparation.
      runner: the name of the runner.
      options: the Beam options with the address of the engine. They hold no password.
    """

    name: str
    id: str = ""
    runner: str
    options: dict[str, str]

    @property
    def engine(self) -> Engine:
        """The engine that the job runs on."""
        return Engine(self.runner, self.options)


@dataclasses.dataclass(frozen=True)
class JobRecords:
    """The records of one pipeline root.

    Attributes:
      folder: the folder of the records; None: nothing is recorded.
    """

    folder: Path | None = None

    def put(self, record: JobRecord) -> None:
        """Writes a record durably, in place of an earlier one of the same job."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        content, file = msgspec.json.encode(record), self._file(self.folder, record.name)
        if storage.is_remote(file):
            file.write_bytes(content)
            return
        new = file.with_name(f"{file.name}.new")
        new.write_bytes(content)
        fsync(new)
        new.rename(file)
        fsync(self.folder)

    def remove(self, name: str) -> None:
        """Removes the record of a job that has ended."""
        if self.folder is not None:
            self._file(self.folder, name).unlink(missing_ok=True)

    def end_orphans(self, say: Callable[[str], None]) -> None:
        """Cancels the jobs that killed runs have left, and says what became of each.

        The record of a job whose engine cannot be reached stays for the next run.
        """
        for file, record in self._all():
            try:
                outcome = _end(record)
            except OSError as error:
                say(
                    f"warning: a killed run left the Beam job {record.name} on {record.engine.name}, which"
                    f" cannot be reached ({error}); cancel it there, or delete {file} if it has ended"
                )
                continue
            say(f"a killed run left the Beam job {record.name} on {record.engine.name}: {outcome}")
            file.unlink(missing_ok=True)

    def _all(self) -> Iterator[tuple[Path, JobRecord]]:
        """Yields the files and their records; a file that cannot be read is left out."""
        if self.folder is None or not self.folder.is_dir():
            return
        for file in sorted(self.folder.glob("*.json"), key=str):
            try:
                yield file, msgspec.json.decode(file.read_bytes(), type=JobRecord)
            except msgspec.MsgspecError:  # another version of bitext wrote it
                file.unlink(missing_ok=True)

    @staticmethod
    def _file(folder: Path, name: str) -> Path:
        return folder / f"{name}.json"


def _end(record: JobRecord) -> str:
    """Cancels a job if it runs, and returns what became of it, in words.

    Raises:
      OSError: the engine cannot be reached.
    """
    engine = record.engine
    if engine.endpoint:
        service = job_service.connect(engine.endpoint)
        found = job_service.find(service, record.id, record.name)
        if found is None:
            return "the engine no longer knows it"
        job_id, state = found
        if state in job_service.ENDED:
            return f"it ended before, as {state}"
        state = job_service.cancel(service, job_id, CANCEL_SECONDS)
        return "canceled" if state == "CANCELLED" else f"asked to cancel it, it is {state}"
    if engine.flink:
        job = flink.find(engine.flink, record.name)
        if job is None:
            return "the engine no longer knows it"
        if job["state"] in flink.ENDED:
            return f"it ended before, as {job['state']}"
        flink.cancel(engine.flink, job["jid"])
        return "asked to cancel it"
    page = engine.page(record.id)
    return f"bitext cannot cancel a job there; look at it {f'on {page}' if page else 'yourself'}"
