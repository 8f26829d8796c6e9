"""XLIFF 1.2 and 2.x (OASIS standards): the translated segments of localization files."""

from __future__ import annotations

from bitext.components.example_gen.formats import languages
from bitext.components.example_gen.formats.base import FormatOptions
from bitext.components.example_gen.formats.markup import Attributes, Collector, XmlFormat
from bitext.components.example_gen.formats.units import Unit

_UNTRANSLATED = frozenset({"new", "needs-translation", "needs-l10n", "needs-adaptation", "initial"})
_UNREVIEWED = frozenset({"needs-review-translation", "needs-review-adaptation", "needs-review-l10n"})
_SEGMENTS = frozenset({"trans-unit", "segment"})
_ALTERNATIVES = frozenset({"alt-trans", "match"})


class Xliff(XmlFormat):
    """Localization files. A row has the number of its segment (2.x) or `trans-unit` (1.2), from 1.

    Segments without a translation are rejected as `untranslated`, those that are not approved as `fuzzy`.
    """

    name = root = "xliff"

    def collector(self, options: FormatOptions) -> Collector:
        """What gathers the units of one file."""
        return _Units(options)


class _Units(Collector):
    """Gathers source and target of each segment. Alternative translations are left out."""

    def __init__(self, options: FormatOptions):
        super().__init__(options)
        self._number = self._alternatives = 0
        self._languages: dict[str, str] = {}
        self._unit: Attributes = {}
        self._attributes: Attributes | None = None
        self._state = ""
        self._texts: dict[str, str] = {}

    def start_element(self, name: str, attributes: Attributes) -> None:
        """A file, unit, segment or text begins."""
        if name in ("xliff", "file"):
            for key, side in _LANGUAGES.items():
                if key in attributes:
                    self._languages[side] = attributes[key]
        elif name == "unit":
            self._unit = attributes
        elif name in _ALTERNATIVES:
            self._alternatives += 1
        elif name in _SEGMENTS and self._attributes is None:
            self._number += 1
            self._attributes, self._texts = attributes, {}
            self._state = attributes.get("state", "") if name == "segment" else ""
        elif name in ("source", "target") and self._attributes is not None and not self._alternatives:
            if name == "target":
                self._state = attributes.get("state", self._state)
            self.open_segment()

    def end_segment(self, name: str, text: str) -> None:
        """A source or a target is complete."""
        self._texts.setdefault(name.rpartition(":")[2], text)

    def end_element(self, name: str) -> None:
        """A segment or unit is complete."""
        if name in _ALTERNATIVES:
            self._alternatives -= 1
        elif name == "unit":
            self._unit = {}
        elif name in _SEGMENTS and self._attributes is not None:
            rejected = self._fault(self._attributes)
            texts = self._texts
            self.units.append(Unit(self._number, texts.get("source", ""), texts.get("target", ""), rejected))
            self._attributes = None

    def finish(self, path: str) -> None:
        """A file without translations is no error: others may have them."""

    def _fault(self, attributes: Attributes) -> tuple[str, str] | None:
        for side in ("source", "target"):
            wanted, given = getattr(self.options, f"{side}_language"), self._languages.get(side, "")
            if wanted and given and not languages.matches(wanted, given):
                return "missing_language", f"the {side} is in {given}, not in {wanted}"
        if "no" in (attributes.get("translate"), self._unit.get("translate")):
            return "untranslated", "it is not to be translated: translate is no"
        if not self._texts.get("target", "").strip():
            return "untranslated", "it has no target"
        if self._state in _UNTRANSLATED:
            return "untranslated", f"its state is {self._state}"
        if self._state in _UNREVIEWED:
            return "fuzzy", f"its state is {self._state}"
        if attributes.get("approved") == "no":
            return "fuzzy", "it is not approved: approved is no"
        return None


_LANGUAGES = {
    "source-language": "source",
    "target-language": "target",
    "srcLang": "source",
    "trgLang": "target",
}
