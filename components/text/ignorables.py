"""Removes default-ignorable characters: in Python, and as regular expressions of RE2 for the graph.

An ignorable character is removed except where a script needs it:

* U+200C and U+200D stay after a virama, and between letters or marks of a script that uses them (Arabic,
  Syriac, Indic, Khmer, Mongolian and others); U+200D also stays between two emoji. Of several in a row, the
  first counts.
* U+180B to U+180F stay after a Mongolian letter.
* Tag characters stay in the flags of regions, such as U+1F3F4 with the tags of `gbsct`.

Variation selectors go everywhere, in emoji too: with and without U+FE0F, Unicode lists the same emoji.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable

from bitext.components.text import characters
from bitext.components.text.characters import Range, python_class, re2_class

Rule = tuple[str, str]
"""A pattern, and what replaces its matches."""


def remove(text: str) -> str:
    """Removes the ignorable characters of a text. Doing it again changes nothing."""
    if not _any().search(text):
        return text
    for pattern, new in _simple_patterns():
        text = pattern.sub(new, text)
    return _joiners().sub(_joiner_if_needed, text)


@functools.cache
def re2_rules() -> tuple[Rule, ...]:
    """The replacements that do the same as `remove`, one after the other."""
    c = {name: re2_class(ranges) for name, ranges in _sets().items()}
    # First goes a joiner that nothing of its script follows, except after a virama; then one that nothing of
    # its script precedes.
    after = "([{virama}][{mark}]*[{joiner}])|[{non}]([^{follows}])|[{zwj}]([^{follows}{emoji}])|[{joiner}]$"
    before = "([{starter}{virama}][{mark}]*[{joiner}]|[{emoji}][{mark}]*[{zwj}])|[{joiner}]"
    return *_simple_rules(re2_class), (after.format(**c), "\\1\\2\\3"), (before.format(**c), "\\1")


@functools.cache
def _sets() -> dict[str, tuple[Range, ...]]:
    """The sets of characters that the patterns are made of."""
    marks = characters.combining_marks()
    letters = set(characters.code_points(characters.joiner_letters()))
    return {
        "always": always_removed(),
        "mongolian": characters.MONGOLIAN_LETTERS,
        "variation": characters.MONGOLIAN_VARIATION,
        "separator": characters.MONGOLIAN_VOWEL_SEPARATOR,
        "flag": ((characters.FLAG, characters.FLAG),),
        "tags": characters.TAGS,
        "tag": characters.TAG_LETTERS,
        "end": ((characters.TAG_END, characters.TAG_END),),
        "joiner": characters.JOINERS,
        "non": ((characters.NON_JOINER, characters.NON_JOINER),),
        "zwj": ((characters.JOINER, characters.JOINER),),
        "starter": characters.to_ranges(letters - set(marks)),
        "virama": characters.viramas(),
        "mark": characters.to_ranges(marks),
        "follows": characters.to_ranges(letters | set(marks)),
        "emoji": characters.EMOJI,
    }


def always_removed() -> tuple[Range, ...]:
    """The ignorable characters that no script needs."""
    needed = {
        *characters.code_points(characters.JOINERS),
        *characters.code_points(characters.MONGOLIAN_VARIATION),
        *characters.code_points(characters.MONGOLIAN_VOWEL_SEPARATOR),
        *characters.code_points(characters.TAGS),
    }
    return characters.to_ranges(set(characters.code_points(characters.IGNORABLE)) - needed)


def _simple_rules(to_class: Callable[[Iterable[Range]], str]) -> tuple[Rule, ...]:
    """The replacements for all but joiners."""
    c = {name: to_class(ranges) for name, ranges in _sets().items()}
    flag = "[{flag}][{tag}]{{3,6}}[{end}]"
    selectors = "([{mongolian}][{variation}]?[{separator}]?|" + flag + ")|[{variation}{separator}{tags}]"
    rules = (("[{always}]+", ""), (selectors, "\\1"), ("([{joiner}])[{joiner}]+", "\\1"))
    return tuple((pattern.format(**c), new) for pattern, new in rules)


@functools.cache
def _any() -> re.Pattern[str]:
    return re.compile(f"[{python_class(characters.IGNORABLE)}]")


@functools.cache
def _simple_patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(pattern), new) for pattern, new in _simple_rules(python_class))


@functools.cache
def _joiners() -> re.Pattern[str]:
    """A joiner with the marks before it. The lookbehind keeps the search linear in a run of marks."""
    mark = python_class(_sets()["mark"])
    return re.compile(f"(?<![{mark}])([{mark}]*+)([{python_class(characters.JOINERS)}])")


def _joiner_if_needed(match: re.Match[str]) -> str:
    """The marks of a match, and its joiner if it stays."""
    text, (marks, joiner) = match.string, match.groups()
    before, after = text[max(match.start() - 1, 0) : match.start()], text[match.end() : match.end() + 1]
    joins_emoji = ord(joiner) == characters.JOINER
    stays = (
        _is("virama", before)
        or any(_is("virama", mark) for mark in marks)
        or (
            (_is("starter", before) or (joins_emoji and _is("emoji", before)))
            and (_is("follows", after) or (joins_emoji and _is("emoji", after)))
        )
    )
    return marks + joiner if stays else marks


def _is(name: str, character: str) -> bool:
    """Whether a character is in the set with this name. An empty text is in none."""
    return bool(_class_pattern(name).match(character))


@functools.cache
def _class_pattern(name: str) -> re.Pattern[str]:
    return re.compile(f"[{python_class(_sets()[name])}]")
