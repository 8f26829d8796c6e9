"""How well training uses the machine: padding, arithmetic, and waiting for input.

    python -m benchmarks.training CONFIG

Trains the configuration's model on what its last run transformed (`make run` first), with no validation, and
keeps nothing. The matrix products of an update are counted by making it once more op by op, adding up what
each product multiplies; the machine's peak is measured between the rounds by the same library, on large
products on all cores.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.commands import outputs_of
from benchmarks.report import Result, hand_over, progress, result
from bitext.components import text
from bitext.components.artifacts import TransformedExamples
from bitext.components.component import Context
from bitext.components.shared.parallel import WAYS, share_cores
from bitext.pipeline import config

if TYPE_CHECKING:
    from bitext.components.trainer import Parameters
    from bitext.components.trainer.data import Batch
    from bitext.components.trainer.training import Training

ROUNDS, UPDATES = 7, 40
PEAK_SIZE, PEAK_PRODUCTS = 1024, 24
TRANSPOSED = {"MatMul": "transpose_a", "BatchMatMulV2": "adj_x"}


def measure(path: Path) -> list[Result]:
    """Shares of real tokens, of the peak, and of the time spent waiting."""
    share_cores()
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()  # as Trainer has it
    with tempfile.TemporaryDirectory() as folder:
        transform = outputs_of(str(path), "Transform")
        training = opened(config.load(path).trainer, transform, Path(folder))
        batches = training.batches
        room = sum(b.examples * (b.target - 1) for b in batches.buckets)
        real = 100 * sum(b.target_tokens for b in batches.buckets) / room
        stream = batches.after(0)
        kept = [next(stream) for _ in range(UPDATES)]
        # The middle one of the rounds goes over the start of an epoch, where shuffle buffers fill.
        coming = batches.read_ahead(batches.per_epoch - ROUNDS * UPDATES // 2)
        next(coming)  # a training's first, which no update could be done beside
        progress("counting products")
        work = sum(products(training, batch) for batch in kept)
        update_with(training, kept)  # every shape seen once
        peak = peak_function()
        rates, peaks, stalls, tokens = list[float](), [peak()], list[float](), list[float]()
        many = float(sum(tf.math.count_nonzero(target[:, 1:]) for _, target in kept))
        for number in range(ROUNDS):
            begun = time.perf_counter()
            update_with(training, kept)
            taken = time.perf_counter() - begun
            rates.append(work / taken)
            tokens.append(many / taken)
            peaks.append(peak())
            stalls.append(stall(training, coming))
            progress(f"round {number + 1}: {rates[-1] / 1e9:.1f} of {max(peaks) / 1e9:.1f} GFLOP/s")
    # The machine is not alone: each round is compared with the better of the peaks before and after it.
    shares = [100 * rate / max(peaks[i : i + 2]) for rate, i in zip(rates, count(0), strict=False)]
    return [
        result("target positions that hold a token", [real], "%", at_least=95),
        result("matrix products, of the machine's peak", shares, "%", at_least=70),
        result("matrix products", [rate / 1e9 for rate in rates], "GFLOP/s"),
        result("peak of the machine between", [rate / 1e9 for rate in peaks], "GFLOP/s"),
        result("target tokens", tokens, "per second"),
        result("waiting for input", stalls, "% of an update", at_most=2),
        result(
            "the same over the start of an epoch", stalls[ROUNDS // 2 : ROUNDS // 2 + 1], "% of an update"
        ),
    ]


def opened(parameters: Parameters, transform: dict[str, Path], folder: Path) -> Training:
    """The training that Trainer would do, from scratch, with what Transform made."""
    import keras

    from bitext.components.seq2seq.model import Seq2Seq
    from bitext.components.trainer.data import Batches
    from bitext.components.trainer.training import Training

    keras.utils.set_random_seed(parameters.seed)
    examples = TransformedExamples(transform["transformed_examples"])
    batches = Batches.open(examples, parameters.batch_tokens, parameters.seed)
    pair = text.load(transform["transform_graph"])
    network = Seq2Seq(parameters.model, pair.source.size(), pair.target.size(), pair.shared)
    context = Context(folder, folder, beam_pipeline=lambda: None, say=progress)
    return Training(network, parameters, batches, lambda: 0.0, context)


def products(training: Training, batch: tuple[Any, Any]) -> int:
    """Floating-point operations of the matrix products of a batch's update, forward and backward.

    A product of [n, k] and [k, m] is 2 n k m.
    """
    import tensorflow as tf
    from tensorflow.python.framework import op_callbacks  # TensorFlow's debugger looks on by this

    total = 0

    def look(kind: str, inputs: Any, attributes: Any, outputs: Any, *_: Any) -> None:
        nonlocal total
        if kind in TRANSPOSED:
            transposed = attributes[attributes.index(TRANSPOSED[kind]) + 1]
            inner = inputs[0].shape[-2 if transposed else -1]
            total += 2 * inner * int(tf.size(outputs[0]))

    op_callbacks.add_op_callback(look)
    try:
        training.gradients(*batch, 0)
    finally:
        op_callbacks.remove_op_callback(look)
    return total


def peak_function() -> Callable[[], float]:
    """A function that measures how many floating-point operations a second large products do on all cores."""
    import tensorflow as tf

    # A chain for each replica: what TensorFlow has as threads of one operation is half of the cores.
    matrices = [tf.random.normal([PEAK_SIZE, PEAK_SIZE]) / PEAK_SIZE**0.5 for _ in range(WAYS)]

    @tf.function
    def chains() -> list[tf.Tensor]:
        ends = []
        for matrix in matrices:
            end = matrix
            for _ in range(PEAK_PRODUCTS):
                end = tf.matmul(end, matrix)
            ends.append(tf.reduce_sum(end))
        return ends

    chains()

    def once() -> float:
        best = 0.0
        for _ in range(5):
            begun = time.perf_counter()
            chains()
            taken = time.perf_counter() - begun
            best = max(best, WAYS * PEAK_PRODUCTS * 2 * PEAK_SIZE**3 / taken)
        return best

    return once


def update_with(training: Training, batches: Iterable[Batch]) -> None:
    """An update for each batch."""
    import tensorflow as tf

    for source, target in batches:
        training.train_on(source, target, tf.constant(0))


def stall(training: Training, coming: Iterator[Batch]) -> float:
    """Share of the time of UPDATES updates that is spent waiting for their batches, in percent."""
    begun, waited = time.perf_counter(), 0.0
    for _ in range(UPDATES):
        asked = time.perf_counter()
        batch = next(coming)
        waited += time.perf_counter() - asked
        update_with(training, [batch])
    return 100 * waited / (time.perf_counter() - begun)


if __name__ == "__main__":
    hand_over(measure(Path(sys.argv[1])))
