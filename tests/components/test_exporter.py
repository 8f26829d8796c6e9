"""The exporter: a form that translates significantly worse is refused, and nothing is written."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import msgspec
import pytest

from bitext.components.artifacts import Examples, Model, TransformGraph
from bitext.components.evaluator import Parameters
from bitext.components.exporter import exporter, forms
from bitext.components.exporter.comparison import TokenComparison
from bitext.components.exporter.exporter import Report, ScorePair
from bitext.components.exporter.forms import TrainedModel
from bitext.components.shared.errors import ConfigError, DataError
from bitext.components.shared.metrics import METRICS
from bitext.components.translation import graph_check
from bitext.pipeline import cli
from bitext.pipeline.commands import export as command

REPORT = Report(
    model="runs/toy/Trainer/model/6",
    digest="ab" * 32,
    form="saved_model",
    quantize="int8",
    bytes=1_000_000,
    original_bytes=4_000_000,
    sentences=500,
    bleu=30.0,
    original_bleu=30.5,
    bleu_signature="nrefs:1",
    difference=-0.5,
    p_value=0.04,
    scores={m.name: ScorePair(30.0, 30.5, "nrefs:1") for m in METRICS},
)


@dataclasses.dataclass
class Exports:
    """A model to export. Each form is one empty file, and `report` replaces the measurement."""

    trained: TrainedModel
    report: Report = REPORT


@pytest.fixture
def exports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exports:
    paths = [tmp_path / "inputs" / name for name in ("model", "graph", "examples")]
    trained = TrainedModel(Model(paths[0]), "ab" * 32, TransformGraph(paths[1]), [Examples(paths[2])])
    exports = Exports(trained)
    monkeypatch.setattr(exporter, "write_form", lambda _, folder, *__: (folder / "form").touch())
    monkeypatch.setattr(exporter, "_measure", lambda *_: exports.report)
    monkeypatch.setattr(exporter, "check_graph", lambda _: None)
    monkeypatch.setattr(command, "served_model", lambda _: trained)
    return exports


@pytest.mark.parametrize(
    ("difference", "p_value", "is_written"),
    [(-0.5, 0.04, False), (-0.5, 0.06, True), (0.5, 0.04, True), (0.0, 1.0, True)],
)
def test_only_a_significantly_worse_form_is_refused(
    exports: Exports, tmp_path: Path, difference: float, p_value: float, is_written: bool
) -> None:
    exports.report = msgspec.structs.replace(REPORT, difference=difference, p_value=p_value)
    output = tmp_path / "small"
    report = exporter.export(exports.trained, output, "saved_model", "int8", Parameters(), significance=0.05)
    assert report == exports.report
    assert report.is_worse(0.05) != is_written
    if is_written:
        assert {path.name for path in output.iterdir()} == {"form", "assets.extra"}
        content = json.loads((output / "assets.extra" / "export.json").read_text(encoding="utf-8"))
        assert content == msgspec.to_builtins(report)
    else:
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("p_value", "code"), [(0.04, 4), (0.06, 0)])
def test_the_command_prints_the_outcome(
    exports: Exports,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    p_value: float,
    code: int,
) -> None:
    monkeypatch.chdir(tmp_path)
    exports.report = msgspec.structs.replace(REPORT, p_value=p_value)
    arguments = ["--output", "small", "--quantize", "int8", "--set", "evaluator.significance=0.05"]
    assert cli.main(["export", *arguments]) == code
    printed = capsys.readouterr()
    if code:
        assert printed.out == ""
        assert printed.err.splitlines() == [
            "error: saved_model with int8 weights is significantly worse: BLEU 30.00 against 30.50 "
            "(p = 0.040); nothing was written",
            "what to do: choose another precision with --quantize",
        ]
    else:
        assert printed.out.splitlines() == [
            "small: saved_model with int8 weights, 1.0 MB of 4.0 MB",
            "BLEU 30.00 against 30.50 of the original (-0.50, p = 0.060) on 500 sentences",
            "chrF 30.00 against 30.50 of the original",
            "chrF++ 30.00 against 30.50 of the original",
            "TER 30.00 against 30.50 of the original",
            "nrefs:1",
        ]
    assert (tmp_path / "small").exists() == (code == 0)


@pytest.mark.parametrize(
    ("tokens", "code"),
    [
        (TokenComparison(500, 9000, 1, 0, 2e-5), 0),
        (TokenComparison(500, 9000, 1, 2, 2e-5), 4),
        (TokenComparison(500, 9000, 0, 0, 2e-3), 4),
        (TokenComparison(500, 9000, 0, 0, math.nan), 4),
    ],
)
def test_a_form_that_computes_something_else_is_refused(
    exports: Exports,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tokens: TokenComparison,
    code: int,
) -> None:
    for module in (forms, exporter):
        monkeypatch.setattr(module, "check_form", lambda *_: None)
    exports.report = msgspec.structs.replace(REPORT, form="onnx", quantize=None, tokens=tokens)
    assert exports.report.is_worse(0.05)  # as by a tie
    output = tmp_path / "onnx"
    assert cli.main(["export", "--output", str(output), "--format", "onnx"]) == code
    printed = capsys.readouterr()
    equal = tokens.sentences - tokens.ties - tokens.different_sentences
    assert f"the same tokens in {equal} of 500 sentences" in printed.out + printed.err
    assert output.exists() == (code == 0)
    if code:
        assert "does not compute what the SavedModel does" in printed.err
        assert printed.out == ""


@pytest.mark.parametrize("form", ["onnx", "openvino"])
@pytest.mark.parametrize("precision", ["int8", "float16"])
def test_other_runtimes_have_float32_weights(
    exports: Exports, tmp_path: Path, form: str, precision: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "small"
    assert cli.main(["export", "--output", str(output), "--format", form, "--quantize", precision]) == 2
    assert f"--quantize {precision} is not possible with --format {form}" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize("form", ["saved_model", "tflite"])
def test_a_model_that_can_do_more_than_compute_is_refused(
    exports: Exports,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    form: str,
) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    monkeypatch.setattr(exporter, "check_graph", graph_check.check_graph)
    saved_model = saved_model_pb2.SavedModel()
    saved_model.meta_graphs.add().graph_def.node.add(name="x", op="ReadFile")
    exports.trained.model.serving.mkdir(parents=True)
    (exports.trained.model.serving / "saved_model.pb").write_bytes(saved_model.SerializeToString())
    arguments = ["export", "--output", str(tmp_path / "small"), "--format", form, "--quantize", "int8"]
    exports.report = msgspec.structs.replace(REPORT, p_value=1.0)
    assert cli.main(arguments) == 3
    assert "that read or write files (ReadFile)\nwhat to do: use it only" in capsys.readouterr().err
    assert not (tmp_path / "small").exists()
    assert cli.main([*arguments, "--trust-model"]) == 0
    assert (tmp_path / "small").exists()


@pytest.mark.parametrize("arguments", [[], ["--format", "saved_model"]])
def test_the_unchanged_model_is_refused_before_any_work(
    exports: Exports, tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["export", "--output", str(tmp_path / "same"), *arguments]) == 2
    assert "nothing to make smaller" in capsys.readouterr().err
    with pytest.raises(ConfigError):
        forms.check_form("saved_model", None)
    forms.check_form("tflite", None)


@pytest.mark.parametrize("content", ["", "{", "{}", '{"search": {"beam_size": 0}}'])
def test_the_error_about_damaged_trainer_parameters_names_the_file(
    exports: Exports, monkeypatch: pytest.MonkeyPatch, content: str
) -> None:
    exports.trained.model.path.mkdir(parents=True)
    (exports.trained.model.path / "model.json").write_text(content, encoding="utf-8")
    monkeypatch.setattr(forms, "load_text_pair", lambda _: None)
    with pytest.raises(DataError, match=f"{exports.trained.model.path}: model.json is damaged") as caught:
        forms.restore(exports.trained)
    assert "--force Trainer" in caught.value.remedy
