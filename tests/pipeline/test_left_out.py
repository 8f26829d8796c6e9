"""`bitext inspect` shows which training pairs Transform will leave out."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitext.components.artifacts import Examples
from bitext.pipeline.config import PipelineConfig, load
from bitext.pipeline.records import Execution, Run, State, StoredArtifact
from bitext.pipeline.reports import left_out
from bitext.pipeline.store import Store
from tests.components.test_corpora import Rows, part

CONFIG = """
name: toy
example_gen:
  corpora:
    - {name: a, files: [a.tsv]}
    - {name: b, files: [b.tsv], weight: 2, cleaning: strict}
"""


def recorded(folder: Path, **corpora: Rows) -> PipelineConfig:
    """Records a run of ExampleGen with these training pairs."""
    (folder / "toy.yaml").write_text(CONFIG, encoding="utf-8")
    config = load(folder / "toy.yaml", [f"root={folder / 'root'}"])
    store = Store(config.metadata, folder / "root", "toy")
    run = Run("r1", "toy", str(folder / "root"), State.COMPLETE, 1.0, 2.0)
    store.put_run(run)
    examples = [part(folder / name, name, train=rows) for name, rows in corpora.items()]
    stored = tuple(StoredArtifact(Examples.TYPE_NAME, str(e.path), "d", {**e.properties}) for e in examples)
    outputs = {"examples": stored}
    store.put_execution(Execution("ExampleGen", "r1", State.COMPLETE, 1.0, 2.0, outputs=outputs), run)
    return config


@pytest.mark.parametrize(
    ("limit", "more"), [(1, ["    and 1 more (--limit 0 shows all)"]), (2, []), (None, [])]
)
def test_pairs_of_an_earlier_corpus(tmp_path: Path, limit: int | None, more: list[str]) -> None:
    config = recorded(
        tmp_path, a=[("Go.", "Ve."), ("Run!", "¡Corre!")], b=[("go", "ve"), ("run", "corre"), ("No", "no")]
    )
    lines = left_out.render(config, limit).splitlines()
    assert lines[:5] == [
        "Transform will choose the training pairs:",
        "b: 2 training pairs left out: near_duplicate 2",
        "b: weight 2: its only training pair is used twice",
        "",
        "near_duplicate: 2 training pairs",
    ]
    assert lines[5] == "    b:0: equals a row of an earlier span or corpus (near_duplicates: true): 'go\\tve'"
    assert lines[-1:] == (
        more or ["    b:1: equals a row of an earlier span or corpus (near_duplicates: true): 'run\\tcorre'"]
    )


def test_nothing_is_shown_of_a_single_corpus(tmp_path: Path) -> None:
    assert left_out.render(recorded(tmp_path, a=[("Go.", "Ve.")]), None) == ""
