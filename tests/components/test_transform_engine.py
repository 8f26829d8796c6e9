"""Transform in Beam: equal bytes whatever the runner and the order of its bundles, and nothing is lost."""

from __future__ import annotations

import tempfile
import uuid
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import tensorflow_transform.beam as tft_beam
from apache_beam import Create, Map, Pipeline
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.shared import spilling, storage
from bitext.components.shared.errors import EnvironmentFault
from bitext.components.shared.folder_bytes import zipped
from bitext.components.text import EOS_ID
from bitext.components.transform import Parameters, applying, plan, reports, writing
from bitext.components.transform.batches import File, Reader, tensor_adapter_config
from bitext.components.transform.executor import _feature_schema
from bitext.components.transform.lengths import LengthCounts, SumLengths, percentile
from bitext.components.transform.plan import FileLimits, Plan
from bitext.components.transform.rows import Ids, Rows
from tests.components.beam_engine import engine
from tests.components.transform_runs import SPLITS, Run, rows
from tests.object_store import bucket, s3_address

__all__ = ["bucket", "s3_address"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return Run(tmp_path_factory.mktemp("in process"), SPLITS)


def assert_equal_bytes(run: Run, other: Run) -> None:
    """All files are equal, but for the SavedModel, whose functions are numbered by each process."""
    for artifact, same in ((run.output, other.output), (run.graph, other.graph)):
        assert artifact.content_digest() == same.content_digest()
        assert artifact.properties == same.properties
    assert artifacts.TransformCache(run.cache).content_digest() == (
        artifacts.TransformCache(other.cache).content_digest()
    )
    assert run.messages == other.messages


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_engine_and_its_workers(tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "LIMITS", FileLimits(examples=40))
    spans = (SPLITS, {"train": rows(30, 7)}, {"train": [], "test": rows(3, 8)})
    parameters = {"subword_samples": 2, "subword_dropout": 0.2, "whole_token_pattern": "[0-9]+"}
    in_process = Run(tmp_path / "in process", *spans, **parameters)
    assert max(len(bucket["files"]) for bucket in in_process.buckets("train")) > 1
    for workers in (1, 2):
        with engine(tmp_path / f"engine{workers}", workers) as create_pipeline:
            run = Run(tmp_path / f"{workers}", *spans, beam_pipeline=create_pipeline, **parameters)
        assert_equal_bytes(in_process, run)
        assert not any((tmp_path / f"engine{workers}" / "worker").glob("bitext-*"))


@pytest.mark.slow
@pytest.mark.parametrize("flags", [["--direct_num_workers=3", "--direct_running_mode=multi_threading"], []])
def test_the_bytes_do_not_depend_on_threads_and_spilling(tmp_path, run, flags):
    def create_pipeline() -> Pipeline:
        return Pipeline(runner=FnApiRunner(), options=PipelineOptions(flags))

    assert_equal_bytes(run, Run(tmp_path, SPLITS, beam_pipeline=create_pipeline))


def save(batch: tuple[pa.RecordBatch, dict], folder: Path) -> None:
    """Saves a batch that TFT has transformed."""
    with pa.ipc.new_file(folder / f"{uuid.uuid4().hex}.arrow", batch[0].schema) as writer:
        writer.write(batch[0])


def test_the_ids_are_those_of_tft(tmp_path, run):
    schema = _feature_schema(artifacts.Schema(run.graph.path.parent / "schema"))
    reader = Reader(schema, run.parameters)
    train = run.graph.path.parent / "examples" / "0" / "Split-train"
    batches = list(reader.read(File(0, next(train.iterdir())), augmented=False))
    config = tensor_adapter_config(schema)
    with (
        Pipeline(runner=FnApiRunner()) as pipeline,
        tft_beam.Context(temp_dir=str(tmp_path)),
    ):
        function = pipeline | tft_beam.ReadTransformFn(str(run.graph.path))
        data = pipeline | Create(batches, reshuffle=False)
        output, _ = ((data, config), function) | tft_beam.TransformDataset(output_record_batches=True)
        _ = output | Map(save, tmp_path)
    tables = [pa.ipc.open_file(path).read_all() for path in tmp_path.glob("*.arrow")]
    by_first_id = {table.column("id")[0].as_py()[0]: table.to_batches()[0] for table in tables}
    graph = applying.Graph(zipped(run.graph.graph))
    assert len(batches) == len(by_first_id) > 3
    for batch in batches:
        expected = by_first_id[batch.column("id")[0].as_py()[0]]
        for name, ids in zip(
            ("source_ids", "target_ids"), graph.ids(reader.tensors(batch), "uint16"), strict=True
        ):
            lists = expected.column(name)
            assert ids.values.tolist() == lists.flatten().to_pylist()
            assert ids.lengths.tolist() == pc.list_value_length(lists).to_pylist()


def some_rows(random: np.random.Generator, count: int, longest: int = 30) -> Rows:
    """Returns rows with random ids, in a random order."""

    def ids() -> Ids:
        lengths = random.integers(1, longest + 1, count)
        values = random.integers(4, 300, lengths.sum()).astype(np.uint16)
        values[np.cumsum(lengths) - 1] = EOS_ID
        return Ids(values, lengths)

    number = random.permutation(10 * count)[:count].astype(np.int64) << 7
    return Rows(number, pa.array([f"ñ:{i}" for i in number.tolist()]), ids(), ids())


def lists(ids: Ids) -> list[list[int]]:
    return [row.tolist() for row in np.split(ids.values, np.cumsum(ids.lengths)[:-1])]


def as_tuples(rows: Rows) -> list[tuple]:
    columns = (rows.number.tolist(), rows.id.to_pylist(), lists(rows.source), lists(rows.target))
    return list(zip(*columns, strict=True))


@given(st.integers(0, 2**32), st.integers(1, 20), st.data())
def test_rows_are_taken_packed_and_joined(seed, count, data):
    random = np.random.default_rng(seed)
    first, second = some_rows(random, count), some_rows(random, 3)
    assert as_tuples(Rows.unpacked(first.packed())) == as_tuples(first)
    assert as_tuples(Rows.concatenated([first, second])) == as_tuples(first) + as_tuples(second)
    indices = data.draw(st.lists(st.integers(0, count - 1), min_size=1))
    assert as_tuples(first.take(np.array(indices))) == [as_tuples(first)[i] for i in indices]
    limit = data.draw(st.integers(2, 30))
    assert lists(first.source.truncated(limit)) == [
        row if len(row) <= limit else [*row[: limit - 1], EOS_ID] for row in lists(first.source)
    ]
    padded = first.target.padded(33)
    assert padded.tolist() == [[*row, *[0] * (33 - len(row))] for row in lists(first.target)]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=60), st.integers(1, 5)
)
def test_counts_of_parts_add_up_to_those_of_all(pairs, parts):
    lengths = np.array(pairs)
    combine = SumLengths()
    accumulators = [
        combine.add_input(combine.create_accumulator(), ("train", LengthCounts.of(*lengths[part::parts].T)))
        for part in range(parts)
    ]
    total = combine.extract_output(combine.merge_accumulators(accumulators[::-1]))["train"]
    expected = LengthCounts.of(*lengths.T)
    assert total.to_lists() == expected.to_lists()
    assert LengthCounts.from_lists(total.to_lists()).to_lists() == total.to_lists()
    assert total.total() == len(pairs)
    assert total.tokens() == lengths.sum()
    for side in (0, 1):
        of_side = (total.source, total.target)[side]
        for percent in (1, 50, 99, 100):
            assert percentile(of_side, total.count, percent) == np.percentile(
                lengths[:, side], percent, method="higher"
            )


