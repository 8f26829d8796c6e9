"""Statistics do not depend on the order in which files arrive, and counts of values are never too high."""

from __future__ import annotations

import collections
import random
from pathlib import Path

import apache_beam as beam
import msgspec
import pyarrow as pa
import pytest
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given
from hypothesis import strategies as st

from bitext.components import artifacts
from bitext.components.shared import tfrecord
from bitext.components.statistics_gen import Parameters, combining, executor, top_values
from bitext.components.statistics_gen.top_values import Counter

FILES, ROWS = 10, 60


@pytest.fixture
def files(tmp_path: Path) -> list[tuple[int, Path]]:
    """Files of rows of random words."""
    words = random.Random(1)
    paths = [tmp_path / "Split-train" / f"{number}.gz" for number in range(FILES)]
    for number, path in enumerate(paths):
        sides = [
            pa.array([" ".join(words.choices("abcdefghij", k=words.randint(1, 5))) for _ in range(ROWS)])
            for _ in range(2)
        ]
        ids = pa.array([f"{number}:{row}" for row in range(ROWS)])
        tfrecord.write_examples(path, {"id": ids, "source": sides[0], "target": sides[1]})
    return list(enumerate(paths))


def statistics_of(files: list[tuple[int, Path]], folder: Path, parameters: Parameters) -> bytes:
    statistics = artifacts.ExampleStatistics(folder)
    with beam.Pipeline(runner=FnApiRunner()) as pipeline:
        read = pipeline | beam.Create(files, reshuffle=False)
        _ = read | executor._Statistics(parameters) | beam.Map(statistics.write, "train")
    return statistics.file("train").read_bytes()


@pytest.mark.parametrize("options", [{}, {"exact_top_values": True}, {"sample_rate": 0.5}])
def test_the_bytes_do_not_depend_on_the_order_of_files(
    options: dict[str, object],
    files: list[tuple[int, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(combining, "FILES_AT_ONCE", 3)
    monkeypatch.setattr(top_values, "COUNTED_VALUES", 20)
    monkeypatch.setattr(top_values, "_HELD_VALUES", 40)
    parameters = msgspec.convert(options, Parameters)
    orders = [files, files[::-1], random.Random(0).sample(files, FILES)]
    contents = [
        statistics_of(order, tmp_path / f"statistics-{number}", parameters)
        for number, order in enumerate(orders)
    ]
    assert contents[0] == contents[1] == contents[2]
    other = statistics_of([(FILES - i, path) for i, path in files], tmp_path / "reversed", parameters)
    assert other != contents[0] or "exact_top_values" in options  # the order of the indices counts


def test_no_files_give_one_empty_dataset(tmp_path: Path) -> None:
    statistics_of([], tmp_path, Parameters())
    [dataset] = artifacts.ExampleStatistics(tmp_path).load("train").datasets
    assert dataset.num_examples == 0
    assert not dataset.features


blocks = st.lists(st.lists(st.integers(0, 30), max_size=30), max_size=6)


def counter_of(values: list[list[int]]) -> Counter:
    counter = Counter()
    for block in values:
        counter.add(pa.array([f"{value}".encode() for value in block], pa.binary()))
    return counter


@given(blocks, blocks, st.integers(1, 35))
def test_counts_are_never_too_high_and_exact_for_few_values(
    first: list[list[int]], second: list[list[int]], limit: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_values, "COUNTED_VALUES", limit)
        patch.setattr(top_values, "_HELD_VALUES", 2 * limit)
        counter = counter_of(first)
        counter.merge(counter_of(second))
        true = collections.Counter(f"{value}".encode() for block in first + second for value in block)
        counted = {pair.feature_value: pair.count for pair in counter.most_frequent(1000)}
        assert len(counted) <= limit
        for value, count in true.items():
            assert count - true.total() / (limit + 1) <= counted.get(value, 0) <= count
        if len(true) <= limit:
            assert counted == true
            assert counter.distinct() == len(true)
        assert list(counted) == sorted(counted, key=lambda value: (counted[value], value), reverse=True)


def test_long_values_are_counted_as_a_placeholder() -> None:
    generator = top_values.TopValuesGenerator(3, 3)
    column = executor.as_lists(pa.array(["a" * 1025, "b" * 1025, "c" * 1024]))
    batch = pa.RecordBatch.from_arrays([column], ["text"])
    [feature] = generator.extract_output(generator.add_input({}, batch)).features
    assert [(v.value, v.frequency) for v in feature.string_stats.top_values] == [
        ("__LARGE_BYTES__", 2),
        ("c" * 1024, 1),
    ]
