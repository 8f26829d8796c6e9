"""Measures time and memory of each data component for growing corpora, and with several workers.

    python -m benchmarks.growth                              # 10,000 to 10,000,000 pairs, in process
    python -m benchmarks.growth --pairs 10000 1000000        # other sizes
    python -m benchmarks.growth --workers 1 2 4 --pairs 1000000
    python -m benchmarks.growth --to StatisticsGen --set example_gen.shards=4

Every component runs in a process of its own: `bitext run --from NODE --to NODE`. The corpora are Tatoeba,
which is repeated with a number at the end of both sentences.

With `--workers`, Beam's Python job service runs the pipelines in so many processes of a worker pool. The
corpus is in 8 files, and each split has 8 shards. The columns are then the wall seconds, and the CPU seconds
of the command, of all workers, of the worker with the most, and of the job service, which shuffles the data.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from benchmarks.commands import CONFIG
from benchmarks.line import NODES, write_corpus
from benchmarks.process import BITEXT
from benchmarks.report import progress

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
FILES = 8
"""Number of files and of shards with several workers."""


class Measured(NamedTuple):
    """Wall and CPU seconds, and peak memory in MB."""

    wall: float
    cpu: float
    peak: float

    def __str__(self) -> str:
        return f"{self.wall:.1f} s, CPU {self.cpu:.1f} s, {self.peak:,.0f} MB"


class OnEngine(NamedTuple):
    """Wall and CPU seconds of a component on an engine, and the peak memory of its processes in MB."""

    wall: float
    command: float
    workers: list[float]
    service: float
    peak_of_command: float
    peak_of_worker: float
    peak_of_service: float

    def __str__(self) -> str:
        of_workers, most = sum(self.workers), max(self.workers)
        total = self.command + of_workers + self.service
        peaks = (self.peak_of_command, self.peak_of_worker, self.peak_of_service)
        return (
            f"{self.wall:.1f} s, CPU {self.command:.1f} + {of_workers:.1f} (most {most:.1f})"
            f" + {self.service:.1f} = {total:.1f} s, {' + '.join(f'{peak:,.0f}' for peak in peaks)} MB"
        )


def measured(command: Sequence[str]) -> Measured:
    """Runs a command.

    Raises:
      SystemExit: it failed.
    """
    start = time.perf_counter()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            output.seek(0)
            raise SystemExit(f"{' '.join(command)} failed:\n{output.read().decode()}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1000)


class Engine:
    """Beam's Python job service and a worker pool, in this process; the workers are processes.

    Attributes:
      options: the options of a run on the engine.
    """

    def __init__(self, folder: Path, workers: int) -> None:
        from apache_beam.runners.portability import local_job_service
        from apache_beam.runners.portability.fn_api_runner import fn_runner
        from apache_beam.runners.worker import worker_pool_main

        processes: list[subprocess.Popen[bytes]] = []

        class Pool(worker_pool_main.BeamFnExternalWorkerPoolServicer):  # type: ignore[misc]  # Beam is untyped
            """A pool that lists its processes."""

            def StartWorker(self, request: Any, context: Any) -> Any:
                response = super().StartWorker(request, context)
                processes.append(self._worker_processes.pop(request.worker_id))
                return response

        class Runner(fn_runner.FnApiRunner):  # type: ignore[misc]  # Beam is untyped
            """A runner with several workers: Beam's job service ignores `--direct_num_workers`."""

            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self._num_workers = workers

        local_job_service.fn_runner = SimpleNamespace(**(vars(fn_runner) | {"FnApiRunner": Runner}))
        self._processes = processes
        folder.mkdir(parents=True, exist_ok=True)
        os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        address, self._pool = Pool.start(use_process=True)
        self._servicer = local_job_service.LocalJobServicer(str(folder))
        port = self._servicer.start_grpc_server(0)
        flags = [
            f"--job_endpoint=localhost:{port}",
            "--environment_type=EXTERNAL",
            f"--environment_config={address}",
        ]
        beam = "beam={runner: PortableRunner, options: [" + ", ".join(f"'{flag}'" for flag in flags) + "]}"
        self.options = ("--set", beam)

    def measured(self, command: Sequence[str]) -> OnEngine:
        """Runs a command on the engine, and ends its workers."""
        self._processes.clear()
        before = time.process_time()
        caller = measured(command)
        usages = []
        for process in self._processes:
            os.kill(process.pid, signal.SIGTERM)  # it may have ended; `Popen` would then forget its usage
            usages.append(os.wait4(process.pid, 0)[2])
        return OnEngine(
            caller.wall,
            caller.cpu,
            [usage.ru_utime + usage.ru_stime for usage in usages],
            time.process_time() - before,
            caller.peak,
            max(usage.ru_maxrss for usage in usages) / 1000,
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        )

    def stop(self) -> None:
        """Stops the job service and the pool."""
        self._servicer.stop()
        self._pool.stop(0)


