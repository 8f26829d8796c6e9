"""Markdown from docstrings in Google style, and tables."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator


def cell(text: str) -> str:
    """Text in a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def sentence(text: str) -> str:
    """Text that begins with a capital letter and ends with a full stop."""
    text = text.strip()
    first = re.match(r"[a-z][a-z]*(?= |,)", text)
    text = text[:1].upper() + text[1:] if first else text
    return text if not text or text[-1] in ".:!?)`" else f"{text}."


def table(*header: str, rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [f"| {' | '.join(header)} |", f"|{'---|' * len(header)}"]
    return [*lines, *(f"| {' | '.join(map(cell, row))} |" for row in rows), ""]


def markdown(docstring: str) -> str:
    """A docstring in Google style as Markdown: literal blocks are fenced, sections are tables."""
    docstring = re.split(r"^(?:Attributes|Args|Example):?:?\n", docstring, flags=re.MULTILINE)[0]
    result: list[str] = []
    block: list[str] | None = None
    for line in [*docstring.splitlines(), None]:
        if block is not None:
            if line is not None and (line.strip() or not any(block)):
                block.append(line.rstrip())
                continue
            text = inspect.cleandoc("\n" + "\n".join(block)).strip("\n")
            result += ["```text", text, "```", ""]
            block = None
        if line is None:
            break
        if line.endswith("::"):
            result += [line[:-1], ""]
            block = []
        else:
            result.append(line)
    return "\n".join(result).strip()


def entries(text: str) -> Iterator[tuple[str, str]]:
    """The entries `name: meaning` of a docstring's section."""
    for entry in re.split(r"\n(?=\S)", inspect.cleandoc("\n" + text)):
        name, separator, meaning = entry.partition(": ")
        yield (f"`{name}`", sentence(meaning)) if separator and " " not in name else ("", sentence(entry))
