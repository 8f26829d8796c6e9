"""The records of a training: bounded, complete after a resumed attempt, and the same in TensorBoard."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tensorboard.backend.event_processing.event_accumulator import SCALARS
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

from bitext.components.artifacts import ModelRun, Progress, TrainingSize, Validation
from bitext.components.artifacts.page import Alignment
from bitext.components.component import Context
from bitext.components.shared.heldout import Sentence
from bitext.components.trainer import Parameters
from bitext.components.trainer.attention import image
from bitext.components.trainer.recording import (
    DRAWN_VALIDATIONS,
    MAX_PROGRESS_RECORDS,
    MAX_SAMPLED_VALIDATIONS,
    SAMPLE_COUNT,
    Recorder,
    Watched,
    log_interval,
    sample_indices,
)
from tests.structs import changed

HOSTILE = "<script>alert(1)</script> | *x* [a](javascript:b) ![i](http://a.b/c.png) `</s>`\n# T"
SENTENCES = [Sentence("1", "Hi.", ["Hola.", "Buenas."]), Sentence("2", HOSTILE, [HOSTILE])]


def attend(sources: list[str], translations: list[str]) -> list[Alignment]:
    """Returns an alignment of one token a sentence."""
    return [
        Alignment((s, "</s>"), ("</s>",), ((30, 70),)) for s, _ in zip(sources, translations, strict=True)
    ]


@dataclasses.dataclass
class FakeTraining:
    """Records updates without training.

    Attributes:
      root: the pipeline root.
      steps: the most updates.
      every: updates between two validations.
    """

    root: Path
    steps: int = 400
    every: int = 100

    def attempt(self, first: int, last: int, ends: bool = False, run_id: str = "run-a") -> ModelRun:
        """Records the updates from `first + 1` to `last`."""
        working = self.root / ".working" / "Trainer" / "key"
        working.mkdir(parents=True, exist_ok=True)
        context = Context(working, working, pytest.fail, run_id=run_id, tensorboard=self.root / "tensorboard")
        parameters = changed(Parameters(steps=self.steps), validation={"every": self.every})
        size = TrainingSize(self.steps, 10, 20, 30.0)
        recorder = Recorder(context, parameters, size, Watched(SENTENCES, attend))
        recorder.resume(first)
        for step in range(first + 1, last + 1):
            is_validation = step % self.every == 0 or step == self.steps
            if is_validation or step % recorder.interval == 0:
                recorder.record_progress(Progress(step, step / 60, 100 / step, 0.001, 4000.0, 1.5))
            if is_validation:
                texts = [f"t{step}", HOSTILE]
                recorder.draw_attention(step, texts)
                validation = Validation(step, step / 60, 1.0, 5.0, 6.0, 2.0)
                recorder.record_validation(validation, texts, is_best=step < 300)
        if ends:
            recorder.finish()
        recorder.close()
        return recorder.run

    def curves(self) -> dict[str, dict[str, list[int]]]:
        """What TensorBoard shows of the pipeline root: the steps of each curve, by run and tag."""
        multiplexer = EventMultiplexer().AddRunsFromDirectory(str(self.root)).Reload()
        return {
            run: {tag: [e.step for e in multiplexer.Scalars(run, tag)] for tag in tags[SCALARS]}
            for run, tags in multiplexer.Runs().items()
        }


@given(st.integers(1, 30_000_000))
def test_the_number_of_records_is_bounded(steps: int) -> None:
    interval = log_interval(steps)
    assert interval % 50 == 0
    assert steps // interval <= MAX_PROGRESS_RECORDS
    assert interval == 50 or steps > MAX_PROGRESS_RECORDS * (interval - 50)


@given(st.integers(0, 5000))
def test_sample_sentences_are_distinct_and_spread(count: int) -> None:
    indices = sample_indices(count)
    assert len(set(indices)) == len(indices) == min(count, SAMPLE_COUNT)
    assert all(0 <= index < count for index in indices)
    assert not count or max(indices) >= count * (len(indices) - 1) // len(indices)


def test_a_training_with_many_validations_has_bounded_records(tmp_path: Path) -> None:
    run = FakeTraining(tmp_path, steps=250_000, every=50).attempt(0, 250_000, ends=True)
    assert len(run.history()) == 5000
    assert len(run.progress()) <= MAX_PROGRESS_RECORDS
    best = 5  # each of the first validations is the best so far
    assert MAX_SAMPLED_VALIDATIONS / 2 < len(run.samples()) <= MAX_SAMPLED_VALIDATIONS + best + 1
    assert run.samples()[-1].step == run.progress()[-1].step == 250_000


def test_a_training_that_stops_early_records_its_last_updates(tmp_path: Path) -> None:
    run = FakeTraining(tmp_path, steps=1_000_000, every=3).attempt(0, 9, ends=True)
    assert [record.step for record in run.progress()] == [9]


def test_a_resumed_training_has_each_step_once(tmp_path: Path) -> None:
    training = FakeTraining(tmp_path)
    training.attempt(0, 230)
    training.attempt(200, 310, run_id="run-b")
    run = training.attempt(300, 400, ends=True, run_id="run-c")
    assert [record.step for record in run.progress()] == list(range(50, 401, 50))
    assert [record.step for record in run.history()] == [100, 200, 300, 400]
    assert [record.step for record in run.samples()] == [100, 200, 300, 400]
    first = run.samples()[0].samples[0]
    assert (first.source, first.reference, first.hypothesis) == ("Hi.", "Hola.", "t100")


class TestTensorBoard:
    def test_each_step_once_during_the_training_and_after_a_kill(self, tmp_path: Path) -> None:
        """One TensorBoard that stays open, and one that is started each time."""
        training = FakeTraining(tmp_path)
        open_one = EventMultiplexer()
        expected = []
        for first, last, shown in ((0, 230, 200), (200, 310, 300), (300, 400, 400)):
            training.attempt(first, last, ends=last == 400, run_id=f"run-{first}")
            expected = list(range(50, last + 1, 50))
            [name] = training.curves()
            assert name == "tensorboard/run-0"
            curves = training.curves()[name]
            for tag in ("loss", "learning_rate", "tokens_per_second", "gradient_norm"):
                assert curves[tag] == expected
            for tag in ("validation_bleu", "validation_chrf", "validation_loss"):
                assert curves[tag] == list(range(100, shown + 1, 100))
            open_one.AddRunsFromDirectory(str(tmp_path)).Reload()
            assert [e.step for e in open_one.Scalars(name, "loss")] == expected
            assert len({e.step for e in open_one.Tensors(name, "samples")}) == shown // 100
            assert len(open_one.Tensors(name, "attention/sample 2")) == shown // 100

    def test_an_attempt_that_is_killed_before_its_first_checkpoint_starts_again(self, tmp_path: Path) -> None:
        training = FakeTraining(tmp_path)
        training.attempt(0, 70)
        training.attempt(0, 400, ends=True)
        [curves] = training.curves().values()
        assert curves["loss"] == list(range(50, 401, 50))

    def test_an_incomplete_last_event_is_passed_over(self, tmp_path: Path) -> None:
        training = FakeTraining(tmp_path)
        training.attempt(0, 230)
        [file] = (tmp_path / "tensorboard" / "run-a").iterdir()
        file.write_bytes(file.read_bytes()[:-9])
        training.attempt(200, 400, ends=True)
        [curves] = training.curves().values()
        assert curves["loss"] == list(range(50, 401, 50))

    def test_a_later_file_has_a_later_name_if_the_clock_is_put_back(
        self, tmp_path: Path, monkeypatch
    ) -> None:
        training = FakeTraining(tmp_path)
        training.attempt(0, 230)
        monkeypatch.setattr(time, "time", lambda: 1e9)
        monkeypatch.setattr(os, "getpid", lambda: 1)
        training.attempt(200, 400, ends=True)
        [curves] = training.curves().values()
        assert curves["loss"] == list(range(50, 401, 50))

    def test_hyper_parameters_and_the_end(self, tmp_path: Path) -> None:
        from tensorboard.plugins.hparams import metadata

        FakeTraining(tmp_path).attempt(0, 400, ends=True)
        multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
        data = multiplexer.PluginRunToTagToContent("hparams")["tensorboard/run-a"]
        start = metadata.parse_session_start_info_plugin_data(data[metadata.SESSION_START_INFO_TAG])
        assert start.hparams["optimizer.learning_rate"].number_value == Parameters().optimizer.learning_rate
        assert start.hparams["steps"].number_value == 400
        assert start.hparams["model.attention"].string_value == Parameters().model.attention
        end = metadata.parse_session_end_info_plugin_data(data[metadata.SESSION_END_INFO_TAG])
        assert end.status == 1  # success

    def test_samples_are_shown_as_they_are(self, tmp_path: Path) -> None:
        from tensorboard.plugin_util import markdown_to_safe_html
        from tensorboard.util import tensor_util

        FakeTraining(tmp_path).attempt(0, 400, ends=True)
        multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
        event = multiplexer.Tensors("tensorboard/run-a", "samples")[-1]
        table = tensor_util.make_ndarray(event.tensor_proto)
        assert table.shape == (3, 3)
        shown = markdown_to_safe_html(table[2][0])
        for tag in ("<a", "<img", "<script", "<em", "<h1", "<code"):
            assert tag not in shown
        assert "alert(1)" in shown
        assert "![i](http://a.b/c.png)" in shown

    def test_without_a_folder_nothing_is_logged(self, tmp_path: Path) -> None:
        context = Context(tmp_path, tmp_path, pytest.fail)
        recorder = Recorder(context, Parameters(steps=9_999), TrainingSize(9_999, 1, 2, 3.0))
        recorder.resume(0)
        recorder.record_progress(Progress(50, 1.0, 1.0, 1.0, 1.0, 1.0))
        recorder.close()
        assert recorder.run.log_name == ""
        assert recorder.run.progress()[0].step == 50

    def test_a_second_training_of_a_run_has_its_own_log(self, tmp_path: Path) -> None:
        training = FakeTraining(tmp_path)
        run = training.attempt(0, 400, ends=True)
        for file in run.path.iterdir():
            file.unlink()
        training.attempt(0, 400, ends=True)
        assert sorted(training.curves()) == ["tensorboard/run-a", "tensorboard/run-a-2"]


@pytest.mark.parametrize("token", ["a", "'\"\\", "</svg>", "שלום", "日本", "a'+alert(1)+'"])
def test_the_image_of_an_alignment(token: str) -> None:
    alignment = Alignment((token, token, "</s>"), (token, "</s>"), ((90, 5, 5), (0, 0, 100)))
    png, (width, height) = image(alignment)
    assert png.startswith(b"\x89PNG")
    assert width >= 60
    assert height >= 40


def test_few_validations_are_drawn(tmp_path: Path) -> None:
    FakeTraining(tmp_path, steps=2000, every=50).attempt(0, 2000, ends=True)
    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(tmp_path)).Reload()
    drawn = multiplexer.Tensors("tensorboard/run-a", "attention/sample 1")
    assert 5 <= len(drawn) <= DRAWN_VALIDATIONS + 1
    assert drawn[-1].step == 2000
