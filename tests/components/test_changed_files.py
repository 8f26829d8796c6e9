"""A file that another program changes while ExampleGen reads it is an error that names the file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from bitext.components.example_gen import Parameters
from bitext.components.example_gen.formats import base
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.example_gen.sources import find_source_files, read_rows
from bitext.components.shared.errors import DataError

ROWS = 3000


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more a\tmore b\n" * 3)


def shrink(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def replace(path: Path) -> None:
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes().swapcase())
    copy.replace(path)


def remove(path: Path) -> None:
    path.unlink()


MESSAGES = {
    grow: r"changed while it was read: it had [\d,]+ bytes, and has [\d,]+ now",
    shrink: r"changed while it was read: it had [\d,]+ bytes, and has [\d,]+ now",
    replace: "changed while it was read: its content was replaced",
    remove: "changed while it was read: it was removed",
}


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    monkeypatch.setattr(base, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(base, "BLOCK_ROWS", 50)
    for name in ("a", "b"):
        (tmp_path / name).write_text("".join(f"{name} {i}\t{name} {i}\n" for i in range(ROWS)))
    return {"source_files": [str(tmp_path / "a")], "target_files": [str(tmp_path / "b")]}


def found(corpus: dict[str, list[str]], file_format: str) -> tuple[SourceFile, Parameters]:
    if file_format != "parallel":
        corpus = {"files": corpus["target_files"]}
    tabs = {"delimiter": "\t"} if file_format == "csv" else {}
    parameters = msgspec.convert({"format": file_format, **tabs, **corpus}, Parameters)
    (file,) = find_source_files(parameters)
    return file, parameters


@pytest.mark.parametrize("change", MESSAGES)
@pytest.mark.parametrize("file_format", ["tsv", "csv", "parallel"])
@pytest.mark.parametrize("blocks", [0, 3])
class TestChanges:
    def test_the_changed_file_is_named(
        self,
        tmp_path: Path,
        corpus: dict[str, list[str]],
        change: Callable[[Path], None],
        file_format: str,
        blocks: int,
    ) -> None:
        file, parameters = found(corpus, file_format)
        rows = read_rows(file, parameters)
        for _ in range(blocks):
            next(rows)
        change(tmp_path / "b")
        with pytest.raises(DataError, match=f"{tmp_path}/b {MESSAGES[change]}") as caught:
            list(rows)
        assert caught.value.exit_code == 3
        assert caught.value.remedy


@pytest.mark.parametrize("longer", ["a", "b"])
def test_aligned_files_without_stamps_must_have_the_same_length(
    tmp_path: Path, corpus: dict[str, list[str]], longer: str
) -> None:
    file, parameters = found(corpus, "parallel")
    grow(tmp_path / longer)
    remote = SourceFile(file.index, file.label, file.path, file.target_path, None, (0, 1))
    with pytest.raises(DataError, match="a or .*b changed while they were read"):
        list(read_rows(remote, parameters))


def test_unchanged_files_are_read(corpus: dict[str, list[str]]) -> None:
    for file_format in ("tsv", "parallel"):
        rows = read_rows(*found(corpus, file_format))
        assert sum(len(block.line) for block in rows) == ROWS
