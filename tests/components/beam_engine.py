"""A Beam engine on this machine: Beam's Python job service, and SDK workers in processes of their own."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.runners.portability.local_job_service import LocalJobServicer
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer

from bitext.pipeline.beam import pipeline_factory

CHECKOUT = Path(__file__).parents[2]


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
        address, pool = BeamFnExternalWorkerPoolServicer.start(use_process=True)
        servicer = LocalJobServicer(str(folder))
        port = servicer.start_grpc_server(0)
        options = [
            f"--job_endpoint=localhost:{port}",
            "--environment_type=EXTERNAL",
            f"--environment_config={address}",
            f"--direct_num_workers={workers}",
        ]
        try:
            yield pipeline_factory("PortableRunner", options)
        finally:
            servicer.stop()
            pool.stop(0)
