"""TFRecords as TensorFlow reads them."""

from __future__ import annotations

import gzip

import numpy as np
import pyarrow as pa
import pytest

from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError


def _columns(rows: int) -> dict[str, pa.Array]:
    texts = ["", "a", "ä" * 70, "x" * 300, "语" * 9000]
    return {
        "id": pa.array([f"f.tsv:{i + 1}" for i in range(rows)]),
        "source": pa.array([texts[i % 5] + str(i) for i in range(rows)]),
        "target": pa.array([texts[(i + 2) % 5] for i in range(rows)]),
    }


def test_tensorflow_reads_what_is_written(tmp_path, monkeypatch):
    tf = pytest.importorskip("tensorflow")
    monkeypatch.setattr(tfrecord, "ROWS_AT_ONCE", 7)
    columns = _columns(23)
    path = tmp_path / "data.gz"
    tfrecord.write_examples(path, columns)
    read = [tf.train.Example.FromString(r.numpy()) for r in tf.data.TFRecordDataset(str(path), "GZIP")]
    for name, array in columns.items():
        assert [e.features.feature[name].bytes_list.value[0].decode() for e in read] == array.to_pylist()


def test_read_back_and_deterministic(tmp_path):
    columns = _columns(50)
    first, second = tmp_path / "a.gz", tmp_path / "b.gz"
    tfrecord.write_examples(first, columns)
    tfrecord.write_examples(second, columns)
    assert first.read_bytes() == second.read_bytes()
    batches = list(tfrecord.read_record_batches(first, rows_at_once=20))
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
def test_damage_is_an_error(tmp_path, cut):
    path = tmp_path / "a.gz"
    tfrecord.write_examples(path, _columns(50))
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(DataError, match="a.gz"):
        list(tfrecord.read_records(path))


def test_known_checksum():
    # RFC 3720, B.4: CRC-32C of 32 zero bytes is 0x8A9136AA; the mask is TFRecord's.
    crc = 0x8A9136AA
    masked = (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF
    zeros = np.zeros(32, np.uint8)
    assert tfrecord.masked_crc32c(zeros, np.array([0]), np.array([32])).tolist() == [masked]
