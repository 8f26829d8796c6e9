"""Blocks of rows are kept in files in this process, and returned as they are on an engine."""

from __future__ import annotations

import copy
from pathlib import Path

from bitext.components.shared.spilling import Storage, read


def test_blocks_are_in_one_file_for_each_copy(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "there"
    first = Storage(folder)
    second = copy.copy(first)
    blocks = [b"one", b"", b"three"]
    stored = [first.write(block) for block in blocks] + [second.write(block) for block in blocks]
    assert [read(place) for place in stored] == blocks * 2
    assert len(list(folder.iterdir())) == 2


def test_without_a_folder_a_block_is_returned(tmp_path: Path) -> None:
    block = b"one"
    assert Storage(None).write(block) is block
    assert read(block) is block
