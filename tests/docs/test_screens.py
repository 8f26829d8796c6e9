"""`make docs-screens` writes what commands print into the pages, and draws the pictures."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bitext.components.artifacts.model_run import ModelRun, Validation
from docs.tools import blocks, screens

PAGE = """\
# A page

```sh
bitext run mine.yaml
```

```text
...
    step    400  epoch   0.4    1.0 min  loss 2.994  validation BLEU 16.83
...
9 nodes, 0 of them cached, in 7 min 12 s
```

The end.
"""
PRINTED = """\
Pipeline mine
    step    250  epoch   1.4    30.1 s  loss 4.1  validation BLEU  3.10
    step    500  epoch   2.8    1.0 min  loss 3.2  validation BLEU 11.00

9 nodes, 4 of them cached, in 2 min 0 s
"""


def page(folder: Path) -> Path:
    path = folder / "page.md"
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_a_block_gets_the_figures_of_the_run(tmp_path: Path) -> None:
    path = page(tmp_path)
    run, _ = blocks.parse(path)
    assert screens.rewrite(path, [(run, PRINTED)]) == []
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[6:12] == [
        "```text",
        "...",
        "    step    250  epoch   1.4    30.1 s  loss 4.1  validation BLEU  3.10",
        "...",
        "9 nodes, 4 of them cached, in 2 min 0 s",
        "```",
    ]
    assert (lines[:6], lines[12:]) == (PAGE.splitlines()[:6], PAGE.splitlines()[12:])


def test_a_line_that_is_not_printed_is_reported_and_stays(tmp_path: Path) -> None:
    path = page(tmp_path)
    run, shown = blocks.parse(path)
    (wrong,) = screens.rewrite(path, [(run, PRINTED.replace("of them cached", "cached"))])
    assert wrong.startswith(f"{shown.name}: shown: '9 nodes, 0 of them cached")
    assert path.read_text(encoding="utf-8") == PAGE


def test_the_newest_training_is_that_of_the_highest_execution(tmp_path: Path) -> None:
    for execution in (9, 10):
        training = ModelRun(tmp_path / "Trainer" / "model_run" / str(execution))
        training.path.mkdir(parents=True)
        training.append(Validation(step=execution, minutes=0.1, loss=1.0, bleu=2.0))
    assert [validation.step for validation in screens.newest_training(tmp_path).history()] == [10]


def test_the_pictures_are_drawn(tmp_path: Path) -> None:
    history = [Validation(step, minutes=0.1, loss=9.0 / step, bleu=step / 10) for step in (20, 40)]
    screens.draw_training(history, tmp_path / "training.svg")
    first = (tmp_path / "training.svg").read_bytes()
    screens.draw_training(history, tmp_path / "training.svg")
    assert (tmp_path / "training.svg").read_bytes() == first
    screens.draw_terminal("a < b\nBLEU 1 & 2\n", tmp_path / "terminal.svg")
    texts = [e.text for e in ElementTree.parse(tmp_path / "terminal.svg").iter() if e.tag.endswith("text")]
    assert texts == ["$ make run", "...", "a < b", "BLEU 1 & 2"]


def test_commit_and_machine_stand_in_one_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screens, "_git", lambda *_: "0123abc")
    path = tmp_path / "performance.md"
    path.write_text("a\n<!-- figures -->\nold\n<!-- /figures -->\nb\n", encoding="utf-8")
    screens.write_figures(path)
    text = path.read_text(encoding="utf-8")
    assert "old" not in text
    assert "| commit | 0123abc |\n" in text
    assert (text.startswith("a\n<!-- figures -->\n"), text.endswith("<!-- /figures -->\nb\n")) == (True, True)
    assert "<!-- figures -->" in (blocks.ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
