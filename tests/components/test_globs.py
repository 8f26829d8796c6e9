"""Paths with characters of a glob: which files a pattern matches, and paths that TensorFlow can use."""

from __future__ import annotations

from pathlib import Path

import pytest
import tensorflow as tf

from bitext.components.example_gen import Parameters
from bitext.components.example_gen.spans import parts
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
