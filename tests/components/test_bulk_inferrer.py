"""BulkInferrer: every line is translated once and in order, as without Beam, even after interruptions."""

from __future__ import annotations

import dataclasses
import fcntl
import gzip
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.shared import errors, storage
from bitext.components.translation import lines, output, translate
from bitext.components.translation.bulk import executor, shards
from bitext.components.translation.search import Search
from bitext.components.translation.sentences import TranslatedBlock
from bitext.components.translation.translator import Translation
from bitext.pipeline.beam import errors_unwrapped, pipeline_factory
from tests import toy_model
from tests.components.beam_engine import engine
from tests.object_store import bucket, s3_address

__all__ = ["bucket", "s3_address"]

ROOT = Path(__file__).resolve().parents[2]
SHARD_BYTES = 64
TEXT = "".join(f"line {n} {'word ' * (n % 7)}\n" if n % 5 else "\n" for n in range(1, 60)).encode()
ODD = (
    b"uno\r\n\n  \r\n\xff\xfe no utf-8 \xc3\n\x0b a\x0cb \x85\n"
    + b"long " * 60
    + b"\n"
    + TEXT
    + b"no line end"
)
CONTENT = st.lists(st.sampled_from([b"\n", b"\r\n", b"\r", b"a", b" ", b"words", b"\xc3\xa9"]))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model.save(tmp_path_factory.mktemp("model"), "upper")


@pytest.fixture(autouse=True)
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "READ_BYTES", SHARD_BYTES)


@dataclasses.dataclass
class Bulk:
    """Translates `in.txt` into `out.txt` in a folder. `messages` has the printed lines of all calls."""

    model: Path
    folder: Path
    messages: list[str] = dataclasses.field(default_factory=list)

    def __call__(
        self,
        data: bytes,
        name: str = "in.txt",
        beam_pipeline: Callable[[], beam.Pipeline] | None = None,
        batch_size: int = 64,
        shared_folder: Path | None = None,
        **search: int,
    ) -> bytes:
        (self.folder / name).write_bytes(data)
        with errors_unwrapped():
            executor.translate_file(
                self.model,
                self.folder / name,
                self.folder / "out.txt",
                Search(**search),
                beam_pipeline or pipeline_factory(),
                batch_size=batch_size,
                shared_folder=shared_folder,
                say=self.messages.append,
            )
        return (self.folder / "out.txt").read_bytes()

    def without_beam(self, data: bytes, **search: int) -> bytes:
        """Returns the output of `bitext translate` without Beam."""
        (self.folder / "plain.txt").write_bytes(data)
        translate.main_translate(
            self.model, self.folder / "plain.txt", self.folder / "plain.out", Search(**search)
        )
        return (self.folder / "plain.out").read_bytes()

    def shards(self) -> dict[str, tuple[int, int]]:
        """Returns inode and modification time of each finished shard, by name."""
        paths = self.folder.glob(".out.txt.bulk/*/[0-9]*[0-9]")
        return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in paths}


@pytest.fixture
def bulk(model: Path, tmp_path: Path) -> Bulk:
    return Bulk(model, tmp_path)


def no_pipeline() -> beam.Pipeline:
    raise AssertionError("nothing is left to translate")


class TestDivide:
    @given(CONTENT, st.integers(1, 20))
    def test_every_line_is_in_one_shard_in_order(self, content: list[bytes], size: int) -> None:
        data = b"".join(content)
        chunks = [data[start : start + size] for start in range(0, len(data), size)]
        shards = list(executor.divide(chunks, Path("in.txt"), str))
        assert shards == list(executor.divide(chunks, Path("in.txt"), str))
        assert b"".join(data[s.offset : s.offset + s.size] for s in shards) == data
        shard_lines = [lines.lines_of(data[s.offset : s.offset + s.size]) for s in shards]
        assert [len(block) for block in shard_lines] == [s.lines for s in shards]
        # The shards are the blocks that `bitext translate` without Beam reads.
        assert shard_lines == list(lines.read_blocks(chunks))
        assert [s.first_line for s in shards] == [
            1 + sum(map(len, shard_lines[:n])) for n in range(len(shard_lines))
        ]
        assert [s.index for s in shards] == list(range(len(shards)))

    @given(CONTENT, st.integers(1, 20), st.integers(1, 3))
    def test_joined_translations_are_in_the_order_of_the_lines(
        self, tmp_path_factory: pytest.TempPathFactory, content: list[bytes], size: int, nbest: int
    ) -> None:
        """The translation of a line is its bytes in hexadecimal. The last shard is written first."""
        folder, data = tmp_path_factory.mktemp("work"), b"".join(content)
        (folder / "input").write_bytes(data)
        shards = list(
            executor.divide(
                (data[start : start + size] for start in range(0, len(data), size)), Path("in.txt"), str
            )
        )

        def translate_line(line: bytes) -> list[Translation]:
            return [Translation(line.hex(), 0.0)] * nbest if line.strip() else [Translation("", 0.0)]

        for shard in reversed(shards):
            _, source = executor.read(shard, folder / "input")
            block = TranslatedBlock([translate_line(line) for line in source], [])
            executor.write((shard, block), folder, nbest)
        joined = b"".join(executor.read_translations(shard, folder, nbest) for shard in shards)
        expected = lines.lines_of(data) if data else []
        assert joined.decode() == output.format_lines([translate_line(line) for line in expected], 1, nbest)


