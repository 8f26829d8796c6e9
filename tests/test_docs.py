"""The documentation names files, functions and tests: they exist."""

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

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# What is shown, counted or compared.
NOT_OF_THE_MODEL = {
    "batch_tokens",
    "validation_sentences",
    "validation_tokenize",
    "validation_lowercase",
    "validation_references",
    "seed",
    "samples",
    "progress",
}
REFERENCE = re.compile(r"`([\w/.-]+\.py)::(\w+)`")


def names(path: Path) -> set[str]:
    """Every class and function of a file, at whatever depth."""
    kinds = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_refers_to_exists(page):
    missing = [
        f"{file}::{name}"
        for file, name in REFERENCE.findall(page.read_text(encoding="utf-8"))
        if not (ROOT / file).is_file() or name not in names(ROOT / file)
    ]
    assert not missing


def test_the_model_page_refers_to_code_and_tests():
    found = REFERENCE.findall((ROOT / "docs" / "model.md").read_text(encoding="utf-8"))
    assert {file.split("/")[0] for file, _ in found} == {"components", "tests"}


def test_the_model_page_names_every_setting_that_is_about_the_model():
    text = (ROOT / "docs" / "model.md").read_text(encoding="utf-8")
    kinds = (ModelSettings, SearchSettings, Parameters)
    every = {field.name for kind in kinds for field in msgspec.structs.fields(kind)}
    assert every >= NOT_OF_THE_MODEL
    named = set(re.findall(r"`(?:\w+\.)?(\w+)(?:: [^`]*)?`", text))
    assert every - named == NOT_OF_THE_MODEL


def test_relative_links_lead_somewhere():
    for page in PAGES:
        prose = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", prose):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_systemd_takes_the_units(tmp_path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed")
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    units = re.findall(r"```ini\n# /etc/systemd/system/(\S+)\n(.*?)```", text, flags=re.DOTALL)
    assert [name for name, _ in units] == ["bitext.service", "bitext.timer"]
    for name, unit in units:  # with a command that exists here
        (tmp_path / name).write_text(re.sub(r"(?m)^ExecStart=\S+", f"ExecStart={sys.executable}", unit))
    paths = [str(tmp_path / name) for name, _ in units]
    done = subprocess.run([analyze, "verify", *paths], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
