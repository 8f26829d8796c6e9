"""Several workers and devices give the weights of one process with the same batches."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.artifacts import TransformedExamples
from bitext.components.component import Context
from bitext.components.shared.errors import ConfigError
from bitext.components.trainer import agreement
from bitext.components.trainer.data import Batches
from bitext.components.trainer.distribution import ALONE, Distribution, over_devices
from bitext.components.trainer.training import Training
from bitext.components.trainer.updates import Updates, rows_of_part
from bitext.components.trainer.validation import ValidationScores
from tests.components.distributed_training import frozen_rows
from tests.components.test_trainer import (  # noqa: F401  (fixtures)
    BATCH_TOKENS,
    PARAMETERS,
    deterministic,
    open_batches,
    rows,
    split,
)
from tests.components.tiny_model import VOCABULARY, initialize
from tests.structs import changed

SCRIPT = Path(__file__).with_name("distributed_training.py")
TOLERANCE = 1e-5
"""The largest difference of a weight from that of one process, as the documentation has it."""


def free_ports(count: int) -> int:
    """Returns the first of several ports in a row that nobody listens at."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as server:
            first = server.getsockname()[1]
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
        except (OSError, OverflowError):
            continue
        return first


NO_DROPOUT = {"embedding_dropout": 0.0, "layer_dropout": 0.0, "output_dropout": 0.0}
VARIANTS = {
    "plain": {"model": NO_DROPOUT},
    "many": {
        "model": NO_DROPOUT,
        "accumulate": 2,
        "replicas": 2,
        "optimizer": {"weight_decay": 0.01, "average_checkpoints": 2},
        "schedule": {"kind": "plateau"},
    },
    "gru": {"model": NO_DROPOUT | {"cell": "gru", "decoder": "conditional", "layer_norm": True}},
    "frozen": {"model": NO_DROPOUT, "embeddings": {"source": "words.vec", "freeze": True}},
    "random": {"scheduled_sampling": 0.5, "replicas": 2},
    "consistent": {"model": NO_DROPOUT, "consistency": 0.5},
}
"""Changes of `PARAMETERS`. One of the batches has a single sentence, so one worker has none of it."""


def run_processes(folder: Path, workers: int) -> None:
    """Runs `distributed_training.py` in each worker to its end."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    environment |= {"PYTHONPATH": str(SCRIPT.parents[2]), "TF_NUM_INTRAOP_THREADS": "1"}
    port = str(free_ports(workers))
    processes = [
        subprocess.Popen(
            [sys.executable, "-P", str(SCRIPT), str(folder), str(index), str(workers), port],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for index in range(workers)
    ]
    try:
        outputs = [process.communicate(timeout=400)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    for output in outputs:
        assert output.rstrip().endswith("done"), "\n".join(outputs)


@pytest.fixture(scope="module")
def results(split, tmp_path_factory) -> Path:  # noqa: F811
    """Trains all variants with two workers, and on two devices."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "transformed").symlink_to(split.parent)
    (folder / "variants.json").write_text(json.dumps(VARIANTS), encoding="utf-8")
    run_processes(folder, 2)
    run_processes(folder, 1)
    return folder


def weights_of(folder: Path, name: str, workers: int, devices: int) -> list[np.ndarray]:
    """Returns the weights that the chief has written."""
    with np.load(folder / f"{name}-{workers}-{devices}.npz") as arrays:
        return [arrays[key] for key in arrays.files]


def train_alone(folder: Path, split: Path, changes: dict, distribution: Distribution = ALONE) -> Updates:  # noqa: F811
    """Trains a variant in this process."""
    parameters = changed(PARAMETERS, **changes)
    folder.mkdir()
    network = initialize(parameters.model, VOCABULARY, VOCABULARY, seed=parameters.seed)
    batches = open_batches(split, parameters.seed)
    context = Context(folder, folder, lambda: pytest.fail("no Beam"), lambda _: None)
    scores = iter(range(1, 100))
    if distribution.strategy is not None:
        network = agreement.network_of_chief(distribution, parameters, network)
    training = Training(
        network,
        parameters,
        batches,
        lambda: ValidationScores(float(next(scores))),
        context,
        frozen=frozen_rows(network) if parameters.embeddings.freeze else {},
        distribution=distribution,
    )
    training.run()
    return training


@pytest.mark.slow
@pytest.mark.usefixtures("deterministic")
class TestSeveralWorkers:
    @pytest.mark.parametrize("name", ["plain", "many", "gru", "frozen"])
    def test_the_update_is_that_of_the_whole_batch(self, split, results, tmp_path, name):  # noqa: F811
        training = train_alone(tmp_path / name, split, VARIANTS[name])
        for workers, devices in ((2, 1), (1, 2)):
            together = weights_of(results, name, workers, devices)
            for weights, expected in zip(together, training.variables, strict=True):
                np.testing.assert_allclose(weights, expected.numpy(), rtol=0, atol=TOLERANCE)

    def test_frozen_rows_stay(self, results):
        initial = initialize(PARAMETERS.model, VOCABULARY, VOCABULARY, seed=PARAMETERS.seed)
        for workers, devices in ((2, 1), (1, 2)):
            embedding, *_ = weights_of(results, "frozen", workers, devices)
            expected = initial.source_embedding.numpy()
            np.testing.assert_array_equal(embedding[:5], expected[:5])
            assert not np.allclose(embedding[5:], expected[5:], atol=1e-3)

    def test_each_worker_and_device_draws_its_own_masks_and_always_the_same(self, results):
        for workers, devices in zip(
            weights_of(results, "random", 2, 1), weights_of(results, "random", 1, 2), strict=True
        ):
            np.testing.assert_allclose(workers, devices, rtol=0, atol=TOLERANCE)

    def test_only_the_chief_writes(self, results):
        for name in VARIANTS:
            assert list((results / f"{name}-2-0" / "checkpoints").iterdir())
            assert not list((results / f"{name}-2-1").iterdir())


