"""Files as bytes: however they are compressed and cut, no byte is lost, added or moved."""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.shared import errors, reading

COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}


def test_every_ending_is_tried() -> None:
    assert {*reading.ENDINGS, ""} == set(COMPRESSORS)


@pytest.mark.parametrize("ending", COMPRESSORS)
@given(parts=st.lists(st.binary(max_size=50), max_size=3), size=st.integers(1, 60))
def test_pieces_are_the_content_by_the_size_asked_for(ending: str, parts: list[bytes], size: int) -> None:
    """Compressed files may be concatenated."""
    file = io.BytesIO(b"".join(map(COMPRESSORS[ending], parts)))
    pieces = list(reading.pieces_of(file, f"text{ending}", size))
    assert b"".join(pieces) == b"".join(parts)
    assert all(len(piece) == size for piece in pieces[:-1])
    assert all(0 < len(piece) <= size for piece in pieces[-1:])


@pytest.mark.parametrize("ending", reading.ENDINGS)
@pytest.mark.parametrize("damage", [lambda data: data[:-3], lambda data: b"no stream at all"])
def test_what_is_cut_short_or_no_stream_is_an_error(
    ending: str, damage: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    file = io.BytesIO(damage(COMPRESSORS[ending](b"text" * 100)))
    with pytest.raises(errors.DataError, match=f"cannot read text{ending}: "):
        list(reading.pieces_of(file, f"text{ending}", 64))


def test_a_file_is_found_and_read_as_its_stream_is(tmp_path: Path) -> None:
    for name in ("b.txt.gz", "a.txt.gz", "other"):
        (tmp_path / name).write_bytes(gzip.compress(name.encode()))
    found = reading.find(str(tmp_path / "*.gz"))
    assert found == [str(tmp_path / "a.txt.gz"), str(tmp_path / "b.txt.gz")]
    assert list(reading.chunks(found[0], 4)) == [b"a.tx", b"t.gz"]
    assert reading.find(str(tmp_path / "none*")) == []
    with pytest.raises(errors.DataError, match="cannot read .*none"):
        list(reading.chunks(str(tmp_path / "none"), 4))


def test_what_no_file_system_knows_is_an_error() -> None:
    with pytest.raises(errors.DataError, match="cannot look up nowhere://files/a: "):
        reading.find("nowhere://files/a")


@given(st.lists(st.binary(min_size=1, max_size=8), max_size=10))
def test_blocks_are_whole_lines(pieces: list[bytes]) -> None:
    blocks = list(reading.whole_lines(pieces))
    assert b"".join(blocks) == b"".join(pieces)
    assert all(block.endswith(b"\n") for block in blocks[:-1])
    assert all(blocks)
