"""Memory does not grow with what compressed bytes, lines, rejected rows and duplicates stand for."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import json
import lzma
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bitext.components import artifacts
from bitext.components.artifacts.rejects import Reject
from bitext.components.component import Context
from bitext.components.example_gen import GoldenParameters, golden, out_of_step
from bitext.components.example_gen.filters import REASONS
from bitext.components.example_gen.formats import base, tsv
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.example_gen.rejecting import in_order, pack_rejects
from bitext.components.shared import decompression, errors, reading
from bitext.components.shared.packing import pack, unpack
from bitext.components.statistics_gen import requests
from bitext.components.translation import lines
from bitext.components.translation.bulk import shards
from tests.components.example_gen_runs import Result
from tests.components.test_reading import COMPRESSORS

KIB = 1 << 10
COMPRESSED = {ending: compress for ending, compress in COMPRESSORS.items() if ending}
LIMIT = 20


@pytest.fixture
def short_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_LINE_BYTES", LIMIT)


class TestDecompression:
    @pytest.mark.parametrize("ending", COMPRESSED)
    def test_pieces_are_small(self, ending: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(decompression, "PIECE_BYTES", 100 * KIB)
        data = COMPRESSED[ending](bytes(20_000 * KIB)) * 2
        pieces = list(decompression.decompressed([data], f"a{ending}"))
        assert sum(map(len, pieces)) == 40_000 * KIB
        assert max(map(len, pieces)) <= 128 * KIB  # of Zstandard, a block

    @pytest.mark.parametrize("ending", COMPRESSED)
    @given(parts=st.lists(st.binary(max_size=300), min_size=1, max_size=3), size=st.integers(1, 9))
    def test_no_byte_is_lost_if_pieces_are_tiny(self, ending: str, parts: list[bytes], size: int) -> None:
        data = b"".join(map(COMPRESSED[ending], parts))
        chunks = (data[start : start + size] for start in range(0, len(data), size))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(decompression, "PIECE_BYTES", 3)
            assert b"".join(decompression.decompressed(chunks, f"a{ending}")) == b"".join(parts)

    @pytest.mark.parametrize("checksum", [False, True])
    @pytest.mark.parametrize("content_size", [False, True])
    @pytest.mark.parametrize("size", [0, 1, 300, 400 * KIB])
    @pytest.mark.parametrize("random", [False, True])
    def test_zstandard_frames_of_all_kinds(
        self, checksum: bool, content_size: bool, size: int, random: bool
    ) -> None:
        content = np.random.default_rng(1).bytes(size) if random else b"ab" * (size // 2)
        compressor = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=content_size)
        frame = compressor.compress(content)
        skippable = b"\x51\x2a\x4d\x18\x05\x00\x00\x00hello" + b"\x50\x2a\x4d\x18\x00\x00\x00\x00"
        for data in (frame, skippable + frame, frame + skippable + frame + bytes(8)):
            for step in (7, 4 * KIB, len(data)):
                chunks = (data[start : start + step] for start in range(0, len(data), step))
                expected = content * data.count(frame)
                assert b"".join(decompression.decompressed(chunks, "a.zst")) == expected
        with pytest.raises(decompression.ERRORS):
            list(decompression.decompressed([frame[:-1]], "a.zst"))

    def test_a_window_that_is_too_large_is_named_with_the_remedy(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        frame = b"\x28\xb5\x2f\xfd\x00\xa8\x01\x00\x00"  # window: 2 GiB; one empty block
        with pytest.raises(errors.DataError, match="window of 2,048 MiB, more than 128 MiB") as caught:
            list(reading.stream_chunks(io.BytesIO(frame), "a b.zst", 64))
        assert "zstd -dc --long=31 'a b.zst' | zstd > NEW.zst" in caught.value.remedy
        monkeypatch.setattr(decompression, "MAX_WINDOW_BYTES", KIB)
        monkeypatch.setattr(decompression, "_OTHER_XZ_BYTES", KIB)
        with pytest.raises(errors.DataError, match="needs a dictionary of more than 0 MiB") as caught:
            list(reading.stream_chunks(io.BytesIO(lzma.compress(b"text", preset=1)), "a.xz", 64))
        assert "xzcat a.xz | xz -6 > NEW.xz" in caught.value.remedy


def reference_lines(data: bytes) -> list[bytes]:
    """The lines of a text, with line ends."""
    return re.findall(rb"[^\r\n]*(?:\r+\n|\r|\n)|[^\r\n]+$", data)


class TestLines:
    @given(
        st.lists(
            st.sampled_from([b"a", b"b" * 9, b"c" * 19, "é€😀".encode(), b"\n", b"\r", b"\r\n", b"x" * 70]),
            max_size=30,
        ).map(b"".join),
        st.integers(1, 50),
    )
    def test_long_lines_are_cut_and_no_line_is_lost(self, data: bytes, size: int) -> None:
        chunks = [data[start : start + size] for start in range(0, len(data), size)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(reading, "MAX_LINE_BYTES", LIMIT)
            blocks = list(reading.line_blocks(chunks))
        assert sum(block.size for block in blocks) == len(data)
        assert all(block.text for block in blocks)
        read = reference_lines(b"".join(block.text for block in blocks))
        expected = reference_lines(data)
        assert len(read) == len(expected)
        for line, whole in zip(read, expected, strict=True):
            text, end = line.rstrip(b"\r\n"), whole[len(whole.rstrip(b"\r\n")) :]
            assert line == text + end
            assert whole.startswith(text)
            assert line == whole or LIMIT + 3 < len(text) <= LIMIT + 8
            assert line == whole or text.decode()  # cut between characters
        # A block is as long as what was read for it.
        ends = list(itertools.accumulate(block.size for block in blocks))
        assert all(data[end - 1 : end] in (b"\r", b"\n") for end in ends[:-1])

    @pytest.mark.parametrize("byte", [b"a", b"\r"])
    def test_one_line_without_an_end_is_not_held(self, byte: bytes, short_lines: None) -> None:
        held = 0

        def chunks() -> Iterator[bytes]:
            for _ in range(1000):
                yield byte * 100

        for block in reading.line_blocks(chunks()):
            held = max(held, len(block.text))
        assert held <= 200 + LIMIT

    def test_requests_that_are_too_long_are_damaged(self, tmp_path: Path, short_lines: None) -> None:
        path = tmp_path / "log.txt"
        path.write_bytes(b"short\n" + b"x" + b" " * 90 + b"\nlast\n")
        counts = requests.LineCounts(str(path))
        assert list(requests.read_texts(str(path), counts)) == [["short", "last"]]
        assert (counts.damaged, counts.first_damaged) == (1, 2)
        assert "longer than 20 bytes" in counts.reason


class TestTranslation:
    DATA = b"one\n" + b"x" * 99 + b"\nthree\r" + "é".encode() * 50 + b"\r\nfive\n"

    def test_a_line_that_is_too_long_becomes_empty_and_is_reported(self, short_lines: None) -> None:
        for size in (3, 1000):
            chunks = [self.DATA[start : start + size] for start in range(0, len(self.DATA), size)]
            warnings: list[str] = []
            blocks = lines.check_blocks(lines.read_blocks(chunks), None, warnings.append)
            assert [line for block in blocks for line in block] == [b"one", b"", b"three", b"", b"five"]
            assert warnings == [
                f"warning: line {number} is longer than 20 bytes; its translation is an empty line"
                for number in (2, 4)
            ]

    def test_many_lines_are_counted(self, short_lines: None) -> None:
        warnings: list[str] = []
        list(lines.check_blocks([[b"x" * 99] * 12], None, warnings.append))
        assert len(warnings) == 11
        assert warnings[-1] == "warning: 12 lines are too long"

    def test_shards_have_the_same_lines(self, tmp_path: Path, short_lines: None) -> None:
        path = tmp_path / "a.txt"
        path.write_bytes(self.DATA * 3)
        for size in (3, 40, 1000):
            chunks = [path.read_bytes()[start : start + size] for start in range(0, len(self.DATA) * 3, size)]
            warnings: list[str] = []
            divided = list(shards.divide(chunks, path, warnings.append))
            assert len(warnings) == 6
            assert sum(shard.size for shard in divided) == path.stat().st_size
            read = [line for shard in divided for line in shards.read(shard, path)[1]]
            assert read == [b"one", b"", b"three", b"", b"five"] * 3


def pairs(count: int, prefix: str = "") -> list[str]:
    return [f"{prefix}{i} a\t{prefix}{i} b" for i in range(count)]


def contents(file_format: str, rows: list[str]) -> dict[str, bytes]:
    """The files of a corpus with these rows."""
    if file_format == "parallel":
        sides = zip(*(row.split("\t") for row in rows), strict=True)
        return {f"a.{n}": ("\n".join(side) + "\n").encode() for n, side in enumerate(sides)}
    separator = "," if file_format == "csv" else "\t"
    return {"a": ("\n".join(row.replace("\t", separator) for row in rows) + "\n").encode()}


def parameters(file_format: str, root: Path, files: dict[str, bytes]) -> dict:
    paths = []
    for name, data in files.items():
        (root / name).write_bytes(data)
        paths.append(str(root / name))
    if file_format == "parallel":
        return {"format": "parallel", "source_files": paths[:1], "target_files": paths[1:]}
    return {"format": file_format, "files": paths}


EVERYTHING = {"max_reject_share": 1.0, "span": {"number": 1}}


@pytest.mark.usefixtures("short_lines")
@pytest.mark.parametrize("block_bytes", [7, 50, 1 << 22])
@pytest.mark.parametrize("file_format", ["tsv", "csv", "parallel"])
class TestRowsThatAreTooLong:
    @pytest.fixture(autouse=True)
    def blocks(self, block_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(base, "BLOCK_BYTES", block_bytes)
        monkeypatch.setattr(base, "MOST_BLOCK_BYTES", 4 * block_bytes)
        monkeypatch.setattr(tsv, "MOST_BLOCK_LINES", 3)

    @pytest.mark.parametrize(
        "row", ["x" * 99 + "\tb", "a\t" + "y" * 99, "é" * 60 + "\t" + "é" * 70, 'a "' + "x" * 40 + '\t"']
    )
    def test_it_is_rejected_with_its_line(self, tmp_path: Path, file_format: str, row: str) -> None:
        rows = [*pairs(4), row, *pairs(3, "z"), row]
        files = contents(file_format, rows)
        result = Result(tmp_path / "run", **EVERYTHING, **parameters(file_format, tmp_path, files))
        rejects = result.rejects()
        assert [(r["line"], r["reason"]) for r in rejects] == [(5, "row_too_long"), (9, "row_too_long")]
        assert rejects[0]["file"] == str(tmp_path / next(iter(files)))
        assert rejects[0]["detail"] == "over 20 bytes in a line"
        assert rejects[0]["text"].endswith("...")
        assert sorted(row[1] for row in result.all_rows()) == sorted(
            row.split("\t")[0] for row in pairs(4) + pairs(3, "z")
        )
        ids = {row[1]: row[0].rpartition(":")[2] for row in result.all_rows()}
        assert ids["z2 a"] == "8"

    def test_in_given_splits_and_in_the_golden_set(self, tmp_path: Path, file_format: str) -> None:
        row = "x" * 99 + "\t" + "y" * 99
        files = parameters(file_format, tmp_path, contents(file_format, [*pairs(4), row, *pairs(3, "z")]))
        given = {name: value for name, value in files.items() if name != "format"}
        result = Result(
            tmp_path / "run",
            format=file_format,
            splits={"train": given, "eval": {name: [] for name in given}, "test": {}},
            drop_duplicates="train",
            **EVERYTHING,
        )
        assert result.summary()["splits"]["train"] == 7
        assert result.summary()["reasons"] == {"row_too_long": 1}
        context = Context(tmp_path, tmp_path, lambda: None, say=str)
        examples, rejects = (
            kind(tmp_path / kind.__name__) for kind in (artifacts.Examples, artifacts.Rejects)
        )
        examples.path.mkdir()
        rejects.path.mkdir()
        golden.run(
            msgspec.convert({**files, "golden": given}, GoldenParameters),
            context,
            examples=examples,
            rejects=rejects,
        )
        assert [(row.line, row.reason) for row in rejects.rows()] == [(5, "row_too_long")]
        assert rejects.summary().accepted == 7


class TestCsv:
    def test_a_field_may_be_as_long_as_a_row(self, tmp_path: Path) -> None:
        long = "word " * 40_000
        (tmp_path / "a.csv").write_text(f"{long}end,b\n")
        result = Result(
            tmp_path / "run", format="csv", files=[str(tmp_path / "a.csv")], max_characters=500_000,
            max_length_ratio=1e9, cleaning={"level": "off"}, **EVERYTHING,
        )  # fmt: skip
        assert result.rejects() == []
        assert len(result.all_rows()[0][1]) == 200_003

    @pytest.mark.usefixtures("short_lines")
    def test_a_long_line_within_quotes(self, tmp_path: Path) -> None:
        (tmp_path / "a.csv").write_text('a,b\n"c\n' + "x" * 99 + '",d\ne,f\n')
        result = Result(tmp_path / "run", format="csv", files=[str(tmp_path / "a.csv")], **EVERYTHING)
        reasons = [(row["line"], row["reason"]) for row in result.rejects()]
        assert reasons == [(2, "bad_quoting"), (3, "row_too_long")]
        assert sorted(row[1] for row in result.all_rows()) == ["a", "e"]


@pytest.mark.parametrize("block_bytes", [7, 1 << 22])
def test_a_long_line_with_carriage_returns_within_keeps_the_line_numbers(
    tmp_path: Path, block_bytes: int, short_lines: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "BLOCK_BYTES", block_bytes)
    long = "\r".join(["piece"] * 9)
    files = {"a": f"one\n{long}\nthree\nf\rg\n{'x' * 50}\n".encode(), "b": b"1\n2\n3\n4\r5\n6\n"}
    for name in files:
        files[name] += b"end\n" * 20
    result = Result(tmp_path / "run", **EVERYTHING, **parameters("parallel", tmp_path, files))
    rejected = [(row["line"], row["reason"]) for row in result.rejects()]
    assert rejected == [(2, "row_too_long"), (14, "row_too_long")]
    lines_of_examples = {row[1]: int(row[0].rpartition(":")[2]) for row in result.all_rows()}
    assert lines_of_examples == {"one": 1, "three": 11, "f": 12, "g": 13, "end": 15}


class TestBlocks:
    @given(st.lists(st.integers(0, 40), max_size=60))
    def test_rows_are_gathered_in_small_blocks(self, sizes: list[int]) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(base, "BLOCK_ROWS", 5)
            patch.setattr(base, "MOST_BLOCK_BYTES", 60)
            blocks = list(base.in_blocks(sizes, int))
        assert [size for block in blocks for size in block] == sizes
        assert all(block and len(block) <= 5 and sum(block[:-1]) < 60 for block in blocks)

    @given(
        st.lists(st.integers(-(2**60), 2**60)),
        st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=5)),
        st.lists(st.lists(st.floats(width=32, allow_nan=False), min_size=2, max_size=2)),
    )
    def test_packed_columns_are_the_same(
        self, numbers: list[int], texts: list[str], floats: list[list[float]]
    ) -> None:
        columns = {
            "n": np.array(numbers, np.int64),
            "t": pa.array(["", *texts], pa.string())[1:],
            "f": np.array(floats, np.float32).reshape(-1, 2),
        }
        unpacked = unpack(pack(columns))
        assert unpacked["n"].tolist() == numbers
        assert unpacked["t"].to_pylist() == texts
        assert unpacked["f"].tolist() == columns["f"].tolist()
        assert unpacked["f"].shape == columns["f"].shape

    def test_equal_rows_take_hardly_any_memory(self) -> None:
        rows = 100_000
        columns = {
            "line": np.arange(7, rows + 7),
            "source": pa.array(["Hello world."] * rows),
            "octaves": np.zeros(rows, np.float32),
        }
        assert len(pack(columns)) < 2000

    @given(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 99)), unique=True), st.integers(1, 9))
    def test_rejected_rows_are_merged_in_order(self, places: list[tuple[int, int]], blocks: int) -> None:
        files = [SourceFile(i, f"f{i}", f"f{i}", None, None, (0, 1)) for i in range(3)]
        by_block: dict[tuple[int, int], list[Reject]] = {}
        for number, (file, line) in enumerate(places):
            reject = Reject(f"f{file}", line, REASONS[line % len(REASONS)], "détail", "text\n" * (line % 3))
            by_block.setdefault((file, number % blocks), []).append(reject)
        packed = [
            pack_rejects(file, sorted(rows, key=lambda row: row.line)) for (file, _), rows in by_block.items()
        ]
        merged = list(in_order(packed, files))
        assert [(row.file, row.line) for row in merged] == [(f"f{f}", line) for f, line in sorted(places)]
        assert set(merged) == {row for rows in by_block.values() for row in rows}


def test_a_large_file_is_judged_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [f"{'x' * (3 + i * 7 % 40)}{i}.\t{'y' * (3 + i * 7 % 40)}{i}." for i in range(3000)]
    shifted = [row.split("\t") for row in rows[1000:2000]]
    rows[1000:2000] = [f"{a[0]}\t{b[1]}" for a, b in zip(shifted, shifted[7:] + shifted[:7], strict=True)]
    files = parameters("tsv", tmp_path, contents("tsv", rows))
    whole = Result(tmp_path / "whole", max_out_of_step_share=1.0, **EVERYTHING, **files).lines
    assert sum("look out of step" in line for line in whole) == 1
    monkeypatch.setattr(base, "BLOCK_BYTES", 2000)
    monkeypatch.setattr(out_of_step, "MOST_GROUPS", 70)
    parts = Result(tmp_path / "parts", max_out_of_step_share=1.0, **EVERYTHING, **files).lines
    found = [line for line in parts if "look out of step" in line]
    assert 1 <= len(found) <= 3
    assert all(
        1001 <= int(number.replace(",", "")) <= 2000 for number in re.findall(r"lines ([\d,]+)", str(found))
    )


MEASURE = """
import json, resource, sys
from pathlib import Path
from tests.components.example_gen_runs import Result

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = Result(Path(sys.argv[1]) / "run", **json.loads(sys.argv[2]))
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"summary": result.summary(), "mebibytes": (after - before) / 1024}))
"""


def measured(root: Path, **options) -> dict:
    """Runs ExampleGen in a process of its own. Returns its summary and by how much its memory grew."""
    command = [sys.executable, "-c", MEASURE, str(root), json.dumps({**EVERYTHING, **options})]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=3000, check=True)
    return json.loads(finished.stdout.splitlines()[-1])


def bomb(path: Path, compress: Callable[[bytes], bytes], block: bytes, count: int) -> str:
    """Writes a file of equal members of `block`, each compressed on its own."""
    member = compress(block)
    with path.open("wb") as file:
        for _ in range(count):
            file.write(member)
    return str(path)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("ending", COMPRESSED)
def test_two_gibibytes_of_one_row_need_little_memory(tmp_path: Path, ending: str) -> None:
    block = b"Hello world, this is a sentence. \tHola mundo, esto es una frase.\n" * (1 << 20)
    path = bomb(tmp_path / f"a.tsv{ending}", COMPRESSED[ending], block, (2 << 30) // len(block) + 1)
    result = measured(tmp_path, files=[path])
    assert result["summary"]["rows"] * 65 > 2 << 30
    assert result["summary"]["accepted"] == 1
    assert result["mebibytes"] < 700


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("file_format", ["tsv", "csv", "parallel"])
def test_a_line_of_two_gibibytes_needs_little_memory(tmp_path: Path, file_format: str) -> None:
    for name in ("a", "b"):
        with gzip.open(tmp_path / f"{name}.gz", "wb", 1) as file:
            file.write(b'one,1\tx\n"')
            for _ in range(2100):
                file.write(b"a" * (1 << 20))
            file.write(b"\nlast,2\ty\n")
    files = [[str(tmp_path / f"{name}.gz")] for name in ("a", "b")]
    options = {"files": files[0]}
    if file_format == "parallel":
        options = {"source_files": files[0], "target_files": files[1]}
    result = measured(tmp_path, format=file_format, **options)
    assert result["summary"]["reasons"] == {"row_too_long": 1}
    assert result["summary"]["rows"] == 3
    assert result["mebibytes"] < 400


def test_a_bomb_of_rows_needs_little_memory(tmp_path: Path) -> None:
    """The same as the slow test, of 68 MB."""
    block = b"Hello world, this is a sentence. \tHola mundo, esto es una frase.\n" * (1 << 17)
    path = bomb(tmp_path / "a.tsv.gz", gzip.compress, block, 8)
    result = measured(tmp_path, files=[path])
    assert result["summary"]["rows"] == 8 << 17
    assert result["summary"]["accepted"] == 1
    assert result["mebibytes"] < 300


def test_a_bomb_of_blank_lines_needs_little_memory(tmp_path: Path) -> None:
    path = bomb(tmp_path / "a.tsv.bz2", bz2.compress, b"\n" * 100_000, 2)
    result = measured(tmp_path, files=[path])
    assert result["summary"]["reasons"] == {"empty_side": 200_000}
    assert result["mebibytes"] < 300
