"""A Beam engine on this machine: Beam's Python job service, and SDK workers in processes of their own."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import apache_beam as beam
import pytest
from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer

from bitext.pipeline.beam import pipeline_factory

CHECKOUT = Path(__file__).parents[2]


def runner_with(workers: int) -> SimpleNamespace:
    """What stands for Beam's module of the runner: its job service ignores `--direct_num_workers`."""

    class Runner(fn_runner.FnApiRunner):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self._num_workers = workers

    return SimpleNamespace(**(vars(fn_runner) | {"FnApiRunner": Runner}))


@contextlib.contextmanager
def engine(folder: Path, workers: int) -> Iterator[Callable[[], beam.Pipeline]]:
    """Context manager: yields a function that creates pipelines which run on the engine.

    Args:
      folder: the folder of the job service, and of the temporary files of the workers.
      workers: number of worker processes.
    """
    (folder / "worker").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        # The pool starts `python`.
        patch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        patch.setenv("PYTHONPATH", str(CHECKOUT))
        patch.setenv("TMPDIR", str(folder / "worker"))
        patch.setattr(local_job_service, "fn_runner", runner_with(workers))
        address, pool = BeamFnExternalWorkerPoolServicer.start(use_process=True)
        servicer = local_job_service.LocalJobServicer(str(folder))
        port = servicer.start_grpc_server(0)
        options = [
            f"--job_endpoint=localhost:{port}",
            "--environment_type=EXTERNAL",
            f"--environment_config={address}",
        ]
        try:
            yield pipeline_factory("PortableRunner", options)
        finally:
            servicer.stop()
            pool.stop(0)
