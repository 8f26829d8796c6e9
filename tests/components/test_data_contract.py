"""StatisticsGen, SchemaGen and ExampleValidator in sequence: good data passes, messages describe bad data."""

from __future__ import annotations

import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2

from bitext.components import artifacts, schema_gen
from bitext.components.schema_gen import executor as schema_gen_executor
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import ConfigError, DataError
from bitext.components.statistics_gen import executor as statistics_gen_executor
from bitext.schemas import loader
from tests.components.contract_checks import PAIRS, SPLITS, Checks


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Checks:
    return Checks(tmp_path_factory.mktemp("good"))


def test_statistics_are_reported_in_one_line(good):
    features = len(loader.load().feature)
    assert good.printed[0] == f"{features} features of the examples: eval 300, test 300, train 300"
    assert not any("features of" in line for line in good.printed[1:])


def test_statistics_hold_text_and_derived_features(good):
    statistics = tfdv.load_stats_binary(str(good.statistics.split("train") / "FeatureStats.pb"))
    features = {f.path.step[0]: f for f in statistics.datasets[0].features}
    assert statistics.datasets[0].num_examples == good.statistics.properties["train"] == 300
    assert set(features) == {f.name for f in loader.load().feature}
    assert features["source_words"].num_stats.mean == 5
    assert features["source_characters"].num_stats.max == len("The 299th sentence is here.")
    assert features["target_script"].string_stats.top_values[0].value == "Latin"
    assert features["source"].string_stats.unique == 300


def test_good_bitext_passes_the_curated_schema(good):
    schema = good.schema()
    assert (schema.path / "schema.pbtxt").read_text().startswith("# The contract of bitext")
    anomalies = good.validate(schema)
    assert anomalies.properties == {"errors": 0, "warnings": 0}
    for split in SPLITS:
        diff = anomalies_pb2.Anomalies.FromString((anomalies.split(split) / "SchemaDiff.pb").read_bytes())
        assert not diff.anomaly_info
        assert len(diff.baseline.feature) == 17


def test_an_inferred_schema_fits_its_statistics(good):
    path = good.schema("inferred", infer=True).path / "schema.pbtxt"
    schema = loader.load(path)
    assert {f.name for f in schema.feature} == {f.name for f in loader.load().feature}
    assert path.read_text().startswith("# Inferred from")
    statistics = tfdv.load_stats_binary(str(good.statistics.split("train") / "FeatureStats.pb"))
    assert not tfdv.validate_statistics(statistics, schema).anomaly_info


@pytest.mark.parametrize(
    ("pairs", "scripts", "words"),
    [
        (
            [*PAIRS[:200], *((source, source) for source, _ in PAIRS[200:])],
            {},
            [
                "feature copied: Unexpected string values",
                "yes",
                "; the schema expects no, in at least 95% of the examples",
                "\n    for example a.tsv:201: 'The 200th sentence is here.' -> 'The 200th sentence is here.'",
            ],
        ),
        (
            PAIRS,
            {"target_scripts": ("Cyrillic", "Greek")},
            [
                "feature target_script",
                "Latin",
                "; the schema expects Cyrillic, Greek, in at least 95% of the examples",
                "\n    for example a.tsv:1: 'The 0th sentence is here.' -> 'La oración 0 está aquí.'",
            ],
        ),
        (
            [(source, "12345") for source, _ in PAIRS],
            {},
            [
                "feature target_script",
                "None",
                "expects Latin, Greek, Cyrillic, Armenian, Hebrew, Arabic or ",
                "; None: a text without letters",
            ],
        ),
        (
            [*PAIRS[:20], *[("x", "y" * 90)] * 300],
            {},
            [
                "feature length_ratio",
                "Out-of-range values",
                "; the schema expects 0.02 to 50",
                f"\n    for example a.tsv:21: 'x' -> '{'y' * 80}...'",
            ],
        ),
    ],
    ids=["copied source", "wrong script", "no letters", "length ratio"],
)
def test_the_message_about_bad_data_names_the_values_the_domain_and_an_example(
    tmp_path, pairs, scripts, words
):
    checks = Checks(tmp_path, train=pairs)
    with pytest.raises(DataError) as error:
        checks.validate(checks.schema(**scripts))
    for word in ["split train", *words]:
        assert word in str(error.value)
    assert "schema_gen.curated" in error.value.remedy
    stays = tmp_path / "failure" / checks.anomalies.path.name
    assert f"({stays}/**/SchemaDiff.pb)" in str(error.value)
    for folder in (checks.anomalies.path, stays):
        diff = (folder / "Split-train" / "SchemaDiff.pb").read_bytes()
        assert anomalies_pb2.Anomalies.FromString(diff).anomaly_info


