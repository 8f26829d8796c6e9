"""One pipeline run, shared by every test that only looks at it; tests that change something get a copy."""

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
    """A finished run: the folder it was started in, the lines it was given, and how the command ended."""

    folder: Path
    lines: list[str]
    done: toy.Done


def corpus() -> list[str]:
    """The made pairs, and what real corpora have: second translations, duplicates, and lines to refuse."""
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
    """The whole pipeline, run once."""
    folder = tmp_path_factory.mktemp("toy")
    lines = corpus()
    (folder / "toy.tsv").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    toy.write_config(folder, toy.config())
    return Finished(folder, lines, toy.bitext(folder, "run", "toy.yaml"))


@pytest.fixture
def copy(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished run's folder, free to be changed. What is pushed still lies in the original."""
    return Path(shutil.copytree(finished.folder, tmp_path / "copy"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MB. Only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a small disk")
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
