"""Measures how well training uses the machine: padding, matrix products, and waiting for input.

    python -m benchmarks.training CONFIG

Trains the configured model on the transformed examples of the last run, without validation. It needs a
finished `make run`. The floating-point operations of the matrix products are counted in eager mode. The peak
of the machine is measured between the rounds, also with TensorFlow: large matrix products on all cores.
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
from benchmarks.report import Result, print_results, progress, result
from bitext.components.artifacts import TransformedExamples
from bitext.components.component import Context
from bitext.components.shared.parallel import CONCURRENT_TASKS, share_cores
from bitext.components.text.processor import load_text_pair
from bitext.pipeline import config

if TYPE_CHECKING:
    from bitext.components.trainer import Parameters
    from bitext.components.trainer.data import Batch
    from bitext.components.trainer.training import Training

ROUNDS, UPDATES = 7, 40
PEAK_SIZE, PEAK_PRODUCTS = 1024, 24
TRANSPOSED = {"MatMul": "transpose_a", "BatchMatMulV2": "adj_x"}


def measure(path: Path) -> list[Result]:
    """Measures all figures of this benchmark."""
    share_cores()
    import tensorflow as tf

    tf.config.experimental.enable_op_determinism()  # as in Trainer
    with tempfile.TemporaryDirectory() as folder:
        transform = outputs_of(str(path), "Transform")
        training = open_training(config.load(path).trainer, transform, Path(folder))
        batches = training.batches
        positions = sum(b.examples * (b.target - 1) for b in batches.buckets)
        token_share = 100 * sum(b.target_tokens for b in batches.buckets) / positions
        stream = batches.after(0)
        examples = [next(stream) for _ in range(UPDATES)]
        # The middle round passes the start of an epoch, where the shuffle buffers are filled.
        upcoming = batches.read_ahead(batches.per_epoch - ROUNDS * UPDATES // 2)
        next(upcoming)  # not measured, because no update runs while it is read
        progress("counting operations")
        operations = sum(count_operations(training, batch) for batch in examples)
        update_with(training, examples)  # traces every shape
        peak = peak_function()
        rates, peaks, waits, tokens = list[float](), [peak()], list[float](), list[float]()
        target_tokens = float(sum(tf.math.count_nonzero(target[:, 1:]) for _, target in examples))
        for number in range(ROUNDS):
            start = time.perf_counter()
            update_with(training, examples)
            seconds = time.perf_counter() - start
            rates.append(operations / seconds)
            tokens.append(target_tokens / seconds)
            peaks.append(peak())
            waits.append(wait_share(training, upcoming))
            progress(f"round {number + 1}: {rates[-1] / 1e9:.1f} of {max(peaks) / 1e9:.1f} GFLOP/s")
    # Each round is compared with the higher of the peaks before and after it: other programs use the machine.
    shares = [100 * rate / max(peaks[i : i + 2]) for rate, i in zip(rates, count(0), strict=False)]
    return [
        result("target positions that hold a token", [token_share], "%", at_least=95),
        result("matrix products, of the machine's peak", shares, "%", at_least=70),
        result("matrix products", [rate / 1e9 for rate in rates], "GFLOP/s"),
        result("peak of the machine between", [rate / 1e9 for rate in peaks], "GFLOP/s"),
        result("target tokens", tokens, "per second"),
        result("waiting for input", waits, "% of an update", at_most=2),
        result("the same over the start of an epoch", waits[ROUNDS // 2 : ROUNDS // 2 + 1], "% of an update"),
    ]


def open_training(parameters: Parameters, transform: dict[str, Path], folder: Path) -> Training:
    """Returns the training that Trainer would run from scratch on Transform's outputs."""
    import keras

    from bitext.components.seq2seq.model import Seq2Seq
    from bitext.components.trainer.data import Batches
    from bitext.components.trainer.training import Training
    from bitext.components.trainer.validation import ValidationScores

    keras.utils.set_random_seed(parameters.seed)
    examples = TransformedExamples(transform["transformed_examples"])
    batches = Batches.open(examples, parameters.batch_tokens, parameters.seed)
    pair = load_text_pair(transform["transform_graph"])
    network = Seq2Seq(parameters.model, pair.source.size(), pair.target.size(), pair.shared)
    context = Context(folder, folder, beam_pipeline=lambda: None, say=progress)
    return Training(network, parameters, batches, lambda: ValidationScores(0.0), context)


def count_operations(training: Training, batch: tuple[Any, Any]) -> int:
    """Returns the floating-point operations of a batch's matrix products, forward and backward.

    A product of [n, k] and [k, m] has 2 n k m operations.
    """
    import tensorflow as tf
    from tensorflow.python.framework import op_callbacks  # used by TensorFlow's debugger

    total = 0

    def callback(kind: str, inputs: Any, attributes: Any, outputs: Any, *_: Any) -> None:
        nonlocal total
        if kind in TRANSPOSED:
            transposed = attributes[attributes.index(TRANSPOSED[kind]) + 1]
            inner = inputs[0].shape[-2 if transposed else -1]
            total += 2 * inner * int(tf.size(outputs[0]))

    op_callbacks.add_op_callback(callback)
    try:
        training.gradients(0, *batch)
    finally:
        op_callbacks.remove_op_callback(callback)
    return total


def peak_function() -> Callable[[], float]:
    """Returns a function that measures the floating-point operations per second of large matrix products."""
    import tensorflow as tf

    # One chain of products for each concurrent task, because an operation uses its share of the cores only.
    matrices = [tf.random.normal([PEAK_SIZE, PEAK_SIZE]) / PEAK_SIZE**0.5 for _ in range(CONCURRENT_TASKS)]

    @tf.function
    def chains() -> list[tf.Tensor]:
        results = []
        for matrix in matrices:
            product = matrix
            for _ in range(PEAK_PRODUCTS):
                product = tf.matmul(product, matrix)
            results.append(tf.reduce_sum(product))
        return results

    chains()

    def peak() -> float:
        best = 0.0
        for _ in range(5):
            start = time.perf_counter()
            chains()
            seconds = time.perf_counter() - start
            best = max(best, CONCURRENT_TASKS * PEAK_PRODUCTS * 2 * PEAK_SIZE**3 / seconds)
        return best

    return peak


def update_with(training: Training, batches: Iterable[Batch]) -> None:
    """Makes one update with each batch."""
    import tensorflow as tf

    for source, target in batches:
        training.train_on(tf.constant(0), source, target)


def wait_share(training: Training, upcoming: Iterator[Batch]) -> float:
    """Makes UPDATES updates and returns the share of the time spent waiting for batches, in percent."""
    start, waited = time.perf_counter(), 0.0
    for _ in range(UPDATES):
        requested = time.perf_counter()
        batch = next(upcoming)
        waited += time.perf_counter() - requested
        update_with(training, [batch])
    return 100 * waited / (time.perf_counter() - start)


if __name__ == "__main__":
    print_results(measure(Path(sys.argv[1])))
