"""Trainer: batches, optimizer, training loop, warm start. An interrupted training gives the same weights."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import tensorflow as tf

from bitext.components.artifacts import Model, TransformedExamples
from bitext.components.component import Context
from bitext.components.seq2seq import SearchSettings
from bitext.components.seq2seq.export import checkpoint
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.seq2seq.layers.dropout import Dropout
from bitext.components.seq2seq.loss import masked_loss
from bitext.components.seq2seq.model import BOS, EOS, PAD, Seq2Seq
from bitext.components.shared.errors import ConfigError, DataError, TrainingError
from bitext.components.shared.heldout import Sentence
from bitext.components.text import TextSettings, learn, processor
from bitext.components.trainer import (
    OptimizerParameters,
    Parameters,
    ScheduleParameters,
    Trainer,
    ValidationParameters,
    WarmStartParameters,
    divergence,
)
from bitext.components.trainer.data import Batches
from bitext.components.trainer.executor import search_warnings, setting_warnings
from bitext.components.trainer.optimizer import Optimizer, learning_rate, sampling_rate
from bitext.components.trainer.precision import matmul_precision, with_precision
from bitext.components.trainer.state import Progress
from bitext.components.trainer.training import Training
from bitext.components.trainer.updates import Updates
from bitext.components.trainer.validation import ValidationScores, validation_function
from bitext.components.trainer.warm_start import load_weights
from tests.components.tiny_model import SETTINGS, VOCABULARY, build, initialize
from tests.structs import changed

SHAPES = {(3, 4): 13, (5, 4): 7, (4, 6): 1}
"""Number of examples of each padded shape. Every second target of shape (5, 4) has one padding token."""
BATCH_TOKENS = 12


@pytest.fixture(scope="module")
def split(tmp_path_factory) -> Path:
    """A training split as Transform writes it."""
    folder = tmp_path_factory.mktemp("transformed") / "Split-train"
    folder.mkdir()
    random = np.random.default_rng(9)
    buckets = []
    for (source, target), count in SHAPES.items():
        name = f"transformed_examples-s{source:03d}-t{target:03d}-00000-of-00001.gz"
        with tf.io.TFRecordWriter(str(folder / name), tf.io.TFRecordOptions(compression_type="GZIP")) as file:
            tokens = 0
            for number in range(count):
                padding = int(source == 5 and number % 2)
                words = random.integers(4, VOCABULARY, target - 2 - padding).tolist()
                tokens += len(words) + 1
                file.write(
                    example(
                        [*random.integers(4, VOCABULARY, source - 1).tolist(), EOS],
                        [BOS, *words, EOS, *[PAD] * padding],
                    )
                )
        bucket = {"source": source, "target": target, "examples": count, "target_tokens": tokens}
        buckets.append({**bucket, "files": [name]})
    (folder / "buckets.json").write_text(json.dumps(buckets), encoding="utf-8")
    return folder


def example(source: list[int], target: list[int]) -> bytes:
    """Returns a serialized tf.Example of one pair."""
    lists = {"source_ids": source, "target_ids": target}
    feature = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=values)) for name, values in lists.items()
    }
    serialized: bytes = tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
    return serialized


def rows(batches: list) -> list[tuple]:
    """Returns the examples of batches, in order."""
    return [
        (tuple(s), tuple(t))
        for source, target in batches
        for s, t in zip(source.numpy().tolist(), target.numpy().tolist(), strict=True)
    ]


def take(batches: Batches, step: int, count: int) -> list:
    """Returns `count` batches after a step."""
    iterator = batches.after(step)
    return [next(iterator) for _ in range(count)]


def every_example(split: Path) -> list[tuple]:
    """Returns the examples in the files of a split, sorted."""
    examples = []
    for path in sorted(split.glob("*.gz")):
        for record in tf.data.TFRecordDataset(str(path), "GZIP"):
            feature = tf.train.Example.FromString(record.numpy()).features.feature
            examples.append(tuple(tuple(feature[n].int64_list.value) for n in ("source_ids", "target_ids")))
    return sorted(examples)


def open_batches(split: Path, seed: int) -> Batches:
    return Batches.open(TransformedExamples(split.parent), BATCH_TOKENS, seed)


class TestBatches:
    def test_an_epoch_holds_every_example_once(self, split):
        batches = open_batches(split, seed=1)
        assert batches.per_epoch == 5 + 3 + 1  # with 3, 3 and 2 sentences a batch
        for epoch in range(3):
            taken = take(batches, epoch * batches.per_epoch, batches.per_epoch)
            assert sorted(rows(taken)) == every_example(split)
            assert all(source.shape[0] * target.shape[1] <= BATCH_TOKENS for source, target in taken)

    def test_epochs_and_seeds_differ_and_repeat(self, split):
        def epochs(seed: int) -> list[list[tuple]]:
            batches = open_batches(split, seed)
            taken = take(batches, 0, 2 * batches.per_epoch)
            return [rows(taken[: batches.per_epoch]), rows(taken[batches.per_epoch :])]

        assert epochs(1) == epochs(1)
        assert epochs(1)[0] != epochs(1)[1]
        assert epochs(1)[0] != epochs(2)[0]

    def test_a_later_start_continues_the_same_sequence(self, split):
        batches = open_batches(split, seed=3)
        from_start = take(batches, 0, 25)
        for step in (1, 8, 9, 10, 20):
            assert rows(take(batches, step, 25 - step)) == rows(from_start[step:])

    def test_batches_read_ahead_are_in_order(self, split):
        batches = open_batches(split, seed=3)
        read_ahead = list(itertools.islice(batches.read_ahead(2), 12))
        assert rows(read_ahead) == rows(take(batches, 2, 12))

    def test_the_error_about_a_damaged_file_names_it_and_the_remedy(self, split, tmp_path):
        copy = shutil.copytree(split, tmp_path / "Split-train")
        file = next(copy.glob("*.gz"))
        file.write_bytes(file.read_bytes()[:-20])
        with pytest.raises(DataError, match=re.escape(str(copy))) as caught:
            list(itertools.islice(open_batches(copy, seed=1).read_ahead(0), 10))
        assert "Transform" in caught.value.remedy

    def test_read_ahead_can_be_closed(self, split):
        batches = open_batches(split, seed=1).read_ahead(0)
        next(batches)
        batches.close()
        with pytest.raises(StopIteration):
            next(batches)

    def test_mean_tokens_counts_predicted_tokens_without_padding(self, split):
        batches = open_batches(split, seed=1)
        predicted = [target.numpy()[:, 1:] for _, target in take(batches, 0, 9)]
        assert batches.mean_tokens == pytest.approx(sum((p != PAD).sum() for p in predicted) / 9)
        assert batches.mean_tokens < sum(p.size for p in predicted) / 9

    @pytest.mark.parametrize("content", ["", "[", "7", '[{"files": []}]'])
    def test_the_error_about_a_damaged_list_of_buckets_names_it_and_the_remedy(self, tmp_path, content):
        split = tmp_path / "Split-train"
        split.mkdir()
        (split / "buckets.json").write_text(content, encoding="utf-8")
        with pytest.raises(DataError, match=f"{re.escape(str(tmp_path))}.*buckets.json is damaged") as caught:
            open_batches(split, seed=1)
        assert "--force Transform" in caught.value.remedy

    def test_a_split_without_examples_is_refused(self, tmp_path):
        (tmp_path / "Split-train").mkdir()
        (tmp_path / "Split-train" / "buckets.json").write_text("[]", encoding="utf-8")
        with pytest.raises(DataError, match="holds no examples"):
            open_batches(tmp_path / "Split-train", seed=1)


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [
        ("constant", lambda n: 1.0),
        ("linear", lambda n: 1.0 - (n - 10) / 90),
        ("cosine", lambda n: 0.5 * (1 + math.cos(math.pi * (n - 10) / 90))),
        ("inverse_sqrt", lambda n: math.sqrt(10 / n)),
    ],
)
def test_the_learning_rate_of_each_schedule(schedule, factor):
    parameters = Parameters(
        steps=100,
        schedule=ScheduleParameters(kind=schedule, warmup_steps=10),
        optimizer=OptimizerParameters(learning_rate=0.5),
    )
    for update in range(1, 101):
        expected_rate = 0.5 * (update / 10 if update <= 10 else factor(update))
        rate = float(learning_rate(parameters, tf.constant(update - 1, tf.int64)))
        assert rate == pytest.approx(expected_rate, rel=1e-4, abs=1e-6)


def test_the_sampling_rate_rises_linearly():
    parameters = Parameters(steps=100, schedule=ScheduleParameters(warmup_steps=10), scheduled_sampling=0.4)
    rates = [float(sampling_rate(parameters, tf.constant(step, tf.int64))) for step in (0, 25, 50, 100)]
    assert rates == pytest.approx([0.0, 0.1, 0.2, 0.4])


def test_without_a_warm_up_the_first_update_has_the_full_learning_rate():
    parameters = Parameters(
        steps=100,
        schedule=ScheduleParameters(kind="constant", warmup_steps=0),
        optimizer=OptimizerParameters(learning_rate=0.5),
    )
    assert float(learning_rate(parameters, tf.constant(0, tf.int64))) == 0.5


class TestOptimizer:
    PARAMETERS = Parameters(
        steps=10,
        schedule=ScheduleParameters(kind="constant", warmup_steps=1),
        optimizer=OptimizerParameters(
            learning_rate=0.1, beta1=0.8, epsilon=1e-3, weight_decay=0.2, clip_norm=1.0, average_decay=0.25
        ),
    )

    def test_updates_equal_adamw_in_numpy(self):
        random = np.random.default_rng(10)
        values = [random.normal(size=(2, 3)), random.normal(size=3)]
        variables = [tf.Variable(v, dtype=tf.float32) for v in values]
        optimizer, p = Optimizer(self.PARAMETERS, variables), self.PARAMETERS.optimizer
        first, second = [np.zeros_like(v) for v in values], [np.zeros_like(v) for v in values]
        averages = [v.copy() for v in values]
        for step in range(1, 7):
            gradients = [random.normal(size=v.shape) * 0.1**step * 10 for v in values]
            norm = math.sqrt(sum((g**2).sum() for g in gradients))
            returned_norm = optimizer.apply([tf.constant(g, tf.float32) for g in gradients])
            assert float(returned_norm) == pytest.approx(norm, rel=1e-4)
            for i, gradient in enumerate(gradients):
                gradient = gradient * min(1.0, 1.0 / norm)
                first[i] = p.beta1 * first[i] + (1 - p.beta1) * gradient
                second[i] = p.beta2 * second[i] + (1 - p.beta2) * gradient**2
                correction = math.sqrt(1 - p.beta2**step) / (1 - p.beta1**step)
                adam = correction * first[i] / (np.sqrt(second[i]) + p.epsilon)
                decay = 0.2 * values[i] if values[i].ndim == 2 else 0.0
                values[i] = values[i] - 0.1 * (adam + decay)
                ema_decay = min(0.25, step / (step + 10))  # 0.25 from the fourth update on
                averages[i] = ema_decay * averages[i] + (1 - ema_decay) * values[i]
                np.testing.assert_allclose(variables[i], values[i], rtol=1e-4, atol=1e-5)
                np.testing.assert_allclose(optimizer.average[i], averages[i], rtol=1e-4, atol=1e-5)
        assert int(optimizer.step) == 6

    def test_after_100_updates_the_average_changes_at_every_fourth_update(self):
        variable = tf.Variable([1.0, -2.0])
        optimizer = Optimizer(changed(self.PARAMETERS, optimizer={"average_decay": 0.98}), [variable])
        apply = tf.function(lambda: optimizer.apply([tf.sin(3.0 * variable)]))
        average, averages = variable.numpy(), []
        for count in range(1, 121):
            apply()
            decay = min(0.98, count / (count + 10))
            if count <= 100:
                average = decay * average + (1 - decay) * variable.numpy()
            elif count % 4 == 0:
                average = decay**4 * average + (1 - decay**4) * variable.numpy()
            np.testing.assert_allclose(optimizer.average[0], average, rtol=1e-4)
            averages.append(tuple(optimizer.average[0].numpy()))
        assert len(set(averages[:100])) == 100
        assert len(set(averages[99:])) == 6

    def test_two_swaps_restore_the_weights(self):
        variable = tf.Variable([1.0, 2.0])
        optimizer = Optimizer(self.PARAMETERS, [variable])
        optimizer.apply([tf.constant([0.3, -0.3])])
        weights, average = variable.numpy(), optimizer.average[0].numpy()
        assert (weights != average).all()
        optimizer.swap()
        np.testing.assert_array_equal(variable, average)
        optimizer.swap()
        np.testing.assert_array_equal(variable, weights)

    def test_without_averaging_a_swap_changes_nothing(self):
        variable = tf.Variable([1.0, 2.0])
        optimizer = Optimizer(changed(self.PARAMETERS, optimizer={"average_decay": 0.0}), [variable])
        optimizer.apply([tf.constant([0.3, -0.3])])
        weights = variable.numpy()
        optimizer.swap()
        np.testing.assert_array_equal(variable, weights)


PARAMETERS = Parameters(
    model=msgspec.structs.replace(SETTINGS, cell="rnn", bidirectional=False, output_dropout=0.2),
    steps=12,
    batch_tokens=BATCH_TOKENS,
    replicas=1,
    optimizer=OptimizerParameters(learning_rate=0.01, average_decay=0.9),
    schedule=ScheduleParameters(warmup_steps=2),
    validation=ValidationParameters(every=4, patience=0),
)


@pytest.fixture(scope="module")
def deterministic():
    """Makes TensorFlow deterministic, for all later tests too."""
    tf.config.experimental.enable_op_determinism()


class Killed(Exception):
    """Raised by a validation to simulate a killed process."""


def killed_in_second_validation(count: int) -> float:
    """A validation function for `Attempt.run`."""
    if count == 1:
        raise Killed
    return float(count)


@dataclasses.dataclass
class Attempt:
    """One attempt at a training. Attempts with the same `folder` share the working folder."""

    split: Path
    folder: Path
    parameters: Parameters = PARAMETERS

    def run(self, validate: Callable[[int], float | ValidationScores]) -> Attempt:
        """Trains. `validate` receives the number of earlier validations. It returns the scores, or BLEU."""
        self.messages: list[str] = []
        self.weights_seen: list[list[np.ndarray]] = []
        self.model = initialize(self.parameters.model, VOCABULARY, VOCABULARY, seed=self.parameters.seed)
        (self.folder / "working").mkdir(parents=True, exist_ok=True)
        context = Context(
            working_dir=self.folder / "working",
            temp_dir=self.folder,
            beam_pipeline=lambda: pytest.fail("the trainer runs no Beam pipeline"),
            say=self.messages.append,
        )

        def count_and_validate() -> ValidationScores:
            self.weights_seen.append(self.weights())
            scores = validate(len(self.weights_seen) - 1)
            return scores if isinstance(scores, ValidationScores) else ValidationScores(scores)

        batches = open_batches(self.split, self.parameters.seed)
        Training(self.model, self.parameters, batches, count_and_validate, context).run()
        return self

    def weights(self) -> list[np.ndarray]:
        return [v.numpy() for v in self.model.trainable_variables]

    def history(self) -> list[dict]:
        lines = (self.folder / "working" / "history.jsonl").read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def progress_of_an_older_version(
    self: Progress, variables: list[tf.Variable], *, averages_late: bool
) -> None:
    """Makes a `Progress` whose checkpoint has the best BLEU only."""
    assert not averages_late
    tf.Module.__init__(self, name="progress")
    self.best_bleu = tf.Variable(-1.0, dtype=tf.float64, trainable=False)
    self.validations_without_improvement = tf.Variable(0, dtype=tf.int64, trainable=False)
    self.stopped = tf.Variable(False, trainable=False)
    for name in ("loss", "tokens", "norm", "logged_loss"):
        setattr(self, name, tf.Variable(0.0, trainable=False))
    self.seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)
    self.best_weights = [tf.Variable(v, trainable=False) for v in variables]
    for name in ("best_chrf", "best_loss"):
        object.__setattr__(self, name, tf.Variable(0.0, dtype=tf.float64, trainable=False))
    object.__setattr__(self, "late_validations", tf.Variable(0, dtype=tf.int64, trainable=False))
    object.__setattr__(self, "late_weights", [])


def are_equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.usefixtures("deterministic")
class TestTraining:
    def test_an_interrupted_training_gives_the_weights_of_an_unbroken_one(self, split, tmp_path):
        unbroken = Attempt(split, tmp_path / "unbroken").run(float)
        assert [line["step"] for line in unbroken.history()] == [4, 8, 12]

        with pytest.raises(Killed):
            Attempt(split, tmp_path / "broken").run(killed_in_second_validation)
        # The history as after a kill between the line of a validation and its checkpoint, and within a line.
        with (tmp_path / "broken" / "working" / "history.jsonl").open("a") as file:
            file.write('{"step": 8, "minutes": 0.1, "loss": 1.0, "bleu": 1.0}\n{"step": 1')
        resumed = Attempt(split, tmp_path / "broken").run(lambda count: float(count + 1))
        assert "resumed at step 4 of 12" in resumed.messages
        assert [line["step"] for line in resumed.history()] == [4, 8, 12]
        assert [line["bleu"] for line in resumed.history()] == [0.0, 1.0, 2.0]
        for expected, weights in zip(unbroken.weights_seen[1:], resumed.weights_seen, strict=True):
            assert are_equal(expected, weights)
        assert are_equal(unbroken.weights(), resumed.weights())

        # Another attempt at a finished training changes nothing.
        again = Attempt(split, tmp_path / "broken").run(lambda _: pytest.fail("there is nothing to validate"))
        assert are_equal(again.weights(), unbroken.weights())
        assert again.history() == resumed.history()

    def test_training_stops_early_and_returns_the_best_weights(self, split, tmp_path):
        parameters = changed(PARAMETERS, steps=40, validation={"patience": 2, "every": 2})
        bleu = [5.0, 9.0, 8.0, 9.0]
        attempt = Attempt(split, tmp_path, parameters).run(lambda count: bleu[count])
        assert [line["step"] for line in attempt.history()] == [2, 4, 6, 8]
        assert are_equal(attempt.weights(), attempt.weights_seen[1])
        assert not are_equal(attempt.weights(), attempt.weights_seen[3])
        assert any("stopped early" in line for line in attempt.messages)
        assert any("not better" in line for line in attempt.messages)

    @pytest.mark.parametrize(
        ("scores", "best", "stops_after"),
        [
            # BLEU decides, whatever chrF and the loss are.
            ([(5, 9, 1), (9, 2, 9), (8, 50, 0), (9, 2, 9), (8, 60, 0)], 1, 4),
            # chrF decides between equal BLEU.
            ([(0, 3, 5), (0, 7, 5), (0, 6, 1), (0, 7.5, 9), (0, 7, 0), (0, 7.5, 9)], 3, 6),
            # The loss decides between equal BLEU and chrF.
            ([(0, 0, 5), (0, 0, 4), (0, 0, 4), (0, 0, 3), (0, 0, 3.5), (0, 0, 3)], 3, 6),
            ([(0, 0, math.nan)] * 3, 0, 3),
        ],
    )
    def test_the_best_validation_has_the_highest_bleu_then_chrf_then_the_lowest_loss(
        self, split, tmp_path, scores, best, stops_after
    ):
        parameters = changed(PARAMETERS, steps=40, validation={"patience": 2, "every": 2})
        attempt = Attempt(split, tmp_path, parameters).run(lambda count: ValidationScores(*scores[count]))
        assert len(attempt.history()) == stops_after
        assert are_equal(attempt.weights(), attempt.weights_seen[best])
        assert [line["chrf"] for line in attempt.history()] == [chrf for _, chrf, _ in scores[:stops_after]]
        losses = [loss if math.isfinite(loss) else None for *_, loss in scores[:stops_after]]
        assert [line["validation_loss"] for line in attempt.history()] == losses

    def test_training_stops_before_the_checkpoint_if_the_loss_is_not_finite(self, split, tmp_path):
        parameters = changed(PARAMETERS, optimizer={"learning_rate": 1e38, "clip_norm": 1e30})
        with pytest.raises(TrainingError, match="at step 4") as caught:
            Attempt(split, tmp_path, parameters).run(float)
        assert "trainer.optimizer.learning_rate" in caught.value.remedy
        assert not list((tmp_path / "working" / "checkpoints").glob("*.index"))

    def test_training_stops_if_the_loss_is_ten_times_that_of_chance(self, split, tmp_path):
        parameters = changed(
            PARAMETERS,
            optimizer={"learning_rate": 300.0, "clip_norm": 1e30},
            schedule={"kind": "constant", "warmup_steps": 0},
        )
        with pytest.raises(TrainingError, match="over 10 times the 2.5 of a model") as caught:
            Attempt(split, tmp_path, parameters).run(float)
        assert "trainer.optimizer.learning_rate" in caught.value.remedy
        assert not list((tmp_path / "working" / "checkpoints").glob("*.index"))

    def test_a_bad_loss_below_ten_times_that_of_chance_goes_on(self, split, tmp_path, monkeypatch):
        monkeypatch.setattr(divergence, "DIVERGED_FACTOR", 0.5)
        with pytest.raises(TrainingError, match="over 0.5 times"):
            Attempt(split, tmp_path / "half").run(float)
        monkeypatch.setattr(divergence, "DIVERGED_FACTOR", 2)
        assert Attempt(split, tmp_path / "twice").run(float).history()

    def test_the_loss_falls(self, split, tmp_path):
        parameters = changed(
            PARAMETERS, steps=60, validation={"every": 60}, optimizer={"learning_rate": 0.03}
        )
        attempt = Attempt(split, tmp_path, parameters).run(float)
        untrained = initialize(parameters.model, VOCABULARY, VOCABULARY, seed=parameters.seed)
        examples = every_example(split)
        groups = {len(s): [e for e in examples if len(e[0]) == len(s)] for s, _ in examples}

        def log_prob(model: Seq2Seq) -> float:
            return sum(
                float(tf.reduce_sum(model.score(*(tf.constant(side, tf.int32) for side in zip(*g)))[0]))
                for g in groups.values()
            )

        assert log_prob(attempt.model) > 0.8 * log_prob(untrained)

    @pytest.mark.parametrize("damage", ["index", "data", "history"])
    def test_the_error_about_a_damaged_checkpoint_names_it_and_the_remedy(self, split, tmp_path, damage):
        with pytest.raises(Killed):
            Attempt(split, tmp_path).run(killed_in_second_validation)
        working = tmp_path / "working"
        if damage == "history":
            (working / "history.jsonl").write_text("{\n")
        else:
            for path in (working / "checkpoints").glob(f"*.{damage}*"):
                path.write_bytes(path.read_bytes()[:-100])
        with pytest.raises(DataError, match=f"{re.escape(str(working))}.*cannot be read") as caught:
            Attempt(split, tmp_path).run(float)
        assert f"delete {working}" in caught.value.remedy


@pytest.mark.usefixtures("deterministic")
class TestTrainingOptions:
    def test_accumulated_batches_give_the_update_of_one_large_batch(self, split, tmp_path):
        # Without dropout, the update with the summed gradients of two batches is that of their union.
        model = msgspec.structs.replace(PARAMETERS.model, output_dropout=0.0)
        parameters = changed(
            PARAMETERS,
            model=model,
            accumulate=2,
            steps=3,
            validation={"every": 3},
            schedule={"warmup_steps": 0},
        )
        attempt = Attempt(split, tmp_path, parameters).run(float)
        batches = open_batches(split, parameters.seed)
        network = initialize(model, VOCABULARY, VOCABULARY, seed=parameters.seed)
        variables = [v.value for v in network.trainable_variables]
        optimizer = Optimizer(parameters, variables)
        iterator = batches.after(0)
        for _ in range(3):
            with tf.GradientTape() as tape:
                losses = [
                    masked_loss(network, *next(iterator), parameters.label_smoothing, Dropout()).smoothed
                    for _ in range(2)
                ]
                total = tf.add_n(losses) / (2 * batches.mean_tokens)
            optimizer.apply([tf.convert_to_tensor(g) for g in tape.gradient(total, variables)])
        optimizer.swap()
        for weights, expected in zip(attempt.weights(), network.trainable_variables, strict=True):
            np.testing.assert_allclose(weights, expected, rtol=1e-3, atol=1e-5)

    def test_replicas_give_the_update_of_the_whole_batch(self, split, tmp_path):
        model = msgspec.structs.replace(PARAMETERS.model, output_dropout=0.0)
        # One of the batches has a single sentence, so one replica is empty.
        single, replicas = (
            Attempt(split, tmp_path / str(n), changed(PARAMETERS, model=model, replicas=n)).run(float)
            for n in (1, 2)
        )
        for weights, expected in zip(replicas.weights(), single.weights(), strict=True):
            np.testing.assert_allclose(weights, expected, rtol=1e-3, atol=1e-5)
        for line, expected in zip(replicas.history(), single.history(), strict=True):
            assert line["loss"] == pytest.approx(expected["loss"], rel=1e-3)

    def test_each_replica_has_its_own_dropout_seed(self, split, tmp_path):
        seeds = []

        class SeedRecorder(Training):
            def _replica(self, source, target, served, dropout):
                seeds.append(dropout.next_seed())
                return super()._replica(source, target, served, dropout)

        parameters = changed(PARAMETERS, replicas=3, accumulate=2)
        network = initialize(parameters.model, VOCABULARY, VOCABULARY, seed=parameters.seed)
        context = Context(tmp_path, tmp_path, lambda: pytest.fail("no Beam"), [].append)
        batches = open_batches(split, parameters.seed)
        training = SeedRecorder(network, parameters, batches, float, context)
        for index in range(2):
            training.gradients(index, *next(batches.after(0)))
        assert len({tuple(seed.numpy()) for seed in seeds}) == 6

    def unbroken_and_resumed(
        self, split: Path, folder: Path, parameters: Parameters, bleu: Sequence[float | ValidationScores]
    ) -> tuple[Attempt, Attempt]:
        """Runs a training, and the same training killed in its third validation and resumed."""
        unbroken = Attempt(split, folder / "unbroken", parameters).run(lambda count: bleu[count])

        def killed_in_third_validation(count: int) -> float:
            if count == 2:
                raise Killed
            return bleu[count]

        with pytest.raises(Killed):
            Attempt(split, folder / "broken", parameters).run(killed_in_third_validation)
        resumed = Attempt(split, folder / "broken", parameters).run(lambda count: bleu[count + 2])
        assert any("resumed at step" in line for line in resumed.messages)
        return unbroken, resumed

    def test_a_resumed_training_keeps_its_patience_and_best_weights(self, split, tmp_path):
        parameters = changed(PARAMETERS, validation={"patience": 3}, steps=40)
        bleu = [5.0, 3.0, 4.0, 4.5, 9.0]
        unbroken, resumed = self.unbroken_and_resumed(split, tmp_path, parameters, bleu)
        for attempt in (unbroken, resumed):
            assert [line["bleu"] for line in attempt.history()] == bleu[:4]
            assert are_equal(attempt.weights(), unbroken.weights_seen[0])

    def test_a_resumed_training_knows_chrf_and_loss_of_the_best_validation(self, split, tmp_path):
        parameters = changed(PARAMETERS, validation={"patience": 3}, steps=40)
        scores = [ValidationScores(0.0, *rest) for rest in ((9.0, 3.0), (8.0, 1.0), (9.0, 3.0), (7.0, 0.5))]
        unbroken, resumed = self.unbroken_and_resumed(split, tmp_path, parameters, scores)
        for attempt in (unbroken, resumed):
            assert [line["chrf"] for line in attempt.history()] == [9.0, 8.0, 9.0, 7.0]
            assert are_equal(attempt.weights(), unbroken.weights_seen[0])

    def test_a_checkpoint_of_an_older_version_is_resumed(self, split, tmp_path, monkeypatch):
        """It has the best BLEU, but no chrF and no loss: with equal BLEU, the next validation is better."""

        def killed_in_its_third_validation(count: int) -> float:
            if count == 2:
                raise Killed
            return 5.0

        with monkeypatch.context() as older:
            older.setattr(Progress, "__init__", progress_of_an_older_version)
            with pytest.raises(Killed):
                Attempt(split, tmp_path).run(killed_in_its_third_validation)
        resumed = Attempt(split, tmp_path).run(lambda _: ValidationScores(5.0, 1.0, 2.0))
        assert any("resumed at step 8" in line for line in resumed.messages)
        assert are_equal(resumed.weights(), resumed.weights_seen[0])

    @pytest.mark.parametrize(
        "changes",
        [
            {"accumulate": 2},
            {"optimizer": {"average_checkpoints": 2}},
            {"consistency": 1.0},
            pytest.param({"replicas": 2}, marks=pytest.mark.slow),
            pytest.param({"schedule": {"kind": "plateau"}}, marks=pytest.mark.slow),
            pytest.param({"scheduled_sampling": 0.5}, marks=pytest.mark.slow),
        ],
        ids=lambda c: next(iter(c)),
    )
    def test_an_interrupted_training_with_options_gives_the_weights_of_an_unbroken_one(
        self, split, tmp_path, changes
    ):
        parameters = changed(PARAMETERS, **changes)
        bleu = [5.0, 3.0, 4.0]
        unbroken, resumed = self.unbroken_and_resumed(split, tmp_path, parameters, bleu)
        for expected, weights in zip(unbroken.weights_seen[2:], resumed.weights_seen, strict=True):
            assert are_equal(expected, weights)
        assert are_equal(unbroken.weights(), resumed.weights())
        assert not are_equal(
            unbroken.weights_seen[1], Attempt(split, tmp_path / "plain").run(float).weights_seen[1]
        )

    def test_the_mean_of_the_last_checkpoints_is_validated(self, split, tmp_path):
        single = (
            Attempt(split, tmp_path / "1", changed(PARAMETERS, optimizer={"average_checkpoints": 1}))
            .run(float)
            .weights_seen
        )
        double = (
            Attempt(split, tmp_path / "2", changed(PARAMETERS, optimizer={"average_checkpoints": 2}))
            .run(float)
            .weights_seen
        )
        assert are_equal(single[0], double[0])
        for n in (1, 2):
            for a, b, mean in zip(single[n - 1], single[n], double[n], strict=True):
                np.testing.assert_allclose(mean, (a + b) / 2, rtol=1e-5, atol=1e-6)

    def test_a_plateau_lowers_the_learning_rate(self, split, tmp_path):
        parameters = changed(PARAMETERS, schedule={"kind": "plateau", "plateau_factor": 0.25})
        better = Attempt(split, tmp_path / "better", parameters).run(float)
        worse = Attempt(split, tmp_path / "worse", parameters).run(lambda count: -float(count))
        changes = [
            [np.abs(a - b).max() for a, b in zip(run.weights_seen[1], run.weights_seen[2], strict=True)]
            for run in (better, worse)
        ]
        assert are_equal(better.weights_seen[1], worse.weights_seen[1])
        assert max(changes[1]) < 0.7 * max(changes[0])


def test_bfloat16_is_allowed_only_within_the_context_manager():
    option = "auto_mixed_precision_onednn_bfloat16"

    def is_allowed() -> bool:
        return bool(tf.config.optimizer.get_experimental_options().get(option, False))

    assert not is_allowed()
    with matmul_precision("float32"):
        assert not is_allowed()
    with matmul_precision("bfloat16"):
        assert is_allowed()
    assert not is_allowed()

    with pytest.raises(Killed), matmul_precision("bfloat16"):
        raise Killed
    assert not is_allowed()


@pytest.mark.parametrize(
    ("text", "gpu", "expected"),
    [
        ("model name\t: A\nflags\t\t: fpu avx512f avx512_bf16\n\nflags\t\t: fpu\n", False, "bfloat16"),
        ("flags\t\t: fpu amx_bf16 sse\n", False, "bfloat16"),
        ("flags\t\t: fpu amx_bf16 sse\n", True, "float32"),
        ("flags\t\t: fpu avx2 avx512f\nbugs\t\t: avx512_bf16\n", False, "float32"),
        ("Features\t: fp asimd bf16\n", False, "float32"),
        ("flags\t\t:\n", False, "float32"),
        (None, False, "float32"),
    ],
)
def test_precision_auto_is_what_the_processor_computes_fast(text, gpu, expected, tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: ["a GPU"] if gpu else [])
    assert with_precision(Parameters(precision="auto"), file) == Parameters(precision=expected)
    for given in ("float32", "bfloat16"):
        assert with_precision(Parameters(precision=given), file) == Parameters(precision=given)


@pytest.mark.parametrize(
    ("changes", "gpu", "expected"),
    [
        ({}, False, []),
        ({"replicas": 1}, True, []),
        ({}, True, ["a GPU is faster with whole batches"]),
        (
            {"model": {"recurrent_dropout": 0.1}},
            False,
            ["recurrent_dropout: cuDNN's kernels do not support it"],
        ),
        ({"precision": "bfloat16"}, False, []),
        ({"precision": "bfloat16", "replicas": 1}, True, ["the GPU computes in float32"]),
    ],
)
def test_warnings_about_settings_without_effect_on_this_machine(changes, gpu, expected):
    lines = setting_warnings(msgspec.convert(changes, Parameters), gpu)
    assert len(lines) == len(expected)
    assert all(words in line for words, line in zip(expected, lines, strict=True))


def test_a_bound_of_the_length_that_cuts_references_gives_a_warning():
    """The target side has 40 tokens, as from a script with one character a word into an alphabet."""
    translator = SimpleNamespace(
        search=SearchSettings(max_length_factor=2),
        source_tokens=lambda text: tf.ones([tf.size(text), 5], tf.int32),
        target_tokens=lambda text: tf.ones([tf.size(text), 41], tf.int32),
    )
    held_out = [Sentence("1", "a", ["b"]), Sentence("2", "c", ["d"])]
    [line] = search_warnings(translator, held_out)
    assert "max_length_factor 2: 2 of 2 references" in line
    for factor in (0, 6):
        translator.search = SearchSettings(max_length_factor=factor)
        assert search_warnings(translator, held_out) == []


class TestValidation:
    @pytest.fixture(scope="class")
    def translator(self, tmp_path_factory) -> Translator:
        folder, settings = tmp_path_factory.mktemp("text"), TextSettings(unit="word")
        vocabulary = learn.learn({"▁a": 3, "▁B": 2, "▁c": 1}, settings, 7)
        paths = folder / "vocabulary", folder / "merges"
        paths[0].write_bytes(vocabulary.vocabulary_file())
        paths[1].write_bytes(vocabulary.merges_file())
        side = processor.TextProcessor(settings, *map(str, paths))
        # An untrained model rarely ends a translation, so its length is limited for every source.
        search = SearchSettings(beam_size=3, min_length=20, max_length=24)
        return Translator(build(SETTINGS, 7), processor.TextPair(side, side, True, 9), search)

    SOURCES = ("a B c", "c", "a c Zaphod B", "B B a")

    def test_the_translations_of_the_exported_model_are_scored(self, translator):
        translations = translator.translate(tf.constant(self.SOURCES))["text"].numpy()
        assert len(set(translations)) > 1
        references = [[text.decode()] for text in translations]
        held_out = [Sentence(s, s, r) for s, r in zip(self.SOURCES, references, strict=True)]
        # As in the export: unknown words are replaced, and the search has the same beam and length penalty.
        parameters = Parameters(validation=ValidationParameters(beam_size=3))
        scores = validation_function(translator, held_out, parameters)()
        assert (scores.bleu, scores.chrf) == pytest.approx((100, 100))

    def test_the_loss_is_that_of_the_references(self, translator):
        held_out = [Sentence(s, s, [s, "unused"]) for s in self.SOURCES]
        scored = translator.score(tf.constant(self.SOURCES), tf.constant(self.SOURCES))
        expected = -np.sum(scored["log_prob"].numpy()) / np.sum(scored["length"].numpy())
        scores = validation_function(translator, held_out, Parameters())()
        assert scores.loss == pytest.approx(expected, rel=1e-6)

    def test_the_tokenizer_is_that_of_the_script_and_is_said(self, translator):
        held_out = [Sentence(s, s, ["我们今天去公园。"]) for s in self.SOURCES]
        lines = []
        validation_function(translator, held_out, Parameters(), lines.append)
        assert lines == ["validation with tokenizer zh: the references are in Han script"]
        refused = Parameters(validation=ValidationParameters(tokenize="13a"))
        with pytest.raises(
            ConfigError, match=r"trainer\.validation\.tokenize .*evaluator\.tokenize.* Han script"
        ):
            validation_function(translator, held_out, refused, lines.append)

    def test_tokenize_and_lowercase_change_the_bleu(self, translator):
        translations = translator.translate(tf.constant(self.SOURCES))["text"].numpy()
        references = [[text.decode().upper().replace(" ", "")] for text in translations]
        held_out = [Sentence(s, s, r) for s, r in zip(self.SOURCES, references, strict=True)]

        def bleu(**options) -> float:
            parameters = Parameters(validation=ValidationParameters(beam_size=3, **options))
            return validation_function(translator, held_out, parameters)().bleu

        assert bleu() < 50
        assert bleu(tokenize="char", lowercase=True) == pytest.approx(100)


class TestWarmStart:
    def pair(self, folder: Path, words: list[str], shared: bool = True) -> processor.TextPair:
        """Returns text processors with these words. If not `shared`, the target has them in reverse order."""
        folder.mkdir(parents=True)
        settings = TextSettings(unit="word")

        def side(name: str, words: list[str]) -> processor.TextProcessor:
            vocabulary = learn.learn({w: 99 - n for n, w in enumerate(words)}, settings, 50)
            (folder / name).write_bytes(vocabulary.vocabulary_file())
            (folder / f"{name}.merges").write_bytes(vocabulary.merges_file())
            return processor.TextProcessor(settings, str(folder / name), str(folder / f"{name}.merges"))

        source = side("source", words)
        target = source if shared else side("target", words[::-1])
        return processor.TextPair(source, target, shared, 60)

    def network(self, pair: processor.TextPair, seed: int, **changes) -> Seq2Seq:
        settings = msgspec.structs.replace(SETTINGS, **changes)
        return initialize(settings, pair.source.size(), pair.target.size(), pair.shared, seed)

    def save(self, folder: Path, pair: processor.TextPair, network: Seq2Seq) -> Model:
        """Writes a checkpoint and returns its Model artifact."""
        folder.mkdir()
        checkpoint.save(network, pair.source, pair.target, folder)
        return Model(folder)

    def test_with_the_same_vocabulary_all_weights_are_copied(self, tmp_path):
        pair = self.pair(tmp_path / "text", ["▁a", "▁b"], shared=False)
        old, new = self.network(pair, 1), self.network(pair, 2)
        messages = list(load_weights(new, pair, self.save(tmp_path / "old", pair, old)))
        for a, b in zip(old.weights, new.weights, strict=True):
            np.testing.assert_array_equal(a, b)
        assert [line.split(" tokens")[0] for line in messages] == [
            "target_embedding: 6 of 6",
            "source_embedding: 6 of 6",
        ]

    @pytest.mark.parametrize(
        "words",
        [["▁new", "▁b", "▁a"], ["▁new", "▁gone", "▁b", "▁more", "▁a"], ["▁b", "▁a"]],
        ids=["another order", "growth", "shrinkage"],
    )
    @pytest.mark.parametrize("shared", [True, False])
    def test_rows_follow_their_tokens(self, tmp_path, shared, words):
        before = self.pair(tmp_path / "before", ["▁a", "▁b", "▁gone"], shared)
        after = self.pair(tmp_path / "after", words, shared)
        old, new = (
            self.network(pair, seed, tie_embeddings=False) for seed, pair in enumerate((before, after), 1)
        )
        initial = new.source_embedding.numpy()
        list(load_weights(new, after, self.save(tmp_path / "old", before, old)))
        for name in ("source_embedding", "target_embedding", "output_embedding", "output_bias"):
            side = "source" if name == "source_embedding" else "target"
            tokens = [getattr(p, side).pieces() for p in (before, after)]
            rows = [getattr(n, name).numpy() for n in (old, new)]
            for token in ("<s>", "</s>", "▁a", "▁b"):
                ids = [t.index(token) for t in tokens]
                np.testing.assert_array_equal(rows[1][ids[1]], rows[0][ids[0]])
        for token in {"▁new", "▁more"} & set(words):
            row = after.source.pieces().index(token)
            np.testing.assert_array_equal(new.source_embedding.numpy()[row], initial[row])
        np.testing.assert_array_equal(new.decoder.read_kernel, old.decoder.read_kernel)

    def test_a_shared_embedding_can_be_split(self, tmp_path):
        words = ["▁a", "▁b"]
        shared = self.pair(tmp_path / "shared", words)
        separate = self.pair(tmp_path / "separate", words, shared=False)
        old, new = self.network(shared, 1), self.network(separate, 2, tie_embeddings=False)
        list(load_weights(new, separate, self.save(tmp_path / "old", shared, old)))
        np.testing.assert_array_equal(new.source_embedding, old.target_embedding)
        order = [shared.target.pieces().index(piece) for piece in separate.target.pieces()]
        np.testing.assert_array_equal(new.output_embedding, old.target_embedding.numpy()[order])

    def test_separate_embeddings_can_be_merged(self, tmp_path):
        separate = self.pair(tmp_path / "separate", ["▁a", "▁b"], shared=False)
        old = self.network(separate, 1)
        model = self.save(tmp_path / "old", separate, old)
        vocabulary = model.vocabulary_file
        tokens = json.loads(vocabulary.read_text(encoding="utf-8"))
        one_sided = {"source": "▁x", "target": "▁y"}  # tokens that the other side lacks
        for side, token in one_sided.items():
            tokens[side][tokens[side].index("▁a")] = token
        vocabulary.write_text(json.dumps(tokens), encoding="utf-8")
        shared = self.pair(tmp_path / "shared", ["▁b", "▁x", "▁y", "▁new"])
        new = self.network(shared, 2)
        messages = list(load_weights(new, shared, model))
        pieces = shared.target.pieces()
        assert f"target_embedding: {len(pieces) - 1} of {len(pieces)} tokens" in messages[0]
        for table, token, side in [
            (old.source_embedding, "▁x", "source"),
            (old.target_embedding, "▁y", "target"),
            (old.target_embedding, "▁b", "target"),
        ]:
            np.testing.assert_array_equal(
                new.target_embedding.numpy()[pieces.index(token)], table.numpy()[tokens[side].index(token)]
            )

    def test_the_error_about_another_architecture_names_the_setting(self, tmp_path):
        pair = self.pair(tmp_path / "text", ["▁a"])
        model = self.save(tmp_path / "old", pair, self.network(pair, 1))
        for changes, message in [
            ({"cell": "gru"}, "cell is lstm, and the model to train has gru"),
            ({"encoder_layers": 2}, "encoder_layers is 1, and"),
            ({"attention_heads": 2}, "attention_heads is 1, and"),  # the weights have the same shapes
            ({"embedding_units": 4}, "embedding_units is 6, and"),
        ]:
            with pytest.raises(DataError, match=message):
                list(load_weights(self.network(pair, 1, **changes), pair, model))

    def test_the_error_about_missing_or_misshapen_weights_names_them(self, tmp_path):
        pair = self.pair(tmp_path / "text", ["▁a"])
        network = self.network(pair, 1)
        model = self.save(tmp_path / "old", pair, network)
        arrays = dict(np.load(model.weights_file))
        name = next(n for n in arrays if n.endswith("layer0_forward/kernel"))
        np.savez(model.weights_file, **(arrays | {name: arrays[name][:2]}))
        with pytest.raises(DataError, match=r"layer0_forward/kernel is of shape \[2, "):
            list(load_weights(network, pair, model))
        del arrays[name]
        np.savez(model.weights_file, **arrays)
        with pytest.raises(DataError, match="layer0_forward/kernel is missing"):
            list(load_weights(network, pair, model))

    @pytest.mark.parametrize("name", ["weights.npz", "vocabulary.json", "settings.json"])
    def test_damaged_files_are_refused(self, tmp_path, name):
        pair = self.pair(tmp_path / "text", ["▁a"])
        network = self.network(pair, 1)
        path = self.save(tmp_path / "old", pair, network).weights_file.with_name(name)
        content = path.read_bytes()
        random = np.random.default_rng(3)
        damages = [content[:size] for size in (0, 1, len(content) // 2, len(content) - 2)]
        damages += [bytes([255]) + content[1:], b"7", b"[1, 2]"]
        for start in random.integers(0, len(content) - 8, 100 if name == "weights.npz" else 0):
            damages.append(content[:start] + random.bytes(8) + content[start + 8 :])
        errors = [error for damage in damages if (error := self.load_error(path, damage, network, pair))]
        assert len(errors) >= 7
        assert all(f"{tmp_path / 'old'}" in str(error) and error.remedy for error in errors)

    def load_error(
        self, path: Path, content: bytes, network: Seq2Seq, pair: processor.TextPair
    ) -> DataError | None:
        """Returns the error of `load_weights` if a file has this content; None if only padding is damaged."""
        path.write_bytes(content)
        try:
            list(load_weights(network, pair, Model(path.parents[1])))
        except DataError as error:
            return error
        return None

    def test_a_folder_that_is_no_model_is_refused(self, tmp_path):
        pair = self.pair(tmp_path / "text", ["▁a"])
        with pytest.raises(DataError, match="is missing; the training cannot start") as caught:
            list(load_weights(self.network(pair, 1), pair, Model(tmp_path / "nowhere")))
        assert "trainer.warm_start" in caught.value.remedy

    def test_files_of_the_base_model_are_external_inputs(self):
        assert Trainer().external_inputs(Parameters()) == []
        names = Trainer().external_inputs(
            Parameters(warm_start=WarmStartParameters(model="runs/x/Trainer/model/6"))
        )
        assert names == [
            f"runs/x/Trainer/model/6/checkpoint/{n}"
            for n in ("weights.npz", "vocabulary.json", "settings.json")
        ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"schedule": {"warmup_steps": 10}, "steps": 10}, "schedule.warmup_steps must be below steps"),
        ({"search": {"coverage_penalty": 0.2}, "model": {"attention": "none"}}, "needs an attention"),
        ({"search": {"min_length": 9, "max_length": 8}}, "min_length must not be above"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(wrong, message):
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(wrong, Parameters)


@pytest.mark.parametrize("seed", [-1, 0, 2**31 - 1])
def test_seeds_that_are_not_positive_or_too_large_are_refused(seed):
    with pytest.raises(msgspec.ValidationError, match="seed"):
        msgspec.convert({"seed": seed}, Parameters)


class TestConsistency:
    CONSISTENT = changed(PARAMETERS, consistency=1.0)

    def test_the_teacher_has_the_averaged_weights(self, split, tmp_path):
        model = initialize(self.CONSISTENT.model, VOCABULARY, VOCABULARY)
        context = Context(tmp_path, tmp_path, lambda: pytest.fail("no Beam"), say=lambda _: None)
        batches = open_batches(split, 1)
        training = Training(model, self.CONSISTENT, batches, lambda: ValidationScores(1.0), context)
        training.train_on(tf.constant(0), *next(batches.after(0)))
        teacher = [v.numpy() for v in training.teacher.trainable_variables]
        assert are_equal(teacher, [v.numpy() for v in training.optimizer.average])
        assert not are_equal(teacher, [v.numpy() for v in model.trainable_variables])

    def test_the_teacher_reads_the_source_as_served(self, split, tmp_path):
        """With other served sources, the gradient is another; with the same, it is that without them."""
        parameters = changed(self.CONSISTENT, schedule={"warmup_steps": 0})
        model = initialize(parameters.model, VOCABULARY, VOCABULARY)
        batches = open_batches(split, 1)
        updates = Updates(model, parameters, batches)
        updates.optimizer.step.assign(5)
        source, target = next(batches.after(0))
        gradients = [
            [g.numpy() for g in updates.sums(source, target, 0, served=served).gradients]
            for served in (None, source, source[:, ::-1])
        ]
        assert are_equal(gradients[0], gradients[1])
        assert not are_equal(gradients[0], gradients[2])

    @pytest.mark.parametrize("optimizer", [{"average_decay": 0.0}, {"average_checkpoints": 2}])
    def test_it_needs_the_moving_average(self, optimizer):
        with pytest.raises(ValueError, match="consistency needs the moving average"):
            Parameters(consistency=0.5, optimizer=OptimizerParameters(**optimizer))
