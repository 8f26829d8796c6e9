"""XLIFF 1.2 and 2.x (OASIS standards): the translated segments of localization files."""

from __future__ import annotations

from collections.abc import Iterator

from bitext.components.example_gen.formats import languages
from bitext.components.example_gen.formats.base import FormatOptions
from bitext.components.example_gen.formats.markup import Attributes, Collector, Segment, XmlFormat
from bitext.components.example_gen.formats.units import Unit

_UNTRANSLATED = frozenset({"new", "needs-translation", "needs-l10n", "needs-adaptation", "initial"})
_UNREVIEWED = frozenset({"needs-review-translation", "needs-review-adaptation", "needs-review-l10n"})
_SEGMENTS = frozenset({"trans-unit", "segment"})
_SCOPES = frozenset({"file", "group", "unit", "trans-unit", "segment"})
"""Elements whose attribute `translate` holds for the elements in them."""
_TEXTS = frozenset({"source", "seg-source", "target"})
_ALTERNATIVES = frozenset({"alt-trans", "match"})
_UNCONFIRMED = frozenset({"Draft", "Unspecified", "RejectedTranslation", "RejectedSignOff"})
"""Values of `conf` in SDLXLIFF (Trados Studio): the translator has not confirmed the segment."""
_UNCONFIRMED_IN_MEMOQ = frozenset(
    {"NotStarted", "Edited", "PartiallyEdited", "PreTranslated", "Pretranslated", "MachineTranslated"}
    | {"AssembledFromFragments", "Rejected"}
)
"""Values of `mq:status` in MQXLIFF (memoQ), likewise."""


class Xliff(XmlFormat):
    """Localization files. A row has the number of its segment, from 1.

    A `trans-unit` (1.2) is one segment; with a `seg-source`, it is those that are marked in it.
    Segments without a translation are rejected as `untranslated`, those that are not approved or confirmed as
    `fuzzy`.
    """

    name = root = "xliff"

    def collector(self, options: FormatOptions) -> Collector:
        """What gathers the units of one file."""
        return _Units(options)


class _Units(Collector):
    """Gathers source and target of each segment. Alternative translations are left out."""

    def __init__(self, options: FormatOptions):
        super().__init__(options)
        self._alternatives = 0
        self._languages: dict[str, str] = {}
        self._translate = [True]
        self._attributes: Attributes | None = None
        self._state = ""
        self._texts: dict[str, Segment] = {}
        self._conf: dict[str, str] = {}

    def start_element(self, name: str, attributes: Attributes) -> None:
        """A file, unit, segment or text begins."""
        if name in ("xliff", "file"):
            for key, side in _LANGUAGES.items():
                if key in attributes:
                    self._languages[side] = attributes[key]
        if name in _ALTERNATIVES:
            self._alternatives += 1
        if self._alternatives:
            return
        if name in _SCOPES:
            self._translate.append(
                attributes.get("translate", "yes" if self._translate[-1] else "no") != "no"
            )
        if name in _SEGMENTS and self._attributes is None:
            self.number += 1
            self._attributes, self._texts, self._conf = attributes, {}, {}
            self._state = attributes.get("state", "") if name == "segment" else ""
        elif name == "seg" and self._attributes is not None:  # of SDLXLIFF
            self._conf[attributes.get("id", "")] = attributes.get("conf", "Unspecified")
        elif name in _TEXTS and self._attributes is not None:
            if name == "target":
                self._state = attributes.get("state", self._state)
            self.open_segment()

    def end_segment(self, name: str, segment: Segment) -> None:
        """A source or a target is complete."""
        self._texts.setdefault(name, segment)

    def end_element(self, name: str) -> None:
        """A segment or unit is complete."""
        if name in _ALTERNATIVES:
            self._alternatives -= 1
        if self._alternatives:
            return
        if name in _SEGMENTS and self._attributes is not None:
            for index, (source, target, segment) in enumerate(self._pairs()):
                self.number += index > 0
                fault = self._fault(self._attributes, target, segment)
                self.units.append(Unit(self.number, source, target, fault))
            self._attributes = None
        if name in _SCOPES:
            self._translate.pop()

    def finish(self, path: str) -> None:
        """A file without translations is no error: others may have them."""

    def _pairs(self) -> Iterator[tuple[str, str, str | None]]:
        """The source, the target and the `mid` of each marked segment; or both texts, if none are marked."""
        empty = Segment(False)
        source, target = self._texts.get("source", empty), self._texts.get("target", empty)
        sources = self._texts.get("seg-source", source).pieces
        if sources and target.pieces:
            for segment in dict.fromkeys([*sources, *target.pieces]):
                yield sources.get(segment, ""), target.pieces.get(segment, ""), segment
        else:
            yield source.text(), target.text(), None

    def _fault(self, attributes: Attributes, target: str, segment: str | None) -> tuple[str, str] | None:
        for side in ("source", "target"):
            wanted, given = getattr(self.options, f"{side}_language"), self._languages.get(side, "")
            if wanted and given and not languages.matches(wanted, given):
                return "missing_language", f"the {side} is in {given}, not in {wanted}"
        if not self._translate[-1]:
            return "untranslated", "it is not to be translated: translate is no"
        if not target.strip():
            return "untranslated", "it has no target" + (
                "" if segment is None else f" for its segment {segment}"
            )
        if self._state in _UNTRANSLATED:
            return "untranslated", f"its state is {self._state}"
        if self._state in _UNREVIEWED:
            return "fuzzy", f"its state is {self._state}"
        if attributes.get("approved") == "no":
            return "fuzzy", "it is not approved: approved is no"
        return self._fault_of_tool(attributes, segment)

    def _fault_of_tool(self, attributes: Attributes, segment: str | None) -> tuple[str, str] | None:
        """Why a segment is not confirmed by the extensions of Trados Studio, Phrase (Memsource) and memoQ."""
        of_segment = self._conf.values() if segment is None else (self._conf.get(segment, ""),)
        if unconfirmed := [conf for conf in of_segment if conf in _UNCONFIRMED]:
            return "fuzzy", f"it is not confirmed: conf is {unconfirmed[0]}"
        if attributes.get("m:confirmed") == "0":
            return "fuzzy", "it is not confirmed: m:confirmed is 0"
        status = attributes.get("mq:status", "")
        if status in _UNCONFIRMED_IN_MEMOQ:
            return "fuzzy", f"it is not confirmed: mq:status is {status}"
        return None


_LANGUAGES = {
    "source-language": "source",
    "target-language": "target",
    "srcLang": "source",
    "trgLang": "target",
}
