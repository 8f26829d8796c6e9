"""ExampleValidator with spans: comparisons, the allowance for sampling noise, and severities."""

from __future__ import annotations

import itertools
import math
import random
from pathlib import Path

import apache_beam as beam
import msgspec
import pandas as pd
import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from bitext.components import artifacts, example_validator, schema_gen, statistics_gen
from bitext.components.component import Context
from bitext.components.example_validator import executor as validator_executor
from bitext.components.example_validator.comparison import allowance
from bitext.components.schema_gen import executor as schema_gen_executor
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import ConfigError, DataError
from bitext.components.statistics_gen import executor as statistics_gen_executor
from bitext.schemas import BITEXT, features, loader

Pairs = list[tuple[str, str]]
ENGLISH = (
    "the",
    "cat",
    "sees",
    "a",
    "river",
    "and",
    "never",
    "went",
    "home",
    "with",
    "good",
    "friends",
    "today",
)
SPANISH = (
    "el",
    "gato",
    "mira",
    "un",
    "rio",
    "y",
    "nunca",
    "vuelve",
    "a",
    "casa",
    "sus",
    "buenos",
    "amigos",
    "hoy",
)


def pairs(rows: int, seed: int = 0, words: int = 6) -> Pairs:
    """Returns random pairs of English and Spanish words."""
    rng = random.Random(seed)
    return [
        tuple(" ".join(rng.choice(side) for _ in range(words)) + "." for side in (ENGLISH, SPANISH))
        for _ in range(rows)
    ]


def swapped(rows: Pairs) -> Pairs:
    """Returns pairs with the languages exchanged."""
    return [(target, source) for source, target in rows]


def statistics_of(rows: Pairs, prefix: str = "") -> statistics_pb2.DatasetFeatureStatisticsList:
    """Returns the statistics of the features whose names begin with `prefix`."""
    if not rows:
        empty = statistics_pb2.DatasetFeatureStatisticsList()
        empty.datasets.add()
        return empty
    source, target = (list(side) for side in zip(*rows, strict=True))
    columns = {"id": [str(i) for i in range(len(rows))], "source": source, "target": target}
    columns |= {n: a.to_pylist() for n, a in features.derive(pa.array(source), pa.array(target)).items()}
    frame = pd.DataFrame({name: column for name, column in columns.items() if name.startswith(prefix)})
    return tfdv.generate_statistics_from_dataframe(frame, n_jobs=1)


class Corpus:
    """Writes statistics below a folder, and runs ExampleValidator on them.

    Attributes:
      printed: the printed lines of the newest run.
      anomalies: the output of the newest run.
    """

    def __init__(self, root: Path, schema: Path = BITEXT):
        self.root = root
        self.numbers = itertools.count()
        self.schema = artifacts.Schema(self.folder("schema"))
        (self.schema.path / "schema.pbtxt").write_text(schema.read_text(encoding="utf-8"), encoding="utf-8")

    def folder(self, name: str) -> Path:
        """Creates a new folder with a number in its name."""
        path = self.root / f"{name}-{next(self.numbers)}"
        path.mkdir(parents=True)
        return path

    def span(
        self, number: int | None = None, prefix: str = "", **splits: Pairs
    ) -> artifacts.ExampleStatistics:
        statistics = artifacts.ExampleStatistics(self.folder("statistics"))
        if number is not None:
            statistics.properties.update(span=number, version=1)
        for split, rows in splits.items():
            statistics.split(split).mkdir()
            content = statistics_of(rows, prefix).SerializeToString(deterministic=True)
            (statistics.split(split) / "FeatureStats.pb").write_bytes(content)
        return statistics

    def validate(self, *spans, previous=(), serving=None, **parameters) -> artifacts.ExampleAnomalies:
        self.printed: list[str] = []
        self.anomalies = artifacts.ExampleAnomalies(self.folder("anomalies"))
        work_dir = self.folder("work")
        validator_executor.run(
            msgspec.convert(parameters, example_validator.Parameters),
            Context(work_dir, work_dir, beam_pipeline=beam.Pipeline, say=self.printed.append),
            statistics=spans,
            schema=self.schema,
            previous_statistics=previous,
            serving_statistics=serving,
            anomalies=self.anomalies,
        )
        return self.anomalies

    def diff_folders(self) -> set[str]:
        """Returns the folders that have a `SchemaDiff.pb`, relative to the output."""
        diff_files = self.anomalies.path.rglob("SchemaDiff.pb")
        return {path.parent.relative_to(self.anomalies.path).as_posix() for path in diff_files}

    def severities(self, folder: str) -> dict[str, int]:
        """Returns the severity of the anomaly of each feature in a `SchemaDiff.pb`."""
        diff = anomalies_pb2.Anomalies.FromString(
            (self.anomalies.path / folder / "SchemaDiff.pb").read_bytes()
        )
        return {feature: info.severity for feature, info in diff.anomaly_info.items()}


