"""Runs StatisticsGen, SchemaGen and ExampleValidator on sentence pairs, for tests."""

from __future__ import annotations

from pathlib import Path

import apache_beam as beam
import pyarrow as pa
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from bitext.components import artifacts, example_validator, schema_gen, statistics_gen
from bitext.components.component import Context
from bitext.components.example_validator import executor as validator_executor
from bitext.components.schema_gen import executor as schema_gen_executor
from bitext.components.shared import tfrecord
from bitext.components.statistics_gen import executor as statistics_gen_executor

PAIRS = [(f"The {i}th sentence is here.", f"La oración {i} está aquí.") for i in range(300)]
SPLITS = ("train", "eval", "test")


class Checks:
    """Runs StatisticsGen on sentence pairs, then SchemaGen and ExampleValidator on request."""

    def __init__(self, root: Path, statistics=None, **pairs: list[tuple[str, str]]):
        self.root = root
        self.printed: list[str] = []
        self.context = Context(
            root,
            root,
            beam_pipeline=lambda: beam.Pipeline(runner=FnApiRunner()),
            say=self.printed.append,
            failure_dir=root / "failure",
        )
        self.examples = artifacts.Examples(root / "examples")
        for split in SPLITS:
            rows = pairs.get(split, PAIRS)
            self.examples.split(split).mkdir(parents=True)
            columns = {
                "id": pa.array([f"a.tsv:{i + 1}" for i in range(len(rows))]),
                "source": pa.array([source for source, _ in rows]),
                "target": pa.array([target for _, target in rows]),
            }
            tfrecord.write_examples(self.examples.split(split) / "data_tfrecord-00000-of-00001.gz", columns)
        self.statistics = artifacts.ExampleStatistics(self._folder("statistics"))
        statistics_gen_executor.run(
            statistics_gen.Parameters(**(statistics or {})),
            self.context,
            examples=self.examples,
            statistics=self.statistics,
        )

    def _folder(self, name: str) -> Path:
        path = self.root / name
        path.mkdir()
        return path

    def schema(self, name: str = "schema", **parameters) -> artifacts.Schema:
        """Runs SchemaGen."""
        schema = artifacts.Schema(self._folder(name))
        schema_gen_executor.run(
            schema_gen.Parameters(**parameters), self.context, statistics=(self.statistics,), schema=schema
        )
        return schema

    def validate(
        self, schema: artifacts.Schema, previous_statistics=(), **parameters
    ) -> artifacts.ExampleAnomalies:
        """Runs ExampleValidator."""
        self.anomalies = artifacts.ExampleAnomalies(self._folder("anomalies"))
        validator_executor.run(
            example_validator.Parameters(**parameters),
            self.context,
            statistics=(self.statistics,),
            schema=schema,
            previous_statistics=previous_statistics,
            serving_statistics=None,
            anomalies=self.anomalies,
            examples=(self.examples,),
        )
        return self.anomalies
