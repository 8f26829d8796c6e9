"""TFRecords: TensorFlow reads them, and writes the same bytes."""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError
from bitext.components.shared.tf_example import serialize


def _columns(rows: int) -> dict[str, pa.Array]:
    texts = ["", "a", "ä" * 70, "x" * 300, "语" * 9000]
    return {
        "id": pa.array([f"f.tsv:{i + 1}" for i in range(rows)]),
        "source": pa.array([texts[i % 5] + str(i) for i in range(rows)]),
        "target": pa.array([texts[(i + 2) % 5] for i in range(rows)]),
    }


def test_tensorflow_reads_what_is_written(tmp_path, monkeypatch):
    tf = pytest.importorskip("tensorflow")
    monkeypatch.setattr(tfrecord, "BLOCK_ROWS", 7)
    columns = _columns(23)
    path = tmp_path / "data.gz"
    tfrecord.write_examples(path, columns)
    read = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path), "GZIP")]
    for name, array in columns.items():
        assert [e.features.feature[name].bytes_list.value[0].decode() for e in read] == array.to_pylist()


def test_bytes_equal_those_of_tensorflow(tmp_path):
    """Each record, and the whole file without its compression."""
    tf = pytest.importorskip("tensorflow")
    columns = _columns(23)
    tfrecord.write_examples(tmp_path / "ours.gz", columns)
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as file:
        for row in range(23):
            features = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[array[row].as_py().encode()]))
                for name, array in columns.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            file.write(example.SerializeToString(deterministic=True))
    assert gzip.decompress((tmp_path / "ours.gz").read_bytes()) == (tmp_path / "theirs").read_bytes()


def test_records_are_read_back_and_files_are_deterministic(tmp_path):
    columns = _columns(50)
    first, second = tmp_path / "a.gz", tmp_path / "b.gz"
    tfrecord.write_examples(first, columns)
    tfrecord.write_examples(second, columns)
    assert first.read_bytes() == second.read_bytes()
    batches = list(tfrecord.read_record_batches(first, block_rows=20))
    assert [b.num_rows for b in batches] == [20, 20, 10]
    targets = [
        row[0].decode() for b in batches for row in b.column(b.schema.get_field_index("target")).to_pylist()
    ]
    assert targets == columns["target"].to_pylist()


def test_no_rows_make_an_empty_file(tmp_path):
    path = tmp_path / "a.gz"
    tfrecord.write_examples(path, {"id": pa.array([], pa.string())})
    assert gzip.decompress(path.read_bytes()) == b""
    assert list(tfrecord.read_records(path)) == []


@pytest.mark.parametrize("cut", [3, 200])
def test_a_truncated_file_is_an_error(tmp_path, cut):
    path = tmp_path / "a.gz"
    tfrecord.write_examples(path, _columns(50))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DataError, match="a.gz"):
        list(tfrecord.read_records(path))


def test_the_checksum_of_a_known_record():
    # RFC 3720, B.4: CRC-32C of 32 zero bytes is 0x8A9136AA; the mask is TFRecord's.
    crc = 0x8A9136AA
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    zeros = np.zeros(32, np.uint8)
    assert tfrecord.masked_crc32c(zeros, np.array([0, 32])).tolist() == [masked]


@given(st.lists(st.lists(st.integers(0, 2**35 - 1), min_size=3, max_size=3), min_size=1, max_size=5))
def test_serialized_examples_are_what_protobuf_reads(values):
    ids = pa.array([b"x" * (50 * i) for i in range(len(values))], pa.binary())
    serialized = serialize({"numbers": np.array(values, np.int64), "id": ids})
    tf = pytest.importorskip("tensorflow")
    for record, expected, name in zip(serialized.to_pylist(), values, ids.to_pylist(), strict=True):
        features = tf.train.Example.FromString(record).features.feature
        assert list(features["numbers"].int64_list.value) == expected
        assert list(features["id"].bytes_list.value) == [name]
        assert len(features) == 2


def test_a_serialized_example_has_known_bytes():
    (record,) = serialize({"n": np.array([[1, 300]])}).to_pylist()
    assert record == b"\x0a\x0e\x0a\x0c\x0a\x01n\x12\x07\x1a\x05\x0a\x03\x01\xac\x02"
