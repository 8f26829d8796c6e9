"""A file that is read in parts gives the same rows, rejects, errors and counts as one that is read whole."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import lzma
import struct
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis
import msgspec
import pytest
import zstandard
from hypothesis import example, given
from hypothesis import strategies as st

from bitext.components.example_gen import Parameters, dividing, sharding
from bitext.components.example_gen.formats import FORMATS, base, parts
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.example_gen.rows import Rows
from bitext.components.example_gen.sources import read_rows
from bitext.components.shared import members, reading, storage
from bitext.components.shared.errors import DataError
from tests.components.example_gen_runs import Result
from tests.object_store import bucket, s3_address

__all__ = ["bucket", "s3_address"]

MARK = "\ufeff".encode()
PIECES = [
    b"\n", b"\r", b"\r\n", b"\r\r\n", b"\t", b"a", b"bc\tde", b'"', b'"a ""b"""\t', b"\0", b"\xff", MARK,
    "ñ".encode(), b" ", b"x" * 9, b"y" * 30, b'{"source": "a", "target": "b"}\n', b"1\t2\n3\t4\n",
]  # fmt: skip
texts = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)


def bgzf(data: bytes, size: int = 7) -> bytes:
    """Compresses as `bgzip` does, in blocks of a few bytes."""
    blocks = [data[start : start + size] for start in range(0, len(data), size)]
    return b"".join(map(_bgzf_block, [*blocks, b""]))


def _bgzf_block(data: bytes) -> bytes:
    deflate = zlib.compressobj(wbits=-15)
    body = deflate.compress(data) + deflate.flush()
    header = (
        b"\x1f\x8b\x08\x04"
        + bytes(5)
        + b"\xff"
        + struct.pack("<H", 6)
        + b"BC"
        + struct.pack("<HH", 2, len(body) + 25)
    )
    return header + body + struct.pack("<II", zlib.crc32(data), len(data))


def in_streams(compress: Callable[[bytes], bytes]) -> Callable[[bytes], bytes]:
    def compressed(data: bytes) -> bytes:
        return b"".join(compress(data[start : start + 7]) for start in range(0, max(1, len(data)), 7))

    return compressed


