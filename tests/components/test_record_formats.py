"""JSON Lines, Parquet and Arrow: fields by path, rows by number, faults by row."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.example_gen import Parameters
from bitext.components.example_gen.formats import base, columnar
from bitext.components.shared.errors import DataError
from tests.components.format_rows import read, read_reasons

PAIRS = [(f"Sentence {n}.", f"Oración {n}.") for n in range(50)]
PYARROW_DATA = Path(pa.__file__).parent / "tests" / "data"
PATHS = {"source_column": "translation.en", "target_column": "translation.es"}


def write_lines(path: Path, records: list[Any]) -> Path:
    path.write_text("".join(json.dumps(r, ensure_ascii=False) + "\n" for r in records), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("record", "columns"),
    [
        (lambda s, t: {"translation": {"en": s, "es": t}}, PATHS),
        (lambda s, t: {"id": 1, "es": t, "en": s, "x": None}, {"source_column": "en", "target_column": "es"}),
        (lambda s, t: [s, t], {}),
        (lambda s, t: [1, {"a": [t, s]}], {"source_column": "1.a.1", "target_column": "1.a.0"}),
        (lambda s, t: {"translation.en": s, "translation.es": t}, PATHS),
        (lambda s, t: {"0": s, "1": t}, {}),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_fields_are_named_by_paths(tmp_path: Path, record: Any, columns: dict, encoding: str) -> None:
    path = write_lines(tmp_path / "a.jsonl", [record(*pair) for pair in PAIRS])
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    expected = [(n, *pair, "") for n, pair in enumerate(PAIRS, 1)]
    assert read(path, format="jsonl", encoding=encoding, **columns) == expected


def test_bad_lines_are_rejected_and_the_others_are_read(tmp_path: Path) -> None:
    lines = [
        b'{"en": "Go.", "es": "Ve."}', b"{", b"", b'{"en": "Go."}', b'{"en": "Go.", "es": 5}',
        b'{"en": "Go.", "es": null}', b'{"en": "\xff", "es": "Ve."}', b'{"en": {}, "es": "Ve."}', b'"text"',
        b'{"en": "Go.", "es": ""}', b'{"en": "' + b"a" * (1 << 20) + b'", "es": "b"}', b"[" * 100_000,
        b'{"en": "Go.", "es": "\\ud800"}', b'{"en": "A \\u00e9", "es": "\\ud83d\\ude00"}',
    ]  # fmt: skip
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    rows = read_reasons(tmp_path / "a.jsonl", format="jsonl", source_column="en", target_column="es")
    assert [row[0] for row in rows] == list(range(1, len(lines) + 1))
    assert [row[3] for row in rows] == [
        "", "bad_json", "empty_side", "missing_column", "not_text", "missing_column", "invalid_utf8",
        "not_text", "missing_column", "empty_side", "row_too_long", "bad_json", "bad_json", "",
    ]  # fmt: skip
    assert rows[-1][1:3] == ("A é", "😀")


def test_other_fields_are_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", [{"id": 1, "translation": {"en": "Go.", "de": "Geh."}}] * 3)
    with pytest.raises(DataError, match=r"are in the fields 'translation.en', 'translation.de'") as caught:
        read(path, format="jsonl")
    assert "example_gen.source_column" in caught.value.remedy
    path.write_text(json.dumps([{"en": "Go."}] * 3, indent=1), encoding="utf-8")
    with pytest.raises(DataError, match="is one JSON value, an array"):
        read(path, format="jsonl", source_column="en", target_column="es")


@given(
    st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), min_size=1, max_size=20), st.booleans()
)
def test_every_text_of_a_json_writer_is_read(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]], ascii_only: bool
) -> None:
    path = tmp_path_factory.mktemp("json") / "a.jsonl"
    text = "".join(json.dumps({"en": s, "es": t}, ensure_ascii=ascii_only) + "\n" for s, t in pairs)
    path.write_text(text, encoding="utf-8", newline="")
    rows = read_reasons(path, format="jsonl", source_column="en", target_column="es")
    assert [row[1:3] for row in rows] == pairs


def table(kind: pa.DataType | None = None) -> pa.Table:
    source, target = (pa.array([pair[side] for pair in PAIRS], pa.string()) for side in (0, 1))
    if kind is not None:
        source, target = source.cast(kind), target.cast(kind)
    pairs = pa.StructArray.from_arrays([source, target], ["en", "es"])
    number = pa.array(range(len(PAIRS)))
    return pa.table({"id": number, "source": source, "target": target, "translation": pairs})


def write_stream(data: pa.Table, path: str) -> None:
    with pa.ipc.new_stream(path, data.schema) as writer:
        writer.write_table(data, 7)


def write_file(data: pa.Table, path: str) -> None:
    with pa.ipc.new_file(path, data.schema) as writer:
        writer.write_table(data, 7)


WRITERS = {
    "parquet": ("parquet", lambda data, path: pq.write_table(data, path, row_group_size=8)),
    "parquet plain": ("parquet", lambda data, path: pq.write_table(data, path, use_dictionary=False)),
    "file": ("arrow", write_file),
    "stream": ("arrow", write_stream),
    "feather": ("arrow", lambda data, path: pa.feather.write_feather(data, path)),
    "feather zstd": ("arrow", lambda data, path: pa.feather.write_feather(data, path, "zstd", chunksize=9)),
}
KINDS = [None, pa.large_string(), pa.binary(), pa.dictionary(pa.int32(), pa.string())]


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize(
    "columns",
    [{"source_column": 1, "target_column": 2}, {"source_column": "source", "target_column": "target"}, PATHS],
)
def test_columns_of_every_writer_and_type(
    tmp_path: Path, writer: str, kind: pa.DataType | None, columns: dict
) -> None:
    file_format, write = WRITERS[writer]
    if kind is not None and pa.types.is_dictionary(kind):
        data = table()
        for name in ("source", "target"):
            column = data.column(name).combine_chunks()
            column = column if isinstance(column, pa.Array) else column.chunk(0)
            data = data.set_column(data.schema.get_field_index(name), name, column.dictionary_encode())
    else:
        data = table(kind)
    write(data, str(tmp_path / "a"))
    rows = read(tmp_path / "a", format=file_format, **columns)
    assert rows == [(n, *pair, "") for n, pair in enumerate(PAIRS, 1)]


@pytest.mark.parametrize("writer", WRITERS)
def test_nulls_bytes_and_blocks(tmp_path: Path, writer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "BLOCK_ROWS", 3)
    monkeypatch.setattr(columnar, "_BLOCK_BYTES", 100)
    file_format, write = WRITERS[writer]
    texts = [b"Go.", None, b"\xff", b"", b"a" * (1 << 20) + b"b"] + [b"Go."] * 30
    data = pa.table({"en": pa.array(texts, pa.binary()), "es": pa.array([b"Ve."] * 35, pa.binary())})
    write(data, str(tmp_path / "a"))
    rows = read_reasons(tmp_path / "a", format=file_format, source_column="en", target_column="es")
    assert [row[0] for row in rows] == list(range(1, 36))
    expected = ["", "missing_column", "invalid_utf8", "empty_side", "row_too_long"] + [""] * 30
    assert [row[3] for row in rows] == expected


@pytest.mark.parametrize("writer", WRITERS)
def test_a_null_struct_has_no_texts(tmp_path: Path, writer: str) -> None:
    file_format, write = WRITERS[writer]
    data = pa.table({"translation": pa.array([{"en": "Go.", "es": "Ve."}, None, {"en": None, "es": "Ve."}])})
    write(data, str(tmp_path / "a"))
    rows = read_reasons(tmp_path / "a", format=file_format, **PATHS)
    assert [row[3] for row in rows] == ["", "missing_column", "missing_column"]


@pytest.mark.parametrize("writer", WRITERS)
def test_columns_that_are_missing_or_no_text_are_named(tmp_path: Path, writer: str) -> None:
    file_format, write = WRITERS[writer]
    write(table(), str(tmp_path / "a"))
    for column, message in [("en", "no column 'en'"), (9, "no column 9"), ("id", "'id' is int64, not text")]:
        with pytest.raises(DataError, match=message) as caught:
            read(tmp_path / "a", format=file_format, source_column=column, target_column="target")
        assert "'source', 'target', 'translation.en', 'translation.es'" in caught.value.remedy


@pytest.mark.parametrize("writer", WRITERS)
def test_damaged_and_foreign_files_are_refused(tmp_path: Path, writer: str) -> None:
    file_format, write = WRITERS[writer]
    write(table(), str(tmp_path / "a"))
    data = (tmp_path / "a").read_bytes()
    columns = {"source_column": "source", "target_column": "target"}
    for damaged in (data[: len(data) // 2], b"", b"no such file" * 9, data[:-20]):
        (tmp_path / "b").write_bytes(damaged)
        if writer == "stream" and damaged == data[:-20]:
            continue  # the end mark of a stream is optional
        with pytest.raises(DataError, match="cannot read"):
            read(tmp_path / "b", format=file_format, **columns)
    (tmp_path / "c.gz").write_bytes(gzip.compress(data))
    with pytest.raises(DataError, match="nor decompressed"):
        read(tmp_path / "c.gz", format=file_format, **columns)
    if writer != "stream":
        with pytest.raises(DataError, match="it is a(n Arrow| Parquet) file, not text") as caught:
            read(tmp_path / "a")
        assert f"set example_gen.format to {file_format}" in caught.value.remedy


@given(st.data())
def test_damaged_bytes_never_stop_the_process(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    file_format, write = WRITERS[data.draw(st.sampled_from(sorted(WRITERS)))]
    write(table(), str(folder / "a"))
    content = bytearray((folder / "a").read_bytes())
    for _ in range(3):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (folder / "a").write_bytes(content)
    try:
        rows = read_reasons(folder / "a", format=file_format, source_column="source", target_column="target")
    except DataError:
        return
    assert len(rows) <= len(PAIRS)


@pytest.mark.skipif(not PYARROW_DATA.is_dir(), reason="this release of pyarrow has no test data")
def test_files_of_pyarrow() -> None:
    diamonds = PYARROW_DATA / "parquet" / "v0.7.1.parquet"
    columns = {"source_column": "cut", "target_column": "color"}
    expected = pq.read_table(diamonds, columns=["cut", "color"]).to_pydict()
    rows = read_reasons(diamonds, format="parquet", **columns)
    assert [row[1] for row in rows] == expected["cut"]
    assert [row[2] for row in rows] == expected["color"]
    assert len(rows) > 5
    with pytest.raises(DataError, match="'carat' is double, not text"):
        read(diamonds, format="parquet", source_column="carat", target_column="cut")
    feather = PYARROW_DATA / "feather" / "v0.17.0.version.2-compression.lz4.feather"
    schema = pa.feather.read_table(feather).schema
    names = [field.name for field in schema if pa.types.is_string(field.type)]
    with pytest.raises(DataError, match="no column 'en'") as caught:
        read(feather, format="arrow", source_column="en", target_column="es")
    assert all(repr(name) in caught.value.remedy for name in names)


def test_files_of_pandas(tmp_path: Path) -> None:
    frame = pd.DataFrame(PAIRS, columns=["en", "es"])
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    frame.to_feather(tmp_path / "a.arrow")
    for name in ("parquet", "jsonl", "arrow"):
        rows = read(tmp_path / f"a.{name}", format=name, source_column="en", target_column="es")
        assert [row[1:3] for row in rows] == PAIRS


def test_options_of_the_formats() -> None:
    for file_format in ("jsonl", "parquet", "arrow"):
        with pytest.raises(ValueError, match=f"format {file_format} has no header"):
            Parameters(files=("a",), format=file_format, header=True)
        with pytest.raises(ValueError, match="are the same: 'en'"):
            Parameters(files=("a",), format=file_format, source_column="en", target_column="en")
    with pytest.raises(ValueError, match="format parquet has no encoding"):
        Parameters(files=("a",), format="parquet", encoding="utf-16")
    assert {key: getattr(Parameters(files=("a",)), key) for key in base.DEFAULTS} == base.DEFAULTS