@pytest.mark.parametrize(
    "parameters",
    [{"exact_top_values": True}, {"sample_rate": 0.5}, {"top_values": 3}, {"histogram_buckets": 4}],
    ids=lambda parameters: next(iter(parameters)),
)
def test_parameters_of_the_statistics(tmp_path, parameters):
    checks = Checks(tmp_path, statistics=parameters)
    [dataset] = tfdv.load_stats_binary(str(checks.statistics.split("train") / "FeatureStats.pb")).datasets
    features = {f.path.step[0]: f for f in dataset.features}
    sampled = "sample_rate" in parameters
    assert 100 < dataset.num_examples < 200 if sampled else dataset.num_examples == 300
    assert sampled or features["source"].string_stats.unique == 300
    assert len(features["source"].string_stats.top_values) == parameters.get("top_values", 20)
    standard = features["source_characters"].num_stats.histograms[0]
    assert len(standard.buckets) == parameters.get("histogram_buckets", 10)


def test_a_few_copies_are_tolerated(tmp_path):
    checks = Checks(tmp_path, train=[(s, s) if i < 9 else (s, t) for i, (s, t) in enumerate(PAIRS)])
    checks.validate(checks.schema())


LONG = [(f"{s} {s} {s} {s}", f"{t} {t} {t} {t}") for s, t in PAIRS]


def test_skew_between_train_and_eval_stops_the_run(tmp_path):
    checks = Checks(tmp_path, eval=LONG)
    schema = checks.schema()
    with pytest.raises(
        DataError,
        match=r"train against eval: feature source_length: High Linfty distance between training and eval",
    ):
        checks.validate(schema)
    (tmp_path / "anomalies").rename(tmp_path / "first")
    checks.validate(schema, check_skew=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read the curated schema"),
        ("feature { nam: 'x' }", "my.pbtxt is not a schema: 1:11"),
        ("feature {", "is not a schema"),
    ],
)
def test_a_curated_schema_that_cannot_be_used(tmp_path, good, text, message):
    path = tmp_path / "my.pbtxt"
    if text is not None:
        path.write_text(text)
    schema = artifacts.Schema(tmp_path)
    with pytest.raises(DataError, match=message):
        schema_gen_executor.run(
            schema_gen.Parameters(curated=str(path)),
            good.context,
            statistics=(good.statistics,),
            schema=schema,
        )


def test_a_schema_without_the_script_feature_cannot_be_restricted(tmp_path, good):
    path = tmp_path / "my.pbtxt"
    path.write_text("feature { name: 'source' }")
    with pytest.raises(ConfigError, match="no feature 'target_script'"):
        schema_gen_executor.run(
            schema_gen.Parameters(curated=str(path), target_scripts=("Cyrillic",)),
            good.context,
            statistics=(good.statistics,),
            schema=artifacts.Schema(tmp_path),
        )


def test_infer_and_curated_exclude_each_other():
    with pytest.raises(ValueError, match="give one of the two"):
        schema_gen.Parameters(curated="a.pbtxt", infer=True)
    assert schema_gen.SchemaGen().external_inputs(schema_gen.Parameters(infer=True)) == []
    assert schema_gen.SchemaGen().external_inputs(schema_gen.Parameters()) == [str(schema_gen.BITEXT)]


def test_examples_without_a_side_are_an_error(tmp_path):
    path = tmp_path / "a.gz"
    tfrecord.write_examples(path, {"id": pa.array(["a:1"]), "source": pa.array(["x"])})
    with pytest.raises(DataError, match="no single value of feature 'target'"):
        list(statistics_gen_executor.read_batches(path))
