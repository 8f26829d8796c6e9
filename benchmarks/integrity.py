"""Measures what the protection of kept files costs, as a share of a whole run.

    python -m benchmarks.integrity

Needs a finished `make run`. It repeats what that run did with its files: it compares the inputs of each node
with their digests, and flushes copies of all outputs to the disk.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.commands import CONFIG
from benchmarks.process import BITEXT
from benchmarks.report import Result, print_results, progress, result
from bitext.components.shared.files import fsync_tree
from bitext.pipeline import config
from bitext.pipeline.graph import create_pipeline
from bitext.pipeline.integrity import problem_of
from bitext.pipeline.records import Execution, State
from bitext.pipeline.store import Store

ROUNDS = 5


def measure() -> list[Result]:
    """Measures all figures of this benchmark."""
    settings = config.load(CONFIG)
    store = Store(settings.metadata, Path(settings.root), settings.name)
    nodes = {node.name: node for node in create_pipeline(settings).nodes}
    runs = {run.run_id: run for run in store.runs()}
    executed = dict[str, list[Execution]]()
    for execution in store.executions():
        if execution.state == State.COMPLETE and execution.node in nodes:
            executed.setdefault(execution.run_id, []).append(execution)
    run_id = next((name for name, found in executed.items() if len(found) == len(nodes)), None)
    if run_id is None:
        raise SystemExit("no run executed all nodes: delete runs/tatoeba, and `make run`")
    seconds = runs[run_id].finished - runs[run_id].started
    comparing, flushing = list[float](), list[float]()
    for number in range(ROUNDS):
        start = time.perf_counter()
        for execution in executed[run_id]:
            splits = nodes[execution.node].component.input_splits
            for key, artifacts in execution.inputs.items():
                for artifact in artifacts:
                    if problem := problem_of(artifact, splits.get(key)):
                        raise SystemExit(f"{artifact.uri} {problem}")
        comparing.append(100 * (time.perf_counter() - start) / seconds)
        flushing.append(100 * _flush_seconds(executed[run_id], Path(settings.root)) / seconds)
        progress(f"round {number + 1}: {comparing[-1]:.2f} and {flushing[-1]:.2f} % of {seconds:.0f} s")
    cached = [_cached_run_seconds() for _ in range(ROUNDS)]
    return [
        result("comparing inputs with their digests", comparing, "% of a run", at_most=2),
        result("flushing outputs to the disk", flushing, "% of a run", at_most=2),
        result("a cached run, as it reports itself", cached, "s", at_most=2),
    ]


def _flush_seconds(executions: list[Execution], root: Path) -> float:
    """Returns the seconds that flushing new copies of the outputs takes."""
    seconds = 0.0
    with tempfile.TemporaryDirectory(dir=root) as folder:
        for execution in executions:
            for artifact in execution.all_outputs():
                copy = Path(folder) / str(artifact.id)
                shutil.copytree(artifact.uri, copy)
                start = time.perf_counter()
                fsync_tree(copy)
                seconds += time.perf_counter() - start
    return seconds


def _cached_run_seconds() -> float:
    """Returns the seconds of a run in which all nodes are cached."""
    command = [*BITEXT, "run", CONFIG, "--log-format", "json"]
    printed = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    return float(json.loads(printed.splitlines()[-1])["seconds"])


if __name__ == "__main__":
    print_results(measure())
