"""`bitext export` after a run: smaller forms of the blessed model, compared with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Finished
from tests.e2e.toy import bitext, config, output, write_config


def report(folder: Path) -> dict[str, object]:
    [path] = folder.rglob("export.json")
    result: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return result


@pytest.mark.slow
def test_a_smaller_saved_model_is_measured_and_translates(finished: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    done = bitext(finished.folder, "export", "toy.yaml", "--quantize", "int8", "--output", str(folder))
    assert (done.code, done.err) == (0, "")
    result = report(folder)
    evaluation = output(finished.folder, "Evaluator", "evaluation") / "metrics.json"
    metrics = json.loads(evaluation.read_text(encoding="utf-8"))
    assert result["original_bleu"] == metrics["bleu"]["score"]
    assert result["bleu_signature"] == metrics["bleu"]["signature"]
    for name, label in (("bleu", "BLEU"), ("chrf", "chrF"), ("ter", "TER")):
        pair = result["scores"][name]
        assert pair["original"] == metrics[name]["score"]
        assert f"{label} {pair['score']:.2f} against {pair['original']:.2f} of the original" in done.out
    assert (result["form"], result["quantize"]) == ("saved_model", "int8")
    assert result["model"] == str(output(finished.folder, "Trainer", "model"))
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "export.json"]
    assert result["bytes"] == sum(path.stat().st_size for path in files)
    assert f"BLEU {result['bleu']:.2f} against {result['original_bleu']:.2f} of the original" in done.out
    answered = bitext(finished.folder, "translate", "--model", str(folder), stdin="The cat sees the river.\n")
    assert answered.code == 0
    assert answered.out.strip()
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_a_tensorflow_lite_model_brings_its_vocabulary(finished: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "lite"
    done = bitext(finished.folder, "export", "toy.yaml", "--format", "tflite", "--output", str(folder))
    assert (done.code, done.err) == (0, "")
    result = report(folder)
    # Greedy search in TensorFlow Lite and in the SavedModel gives the same translations.
    assert (result["difference"], result["p_value"]) == (0.0, 1.0)
    described = json.loads((folder / "text.json").read_text(encoding="utf-8"))
    files = {described[side][kind] for side in ("source", "target") for kind in ("vocabulary", "merges")}
    assert {p.name for p in folder.iterdir()} == files | {"translator.tflite", "text.json", "export.json"}


def test_impossible_exports_are_refused(finished: Finished, tmp_path: Path) -> None:
    existing = bitext(finished.folder, "export", "toy.yaml", "--output", str(tmp_path))
    assert (existing.code, existing.err.splitlines()[0]) == (2, f"error: {tmp_path} exists already")
    unchanged = bitext(finished.folder, "export", "toy.yaml", "--output", str(tmp_path / "same"))
    assert unchanged.code == 2
    assert "nothing to make smaller" in unchanged.err
    assert not (tmp_path / "same").exists()
    write_config(tmp_path, config())
    (tmp_path / "toy.tsv").touch()
    no_run = bitext(tmp_path, "export", "toy.yaml", "--output", "small", "--quantize", "int8")
    assert no_run.code == 3
    assert "the pipeline toy has not run in runs/toy" in no_run.err
    wrong = bitext(tmp_path, "export", "toy.yaml", "--output", "small", "--quantize", "int4")
    assert wrong.code == 2
    assert not (tmp_path / "small").exists()


@pytest.mark.slow
def test_a_damaged_checkpoint_is_named_and_leaves_nothing(copy: Path) -> None:
    weights = output(copy, "Trainer", "model") / "checkpoint" / "weights.npz"
    weights.write_bytes(weights.read_bytes()[:1000])
    done = bitext(copy, "export", "toy.yaml", "--quantize", "float16", "--output", "small")
    assert done.code == 3
    assert f"Model {weights.parents[1]}: checkpoint/weights.npz is damaged" in done.err
    assert not list(copy.glob("*small*"))
