"""Runs SchemaGen: publishes the curated schema, narrowed by the parameters, or infers a schema."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tensorflow_metadata.proto.v0 import schema_pb2

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.schema_gen import Parameters
from bitext.components.shared.errors import ConfigError, DataError
from bitext.schemas import loader

INFERRED = """Inferred from the statistics of the training split: what the data is like, not what it must be.
Loosen what is accidental (bounds, values), tighten what you rely on (presence, min_domain_mass,
skew_comparator), then name your copy in schema_gen.curated. schemas/bitext.pbtxt is an example."""


def run(
    parameters: Parameters,
    context: Context,
    *,
    statistics: Sequence[artifacts.ExampleStatistics],
    schema: artifacts.Schema,
) -> None:
    """Writes the schema.

    Raises:
      ConfigError: the schema has no feature for the script of a side.
      DataError: the curated schema is missing or malformed, or there is no example to infer a schema from.
    """
    path = Path(parameters.curated_path())
    contract = _infer(statistics) if parameters.infer else _load(path)
    narrowed = _narrow(contract, parameters, "the inferred schema" if parameters.infer else str(path))
    if parameters.infer:
        schema.write(contract, INFERRED)
        context.say(f"schema inferred from the training split: {len(contract.feature)} features")
    else:
        if narrowed:
            schema.write(contract, f"{path.name}, narrowed: {narrowed}")
        else:
            shutil.copyfile(path, schema.file)  # keeps the comments
        suffix = f", narrowed: {narrowed}" if narrowed else ""
        context.say(f"schema {path.name}: {len(contract.feature)} features{suffix}")
    schema.properties["features"] = len(contract.feature)


def _load(path: Path) -> schema_pb2.Schema:
    """Reads the curated schema."""
    try:
        return loader.load(path)
    except OSError as error:
        raise DataError(
            f"cannot read the curated schema {path}: {error.strerror or error}",
            "correct the path in schema_gen.curated, or leave it out to use the schema of this project",
        ) from error
    except ValueError as error:
        raise DataError(
            str(error),
            "correct that line; schemas/bitext.pbtxt is an example of the format"
            " (tensorflow.metadata.v0.Schema in text format)",
        ) from error


def _infer(statistics: Sequence[artifacts.ExampleStatistics]) -> schema_pb2.Schema:
    """Infers a schema from the first train split that has examples, and widens it to fit the others."""
    import tensorflow_data_validation as tfdv

    train_statistics = [span.load("train") for span in statistics if "train" in span.splits()]
    train_statistics = [train for train in train_statistics if train.datasets[0].num_examples]
    if not train_statistics:
        raise DataError(
            "the train split has no example to infer a schema from",
            "give example_gen files with sentence pairs, or set schema_gen.infer: false",
        )
    contract = tfdv.infer_schema(train_statistics[0])
    for train in train_statistics[1:]:
        contract = tfdv.update_schema(contract, train)
    return contract


def _narrow(contract: schema_pb2.Schema, parameters: Parameters, name: str) -> str:
    """Restricts the scripts of both sides to those of the parameters.

    Args:
      contract: the schema, which is changed.
      parameters: the parameters of SchemaGen.
      name: name of the schema in messages.

    Returns:
      The restrictions in words: `target in Latin`; "" if there are none.
    """
    restricted = []
    for side, scripts in (("source", parameters.source_scripts), ("target", parameters.target_scripts)):
        if scripts:
            try:
                loader.restrict_domain(contract, f"{side}_script", scripts)
            except ValueError as error:
                raise ConfigError(
                    f"schema_gen.{side}_scripts is {', '.join(scripts)}, but {name} cannot be restricted:"
                    f" {error}",
                    f"add the feature {side}_script to the schema, as in schemas/bitext.pbtxt, or leave out"
                    f" schema_gen.{side}_scripts",
                ) from error
            restricted.append(f"{side} in {', '.join(scripts)}")
    return "; ".join(restricted)