@pytest.fixture
def corpus(tmp_path) -> Corpus:
    return Corpus(tmp_path)


WARNING, ERROR = anomalies_pb2.AnomalyInfo.WARNING, anomalies_pb2.AnomalyInfo.ERROR


class TestSpans:
    def test_every_span_is_compared_with_the_schema_and_all_spans_together_with_eval(self, corpus):
        spans = [corpus.span(n, train=pairs(600, n), eval=pairs(300, 10 + n)) for n in (7, 8)]
        serving = corpus.span(prefix="source", serving=pairs(300, 5))
        anomalies = corpus.validate(*spans, previous=spans[:1], serving=serving)
        assert anomalies.properties == {"errors": 0, "warnings": 0}
        assert corpus.diff_folders() == {
            "span-7/Split-train", "span-7/Split-eval", "span-8/Split-train", "span-8/Split-eval",
            "span-8/drift/Split-train", "span-8/drift/Split-eval",
            "train-eval/Split-train", "serving/Split-train",
        }  # fmt: skip
        assert corpus.printed == [
            "2 spans; train against eval; train against the requests;"
            " 1 new against the previous blessed run: no anomalies"
        ]

    def test_the_error_names_only_the_span_with_the_anomaly(self, corpus):
        good, bad = corpus.span(1, train=pairs(300)), corpus.span(2, train=[(s, s) for s, _ in pairs(300)])
        with pytest.raises(DataError, match=r"span 2 version 1, split train: feature copied") as error:
            corpus.validate(good, bad)
        assert "span 1" not in str(error.value)

    def test_an_empty_span_or_split_warns(self, corpus):
        full = corpus.span(1, train=pairs(300), eval=pairs(300, 1), test=pairs(300, 2))
        without_test = corpus.span(2, train=pairs(300, 3), eval=pairs(300, 4), test=[])
        anomalies = corpus.validate(
            full, without_test, corpus.span(3, train=[], eval=[]), corpus.span(4), previous=[full]
        )
        assert anomalies.properties == {"errors": 0, "warnings": 3}
        assert corpus.printed[:3] == [
            "warning: span 2 version 1: no examples in split test",
            "warning: span 3 version 1: no examples",
            "warning: span 4 version 1: no examples",
        ]
        with pytest.raises(DataError, match="span 4 version 1: no examples"):
            corpus.validate(
                full, corpus.span(4), severities=[{"anomaly": "NO_DATA_IN_SPAN", "severity": "stop"}]
            )

    def test_files_without_a_span_and_spans_may_have_different_splits(self, corpus):
        without_span = corpus.span(eval=pairs(300, 1), test=pairs(300, 2), train=[])
        without_span.properties["part"] = "no span"
        spans = [corpus.span(n, train=pairs(300, n), eval=[], test=[]) for n in (1, 2)]
        anomalies = corpus.validate(without_span, *spans, previous=[without_span, spans[0]])
        assert anomalies.properties == {"errors": 0, "warnings": 0}
        assert "Split-eval" in corpus.diff_folders()

    def test_spans_without_a_training_example_stop_the_run(self, corpus):
        with pytest.raises(DataError, match="no span has an example to train on"):
            corpus.validate(corpus.span(1, train=[], eval=pairs(300)), corpus.span(2))

    def test_an_empty_split_of_a_corpus_without_spans_stops_the_run(self, corpus):
        with pytest.raises(DataError, match="split test: no examples"):
            corpus.validate(corpus.span(train=pairs(300), test=[]))


