"""Fixtures: a finished run of the pipeline, and a copy of it for tests that change files."""

from __future__ import annotations

import dataclasses
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e import toy


@dataclasses.dataclass(frozen=True)
class Finished:
    """A finished run of the pipeline.

    Attributes:
      folder: the working directory of the command.
      lines: the lines of the corpus.
      result: the result of the command.
    """

    folder: Path
    lines: list[str]
    result: toy.Result


def corpus() -> list[str]:
    """Returns the lines of the toy corpus, with second translations, duplicates and malformed lines."""
    pairs = toy.sentences()
    lines = [f"{source}\t{target}" for source, target in pairs]
    lines += [f"{source}\t¡{target.removesuffix('.')}!" for source, target in pairs[::20]]
    lines += lines[5:100:30]
    lines[50:50] = [
        "a line without its other side",
        "The river.\t",
        "\tEl río.",
        "The \x07 bell.\tLa campana.",
    ]
    return lines


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Runs the pipeline once for all tests. Tests that change its files use `copy`."""
    folder = tmp_path_factory.mktemp("toy")
    lines = corpus()
    (folder / "toy.tsv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    toy.write_config(folder, toy.config())
    return Finished(folder, lines, toy.bitext(folder, "run", "toy.yaml"))


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Path:
    """Returns a copy of the finished run's folder that a test may change."""
    return Path(shutil.copytree(finished.folder, tmp_path / "copy"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mounts a disk of 6 MB. Only root can mount one; other users skip the test."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    process = subprocess.run(mount, capture_output=True, text=True, check=False)
    if process.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {process.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
