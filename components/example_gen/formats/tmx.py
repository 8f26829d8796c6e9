"""TMX 1.4 (https://www.gala-global.org/tmx-14b): translation memories of two or more languages."""

from __future__ import annotations

from bitext.components.example_gen.formats import languages
from bitext.components.example_gen.formats.base import FormatOptions
from bitext.components.example_gen.formats.markup import Attributes, Collector, Segment, XmlFormat
from bitext.components.example_gen.formats.units import Unit
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError

_MOST_LANGUAGES = 100


class Tmx(XmlFormat):
    """Translation memories. A row has the number of its unit (`tu`), from 1.

    Of several variants (`tuv`) of one language, the first is used. Each other one is rejected as
    `other_variant`.
    """

    name = root = "tmx"

    def check_options(self, options: FormatOptions) -> None:
        """Checks that both languages are given and differ."""
        super().check_options(options)
        if not options.source_language or not options.target_language:
            raise ValueError("format tmx needs source_language and target_language, as en and de")
        if options.source_language.lower() == options.target_language.lower():
            raise ValueError(f"source_language and target_language are the same: {options.source_language!r}")

    def collector(self, options: FormatOptions) -> Collector:
        """What gathers the units of one file."""
        return _Units(options)


class _Units(Collector):
    """Gathers the variants of each `tu` by language."""

    def __init__(self, options: FormatOptions):
        super().__init__(options)
        self._wanted = (options.source_language or "", options.target_language or "")
        self._pairs = 0
        self._language = ""
        self._sides: list[str | None] = [None, None]
        self._others: list[tuple[int, str, str]] = []
        self._of_unit: list[str] = []
        self._of_file: dict[str, None] = {}

    def start_element(self, name: str, attributes: Attributes) -> None:
        """A unit, a variant or a segment begins."""
        if name == "tu":
            self.number += 1
            self._sides, self._others, self._of_unit = [None, None], [], []
        elif name == "tuv":
            self._language = attributes.get("xml:lang") or attributes.get("lang") or ""
        elif name == "seg":
            self.open_segment()

    def end_segment(self, name: str, segment: Segment) -> None:
        """The text of a variant is complete."""
        text = segment.text()
        if len(self._of_file) < _MOST_LANGUAGES:
            self._of_file[self._language] = None
        if len(self._of_unit) < _MOST_LANGUAGES:
            self._of_unit.append(self._language)
        side = self._side(self._language)
        if side is None:
            return
        if self._sides[side] is None:
            self._sides[side] = text
        elif len(self._others) < _MOST_LANGUAGES:
            self._others.append((side, self._language, text))

    def _side(self, language: str) -> int | None:
        """0 for the source, 1 for the target; the longer prefix if both match."""
        matching = [side for side in (0, 1) if languages.matches(self._wanted[side], language)]
        return max(matching, key=lambda side: len(self._wanted[side]), default=None)

    def end_element(self, name: str) -> None:
        """A unit is complete."""
        if name != "tu":
            return
        source, target = self._sides
        missing = [want for want, text in zip(self._wanted, self._sides, strict=True) if text is None]
        if missing:
            detail = f"no variant in {' and '.join(missing)}; it has {', '.join(self._of_unit) or 'none'}"
            self.units.append(Unit(self.number, source or "", target or "", ("missing_language", detail)))
            return
        self._pairs += 1
        self.units.append(Unit(self.number, source, target))
        for side, language, text in self._others:
            detail = f"another variant of the {('source', 'target')[side]} in {language}"
            sides = [text if side == s else "" for s in (0, 1)]
            self.units.append(Unit(self.number, sides[0], sides[1], ("other_variant", detail)))

    def finish(self, path: str) -> None:
        """Checks that a unit had both languages."""
        if self.number and not self._pairs:
            raise DataError(
                f"{path_text(path)}: none of its {self.number:,} units has both languages,"
                f" {self._wanted[0]} and {self._wanted[1]}; it has {', '.join(self._of_file) or 'none'}",
                "correct example_gen.source_language and example_gen.target_language",
            )
