"""Fenced blocks of a Markdown page: their marks, their commands, and how printed text is compared.

A mark is an HTML comment in front of a block, one comment a line::

    <!-- not run: needs a network -->    no test runs the block; the reason is required
    <!-- file: mine.yaml -->             the block is the content of this file
    <!-- setup: COMMAND -->              run before the block, not shown to the reader
    <!-- needs: onnx -->                 runs where this package is installed: in `make test-onnx`, ...
    <!-- exit: 3 -->                     the block's last command ends with this exit code
    <!-- free -->                        of printed text, only the layout and the number of lines are compared
    <!-- long -->                        it trains a model, and nothing that the pages show depends on it

A `text` block after a block that runs shows what that block prints. `...` on a line of its own stands for any
lines. Figures, times and identifiers are not compared.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MARKS = {"not run", "needs", "file", "setup", "exit", "free", "long"}
RUNS = ("sh", "python")
PRINTED = "text"
ELLIPSIS = "..."

_MARK = re.compile(r"^\s*<!-- (not run|needs|file|setup|exit|free|long)(?:: (.*))? -->\s*$")
_FENCE = re.compile(r"^(\s*)(`{3,}|~{3,})\s*(\S*)\s*$")


@dataclasses.dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes:
      page: the file.
      line: the 1-based line of the opening fence.
      language: the word after the fence.
      text: the content, without the page's indentation.
      marks: values of the marks in front of the block, by name, in order.
    """

    page: Path
    line: int
    language: str
    text: str
    marks: dict[str, list[str]]

    @property
    def not_run(self) -> str | None:
        """Why no test runs the block; None if one does."""
        return self.marks["not run"][0] if "not run" in self.marks else None

    @property
    def is_possible(self) -> bool:
        """Whether the packages that the block needs are installed."""
        return all(is_installed(package) for package in self.marks.get("needs", []))

    @property
    def name(self) -> str:
        """Page and line."""
        page = self.page.relative_to(ROOT) if self.page.is_relative_to(ROOT) else self.page
        return f"{page}:{self.line}"


def is_installed(package: str) -> bool:
    """Whether Python finds a package; for `tfjs`, whether a folder of NODE_PATH has TensorFlow.js."""
    if package == "tfjs":
        folders = os.environ.get("NODE_PATH", "").split(os.pathsep)
        return any(Path(folder, "@tensorflow", "tfjs").is_dir() for folder in folders if folder)
    return importlib.util.find_spec(package) is not None


def pages() -> list[Path]:
    """Every page with blocks: the README and the site's pages that are not generated."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def parse(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order.

    Raises:
      ValueError: a fence is never closed.
    """
    blocks: list[Block] = []
    marks: dict[str, list[str]] = {}
    lines = iter(enumerate(page.read_text(encoding="utf-8").splitlines(), start=1))
    for number, line in lines:
        if mark := _MARK.match(line):
            marks.setdefault(mark[1], []).append(mark[2] or "")
        elif fence := _FENCE.match(line):
            text = "\n".join(_until(lines, fence[2], len(fence[1]), f"{page}:{number}"))
            blocks.append(Block(page, number, fence[3], text, marks))
            marks = {}
        elif line.strip():
            marks = {}
    return blocks


def shown_after(block: Block) -> Block | None:
    """The block that shows what a block prints; None if the page does not show it."""
    shown = next((after for after in parse(block.page) if after.line > block.line), None)
    if shown is None or shown.language not in (PRINTED, "json") or shown.not_run is not None:
        return None
    return shown


def _until(lines: Iterator[tuple[int, str]], fence: str, indentation: int, where: str) -> Iterator[str]:
    for _, line in lines:
        if line.strip() == fence:
            return
        yield line[indentation:] if not line[:indentation].strip() else line
    raise ValueError(f"{where}: the block has no end")


def commands(text: str) -> list[list[str]]:
    """The simple commands of a shell script, each as words, redirections left out."""
    found: list[list[str]] = [[]]
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        skip = False
        for word in lexer:
            if set(word) <= set("|&;"):
                found.append([])
            elif set(word) <= set("<>&"):
                if found[-1] and found[-1][-1].isdigit():  # 2>&1
                    found[-1].pop()
                skip = True
            elif skip:
                skip = False
            else:
                found[-1].append(word)
        found.append([])
    return [words for words in found if words]


_MASKS = (
    (r"\d{8}T\d{6}Z-[0-9a-f]{4}", "RUN"),
    (r"\d{8}t\d{6}z-[0-9a-f]{4}", "RUN"),  # in the name of a Beam job
    (r"\b[0-9a-f]{4}-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "JOB"),
    (r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d:\d\d(?:[.+:\dZ]*))?", "TIME"),
    (r"(?<!\.)\b(?=[a-f]*\d)[0-9a-f]{12,64}\b", "DIGEST"),
    (r"\b\d+ h(?: \d+ min)?|\b\d+ min(?: \d+ s)?|\b\d[\d.]* (?:s|min|h)\b", "DURATION"),
    (r"\b\d[\d.,]* (?:bytes|kB|MB|GB|KiB|MiB)\b", "SIZE"),
    (r"nrefs:\w+", "nrefs:N"),
    (r"(?:(?<![\w.)\]])[-+])?(?<![A-Za-z])\d[\d,]*(?:\.\d+)?(?:e[-+]?\d+)?", "N"),
    (r"\b(source|model|reference) {2,}.*", r"\1 SENTENCE"),
    (r"\s+", " "),
)


def mask(line: str, free: bool = False) -> str:
    """The line without what differs from run to run: figures, times, identifiers, sentences."""
    for pattern, replacement in _MASKS:
        line = re.sub(pattern, replacement, line)
    if free and line.strip():
        return "N WORDS" if line.strip().startswith("N") else "WORDS"
    return line.strip()


def first_figure(line: str) -> str:
    """The first number of a line, which identifies it among lines that are equal when masked: the step."""
    figure = re.search(r"\d[\d,.]*", line)
    return figure[0] if figure else ""


def refresh(shown: str, printed: str, free: bool = False) -> str:
    """What a page shows, with the figures of a new run.

    Args:
      shown: the block's text; each line stands for the next printed line that equals it when masked.
      printed: what the command prints now.
      free: compare the layout only.

    Raises:
      LookupError: a line that is shown is not printed (any more).
    """
    lines = printed.splitlines()
    result, at, gap = [], 0, False
    for line in shown.splitlines():
        if line.strip() == ELLIPSIS:
            result.append(line)
            gap = True
            continue
        wanted = mask(line, free)
        reach = range(at, len(lines)) if gap or at == 0 else range(at, min(at + 1, len(lines)))
        matches = [i for i in reach if mask(lines[i], free) == wanted]
        same = [i for i in matches if first_figure(lines[i]) == first_figure(line)]
        match = next(iter(same or matches), None)
        if match is None:
            rest = "\n    ".join(lines[at : at + 12])
            raise LookupError(f"shown: {line!r}\nmasked: {wanted!r}\nprinted from here:\n    {rest}")
        result.append(lines[match])
        at, gap = match + 1, False
    return "\n".join(result)
