"""`bitext status` shows the verdicts of a run with their reasons."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bitext.pipeline.config import load
from bitext.pipeline.records import Execution, Run, State, StoredArtifact
from bitext.pipeline.reports import status
from bitext.pipeline.store import Store
from tests.pipeline.runs_on_record import Recorder, configuration

NOT_BLESSED = {"ModelBlessing": "NOT_BLESSED", "InfraBlessing": "INFRA_NOT_BLESSED"}


def status_after(folder: Path, **verdicts: str | None) -> dict[str, Any]:
    """Returns the status after a run with verdicts.

    Args:
      folder: where the configuration and the pipeline root are written.
      verdicts: by artifact kind, None for a blessed model, or the content of the file of a refused model.
    """
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


LOW_BLEU = '{"blessed": false, "reasons": ["BLEU is low"]}'
TWO_REASONS = '{"blessed": false, "reasons": ["one", "two"]}'


@pytest.mark.parametrize(
    ("verdicts", "blessed", "reasons"),
    [
        ({}, None, []),
        ({"ModelBlessing": None}, True, []),
        ({"ModelBlessing": None, "InfraBlessing": None}, True, []),
        ({"ModelBlessing": LOW_BLEU, "InfraBlessing": None}, False, ["BLEU is low"]),
        ({"ModelBlessing": None, "InfraBlessing": TWO_REASONS}, False, ["one", "two"]),
        ({"ModelBlessing": LOW_BLEU, "InfraBlessing": TWO_REASONS}, False, ["BLEU is low", "one", "two"]),
    ],
)
def test_status_shows_the_common_verdict_with_all_reasons(
    tmp_path: Path, verdicts: dict[str, str | None], blessed: bool | None, reasons: list[str]
) -> None:
    report = status_after(tmp_path, **verdicts)
    assert (report["runs"][0]["blessed"], report["runs"][0]["reasons"]) == (blessed, reasons)
    for name, node in report["runs"][0]["nodes"].items():
        assert node["outputs"] == {"blessing": str(tmp_path / "root" / name)}
    lines = status.render(report).splitlines()
    assert [line.strip() for line in lines if line.strip() in reasons] == reasons
    assert lines[0].endswith({True: "  blessed", False: "  not blessed", None: ""}[blessed])


def test_the_reason_of_a_damaged_verdict_names_its_folder(tmp_path: Path) -> None:
    report = status_after(tmp_path, ModelBlessing='{"reas')
    assert report["runs"][0]["reasons"] == [f"see {tmp_path / 'root' / 'ModelBlessing'}"]


def test_what_gc_removed_is_read_from_the_record_and_a_force_is_told(tmp_path: Path) -> None:
    record = Recorder(tmp_path / "root", with_files=False)
    record.full("refused", bleu=31.5)
    run = record.full(bleu=32.5)
    config = configuration(tmp_path)
    verdict = {"blessed": 1, "forced": "second", "reasons": "BLEU is low; forced: second"}
    blessing = StoredArtifact("ModelBlessing", str(tmp_path / "gone"), "d", verdict)
    record.store.put_execution(
        Execution("Evaluator", run.run_id, State.COMPLETE, 1.0, 2.0, outputs={"blessing": (blessing,)}), run
    )
    forced, refused = status.collect(config)["runs"]
    assert (forced["bleu"], refused["bleu"], refused["scores"]["chrf"]) == (32.5, 31.5, 50.0)
    assert refused["reasons"] == ["BLEU is what it is"]
    assert (forced["forced"], refused["forced"], forced["problem"]) == ("second", None, None)
    lines = status.render({"runs": [forced], "pushed": None}).splitlines()
    assert lines[0].endswith("BLEU 32.50  chrF 50.00  blessed by force")
    assert "    blessed by force: second" in lines


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        (["span 1"], "1 span: span 1"),
        (
            ["no span", "span 2026-01-01", "span 2026-01-02 version 3"],
            "3 spans: no span to span 2026-01-02 version 3, 3 in all",
        ),
        (["news", "law"], "2 corpora: news, law"),
        (
            ["news span 1", "news span 2", "law"],
            "3 spans of 2 corpora: news (span 1 to span 2, 2 in all), law",
        ),
        (["span span 4"], "1 span of 1 corpus: span (span 4)"),
        (["span"], "1 corpus: span"),
    ],
)
def test_parts_are_called_spans_or_corpora(tmp_path: Path, parts: list[str], line: str) -> None:
    (tmp_path / "toy.yaml").write_text("name: toy\nexample_gen: {files: [a.tsv]}\n", encoding="utf-8")
    config = load(tmp_path / "toy.yaml", [f"root={tmp_path / 'root'}"])
    store = Store(config.metadata, tmp_path / "root", "toy")
    store.put_run(Run("r1", "toy", str(tmp_path / "root"), State.COMPLETE, 1.0, 2.0, parts=", ".join(parts)))
    assert status.render(status.collect(config)).splitlines()[1] == f"    {line}"
