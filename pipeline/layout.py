"""The folders below a pipeline root, which may be remote, and those that stay on this machine."""

from __future__ import annotations

import dataclasses
import shutil
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

from bitext.components.shared import storage
from bitext.components.shared.errors import EnvironmentFault
from bitext.components.shared.files import fsync
from bitext.components.shared.numbered import folder_number
from bitext.pipeline.terminal import log

if TYPE_CHECKING:
    from bitext.pipeline.config import PipelineConfig


@dataclasses.dataclass(frozen=True)
class Layout:
    """The folders below a pipeline root.

    If the root is remote, the published artifacts, `.id`, `.lease/`, `.jobs/` and `.train-job.json` are
    there, and the others are in a folder of this machine (`work`)::

    <node>/<output key>/<execution id>/        published artifacts
    .id                                        the root's id in the metadata store, wherever it is mounted
    .owner.json                                the configuration file of the last run
    .progress.json                             how far the run in progress is
    .lease/<number>.json                       which process uses a remote root (see `lease`)
    .inputs/<run id>/...                       copies of remote artifacts that a node reads
    .jobs/<job name>.json                      a job on a Beam engine that has not ended, or a killed run left
    .train-job.json                            what the workers of a distributed training do
    .lock                                      held by the process that uses the root
    .staging/<run id>/<node>/                  outputs and temporary files of the attempt in progress
    .working/<node>/<cache key>/               checkpoints that an interrupted attempt leaves for the next
    .unrecorded/<run id>/...                   outputs without a metadata record
    .damaged/<run id>/...                      outputs whose files were not those on record
    tensorboard/<run id>/                      the log of a training that this run started, for TensorBoard
    .assets/                                   scripts of pages, which take a second to build
    logs/<run id>.log
    logs/<run id>.yaml                         the configuration of the run, with every default
    logs/<run id>/<node>/                      files that the error of a failed run names
    reports/<run id>.html                      the page of the run; beside it, pages about several runs

    Attributes:
      root: the folder of this machine: the pipeline root, or `work` if the root is remote.
      remote: the pipeline root if it is remote; None: it is `root`.
    """

    root: Path
    remote: Path | None = None

    @classmethod
    def of(cls, config: PipelineConfig) -> Self:
        """Returns the folders of a configured pipeline."""
        remote = storage.path(config.root) if storage.is_remote(config.root) else None
        return cls(Path(config.work_folder), remote)

    @property
    def published(self) -> Path:
        """The folder of the published artifacts: the pipeline root."""
        return self.root if self.remote is None else self.remote

    @property
    def address(self) -> str:
        """The pipeline root as the records name it: an absolute path, or the address of a remote root."""
        return str(self.root.resolve() if self.remote is None else self.remote)

    @property
    def lease(self) -> Path:
        """The folder of the leases of a remote root."""
        return self.published / ".lease"

    def input_copies(self, run_id: str) -> Path:
        """The folder of the copies of remote artifacts in a run."""
        return self.root / ".inputs" / run_id

    @property
    def staging(self) -> Path:
        """The folder of all attempts in progress."""
        return self.root / ".staging"

    @property
    def logs(self) -> Path:
        """The folder of the logs."""
        return self.root / "logs"

    @property
    def progress(self) -> Path:
        """The file that says how far the run in progress is."""
        return self.root / ".progress.json"

    @property
    def jobs(self) -> Path:
        """The folder of the records of jobs on Beam engines (see `beam.job_records`)."""
        return self.published / ".jobs"

    @property
    def job_file(self) -> Path:
        """The file that tells the workers of a distributed training what to do."""
        return self.published / ".train-job.json"

    @property
    def tensorboard(self) -> Path:
        """The folder of the logs of trainings."""
        return self.root / "tensorboard"

    def all_tensorboard(self) -> list[Path]:
        """The logs of trainings: `tensorboard/<run id>`."""
        return sorted(self.tensorboard.glob("*"))

    @property
    def reports(self) -> Path:
        """The folder of the pages about runs."""
        return self.root / "reports"

    def log_file(self, run_id: str) -> Path:
        """The log of a run."""
        return self.logs / f"{run_id}.log"

    def config_file(self, run_id: str) -> Path:
        """The configuration of a run."""
        return self.logs / f"{run_id}.yaml"

    def report(self, run_id: str) -> Path:
        """The page of a run."""
        return self.reports / f"{run_id}.html"

    @property
    def assets(self) -> Path:
        """The folder of the scripts of pages."""
        return self.root / ".assets"

    def failure(self, run_id: str, node: str) -> Path:
        """The folder of the files that explain why a node failed in a run."""
        return self.logs / run_id / node

    def working(self, node: str, cache_key: str) -> Path:
        """The folder that attempts with the same cache key share."""
        return self.root / ".working" / node / cache_key

    def all_working(self) -> list[Path]:
        """The folders of unfinished attempts: `.working/<node>/<cache key>`."""
        return sorted((self.root / ".working").glob("*/*"))

    def unrecorded(self, run_id: str, folder: Path) -> Path:
        """The path that a run moves an output folder without a record to."""
        return self.published / ".unrecorded" / run_id / Path(*folder.parts[-3:])

    def damaged(self, run_id: str, folder: Path) -> Path:
        """The path that a run moves a damaged output folder to."""
        return self.published / ".damaged" / run_id / Path(*folder.parts[-3:])

    def all_damaged(self) -> list[Path]:
        """The folders of damaged outputs: `.damaged/<run id>`."""
        return sorted((self.published / ".damaged").glob("*"), key=str)

    def output(self, node: str, key: str, execution_id: int | None) -> Path:
        """The folder of a published artifact."""
        return self.published / node / key / str(execution_id)

    def outputs(self, node: str, key: str) -> Iterator[tuple[int, Path]]:
        """Yields the execution ids and folders of what is published under an output key."""
        for folder in sorted((self.published / node / key).glob("*"), key=str):
            execution_id = folder_number(folder.name)
            if execution_id is not None:
                yield execution_id, folder

    def remove_empty_folders(self) -> None:
        """Removes the empty folders of temporary files. What an attempt left for the next stays."""
        working, others = self.root / ".working", (self.root / ".inputs", self.root / ".jobs")
        for folder in (*working.glob("*/*"), *working.glob("*"), working, self.staging, *others):
            with suppress(OSError):  # not empty, or not there
                folder.rmdir()

    @property
    def id_file(self) -> Path:
        """The file with the root's id."""
        return self.published / ".id"

    @property
    def owner_file(self) -> Path:
        """The file with the configuration that ran last (see `root_owner`)."""
        return self.root / ".owner.json"

    @property
    def new_id_file(self) -> Path:
        """The file with the id that a copy of a root is about to get (see `identity`)."""
        return self.root / ".id.copy"

    def has_id(self) -> bool:
        """Whether the root has an id that can be read."""
        try:
            return bool(self.id_file.read_text(encoding="ascii").strip())
        except (FileNotFoundError, UnicodeDecodeError):
            return False

    def write_id(self, id_: str) -> None:
        """Gives the root an id, completely or not at all."""
        if self.remote is not None:
            self.id_file.write_bytes(id_.encode("ascii"))
            return
        new = self.root / ".id.new"
        new.write_text(id_, encoding="ascii")
        fsync(new)
        new.rename(self.id_file)

    def read_id(self) -> str:
        """The root's id in the metadata store, which is created on first use."""
        if not self.has_id():
            self.write_id(uuid.uuid4().hex)
        return self.id_file.read_text(encoding="ascii")


def remove(folder: Path) -> None:
    """Removes a folder that may not exist. If it cannot be removed, it stays, with a warning in the log."""
    try:
        if storage.is_remote(folder):
            storage.remove(folder)
        else:
            shutil.rmtree(folder)
    except FileNotFoundError:
        return
    except (OSError, EnvironmentFault) as error:
        log.warning("%s cannot be removed: %s", folder, error)
