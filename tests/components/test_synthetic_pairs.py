"""ReverseGen and BulkInferrer: which synthetic pairs a teacher makes of examples."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitext.components import artifacts
from bitext.components.artifacts import PairOrigin
from bitext.components.bulk_inferrer import BulkInferrer, Parameters, executor
from bitext.components.component import Context
from bitext.components.reverse_gen import Parameters as ReverseParameters
from bitext.components.reverse_gen import ReverseGen
from bitext.components.shared import storage, tfrecord
from bitext.components.shared.errors import DataError
from bitext.components.transform import CorpusUse
from bitext.pipeline.beam import pipeline_factory
from tests import toy_model
from tests.components.beam_engine import engine
from tests.components.test_corpora import part
from tests.components.transform_runs import Run
from tests.object_store import bucket, s3_address

__all__ = ["bucket", "s3_address"]

Rows = list[tuple[str, ...]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> artifacts.Model:
    """A teacher that writes in capitals."""
    return artifacts.Model(toy_model.save(tmp_path_factory.mktemp("teacher"), "upper"))


def rows(examples: artifacts.Examples, split: str = "train") -> Rows:
    """Returns id, source and target of the examples of a split."""
    return [
        row
        for file in examples.files(split)
        for batch in tfrecord.read_record_batches(file)
        for row in zip(
            *(tfrecord.string_column(batch, name, file).to_pylist() for name in ("id", "source", "target")),
            strict=True,
        )
    ]


def infer(
    folder: Path,
    model: artifacts.Model,
    examples: Sequence[artifacts.Examples],
    parameters: Parameters,
    lines: list[str] | None = None,
    **inputs: Any,
) -> artifacts.Examples:
    """Runs BulkInferrer."""
    for name in ("work", "temp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    say = ([] if lines is None else lines).append
    context = Context(folder / "work", folder / "temp", pipeline_factory(), say=say)
    output = artifacts.Examples(folder / "out")
    given: dict[str, Any] = {"held_out": tuple(examples), "golden": None, **inputs}
    BulkInferrer().run(
        parameters, context, examples=tuple(examples), model=model, output_examples=output, **given
    )
    return output


def test_reversed_examples_have_no_tags_and_no_test_split(tmp_path: Path) -> None:
    examples = part(
        tmp_path / "law", "law", train=[("<law> a b", "c"), ("<law> d", "e")], eval=[("<law> f", "g")]
    )
    examples.properties.update(train=2, eval=1, part="law", source_language="en", target_language="es")
    output = artifacts.Examples(tmp_path / "out")
    context = Context(tmp_path, tmp_path, lambda: None, say=lambda _: None)
    parameters = ReverseParameters(tags={"law": "<law>"})
    ReverseGen().run(parameters, context, examples=examples, reversed_examples=output)
    assert rows(output) == [("law:0", "c", "a b"), ("law:1", "e", "d")]
    assert rows(output, "eval") == [("law:0", "g", "f")]
    assert output.splits() == ["eval", "train"]
    assert output.properties == {
        "train": 2,
        "eval": 1,
        "corpus": "law",
        "source_language": "es",
        "target_language": "en",
    }


def test_each_side_is_translated_and_keeps_tag_and_id(tmp_path: Path, model: artifacts.Model) -> None:
    tags = {"law": "<LAW>"}
    spans = [
        part(tmp_path / "a", "law", train=[("<LAW> a b", "c"), ("<LAW> d\nd", "e")]),
        part(tmp_path / "b", "web", train=[("f", "g")]),
    ]
    forward = infer(tmp_path / "1", model, spans, Parameters(origin=PairOrigin.FORWARD, tags=tags))
    assert rows(forward) == [
        ("synthetic/forward/law:0", "<LAW> a b", "<LAW> A B"),
        ("synthetic/forward/law:1", "<LAW> d\nd", "<LAW> D D"),
        ("synthetic/forward/web:0", "f", "F"),
    ]
    backward = infer(tmp_path / "2", model, spans, Parameters(origin=PairOrigin.BACKWARD, tags=tags))
    assert [row[1:] for row in rows(backward)] == [("<LAW> C", "c"), ("<LAW> E", "e"), ("G", "g")]
    assert backward.properties == {
        "train": 3,
        "corpus": "synthetic/backward",
        "part": "synthetic/backward",
        "origin": "backward",
    }
    parameters = Parameters(origin=PairOrigin.MONOLINGUAL_TARGET, tag="<bt>")
    assert rows(infer(tmp_path / "3", model, spans[1:], parameters)) == [
        ("synthetic/monolingual_target/web:0", "<bt> G", "g")
    ]


def test_pairs_that_must_not_be_trained_on_are_dropped(tmp_path: Path, model: artifacts.Model) -> None:
    """A source of eval, test or a test set, in any writing, without its tag."""
    train = [("<law> Go", "a"), ("<law> stay", "b"), ("<law> play", "c"), ("<law> walk", "d")]
    examples = part(tmp_path / "a", "law", train=train, eval=[("<law> STAY", "q")], test=[("<law> go", "r")])
    golden = part(tmp_path / "g", "", golden=[])
    tfrecord.write_examples(
        golden.shard("golden"),
        {name: tfrecord.pa.array(["play"]) for name in ("id", "source", "target")},
    )
    lines: list[str] = []
    parameters = Parameters(origin=PairOrigin.FORWARD, tags={"law": "<law>"})
    output = infer(tmp_path / "1", model, [examples], parameters, lines, golden=golden)
    assert [row[1] for row in rows(output)] == ["<law> walk"]
    assert lines[-1] == "4 sentences: 1 synthetic pair; dropped: held-out source 3"


@pytest.mark.parametrize(("length", "is_dropped"), [(60, False), (40, True)])
def test_the_length_ratio_is_that_of_the_held_out_pairs(length: int, is_dropped: bool) -> None:
    import pyarrow as pa

    checks = executor._Checks(Parameters(origin=PairOrigin.FORWARD, max_length_ratio=1.9), [], None)
    checks._ratio = 2.0
    source, target = (pa.array(["x" * size], pa.string()) for size in (length, 60))
    dropped = checks.dropped(source, target, target, np.zeros(1, bool))
    assert bool(dropped[executor.LENGTH_RATIO][0]) is not is_dropped


def test_a_text_that_the_teacher_does_not_read_to_its_end_makes_no_pair(
    tmp_path: Path, model: artifacts.Model
) -> None:
    train = [("a b", "c"), ("word " * toy_model.MAX_LENGTH, "d"), ("e", "f")]
    examples = part(tmp_path / "a", "", train=train)
    lines: list[str] = []
    output = infer(tmp_path / "1", model, [examples], Parameters(origin=PairOrigin.FORWARD), lines)
    assert [row[1] for row in rows(output)] == ["a b", "e"]
    assert lines[-1] == "3 sentences: 2 synthetic pairs; dropped: too long for the teacher 1"
    assert not any("warning" in line for line in lines)


def test_no_pair_is_left(tmp_path: Path, model: artifacts.Model) -> None:
    examples = part(tmp_path / "a", "", train=[("stay", "b")], eval=[("stay", "b")])
    with pytest.raises(DataError, match="no synthetic pair of 1 is left; dropped: held-out source 1"):
        infer(tmp_path / "1", model, [examples], Parameters(origin=PairOrigin.FORWARD))


def test_translations_of_an_interrupted_attempt_are_not_made_again(
    tmp_path: Path, model: artifacts.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = [part(tmp_path / "a", "", train=[("a", "b"), ("c", "d")])]
    parameters = Parameters(origin=PairOrigin.FORWARD)
    first = infer(tmp_path / "1", model, examples, parameters)
    monkeypatch.setattr(executor, "translate_file", lambda *_, **__: pytest.fail("translated again"))
    (tmp_path / "2").mkdir()
    (tmp_path / "1" / "work").rename(tmp_path / "2" / "work")
    assert rows(infer(tmp_path / "2", model, examples, parameters)) == rows(first)


@pytest.mark.slow
def test_workers_without_the_disk_of_the_command(tmp_path: Path, model: artifacts.Model, bucket: str) -> None:
    """On an engine, the pairs are those of this process, and nothing else stays in the remote root."""
    examples = [part(tmp_path / "a", "", train=[(f"word {i}", "b") for i in range(50)])]
    parameters = Parameters(origin=PairOrigin.FORWARD)
    expected = infer(tmp_path / "1", model, examples, parameters)
    remote = storage.path(f"{bucket}/root/BulkInferrer.forward/output_examples/1")
    for name in ("work", "temp"):
        (tmp_path / name).mkdir()
    with engine(tmp_path / "engine", 2) as create_pipeline:
        context = Context(tmp_path / "work", tmp_path / "temp", create_pipeline, say=lambda _: None)
        output = artifacts.Examples(remote)
        BulkInferrer().run(
            parameters,
            context,
            examples=tuple(examples),
            model=model,
            held_out=tuple(examples),
            golden=None,
            output_examples=output,
        )
    assert rows(output) == rows(expected)
    assert [file.name for file in storage.files_below(remote)] == ["data_tfrecord-00000-of-00001.gz"]


def test_the_students_vocabulary_is_learned_from_no_translation(tmp_path: Path) -> None:
    """The pairs are trained on by their weight, without those of the bitext, and eval and test stay."""
    bitext: Rows = [(f"b:{i}", f"one two {i}", f"uno dos {i}") for i in range(6)]
    held_out: Rows = [("h:0", "three one", "tres uno")]
    forward: Rows = [("f:0", "one two 0", "GARBAGE dos"), ("f:1", "one two 1", "uno dos 1")]
    monolingual: Rows = [("m:0", "<bt> NOISE one", "cuatro dos"), ("m:1", "<bt> three one", "cinco")]
    origins = (PairOrigin.FORWARD, PairOrigin.MONOLINGUAL_TARGET)
    uses = (CorpusUse(origins[0].corpus, 1.0, ""), CorpusUse(origins[1].corpus, 3.0, "<bt>"))
    run = Run(
        tmp_path,
        *({"train": bitext, "eval": held_out, "test": held_out}, {"train": forward}, {"train": monolingual}),
        properties=[{}, *({"corpus": origin.corpus, "origin": origin.value} for origin in origins)],
        corpora=uses,
        unit="word",
        vocabulary_size=40,
    )
    tokens = (run.graph.path / run.graph.text().target.vocabulary).read_text().splitlines()
    words = {token.strip("\u2581\x03") for token in tokens}
    assert {"one", "uno", "cuatro", "<bt>"} <= words
    assert not {"GARBAGE", "NOISE", "<", "bt"} & words
    ids = sorted(id_ for id_, _ in run.records("train"))
    assert ids == [b"b:%d" % i for i in range(6)] + [b"f:0"] + 3 * [b"m:0"]
    assert [id_ for id_, _ in run.records("eval")] == [b"h:0"]
    assert run.output.properties["synthetic_forward"] == 1
    assert run.output.properties["synthetic_monolingual_target"] == 1
    assert "synthetic/forward: 1 training pair left out: exact duplicate 1" in run.messages
    assert "synthetic/forward: 1 training pair" in run.messages
    assert "synthetic/monolingual_target: 1 training pair left out: held out elsewhere 1" in run.messages
