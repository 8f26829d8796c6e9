"""`bitext run` and `bitext train-worker` train together, also after one of them is killed."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from bitext.components.artifacts import Model
from bitext.components.trainer.cluster import Cluster
from tests.components.test_distribution import free_ports
from tests.e2e import toy
from tests.e2e.conftest import corpus

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
LONGEST_SECONDS = 60
"""The longest time in which a process notices that another is gone."""
CONFIG = toy.config(
    trainer={
        "steps": 300,
        "validation": {"every": 100, "sentences": 10},
        "distribute": {"workers": 2, "wait_seconds": 120},
        "model": {"embedding_units": 16, "encoder_units": 16, "decoder_units": 16},
    }
)


@dataclasses.dataclass
class Pair:
    """The chief and a worker in one folder.

    Attributes:
      folder: the working directory of both.
      processes: the chief and the worker.
    """

    folder: Path
    processes: list[subprocess.Popen[str]]

    @classmethod
    def start(cls, folder: Path) -> Pair:
        """Starts both."""
        port = free_ports(2)
        pair, addresses = cls(folder, []), (f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}")
        for index, arguments in enumerate(
            (["run", "toy.yaml", "--to", "Trainer"], ["train-worker", "toy.yaml"])
        ):
            tf_config = Cluster(addresses, index).tf_config()
            with (folder / f"output-{index}").open("w") as output:
                process = subprocess.Popen(
                    toy.command(*arguments),
                    cwd=folder,
                    env=toy.environment() | {"TF_CONFIG": tf_config},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    text=True,
                )
            pair.processes.append(process)
        return pair

    def output(self, index: int) -> str:
        return (self.folder / f"output-{index}").read_text(encoding="utf-8")

    def wait_for(self, text: str, index: int = 0) -> None:
        """Waits until a process has printed a text."""
        deadline = time.monotonic() + 200
        while text not in self.output(index):
            assert time.monotonic() < deadline, self.output(0) + self.output(1)
            assert self.processes[index].poll() is None, self.output(0) + self.output(1)
            time.sleep(0.02)

    def codes(self) -> list[int]:
        return [process.wait(timeout=300) for process in self.processes]

    def kill(self) -> None:
        """Kills both and what they have started, which ends with them."""
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def start() -> Iterator:
    """A function that starts a pair, which is killed in the end."""
    pairs: list[Pair] = []

    def start_pair(folder: Path) -> Pair:
        pairs.append(Pair.start(folder))
        return pairs[-1]

    yield start_pair
    for pair in pairs:
        pair.kill()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all nodes before the Trainer have run."""
    folder = tmp_path_factory.mktemp("several")
    (folder / "toy.tsv").write_text("".join(f"{line}\n" for line in corpus()), encoding="utf-8")
    toy.write_config(folder, CONFIG)
    result = toy.bitext(folder, "run", "toy.yaml", "--to", "Transform")
    assert result.code == 0, result.err
    return folder


def copy(prepared: Path, folder: Path) -> Path:
    return Path(shutil.copytree(prepared, folder))


@pytest.fixture(scope="module")
def unbroken(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which both have trained to the end."""
    folder = copy(prepared, tmp_path_factory.mktemp("unbroken") / "copy")
    pair = Pair.start(folder)
    try:
        assert pair.codes() == [0, 0], pair.output(0) + pair.output(1)
    finally:
        pair.kill()
    assert "the chief has ended the training" in pair.output(1)
    return folder


def weights(folder: Path) -> dict[str, np.ndarray]:
    return Model(toy.output(folder, "Trainer", "model")).weights()


def test_both_train_and_only_the_chief_writes(unbroken: Path) -> None:
    model = toy.output(unbroken, "Trainer", "model")
    saved = SavedModel.FromString((model / "Format-Serving" / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert len(nodes) > 1000
    # As in each SavedModel: only saving and restoring have a device.
    assert {node.device for node in nodes} <= {"", "/device:CPU:0", "/device:CPU:*"}
    assert not [node.op for node in nodes if node.op.startswith(("Cudnn", "Collective", "Nccl"))]
    records = toy.output(unbroken, "Trainer", "model_run")
    assert len(list(unbroken.glob("runs/toy/tensorboard/*/*"))) == 1
    assert (records / "history.jsonl").read_text(encoding="utf-8").count("\n") == 3


@pytest.mark.parametrize("killed", [0, 1], ids=["chief", "worker"])
def test_a_killed_process_ends_the_other_and_both_continue(
    prepared: Path, unbroken: Path, tmp_path: Path, start, killed: int
) -> None:
    folder = copy(prepared, tmp_path / "broken")
    pair = start(folder)
    pair.wait_for("step    100")
    pair.processes[killed].send_signal(signal.SIGKILL)
    began = time.monotonic()
    survivor = pair.processes[1 - killed]
    assert survivor.wait(timeout=2 * LONGEST_SECONDS) == 6, pair.output(1 - killed)
    assert time.monotonic() - began < LONGEST_SECONDS
    output = pair.output(1 - killed)
    assert "error: " in output
    assert "what to do: " in output
    assert "Traceback" not in output
    pair.kill()

    again = start(folder)
    assert again.codes() == [0, 0], again.output(0) + again.output(1)
    assert "resumed at step" in again.output(0)
    expected = weights(unbroken)
    for name, array in weights(folder).items():
        np.testing.assert_array_equal(array, expected[name])


def test_a_worker_waits_and_ends_when_it_is_told(prepared: Path, tmp_path: Path) -> None:
    folder = copy(prepared, tmp_path / "alone")
    port = free_ports(2)
    environment = toy.environment() | {
        "TF_CONFIG": Cluster((f"127.0.0.1:{port}", f"127.0.0.1:{port + 1}"), 1).tf_config()
    }
    process = subprocess.run(
        toy.command("train-worker", "toy.yaml", "--wait", "1"),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 6
    assert f"waiting for the chief (127.0.0.1:{port})" in process.stdout
    assert "has not reached the Trainer in time" in process.stderr
    started = subprocess.Popen(
        toy.command("train-worker", "toy.yaml"),
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert "waiting for the chief" in started.stdout.readline()
    started.send_signal(signal.SIGTERM)
    assert started.wait(timeout=20) == 143
    assert not list(folder.glob("**/*.new"))
    assert os.listdir(folder / "runs" / "toy")
