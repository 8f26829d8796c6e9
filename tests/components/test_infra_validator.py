"""The infra validator: a sound export passes, and each way of being unsound is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.infra_validator import Parameters, executor, standalone
from bitext.components.shared.errors import EnvironmentFault
from tests import toy_model


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model.save(tmp_path_factory.mktemp("model"))


Judge = Callable[..., tuple[bool, str]]


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    def call(model: Path, **parameters: int) -> tuple[bool, str]:
        for name in ("temp", "blessing"):
            (tmp_path / name).mkdir()
        blessing = artifacts.InfraBlessing(tmp_path / "blessing")
        context = Context(tmp_path, tmp_path / "temp", beam_pipeline=lambda: None, say=lambda line: None)  # type: ignore
        executor.run(Parameters(**parameters), context, model=artifacts.Model(model), infra_blessing=blessing)
        [file] = blessing.path.iterdir()
        verdict = json.loads(file.read_text(encoding="utf-8"))
        assert file.name == ("INFRA_BLESSED" if verdict["blessed"] else "INFRA_NOT_BLESSED")
        assert blessing.properties == {"blessed": int(verdict["blessed"])}
        return verdict["blessed"], "\n".join(verdict["reasons"])

    return call


def with_samples(toy: Path, folder: Path, **changes: object) -> Path:
    """The toy model with its first sample changed."""
    (folder / "Format-Serving").symlink_to(toy / "Format-Serving")
    rows = json.loads((toy / "samples.json").read_text(encoding="utf-8"))
    rows[0] |= changes
    (folder / "samples.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


class TestFreshProcess:
    def test_a_sound_export_is_blessed(self, toy: Path, judge: Judge) -> None:
        blessed, reasons = judge(toy)
        assert blessed, reasons
        assert "2 samples" in reasons

    def test_a_relative_temporary_folder_serves_too(
        self, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "temp").mkdir()
        reasons = executor.validate(
            toy / "Format-Serving",
            executor.read_samples(toy / "samples.json"),
            Parameters(),
            Path("temp"),
        )
        assert reasons == []

    def test_other_samples_are_refused(self, toy: Path, judge: Judge, tmp_path: Path) -> None:
        blessed, reasons = judge(with_samples(toy, tmp_path, translation="LE CHAT"))
        assert not blessed
        assert reasons == "'the cat' became 'THE CAT', and for the trainer 'LE CHAT'"

    def test_a_process_that_crashes_is_refused_with_its_last_words(
        self, judge: Judge, tmp_path: Path
    ) -> None:
        (tmp_path / "Format-Serving").mkdir()
        (tmp_path / "Format-Serving" / "saved_model.pb").write_bytes(b"not a model")
        (tmp_path / "samples.json").write_text('[{"source": "a", "translation": "A", "score": -1}]')
        blessed, reasons = judge(tmp_path)
        assert not blessed
        assert "exit code 1" in reasons
        assert "DecodeError" in reasons
        assert "Traceback" not in reasons  # that is in the log

    def test_one_that_takes_too_long_is_the_machines_fault_and_no_verdict(
        self, toy: Path, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "slow.py").write_text("import time\ntime.sleep(60)\n", encoding="utf-8")
        monkeypatch.setattr(executor, "SCRIPT", tmp_path / "slow.py")
        with pytest.raises(EnvironmentFault, match="no answer within 1 s") as caught:
            judge(toy, timeout_seconds=1)
        assert "infra_validator.timeout_seconds" in caught.value.remedy
        assert list((tmp_path / "blessing").iterdir()) == []

    def test_one_that_was_killed_is_the_machines_fault_and_no_verdict(
        self, toy: Path, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "killed.py").write_text("import os\nos.kill(os.getpid(), 9)\n", encoding="utf-8")
        monkeypatch.setattr(executor, "SCRIPT", tmp_path / "killed.py")
        with pytest.raises(EnvironmentFault, match="ended from outside, by SIGKILL") as caught:
            judge(toy)
        assert "out of memory" in caught.value.remedy
        assert list((tmp_path / "blessing").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [(None, "is missing"), ("[]", "holds no samples"), ('[{"source": 1}]', "is malformed")],
)
def test_without_samples_there_is_no_blessing(
    toy: Path, judge: Judge, tmp_path: Path, content: str | None, reason: str
) -> None:
    (tmp_path / "Format-Serving").symlink_to(toy / "Format-Serving")
    if content is not None:
        (tmp_path / "samples.json").write_text(content)
    blessed, reasons = judge(tmp_path)
    assert not blessed
    assert reason in reasons


def test_the_project_can_be_imported_here_and_that_is_noticed() -> None:
    assert "the package components can be imported in the validating process" in standalone.check_isolation()


def test_scores_are_compared_within_the_tolerance(toy: Path) -> None:
    function = tf.saved_model.load(str(toy / "Format-Serving"))
    rows = json.loads((toy / "samples.json").read_text(encoding="utf-8"))
    rows[0]["score"] += 0.01
    translate = function.signatures["serving_default"]
    assert standalone.check_samples(translate, rows, 0.02) == []
    assert "scored" in standalone.check_samples(translate, rows, 0.001)[0]
    rows[0]["score"] = float("nan")
    assert "scored" in standalone.check_samples(translate, rows, 0.02)[0]


def test_a_missing_signature_and_a_wrong_dtype_are_named(toy: Path) -> None:
    functions = dict(tf.saved_model.load(str(toy / "Format-Serving")).signatures)
    assert set(functions) == set(standalone.SIGNATURES)
    assert standalone.check_signatures(functions) == []
    functions["detokenize"] = functions["tokenize"]
    del functions["info"]
    reasons = "\n".join(standalone.check_signatures(functions))
    assert "detokenize: the input tokens must be int32, received nothing" in reasons
    assert "there is no signature info" in reasons


def warmed_up(toy: Path, folder: Path, *logs: prediction_log_pb2.PredictionLog | bytes) -> Path:
    """A copy of the toy model that a server warms up with these."""
    shutil.copytree(toy, folder, dirs_exist_ok=True)
    path = folder / "Format-Serving" / standalone.WARM_UP
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as file:
        for log in logs:
            file.write(log if isinstance(log, bytes) else log.SerializeToString())
    return folder


def asking(signature: str, **inputs: object) -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    for name, value in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log


class TestWarmUp:
    def test_a_fresh_process_does_the_requests(self, toy: Path, judge: Judge, tmp_path: Path) -> None:
        model = warmed_up(toy, tmp_path, asking("", text=["a b"]), asking("encode", text=["a", "bc"]))
        assert judge(model)[0]

    def test_and_one_that_fails_is_refused(self, toy: Path, judge: Judge, tmp_path: Path) -> None:
        model = warmed_up(toy, tmp_path, asking("encode", text=["a"]), asking("encode", text="a"))
        blessed, reasons = judge(model)
        assert not blessed
        assert reasons == (
            "the warm-up request 2 fails: encode: text must have the shape (None,), received ()"
        )

    @pytest.mark.parametrize(
        ("log", "reason"),
        [
            (asking("answer", text=["a"]), "there is no signature answer"),
            (asking("score", source=["a"]), "score takes source, target, received source"),
            (asking("score", source=["a"], target=["b"], text=["c"]), "received source, target, text"),
            (asking("encode", text=[1]), "Type mismatch"),
            (asking("detokenize", tokens=[[4000]]), "detokenize: "),
            (asking("score", source=["a"], target=["b", "c"]), "a row for each sentence"),
            (asking("info"), "a row for each sentence"),
            (
                asking("translate_nbest", text=["a"], beam_size=1, length_penalty=1.0, max_length=9),
                "a row for each sentence",
            ),
            (prediction_log_pb2.PredictionLog(), "it must be a predict_log, received nothing"),
            (b"\x0f", "cannot be read"),
        ],
    )
    def test_what_a_server_would_not_load_is_named(
        self, toy: Path, tmp_path: Path, log: prediction_log_pb2.PredictionLog | bytes, reason: str
    ) -> None:
        folder = str(warmed_up(toy, tmp_path, log) / "Format-Serving")
        [found] = standalone.check_warm_up(folder, tf.saved_model.load(folder).signatures)
        assert reason in found

    def test_a_damaged_file_and_one_too_long(self, toy: Path, tmp_path: Path) -> None:
        folder = str(warmed_up(toy, tmp_path, *[asking("info")] * 1001) / "Format-Serving")
        path = Path(folder, standalone.WARM_UP)
        assert standalone.check_warm_up(folder, {}) == ["there are 1,001 warm-up requests, more than 1,000"]
        path.write_bytes(path.read_bytes()[:-3])
        assert "cannot be read" in standalone.check_warm_up(folder, {})[0]


class Unservable(tf.Module):
    """A graph that works only here: it calls Python, and reads a file by its absolute path."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = str(path)

    @tf.function(input_signature=[toy_model.BATCH_OF_TEXT])
    def translate(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        upper = tf.numpy_function(lambda value: value, [text], tf.string)
        return {"text": tf.strings.join([upper, tf.io.read_file(self.path)])}


def test_a_graph_that_works_only_here_is_refused(tmp_path: Path) -> None:
    vocabulary = tmp_path / "vocabulary.txt"
    vocabulary.write_text("a")
    tf.saved_model.save(Unservable(vocabulary), str(tmp_path / "model"))
    reasons = "\n".join(standalone.check_graph(str(tmp_path / "model")))
    assert "calls the Python of the exporting process" in reasons
    assert f"names a file outside the model: {vocabulary}" in reasons


def test_a_variable_that_is_not_restored_is_named(tmp_path: Path) -> None:
    module = tf.Module()
    module.bias, module.kernel = tf.Variable([1.0], name="bias"), tf.Variable([2.0], name="kernel")
    read = tf.function(lambda: {"sum": module.bias + module.kernel}, input_signature=[])
    tf.saved_model.save(module, str(tmp_path), signatures={"read": read.get_concrete_function()})
    assert standalone.check_variables(str(tmp_path)) == []
    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0]
    [restoring] = [node for node in graph.graph_def.node if node.name == graph.saver_def.restore_op_name]
    restoring.input.remove("bias")
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert standalone.check_variables(str(tmp_path)) == [
        "the variable bias is read, and not restored in a session"
    ]


def test_the_toy_graph_is_portable(toy: Path) -> None:
    assert standalone.check_graph(str(toy / "Format-Serving")) == []
