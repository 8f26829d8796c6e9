"""`bitext translate --alignments`: what does not go with it is refused before a model is loaded."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitext.pipeline import cli


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--alignments", "a", "--nbest", "2"], "--alignments is given with --nbest"),
        (["--alignments", "a", "--beam-runner", "direct"], "--alignments is given with --beam-runner"),
        (["--alignment-threshold", "0.5"], "--alignment-threshold is given without --alignments"),
        (["--alignments", "a", "--alignment-threshold", "0"], "must be above 0 and at most 1"),
        (["--alignments", "a", "--alignment-threshold", "x"], "must be a number"),
        (["--alignments"], "expected one argument"),
        (["--alignments", "in.txt"], "it is the input"),
        (["--alignments", "none/a"], "none does not exist"),
    ],
)
def test_refusals(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.txt").write_text("a\n", encoding="utf-8")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "saved_model.pb").touch()
    try:
        code = cli.main(["translate", "in.txt", "--model", "model", *arguments])
    except SystemExit as error:
        code = int(error.code or 0)
    assert code == 2
    assert message in capsys.readouterr().err
    assert Path("in.txt").read_text(encoding="utf-8") == "a\n"