@contextlib.contextmanager
def engine(folder: Path, workers: int) -> Iterator[Engine]:
    """Context manager: yields an engine."""
    started = Engine(folder, workers)
    try:
        yield started
    finally:
        started.stop()


def table(name: str, nodes: Sequence[str], rows: dict[str, dict[str, Any]]) -> str:
    """A table in Markdown: a row for each size or number of workers, a column for each component."""
    lines = [f"| {name} | " + " | ".join(nodes) + " |", "|---" * (len(nodes) + 1) + "|"]
    for label, by_node in rows.items():
        lines.append(f"| {label} | " + " | ".join(map(str, by_node.values())) + " |")
    return "\n".join(lines)


def run(
    corpus: str, root: Path, nodes: Sequence[str], options: Sequence[str], on: Engine | None = None
) -> dict[str, Any]:
    """Runs the components one after the other, each in a process of its own."""
    by_node: dict[str, Any] = {}
    for node in nodes:
        command = [*BITEXT, "run", CONFIG, "--root", str(root), "--from", node, "--to", node]
        command += ["--set", f"example_gen.files=['{corpus}']", *options]
        has_workers = on is not None and node not in ("SchemaGen", "ExampleValidator")
        by_node[node] = on.measured([*command, *on.options]) if on and has_workers else measured(command)
        progress(f"{node}: {by_node[node]}")
    return by_node


def grow(sizes: Sequence[int], nodes: Sequence[str], options: Sequence[str], folder: Path) -> str:
    """Measures corpora of several sizes in process."""
    rows = {}
    for pairs in sizes:
        progress(f"{pairs:,} pairs")
        corpus = folder / f"{pairs}.tsv"
        write_corpus(pairs, corpus)
        rows[f"{pairs:,}"] = run(str(corpus), folder / f"root-{pairs}", nodes, options)
        corpus.unlink()
    return table("pairs", nodes, rows)


def scale(
    pairs: int, workers: Sequence[int], nodes: Sequence[str], options: Sequence[str], folder: Path
) -> str:
    """Measures a corpus with several numbers of workers."""
    corpus = folder / f"{pairs}.tsv"
    write_corpus(pairs, corpus)
    lines = corpus.read_bytes().splitlines(keepends=True)
    for number in range(FILES):
        part = lines[number * len(lines) // FILES : (number + 1) * len(lines) // FILES]
        (folder / f"{pairs}-{number}.tsv").write_bytes(b"".join(part))
    del lines
    settings = (*options, "--set", f"example_gen.shards={FILES}")
    pattern = str(folder / f"{pairs}-[0-9].tsv")
    rows = {}
    for count in workers:
        progress(f"{count} workers")
        with engine(folder / f"engine-{count}", count) as on:
            rows[f"{count}"] = run(pattern, folder / f"root-{pairs}-{count}", nodes, settings, on)
    return table("workers", nodes, rows)


def main() -> None:
    """Measures and prints a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, nargs="+", default=SIZES, help="sizes of the corpora")
    parser.add_argument("--workers", type=int, nargs="+", help="numbers of workers of an engine")
    parser.add_argument("--to", choices=NODES, default=NODES[-1], help="the last component (default: all)")
    parser.add_argument("--set", action="append", default=[], help="KEY=VALUE of the configuration")
    parser.add_argument("--folder", type=Path, help="for the corpora and outputs (default: a temporary one)")
    options = parser.parse_args()
    settings = [word for value in options.set for word in ("--set", value)]
    nodes = NODES[: NODES.index(options.to) + 1]
    with contextlib.ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        if options.workers:
            print(scale(options.pairs[0], options.workers, nodes, settings, folder))
        else:
            print(grow(options.pairs, nodes, settings, folder))


if __name__ == "__main__":
    main()
