"""Distributions of features: quantiles, pooled data sets, and TFDV's distances without TFDV."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.shared.distributions import (
    Categories,
    Distribution,
    Numbers,
    distance,
    of_dataset,
    pooled,
)

numbers = st.lists(st.integers(-50, 50), min_size=1, max_size=60).map(lambda values: of_values(values))
categories = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 90), min_size=1).map(
    lambda counts: Categories(Counter(counts))
)


def of_values(values: list[int]) -> Numbers:
    """A distribution whose buckets have no width: the values themselves."""
    counts = Counter(map(float, values))
    buckets = np.array([(value, value, count) for value, count in sorted(counts.items())])
    return Numbers(float(len(values)), float(np.mean(values)), buckets)


def even(low: float, high: float, count: float = 10.0) -> Numbers:
    """Values that are evenly distributed."""
    return Numbers(count, (low + high) / 2, np.array([(low, high, count)]))


class TestDistance:
    @given(st.one_of(numbers, categories))
    def test_a_distribution_is_at_no_distance_from_itself(self, one: Distribution) -> None:
        assert distance(one, one) == pytest.approx(0, abs=1e-12)

    @given(st.one_of(st.tuples(numbers, numbers), st.tuples(categories, categories)))
    def test_it_is_symmetric_and_from_0_to_1(self, pair: tuple[Distribution, Distribution]) -> None:
        one, other = pair
        forth, back = distance(one, other), distance(other, one)
        assert forth is not None
        assert back is not None
        assert forth == pytest.approx(back, abs=1e-12)
        assert 0 <= forth <= 1

    def test_distributions_with_nothing_in_common_are_at_distance_1(self) -> None:
        assert distance(even(0, 1), even(2, 3)) == pytest.approx(1)
        assert distance(Categories(Counter("a")), Categories(Counter("b"))) == 1

    def test_numbers_and_strings_have_none(self) -> None:
        assert distance(even(0, 1), Categories(Counter("a"))) is None

    def test_half_in_common(self) -> None:
        assert distance(Categories(Counter("ab")), Categories(Counter("bc"))) == 0.5
        assert distance(even(0, 2), even(1, 3)) == pytest.approx(0.5)


class TestNumbers:
    def test_quantiles_are_interpolated_within_a_bucket(self) -> None:
        assert [even(0, 100).quantile(share) for share in (0, 0.25, 1)] == [0, 25, 100]

    @given(st.lists(st.integers(-50, 50), min_size=1, max_size=60), st.floats(0.01, 1))
    def test_quantiles_of_single_values(self, values: list[int], share: float) -> None:
        expected = np.sort(values)[int(np.ceil(share * len(values) - 1e-9)) - 1]
        assert of_values(values).quantile(share) == expected

    def test_a_gap_between_buckets(self) -> None:
        gap = Numbers(20.0, 5.0, np.array([(0.0, 1.0, 10.0), (9.0, 10.0, 10.0)]))
        assert gap.quantile(0.25) == 0.5
        assert gap.quantile(0.75) == 9.5


class TestPooled:
    def test_counts_add_up(self) -> None:
        parts: list[dict[str, Distribution]] = [
            {"n": even(0, 1, 10), "s": Categories(Counter("ab"))},
            {"n": even(1, 2, 30), "s": Categories(Counter("bb")), "other": even(0, 1)},
            {},
        ]
        result = pooled(parts)
        assert list(result) == ["n", "s", "other"]
        assert result["s"] == Categories(Counter({"a": 1, "b": 3}))
        together = result["n"]
        assert isinstance(together, Numbers)
        assert (together.examples, together.mean, together.quantile(0.25)) == (40, 1.25, 1)

    def test_a_feature_of_two_kinds_is_left_out(self) -> None:
        assert pooled([{"x": even(0, 1)}, {"x": Categories(Counter("a"))}]) == {}


def test_distances_are_those_of_tfdv() -> None:
    """ExampleValidator's comparators report the same distances."""
    import tensorflow_data_validation as tfdv
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

    random = np.random.default_rng(3)

    def statistics(mean: float, letters: str) -> statistics_pb2.DatasetFeatureStatisticsList:
        import pandas as pd

        frame = pd.DataFrame(
            {"length": random.poisson(mean, 500), "ending": random.choice(list(letters), 500)}
        )
        return tfdv.generate_statistics_from_dataframe(frame)

    current, previous = statistics(10, "aab"), statistics(12, "abc")
    quantiles = "drift_comparator { jensen_shannon_divergence { threshold: 1 source { type: QUANTILES } } }"
    shares = "drift_comparator { infinity_norm { threshold: 1 } }"
    schema = text_format.Parse(
        f'feature {{ name: "length" type: INT {quantiles} }}'
        f'feature {{ name: "ending" type: BYTES {shares} }}',
        schema_pb2.Schema(),
    )
    anomalies = tfdv.validate_statistics(current, schema, previous_statistics=previous)
    one, other = (of_dataset(side.datasets[0]) for side in (current, previous))
    measured = {info.path.step[0]: info.drift_measurements[0].value for info in anomalies.drift_skew_info}
    assert measured == pytest.approx({name: distance(one[name], other[name]) for name in one}, abs=1e-9)
    assert min(measured.values()) > 0.01


def test_it_imports_neither_tensorflow_nor_tfdv() -> None:
    code = (
        "import bitext.components.shared.distributions, sys;"
        "print(*{'tensorflow', 'tensorflow_data_validation'} & set(sys.modules))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == ""
