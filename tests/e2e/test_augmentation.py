"""A pipeline whose model is also trained on synthetic pairs: data, cache, records, card, an interruption."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from bitext.components.artifacts import ServedVersion
from tests.e2e import toy
from tests.e2e.toy import bitext, output, status

pytestmark = pytest.mark.slow

PAIRS = toy.sentences()
TEACHER = {
    **{key: value for key, value in toy.config()["trainer"].items() if key != "steps"},
    "validation": {"every": 40},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bitext, a golden set, and a monolingual file that has sentences of both."""
    folder = tmp_path_factory.mktemp("augmented")
    toy.write_tsv(folder / "toy.tsv", PAIRS[:300])
    toy.write_tsv(folder / "golden.tsv", PAIRS[300:320])
    targets = [target for _, target in PAIRS[290:]]
    text = "\ufeff" + "".join(f"{target}\r\n\r\n" for target in (*targets, *targets))
    (folder / "mono.txt.gz").write_bytes(gzip.compress(text.encode()))
    config = toy.config(
        augmentation={
            "directions": "none",
            "teacher_steps": 80,
            "teacher": TEACHER,
            "monolingual": {"target": {"files": ["mono*.gz"], "max_sentences": 90}},
        }
    )
    config["example_gen"]["golden"] = {"files": ["golden.tsv"]}
    toy.write_config(folder, config)
    return folder


def test_a_killed_run_is_continued_and_then_cached(folder: Path) -> None:
    process = subprocess.Popen(
        toy.command("run", "toy.yaml"), cwd=folder, env=toy.environment(), stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout or ():
        if line.startswith("BulkInferrer.monolingual_target"):
            time.sleep(1)
            process.send_signal(signal.SIGKILL)
    process.wait()
    second = bitext(folder, "run", "toy.yaml", "--to", "Trainer")
    assert second.code == 0, second.err
    for name in ("MonolingualGen.target", "Transform.backward_teacher", "Trainer.backward_teacher"):
        assert f"{name} cached" in second.out
    assert "90 sentences: " in second.out
    assert bitext(folder, "run", "toy.yaml").code == 0
    third = bitext(folder, "run", "toy.yaml", "--explain-cache")
    assert all(node["cached"] for node in status(folder)["runs"][0]["nodes"].values()), third.out


def test_the_student_alone_is_evaluated_and_its_card_names_the_synthetic_pairs(folder: Path) -> None:
    card = json.loads((folder / "serving/toy/1" / ServedVersion.CARD_JSON).read_text())
    assert set(card["synthetic"]) == {"monolingual_target"}
    assert 0 < card["synthetic"]["monolingual_target"] <= 90
    student = output(folder, "Trainer", "model")
    assert card["lineage"]["model"]["artifact"] == f"Trainer/model/{student.name}"
    lineage = bitext(folder, "lineage", "1", "toy.yaml", "--json")
    assert all(name in lineage.out for name in ("Trainer.backward_teacher", "MonolingualGen.target"))
    assert bitext(folder, "verify", "toy.yaml").code == 0
    for command in ("history", "report"):
        assert bitext(folder, command, "toy.yaml").code == 0
    [page, *_] = sorted((folder / "runs/toy/reports").glob("2*.html"), reverse=True)
    assert "synthetic: back-translation" in page.read_text(encoding="utf-8")
    shown = bitext(folder, "show", "validations", "toy.yaml")
    assert shown.out.count("\n") < 40


def test_a_setting_of_the_student_trains_only_the_student(folder: Path) -> None:
    result = bitext(folder, "run", "toy.yaml", "--set", "trainer.seed=2", "--to", "Trainer")
    assert [line for line in result.out.splitlines() if line in ("Trainer", "Transform")] == ["Trainer"]
    ran = {name for name, node in status(folder)["runs"][0]["nodes"].items() if not node["cached"]}
    assert ran == {"Trainer"}
