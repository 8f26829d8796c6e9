"""Reading files: for every compression and chunk size, the bytes are those of the file."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import assume, given
from hypothesis import strategies as st

from bitext.components.shared import errors, file_kinds, reading

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".xz": lzma.compress,
}


def test_every_ending_is_tested() -> None:
    assert {*reading.ENDINGS, ""} == set(COMPRESSORS)


@pytest.mark.parametrize("ending", COMPRESSORS)
@given(parts=st.lists(st.binary(max_size=50), max_size=3), size=st.integers(1, 60))
def test_chunks_are_the_content_in_the_given_size(ending: str, parts: list[bytes], size: int) -> None:
    """Compressed files may be concatenated."""
    assume(file_kinds.kind_of(b"".join(parts)) is None and (parts or not ending))
    file = io.BytesIO(b"".join(map(COMPRESSORS[ending], parts)))
    chunks = list(reading.stream_chunks(file, f"text{ending}", size, check=lambda head, path: None))
    assert b"".join(chunks) == b"".join(parts)
    assert all(len(chunk) == size for chunk in chunks[:-1])
    assert all(0 < len(chunk) <= size for chunk in chunks[-1:])


@pytest.mark.parametrize("ending", reading.ENDINGS)
@pytest.mark.parametrize(
    "damage", [lambda data: data[:-3], lambda data: b"no stream at all", lambda data: b""]
)
def test_truncated_or_foreign_stream_is_an_error(
    ending: str, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    file = io.BytesIO(damage(COMPRESSORS[ending](b"text" * 100)))
    with pytest.raises(errors.DataError, match=f"cannot read text{ending}: "):
        list(reading.stream_chunks(file, f"text{ending}", 64))


def test_files_are_found_and_read(tmp_path: Path) -> None:
    for name in ("b.txt.gz", "a.txt.gz", "other"):
        (tmp_path / name).write_bytes(gzip.compress(name.encode()))
    paths = reading.matching_files(str(tmp_path / "*.gz"))
    assert paths == [str(tmp_path / "a.txt.gz"), str(tmp_path / "b.txt.gz")]
    assert list(reading.read_chunks(paths[0], 4)) == [b"a.tx", b"t.gz"]
    assert reading.find_files(str(tmp_path / "*.gz"), "") == paths
    assert reading.matching_files(str(tmp_path / "none*")) == []
    with pytest.raises(errors.DataError, match="no file matches .*none") as caught:
        reading.find_files(str(tmp_path / "none*"), "name another")
    assert caught.value.remedy == "name another"
    with pytest.raises(errors.DataError, match="cannot read .*none"):
        list(reading.read_chunks(str(tmp_path / "none"), 4))


def test_unknown_file_system_is_an_error() -> None:
    with pytest.raises(errors.ConfigError, match="nowhere://files/a: nowhere:// is no known file system"):
        reading.matching_files("nowhere://files/a")


@given(st.lists(st.binary(min_size=1, max_size=8), max_size=10))
def test_blocks_are_whole_lines(chunks: list[bytes]) -> None:
    blocks = list(reading.whole_lines(chunks))
    assert b"".join(blocks) == b"".join(chunks)
    assert all(block.endswith((b"\n", b"\r")) for block in blocks[:-1])
    assert all(blocks)


@given(
    st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"\x0b\x0c\x85", "\u2028".encode()])),
    st.integers(1, 9),
)
def test_a_line_ends_with_lf_crlf_or_cr_wherever_chunks_end(pieces: list[bytes], size: int) -> None:
    data = b"".join(pieces)
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    lines = [line for block in reading.whole_lines(chunks) for line in reading.split_lines(block)]
    data = re.sub(rb"\r+\n", b"\n", data)  # CR CR LF is one line end
    with io.TextIOWrapper(io.BytesIO(data), encoding="latin-1") as file:  # Python's text mode
        assert lines == [line.removesuffix("\n").encode("latin-1") for line in file]


def test_many_carriage_returns_are_read_in_linear_time() -> None:
    start = time.process_time()
    data = b"\r" * 2_000_000
    assert reading.split_lines(data + b"\na") == [b"", b"a"]
    assert len(reading.split_lines(data + b"b\r\r\na")) == 2_000_002
    assert time.process_time() - start < 5


@pytest.mark.parametrize("ending", reading.ENDINGS)
def test_zero_bytes_after_a_compressed_file_are_ignored_and_other_bytes_are_an_error(ending: str) -> None:
    data = COMPRESSORS[ending](b"text")

    def read(data: bytes, size: int = 64) -> bytes:
        return b"".join(reading.stream_chunks(io.BytesIO(data), f"text{ending}", size))

    assert read(data + bytes(700)) == b"text"
    assert read(data + bytes(5), 3) == b"text"
    assert read(data + bytes(9) + data) == b"texttext"
    for garbage in (b"\n", b"garbage", bytes(9) + b"x"):
        with pytest.raises(errors.DataError, match=rf"text{ending}: other data follows"):
            read(data + garbage)