@given(st.integers(0, 2**32), st.sampled_from(["reject", "truncate"]), st.integers(1, 400))
def test_a_plan_has_a_place_for_each_accepted_example(seed, over_long, chunk):
    random = np.random.default_rng(seed)
    p = Parameters(source_max_length=20, target_max_length=25, over_long=over_long)
    lengths = {name: random.integers(1, 30, (2, count)) for name, count in (("train", 300), ("test", 20))}
    totals = {name: LengthCounts.of(*of_split) for name, of_split in lengths.items()}
    plans = Plan.of(p, totals, FileLimits(examples=chunk))
    for name, (source, target) in lengths.items():
        fits = (source <= 20) & (target <= 25)
        accepted = int(fits.sum()) if over_long == "reject" else len(fits)
        shaped = plans.splits[name]
        assert sum(examples.lengths.total() for examples in shaped.values()) == accepted
        for (padded_source, padded_target), examples in shaped.items():
            assert examples.lengths.source.max() <= padded_source <= 20
            assert examples.lengths.target.max() <= padded_target <= 25
            assert examples.files == -(-examples.lengths.total() // chunk)
        assert set(plans.files()) >= {(name, *shape, 0) for shape in shaped}


def test_long_examples_are_in_smaller_files():
    p = Parameters(source_max_length=100, target_max_length=100)
    plans = Plan.of(
        p, {"train": LengthCounts.of(np.full(64, 100), np.full(64, 100))}, FileLimits(positions=1000)
    )
    assert plans.splits["train"][100, 100].files == 13


@given(st.integers(1, 9), st.integers(0, 2**40))
def test_the_files_of_a_shape_are_one_random_order(files, first):
    number = np.arange(first, first + 500) << 7
    of_row = plan.file_numbers(number, files)
    assert set(of_row.tolist()) <= set(range(files))
    order = plan.order("train", number)
    assert (np.diff(of_row[order]) >= 0).all()
    assert sorted(order.tolist()) == list(range(500))
    assert np.corrcoef(order, np.arange(500))[0, 1] < 0.3
    assert plan.order("eval", number[::-1]).tolist() == list(range(500))[::-1]
    assert len(set(plan.keys(number).tolist())) == 500


@settings(max_examples=30)
@given(st.integers(0, 2**32), st.integers(1, 30))
def test_a_file_has_the_same_bytes_whatever_the_blocks_and_their_order(seed, count):
    """A bundle that is tried again gets its blocks in another order, and finds its file already there."""
    random = np.random.default_rng(seed)
    examples = some_rows(random, count)
    of_longest = LengthCounts.of(np.full(count, 30), np.full(count, 30))
    plans = Plan.of(
        Parameters(source_max_length=30, target_max_length=30), {"train": of_longest}, FileLimits()
    )
    key = next(plans.files())
    contents = set()
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(writing, "_PADDED_VALUES", int(random.integers(1, 200)))
        output = artifacts.TransformedExamples(Path(folder))
        write = writing.WriteFile(output)
        for blocks in (1, 2, 3):
            parts = [examples.take(part) for part in np.array_split(random.permutation(count), blocks)]
            group = [None, *(part.packed() for part in parts if len(part))]
            ((name, shapes),) = write.process((key, group), plans)
            assert (name, shapes.to_lists()) == ("written/train", [[key[1]], [key[2]], [count]])
            (path,) = output.split("train").iterdir()
            contents.add(path.read_bytes())
    assert len(contents) == 1


def test_a_block_of_several_files_is_divided(tmp_path):
    examples = some_rows(np.random.default_rng(1), 100, longest=4)
    plans = Plan.of(
        Parameters(source_max_length=4, target_max_length=4),
        {"train": LengthCounts.of(examples.source.lengths, examples.target.lengths)},
        FileLimits(examples=30),
    )
    for spill_dir in (None, tmp_path / "spilled"):
        assign = writing.Assign(spill_dir)
        parts = dict(assign.process((("train", 0), examples.packed()), plans))
        assert sorted(parts) == [("train", 4, 4, number) for number in range(4)]
        blocks = [Rows.unpacked(spilling.read(stored)) for stored in parts.values()]
        joined = Rows.concatenated(blocks)
        assert sorted(as_tuples(joined)) == sorted(as_tuples(examples))
        for (*_, number), block in zip(parts, blocks, strict=True):
            assert set(plan.file_numbers(block.number, 4).tolist()) == {number}


def test_an_engine_that_loses_or_repeats_examples_is_found(tmp_path):
    lengths = {"train": LengthCounts.of(np.array([3, 3]), np.array([3, 4]))}
    for count in (1, 3):
        written = {"train": LengthCounts.of(np.array([4]), np.array([4]), np.array([count]))}
        context = Context(tmp_path, tmp_path, lambda: pytest.fail("no pipeline"))
        with pytest.raises(EnvironmentFault, match=f"wrote {count} examples of the train split, but.* 2$"):
            reports.finish(Parameters(), context, lengths, written, artifacts.TransformedExamples(tmp_path))


def test_how_often_examples_are_read_is_small_in_the_graph_of_the_pipeline():
    copies = np.ones(100_000, np.int16)
    copies[::1000] = 0
    file = File.with_copies(3, Path("a"), copies)
    assert len(file.packed_copies) < 2_000
    assert (file.copies == copies).all()
    assert File.with_copies(3, Path("a"), None).copies is None


@pytest.mark.slow
def test_what_workers_open_can_be_in_an_object_store(tmp_path, bucket):
    spans = (SPLITS, {"train": rows(30, 7)})
    local, root = Run(tmp_path / "local", *spans), storage.path(f"{bucket}/runs")
    with engine(tmp_path / "engine", 2) as create_pipeline:
        run = Run(tmp_path / "remote", *spans, root=root, beam_pipeline=create_pipeline)
    properties, run.cache = run.output.properties, tmp_path / "remote" / "cache"
    run.output = artifacts.TransformedExamples(tmp_path / "remote" / "output", properties)
    for name in ("output", "cache"):
        storage.download(root / name, tmp_path / "remote" / name)
    assert_equal_bytes(local, run)
