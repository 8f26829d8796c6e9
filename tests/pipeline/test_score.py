"""`bitext score`: what it prints, as TSV and as JSON, and what it refuses."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from bitext.pipeline import cli
from tests import toy_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model.save(tmp_path_factory.mktemp("model"), "upper")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with two files of pairs."""
    monkeypatch.chdir(tmp_path)
    Path("s").write_text("one two\n\nthree\n", encoding="utf-8")
    Path("t").write_text("uno dos\n\ntres\n", encoding="utf-8")
    return tmp_path


def test_each_line_has_its_score_and_the_sums_are_on_standard_error(
    folder: Path, model: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert cli.main(["score", "s", "t", "--model", str(model)]) == 0
    captured = capfdbinary.readouterr()
    assert captured.out == b"-2.0794\t-0.6931\t3\n0.0000\t0.0000\t0\n-1.3863\t-0.6931\t2\n"
    summary = b"2 pairs, 5 target tokens: log probability -3.47, -0.6931 per token, perplexity 2.00\n"
    assert captured.err.endswith(summary)


def test_json_lines(folder: Path, model: Path) -> None:
    assert cli.main(["score", "s", "t", "--model", str(model), "--json", "--output", "o"]) == 0
    *rows, last = map(json.loads, Path("o").read_text(encoding="utf-8").splitlines())
    assert [row["line"] for row in rows] == [1, 2, 3]
    assert [row["length"] for row in rows] == [3, 0, 2]
    assert rows[0]["log_prob"] == pytest.approx(-3 * math.log(2))
    assert last["total"] == {
        "pairs": 2,
        "log_prob": pytest.approx(-5 * math.log(2)),
        "length": 5,
        "perplexity": pytest.approx(2),
    }


def test_blank_files_have_no_perplexity(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("s").write_text("\n", encoding="utf-8")
    Path("t").write_text(" \n", encoding="utf-8")
    assert cli.main(["score", "s", "t", "--model", str(model), "--output", "o"]) == 0
    assert capsys.readouterr().err.endswith("all lines are blank\n")
    assert cli.main(["score", "s", "t", "--model", str(model), "--output", "o", "--json"]) == 0
    row, last = map(json.loads, Path("o").read_text(encoding="utf-8").splitlines())
    assert row == {"line": 1, "log_prob": 0, "mean": 0, "length": 0}
    assert last["total"] == {"pairs": 0, "log_prob": 0, "length": 0, "perplexity": None}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-", "-"], 2, "several files"),
        (["s", "none"], 3, "cannot read none"),
        (["s", "t", "--output", "t"], 2, "it is the input"),
        (["s", "t", "--batch-size", "0"], 2, "batch_size must be at least 1"),
    ],
)
def test_refusals(
    folder: Path,
    model: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    assert cli.main(["score", *arguments, "--model", str(model)]) == code
    assert message in capsys.readouterr().err


def test_a_failed_command_leaves_the_earlier_output(
    folder: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("o").write_text("earlier", encoding="utf-8")
    Path("t").write_text("uno dos\n", encoding="utf-8")
    assert cli.main(["score", "s", "t", "--model", str(model), "--output", "o"]) == 3
    assert Path("o").read_text(encoding="utf-8") == "earlier"