class TestResult:
    @pytest.mark.parametrize(
        "data", [b"", b"\n", b"one", TEXT, ODD], ids=["empty", "blank", "one", "text", "odd"]
    )
    @pytest.mark.parametrize("search", [{}, {"nbest": 2}], ids=["best", "nbest"])
    def test_the_output_equals_that_without_beam(
        self, bulk: Bulk, data: bytes, search: dict[str, int]
    ) -> None:
        assert bulk(data, **search) == bulk.without_beam(data, **search)
        assert sorted(os.listdir(bulk.folder)) == ["in.txt", "out.txt", "plain.out", "plain.txt"]

    def test_a_compressed_input_is_decompressed(self, bulk: Bulk) -> None:
        assert bulk(gzip.compress(TEXT), "in.txt.gz") == bulk.without_beam(TEXT)

    @pytest.mark.parametrize("name", ["out.gz", "out.bz2", "out.zst"])
    def test_a_compressed_output_equals_that_without_beam(self, bulk: Bulk, name: str) -> None:
        (bulk.folder / "in.txt").write_bytes(TEXT)
        plain, through_beam = bulk.folder / f"plain-{name}", bulk.folder / name
        translate.main_translate(bulk.model, bulk.folder / "in.txt", plain)
        executor.translate_file(
            bulk.model, bulk.folder / "in.txt", through_beam, Search(), pipeline_factory(), say=str
        )
        assert through_beam.read_bytes() == plain.read_bytes()
        with lines.open_input(through_beam) as chunks:
            assert b"".join(chunks) == bulk.without_beam(TEXT)

    def test_lines_are_counted(self, bulk: Bulk) -> None:
        pipelines: list[beam.Pipeline] = []

        def create_pipeline() -> beam.Pipeline:
            pipelines.append(pipeline_factory()())
            return pipelines[0]

        bulk(TEXT, beam_pipeline=create_pipeline)
        counters = pipelines[0].result.metrics().query()["counters"]
        counts = {counter.key.metric.name: counter.result for counter in counters}
        assert (counts["lines"], counts["blank_lines"]) == (59, 11)
        shards = counts["num_inferences"]
        assert bulk.messages == [f"59 lines in {shards} shards, {shards} of them to translate"]


KILLED = """
import sys, threading
from pathlib import Path
from bitext.components.translation import lines
from bitext.components.translation.bulk import executor
from bitext.components.translation.search import Search
from bitext.components.translation.sentences import TranslatedBlock
from bitext.components.translation.translator import LineTranslator
from bitext.pipeline.beam import pipeline_factory

lines.READ_BYTES, calls, translate = {size}, [], LineTranslator.translate

def hang_at_the_fourth_shard(self, lines):
    calls.append(lines)
    if len(calls) == 4:
        threading.Event().wait()
    return translate(self, lines)

LineTranslator.translate = hang_at_the_fourth_shard
executor.translate_file(Path({model!r}), Path("in.txt"), Path("out.txt"), Search(), pipeline_factory())
"""


