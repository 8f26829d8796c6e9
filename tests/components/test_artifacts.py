"""Artifacts: the content of each file is read back, and a damaged file is an error with a remedy."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from bitext.components import artifacts
from bitext.components.artifacts import (
    Bucket,
    Metrics,
    Pushed,
    Reject,
    SideFiles,
    Summary,
    TextFile,
    Translated,
    Validation,
    Verdict,
    Vocabulary,
    vocabulary_digest,
)
from bitext.components.artifacts.page import Axis, Chart, Details, Section, Series, Text
from bitext.components.seq2seq import ModelSettings
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError
from bitext.components.shared.metrics import CorpusScore
from bitext.components.text import TextSettings

Read = Callable[[], Any]


def metrics(**fields: Any) -> Metrics:
    return Metrics(
        scores={
            "bleu": CorpusScore(40.5, "nrefs:1", (39.0, 42.0)),
            "ter": CorpusScore(44.0, "", (43.0, 45.0)),
        },
        perplexity=4.5,
        length_ratio=0.97,
        by_source_length=(artifacts.LengthRow(1, 24, 9, 41.0), artifacts.LengthRow(25, None, 1, 9.5)),
        sentences=10,
        sentences_per_second=83.0,
        **fields,
    )


def write_artifact(folder: Path, kind: type[artifacts.Artifact]) -> dict[str, Read]:
    """Writes an artifact of a kind with the function `write_KIND` of this module.

    Returns:
      A function that reads each file, by the path of the file below the artifact's folder.
    """
    folder.mkdir(parents=True)
    return globals()[f"write_{kind.__name__}"](kind(folder))


def write_Examples(examples: artifacts.Examples) -> dict[str, Read]:
    columns = {name: pa.array([f"{name} {i}" for i in range(99)]) for name in ("id", "source", "target")}
    examples.split("test").mkdir()
    for shard in range(2):
        tfrecord.write_examples(examples.shard("test", shard, 2), columns)

    def read() -> list[list[bytes]]:
        return [records for file in examples.files("test") for records in tfrecord.read_records(file)]

    return {f"Split-test/data_tfrecord-0000{shard}-of-00002.gz": read for shard in range(2)}


def write_TransformedExamples(examples: artifacts.TransformedExamples) -> dict[str, Read]:
    examples.split("train").mkdir()
    path = examples.bucket_file("train", (12, 14), 0, 1)
    tfrecord.write_examples(path, {"source_ids": np.arange(24).reshape(2, 12)})
    bucket = Bucket(source=12, target=14, examples=2, target_tokens=9, files=(path.name,))
    examples.write_buckets("train", [bucket])
    assert examples.buckets("train") == [bucket]

    def read() -> list[list[bytes]]:
        names = [name for bucket in examples.buckets("train") for name in bucket.files]
        return [r for name in names for r in tfrecord.read_records(examples.split("train") / name)]

    return {"Split-train/buckets.json": read, f"Split-train/{path.name}": read}


def write_Rejects(rejects: artifacts.Rejects) -> dict[str, Read]:
    rows = [Reject("a.tsv", line, "too_long", "1,200 characters", "їжак" * line) for line in range(1, 50)]
    rejects.write_rows(rows)
    assert rejects.rows() == rows
    assert rejects.rows(3) == rows[:3]
    rejects.write_summary(Summary(rows=50, accepted=1, rejected=49, reasons={"too_long": 49}))
    return {"rejects.jsonl.gz": rejects.rows, "summary.json": rejects.summary}


def write_ExampleStatistics(statistics: artifacts.ExampleStatistics) -> dict[str, Read]:
    message = statistics_pb2.DatasetFeatureStatisticsList()
    message.datasets.add(num_examples=9, name="a name that is long enough")
    statistics.split("train").mkdir()
    statistics.file("train").write_bytes(message.SerializeToString())
    return {"Split-train/FeatureStats.pb": lambda: statistics.load("train")}


def write_Schema(schema: artifacts.Schema) -> dict[str, Read]:
    message = schema_pb2.Schema()
    message.feature.add(name="source", type=schema_pb2.BYTES)
    schema.write(message, "a comment")
    assert schema.load() == message
    return {"schema.pbtxt": schema.load}


def write_ExampleAnomalies(anomalies: artifacts.ExampleAnomalies) -> dict[str, Read]:
    message = anomalies_pb2.Anomalies()
    message.anomaly_info["source"].description = "a description"
    anomalies.write(message, "train", "span-7/drift")
    assert anomalies.load("train", "span-7/drift") == message
    return {"span-7/drift/Split-train/SchemaDiff.pb": lambda: anomalies.load("train", "span-7/drift")}


def write_TransformGraph(graph: artifacts.TransformGraph) -> dict[str, Read]:
    graph.assets.mkdir(parents=True)
    contents = {"vocabulary": b"<pad>\n<s>\n</s>\n<unk>\na\n", "merges": b"-1\t-1\n"}
    digest = vocabulary_digest(b"".join(contents.values()))
    names = {kind: f"transform_fn/assets/{kind}-{digest}.txt" for kind in contents}
    for kind, content in contents.items():
        (graph.path / names[kind]).write_bytes(content)
    side = SideFiles(**names, size=5)
    text = TextFile(settings=TextSettings(), shared=True, source_max_length=60, source=side, target=side)
    graph.write_text(text)
    assert graph.text() == text
    return {"text.json": graph.text, **dict.fromkeys(names.values(), graph.text)}


def write_Model(model: artifacts.Model) -> dict[str, Read]:
    settings, vocabulary = ModelSettings(), Vocabulary(["<pad>", "a"], ["<pad>", "b"])
    model.write_checkpoint(settings, vocabulary, {"a/kernel": np.arange(600.0).reshape(2, 300)})
    model.write_samples([artifacts.Sample("one", "uno", -0.5)])
    model.write_trainer_parameters(settings)
    assert (model.architecture(ModelSettings), model.vocabulary()) == (settings, vocabulary)
    assert model.weights()["a/kernel"][1, 299] == 599
    return {
        "checkpoint/weights.npz": model.weights,
        "checkpoint/vocabulary.json": model.vocabulary,
        "checkpoint/settings.json": lambda: model.architecture(ModelSettings),
        "model.json": lambda: model.trainer_parameters(ModelSettings),
        "samples.json": model.samples,
    }


def write_ModelRun(run: artifacts.ModelRun) -> dict[str, Read]:
    validations = [Validation(step, step / 9, 2.5, 30.0) for step in (100, 200, 300)]
    for validation in validations:
        run.append(validation)
    progress = [artifacts.Progress(step, step / 9, 2.5, 0.001, 4000.0, 1.25) for step in (50, 100, 150)]
    sample = artifacts.SampleTranslation("Hi.", "Hola.", "hola")
    for record in (*progress, artifacts.ValidationSamples(100, (sample,))):
        run.append(record)
    size = artifacts.TrainingSize(300, 4321, 99, 7.5)
    assert not artifacts.ModelRun(run.path.parent).has_progress
    run.write_size(size)
    assert (run.history(), run.progress(), run.size()) == (validations, progress, size)
    assert run.samples() == [artifacts.ValidationSamples(100, (sample,))]
    assert run.has_progress
    return {
        "history.jsonl": run.history,
        "progress.jsonl": run.progress,
        "samples.jsonl": run.samples,
        "training.json": run.size,
    }


def write_ModelEvaluation(evaluation: artifacts.ModelEvaluation) -> dict[str, Read]:
    written = metrics(golden=metrics(), baseline=artifacts.BaselineComparison(39.0, (38.0, 40.0), 1.5, 0.01))
    evaluation.write_metrics(written)
    assert evaluation.metrics() == written
    rows = [Translated(f"a.tsv:{i}", "one", "uno", ["uno", "un"], -0.5) for i in range(3)]
    reads: dict[str, Read] = {"metrics.json": evaluation.metrics}
    for split in ("test", "golden", "news"):
        evaluation.write_translations(rows, split)
        assert evaluation.translations(split) == rows
        name = evaluation.translations_file(split).name
        reads[name] = lambda split=split: evaluation.translations(split)
    return reads


def write_ModelBlessing(blessing: artifacts.Blessing) -> dict[str, Read]:
    blessing.write(Verdict(False, ["BLEU is low"]))
    assert blessing.verdict() == Verdict(False, ["BLEU is low"])
    return {blessing.NOT_BLESSED: blessing.verdict}


write_InfraBlessing = write_ModelBlessing


def write_Report(report: artifacts.Report) -> dict[str, Read]:
    points = Series("a corpus", (1.0, 2.0), (3.0, None), role="other")
    chart = Chart(
        form="line", title="loss", x=Axis("update"), y=Axis("nats"), series=(points,), alternative="it falls"
    )
    blocks = (Text(text="a text", tone="bad"), Details(summary="more", blocks=(chart,)))
    sections = [Section(id="training", title="Training", blocks=blocks)]
    report.write_sections(sections)
    assert report.sections() == sections
    return {"report.json": report.sections}


def write_PushedModel(pushed: artifacts.PushedModel) -> dict[str, Read]:
    record = Pushed(True, "pushed", "es-en", 3, "serving/es-en/3", "sha256:abc")
    pushed.write(record)
    assert pushed.record() == record
    return {"pushed.json": pushed.record}


def write_HyperParameters(parameters: artifacts.HyperParameters) -> dict[str, Read]:
    values = {"trainer.steps": 700, "trainer.model.cell": "gru"}
    parameters.write(values, [{"class_name": "Fixed", "config": {"name": "trainer.steps", "value": 700}}])
    assert parameters.values() == values
    return {"best_hyperparameters.txt": parameters.values}


def write_TunerResults(results: artifacts.TunerResults) -> dict[str, Read]:
    trials = [artifacts.Trial(number=2, settings={"trainer.steps": 700}, bleu=3.0, curve=[(0.5, 3.0)])]
    results.write(trials)
    assert results.trials() == trials
    return {"tuner_results.json": results.trials}


TESTED_ELSEWHERE = {
    artifacts.TransformCache: "a damaged entry is counted again: tests/components/test_transform.py",
    artifacts.ServedVersion: "outside the pipeline root: tests/components/test_pusher.py",
}
KINDS = [kind for kind in artifacts.KINDS if kind not in TESTED_ELSEWHERE]
DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("this is another file\n"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_is_read_back_and_a_damaged_one_is_an_error(
    kind: type[artifacts.Artifact], tmp_path: Path
) -> None:
    for damage, apply in DAMAGES.items():
        for number, name in enumerate(write_artifact(tmp_path / damage / "names", kind)):
            folder = tmp_path / damage / "Node" / "output" / str(number)
            read = write_artifact(folder, kind)[name]
            read()
            apply(folder / name)
            with pytest.raises(DataError) as caught:
                read()
            assert str(folder) in str(caught.value), (name, damage)
            assert Path(name).name.removesuffix(".txt")[:8] in str(caught.value), (name, damage)
            assert caught.value.remedy == "make it again: `bitext run CONFIG --force Node`", (name, damage)


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_is_listed_in_the_files_of_its_kind(
    kind: type[artifacts.Artifact], tmp_path: Path
) -> None:
    for name in write_artifact(tmp_path / "a", kind):
        assert any(Path(part).name.startswith(kind.FILES) for part in Path(name).parts), name


def test_the_node_is_named_by_the_folder_or_else_by_the_kind(tmp_path: Path) -> None:
    assert artifacts.Examples(Path("runs/es-en/GoldenGen/examples/7")).node == "GoldenGen"
    assert artifacts.Examples(tmp_path / "examples").node == "ExampleGen"
    assert artifacts.TransformedExamples(tmp_path / "examples").node == "Transform"


def test_a_missing_permission_is_not_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(PermissionError):
        artifacts.PushedModel(tmp_path).record()


def test_a_verdict_that_contradicts_its_name_is_damaged(tmp_path: Path) -> None:
    blessing = artifacts.ModelBlessing(tmp_path)
    blessing.write(Verdict(False, ["low"]))
    (tmp_path / "NOT_BLESSED").rename(tmp_path / "BLESSED")
    with pytest.raises(DataError, match="BLESSED is damaged"):
        blessing.verdict()


def test_the_json_of_metrics_has_one_field_for_each_metric() -> None:
    content = metrics(golden=metrics(), test_sets={"news": metrics()}).to_json()
    assert list(content)[:3] == ["bleu", "ter", "perplexity"]
    assert content["ter"] == {"score": 44.0, "signature": "", "interval": (43.0, 45.0)}
    assert "golden" not in content["golden"]
    decoded = json.loads(json.dumps(content))
    assert Metrics.from_json(decoded) == metrics(golden=metrics(), test_sets={"news": metrics()})
    with pytest.raises(msgspec.ValidationError, match="perplexity"):
        Metrics.from_json(decoded | {"perplexity": "low"})


def test_history_after_a_checkpoint_is_discarded(tmp_path: Path) -> None:
    run = artifacts.ModelRun(tmp_path)
    run.discard_after(0)
    for step in (100, 200, 300):
        run.append(Validation(step, 1.0, 2.0, 3.0))
        run.append(artifacts.Progress(step, 1.0, 2.0, 3.0, 4.0, 5.0))
        run.append(artifacts.ValidationSamples(step, ()))
    for file in tmp_path.iterdir():
        with file.open("a") as lines:
            lines.write('{"step": 4')
    run.discard_after(200)
    for records in (run.history(), run.progress(), run.samples()):
        assert [record.step for record in records] == [100, 200]


def files_in(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("kind", KINDS)
def test_the_damage_test_covers_every_file_of_an_artifact(
    kind: type[artifacts.Artifact], tmp_path: Path
) -> None:
    reads = write_artifact(tmp_path / "a", kind)
    assert set(files_in(tmp_path / "a")) == set(reads)