def _zstd(data: bytes) -> bytes:
    skippable = struct.pack("<II", 0x184D2A50, 4) + b"size"
    return skippable + zstandard.compress(data)


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": bgzf,
    ".bz2": in_streams(bz2.compress),
    ".xz": in_streams(lzma.compress),
    ".zst": in_streams(_zstd),
}


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are cut after a few bytes."""
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", 12)
    monkeypatch.setattr(parts, "LARGE_BYTES", 0)


def in_parts(file: SourceFile, parameters: Parameters) -> list[SourceFile]:
    found = [dividing.search(task) for task in dividing.searches(file)]
    tasks = dividing.ranges(found[::-1])
    counted = [dividing.count(task, parameters) for task in tasks]
    return dividing.divide(counted[::-1], parameters) if tasks else [file]


def outcome(files: list[SourceFile], parameters: Parameters) -> tuple[list[Any], str]:
    """The rows of files, as values, and the error that ends them."""
    blocks: list[Any] = []
    for file in files:
        try:
            blocks += map(values, FORMATS[parameters.format].rows(file, parameters))
        except DataError as error:
            return blocks, str(error)
    return blocks, ""


def values(rows: Rows) -> Any:
    sides = [side.to_pylist() for side in (*rows.sides, *rows.raw)]
    return rows.line.tolist(), sides, rows.column_counts.tolist(), rows.rejected


def source_file(path: Path, target: Path | None = None) -> SourceFile:
    return SourceFile(0, "f", str(path), None if target is None else str(target), None, (0, 1))


OPTIONS: list[dict[str, Any]] = [
    {"format": "tsv"},
    {"format": "tsv", "header": True},
    {"format": "jsonl", "source_column": "source", "target_column": "target"},
]


@given(
    options=st.sampled_from(OPTIONS),
    ending=st.sampled_from(sorted(COMPRESS)),
    text=texts,
    chunk=st.integers(1, 40),
    chunks=st.integers(1, 4),
    stored=st.integers(30, 200),
)
@example(
    options=OPTIONS[0], ending="", text=MARK + b"a\tb\n" * 3 + b"\rc\r\r\nd", chunk=3, chunks=1, stored=60
)
@example(options=OPTIONS[1], ending="", text=b'"a ""b"""\tb\n' * 9, chunk=20, chunks=1, stored=60)
@hypothesis.settings(max_examples=80)
def test_rows_of_one_file(
    options: dict[str, Any], ending: str, text: bytes, chunk: int, chunks: int, stored: int
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        path = Path(folder) / f"corpus{ending}"
        path.write_bytes(COMPRESS[ending](text))
        parameters = msgspec.convert({"files": [str(path)], **options}, Parameters)
        patch.setattr(base, "BLOCK_BYTES", chunk)
        patch.setattr(dividing, "RANGE_CHUNKS", chunks)
        patch.setattr(dividing, "COMPRESSED_BYTES", stored)
        file = source_file(path)
        divided = in_parts(file, parameters)
        assert outcome(divided, parameters) == outcome([file], parameters)


def test_files_are_divided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The property does not hold just because nothing is divided."""
    text = b"".join(b"%d\tb\n" % n for n in range(200))
    monkeypatch.setattr(base, "BLOCK_BYTES", 16)
    monkeypatch.setattr(dividing, "COMPRESSED_BYTES", 200)
    for ending, compress in COMPRESS.items():
        path = tmp_path / f"corpus{ending}"
        path.write_bytes(compress(text))
        parameters = msgspec.convert({"files": [str(path)], "format": "tsv"}, Parameters)
        divided = in_parts(source_file(path), parameters)
        assert len(divided) == -(-len(text) // (16 * dividing.RANGE_CHUNKS)), ending
        assert outcome(divided, parameters) == outcome([source_file(path)], parameters)


@given(
    ending=st.sampled_from(["", ".gz", ".zst"]),
    lines=st.lists(
        st.tuples(*[st.sampled_from([b"", b"a", b"bcd\tef", b"x" * 20, b"\xff"])] * 2), max_size=30
    ),
    ends=st.tuples(*[st.sampled_from([b"\n", b"\r\n", b"\r\r\n"])] * 2),
    more=st.sampled_from([(b"", b""), (b"\ra", b""), (b"\rx\n", b"\ry\n"), (b"end", b"end"), (b"e", b"e\n")]),
    chunk=st.integers(1, 40),
    rows=st.integers(1, 7),
)
def test_rows_of_aligned_files(
    ending: str,
    lines: list[tuple[bytes, bytes]],
    ends: tuple[bytes, bytes],
    more: tuple[bytes, bytes],
    chunk: int,
    rows: int,
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        paths = [Path(folder) / f"{side}{ending}" for side in "ab"]
        for side, path in enumerate(paths):
            path.write_bytes(
                COMPRESS[ending](b"".join(pair[side] + ends[side] for pair in lines) + more[side])
            )
        parameters = msgspec.convert(
            {"source_files": [str(paths[0])], "target_files": [str(paths[1])], "format": "parallel"},
            Parameters,
        )
        patch.setattr(base, "BLOCK_BYTES", chunk)
        patch.setattr(base, "BLOCK_ROWS", rows)
        patch.setattr(dividing, "RANGE_CHUNKS", 2)
        patch.setattr(dividing, "COMPRESSED_BYTES", 100)
        file = source_file(*paths)
        divided = in_parts(file, parameters)
        assert outcome(divided, parameters) == outcome([file], parameters)


class TestMembers:
    @pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
    def test_damage_and_other_data_are_not_members(self, ending: str, tmp_path: Path) -> None:
        data = COMPRESS[ending](b"one two three four five six seven eight nine ten")
        path = tmp_path / f"f{ending}"

        def found(content: bytes, step: int = 60) -> members.Members | None:
            path.write_bytes(content)
            starts = range(0, len(content), step)
            ranges = [members.find(str(path), start, min(start + step, len(content)), 10) for start in starts]
            return members.join(ranges, len(content))

        whole = found(data)
        assert whole is not None
        assert (whole.end, whole.size) == (len(data), 48)
        assert len(whole.checkpoints) > 2
        assert found(data[:-3]) is None
        assert found(data + b"more") is None
        assert found(data[:20] + bytes([data[20] ^ 1]) + data[21:]) is None
        assert found(b"no member" + data) is None

    def test_a_member_within_a_member_is_not_taken_for_one(self, tmp_path: Path) -> None:
        """The content of a stored block may be a compressed file."""
        inner = bgzf(b"a\tb\n" * 10)
        path = tmp_path / "f.gz"
        deflate = zlib.compressobj(0, wbits=-15)
        body = deflate.compress(inner) + deflate.flush()
        block = _bgzf_block(b"")[:16] + struct.pack("<H", len(body) + 25) + body
        content = block + struct.pack("<II", zlib.crc32(inner), len(inner)) + bgzf(b"c\td\n" * 100)
        path.write_bytes(content)
        assert gzip.decompress(content) == inner + b"c\td\n" * 100
        step = len(inner) // 2
        ranges = [
            members.find(str(path), start, min(start + step, len(content)), 10)
            for start in range(0, len(content), step)
        ]
        assert members.join(ranges, len(content)) is None

    def test_an_ordinary_gzip_file_is_not_divided(self, tmp_path: Path) -> None:
        path = tmp_path / "f.tsv.gz"
        path.write_bytes(gzip.compress(b"a\tb\n" * 100))
        parameters = msgspec.convert({"files": [str(path)], "format": "tsv"}, Parameters)
        assert not dividing.is_divisible(source_file(path), parameters)
        path.write_bytes(bgzf(b"a\tb\n" * 100))
        assert dividing.is_divisible(source_file(path), parameters)


def test_a_part_that_lost_lines_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "f.tsv"
    path.write_bytes(b"one\ttwo\n" * 100)
    monkeypatch.setattr(base, "BLOCK_BYTES", 20)
    parameters = msgspec.convert({"files": [str(path)], "format": "tsv"}, Parameters)
    divided = in_parts(source_file(path), parameters)
    path.write_bytes(b"one\ttwo\n" * 90)
    assert "f.tsv changed while it was read: lines " in outcome(divided, parameters)[1]


def contents(root: Path) -> dict[Path, bytes]:
    return {file.relative_to(root): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def test_a_remote_file_whose_content_changes_is_an_error(bucket: str) -> None:
    """Some parts would be those of the old content."""
    path = storage.path(f"{bucket}/f.tsv")
    path.write_bytes(b"one\ttwo\n" * 100)
    parameters = msgspec.convert({"files": [str(path)], "format": "tsv"}, Parameters)
    [file] = dividing.divisible_files([source_file(path)], parameters, pytest.fail)
    [part] = in_parts(file, parameters)
    assert sum(len(rows.line) for rows in read_rows(part, parameters)) == 100
    path.write_bytes(b"ein\tzwo\n" * 100)
    with pytest.raises(DataError, match="changed while it was read: its content was replaced"):
        list(read_rows(part, parameters))
    path.unlink()
    with pytest.raises(DataError, match="was removed"):
        list(read_rows(part, parameters))


class TestExampleGen:
    """The whole component, whose large files are divided if Beam does not run in this process."""

    ROWS = [f"source {n} ?\ttarget {n % 90} ?" for n in range(400)] + ["no target", "", '"a\tb\rc']

    def results(self, tmp_path: Path, text: bytes, name: str, **options: Any) -> list[Result]:
        results = []
        for large, folder in ((1 << 30, "whole"), (0, "parts")):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(reading, "MAX_LINE_BYTES", 1 << 20)
                patch.setattr(parts, "LARGE_BYTES", large)
                patch.setattr(base, "BLOCK_BYTES", 500)
                patch.setattr(dividing, "RANGE_CHUNKS", 4)
                patch.setattr(dividing, "COMPRESSED_BYTES", 5000)
                path = tmp_path / name
                path.write_bytes(COMPRESS[path.suffix if path.suffix in COMPRESS else ""](text))
                most = {"max_reject_share": 1.0, "max_out_of_step_share": 1.0}
                results.append(Result(tmp_path / folder, files=[str(path)], **most, **options))
        return results

    @pytest.mark.parametrize("name", ["f.tsv", "f.tsv.gz"])
    def test_the_outputs_are_the_same_bytes(self, tmp_path: Path, name: str) -> None:
        whole, divided = self.results(tmp_path, "\n".join(self.ROWS).encode(), name, format="tsv", shards=2)
        for kind in ("examples", "rejects"):
            files = [
                {
                    file.relative_to(root): file.read_bytes()
                    for file in (root / kind).rglob("*")
                    if file.is_file()
                }
                for root in (tmp_path / "whole", tmp_path / "parts")
            ]
            assert files[0] == files[1]
        assert whole.lines == divided.lines
        assert whole.examples.properties == divided.examples.properties
        assert dataclasses.asdict(whole.examples)["properties"]["train"] > 300

    def test_an_error_in_several_parts_is_that_of_the_whole_file(self, tmp_path: Path) -> None:
        text = b"a\tb\n" * 100 + b"\xe9\xe8\t\xe0\n" * 200
        messages = []
        (tmp_path / "f.tsv").write_bytes(text)
        for large in (1 << 30, 0):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(parts, "LARGE_BYTES", large)
                patch.setattr(base, "BLOCK_BYTES", 100)
                patch.setattr(dividing, "RANGE_CHUNKS", 3)
                patch.setattr(reading, "MAX_LINE_BYTES", 1 << 20)
                with pytest.raises(DataError) as caught:
                    Result(tmp_path / f"{large}", files=[str(tmp_path / "f.tsv")], format="tsv")
            messages.append((str(caught.value), caught.value.remedy))
        assert messages[0] == messages[1]
        assert "is not UTF-8 text" in messages[0][0]

    def test_a_large_file_that_one_worker_reads_is_named(self, tmp_path: Path) -> None:
        text = "\n".join(row.replace("\t", ",") for row in self.ROWS[:300]).encode()
        _, divided = self.results(tmp_path, text, "f.csv", format="csv")
        assert any(line.startswith(f"one worker reads each of {tmp_path}/f.csv: ") for line in divided.lines)


class TestShards:
    ROWS = [f"source {n}\ttarget {n}" for n in range(500)] * 2 + [
        f"Source {n}!\ttarget {n}" for n in range(99)
    ]

    def test_the_number_follows_the_size_and_the_rows_are_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Duplicates and near-duplicates meet in one shard."""
        monkeypatch.setattr(reading, "MAX_LINE_BYTES", 1 << 20)
        monkeypatch.setattr(parts, "LARGE_BYTES", 1 << 30)
        (tmp_path / "f.tsv").write_text("".join(f"{row}\n" for row in self.ROWS))
        options = {"files": [str(tmp_path / "f.tsv")], "format": "tsv", "max_reject_share": 1.0}
        options["cleaning"] = {"level": "basic", "near_duplicates": True, "max_reject_share": 1.0}
        one = Result(tmp_path / "one", **options)
        monkeypatch.setattr(sharding, "SHARD_BYTES", 10_000)
        many = Result(tmp_path / "many", **options)
        size = (tmp_path / "f.tsv").stat().st_size
        assert f"{-(-size // 10_000)} shards of each split, for about 0.0 GB of text" in many.lines
        assert not any("shards" in line for line in one.lines)
        assert len(one.examples.files("train")) == 1
        assert len(many.examples.files("train")) == -(-size // 10_000)
        assert sorted(many.all_rows()) == sorted(one.all_rows())
        assert one.summary() == many.summary()
        assert one.summary()["duplicates"] == 500
        assert one.summary()["reasons"]["near_duplicate"] > 50

    def test_compressed_files_and_archives_are_taken_for_more(self, tmp_path: Path) -> None:
        for name in ("a.tsv", "b.tsv.gz", "c.zip"):
            (tmp_path / name).write_bytes(bytes(100))
        files = [source_file(tmp_path / name) for name in ("a.tsv", "b.tsv.gz", "c.zip//x", "c.zip//y")]
        paths = [f"{tmp_path}/{name}" for name in ("a.tsv", "b.tsv.gz", "c.zip//x", "c.zip//y")]
        files = [dataclasses.replace(file, path=path) for file, path in zip(files, paths, strict=True)]
        assert sharding.text_bytes(files) == 100 + 400 + 400

    def test_a_number_is_taken_as_it_is(self) -> None:
        parameters = msgspec.convert({"files": ["missing"], "shards": 7}, Parameters)
        assert sharding.with_number(parameters, [], str) is parameters
