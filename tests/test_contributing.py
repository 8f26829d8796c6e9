"""The recipes of CONTRIBUTING.md: each recipe is applied to a copy of the checkout, and its test passes."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COPIED = ("bitext", "pipeline", "components", "schemas", "pyproject.toml", "tests")
BLOCK = re.compile(r'^```(python|diff) title="([^"]+)"\n(.*?)^```$', re.MULTILINE | re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Block:
    """A file to write, or a change to a file."""

    kind: str
    path: str
    text: str

    def apply(self, root: Path) -> None:
        """Writes the file, or replaces the context and `-` lines by the context and `+` lines."""
        path = root / self.path
        if self.kind == "python":
            assert not path.exists(), f"{self.path} exists already"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.text, encoding="utf-8")
            return
        lines = self.text.splitlines(keepends=True)
        old = "".join(line[1:] or "\n" for line in lines if line[0] != "+")
        new = "".join(line[1:] or "\n" for line in lines if line[0] != "-")
        current = path.read_text(encoding="utf-8")
        assert current.count(old) == 1, f"{self.path} has these lines {current.count(old)} times:\n{old}"
        path.write_text(current.replace(old, new), encoding="utf-8")


def recipes() -> dict[str, list[Block]]:
    """Returns the blocks of each recipe by its heading."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").partition("\n## Recipes\n")[2]
    sections = re.split(r"^### (.+)\n", text, flags=re.MULTILINE)[1:]
    pairs = zip(sections[::2], sections[1::2], strict=True)
    return {heading: [Block(*match) for match in BLOCK.findall(body)] for heading, body in pairs}


def test_each_of_the_four_recipes_has_a_test():
    assert len(recipes()) == 4
    assert all(any(block.path.startswith("tests/") for block in blocks) for blocks in recipes().values())


@pytest.mark.parametrize("heading", recipes())
def test_a_recipe_works(heading, tmp_path):
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, tmp_path / name, symlinks=True, ignore=ignored)
        else:
            shutil.copy(source, tmp_path / name)
    blocks = recipes()[heading]
    for block in blocks:
        block.apply(tmp_path)
    tests = [block.path for block in blocks if block.path.startswith("tests/")]
    pytest_process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", *tests],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert pytest_process.returncode == 0, pytest_process.stdout + pytest_process.stderr
    new_files = [block.path for block in blocks if block.kind == "python"]
    ruff_process = subprocess.run(
        [sys.executable, "-m", "ruff", "check", *new_files],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ruff_process.returncode == 0, ruff_process.stdout
