"""README and pages: their size, the files and names they refer to, their links, the settings they explain."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bitext.components.seq2seq import ModelSettings, SearchSettings
from bitext.components.trainer import Parameters
from docs.tools import blocks

ROOT = blocks.ROOT
README = ROOT / "README.md"
MODEL_PAGES = [ROOT / "docs" / "concepts" / f"{name}.md" for name in ("model", "search", "text")]
NOT_OF_THE_MODEL = {"batch_tokens", "sentences", "seed", "samples", "progress"}
"""Keys of the trainer that the model's pages need not explain."""
GLOSSARY = {
    "alignment",
    "analyzer cache",
    "back-pointers",
    "bless",
    "golden set",
    "held-out",
    "memory",
    "pipeline root",
    "replicas",
    "residuals",
    "span",
    "staging",
}
REFERENCE = re.compile(r"`([\w/.-]+\.(?:py|java))(?:::(\w+))?`")
STUMBLED_OVER = (
    "another processor may round otherwise",
    "it answers at once",
    "Where yours is not",
    "on what matters of them",
    "hands on the curated contract",
    "or says why not",
    "of one drawn, as it is",
    "read up to there",
    "no search goes on beyond",
    "what is done stays done",
    "On this machine training does",
    "So it does, and says why",
    "What was taken is not carried",
    "is added what chance may do",
    "With nobody watching, the data must speak up",
    "This page is what that takes",
    "was printed by",
    "the tests that need minutes",
)
"""Parts of sentences that readers did not understand."""


def names(path: Path) -> set[str]:
    """Every class and function of a file, at any depth."""
    kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_the_readme_is_short():
    text = README.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 150
    assert len(text.split()) <= 900


@pytest.mark.parametrize("page", blocks.pages(), ids=lambda page: page.name)
def test_no_page_has_a_sentence_that_readers_stumbled_over(page):
    text = " ".join(page.read_text(encoding="utf-8").split())
    assert [words for words in STUMBLED_OVER if words in text] == []


@pytest.mark.parametrize("page", blocks.pages(), ids=lambda page: page.name)
def test_files_and_names_that_a_page_refers_to_exist(page):
    missing = [
        f"{file}::{name}"
        for file, name in REFERENCE.findall(page.read_text(encoding="utf-8"))
        if "/" in file and (not (ROOT / file).is_file() or (name and name not in names(ROOT / file)))
    ]
    assert not missing


def test_the_table_of_ideas_names_code_and_tests():
    text = MODEL_PAGES[0].read_text(encoding="utf-8")
    prose, _, table = text.partition("\n## Ideas, code and tests\n")
    assert not REFERENCE.findall(prose)
    assert {file.split("/")[0] for file, _ in REFERENCE.findall(table)} == {"components", "tests"}


def settings(kind: type[msgspec.Struct]) -> set[str]:
    """The keys of a section and of the sections inside."""
    found = set()
    for field in msgspec.structs.fields(kind):
        inner = isinstance(field.type, type) and issubclass(field.type, msgspec.Struct)
        found |= settings(field.type) if inner else {field.name}
    return found


def test_the_pages_of_the_model_explain_every_setting_of_it():
    text = "".join(page.read_text(encoding="utf-8") for page in MODEL_PAGES)
    every = settings(ModelSettings) | settings(SearchSettings) | settings(Parameters)
    named = set(re.findall(r"(?:`|\.)(\w+)(?:: [^`]*)?`", text))
    assert every - named <= NOT_OF_THE_MODEL


def test_the_glossary_is_sorted_and_has_the_terms_of_the_project():
    text = (ROOT / "docs" / "concepts" / "glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^(\S.*)\n:   ", text, re.MULTILINE)
    assert terms == sorted(terms, key=str.lower)
    assert set(terms) >= GLOSSARY


def test_links_of_the_readme_lead_somewhere():
    prose = re.sub(r"```.*?```", "", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", prose):
        assert (ROOT / target).exists(), target


def test_systemd_takes_the_units(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    page = ROOT / "docs" / "how-to" / "schedule.md"
    units = [block.text for block in blocks.parse(page) if block.language == "ini"]
    names = [re.match(r"# /etc/systemd/system/(\S+)\n", unit)[1] for unit in units]
    assert names == ["bitext.service", "bitext.timer"]
    for name, unit in zip(names, units):  # with a command that exists here
        (tmp_path / name).write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", unit))
    done = subprocess.run(
        [analyze, "verify", *(str(tmp_path / name) for name in names)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
