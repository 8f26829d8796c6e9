"""SchemaGen's work: copies the curated schema, narrowed by the parameters, or infers one to start from."""

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

INFERRED = """Inferred from the statistics of the training split: what the data looked like, not what it must.
Loosen what is accidental (bounds, values), tighten what you rely on (presence, min_domain_mass,
skew_comparator), then name your copy as schema_gen.curated. schemas/bitext.pbtxt shows how."""


def run(
    parameters: Parameters,
    context: Context,
    *,
    statistics: Sequence[artifacts.ExampleStatistics],
    schema: artifacts.Schema,
) -> None:
    """Writes the schema.

    Raises:
      ConfigError: the schema has no feature for a script.
      DataError: the curated schema is missing or malformed, or there is no example to infer one from.
    """
    curated = Path(parameters.curated_path())
    contract = _inferred(statistics) if parameters.infer else _curated(curated)
    narrowed = _narrow(contract, parameters)
    if parameters.infer:
        schema.write(contract, INFERRED)
        context.say(f"schema inferred from the training split: {len(contract.feature)} features")
    else:
        if narrowed:
            schema.write(contract, f"{curated.name}, narrowed: {narrowed}")
        else:
            shutil.copyfile(curated, schema.file)  # keeps the comments
        suffix = f", narrowed: {narrowed}" if narrowed else ""
        context.say(f"schema {curated.name}: {len(contract.feature)} features{suffix}")
    schema.properties["features"] = len(contract.feature)


def _curated(path: Path) -> schema_pb2.Schema:
    try:
        return loader.load(path)
    except OSError as error:
        raise DataError(
            f"cannot read the curated schema {path}: {error.strerror or error}", "correct schema_gen.curated"
        ) from error
    except ValueError as error:
        raise DataError(str(error), "correct that line; schemas/bitext.pbtxt is an example") from error


def _inferred(statistics: Sequence[artifacts.ExampleStatistics]) -> schema_pb2.Schema:
    """Inferred from the first train split that has examples, and widened by the others."""
    import tensorflow_data_validation as tfdv

    parts = [artifact.load("train") for artifact in statistics if "train" in artifact.splits()]
    parts = [part for part in parts if part.datasets[0].num_examples]
    if not parts:
        raise DataError(
            "there is no training example to infer a schema from", "give data, or a curated schema"
        )
    contract = tfdv.infer_schema(parts[0])
    for part in parts[1:]:
        contract = tfdv.update_schema(contract, part)
    return contract


def _narrow(contract: schema_pb2.Schema, parameters: Parameters) -> str:
    """Applies source_scripts and target_scripts; says what it did, "" for nothing."""
    done = []
    for side, scripts in (("source", parameters.source_scripts), ("target", parameters.target_scripts)):
        if scripts:
            try:
                loader.restrict_domain(contract, f"{side}_script", scripts)
            except ValueError as error:
                raise ConfigError(
                    f"schema_gen.{side}_scripts: {error}", "add it to the curated schema"
                ) from error
            done.append(f"{side} in {', '.join(scripts)}")
    return "; ".join(done)