class TestRestart:
    def test_after_a_kill_only_the_missing_shards_are_translated(
        self, bulk: Bulk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        (bulk.folder / "in.txt").write_bytes(TEXT)
        code = KILLED.format(size=SHARD_BYTES, model=str(bulk.model))
        with subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=bulk.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            while len(bulk.shards()) < 3 and process.poll() is None:
                time.sleep(0.01)
            with pytest.raises(errors.LockedError, match="another command is translating into"):
                bulk(TEXT)
            process.send_signal(signal.SIGKILL)
            assert process.stderr
            error = process.stderr.read().decode()
            assert process.wait() == -signal.SIGKILL, error
        finished = bulk.shards()
        assert len(finished) == 3
        assert not (bulk.folder / "out.txt").exists()

        before_join: list[dict[str, tuple[int, int]]] = []

        def record_shards_and_open(path: Path) -> object:
            before_join.append(bulk.shards())
            return output.open_output(path)

        monkeypatch.setattr(executor, "open_output", record_shards_and_open)
        with caplog.at_level("INFO", "bitext.bulk_inferrer"):
            assert bulk(TEXT) == bulk.without_beam(TEXT)
        [all_shards] = before_join
        assert {name: all_shards[name] for name in finished} == finished
        assert len([r for r in caplog.records if r.name == "bitext.bulk_inferrer"]) == len(all_shards) - 3 > 0
        assert bulk.shards() == {}

    def test_a_joined_output_can_be_joined_again(self, bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> None:
        """The state after a kill between the last rename and the deletion of the folder of the shards."""
        with monkeypatch.context() as patch:
            patch.setattr(executor.shutil, "rmtree", lambda *_, **__: None)
            first = bulk(TEXT)
        assert bulk(TEXT, beam_pipeline=no_pipeline) == first

    @pytest.mark.parametrize("change", ["text", "model", "search"])
    def test_nothing_is_reused_from_another_input_model_or_search(
        self, bulk: Bulk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(executor.shutil, "rmtree", lambda *_, **__: None)
            bulk(TEXT)
        before = set(bulk.folder.glob(".out.txt.bulk/*"))
        if change == "model":
            bulk.model = toy_model.save(tmp_path / "other", "reverse")
        text, search = TEXT + b"more" * (change == "text"), {"max_length": 9} if change == "search" else {}
        with pytest.raises(AssertionError, match="nothing is left"):
            bulk(text, beam_pipeline=no_pipeline, **search)
        assert not before & set(bulk.folder.glob(".out.txt.bulk/*"))
        assert bulk(text, **search) == bulk.without_beam(text, **search)

    def test_a_run_with_another_batch_size_resumes(self, bulk: Bulk, monkeypatch: pytest.MonkeyPatch) -> None:
        """A command that ran out of memory can be resumed with a smaller batch size."""
        with monkeypatch.context() as patch:
            patch.setattr(executor.shutil, "rmtree", lambda *_, **__: None)
            first = bulk(TEXT, batch_size=64)
        assert bulk(TEXT, batch_size=3, beam_pipeline=no_pipeline) == first


class TestFaults:
    def test_an_input_that_changes_during_the_translation_is_refused(self, bulk: Bulk) -> None:
        def create_pipeline() -> beam.Pipeline:
            (bulk.folder / "in.txt").write_bytes(TEXT.replace(b"line 57", b"line 75"))
            return pipeline_factory()()

        with pytest.raises(
            errors.DataError, match="in.txt has changed since .* at line 5. or later"
        ) as caught:
            bulk(TEXT, beam_pipeline=create_pipeline)
        assert "same command" in caught.value.remedy
        assert not (bulk.folder / "out.txt").exists()

    def test_a_shard_with_too_few_lines_is_never_joined(
        self, bulk: Bulk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (bulk.folder / "out.txt").write_bytes(b"before")
        format_lines = output.format_lines
        monkeypatch.setattr(shards, "format_lines", lambda results, *a: format_lines(results[1:], *a))
        for search in ({}, {"nbest": 2}):
            with pytest.raises(errors.DataError, match="000000 has the translations of . lines instead of"):
                bulk(TEXT, **search)
        assert (bulk.folder / "out.txt").read_bytes() == b"before"

    def test_unreadable_inputs_and_impossible_outputs_are_refused(self, bulk: Bulk, tmp_path: Path) -> None:
        def run(input: str, output: str) -> None:
            executor.translate_file(bulk.model, tmp_path / input, tmp_path / output, Search(), no_pipeline)

        (tmp_path / "in.txt").write_bytes(TEXT)
        (tmp_path / "cut.gz").write_bytes(gzip.compress(TEXT)[:-9])
        with pytest.raises(errors.DataError, match="absent.txt: No such file"):
            run("absent.txt", "out.txt")
        with pytest.raises(errors.DataError, match="cut.gz: the compressed stream ends too early"):
            run("cut.gz", "out.txt")
        with pytest.raises(errors.ConfigError, match="it is a folder"):
            run("in.txt", ".")
        with pytest.raises(errors.ConfigError, match="cannot write .*out.txt: .*absent does not exist"):
            run("in.txt", "absent/out.txt")
        with pytest.raises(errors.ConfigError, match="cannot write .*in.txt: it is the input"):
            run("in.txt", "in.txt")
        with pytest.raises(errors.ConfigError, match="/dev/null is no regular file"):
            run("in.txt", "/dev/null")
        bulk.model = tmp_path
        with pytest.raises(errors.DataError, match="no model at"):
            run("in.txt", "out.txt")
        assert not list(tmp_path.glob(".*"))

    def test_a_model_that_cannot_be_loaded_is_a_data_error(self, bulk: Bulk, tmp_path: Path) -> None:
        (tmp_path / "model").mkdir()
        (tmp_path / "model" / "saved_model.pb").write_bytes(b"nothing")
        bulk.model = tmp_path / "model"
        with pytest.raises(errors.DataError, match="cannot be loaded") as caught:
            bulk(TEXT)
        assert "while running" not in str(caught.value)

    def test_an_interrupt_raises_keyboard_interrupt(
        self, bulk: Bulk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shards, "lines_of", lambda block: signal.raise_signal(signal.SIGINT))
        with pytest.raises(KeyboardInterrupt):
            bulk(TEXT)

    def test_a_folder_that_is_deleted_before_it_is_locked_is_a_locked_error(
        self, bulk: Bulk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The other command ends and deletes the folder after this command has opened it."""
        flock = fcntl.flock

        def delete_and_lock(descriptor: int, operation: int) -> None:
            (bulk.folder / ".out.txt.bulk").rmdir()
            flock(descriptor, operation)

        monkeypatch.setattr(fcntl, "flock", delete_and_lock)
        with pytest.raises(errors.LockedError):
            bulk(TEXT)


class TestSharedFolder:
    """Workers that do not see the disk of the command get model and input through a folder that they see."""

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["in.txt", "in.txt.gz"])
    def test_workers_open_nothing_else(
        self,
        bulk: Bulk,
        bucket: str,
        monkeypatch: pytest.MonkeyPatch,
        name: str,
    ) -> None:
        shared = storage.path(f"{bucket}/temporary")
        (shared / "other").write_bytes(b"somebody else's")
        translate_shards, opened = executor._translate, []

        def note(missing, source, folder, translator, create_pipeline):
            opened.extend([str(source), str(folder), str(translator._model)])
            translate_shards(missing, source, folder, translator, create_pipeline)

        monkeypatch.setattr(executor, "_translate", note)
        data = TEXT if name == "in.txt" else gzip.compress(TEXT)
        with engine(bulk.folder / "engine", 2) as create_pipeline:
            result = bulk(data, name, create_pipeline, shared_folder=shared)
        assert result == bulk.without_beam(TEXT)
        assert len(opened) == 3
        assert all(path.startswith(str(shared)) for path in opened)
        assert [file.name for file in storage.files_below(shared)] == ["other"]
        assert not list(bulk.folder.glob(".*"))
        assert not list((bulk.folder / "engine" / "worker").glob("bitext-*"))

    def test_a_run_resumes_there(self, bulk: Bulk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        shared = tmp_path / "shared"
        with monkeypatch.context() as patch:
            patch.setattr(executor, "_join", lambda *_: pytest.fail("killed"))
            with pytest.raises(pytest.fail.Exception, match="killed"):
                bulk(TEXT, shared_folder=shared)
        (folder,) = shared.iterdir()
        assert len(list(folder.glob("[0-9]*"))) > 3
        (folder / "000001").unlink()
        assert bulk(TEXT, shared_folder=shared) == bulk.without_beam(TEXT)
        assert bulk.messages[-1].endswith("shards, 1 of them to translate")
        assert not list(shared.iterdir())
