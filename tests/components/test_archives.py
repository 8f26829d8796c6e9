"""Members of ZIP and tar archives are read as files are; damaged, encrypted and huge ones are refused."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import subprocess
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import zstandard

from bitext.components.example_gen import ExampleGen, Parameters
from bitext.components.example_gen.sources import find_source_files, read_rows
from bitext.components.shared import archives, reading
from bitext.components.shared.errors import DataError

SOURCE = "".join(f"Sentence {n}.\n" for n in range(40)).encode()
TARGET = "".join(f"Oración {n}.\n" for n in range(40)).encode()
MEMBERS = {"README": b"A corpus.\n", "LICENSE": b"CC-BY\n", "c/X.en-es.en": SOURCE, "c/X.en-es.es": TARGET}
ENDINGS = [".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst"]
COMPRESSORS = {
    "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.ZstdCompressor().compress
}  # fmt: skip


def archive(path: Path, members: dict[str, bytes] = MEMBERS) -> str:
    """Writes an archive of the kind that the name says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
            for name, data in members.items():
                opened.writestr(name, data)
        return str(path)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            opened.addfile(info, io.BytesIO(data))
    ending = path.suffix[1:].replace("t", "", 1) if path.suffix.startswith(".t") else path.suffix[1:]
    path.write_bytes(COMPRESSORS.get(ending, bytes)(buffer.getvalue()))
    return str(path)


def rows_of(**options) -> list[tuple[int, bytes, bytes]]:
    parameters = Parameters(**options)
    return [
        (int(block.line[row]), *(side[row].as_py() for side in block.sides))
        for file in find_source_files(parameters)
        for block in read_rows(file, parameters)
        for row in range(len(block.line))
    ]


@pytest.mark.parametrize("ending", ENDINGS)
def test_aligned_files_of_an_archive(ending: str, tmp_path: Path) -> None:
    path = archive(tmp_path / f"en-es.txt{ending}")
    expected = [
        (n, *pair) for n, pair in enumerate(zip(SOURCE.splitlines(), TARGET.splitlines(), strict=True), 1)
    ]
    for member in ("c/X.en-es.", "*.en-es.", "c/?."):
        if member == "c/?.":
            member = "c/?.en-??."
        options = {"source_files": (f"{path}//{member}en",), "target_files": (f"{path}//{member}es",)}
        assert rows_of(format="parallel", **options) == expected
    globs = {"source_files": (f"{tmp_path}/*{ending}//*.en",), "target_files": (f"{path}//*.es",)}
    assert rows_of(format="parallel", **globs) == expected
    (file,) = find_source_files(Parameters(format="parallel", **globs))
    assert (file.path, file.label) == (f"{path}//c/X.en-es.en", "X.en-es.en")
    assert file.stamps[0] == reading.file_stamp(path)
    assert ExampleGen().external_inputs(Parameters(format="parallel", **globs)) == [
        f"{tmp_path}/*{ending}",
        path,
    ]


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_compressed_table_in_an_archive(ending: str, tmp_path: Path) -> None:
    path = archive(tmp_path / f"a{ending}", {"a.tsv.gz": gzip.compress(b"Go.\tVe.\n")})
    assert rows_of(files=(f"{path}//a.tsv.gz",)) == [(1, b"Go.", b"Ve.")]


def test_archives_that_other_programs_wrote(tmp_path: Path) -> None:
    for name in ("X.en", "X.es"):
        (tmp_path / name).write_bytes(SOURCE)
    subprocess.run(["tar", "-czf", "a.tar.gz", "X.en", "X.es"], cwd=tmp_path, check=True)
    shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path)
    for path in ("a.tar.gz", "b.zip"):
        sides = {
            f"{side}_files": (f"{tmp_path}/{path}//X.e{end}",)
            for side, end in (("source", "n"), ("target", "s"))
        }
        assert len(rows_of(format="parallel", **sides)) == 40


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_missing_member_names_those_that_exist(ending: str, tmp_path: Path) -> None:
    path = archive(tmp_path / f"a{ending}")
    with pytest.raises(
        DataError, match="no member of .* matches x.tsv; its members: README, LICENSE, c/X"
    ) as caught:
        rows_of(files=(f"{path}//x.tsv",))
    assert caught.value.remedy == "correct the part of the path after //"


@pytest.mark.parametrize("ending", ENDINGS)
def test_a_truncated_archive_is_refused(ending: str, tmp_path: Path) -> None:
    path = Path(archive(tmp_path / f"a{ending}", {"a.tsv": b"Go.\tVe.\n" * 9999}))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(DataError, match=r"cannot read .*/a\."):
        rows_of(files=(f"{path}//a.tsv",))
    path.write_bytes(b"not an archive")
    with pytest.raises(DataError, match=r"cannot read .*/a\."):
        rows_of(files=(f"{path}//a.tsv",))


def test_a_damaged_or_encrypted_member_is_named(tmp_path: Path) -> None:
    path = Path(archive(tmp_path / "a.zip", {"a.tsv": b"Go.\tVe.\n" * 999}))
    data = path.read_bytes()
    path.write_bytes(data[:50] + bytes([data[50] ^ 0xFF]) + data[51:])
    with pytest.raises(DataError, match="cannot read .*/a.zip//a.tsv: "):
        rows_of(files=(f"{path}//a.tsv",))
    flags = data.index(b"PK\x01\x02") + 8
    path.write_bytes(data[:6] + b"\x01" + data[7:flags] + b"\x01" + data[flags + 1 :])
    with pytest.raises(DataError, match="cannot read .*/a.zip//a.tsv: it is encrypted"):
        rows_of(files=(f"{path}//a.tsv",))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as opened:
        opened.writestr("a.tsv", b"Go.\tVe.\n")
    with pytest.raises(DataError, match="its compression is bzip2, not Deflate") as caught:
        rows_of(files=(f"{path}//a.tsv",))
    assert "unpack " in caught.value.remedy


@pytest.mark.parametrize("ending", [".zip", ".tar.gz"])
def test_the_memory_is_limited_whatever_a_member_expands_to(ending: str, tmp_path: Path) -> None:
    path = archive(tmp_path / f"a{ending}", {"a.tsv": b"Go.\tVe.\n" * (6 << 20)})
    tracemalloc.start()
    size = sum(len(chunk) for chunk in reading.read_chunks(f"{path}//a.tsv", 1 << 20))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 48 << 20
    assert peak < 12 << 20


def test_a_tar_header_of_many_bytes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    path.write_bytes(info.tobuf(tarfile.GNU_FORMAT) + bytes(2048))
    with pytest.raises(DataError, match="an extended header of 1,099,511,627,776 bytes"):
        rows_of(files=(f"{path}//a.tsv",))


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("a.zip//b.en", ("a.zip", "b.en")),
        ("gs://bucket/a.tar.gz//c/b.en", ("gs://bucket/a.tar.gz", "c/b.en")),
        ("A.ZIP//b", ("A.ZIP", "b")),
        ("data//mine.tsv", None),
        ("gs://bucket//a.tsv", None),
        ("a.zip", None),
        ("a.zip/b.tsv", None),
    ],
)
def test_paths_of_members(path: str, parts: tuple[str, str] | None) -> None:
    assert archives.split_path(path) == parts
    assert archives.container(path) == (parts[0] if parts else path)
