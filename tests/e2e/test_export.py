"""`bitext export` after a run: other forms of the blessed model, with their scores against the original."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import Finished
from tests.e2e.toy import bitext, config, output, write_config


def report(folder: Path) -> dict[str, object]:
    """Returns the content of `export.json` in the folder."""
    [path] = folder.rglob("export.json")
    content: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return content


@pytest.mark.slow
def test_a_smaller_saved_model_is_measured_and_translates(finished: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "small"
    result = bitext(finished.folder, "export", "toy.yaml", "--quantize", "int8", "--output", str(folder))
    assert (result.code, result.err) == (0, "")
    content = report(folder)
    evaluation = output(finished.folder, "Evaluator", "evaluation") / "metrics.json"
    metrics = json.loads(evaluation.read_text(encoding="utf-8"))
    assert content["original_bleu"] == metrics["bleu"]["score"]
    assert content["bleu_signature"] == metrics["bleu"]["signature"]
    for name, label in (("bleu", "BLEU"), ("chrf", "chrF"), ("ter", "TER")):
        scores = content["scores"][name]
        assert scores["original"] == metrics[name]["score"]
        assert f"{label} {scores['score']:.2f} against {scores['original']:.2f} of the original" in result.out
    assert (content["form"], content["quantize"]) == ("saved_model", "int8")
    assert content["model"] == str(output(finished.folder, "Trainer", "model"))
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "export.json"]
    assert content["bytes"] == sum(path.stat().st_size for path in files)
    assert f"BLEU {content['bleu']:.2f} against {content['original_bleu']:.2f} of the original" in result.out
    translated = bitext(
        finished.folder, "translate", "--model", str(folder), stdin="The cat sees the river.\n"
    )
    assert translated.code == 0
    assert translated.out.strip()
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_a_tensorflow_lite_model_comes_with_its_vocabulary(finished: Finished, tmp_path: Path) -> None:
    folder = tmp_path / "lite"
    result = bitext(finished.folder, "export", "toy.yaml", "--format", "tflite", "--output", str(folder))
    assert (result.code, result.err) == (0, "")
    content = report(folder)
    # Greedy search in TensorFlow Lite and in the SavedModel gives the same translations.
    assert (content["difference"], content["p_value"]) == (0.0, 1.0)
    text = json.loads((folder / "text.json").read_text(encoding="utf-8"))
    files = {text[side][kind] for side in ("source", "target") for kind in ("vocabulary", "merges")}
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
    unknown = bitext(tmp_path, "export", "toy.yaml", "--output", "small", "--quantize", "int4")
    assert unknown.code == 2
    assert not (tmp_path / "small").exists()


@pytest.mark.slow
def test_a_damaged_checkpoint_is_an_error_and_leaves_no_output(copy: Path) -> None:
    weights = output(copy, "Trainer", "model") / "checkpoint" / "weights.npz"
    weights.write_bytes(weights.read_bytes()[:1000])
    result = bitext(copy, "export", "toy.yaml", "--quantize", "float16", "--output", "small")
    assert result.code == 3
    assert f"Model {weights.parents[1]}: checkpoint/weights.npz is damaged" in result.err
    assert not list(copy.glob("*small*"))