class TestDrift:
    def test_swapped_languages_stop_the_run(self, corpus):
        old = [corpus.span(n, train=pairs(500, n)) for n in range(3)]
        with pytest.raises(DataError) as error:
            corpus.validate(*old, corpus.span(3, train=swapped(pairs(500, 3))), previous=old)
        for side in ("source", "target"):
            assert (
                f"span 3 version 1, split train against the previous blessed run: feature {side}_ending: High"
                " Linfty distance between current and previous"
            ) in str(error.value)

    def test_longer_sentences_warn(self, corpus):
        old = corpus.span(1, train=pairs(500))
        corpus.validate(old, corpus.span(2, train=pairs(500, 1, words=30)), previous=[old])
        severities = corpus.severities("span-2/drift/Split-train")
        assert {"source_length", "target_length", "source_characters", "target_characters"} <= set(severities)
        assert set(severities.values()) == {WARNING}

    def test_data_of_the_previous_run_is_not_compared_again(self, corpus):
        """Equal content in another folder is not new. Another version of a span is new."""
        old, new = corpus.span(1, train=pairs(500)), corpus.span(1, train=swapped(pairs(500)))
        old.digest = new.digest = "sha256:1"
        corpus.validate(new, previous=[old])
        assert "span-1/drift/Split-train" not in corpus.diff_folders()
        new.digest = "sha256:2"
        with pytest.raises(DataError, match="source_ending"):
            corpus.validate(new, previous=[old])

    def test_a_corpus_without_spans_is_compared_with_its_earlier_content(self, corpus):
        old = corpus.span(train=pairs(500))
        with pytest.raises(DataError, match="split train against the previous blessed run"):
            corpus.validate(corpus.span(train=swapped(pairs(500))), previous=[old])
        assert "drift/Split-train" in corpus.diff_folders()

    def test_a_feature_that_the_previous_run_lacks_warns(self, corpus):
        old = corpus.span(1, prefix="source", train=pairs(500))
        anomalies = corpus.validate(corpus.span(2, train=pairs(500, 1)), previous=[old])
        assert anomalies.properties["errors"] == 0
        severities = corpus.severities("span-2/drift/Split-train")
        assert severities["target_ending"] == WARNING
        assert "source_ending" not in severities


class TestServing:
    def test_requests_that_differ_from_the_training_data_warn(self, corpus):
        serving = corpus.span(prefix="source", serving=swapped(pairs(500, 1)))
        corpus.validate(corpus.span(1, train=pairs(500)), serving=serving)
        severities = corpus.severities("serving/Split-train")
        assert severities["source_ending"] == WARNING
        assert all(feature.startswith("source_") for feature in severities)
        with pytest.raises(DataError, match="train against the requests: feature source_ending"):
            corpus.validate(
                corpus.span(1, train=pairs(500)),
                serving=serving,
                severities=[{"check": "serving", "feature": "*_ending", "severity": "stop"}],
            )

    def test_an_empty_request_log_is_not_compared(self, corpus):
        corpus.validate(corpus.span(1, train=pairs(300)), serving=corpus.span(serving=[]))
        assert corpus.diff_folders() == {"span-1/Split-train"}


