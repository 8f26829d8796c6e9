"""`bitext export` for other runtimes after a run, and a client that knows only the exported folder."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bitext.components.exporter.token_formats import TOKEN_FORMATS
from bitext.components.seq2seq.layers import recurrence
from bitext.pipeline import cli
from tests.e2e.conftest import Finished
from tests.e2e.toy import bitext

CLIENT = Path(__file__).parents[2] / "examples" / "translate_tokens.py"
FORMS = [pytest.param(name, marks=pytest.mark.runtime, id=name) for name in TOKEN_FORMATS]
IN_PYTHON = [form for form in FORMS if form.id != "tfjs"]
LINES = "The cat sees the river.\nA child buys “two” apples!\n\n  a\tsong — üñîçø ½ 12 \n"


@pytest.mark.parametrize("form", IN_PYTHON)
def test_a_client_of_the_folder_translates_as_the_saved_model_does(
    finished: Finished, tmp_path: Path, form: str
) -> None:
    folder = tmp_path / "form"
    result = bitext(finished.folder, "export", "toy.yaml", "--format", form, "--output", str(folder))
    assert (result.code, result.err) == (0, "")
    shown = (
        r"form: {} with float32 weights.*\ngreedy search finds the same tokens in ([\d,]+) of \1 sentences"
    )
    assert re.search(shown.format(form), result.out)
    report = json.loads((folder / "export.json").read_text(encoding="utf-8"))
    assert (report["difference"], report["tokens"]["different_sentences"], report["tokens"]["ties"]) == (
        0,
        0,
        0,
    )
    assert 0 < report["tokens"]["largest_difference"] < 1e-4
    files = {path.name for path in folder.iterdir()}
    about = json.loads((folder / "signatures.json").read_text(encoding="utf-8"))
    assert {graph["file"] for graph in about["graphs"].values()} < files
    assert {"README.md", "signatures.json", "text.json", "vocabulary.json", "export.json"} < files
    client = subprocess.run(
        [sys.executable, "-I", str(CLIENT), str(folder)],
        input=LINES,
        capture_output=True,
        text=True,
        check=True,
    )
    assert client.stderr == ""
    options = ("--model", "serving/toy", "--whole-lines", "--beam-size", "1", "--length-penalty", "0")
    expected = bitext(finished.folder, "translate", *options, stdin=LINES)
    assert client.stdout == expected.out


@pytest.mark.parametrize("form", FORMS)
def test_a_graph_that_computes_something_else_is_refused(
    finished: Finished,
    tmp_path: Path,
    form: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The backward direction of the exported encoder runs forward, as after a wrong conversion."""
    monkeypatch.chdir(finished.folder)
    monkeypatch.setattr(recurrence, "_reversed", lambda sequence: sequence)
    output = tmp_path / "form"
    assert cli.main(["export", "toy.yaml", "--format", form, "--output", str(output)]) == 4
    error = capsys.readouterr().err
    assert f"{form} with float32 weights does not compute what the SavedModel does" in error
    assert "nothing was written" in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", FORMS)
def test_a_full_disk_is_an_error(finished: Finished, tmp_path: Path, form: str) -> None:
    output = str(tmp_path / "form")
    command = ("export", "toy.yaml", "--format", form, "--output", output)
    result = bitext(finished.folder, *command, max_file_bytes=50_000)
    assert result.code == 6
    assert result.err.startswith(f"error: cannot write {output}: ")
    assert "what to do: free space, or name another folder with --output" in result.err
    assert list(tmp_path.iterdir()) == []
