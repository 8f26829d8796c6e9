"""A folder name with glob characters: no component and no library interprets it as a pattern."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e import toy
from tests.e2e.toy import bitext

NAME = "a [b] {c} *?~é 語"


def prepare(tmp_path: Path) -> Path:
    """Writes spans, a golden set and a request log into a folder named NAME. All paths are absolute."""
    folder = tmp_path / NAME
    (folder / "data").mkdir(parents=True)
    pairs = toy.sentences()
    for span in (1, 2):
        toy.write_tsv(folder / "data" / f"day-{span}.tsv", pairs[span::3])
    toy.write_tsv(folder / "base.tsv", pairs[::3])
    toy.write_tsv(folder / "golden.tsv", pairs[::40])
    (folder / "requests.txt").write_text("".join(f"{source}\n" for source, _ in pairs), encoding="utf-8")
    config = toy.config(
        root=str(folder / "runs" / "toy"),
        serving=str(folder / "serving"),
        example_gen={
            "files": [f"{folder}/base*.tsv", f"{folder}/data/day-{{SPAN}}.tsv"],
            "golden": {"files": [f"{folder}/golden.tsv"]},
        },
    )
    config["request_log"] = {"files": [f"{folder}/req*.txt"]}
    toy.write_config(folder, config)
    return folder


@pytest.mark.slow
def test_nodes_to_transform(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    result = bitext(folder, "run", "toy.yaml", "--to", "Transform")
    assert result.code == 0, result.out + result.err
    assert result.ran() == list(toy.NODES[:5])
    for name in ("no span: ", "span 1: ", "span 2: "):
        assert name in result.out
    assert "features of 450 requests" in result.out
    again = bitext(folder, "run", "toy.yaml", "--to", "Transform")
    assert (again.code, again.ran()) == (0, [])


@pytest.mark.slow
def test_the_complete_pipeline_and_a_translation(tmp_path: Path) -> None:
    folder = prepare(tmp_path)
    result = bitext(folder, "run", "toy.yaml")
    assert result.code == 0, result.out + result.err
    assert (folder / "serving" / "1" / "saved_model.pb").is_file()
    translated = bitext(folder, "translate", "--model", str(folder / "serving"), stdin="The cat.\nA dog.\n")
    assert (translated.code, translated.err) == (0, "")
    assert len(translated.out.splitlines()) == 2
