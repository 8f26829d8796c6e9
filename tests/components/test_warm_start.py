"""Warm start: the choice of the base model of a training, and the parameters of the training."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import tensorflow as tf

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.seq2seq.model import BOS, EOS
from bitext.components.shared.errors import DataError
from bitext.components.text import TextSettings, learn
from bitext.components.trainer import (
    OptimizerParameters,
    Parameters,
    ScheduleParameters,
    Trainer,
    ValidationParameters,
    executor,
)
from bitext.components.trainer.optimizer import learning_rate
from bitext.components.trainer.recording import sample_indices
from bitext.components.trainer.validation import ValidationScores
from bitext.components.trainer.warm_start import Start, _remap, choose_start
from tests import toy_model
from tests.components.tiny_model import SETTINGS
from tests.structs import changed

WORDS = [f"▁{letter}" for letter in "abcdefgh"]
ROWS = [(f"{n}", "a b c"[: n % 5 + 1], "c d") for n in range(4)]
PARAMETERS = Parameters(
    model=msgspec.structs.replace(SETTINGS, cell="rnn", bidirectional=False, output_dropout=0.2),
    steps=6,
    batch_tokens=12,
    replicas=1,
    optimizer=OptimizerParameters(learning_rate=0.01, average_decay=0.9),
    schedule=ScheduleParameters(warmup_steps=2),
    validation=ValidationParameters(every=2, patience=0),
    samples=2,
)
WARM = changed(PARAMETERS, warm_start={"model": "last_blessed", "steps": 4, "learning_rate": 0.005})


def architecture_only(folder: Path, warm_starts: int | None = None, **changes: Any) -> artifacts.Model:
    """Returns a Model artifact with an architecture and without weights."""
    (folder / "checkpoint").mkdir(parents=True)
    settings = msgspec.structs.replace(WARM.model, **changes)
    (folder / "checkpoint" / "settings.json").write_bytes(msgspec.json.encode(settings))
    properties: dict[str, Any] = {} if warm_starts is None else {"warm_starts": warm_starts}
    return artifacts.Model(folder, properties, None, "ab" * 32)


class TestChooseStart:
    def test_training_is_from_scratch_by_default(self, tmp_path: Path) -> None:
        assert choose_start(PARAMETERS, architecture_only(tmp_path)) == Start(PARAMETERS)

    def test_the_parameters_of_a_warm_start_are_in_effect(self, tmp_path: Path) -> None:
        configured = changed(WARM, steps=100, schedule={"warmup_steps": 20}, warm_start={"steps": 50}, seed=7)
        served = architecture_only(tmp_path, 2)
        started = choose_start(configured, served)
        p = started.parameters
        assert started == Start(p, served, 3, "ab" * 32)
        assert (p.steps, p.schedule.warmup_steps, p.optimizer.learning_rate, p.seed) == (50, 10, 0.005, 10)
        rates = [float(learning_rate(p, tf.constant(step, tf.int64))) for step in (9, 29, 49)]
        assert rates == pytest.approx([0.005, 0.0025, 0.0])
        assert msgspec.convert(msgspec.to_builtins(p), Parameters) == p

    def test_by_default_a_warm_start_only_divides_the_learning_rate_by_four(self, tmp_path: Path) -> None:
        started = choose_start(
            changed(PARAMETERS, warm_start={"model": "last_blessed"}), architecture_only(tmp_path)
        )
        assert started.parameters.optimizer.learning_rate == PARAMETERS.optimizer.learning_rate / 4
        with_configured_rate = msgspec.structs.replace(
            started.parameters,
            warm_start=PARAMETERS.warm_start,
            seed=PARAMETERS.seed,
            optimizer=PARAMETERS.optimizer,
        )
        assert (with_configured_rate, started.warm_starts) == (PARAMETERS, 1)

    def test_the_warm_up_stays_shorter_than_the_training(self, tmp_path: Path) -> None:
        served, rng = architecture_only(tmp_path), random.Random(3)
        for _ in range(200):
            steps = rng.randint(1, 1000)
            warmup_steps, warm_steps = rng.randrange(steps), rng.randint(1, 1000)
            parameters = changed(
                WARM, steps=steps, schedule={"warmup_steps": warmup_steps}, warm_start={"steps": warm_steps}
            )
            p = choose_start(parameters, served).parameters
            assert p.steps == warm_steps
            assert 0 <= p.schedule.warmup_steps < p.steps

    def test_warm_starts_are_counted_and_each_has_its_own_seed(self, tmp_path: Path) -> None:
        served, seeds = None, []
        for number in range(4):
            started = choose_start(WARM, served)
            assert (started.model is None) == bool(started.from_scratch_reason) == (number == 0)
            assert started.warm_starts == number
            assert started.parameters.steps == (WARM.warm_start.steps if number else WARM.steps)
            seeds.append(started.parameters.seed)
            served = architecture_only(tmp_path / str(number), started.warm_starts)
        assert len(set(seeds)) == 4

    def test_the_reason_names_from_scratch_every(self) -> None:
        started = choose_start(changed(WARM, warm_start={"from_scratch_every": 7}), None)
        assert "one training in 7 starts from scratch" in started.from_scratch_reason
        assert (started.parameters.steps, started.warm_starts) == (WARM.steps, 0)

    def test_training_is_from_scratch_if_the_served_model_cannot_be_used(self, tmp_path: Path) -> None:
        for served, reason in [
            (None, "no model is served yet"),
            (artifacts.Model(tmp_path / "gone"), "the model now served is gone from"),
            (
                architecture_only(tmp_path / "other", 1, cell="gru"),
                "another architecture: cell is gru, and the model to",
            ),
        ]:
            started = choose_start(WARM, served)
            assert reason in started.from_scratch_reason
            assert (started.model, started.warm_starts, started.digest) == (None, 0, None)
            assert started.parameters == PARAMETERS

    def test_dropout_rates_and_tied_embeddings_may_differ(self, tmp_path: Path) -> None:
        served = architecture_only(tmp_path, output_dropout=0.4, tie_embeddings=False)
        assert choose_start(WARM, served).model is served

    def test_a_configured_model_folder_takes_precedence_over_the_served_model(self, tmp_path: Path) -> None:
        parameters = changed(PARAMETERS, warm_start={"model": "runs/x/Trainer/model/6"})
        started = choose_start(parameters, architecture_only(tmp_path, 5))
        assert started == Start(parameters, artifacts.Model(Path("runs/x/Trainer/model/6")), 1)

    def test_damaged_settings_are_an_error(self, tmp_path: Path) -> None:
        served = architecture_only(tmp_path)
        for content in ("{", "7"):
            (tmp_path / "checkpoint" / "settings.json").write_text(content)
            with pytest.raises(DataError, match="settings.json is damaged.*cannot start from"):
                choose_start(WARM, served)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 9}, "steps needs model: last_blessed"),
        ({"from_scratch_every": 3}, "from_scratch_every needs model: last_blessed"),
        ({"learning_rate": 0.1, "model": "runs/x"}, "learning_rate needs .*Received model: runs/x"),
        ({"steps": 0, "model": "last_blessed"}, "warm_start.steps"),
        ({"from_scratch_every": -1, "model": "last_blessed"}, "warm_start.from_scratch_every"),
    ],
)
def test_options_that_need_the_last_blessed_model_are_refused_without_it(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert({"warm_start": wrong}, Parameters)


def test_last_blessed_is_not_an_external_input() -> None:
    assert Trainer().external_inputs(WARM) == []


def test_rows_follow_their_tokens_in_random_vocabularies() -> None:
    """The new vocabulary is larger, smaller, in another order, or shares no token with the old one."""
    rng = random.Random(5)
    for _ in range(300):
        before, after = (rng.sample(range(12), rng.randint(1, 12)) for _ in range(2))
        old, new = np.array(before)[:, None] + 100.0, np.array(after)[:, None] + 200.0
        rows, is_known = _remap(old, new, [str(n) for n in before], [str(n) for n in after])
        assert rows[:, 0].tolist() == [token + (100 if token in before else 200) for token in after]
        assert is_known.tolist() == [token in before for token in after]
        assert new[:, 0].tolist() == [token + 200 for token in after], "_remap does not change its arguments"


class Killed(Exception):
    """Raised by a validation to simulate a killed process."""


class Trainings:
    """Runs trainings on a toy corpus in folders below `root`, without exporting a SavedModel."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch):
        self.root, self.monkeypatch = root, monkeypatch
        monkeypatch.setattr(executor.Translator, "save", lambda *_: None)
        monkeypatch.setattr(executor.warm_up, "write", lambda *_: None)
        echo = lambda _, text: {"text": text, "score": tf.zeros(len(text))}  # noqa: E731
        monkeypatch.setattr(executor.Translator, "translate", echo)
        self.spans = []
        for number, rows in enumerate((ROWS[:3], ROWS[3:])):
            toy_model.write_examples(root / f"span {number}", "eval", rows)
            self.spans.append(artifacts.Examples(root / f"span {number}"))
        self.transformed = root / "transformed"
        self._write_split(self.transformed / "Split-train")

    def _write_split(self, folder: Path) -> None:
        """Writes a training split as Transform does."""
        folder.mkdir(parents=True)
        rng = random.Random(9)
        name = "transformed_examples-s003-t004-00000-of-00001.gz"
        with tf.io.TFRecordWriter(str(folder / name), tf.io.TFRecordOptions(compression_type="GZIP")) as file:
            for _ in range(20):
                ids = {
                    "source_ids": [*rng.choices(range(4, 9), k=2), EOS],
                    "target_ids": [BOS, *rng.choices(range(4, 9), k=2), EOS],
                }
                feature = {
                    name: tf.train.Feature(int64_list=tf.train.Int64List(value=value))
                    for name, value in ids.items()
                }
                file.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
        bucket = {"source": 3, "target": 4, "examples": 20, "target_tokens": 60, "files": [name]}
        (folder / "buckets.json").write_text(json.dumps([bucket]))

    def transform_graph(self, words: list[str]) -> artifacts.TransformGraph:
        """Writes a TransformGraph artifact with a vocabulary of these words."""
        folder = self.root / f"text {len(words)}"
        folder.mkdir(exist_ok=True)
        vocabulary = learn.learn(
            {w: 99 - n for n, w in enumerate(words)}, TextSettings(unit="word"), 4 + len(words)
        )
        (folder / "v").write_bytes(vocabulary.vocabulary_file())
        (folder / "m").write_bytes(vocabulary.merges_file())
        side = {"vocabulary": "v", "merges": "m", "size": 4 + len(words)}
        text = {"settings": {"unit": "word"}, "shared": True, "source_max_length": 9}
        (folder / "text.json").write_text(json.dumps({**text, "source": side, "target": side}))
        return artifacts.TransformGraph(folder)

    def __call__(
        self,
        name: str,
        parameters: Parameters,
        served: artifacts.Model | None = None,
        words: list[str] = WORDS,
        killed_after: int | None = None,
    ) -> artifacts.Model:
        """Runs one attempt at a training. Attempts with the same name share a working folder."""
        for subfolder in ("working", "model", "run"):
            (self.root / name / subfolder).mkdir(parents=True, exist_ok=subfolder == "working")
        self.messages: list[str] = []
        model = artifacts.Model(self.root / name / "model", {}, None, name)
        working = self.root / name / "working"
        sources = list(dict.fromkeys(source.strip() for _, source, _ in ROWS))

        def validation_function(
            translator: Any, held_out: list[Any], parameters: Parameters, say: Callable[[str], None]
        ) -> Callable[[], ValidationScores]:
            assert [s.source for s in held_out] == sources, "the eval splits of all spans"

            def increasing_bleu() -> ValidationScores:
                validations = (working / "history.jsonl").read_text(encoding="utf-8").count("\n")
                if validations == killed_after:
                    raise Killed
                texts = tuple(held_out[index].source for index in sample_indices(len(held_out)))
                return ValidationScores(1.0 + validations, translations=texts)

            return increasing_bleu

        self.monkeypatch.setattr(executor, "validation_function", validation_function)
        try:
            executor.run(
                parameters,
                Context(working, working, beam_pipeline=lambda: None, say=self.messages.append),  # type: ignore
                transformed_examples=artifacts.TransformedExamples(self.transformed),
                transform_graph=self.transform_graph(words),
                examples=self.spans,
                base_model=served,
                model=model,
                model_run=artifacts.ModelRun(self.root / name / "run"),
            )
        except Killed:
            for subfolder in ("model", "run"):
                (self.root / name / subfolder).rmdir()
            raise
        return model

    def weights(self, model: artifacts.Model) -> dict[str, np.ndarray]:
        with np.load(model.path / "checkpoint" / "weights.npz") as file:
            return {name: file[name] for name in file.files}

    def steps(self, name: str) -> list[int]:
        """Returns the steps of the validations of a training."""
        lines = (self.root / name / "run" / "history.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line)["step"] for line in lines]


@pytest.fixture
def train(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Trainings:
    return Trainings(tmp_path, monkeypatch)


def are_equal(first: dict[str, np.ndarray], second: dict[str, np.ndarray]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[name], second[name]) for name in first)


def timeless(model: artifacts.Model) -> dict[str, Any]:
    """The properties of a model without those that depend on the speed of the machine."""
    return {name: value for name, value in model.properties.items() if name != "tokens_per_second"}


class TestTraining:
    def test_a_warm_start_uses_the_weights_of_the_served_model(self, train: Trainings) -> None:
        first = train("first", WARM)
        assert "training from scratch: no model is served yet" in train.messages
        assert (first.properties["warm_starts"], train.steps("first")) == (0, [2, 4, 6])
        assert "warm_started_from" not in first.properties
        second = train("second", WARM, first, [*WORDS, "▁i", "▁j"])
        assert any("target_embedding: 12 of 14 tokens were known to" in line for line in train.messages)
        assert (second.properties["warm_starts"], train.steps("second")) == (1, [2, 4])
        assert second.properties["warm_started_from"] == "first"
        effective = json.loads((second.path / "model.json").read_text(encoding="utf-8"))
        assert (effective["steps"], effective["schedule"]["warmup_steps"]) == (4, 1)
        assert effective["optimizer"]["learning_rate"] == 0.005
        third = train("third", changed(WARM, warm_start={"from_scratch_every": 2}))
        assert (third.properties["warm_starts"], train.steps("third")) == (0, [2, 4, 6])
        assert are_equal(train.weights(third), train.weights(first))

    def test_a_killed_training_gives_the_weights_of_an_unbroken_one(self, train: Trainings) -> None:
        served = train("served", PARAMETERS)
        unbroken = train("unbroken", WARM, served)
        with pytest.raises(Killed):
            train("broken", WARM, served, killed_after=1)
        resumed = train("broken", WARM, served)
        assert "resumed at step 2 of 4" in train.messages
        assert are_equal(train.weights(resumed), train.weights(unbroken))
        assert timeless(resumed) == timeless(unbroken)
        assert train.steps("broken") == [2, 4]


class TestEmbeddings:
    """Pretrained vectors in a whole training: the first one, an interrupted one, and a warm start."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        path = tmp_path / "own.vec"
        units = SETTINGS.embedding_units
        lines = [f"{word} {' '.join([str(n + 1)] * units)}" for n, word in enumerate("abi")]
        path.write_text("\n".join([f"3 {units}", *lines]) + "\n")
        return path

    def rows(self, train: Trainings, model: artifacts.Model, count: int) -> np.ndarray:
        """The rows of the first words after the four specials."""
        return train.weights(model)["seq2seq/target_embedding"][4 : 4 + count]

    def test_frozen_rows_stay_also_in_a_training_that_was_killed(self, train: Trainings, file: Path) -> None:
        parameters = changed(PARAMETERS, embeddings={"source": str(file), "freeze": True})
        unbroken = train("unbroken", parameters)
        assert any("source embedding: 2 of 12 tokens (16.7%) are in" in line for line in train.messages)
        rows = self.rows(train, unbroken, 3)
        # The vectors of a, b: 1 and 2 times the ones, scaled to a mean square norm of 1.
        expected = np.array([1, 2]) / np.sqrt(2.5 * SETTINGS.embedding_units)
        np.testing.assert_allclose(rows[:2], np.tile(expected[:, None], (1, rows.shape[1])), rtol=1e-5)
        assert not np.allclose(rows[2], rows[2][0])
        with pytest.raises(Killed):
            train("broken", parameters, killed_after=1)
        resumed = train("broken", parameters)
        assert are_equal(train.weights(resumed), train.weights(unbroken))

    def test_without_freeze_the_training_changes_the_rows(self, train: Trainings, file: Path) -> None:
        model = train("free", changed(PARAMETERS, embeddings={"target": str(file)}))
        rows = self.rows(train, model, 1)
        assert not np.allclose(rows, rows[0, 0], rtol=1e-5)

    def test_a_warm_start_starts_only_new_tokens_from_the_file(self, train: Trainings, file: Path) -> None:
        served = train("served", PARAMETERS)
        parameters = changed(WARM, embeddings={"source": str(file), "freeze": True})
        model = train("warm", parameters, served, [*WORDS, "▁i", "▁j"])
        assert any("2 of these keep the rows of the model" in line for line in train.messages)
        np.testing.assert_allclose(self.rows(train, model, 2), self.rows(train, served, 2), rtol=1e-5)
        new = self.rows(train, model, 10)[8]
        np.testing.assert_allclose(new, new[0], rtol=1e-5)
        assert not np.allclose(self.rows(train, model, 3)[2], self.rows(train, served, 3)[2], rtol=1e-5)
