"""Language codes in files: a prefix matches every variety of its language."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

_UNIT = re.compile(r"<tu\b")
_OF_VARIANT = re.compile(r"<tuv\b[^>]*?\s(?:xml:)?lang\s*=\s*[\"']([^\"']+)")
_OF_SOURCE = re.compile(r"<header\b[^>]*?\ssrclang\s*=\s*[\"']([^\"']+)")
_OF_XLIFF = re.compile(r"\s(source-language|target-language|srcLang|trgLang)\s*=\s*[\"']([^\"']+)")
_OF_PO = re.compile(r"^\"Language: *([A-Za-z_@-]+)", re.MULTILINE)


def matches(prefix: str, language: str) -> bool:
    """Whether a language is that of a prefix: `en` matches `en`, `EN-us` and `en_GB`, and not `eng`."""
    wanted, given = (text.lower().replace("_", "-").split("-") for text in (prefix, language))
    return given[: len(wanted)] == wanted


def primary(language: str) -> str:
    """The code without script and region: `en` of `EN-US`."""
    return re.split("[-_]", language)[0].lower()


def merged(names: Iterable[str], apart: Iterable[str] = ()) -> tuple[str, ...]:
    """Several varieties of one language as the language: `en` in place of `en-US` and `en-GB`.

    Args:
      names: the codes.
      apart: languages whose varieties are translations of each other, or alternatives, and stay apart.
    """
    listed = list(dict.fromkeys(names))
    languages = [primary(name) for name in listed]
    keep = {*apart, *(name for name in languages if languages.count(name) == 1)}
    found = (name if code in keep else code for name, code in zip(listed, languages, strict=True))
    return tuple(dict.fromkeys(found))


def _in_tmx(text: str) -> tuple[str, ...]:
    """The languages of the variants; that which the header names as the source is first."""
    names: dict[str, None] = {}
    apart: set[str] = set()
    for unit in _UNIT.split(text)[1:]:
        of_unit = dict.fromkeys(_OF_VARIANT.findall(unit))
        codes = [primary(name) for name in of_unit]
        apart |= {code for code in codes if codes.count(code) > 1}
        names |= of_unit
    found = merged(names, apart)
    match = _OF_SOURCE.search(text)
    source = match[1] if match else ""
    return tuple(sorted(found, key=lambda name: not (matches(name, source) or matches(source, name))))


def _in_xliff(text: str) -> tuple[str, ...]:
    """The languages of sources, then those of targets."""
    names = [(key.lower().startswith(("target", "trg")), name) for key, name in _OF_XLIFF.findall(text)]
    sources, targets = (merged(name for of, name in names if of == side) for side in (False, True))
    return tuple(dict.fromkeys([*sources, *targets]))


def _in_po(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_OF_PO.findall(text)))


IN_FILES: dict[str, Callable[[str], tuple[str, ...]]] = {"tmx": _in_tmx, "xliff": _in_xliff, "po": _in_po}
"""The languages that the first characters of a file name, by format."""
