"""Removes default-ignorable characters: in Python, and as regular expressions of RE2 for the graph.

An ignorable character is removed except where a script needs it:

* U+200C and U+200D stay after a virama, and between two letters, marks or digits, if one of them is a letter
  or mark of a script that uses joiners (Arabic, Syriac, Indic, Khmer, Mongolian and others). They also stay
  between a closing bracket or quotation mark and a letter of such a script. U+200D also stays after any
  Arabic letter, and between two emoji. Of several in a row, the first counts.
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
    # A joiner is removed by what follows it (except where that does not matter), then after an emoji, then by
    # what precedes it. No match ends before a character that the next match needs: in the last pattern, the
    # letter after a joiner may be the letter before the next one.
    always = "[{virama}][{mark}]*[{joiner}]|[{arabic}][{mark}]*[{zwj}]"
    after = f"({always})|[{{non}}]([^{{word}}])|[{{zwj}}]([^{{word}}{{emoji}}])|[{{joiner}}]$"
    emoji = "([{emoji}][{plain}]*)[{zwj}]([^{joined}{emoji}])"
    joined = "[{before}{virama}][{mark}]*[{joiner}]|[{emoji}][{mark}]*[{zwj}]"
    other = "[{other}][{mark}]*[{joiner}][{after}](?:[{mark}]*[{joiner}])?"
    rules = ((after, "\\1\\2\\3"), (emoji, "\\1\\2"), (f"({joined}|{other})|[{{joiner}}]", "\\1"))
    return *_simple_rules(re2_class), *((pattern.format(**c), new) for pattern, new in rules)


@functools.cache
def _sets() -> dict[str, tuple[Range, ...]]:
    """The sets of characters that the patterns are made of."""
    return _context_sets() | {
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
        "virama": characters.viramas(),
        "emoji": characters.EMOJI,
    }


def _context_sets() -> dict[str, tuple[Range, ...]]:
    """The sets of characters that may be before or after a joiner.

    A character is in the same set as what it becomes in later rules. So canonically equal texts keep the same
    joiners, and normalizing again keeps them too. Before a joiner, the last character without its marks
    (`mark`) counts; after it, the first.
    """
    new = characters.decompositions(characters.replacements(True, False))
    marks = characters.combining_marks()
    bases = {code: [ord(c) for c in text if ord(c) not in marks] for code, text in new.items()}
    last = {code: base[-1] if base else -1 for code, base in bases.items()}
    first = {code: ord(text[0]) for code, text in new.items()}
    letters = set(characters.code_points(characters.joiner_letters()))
    arabic = set(characters.code_points(characters.arabic_letters()))
    word = set(characters.code_points(characters.word_characters()))
    closing = set(characters.code_points(characters.closing()))
    viramas = set(characters.code_points(characters.viramas()))
    sets = {
        "mark": marks.keys() | {code for code, base in bases.items() if not base},
        "plain": (marks.keys() - viramas) | {code for code, base in bases.items() if not base},
        "before": _with_equals(letters - marks.keys(), last),
        "arabic": _with_equals(arabic, last),
        "other": _with_equals((word | closing) - marks.keys(), last),
        "after": _with_equals(letters - marks.keys(), first),
        "joined": _with_equals(letters | marks.keys(), first),
        "word": _with_equals(word | letters | marks.keys(), first),
    }
    return {name: characters.to_ranges(codes) for name, codes in sets.items()}


def _with_equals(codes: set[int], becomes: dict[int, int]) -> set[int]:
    """The code points, and those that become one of them, without those that become another."""
    return (codes - becomes.keys()) | {code for code, new in becomes.items() if new in codes}


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
    stays = (
        _is("virama", before)
        or any(_is("virama", mark) for mark in marks)
        or (_is("before", before) and _is("word", after))
        or (_is("other", before) and _is("after", after))
        or (ord(joiner) == characters.JOINER and _zwj_stays(before, after))
    )
    return marks + joiner if stays else marks


def _zwj_stays(before: str, after: str) -> bool:
    """Whether U+200D stays where U+200C does not."""
    if _is("emoji", before):
        return _is("emoji", after) or _is("joined", after)
    return _is("arabic", before) or (_is("before", before) and _is("emoji", after))


def _is(name: str, character: str) -> bool:
    """Whether a character is in the set with this name. An empty text is in none."""
    return bool(_class_pattern(name).match(character))


@functools.cache
def _class_pattern(name: str) -> re.Pattern[str]:
    return re.compile(f"[{python_class(_sets()[name])}]")
