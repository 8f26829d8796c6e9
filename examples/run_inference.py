"""Translates lines in a Beam pipeline with RunInference: one copy of the model for each worker process.

Usage: python examples/run_inference.py serving/tatoeba/1 lines.txt translations
It writes `translations-00000-of-00001`: source, tab, translation. Needs `pip install apache-beam tensorflow`.
Beam's own handlers of TensorFlow models load Keras models only; this one loads any SavedModel.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam
import tensorflow as tf
from apache_beam.ml.inference.base import ModelHandler, PredictionResult, RunInference


class SavedModelHandler(ModelHandler[str, PredictionResult, Any]):
    """Calls the signature `serving_default` of a SavedModel."""

    def __init__(self, folder: str):
        super().__init__(max_batch_size=64)
        self.folder = folder

    def load_model(self) -> Any:
        return tf.saved_model.load(self.folder)

    def run_inference(
        self, batch: Sequence[str], model: Any, inference_args: dict[str, Any] | None = None
    ) -> Iterator[PredictionResult]:
        texts = model.signatures["serving_default"](text=tf.constant(batch))["text"].numpy()
        return (PredictionResult(source, text.decode()) for source, text in zip(batch, texts))


def main(folder: str, lines: str, output: str) -> None:
    with beam.Pipeline(runner="apache_beam.runners.portability.fn_api_runner.FnApiRunner") as pipeline:
        translated = pipeline | beam.io.ReadFromText(lines) | RunInference(SavedModelHandler(folder))
        rows = translated | beam.Map(lambda result: f"{result.example}\t{result.inference}")
        rows | beam.io.WriteToText(output)


if __name__ == "__main__":
    main(*sys.argv[1:])