class TestSizes:
    def test_anomalies_of_shares_in_few_examples_only_warn(self, corpus):
        """Values outside the bounds stop the run with few examples too."""
        few = corpus.span(2, train=[(s, s) for s, _ in swapped(pairs(150))])
        old = corpus.span(1, train=pairs(500))
        anomalies = corpus.validate(old, few, previous=[old])
        assert anomalies.properties["errors"] == 0
        assert corpus.severities("span-2/Split-train")["copied"] == WARNING
        assert corpus.severities("span-2/drift/Split-train")["source_ending"] == WARNING
        with pytest.raises(DataError, match="copied"):
            corpus.validate(old, few, previous=[old], min_examples=150)
        with pytest.raises(DataError, match="feature length_ratio: Out-of-range values"):
            corpus.validate(old, corpus.span(2, train=[("x", "y" * 90)] * 40))

    def test_samples_of_one_population_stay_within_the_allowance(self):
        """At most 1 of 100 samples of a size has a larger distance to the population than the allowance."""
        rng = random.Random(1)
        letters, weights = "abcdef", (20, 5, 5, 4, 3, 1)

        def sample(n: int) -> statistics_pb2.FeatureNameStatistics:
            feature = statistics_pb2.FeatureNameStatistics(type=statistics_pb2.FeatureNameStatistics.STRING)
            drawn = rng.choices(letters, weights, k=n)
            for letter in set(drawn):
                feature.string_stats.rank_histogram.buckets.add(
                    label=letter, sample_count=drawn.count(letter)
                )
            return feature

        def distance(one, two) -> float:
            shares = []
            for statistics in (one, two):
                counts = {b.label: b.sample_count for b in statistics.string_stats.rank_histogram.buckets}
                shares.append({letter: counts.get(letter, 0) / sum(counts.values()) for letter in letters})
            return max(abs(shares[0][letter] - shares[1][letter]) for letter in letters)

        population = sample(20000)
        for n in (50, 200, 1000):
            drawn = [sample(n) for _ in range(100)]
            outliers = [s for s in drawn if distance(s, population) > allowance(s, population)]
            assert len(outliers) <= 1
            assert allowance(drawn[0], population) < 2 * math.sqrt(1 / n)
        assert allowance(population, population) < 0.02

    def test_the_threshold_is_raised_by_the_allowance(self, corpus):
        """A distance is an anomaly if it is over the sum of threshold and allowance."""
        new, old = pairs(300, 2), pairs(5000, 1)
        shifted = [(s[:-1] + " zz.", t) if i % 7 == 0 else (s, t) for i, (s, t) in enumerate(new)]
        corpus.validate(corpus.span(2, train=shifted), previous=[corpus.span(1, train=old)])
        many = [pair for seed in range(10) for pair in pairs(300, 2 + seed)]
        shifted = [(s[:-1] + " zz.", t) if i % 7 == 0 else (s, t) for i, (s, t) in enumerate(many)]
        with pytest.raises(DataError, match="source_ending.*maximum difference is: z"):
            corpus.validate(corpus.span(2, train=shifted), previous=[corpus.span(1, train=old)])


class TestSeverities:
    def test_the_first_rule_that_matches_decides(self, corpus):
        old, new = corpus.span(1, train=pairs(500)), corpus.span(2, train=swapped(pairs(500)))
        rules = [
            {"check": "drift", "feature": "source_*", "anomaly": "COMPARATOR_*", "severity": "warn"},
            {"severity": "stop"},
        ]
        with pytest.raises(DataError) as error:
            corpus.validate(new, previous=[old], severities=rules)
        assert "target_ending" in str(error.value)
        assert "source_ending" not in str(error.value)
        severities = corpus.severities("span-2/drift/Split-train")
        assert (severities["source_ending"], severities["target_ending"]) == (WARNING, ERROR)
        corpus.validate(new, previous=[old], severities=[{"check": "drift", "severity": "warn"}])

    def test_a_rule_without_conditions_makes_every_anomaly_stop_the_run(self, corpus):
        old, new = corpus.span(1, train=pairs(500)), corpus.span(2, train=pairs(500, 1, words=30))
        with pytest.raises(DataError, match="source_length"):
            corpus.validate(new, previous=[old], severities=[{"severity": "stop"}])

    def test_a_rule_with_an_unknown_anomaly_is_rejected(self, corpus):
        with pytest.raises(ConfigError, match="no anomaly 'COMPARATOR_L_INFTY'") as error:
            corpus.validate(
                corpus.span(1, train=pairs(300)),
                severities=[{"anomaly": "COMPARATOR_L_INFTY", "severity": "warn"}],
            )
        assert "COMPARATOR_L_INFTY_HIGH" in error.value.remedy

    def test_a_rule_with_an_unknown_severity_is_rejected(self):
        with pytest.raises(msgspec.ValidationError, match="severity"):
            msgspec.convert({"severities": [{"severity": "ignore"}]}, example_validator.Parameters)


