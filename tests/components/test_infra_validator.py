"""InfraValidator: a servable export passes, each reason against one is named, and damage is an error."""

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
from bitext.components.shared.errors import DataError, EnvironmentFault
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
        reasons = "; ".join(verdict["reasons"])
        assert blessing.properties == {"blessed": int(verdict["blessed"]), "reasons": reasons}
        return verdict["blessed"], "\n".join(verdict["reasons"])

    return call


def with_samples(toy: Path, folder: Path, **changes: object) -> Path:
    """Returns the toy model with its first sample changed."""
    (folder / "Format-Serving").symlink_to(toy / "Format-Serving")
    rows = json.loads((toy / "samples.json").read_text(encoding="utf-8"))
    rows[0] |= changes
    (folder / "samples.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


class TestFreshProcess:
    def test_a_servable_export_is_blessed(self, toy: Path, judge: Judge) -> None:
        blessed, reasons = judge(toy)
        assert blessed, reasons
        assert "2 samples" in reasons

    def test_the_temporary_folder_may_be_relative(
        self, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "temp").mkdir()
        model = artifacts.Model(toy)
        answer = executor.validate(model.serving, model.samples(), Parameters(), Path("temp"))
        assert answer == executor.Answer([])

    def test_other_translations_than_the_trainers_are_refused(
        self, toy: Path, judge: Judge, tmp_path: Path
    ) -> None:
        blessed, reasons = judge(with_samples(toy, tmp_path, translation="LE CHAT"))
        assert not blessed
        assert reasons == "'the cat' became 'THE CAT'; the trainer's translation is 'LE CHAT'"

    def test_a_process_that_crashes_refuses_with_its_last_line(
        self, toy: Path, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "crash.py").write_text("raise RuntimeError('no such op')", encoding="utf-8")
        monkeypatch.setattr(executor, "SCRIPT", tmp_path / "crash.py")
        blessed, reasons = judge(toy)
        assert not blessed
        # The whole traceback is in the log.
        assert reasons == "the validating process ended with exit code 1: RuntimeError: no such op"

    def test_a_timeout_is_an_environment_fault_without_verdict(
        self, toy: Path, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "slow.py").write_text("import time\ntime.sleep(60)\n", encoding="utf-8")
        monkeypatch.setattr(executor, "SCRIPT", tmp_path / "slow.py")
        with pytest.raises(EnvironmentFault, match="no answer within 1 s") as caught:
            judge(toy, timeout_seconds=1)
        assert "infra_validator.timeout_seconds" in caught.value.remedy
        assert list((tmp_path / "blessing").iterdir()) == []

    def test_a_killed_process_is_an_environment_fault_without_verdict(
        self, toy: Path, judge: Judge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "killed.py").write_text("import os\nos.kill(os.getpid(), 9)\n", encoding="utf-8")
        monkeypatch.setattr(executor, "SCRIPT", tmp_path / "killed.py")
        with pytest.raises(EnvironmentFault, match="was killed by SIGKILL") as caught:
            judge(toy)
        assert "out of memory" in caught.value.remedy
        assert list((tmp_path / "blessing").iterdir()) == []


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "samples.json is missing"),
        ("[]", "samples.json holds no sample"),
        ('[{"source": 1}]', "samples.json is damaged"),
    ],
)
def test_without_samples_there_is_no_verdict(
    toy: Path, judge: Judge, tmp_path: Path, content: str | None, problem: str
) -> None:
    (tmp_path / "Format-Serving").symlink_to(toy / "Format-Serving")
    if content is not None:
        (tmp_path / "samples.json").write_text(content)
    with pytest.raises(DataError, match=problem) as caught:
        judge(tmp_path)
    assert "--force Trainer" in caught.value.remedy
    assert list((tmp_path / "blessing").iterdir()) == []


def test_a_forbidden_package_that_can_be_imported_is_named() -> None:
    assert "the package bitext can be imported in the validating process" in standalone.check_isolation()


def test_scores_may_differ_within_the_tolerance(toy: Path) -> None:
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


def warmed_up(toy: Path, folder: Path, *logs: prediction_log_pb2.PredictionLog) -> Path:
    """Returns a copy of the toy model with these warm-up requests."""
    shutil.copytree(toy, folder, dirs_exist_ok=True)
    path = folder / "Format-Serving" / standalone.WARM_UP_FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as file:
        for log in logs:
            file.write(log.SerializeToString())
    return folder


