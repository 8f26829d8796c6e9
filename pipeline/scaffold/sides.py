"""What is known of the sides of a file: their names, and how they compare with those of other files."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from bitext.components.example_gen.formats.guards import is_language_code
from bitext.components.example_gen.formats.languages import matches, primary
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

Options = dict[str, Any]
"""Values of `example_gen` by key."""


@dataclasses.dataclass(frozen=True)
class Found:
    """A file, or two aligned files, and how to read them.

    Attributes:
      title: the names and the format, in words.
      options: how to read it, as values of `example_gen`.
      languages: the language codes of source and target; empty: not known.
      notes: what else a person should know.
      names: the columns or languages of source and target as the file names them; empty: it does not.
    """

    title: str
    options: Options
    languages: tuple[str, str]
    notes: tuple[str, ...]
    names: tuple[str, str] = ("", "")

    @property
    def path(self) -> str:
        """The file, or the first of two."""
        [first, *_] = self.options.get("files") or self.options["source_files"]
        return str(first)


def as_in(first: Found | None, names: Sequence[str]) -> tuple[tuple[str, str], tuple[str, ...]]:
    """Those of the names that are the sides of the first file, and a note if they are in the other order."""
    found = []
    for side in first.names if first else ():
        same = [name for name in names if name == side] or [n for n in names if _key(n) == _key(side)]
        found.append(same[0] if len(same) == 1 and side else "")
    if first is None or not all(found) or found[0] == found[1]:
        return ("", ""), ()
    source, target = found
    if names.index(source) < names.index(target):
        return (source, target), ()
    order = f"source {source}, target {target}, as in {path_text(first.path)}"
    return (source, target), (f"its order is another; read with {order}",)


def _key(name: str) -> str:
    """What is the same for two names of one side: `en` for `translation.en`, `EN` and `en-US`."""
    end = name.strip().rpartition(".")[2]
    return primary(end) if is_language_code(end) else end.casefold()


def fit(wanted: Sequence[str], codes: Sequence[str]) -> int:
    """How many of the languages that are asked for are those of the files; -1: one is another."""
    both = [(side, code) for side, code in zip(wanted, codes, strict=True) if side and code]
    return -1 if any(not matches(side, code) for side, code in both) else len(both)


def po_languages(path: str, languages: tuple[str, ...], source: str, target: str) -> tuple[str, str]:
    """The languages of a PO file, whose header names that of the target only.

    Raises:
      DataError: those that are asked for are others, or cannot be compared.
    """
    if not (source or target):
        return ("", "")
    own = languages[0] if languages else ""
    is_own = bool(own) and fit((target or own,), (own,)) > 0 and primary(source) != primary(own)
    if not is_own:
        raise DataError(
            f"{path_text(path)} {f'has the target language {own}' if own else 'does not name its language'}:"
            " its msgid is the source, its msgstr the target, and --source and --target cannot change this",
            "leave out --source and --target for this file",
        )
    return (source, own) if is_language_code(source) else ("", "")
