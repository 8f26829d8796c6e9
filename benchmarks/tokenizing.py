"""Measures the speed of the tokenizer in the graph, in words per second on one core.

    python -m benchmarks.tokenizing

The vocabulary is that of the last run. Words are separated by white space. Each call has BATCH sentences.
"""

from __future__ import annotations

import os
import time

from benchmarks.commands import CONFIG, outputs_of, sources
from benchmarks.report import Result, print_results, result

SENTENCES, BATCH, ROUNDS = 20_000, 2_000, 7


def measure() -> list[Result]:
    """Measures the words per second."""
    graph = outputs_of(CONFIG, "Transform")["transform_graph"]
    os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
    import tensorflow as tf

    from bitext.components.text.processor import load_text_pair

    processor = load_text_pair(graph).source
    sentences = sources(SENTENCES)
    batches = [tf.constant(sentences[i : i + BATCH]) for i in range(0, len(sentences), BATCH)]
    words = sum(len(sentence.split()) for sentence in sentences)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def tokenize(lines: tf.Tensor) -> tf.Tensor:
        return processor.tokenize(lines).flat_values

    rates = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        for batch in batches:
            tokenize(batch)
        rates.append(words / (time.perf_counter() - start))
    return [result("normalized and in subwords, one core", rates[1:], "words/s", at_least=300_000)]


if __name__ == "__main__":
    print_results(measure())
