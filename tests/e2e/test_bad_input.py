"""Bad input gives one clear message and the documented exit code, and earlier outputs stay unchanged."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e import toy
from tests.e2e.conftest import Finished
from tests.e2e.toy import Result, bitext, sentences, write_config, write_tsv

CONFIG, DATA, ENVIRONMENT = 2, 3, 6


def assert_refused(folder: Path, result: Result, code: int, *words: str) -> None:
    """Checks the exit code, and that standard error has one message with `words` and one remedy.

    The traceback is only in the log, which exists if a run was started.
    """
    assert result.code == code, result.out + result.err
    message, _, remedy_and_log = result.err.partition("what to do: ")
    assert message.startswith("error: ")
    remedy, _, log_and_report = remedy_and_log.partition("log: ")
    log, _, report = log_and_report.partition("report: ")
    assert len(remedy.strip()) > 10
    for word in words:
        assert word in message + remedy
    assert "Traceback" not in result.out + result.err
    assert message.count("error: ") == 1
    assert not re.search(r"warning|absl|while running|Errno", result.err, re.IGNORECASE)
    assert len(remedy.strip().splitlines()) == 1
    if log:
        assert "Traceback" in (folder / log.strip()).read_text(encoding="utf-8")
        assert not report or (folder / report.strip()).is_file()
    else:
        assert not (folder / "runs" / "toy" / "logs").exists()


def prepare(folder: Path, rows: list[toy.Pair], **changes: Any) -> Path:
    """Writes a corpus and a configuration, and returns the folder."""
    write_tsv(folder / "toy.tsv", rows)
    write_config(folder, toy.config(**changes))
    return folder


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("trainer: [1, 2\n", ("toy.yaml:", "YAML")),
        ("just words\n", ("toy.yaml", "mapping")),
        ("", ("toy.yaml", "an empty file")),
        (
            "name: toy\nexample_gen: {files: [a.tsv]}\ntrainer:\n  stepps: 5\n",
            ("toy.yaml:4", "trainer.stepps", "did you mean trainer.steps?"),
        ),
        (
            "name: toy\nexample_gen: {files: [a.tsv]}\ntrainer:\n  steps: many\n",
            ("toy.yaml:4", "trainer.steps", "a whole number", "'many'"),
        ),
        (
            "name: toy\nexample_gen: {files: [a.tsv]}\ntrainer:\n  model: {encoder_units: 7}\n",
            ("toy.yaml:4", "trainer.model", "encoder_units must be even"),
        ),
        (
            "name: toy\nexample_gen: {format: parallel, files: [a.tsv]}\n",
            ("toy.yaml:2", "example_gen", "source_files and target_files"),
        ),
    ],
)
def test_a_malformed_configuration(tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    (tmp_path / "toy.yaml").write_text(text, encoding="utf-8")
    assert_refused(tmp_path, bitext(tmp_path, "run", "toy.yaml"), CONFIG, *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["toy.yaml"]


def test_a_missing_configuration(tmp_path: Path) -> None:
    assert_refused(tmp_path, bitext(tmp_path, "run", "none.yaml"), CONFIG, "none.yaml: there is no such file")


def test_a_missing_corpus(copy: Path) -> None:
    before = toy.contents(copy / "runs" / "toy")
    result = bitext(copy, "run", "toy.yaml", "--set", "example_gen.files=[none.tsv]")
    assert_refused(copy, result, DATA, "none.tsv: there is no such file", "bitext fetch")
    assert toy.contents(copy / "runs" / "toy") == before
    assert toy.status(copy)["runs"][0]["error"] == "ExampleGen: none.tsv: there is no such file"


def test_a_missing_model(tmp_path: Path) -> None:
    result = bitext(tmp_path, "translate", "--model", "serving/none", stdin="x\n")
    assert_refused(tmp_path, result, DATA, "serving/none")


def test_a_corpus_of_one_line(tmp_path: Path) -> None:
    result = bitext(prepare(tmp_path, sentences()[:1]), "run", "toy.yaml")
    assert_refused(tmp_path, result, DATA, "split is empty", "1 usable example,")


def test_an_empty_split(tmp_path: Path) -> None:
    folder = prepare(tmp_path, sentences()[:50], example_gen={"eval_share": 1e-6})
    result = bitext(folder, "run", "toy.yaml")
    assert_refused(tmp_path, result, DATA, "the eval split is empty", "50 usable examples", "eval_share")


def test_an_empty_corpus(tmp_path: Path) -> None:
    assert_refused(tmp_path, bitext(prepare(tmp_path, []), "run", "toy.yaml"), DATA, "no rows in toy.tsv")


def test_too_many_rejects(copy: Path) -> None:
    before = toy.contents(copy / "runs" / "toy")
    write_tsv(copy / "toy.tsv", [*sentences(), *[("El río.", "")] * 40])
    result = bitext(copy, "run", "toy.yaml")
    assert_refused(copy, result, DATA, "40 of 490 rows (8.2%)", "max_reject_share 5.0%")
    rejects = [line for line in result.err.splitlines() if line.startswith("  toy.tsv:")]
    assert [line.split(":")[1] for line in rejects] == [str(n) for n in range(451, 461)]
    [named] = re.findall(r"all are in (\S+), and `bitext rejects toy\.yaml` ", result.err)
    assert re.fullmatch(r"runs/toy/logs/[\w.-]{,40}/ExampleGen/rejects\.jsonl\.gz", named)
    with gzip.open(copy / named, "rt", encoding="utf-8") as rows:
        assert len(rows.readlines()) == 40
    shown = bitext(copy, "rejects", "toy.yaml", "--limit", "2")
    assert "empty_side: 40 rows\n    toy.tsv:451: " in shown.out
    assert (shown.code, "and 38 more" in shown.out) == (0, True)
    assert toy.contents(copy / "runs" / "toy") == before


def test_aligned_files_of_different_length(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("one\ntwo\nthree\n", encoding="utf-8")
    (tmp_path / "a.es").write_text("uno\ndos\n", encoding="utf-8")
    files = {"format": "parallel", "source_files": ["a.en"], "target_files": ["a.es"]}
    write_config(tmp_path, {"name": "toy", "example_gen": files})
    result = bitext(tmp_path, "run", "toy.yaml")
    assert_refused(tmp_path, result, DATA, "a.en has 3 lines", "a.es has 2")


def test_data_that_breaks_the_schema(tmp_path: Path) -> None:
    """ExampleValidator reports Cyrillic text where the configuration demands Latin. No training starts."""
    rows = [(source, "Кішка бачить річку і хліб") for source, _ in sentences()]
    folder = prepare(tmp_path, rows, schema_gen={"target_scripts": ["Latin"]})
    result = bitext(folder, "run", "toy.yaml")
    assert_refused(
        tmp_path, result, DATA, "the data breaks the schema", "target_script", "Cyrillic", "schema"
    )
    assert result.ran() == list(toy.NODES[:4])
    diff_folder = re.search(r"\((\S+)/\*\*/SchemaDiff\.pb\):", result.err)
    assert diff_folder is not None
    diffs = [
        folder / diff_folder[1] / f"Split-{split}" / "SchemaDiff.pb" for split in ("train", "eval", "test")
    ]
    assert all(b"target_script" in diff.read_bytes() for diff in diffs)
    nodes = toy.status(folder)["runs"][0]["nodes"]
    assert [node["state"] for node in nodes.values()] == ["COMPLETE"] * 3 + ["FAILED"]


def fill(path: Path) -> None:
    """Writes a file that fills the disk."""
    with path.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(bytes(4096))
    assert shutil.disk_usage(path.parent).free == 0


def test_a_full_and_a_read_only_disk(small_disk: Path) -> None:
    """A run on a full disk fails, then one on a read-only disk; a run after both succeeds."""
    folder, root = prepare(small_disk, sentences()), small_disk / "runs" / "toy"
    assert bitext(folder, "run", "toy.yaml", "--to", "ExampleGen").code == 0
    before = toy.contents(root)
    write_tsv(folder / "toy.tsv", sentences()[1:])
    fill(folder / "filler")
    result = bitext(folder, "run", "toy.yaml", "--to", "ExampleGen")
    assert result.code == ENVIRONMENT, result.err
    assert re.match(r"error: .*(No space left on device|disk)", result.err)
    assert "Traceback" not in result.err
    assert toy.contents(root) == before
    (folder / "filler").unlink()

    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    result = bitext(folder, "run", "toy.yaml", "--to", "ExampleGen")
    assert result.code == ENVIRONMENT, result.err
    assert re.match(r"error: .*runs/toy.*Read-only file system\nwhat to do: ", result.err)
    assert toy.contents(root) == before
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)

    result = bitext(folder, "run", "toy.yaml", "--to", "ExampleGen")
    assert (result.code, result.ran()) == (0, ["ExampleGen"])
    assert before.items() <= toy.contents(root).items()


def test_a_limit_on_the_size_of_files(copy: Path, finished: Finished) -> None:
    """A write fails while a node copies the model. In contrast to a full disk, this needs no mount."""
    model = toy.output(copy, "Trainer", "model") / "Format-Serving" / "saved_model.pb"
    metadata = copy / "runs" / "toy" / "metadata.sqlite"
    limit = 2 * metadata.stat().st_size
    assert limit < model.stat().st_size
    before = toy.contents(copy / "runs" / "toy")
    result = bitext(copy, "run", "toy.yaml", "--force", "InfraValidator", max_file_bytes=limit)
    # The page of the run may be too large, too.
    lines = [line for line in result.err.splitlines(True) if "the run has no report" not in line]
    result = dataclasses.replace(result, err="".join(lines))
    assert_refused(copy, result, ENVIRONMENT, "File too large", "ulimit -f")
    assert result.ran() == ["InfraValidator"]
    assert toy.contents(copy / "runs" / "toy") == before
    assert toy.contents(copy / "serving") == toy.contents(finished.folder / "serving")


def test_a_serving_folder_that_is_a_file(copy: Path) -> None:
    (copy / "file").write_text("", encoding="utf-8")
    result = bitext(copy, "run", "toy.yaml", "--set", "serving=file")
    assert_refused(copy, result, CONFIG, "the serving folder", "is not a folder")
    assert result.ran() == ["Pusher"]
