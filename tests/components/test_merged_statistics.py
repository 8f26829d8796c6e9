"""Merged statistics equal those of all examples: counts exactly, histograms within the width of a bucket."""

from __future__ import annotations

import itertools

import pandas as pd
import pytest
import tensorflow_data_validation as tfdv
from hypothesis import given
from hypothesis import strategies as st
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from bitext.components.example_validator.merged_statistics import merge, merge_histograms

Buckets = list[tuple[float, float, float]]
COUNTS = ("num_non_missing", "num_missing", "tot_num_values", "min_num_values", "max_num_values")
WORDS = ["a", "b", "ü", "long word", "None"] * 40 + ["a"] * 100
NUMBERS = [0.0, 0.0, 1.5, 2.0, -3.0, 7.25] * 50


def statistics_of(frame: pd.DataFrame) -> statistics_pb2.DatasetFeatureStatisticsList:
    return tfdv.generate_statistics_from_dataframe(frame, n_jobs=1)


def features_of(statistics):
    return {feature.path.step[0]: feature for feature in statistics.datasets[0].features}


def counts_of(feature) -> dict[str, float]:
    return {bucket.label: bucket.sample_count for bucket in feature.string_stats.rank_histogram.buckets}


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return pd.DataFrame({"word": WORDS, "number": NUMBERS, "size": [len(word) for word in WORDS]})


@pytest.fixture(scope="module")
def parts(frame):
    return [statistics_of(frame[start:end]) for start, end in ((0, 17), (17, 40), (40, 300))]


def test_merged_statistics_equal_those_that_tfdv_computes_for_all_examples(frame, parts):
    expected, merged = features_of(statistics_of(frame)), features_of(merge(parts))
    assert merge(parts).datasets[0].num_examples == 300
    assert set(merged) == set(expected)
    assert counts_of(merged["word"]) == counts_of(expected["word"])
    ours, theirs = merged["word"].string_stats, expected["word"].string_stats
    assert [b.label for b in ours.rank_histogram.buckets] == [v.value for v in ours.top_values]
    assert ours.unique == theirs.unique
    assert ours.avg_length == pytest.approx(theirs.avg_length)
    for name in ("number", "size"):
        ours, theirs = merged[name].num_stats, expected[name].num_stats
        assert (ours.min, ours.max, ours.num_zeros) == (theirs.min, theirs.max, theirs.num_zeros)
        assert (ours.mean, ours.std_dev) == pytest.approx((theirs.mean, theirs.std_dev))
        for histogram in ours.histograms:
            assert sum(bucket.sample_count for bucket in histogram.buckets) == pytest.approx(300, rel=1e-6)
    for name, kind in (("word", "string_stats"), ("number", "num_stats")):
        ours = getattr(merged[name], kind).common_stats
        theirs = getattr(expected[name], kind).common_stats
        for field in COUNTS:
            assert getattr(ours, field) == getattr(theirs, field)


def test_tfdv_reads_merged_statistics_and_finds_no_distance_to_another_order(parts):
    schema = schema_pb2.Schema()
    for name, kind in (("number", schema_pb2.FLOAT), ("size", schema_pb2.INT)):
        feature = schema.feature.add(name=name, type=kind)
        feature.drift_comparator.jensen_shannon_divergence.threshold = 0.0
        feature.drift_comparator.jensen_shannon_divergence.source.type = 1
    word = schema.feature.add(name="word", type=schema_pb2.BYTES)
    word.drift_comparator.infinity_norm.threshold = 0.0
    merged = merge(parts)
    info = tfdv.validate_statistics(merged, schema, previous_statistics=merge(parts[::-1])).drift_skew_info
    assert {i.path.step[0]: i.drift_measurements[0].value for i in info} == pytest.approx(
        {"number": 0.0, "size": 0.0, "word": 0.0}, abs=1e-9
    )


def test_order_and_nesting_of_merges_do_not_matter(parts):
    a, b, c = parts
    straight = features_of(merge([a, b, c]))
    for other in (merge([c, a, b]), merge([merge([a, b]), c]), merge([a, merge([b, c])])):
        for name, feature in features_of(other).items():
            assert counts_of(feature) == counts_of(straight[name])
            for one, two in zip(
                feature.num_stats.histograms, straight[name].num_stats.histograms, strict=True
            ):
                assert_equal(one, two)


def test_parts_without_examples_or_without_a_feature(parts):
    empty = statistics_pb2.DatasetFeatureStatisticsList()
    empty.datasets.add(num_examples=0)
    assert merge([empty, parts[0]]) == merge([parts[0]])
    assert merge([]).datasets[0].num_examples == 0
    lacking = statistics_of(pd.DataFrame({"word": ["a"] * 5}))
    merged = features_of(merge([parts[0], lacking]))
    assert merged["number"].num_stats.common_stats.num_missing == 5
    assert merged["word"].string_stats.common_stats.num_missing == 0


def test_a_feature_with_two_types_is_an_error(parts):
    other = statistics_of(pd.DataFrame({"word": [1, 2]}))
    with pytest.raises(ValueError, match="feature word has types INT and STRING"):
        merge([parts[0], other])


def histogram(buckets: Buckets) -> statistics_pb2.Histogram:
    result = statistics_pb2.Histogram(type=statistics_pb2.Histogram.QUANTILES)
    for low, high, count in buckets:
        result.buckets.add(low_value=low, high_value=high, sample_count=count)
    return result


def triples(histogram: statistics_pb2.Histogram) -> Buckets:
    return [(b.low_value, b.high_value, b.sample_count) for b in histogram.buckets]


def assert_equal(one: statistics_pb2.Histogram, two: statistics_pb2.Histogram) -> None:
    assert [t[:2] for t in triples(one)] == [t[:2] for t in triples(two)]
    assert [t[2] for t in triples(one)] == pytest.approx([t[2] for t in triples(two)])


@st.composite
def histograms(draw) -> statistics_pb2.Histogram:
    edges = sorted(draw(st.lists(st.integers(-20, 20), min_size=2, max_size=8)))
    pairs = itertools.pairwise(edges)
    return histogram([(low, high, draw(st.integers(0, 100))) for low, high in pairs])


@given(st.lists(histograms(), min_size=1, max_size=4), st.randoms())
def test_merged_histograms_keep_every_count_in_any_order_and_nesting(parts, random):
    merged = merge_histograms(parts)
    assert sum(t[2] for t in triples(merged)) == pytest.approx(sum(t[2] for p in parts for t in triples(p)))
    edges = [t[:2] for t in triples(merged)]
    assert edges == sorted(set(edges))
    shuffled = random.sample(parts, len(parts))
    assert_equal(merge_histograms(shuffled), merged)
    assert_equal(merge_histograms([merge_histograms(parts[:1]), *parts[1:]]), merged)
    assert_equal(
        merge_histograms([merge_histograms(parts[:-1] or parts), *parts[-1:][: len(parts) - 1]]), merged
    )


def test_merged_histograms_have_common_edges():
    inf = float("inf")
    merged = merge_histograms([histogram([(0, 4, 8), (4, 4, 3)]), histogram([(1, 2, 1), (4, inf, 5)])])
    assert triples(merged) == [(0, 1, 2), (1, 2, 3), (2, 4, 4), (4, 4, 3), (4, inf, 5)]
