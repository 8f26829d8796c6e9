"""Paths with characters of a glob: which files a pattern matches, and paths that TensorFlow can use."""

from __future__ import annotations

import contextlib
import glob
import os
import tempfile
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.example_gen import Parameters
from bitext.components.example_gen.spans import parts
from bitext.components.shared import globs
from bitext.components.shared.files import literal_prefix, local_files, path_without_globs

NAMES = ("data [1]", "what?", "a*b", "back\\slash", "{c} ~é 語")


def corpus(folder: Path) -> Path:
    folder.mkdir()
    for name in ("day-1.tsv", "day-2.tsv", ".hidden.tsv", "other.txt"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("name", NAMES)
class TestPatterns:
    def test_the_folders_before_a_pattern_are_taken_literally(self, tmp_path: Path, name: str) -> None:
        folder = corpus(tmp_path / name)
        for pattern in ("*.tsv", "**/day-[0-9].tsv"):
            expected = [f"{folder}/day-{number}.tsv" for number in (1, 2)]
            assert local_files(f"{folder}/{pattern}") == expected
        assert literal_prefix(f"{folder}/*/x") == f"{folder}/"

    def test_a_relative_pattern(self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        corpus(tmp_path / name)
        monkeypatch.chdir(tmp_path)
        assert local_files(f"{name}/day*") == [f"{name}/day-1.tsv", f"{name}/day-2.tsv"]
        monkeypatch.chdir(tmp_path / name)
        assert local_files("day*") == ["day-1.tsv", "day-2.tsv"]

    def test_spans(self, tmp_path: Path, name: str) -> None:
        folder = corpus(tmp_path / name)
        spans = parts(Parameters(files=(f"{folder}/day-{{SPAN}}.tsv",)))
        assert [span.name for span in spans] == ["span 1", "span 2"]

    def test_tensorflow_keeps_and_restores_checkpoints(self, tmp_path: Path, name: str) -> None:
        folder = tmp_path / name
        folder.mkdir()
        with path_without_globs(folder) as path:
            for value in (1.0, 2.0, 3.0):
                checkpoint = tf.train.Checkpoint(variable=tf.Variable(value))
                manager = tf.train.CheckpointManager(checkpoint, str(path), max_to_keep=1)
                manager.save(checkpoint_number=int(value))
        assert len(list(folder.glob("*.index"))) == 1
        restored = tf.Variable(0.0)
        with path_without_globs(folder) as path:
            checkpoint = tf.train.Checkpoint(variable=restored)
            manager = tf.train.CheckpointManager(checkpoint, str(path), max_to_keep=1)
            assert manager.restore_or_initialize() is not None
        assert restored.numpy() == 3.0
        assert not path.exists() or path == folder


def test_a_folder_in_a_glob_is_still_a_glob(tmp_path: Path) -> None:
    for name in ("1", "2", "x"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.tsv").touch()
    assert local_files(f"{tmp_path}/[12]/*.tsv") == [f"{tmp_path}/1/a.tsv", f"{tmp_path}/2/a.tsv"]
    assert local_files(f"{tmp_path}/") == []


def test_a_path_without_glob_characters_stays(tmp_path: Path) -> None:
    with path_without_globs(tmp_path) as path:
        assert path == tmp_path


class TestLinksBetweenFolders:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("root/a.tsv", "root/x/b.tsv", "root/x/y/c.tsv", "outside/d.tsv"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path / "root"

    def test_loops_end_and_each_file_is_matched_once(self, folder: Path) -> None:
        """`glob` follows 40 links in sequence: with two loops it does not end."""
        for place in ("", "x", "x/y"):
            for number in range(3):
                (folder / place / f"loop{number}").symlink_to(folder, target_is_directory=True)
        (folder / "self").symlink_to("self")
        files = [f"{folder}/{name}" for name in ("a.tsv", "x/b.tsv", "x/y/c.tsv")]
        assert local_files(f"{folder}/**/*.tsv") == files
        assert local_files(f"{folder}/**/**/*.tsv") == files
        through_links = local_files(f"{folder}/**/loop*/**/*.tsv")
        assert [path.replace("/loop0", "") for path in through_links] == files
        assert local_files(f"{folder}/x/**/y/*.tsv") == files[2:]
        assert local_files(f"{folder}/**/?.tsv") == files

    def test_a_file_has_its_path_without_links(self, folder: Path) -> None:
        (folder / "0").symlink_to("x", target_is_directory=True)
        (folder / "0.tsv").symlink_to("a.tsv")
        (folder / "0-outside").symlink_to("../outside", target_is_directory=True)
        expected = ["0-outside/d.tsv", "a.tsv", "x/b.tsv", "x/y/c.tsv"]
        assert local_files(f"{folder}/**/*.tsv") == [f"{folder}/{name}" for name in expected]

    def test_the_name_of_a_link_can_be_matched(self, folder: Path) -> None:
        (folder / "link").symlink_to("x", target_is_directory=True)
        assert local_files(f"{folder}/link/*.tsv") == [f"{folder}/link/b.tsv"]
        assert local_files(f"{folder}/**/link/*.tsv") == [f"{folder}/link/b.tsv"]


NODES = st.sampled_from(["a", "b", ".h", "ab", "c.tsv", "d.tsv"])
PARTS = st.sampled_from(["**", "*", "a", "?", "[ab]*", ".h", "*.tsv", "c.tsv", "**x"])


@given(
    st.sets(st.lists(NODES, min_size=1, max_size=4).map("/".join), max_size=8),
    st.lists(PARTS, min_size=1, max_size=4).map("/".join),
)
def test_patterns_match_as_those_of_glob(names: set[str], pattern: str) -> None:
    with tempfile.TemporaryDirectory() as root:
        for name in sorted(names):
            with contextlib.suppress(FileExistsError, NotADirectoryError, IsADirectoryError):
                Path(root, name).parent.mkdir(parents=True, exist_ok=True)
                Path(root, name).touch()
        matched = glob.glob(pattern, root_dir=root, recursive=True)
        # Before `**`, `glob` does not look whether the folder exists, and returns the folder itself.
        expected = {path for path in matched if os.path.exists(f"{root}/{path}") and not path.endswith("/")}
        expected -= {""}
        found = {path.removeprefix(f"{root}/") for path in globs.expand(f"{root}/", pattern)}
        assert found == expected
