"""`bitext status`: the verdicts of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bitext.pipeline.config import load
from bitext.pipeline.records import Execution, Run, State, StoredArtifact
from bitext.pipeline.reports import status
from bitext.pipeline.store import Store

NOT_BLESSED = {"ModelBlessing": "NOT_BLESSED", "InfraBlessing": "INFRA_NOT_BLESSED"}


def judged(folder: Path, **verdicts: str | None) -> dict[str, Any]:
    """The status after a run with these verdicts, by kind: None (blessed) or the content of the file."""
    (folder / "toy.yaml").write_text("name: toy\nexample_gen: {files: [a.tsv]}\n", encoding="utf-8")
    config = load(folder / "toy.yaml", [f"root={folder / 'root'}"])
    store = Store(config.metadata, folder / "root", "toy")
    run = Run("r1", "toy", str(folder / "root"), State.COMPLETE, 1.0, 2.0)
    store.put_run(run)
    for kind, content in verdicts.items():
        path = folder / "root" / kind
        path.mkdir()
        if content is not None:
            (path / NOT_BLESSED[kind]).write_text(content, encoding="utf-8")
        blessing = StoredArtifact(kind, str(path), "d", {"blessed": int(content is None)})
        store.put_execution(
            Execution(kind, "r1", State.COMPLETE, 1.0, 2.0, outputs={"blessing": (blessing,)}), run
        )
    return status.collect(config)


LOW, SKEWED = (
    '{"blessed": false, "reasons": ["BLEU is low"]}',
    '{"blessed": false, "reasons": ["one", "two"]}',
)


@pytest.mark.parametrize(
    ("verdicts", "blessed", "reasons"),
    [
        ({}, None, []),
        ({"ModelBlessing": None}, True, []),
        ({"ModelBlessing": None, "InfraBlessing": None}, True, []),
        ({"ModelBlessing": LOW, "InfraBlessing": None}, False, ["BLEU is low"]),
        ({"ModelBlessing": None, "InfraBlessing": SKEWED}, False, ["one", "two"]),
        ({"ModelBlessing": LOW, "InfraBlessing": SKEWED}, False, ["BLEU is low", "one", "two"]),
    ],
)
def test_status_shows_the_verdict_of_both_with_all_reasons(
    tmp_path: Path, verdicts: dict[str, str | None], blessed: bool | None, reasons: list[str]
) -> None:
    report = judged(tmp_path, **verdicts)
    assert (report["runs"][0]["blessed"], report["runs"][0]["reasons"]) == (blessed, reasons)
    for name, node in report["runs"][0]["nodes"].items():
        assert node["outputs"] == {"blessing": str(tmp_path / "root" / name)}
    shown = status.render(report).splitlines()
    assert [line.strip() for line in shown if line.strip() in reasons] == reasons
    assert shown[0].endswith({True: "  blessed", False: "  not blessed", None: ""}[blessed])


def test_a_damaged_verdict_is_replaced_by_its_folder(tmp_path: Path) -> None:
    report = judged(tmp_path, ModelBlessing='{"reas')
    assert report["runs"][0]["reasons"] == [f"see {tmp_path / 'root' / 'ModelBlessing'}"]
