"""Every code block of README and pages is run or checked by a test, or says why not."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from bitext.pipeline import cli
from docs.tools import blocks
from docs.tools.blocks import Block
from docs.tools.stage import TUTORIAL, Stage

BLOCKS = [block for page in blocks.pages() for block in blocks.parse(page)]
CHECKED = {"yaml", "ini", "cron", "json"}
"""Languages whose blocks the fast tests check completely."""
MOST_NOT_RUN = 21
DRAWINGS = {"docs/concepts/pipeline.md", "docs/concepts/blessing.md"}
"""Pages whose `text` blocks without a command in front of them are file trees."""


def of(*languages: str) -> list[Any]:
    """The blocks of some languages that are run, as parameters of a test."""
    chosen = [block for block in BLOCKS if block.language in languages and block.not_run is None]
    return [pytest.param(block, id=block.name) for block in chosen]


def shows(block: Block) -> Block | None:
    """The block whose output a `text` block shows; None if there is none."""
    before = [b for b in BLOCKS if b.page == block.page and b.line < block.line]
    return before[-1] if before and before[-1].language in blocks.RUNS else None


class TestEveryBlock:
    def test_is_run_or_says_why_not(self) -> None:
        wrong = []
        for block in BLOCKS:
            page = str(block.page.relative_to(blocks.ROOT))
            if block.not_run is not None:
                wrong += [f"{block.name}: a reason is missing"] if len(block.not_run) < 10 else []
            elif block.language == blocks.PRINTED:
                before = shows(block)
                if page not in DRAWINGS and (before is None or before.not_run is not None):
                    wrong.append(f"{block.name}: shows what no test prints")
            elif block.language not in {*CHECKED, *blocks.RUNS}:
                wrong.append(f"{block.name}: no test runs {block.language!r}")
        assert not wrong

    def test_few_are_not_run(self) -> None:
        assert len([block for block in BLOCKS if block.not_run is not None]) <= MOST_NOT_RUN


def test_the_check_finds_a_block_that_nothing_runs(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- not run: it is a test -->\n```sh\na\n```\ntext\n\n```ruby\nb\n```\n")
    first, second = blocks.parse(page)
    assert (first.language, first.text, first.not_run) == ("sh", "a", "it is a test")
    assert (second.language, second.text, second.not_run) == ("ruby", "b", None)


@pytest.mark.parametrize("block", of("yaml"))
def test_a_configuration_is_accepted(block: Block, tmp_path: Path) -> None:
    from bitext.pipeline import config

    if "space.yaml" in block.marks.get("file", []):
        return  # it is read when its page runs
    values = yaml.safe_load(block.text)
    least = {"name": "page", "example_gen": {"files": ["data/mine.tsv"]}}
    if values.get("evaluator", {}).get("min_golden_bleu"):
        least["example_gen"] = {**least["example_gen"], "golden": {"files": ["golden.tsv"]}}
    path = tmp_path / "page.yaml"
    missing = {key: value for key, value in least.items() if key not in values}
    path.write_text(block.text + "\n" + (yaml.safe_dump(missing) if missing else ""), encoding="utf-8")
    old_keys: list[str] = []
    config.load(path, warn=old_keys.append)
    assert old_keys == []


@pytest.mark.parametrize("block", of("json"))
def test_json_is_json(block: Block) -> None:
    for line in block.text.splitlines():
        assert isinstance(json.loads(line), dict)


@pytest.mark.parametrize("block", of("cron"))
def test_a_crontab_line_runs_the_command(block: Block) -> None:
    *times, command = block.text.split(None, 5)
    assert all(re.fullmatch(r"[\d*/,-]+", time) for time in times)
    called = [words for words in blocks.commands(command) if words[0].endswith("bitext")]
    assert len(called) == 1
    parse_arguments(called[0][1:])


def parse_arguments(arguments: list[str]) -> None:
    """Fails unless `bitext` takes the arguments."""
    if not {"-h", "--help", "--version"} & set(arguments):
        cli.build_parser().parse_args(arguments)  # exits with code 2 if not


@pytest.mark.parametrize("block", of("sh"))
def test_shell_commands_exist(block: Block) -> None:
    checked = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    targets = re.findall(r"^([a-z-]+):", (blocks.ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in blocks.commands(block.text):
        if words[0] in ("bitext", ".venv/bin/bitext"):
            parse_arguments(words[1:])
        elif words[0] == "make":
            assert set(words[1:]) <= set(targets)


@pytest.mark.parametrize("block", of("python"))
def test_python_is_python(block: Block) -> None:
    ast.parse(block.text)


RUN_PAGES = [page for page in blocks.pages() if any(b.language in blocks.RUNS for b in blocks.parse(page))]


Printed = dict[Path, list[tuple[Block, str]]]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Stage, Printed]:
    """A checkout in which the first pages of the tutorial have run, and what they printed."""
    stage = Stage.small(tmp_path_factory.mktemp("stage") / "bitext")
    return stage, stage.prepare()


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", RUN_PAGES, ids=lambda page: str(page.relative_to(blocks.ROOT)))
def test_what_a_page_runs_prints_what_the_page_shows(
    page: Path, prepared: tuple[Stage, Printed], tmp_path: Path
) -> None:
    stage, first = prepared
    assert_shown(first[page] if page in TUTORIAL else stage.copy(tmp_path / "bitext").run_page(page))


@pytest.mark.runtime
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("package", sorted({name for b in BLOCKS for name in b.marks.get("needs", [])}))
def test_a_page_whose_blocks_need_a_package(
    package: str, prepared: tuple[Stage, Printed], tmp_path: Path
) -> None:
    needed = [block for block in BLOCKS if package in block.marks.get("needs", [])]
    for number, page in enumerate({block.page for block in needed}):
        run = list(prepared[0].copy(tmp_path / str(number) / "bitext").run_page(page))
        assert {b.name for b in needed if b.page == page} <= {block.name for block, _ in run}
        assert_shown(run)


def assert_shown(run: Iterable[tuple[Block, str]]) -> None:
    """Fails unless blocks have printed what their page shows."""
    wrong = []
    for block, printed in run:
        shown = blocks.shown_after(block)
        if shown is not None:
            try:
                blocks.refresh(shown.text, printed, "free" in shown.marks)
            except LookupError as error:
                wrong.append(f"{shown.name}: {error}")
    assert not wrong, "\n".join(wrong)


def test_masks_hide_figures_and_no_words() -> None:
    shown = "    train: 135,134 pairs in 86 shapes, 3.3% padding; 13 over-long left out\n...\ndone in 2.4 s"
    printed = (
        "first\n    train: 64 pairs in 5 shapes, 7% padding; 0 over-long left out\nx\ndone in 1 min 2 s\n"
    )
    refreshed = blocks.refresh(shown, printed)
    assert refreshed.splitlines()[::2] == [printed.splitlines()[1], "done in 1 min 2 s"]
    with pytest.raises(LookupError, match="over-long rejected"):
        blocks.refresh("train: 64 pairs in 5 shapes, 7% padding; 0 over-long rejected", printed)


def test_free_text_is_compared_by_its_layout() -> None:
    assert blocks.mask(" -0.24  ¿Dónde está?", free=True) == blocks.mask("-1.5 no sé nada 3", free=True)
    assert blocks.mask("hello you", free=True) != blocks.mask("-1.5 hello", free=True)