@pytest.mark.usefixtures("deterministic")
def test_one_device_of_a_strategy_gives_the_weights_of_no_strategy(split, tmp_path):  # noqa: F811
    one = Distribution(tf.distribute.MirroredStrategy(["/cpu:0"]))
    for name in ("plain", "random", "consistent"):
        alone = train_alone(tmp_path / f"{name} alone", split, VARIANTS[name])
        together = train_alone(tmp_path / f"{name} together", split, VARIANTS[name], one)
        for weights, expected in zip(together.variables, alone.variables, strict=True):
            np.testing.assert_allclose(weights.numpy(), expected.numpy(), rtol=0, atol=TOLERANCE)
        # Each reads the checkpoint of the other.
        again = train_alone_again(tmp_path / f"{name} alone", split, VARIANTS[name], one)
        for weights, expected in zip(again.variables, alone.variables, strict=True):
            np.testing.assert_array_equal(weights.numpy(), expected.numpy())


def train_alone_again(folder: Path, split: Path, changes: dict, distribution: Distribution) -> Updates:  # noqa: F811
    """Makes another attempt at a finished training."""
    records = {path.name for path in folder.iterdir()}
    moved = folder.with_name(f"{folder.name} again")
    folder.rename(moved)
    assert "checkpoints" in records
    parameters = changed(PARAMETERS, **changes)
    network = initialize(parameters.model, VOCABULARY, VOCABULARY, seed=5)
    network = agreement.network_of_chief(distribution, parameters, network)
    context = Context(moved, moved, lambda: pytest.fail("no Beam"), lambda _: None)
    batches = open_batches(split, parameters.seed)
    training = Training(
        network,
        parameters,
        batches,
        lambda: pytest.fail("there is nothing to validate"),
        context,
        distribution=distribution,
    )
    training.run()
    return training


def test_a_variable_that_was_made_outside_of_the_scope_is_refused(split):  # noqa: F811
    one = Distribution(tf.distribute.MirroredStrategy(["/cpu:0"]))
    network = initialize(PARAMETERS.model, VOCABULARY, VOCABULARY)
    with pytest.raises(RuntimeError, match="was not made in the scope"):
        Updates(network, PARAMETERS, open_batches(split, 1), distribution=one)
    ALONE.check_variables([tf.Variable(1.0)])


def test_more_devices_than_there_are_are_refused():
    assert over_devices(1) is ALONE
    with pytest.raises(
        ConfigError, match=r"trainer\.distribute\.devices is 9, but this machine has 1 of kind CPU"
    ):
        over_devices(9)


class TestParts:
    @given(row_count=st.integers(0, 40), parts=st.integers(1, 9))
    def test_each_row_is_in_one_part_and_parts_are_even(self, row_count, parts):
        slices = [rows_of_part(row_count, part, parts) for part in range(parts)]
        taken = [list(range(row_count))[part] for part in slices]
        assert [row for part in taken for row in part] == list(range(row_count))
        assert max(map(len, taken)) - min(map(len, taken)) <= 1

    @pytest.mark.parametrize("workers", [2, 3, 5])
    def test_the_workers_read_the_batches_of_one_process(self, split, workers):  # noqa: F811
        whole = open_batches(split, 1)
        count = 2 * whole.per_epoch
        shares = [dataclasses.replace(whole, workers=workers, worker=worker) for worker in range(workers)]
        together = zip(*(share.after(3) for share in shares), strict=True)
        for (source, target), parts, _ in zip(whole.after(3), together, range(count), strict=False):
            assert rows([(source, target)]) == rows(list(parts))
            # No row has the padded lengths too, so that all workers run the same graph.
            assert {part[0].shape[1] for part in parts} == {source.shape[1]}
            assert {part[1].shape[1] for part in parts} == {target.shape[1]}
            assert sum(part[0].shape[0] for part in parts) == source.shape[0]


class Fake(Distribution):
    """Several workers of which the others send the numbers `others`."""

    others: tuple[list[int], ...] = ()

    def exchange(self, numbers):
        return np.array([[*numbers, 0, 0, 0, 0][:4], *self.others], np.int64)


class TestComparison:
    def test_a_worker_with_other_parameters_or_data_is_refused(self, split):  # noqa: F811
        together = Fake(workers=3)
        examples = TransformedExamples(split.parent)
        own: list[list[int]] = []

        class Recorder(Fake):
            def exchange(self, numbers):
                own.append(list(numbers))
                return np.array([numbers] * 3, np.int64)

        agreement.compare(Recorder(workers=3), PARAMETERS, examples)
        assert own[0] != own[1]
        Fake.others = (own[0], own[0])
        with pytest.raises(ConfigError, match=r"worker 1, 2 has other training data than the chief"):
            agreement.compare(together, PARAMETERS, examples)
        Fake.others = (own[0], own[1])
        with pytest.raises(ConfigError, match=r"worker 2 has other parameters"):
            agreement.compare(together, PARAMETERS, examples)
        other = msgspec.structs.replace(PARAMETERS, seed=2)
        with pytest.raises(ConfigError, match=r"worker 1, 2 has other parameters"):
            agreement.compare(together, other, examples)


def test_batches_of_a_worker_are_opened_as_such(split):  # noqa: F811
    batches = Batches.open(TransformedExamples(split.parent), BATCH_TOKENS, 1, 4, 3)
    assert (batches.workers, batches.worker) == (4, 3)
