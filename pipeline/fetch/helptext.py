"""Sentence pairs from the pages of LibreOffice's help: paragraphs of two languages with the same id."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping

_PARAGRAPH = re.compile(r'<(p|h[1-6])\b[^>]*?\bid="((?:par|hd)_[^"]+)"[^>]*>(.*?)</\1>', re.DOTALL)
# Texts for several systems and programs are in one paragraph; the page's script shows one of them.
_ALTERNATIVES = 'hidden="'
# The help was built without an embedded text: "[text/scalc/01/func_imsec.xhp#imsec_head not found]".
_INCOMPLETE = re.compile(r"\[text/[^\]]* not found\]")
_LINE_BREAK = re.compile(r"<br\s*/?>")
_ANY_TAG = re.compile(r"<[^<>]*>")
_SENTENCE_END = re.compile(r"(?<=[.!?؟])\s+(?=\S)|(?<=[。！？।])\s*(?=\S)")


def paragraphs(page: str) -> dict[tuple[str, int], str]:
    """The paragraphs of a page in HTML as plain text.

    The key is the id and the number of earlier paragraphs with this id: a page can embed a paragraph twice.
    """
    found: dict[tuple[str, int], str] = {}
    counts: dict[str, int] = {}
    for _, name, inner in _PARAGRAPH.findall(page):
        counts[name] = number = counts.get(name, -1) + 1
        if _ALTERNATIVES not in inner and not _INCOMPLETE.search(inner):
            found[name, number] = html.unescape(_ANY_TAG.sub("", _LINE_BREAK.sub(" ", inner)))
    return found


def align(english: Mapping[str, str], other: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields the paragraphs that two sets of pages have in common, by sentences where both have as many.

    Args:
      english: the pages by their path below the language's folder.
      other: the pages of the other language.
    """
    for path in sorted(english.keys() & other.keys()):
        translations = paragraphs(other[path])
        for key, text in paragraphs(english[path]).items():
            if key in translations:
                sources = _SENTENCE_END.split(text.strip())
                targets = _SENTENCE_END.split(translations[key].strip())
                if len(sources) == len(targets):
                    yield from zip(sources, targets, strict=True)
                else:
                    yield text, translations[key]
