"""Lines before the rows of a CSV file: `sep=;` of Excel, and settings of Anki (`#separator:tab`)."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable

MOST_LINES = 20
_EXCEL = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
_ANKI = re.compile(
    r"#(separator|html|columns|if matches|(?:tags|deck|notetype|guid)(?: column)?):(.*)", re.IGNORECASE
)
_SEPARATORS = {"tab": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "colon": ":", "space": " "}


@dataclasses.dataclass(frozen=True)
class Preamble:
    """The lines before the rows.

    Attributes:
      lines: their number.
      program: which program writes such lines; empty: there are none.
      delimiter: the delimiter that they name; empty: none.
    """

    lines: int = 0
    program: str = ""
    delimiter: str = ""

    def in_words(self) -> str:
        """What they are: `its first 3 lines are settings of Anki`."""
        if self.lines == 1:
            return f"its first line is a setting of {self.program}"
        return f"its first {self.lines} lines are settings of {self.program}"


def of(lines: Iterable[str]) -> Preamble:
    """The preamble of a file with these first lines."""
    count, delimiter = 0, ""
    for line in lines:
        text = line.rstrip("\r\n")
        if not count and (match := _EXCEL.fullmatch(text)):
            return Preamble(1, "Excel", match[1])
        match = _ANKI.fullmatch(text)
        if match is None or count == MOST_LINES:
            break
        count += 1
        if match[1].lower() == "separator":
            delimiter = _SEPARATORS.get(match[2].strip().lower(), match[2][:1])
    return Preamble(count, "Anki" if count else "", delimiter)
