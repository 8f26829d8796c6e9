"""A damaged export: Evaluator, InfraValidator and Pusher name the artifact and the remedy for each file.

The exported model is small, but has variables and vocabularies, so that every kind of file exists.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from bitext.components import artifacts
from bitext.components.artifacts import Model, Sample, Verdict
from bitext.components.component import Context
from bitext.components.evaluator import Parameters as EvaluatorParameters
from bitext.components.evaluator import executor as evaluator
from bitext.components.infra_validator import executor as infra_validator
from bitext.components.infra_validator import standalone
from bitext.components.pusher import Parameters as PusherParameters
from bitext.components.pusher import executor as pusher
from bitext.components.shared.errors import DataError
from tests import toy_model
from tests.components.small_export import Export

Damage = Callable[[bytes], bytes]

DAMAGES: dict[str, Damage] = {
    "truncated": lambda content: content[: len(content) // 2],
    "zeroed": lambda content: bytes(len(content)),
    "text": lambda content: b"not a model\n",
    "empty": lambda content: b"",
}
FILES = (
    "saved_model.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
    "assets/source.vocabulary",
    "assets/source.merges",
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """Returns a model artifact with the files that Trainer writes."""
    model = Model(tmp_path_factory.mktemp("export") / "Trainer" / "model" / "5")
    model.path.mkdir(parents=True)
    shutil.copytree(Export(tmp_path_factory.mktemp("trained")).path, model.serving)
    model.write_samples([Sample("a", "b", -1.0)])
    return model


def damaged(exported: Model, folder: Path, file: str, damage: str, *, recorded: bool) -> Model:
    """Returns a copy of the model with one file damaged.

    Args:
      recorded: whether the digest of the undamaged model is recorded.
    """
    model = Model(folder / "Trainer" / "model" / "5")
    shutil.copytree(exported.path, model.path)
    if recorded:
        model.digest = model.content_digest()
        model.verify()
    path = model.serving / file
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(DAMAGES[damage](path.read_bytes()))
    return model


def evaluate(model: Model, folder: Path, baseline: Model | None = None) -> None:
    (folder / "Split-test").mkdir(parents=True)
    toy_model.write_examples(folder, "test", [("1", "the cat", "el gato")])
    evaluator.run(
        EvaluatorParameters(),
        Context(folder, folder, lambda: None),  # type: ignore[arg-type,return-value]
        examples=[artifacts.Examples(folder)],
        model=model,
        baseline=baseline,
        evaluation=artifacts.ModelEvaluation(folder),
        blessing=artifacts.ModelBlessing(folder),
    )


def validate(model: Model, folder: Path) -> None:
    folder.mkdir()
    infra_validator.run(
        infra_validator.Parameters(),
        Context(folder, folder, lambda: None),  # type: ignore[arg-type,return-value]
        model=model,
        infra_blessing=artifacts.InfraBlessing(folder),
    )


def push(model: Model, folder: Path) -> None:
    folder.mkdir()
    blessing, infra_blessing = artifacts.ModelBlessing(folder), artifacts.InfraBlessing(folder)
    for verdict in (blessing, infra_blessing):
        verdict.write(Verdict(True, ["good"]))
    pusher.run(
        PusherParameters(destination=str(folder / "serving"), pipeline="toy"),
        Context(folder, folder, lambda: None),  # type: ignore[arg-type,return-value]
        examples=[],
        rejects=[],
        schema=artifacts.Schema(folder),
        transformed_examples=artifacts.Examples(folder),
        transform_graph=artifacts.TransformGraph(folder),
        model=model,
        evaluation=artifacts.ModelEvaluation(folder),
        blessing=blessing,
        infra_blessing=infra_blessing,
        pushed_model=artifacts.PushedModel(folder),
    )


def assert_names_model_and_remedy(error: DataError, model: Model) -> None:
    assert str(model.path) in str(error)
    assert error.remedy == "make it again: `bitext run CONFIG --force Trainer`"
    assert error.exit_code == 3


@pytest.mark.parametrize("damage", [*DAMAGES, "missing"])
@pytest.mark.parametrize("file", FILES)
class TestRecorded:
    """With a recorded digest, every damage is detected, even if the model can still be loaded."""

    def test_evaluator(self, exported: Model, tmp_path: Path, file: str, damage: str) -> None:
        model = damaged(exported, tmp_path, file, damage, recorded=True)
        with pytest.raises(DataError) as caught:
            evaluate(model, tmp_path / "out")
        assert_names_model_and_remedy(caught.value, model)

    def test_infra_validator(self, exported: Model, tmp_path: Path, file: str, damage: str) -> None:
        model = damaged(exported, tmp_path, file, damage, recorded=True)
        with pytest.raises(DataError) as caught:
            validate(model, tmp_path / "out")
        assert_names_model_and_remedy(caught.value, model)

    def test_pusher(self, exported: Model, tmp_path: Path, file: str, damage: str) -> None:
        model = damaged(exported, tmp_path, file, damage, recorded=True)
        with pytest.raises(DataError) as caught:
            push(model, tmp_path / "out")
        assert_names_model_and_remedy(caught.value, model)
        assert not (tmp_path / "out" / "serving").exists()


LOADING_FAILS = [
    *((file, damage) for file in FILES[:3] for damage in [*DAMAGES, "missing"]),
    *((file, damage) for file in FILES[3:] for damage in ("empty", "missing")),
]
"""The damages with which a model cannot be loaded. They are detected without a recorded digest."""


@pytest.mark.parametrize(("file", "damage"), LOADING_FAILS)
class TestNotRecorded:
    def test_evaluator(self, exported: Model, tmp_path: Path, file: str, damage: str) -> None:
        model = damaged(exported, tmp_path, file, damage, recorded=False)
        with pytest.raises(DataError, match="Format-Serving cannot be used") as caught:
            evaluate(model, tmp_path / "out")
        assert_names_model_and_remedy(caught.value, model)

    def test_validating_script(
        self, exported: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, damage: str
    ) -> None:
        # This process has imported the project, which the script reports before it loads the model.
        monkeypatch.setattr(standalone, "check_isolation", list)
        model = damaged(exported, tmp_path, file, damage, recorded=False)
        request = {"model": str(model.serving), "samples": [], "score_tolerance": 0.1}
        with pytest.raises(standalone.DamagedModelError):
            standalone.validate(request)


def test_pusher_names_a_model_without_saved_model(exported: Model, tmp_path: Path) -> None:
    model = damaged(exported, tmp_path, "saved_model.pb", "missing", recorded=False)
    with pytest.raises(DataError, match="Format-Serving holds no SavedModel") as caught:
        push(model, tmp_path / "out")
    assert_names_model_and_remedy(caught.value, model)


def test_infra_validator_reports_what_its_script_finds(exported: Model, tmp_path: Path) -> None:
    model = damaged(exported, tmp_path, "variables/variables.index", "truncated", recorded=False)
    with pytest.raises(DataError, match="Format-Serving is damaged: .*sstable") as caught:
        validate(model, tmp_path / "out")
    assert_names_model_and_remedy(caught.value, model)


def test_damaged_warm_up_requests_are_damage(exported: Model, tmp_path: Path) -> None:
    model = Model(tmp_path)
    shutil.copytree(exported.serving, model.serving)
    path = model.serving / standalone.WARM_UP_FILE
    path.parent.mkdir(exist_ok=True)
    for content in (b"text" * 20, bytes(100)):
        path.write_bytes(content)
        with pytest.raises(standalone.DamagedModelError, match="warmup_requests cannot be read"):
            standalone.check_warm_up(str(model.serving), {})


def test_a_damaged_baseline_can_be_left_out(exported: Model, tmp_path: Path) -> None:
    baseline = damaged(exported, tmp_path, "saved_model.pb", "truncated", recorded=False)
    with pytest.raises(DataError, match="the model now served cannot be compared with") as caught:
        evaluate(exported, tmp_path / "out", baseline)
    assert str(baseline.path) in str(caught.value)
    assert "evaluator.compare_with_baseline: false" in caught.value.remedy