class TestSchemaOfSpans:
    def infer(self, corpus: Corpus, *spans) -> schema_pb2.Schema:
        """Runs SchemaGen and returns the inferred schema."""
        schema = artifacts.Schema(corpus.folder("inferred"))
        context = Context(corpus.root, corpus.root, beam_pipeline=beam.Pipeline, say=lambda line: None)
        schema_gen_executor.run(schema_gen.Parameters(infer=True), context, statistics=spans, schema=schema)
        return loader.load(schema.path / "schema.pbtxt")

    def test_an_inferred_schema_fits_every_span(self, corpus):
        spans = [corpus.span(n, train=pairs(300, n, words=4 * n)) for n in (1, 2)]
        schema = self.infer(corpus, corpus.span(0, train=[]), corpus.span(3), *spans)
        for span in spans:
            statistics = tfdv.load_stats_binary(str(span.split("train") / "FeatureStats.pb"))
            assert not tfdv.validate_statistics(statistics, schema).anomaly_info

    def test_inferring_needs_an_example(self, corpus):
        with pytest.raises(DataError, match="the train split has no example"):
            self.infer(corpus, corpus.span(0, train=[]))


def run_statistics_gen(root: Path, properties: dict[str, int], **splits: Pairs):
    """Runs StatisticsGen on examples, and returns its output and the printed lines."""
    examples = artifacts.Examples(root / "examples", dict(properties))
    examples.path.mkdir()
    for split, rows in splits.items():
        examples.split(split).mkdir()
        columns = {
            "id": pa.array([str(i) for i in range(len(rows))], pa.string()),
            "source": pa.array([s for s, _ in rows], pa.string()),
            "target": pa.array([t for _, t in rows], pa.string()),
        }
        tfrecord.write_examples(examples.split(split) / "data_tfrecord-00000-of-00001.gz", columns)
    printed: list[str] = []
    output = artifacts.ExampleStatistics(root / "statistics")
    output.path.mkdir()
    context = Context(
        root, root, beam_pipeline=lambda: beam.Pipeline(runner=FnApiRunner()), say=printed.append
    )
    statistics_gen_executor.run(statistics_gen.Parameters(), context, examples=examples, statistics=output)
    return output, printed


def test_statistics_of_a_small_span(tmp_path):
    output, printed = run_statistics_gen(
        tmp_path, {"span": 7, "version": 2, "rejected": 1}, train=pairs(5), test=[]
    )
    assert output.properties == {"span": 7, "version": 2, "train": 5, "test": 0}
    [dataset] = tfdv.load_stats_binary(str(output.split("test") / "FeatureStats.pb")).datasets
    assert dataset.num_examples == 0
    assert printed == ["17 features of the examples: test 0, train 5"]


@pytest.mark.parametrize("splits", [{}, {"train": []}])
def test_statistics_of_an_empty_span(tmp_path, splits):
    output, printed = run_statistics_gen(tmp_path, {"span": 7}, **splits)
    assert output.splits() == list(splits)
    assert printed == ["no examples"]
