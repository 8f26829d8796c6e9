"""Any file name can be read and is shown on one line. Files without rows are named."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from bitext.components.shared.display import path_text, shell_path
from bitext.components.shared.errors import DataError
from tests.components import phrases
from tests.components.example_gen_runs import Result, write

NAME = os.fsdecode(b"caf\xe9\n\t\x1b[31m.tsv")
SHOWN = r"caf\xe9\n\t\x1b[31m.tsv"


def corpus() -> list[str]:
    return ["\t".join(pair) for pair in phrases.corpus("fi")]


def test_a_path_is_one_line_of_text():
    assert path_text(NAME) == SHOWN
    assert path_text("añ b.tsv") == "añ b.tsv"
    assert shell_path("a b.tsv") == "'a b.tsv'"
    for name in (b"caf\xe9\n\t\x1b[31m'\\n.tsv", b"a\nb", b"a b"):
        command = ["bash", "-c", f"printf %s {shell_path(os.fsdecode(name))}"]
        assert subprocess.run(command, capture_output=True, check=True).stdout == name


def test_files_of_any_name_are_read(tmp_path):
    (tmp_path / "d").mkdir()
    write(tmp_path / "d" / NAME, [*corpus(), "no tab"])
    result = Result(tmp_path / "run", files=[str(tmp_path / "d" / "*")])
    assert {id_.rpartition(":")[0] for id_, _, _ in result.all_rows()} == {SHOWN}
    [reject] = [row for row in result.rejects() if row["reason"] == "missing_column"]
    assert reject["file"] == f"{tmp_path}/d/{SHOWN}"
    assert result.summary()["files"] == [f"{tmp_path}/d/{SHOWN}"]


def test_the_error_of_a_file_with_a_line_feed_in_its_name_is_whole(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / NAME).write_bytes(b"\x1f\x8b\x08" + bytes(100))
    with pytest.raises(DataError) as error:
        Result(tmp_path / "run", files=[str(tmp_path / "d" / "*")])
    assert str(error.value) == f"cannot read {tmp_path}/d/{SHOWN}: it is gzip data, not text"
    assert error.value.remedy == (
        f"rename it, with the ending .gz; or decompress it: zcat $'{tmp_path}/d/{SHOWN}'"
    )


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
def test_an_empty_compressed_file_is_damaged(tmp_path: Path, ending: str):
    write(tmp_path / "a.tsv", corpus())
    (tmp_path / f"b.tsv{ending}").touch()
    with pytest.raises(DataError, match=f"b.tsv{ending}: the compressed stream ends too early"):
        Result(tmp_path / "run", files=[str(tmp_path / "*.tsv*")])


def test_an_empty_file_is_named(tmp_path):
    write(tmp_path / "a.tsv", corpus())
    (tmp_path / "b.tsv").touch()
    result = Result(tmp_path / "run", files=[str(tmp_path / "*.tsv")])
    assert [line for line in result.lines if "no rows" in line] == [f"warning: no rows in {tmp_path}/b.tsv"]
