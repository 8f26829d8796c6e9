"""Every line of a file is a row, however it ends. CSV goes on after a quotation mark that is not closed."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bitext.components.example_gen import Parameters
from bitext.components.example_gen.formats import base, csv
from bitext.components.example_gen.sources import find_source_files, read_rows
from bitext.components.shared.errors import DataError

ENDS = (b"\n", b"\r\n", b"\r", b"\r\r\n")
PIECES = [*ENDS, b"a", b"b", b"\t", b"\t", b",", b'"', b"\xff", b"\0", b"\x0b\x0c", "é\u2028\x85".encode()]
FILES = st.lists(st.sampled_from(PIECES), max_size=40).map(b"".join)

Row = tuple[int, bytes | None, bytes | None, str]


def lines_of(data: bytes) -> list[bytes]:
    """The lines of a file: carriage returns before a line feed are a part of its line end."""
    return re.sub(rb"\r+\n", b"\n", data).splitlines()


def read(folder: Path, file_format: str, *contents: bytes, **options: Any) -> list[Row]:
    """The rows of a file, or of two aligned files: line, source, target, and why it could not be read."""
    paths = [folder / name for name in ("a", "b")[: len(contents)]]
    for path, data in zip(paths, contents, strict=True):
        path.write_bytes(data)
    names = ("files",) if len(paths) == 1 else ("source_files", "target_files")
    files = {name: (str(path),) for name, path in zip(names, paths, strict=True)}
    parameters = Parameters(format=file_format, **files, **options)
    [file] = find_source_files(parameters)
    return [
        (
            int(block.line[row]),
            *(side[row].as_py() for side in block.sides),
            block.rejected.get(row, ("",))[0],
        )
        for block in read_rows(file, parameters)
        for row in range(len(block.line))
    ]


@pytest.fixture(params=[1 << 22, 1, 5], autouse=True)
def block_bytes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BLOCK_BYTES", request.param)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


class TestTsv:
    @given(data=FILES, header=st.booleans())
    def test_every_line_is_a_row(self, folder: Path, data: bytes, header: bool) -> None:
        data = data.replace(b'"', b"'")  # a quoted file is refused
        rows = read(folder, "tsv", data, header=header)
        lines = list(enumerate(lines_of(data), 1))[header:]
        assert [row[0] for row in rows] == [number for number, _ in lines]
        for (_, source, target, _), (_, line) in zip(rows, lines, strict=True):
            assert (source, target) == (*line.split(b"\t"), None)[:2]

    @pytest.mark.parametrize("ends", [(end,) for end in ENDS] + [ENDS])
    def test_no_row_is_rejected_for_its_line_end(self, tmp_path: Path, ends: tuple[bytes, ...]) -> None:
        lines = [b"en %d\tes %d" % (n, n) + ends[n % len(ends)] for n in range(30)]
        expected = [(n + 1, b"en %d" % n, b"es %d" % n, "") for n in range(30)]
        assert read(tmp_path, "tsv", b"".join(lines)) == expected

    @pytest.mark.parametrize("cut", [b"e\rn\tes\tby", b"en\te\rs\tby", b"en\tes\tb\ry"])
    def test_a_row_with_a_carriage_return_within_gives_no_pair(self, tmp_path: Path, cut: bytes) -> None:
        lines = [b"en %d\tes %d\tby" % (n, n) for n in range(30)]
        lines[7] = cut
        rows = read(tmp_path, "tsv", b"\n".join(lines))
        if len(rows) == 31 and base.BLOCK_BYTES > 100:
            assert [row[0] for row in rows if row[3] == "carriage_return"] == [8, 9]

    @pytest.mark.parametrize("file_format", ["tsv", "csv"])
    def test_complete_rows_beside_blank_lines_are_kept(self, tmp_path: Path, file_format: str) -> None:
        comma = {"tsv": b"\t", "csv": b","}[file_format]
        lines = [b"en %d%bes %d" % (n, comma, n) for n in range(30)]
        rows = read(tmp_path, file_format, b"\n\r".join(lines))
        assert not [row for row in rows if row[3]]
        assert [row[1:3] for row in rows if row[2]] == [(b"en %d" % n, b"es %d" % n) for n in range(30)]

    def test_pieces_with_blank_lines_between_them_give_no_pair(self, tmp_path: Path) -> None:
        lines = [b"en %d\tes %d" % (n, n) for n in range(30)]
        lines[7] = b"en\te\r\rs"
        rows = read(tmp_path, "tsv", b"\n".join(lines))
        if base.BLOCK_BYTES > 100:
            assert [row[0] for row in rows if row[3] == "carriage_return"] == [8, 9, 10]


class TestParallel:
    def test_blank_pieces_on_one_side_lose_no_row(self, tmp_path: Path) -> None:
        sides = [[b"%s %d" % (side, n) for n in range(20)] for side in (b"en", b"es")]
        rows = read(tmp_path, "parallel", b"\n\r".join(sides[0]), b"\n".join(sides[1]))
        assert [row[1:3] for row in rows if row[1] or row[2]] == list(zip(*sides, strict=True))
        assert not [row for row in rows if row[3]]

    @given(data=FILES, end=st.sampled_from(ENDS), other=st.sampled_from(ENDS))
    def test_sides_with_different_line_ends_are_aligned(
        self, folder: Path, data: bytes, end: bytes, other: bytes
    ) -> None:
        lines = lines_of(data)
        rows = read(folder, "parallel", end.join([*lines, b""]), other.join([*lines, b""]))
        assert rows == [(number, line, line, "") for number, line in enumerate(lines, 1)]

    @given(sides=st.tuples(FILES, FILES))
    def test_every_line_is_a_row_or_the_files_differ(self, folder: Path, sides: tuple[bytes, bytes]) -> None:
        try:
            rows = read(folder, "parallel", *sides)
        except DataError:
            assert len(lines_of(sides[0])) != len(lines_of(sides[1]))
            return
        assert [row[0] for row in rows] == list(range(1, len(lines_of(sides[0])) + 1))

    def test_a_carriage_return_within_a_line_of_one_side_rejects_that_row_only(self, tmp_path: Path) -> None:
        sides = [[b"%s %d" % (side, n) for n in range(20)] for side in (b"en", b"es")]
        sides[0][3], sides[1][9] = b"e\rn", b"e\r\rs"
        rows = read(tmp_path, "parallel", *map(b"\n".join, sides))
        assert [(row[0], row[3]) for row in rows if row[3]] == [(n, "carriage_return") for n in (4, 5, 11)]
        assert [row[1:3] for row in rows if not row[3]] == [
            pair for n, pair in enumerate(zip(*sides, strict=True)) if n not in (3, 9)
        ]

    def test_the_error_about_the_lengths_names_carriage_returns(self, tmp_path: Path) -> None:
        with pytest.raises(
            DataError, match="1 lines of .*a end with a carriage return alone, the first is line 2"
        ):
            read(tmp_path, "parallel", b"a\nb\rc\nd", b"a\nb")


class TestCsv:
    @given(data=FILES)
    @example(data=b"\n" * 9 + b"a")
    def test_every_line_is_in_one_row(self, folder: Path, data: bytes) -> None:
        if data.count(b"\t") >= 10 and b"," not in data:  # tabs could be taken for the delimiter
            data += b","
        rows = read(folder, "csv", data)
        numbers = [row[0] for row in rows]
        assert numbers == sorted(set(numbers))
        assert set(numbers) <= set(range(1, len(lines_of(data)) + 1))
        assert numbers[:1] == [1] * bool(lines_of(data))
        if b'"' not in data:
            assert len(rows) == len(lines_of(data))

    @pytest.mark.parametrize("end", ENDS)
    @pytest.mark.parametrize("delimiter", [",", ";", "\t"])
    def test_only_the_row_with_an_open_quotation_mark_is_rejected(
        self, tmp_path: Path, end: bytes, delimiter: str
    ) -> None:
        lines = [b"en %d,es %d" % (n, n) for n in range(50)]
        lines[0], lines[10], lines[20], lines[49] = b"en,es", b'en,"es', b'"en ""x"" a,es', b'en,"es'
        lines[30] = b'"en, a' + end + b'b","es ""c"""'
        data = end.join(lines).replace(b",", delimiter.encode())
        rows = read(tmp_path, "csv", data, delimiter=delimiter, header=True)
        assert [row[0] for row in rows if row[3]] == [11, 21, 51]
        assert len(rows) == 49
        assert rows[29] == (31, f"en{delimiter} a\nb".encode(), b'es "c"', "")

    @pytest.mark.parametrize("line", [b'a",b,"c', b'a,"b', b'"a,b', b'x,"y ""z""'])
    def test_a_file_of_open_quotation_marks_is_read_in_linear_time(self, tmp_path: Path, line: bytes) -> None:
        if base.BLOCK_BYTES < 100:
            pytest.skip("one size of blocks is enough")
        seconds = []
        for lines in (10_000, 40_000):
            start = time.process_time()
            rows = read(tmp_path, "csv", b"\n".join([line] * lines))
            seconds.append(time.process_time() - start)
            assert [(row[0], row[3]) for row in rows] == [(n, "bad_quoting") for n in range(1, lines + 1)]
        assert seconds[1] < 8 * seconds[0] + 1

    def test_a_record_is_bounded(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(csv, "MAX_RECORD_BYTES", 100)
        rows = read(tmp_path, "csv", b'a,"' + b"b\n" * 60 + b'",c\nd,e')
        assert rows[0][3] == "bad_quoting"
        assert rows[-1] == (62, b"d", b"e", "")

    def test_a_header_with_a_line_break_and_a_broken_header(self, tmp_path: Path) -> None:
        options = {"header": True, "source_column": "en\nglish", "target_column": "es"}
        assert read(tmp_path, "csv", b'"en\nglish",es\na,b', **options) == [(3, b"a", b"b", "")]
        with pytest.raises(DataError, match="the quoting of the header is broken"):
            read(tmp_path, "csv", b'"en,es\na,b', **options)
