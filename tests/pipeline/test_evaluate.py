"""`bitext evaluate`: its output, its refusals, and that scoring a file imports no TensorFlow."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitext.pipeline import cli
from tests import toy_model

REPOSITORY = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a source, a reference and translations."""
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text("the cat sat on a mat\nit is so\n\n", encoding="utf-8")
    Path("ref.txt").write_text("THE CAT SAT ON A MAT\nIT IS SO\n\n", encoding="utf-8")
    Path("hyp.txt").write_text("THE CAT SAT ON A HAT\nIT IS SO\n\n", encoding="utf-8")
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model.save(tmp_path_factory.mktemp("model"), "upper")


def evaluate(*arguments: str) -> int:
    """Calls the command."""
    return cli.main(["evaluate", "--bootstrap-samples", "100", *arguments])


def test_a_model_is_scored_and_its_translations_are_written(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--source", "in.txt", "--reference", "ref.txt", "--model", str(model)]
    assert evaluate(*arguments, "--output", "out.txt") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 sentences of ref.txt, 1 reference each; 1 blank line"
    assert lines[1] == f"translations of {model}/Format-Serving"
    assert lines[2].startswith("tokenizer 13a: ")
    assert lines[3].startswith("BLEU    100.00  [0.00, 100.00]  nrefs:1|bs:100|seed:12345|")
    assert lines[-1].startswith("perplexity 2.00; ")
    assert Path("out.txt").read_bytes() == Path("ref.txt").read_bytes()
    assert evaluate(*arguments, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["scores"]["chrf"]["score"] == pytest.approx(100)
    assert report["perplexity"] == pytest.approx(2)


def test_an_impossible_search_is_refused(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--source", "in.txt", "--reference", "ref.txt", "--model", str(model)]
    assert evaluate(*arguments, "--beam-size", "0") == 2
    assert "beam_size must be at least 1" in capsys.readouterr().err
    assert evaluate(*arguments, "--batch-size", "0") == 2
    assert "batch_size must be at least 1" in capsys.readouterr().err


def test_several_references_and_standard_input(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("ref2.txt").write_text("THE CAT SAT ON A HAT\n\n\n", encoding="utf-8")
    references = ["--reference", "ref.txt", "--reference", "ref2.txt"]
    with Path("hyp.txt").open(encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdin", stream)
        assert evaluate("--hypothesis", "-", *references) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "2 sentences of ref.txt, ref2.txt, 1 to 2 references each; 1 blank line"
    assert lines[1] == "standard input"
    assert lines[3].startswith("BLEU    100.00")
    assert "perplexity" not in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reference", "ref.txt"], "neither --source nor --hypothesis is given"),
        (["--hypothesis", "hyp.txt"], "the following arguments are required: --reference"),
        (["--hypothesis", "hyp.txt", "--reference", "ref.txt", "--model", "m"], "--model is given with"),
        (["--hypothesis", "hyp.txt", "--reference", "ref.txt", "--output", "o"], "--output is given with"),
        (["--hypothesis", "hyp.txt", "--reference", "ref.txt", "--beam-size", "2"], "--beam-size is given"),
        (["--hypothesis", "hyp.txt", "--reference", "ref.txt", "--tokenize", "13"], "no such tokenizer"),
        (["--source", "in.txt", "--reference", "ref.txt", "--output", "ref.txt"], "it is the input"),
        (["--source", "in.txt", "--reference", "ref.txt", "--output", "-"], "standard output has the scores"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    try:
        code = evaluate(*arguments)
    except SystemExit as error:
        code = int(error.code or 0)
    assert code == 2
    assert message in capsys.readouterr().err


def test_scoring_a_file_imports_no_tensorflow(folder: Path) -> None:
    program = (
        "import sys; from bitext.pipeline import cli\n"
        "code = cli.main(['evaluate', '--hypothesis', 'hyp.txt', '--reference', 'ref.txt'])\n"
        "print(code, sorted({'tensorflow', 'apache_beam', 'tensorflow_data_validation'} & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.splitlines()[-1] == "0 []"