def request(signature: str, **inputs: object) -> prediction_log_pb2.PredictionLog:
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    for name, value in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log


class TestWarmUp:
    def test_requests_are_run_in_a_fresh_process(self, toy: Path, judge: Judge, tmp_path: Path) -> None:
        model = warmed_up(toy, tmp_path, request("", text=["a b"]), request("encode", text=["a", "bc"]))
        assert judge(model)[0]

    def test_a_request_that_fails_refuses(self, toy: Path, judge: Judge, tmp_path: Path) -> None:
        model = warmed_up(toy, tmp_path, request("encode", text=["a"]), request("encode", text="a"))
        blessed, reasons = judge(model)
        assert not blessed
        assert reasons == (
            "the warm-up request 2 fails: encode: text must have the shape (None,), received ()"
        )

    @pytest.mark.parametrize(
        ("log", "reason"),
        [
            (request("answer", text=["a"]), "there is no signature answer"),
            (request("score", source=["a"]), "score takes source, target, received source"),
            (request("score", source=["a"], target=["b"], text=["c"]), "received source, target, text"),
            (request("encode", text=[1]), "Type mismatch"),
            (request("detokenize", tokens=[[4000]]), "detokenize: "),
            (request("score", source=["a"], target=["b", "c"]), "a row for each sentence"),
            (request("info"), "a row for each sentence"),
            (
                request("translate_nbest", text=["a"], beam_size=1, length_penalty=1.0, max_length=9),
                "a row for each sentence",
            ),
            (prediction_log_pb2.PredictionLog(), "it must be a predict_log, received nothing"),
        ],
    )
    def test_a_request_that_a_server_rejects_is_named(
        self, toy: Path, tmp_path: Path, log: prediction_log_pb2.PredictionLog, reason: str
    ) -> None:
        folder = str(warmed_up(toy, tmp_path, log) / "Format-Serving")
        [problem] = standalone.check_warm_up(folder, tf.saved_model.load(folder).signatures)
        assert reason in problem

    def test_too_many_requests_are_named(self, toy: Path, tmp_path: Path) -> None:
        folder = str(warmed_up(toy, tmp_path, *[request("info")] * 1001) / "Format-Serving")
        assert standalone.check_warm_up(folder, {}) == ["there are 1,001 warm-up requests, more than 1,000"]


class Unservable(tf.Module):
    """A graph that works only in this process: it calls Python, and reads a file by its absolute path."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = str(path)

    @tf.function(input_signature=[toy_model.BATCH_OF_TEXT])
    def translate(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        upper = tf.numpy_function(lambda value: value, [text], tf.string)
        return {"text": tf.strings.join([upper, tf.io.read_file(self.path)])}


def test_python_ops_and_outside_files_are_named(tmp_path: Path) -> None:
    vocabulary = tmp_path / "vocabulary.txt"
    vocabulary.write_text("a")
    tf.saved_model.save(Unservable(vocabulary), str(tmp_path / "model"))
    reasons = "\n".join(standalone.check_graph(standalone.read_meta_graphs(str(tmp_path / "model"))))
    assert "calls Python code of the exporting process" in reasons
    assert f"names a file outside the model: {vocabulary}" in reasons


def test_a_variable_that_no_session_restores_is_named(tmp_path: Path) -> None:
    module = tf.Module()
    module.bias, module.kernel = tf.Variable([1.0], name="bias"), tf.Variable([2.0], name="kernel")
    read = tf.function(lambda: {"sum": module.bias + module.kernel}, input_signature=[])
    tf.saved_model.save(module, str(tmp_path), signatures={"read": read.get_concrete_function()})
    assert standalone.check_variables(standalone.read_meta_graphs(str(tmp_path))) == []
    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0]
    [restoring] = [node for node in graph.graph_def.node if node.name == graph.saver_def.restore_op_name]
    restoring.input.remove("bias")
    (tmp_path / "saved_model.pb").write_bytes(saved.SerializeToString())
    assert standalone.check_variables(standalone.read_meta_graphs(str(tmp_path))) == [
        "the variable bias is read, but not restored in a session"
    ]


def test_the_toy_graph_is_portable(toy: Path) -> None:
    assert standalone.check_graph(standalone.read_meta_graphs(str(toy / "Format-Serving"))) == []
