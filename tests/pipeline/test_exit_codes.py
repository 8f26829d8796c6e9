"""One module declares the exit codes. The help, the Airflow DAG and the documentation have the same codes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bitext.components.shared import errors
from bitext.components.shared.errors import Action, BitextError
from bitext.pipeline import cli
from docs.tools import reference

DOCS = Path(__file__).parents[2] / "docs"
ROWS = {row.code: row for row in errors.exit_codes()}


def error_classes(base: type[BitextError] = BitextError) -> set[type[BitextError]]:
    """Returns a class and all its subclasses in the module of the errors."""
    subclasses = {cls for cls in base.__subclasses__() if cls.__module__ == errors.__name__}
    return {base}.union(*(error_classes(cls) for cls in subclasses))


def test_every_error_and_outcome_has_one_row() -> None:
    assert list(ROWS) == sorted(ROWS)
    assert len(ROWS) == len(errors.exit_codes())
    assert set(ROWS) == {
        0,
        errors.REFUSED,
        errors.INTERRUPTED.code,
        errors.TERMINATED.code,
        *(cls.exit_code for cls in error_classes()),
    }
    for cls in error_classes():
        if cls.exit_code != errors.REFUSED:
            assert ROWS[cls.exit_code] == errors.ExitCode(cls.exit_code, cls.meaning, cls.action)
    assert len({row.meaning for row in ROWS.values()}) == len(ROWS)


def test_the_help_lists_every_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    epilog = capsys.readouterr().out.partition("exit codes:\n")[2]
    assert re.findall(r"^  (\d+) +(.+)$", epilog, re.MULTILINE) == [
        (str(row.code), row.meaning) for row in ROWS.values()
    ]


def test_the_reference_page_lists_every_code() -> None:
    page = reference.exit_codes()
    for row in ROWS.values():
        assert f"| {row.code} | {row.meaning} | {row.action} |" in page


def test_the_page_about_schedules_has_the_actions_of_airflow() -> None:
    text = (DOCS / "how-to" / "schedule.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\d, ]+) \| (.+) \|$", text, re.MULTILINE)
    codes = {meaning: [int(code) for code in cell.split(",")] for cell, meaning in rows}
    stops = [code for code, row in ROWS.items() if row.action == Action.STOP]
    assert codes["the task fails at once"] == stops
    assert codes["the task and those after it are skipped"] == [errors.REFUSED]


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_a_page_names_only_codes_that_exist(page: Path) -> None:
    named = re.findall(r"exit codes? (\d+)", page.read_text(encoding="utf-8"))
    assert {int(code) for code in named} <= set(ROWS)
