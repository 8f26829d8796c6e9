"""The summary of a run: the example sentence, and artifacts that are damaged after the run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bitext.components.artifacts import Translated
from bitext.pipeline import cli
from bitext.pipeline.reports import summary


def translations(*sources: str) -> list[Translated]:
    """Returns a translation of each source sentence."""
    return [Translated(f"f:{n}", source, "h", ["r"], -0.5) for n, source in enumerate(sources)]


@pytest.mark.parametrize(
    ("sources", "expected"),
    [
        (
            ("No.", "Де знаходиться вокзал?", "Мій брат живе у великому місті біля моря."),
            "Де знаходиться вокзал?",
        ),
        (("Sí.", "No."), "Sí."),
        (("a" * 60, "b" * 70), "a" * 60),
        (("two\nlines", "   ", "one"), "one"),
        ((), ""),
    ],
    ids=["the first that fits", "the shortest", "a long one", "only printable ones", "none"],
)
def test_the_example_is_a_source_sentence_of_the_corpus(sources: tuple[str, ...], expected: str) -> None:
    assert summary._example(translations(*sources)) == expected


@pytest.mark.parametrize(
    "sentence",
    ["¿Dónde está?", 'He said "no"', "It's $5", "`date`", "back\\slash", "Stop!", "-n", 'l\'été "où" $HOME!'],
)
def test_the_shell_echoes_the_sentence_as_it_is(sentence: str) -> None:
    command = f"printf '%s\\n' {summary._quoted(sentence)}"
    process = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert process.stdout == f"{sentence}\n"


LINE_WITHOUT_FILE = {
    "metrics.json": "SavedModel",
    "translations.jsonl": "SavedModel",
    "pushed.json": "BLEU 31.25",
}
"""A line that the summary still has if this file is damaged."""


@pytest.mark.parametrize("content", ['{"bleu": ', "", "[1, 2]", "null", "\x00\xff", None])
@pytest.mark.parametrize("name", LINE_WITHOUT_FILE)
def test_a_damaged_file_is_left_out_of_the_summary(
    toy: Path, capsys: pytest.CaptureFixture[str], name: str, content: str | None
) -> None:
    assert cli.main(["run", "toy.yaml"]) == 0
    [path] = (toy / "runs" / "toy").glob(f"*/*/*/{name}")
    path.unlink()
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content.encode("latin-1"))
    capsys.readouterr()
    assert cli.main(["run", "toy.yaml", "--to", "Push"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert LINE_WITHOUT_FILE[name] in captured.out
    assert "4 nodes, " in captured.out
