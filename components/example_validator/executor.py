"""ExampleValidator's work: every split's statistics against the schema, by TFDV, in files and in words."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components import artifacts
from components.component import Context
from components.errors import DataError
from components.example_validator import Parameters
from schemas import loader

FILE_NAME = "SchemaDiff.pb"
_INFO = anomalies_pb2.AnomalyInfo


def run(
    parameters: Parameters,
    context: Context,
    *,
    statistics: artifacts.ExampleStatistics,
    schema: artifacts.Schema,
    anomalies: artifacts.ExampleAnomalies,
) -> None:
    """Writes `Split-<name>/SchemaDiff.pb`, an Anomalies message, for every split, then judges.

    Raises:
      DataError: an error-level anomaly (with `stop_on_warning`, a warning too); it says where the files are.
    """
    contract = loader.load(schema.path / "schema.pbtxt")
    splits = statistics.splits()
    stats = {s: tfdv.load_stats_binary(str(statistics.split(s) / "FeatureStats.pb")) for s in splits}
    errors: list[str] = []
    warnings: list[str] = []
    for split in splits:
        other = _skew_reference(split, stats, parameters, context)
        found = tfdv.validate_statistics(stats[split], contract, serving_statistics=other)
        anomalies.split(split).mkdir()
        (anomalies.split(split) / FILE_NAME).write_bytes(found.SerializeToString(deterministic=True))
        for severity, words in in_words(found):
            (warnings if severity == _INFO.WARNING else errors).append(f"split {split}: {words}")
    anomalies.properties.update(errors=len(errors), warnings=len(warnings))
    for words in warnings:
        context.say(f"warning: {words}")
    stopping = errors + warnings if parameters.stop_on_warning else errors
    if stopping:
        # The output folder goes with the failed attempt; the working folder stays.
        kept = shutil.copytree(anomalies.path, context.working_dir, dirs_exist_ok=True)
        raise DataError(
            f"the data breaks the schema in {len(stopping)} place{'s' * (len(stopping) != 1)}"
            f" ({kept}/Split-*/{FILE_NAME}):\n" + "\n".join(f"  {words}" for words in stopping),
            "correct the data, or the schema if it asks too much (schema_gen.curated, schemas/bitext.pbtxt)",
        )
    context.say(
        f"{', '.join(splits)}: no anomalies" if not warnings else f"{len(warnings)} warnings, no errors"
    )


def _skew_reference(
    split: str,
    stats: dict[str, statistics_pb2.DatasetFeatureStatisticsList],
    parameters: Parameters,
    context: Context,
) -> statistics_pb2.DatasetFeatureStatisticsList | None:
    """What the split is compared with by the schema's skew comparators: eval for train, else nothing.

    TFDV's training-serving skew is the mechanism meant for two data sets of one moment; its drift compares
    one moment with the last.
    """
    if split != "train" or "eval" not in stats or not parameters.check_skew:
        return None
    smaller = min(int(stats[s].datasets[0].num_examples) for s in ("train", "eval"))
    if smaller < parameters.min_skew_examples:
        context.say(f"train-eval skew not judged: {smaller} examples are under min_skew_examples")
        return None
    return stats["eval"]


def in_words(found: anomalies_pb2.Anomalies) -> Iterator[tuple[int, str]]:
    """Severity and text of every anomaly, by feature name, those of the whole data set first."""
    if found.data_missing:
        yield _INFO.ERROR, "there are no examples"
    if found.HasField("dataset_anomaly_info"):
        info = found.dataset_anomaly_info
        yield info.severity, f"{info.short_description}: {info.description}"
    for feature in sorted(found.anomaly_info):
        info = found.anomaly_info[feature]
        reasons = list(info.reason) or [info]
        text = "; ".join(f"{r.short_description} ({r.description.strip().rstrip('.')})" for r in reasons)
        yield info.severity, f"feature {feature}: {text}"
