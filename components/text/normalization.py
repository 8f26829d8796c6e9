"""The definition of text: which texts are the same, and which are blank.

`normalize` is what the exported graph does before it tokenizes (`processor.normalize`), without lower case.
The graph and this module are tested to agree on all of Unicode. The rules, in this order:

1. Invalid UTF-8, lone surrogates and noncharacters (U+FDD0, U+FFFE and others) become U+FFFD.
2. Default-ignorable characters (soft hyphen, zero-width space, byte order mark, variation selectors,
   directional marks) are removed, except where a script needs them; see `ignorables`.
3. Separators and control characters (categories Z and Cc) become a space.
4. Widths and presentation forms: full-width letters, digits and signs become ASCII; half-width Katakana and
   Hangul become ordinary; Latin, Armenian, Hebrew and Arabic ligatures and letter forms become letters.
   Full-width punctuation (`characters.CJK_PUNCTUATION`) stays in a text with a Han, Hiragana, Katakana or
   Bopomofo letter.
5. With `fold_quotes`, typographic apostrophes and quotation marks (`characters.SINGLE_QUOTES`,
   `characters.DOUBLE_QUOTES`) become ' and ". The marks « » ‹ › 「 」 『 』 stay.
6. U+2581, the mark of a word boundary, becomes `_`.
7. Unicode's canonical composition (NFC).
8. Several spaces become one; spaces at the ends are removed.

Normalizing a normalized text changes nothing.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from typing import TYPE_CHECKING

from bitext.components.text import characters, ignorables

if TYPE_CHECKING:
    import pyarrow as pa

_LONG = 1000
"""Characters of a text that may have a long run of combining marks."""


def normalize(text: str, *, fold_quotes: bool = True) -> str:
    """Returns the normalized text; see the rules of this module.

    Args:
      text: any text, also with lone surrogates.
      fold_quotes: whether typographic quotation marks and apostrophes become " and '.
    """
    if not (text.isascii() and text.isprintable()):
        text = _normalize_characters(text, fold_quotes)
    return " ".join(text.split())


def is_blank(text: str) -> bool:
    """Whether nothing of a text is left after normalization."""
    return not normalize(text)


def normalize_array(values: pa.Array, *, fold_quotes: bool = True) -> pa.Array:
    """Normalizes string[N]. The rows that are normalized already are found by one regular expression."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from bitext.components.text.ordinary import pattern

    ordinary = pc.match_substring_regex(values, pattern(fold_quotes))
    others = pc.invert(pc.fill_null(ordinary, True))
    changed = [normalize(text, fold_quotes=fold_quotes) for text in pc.filter(values, others).to_pylist()]
    if not changed:
        return values
    return pc.replace_with_mask(values, others, pa.array(changed, values.type))


def split_key(text: str) -> str:
    """Returns what the hash of a source is computed from: equal for sources that count as the same sentence.

    It is the normalized text after NFKC and case folding, with single spaces. Texts with equal tokens have
    equal keys, whether the model ignores letter case or not.
    """
    return _fold(normalize(text))


def split_keys(values: pa.Array) -> list[str]:
    """Returns the key of each text of string[N]; see `split_key`."""
    return [_fold(text) for text in normalize_array(values).to_pylist()]


def _fold(normalized: str) -> str:
    """NFKC and case folding. The second pass makes `\u0390` equal to its capital letter with two marks."""
    if normalized.isascii():
        return normalized.casefold()
    for _ in range(2):
        normalized = unicodedata.normalize("NFKC", normalized).casefold()
    return " ".join(normalized.split())


def _normalize_characters(text: str, fold_quotes: bool) -> str:
    """Applies the rules 1 to 7."""
    text = _surrogates().sub("\ufffd", text)
    text = ignorables.remove(text)
    if _replaced().search(text):
        text = text.translate(_replacements(fold_quotes, bool(_cjk_letter().search(text))))
    if len(text) > _LONG:
        text = _runs_of_marks().sub(_sorted_marks, text)
    return unicodedata.normalize("NFC", text)


def _sorted_marks(run: re.Match[str]) -> str:
    """A run of marks in canonical order."""
    return "".join(sorted(run[0], key=unicodedata.combining))


@functools.cache
def _runs_of_marks() -> re.Pattern[str]:
    """Runs that are sorted here, because the time of `unicodedata.normalize` is quadratic in their length."""
    return re.compile(
        f"[{characters.python_class(characters.to_ranges(characters.combining_marks()))}]{{32,}}"
    )


@functools.cache
def _surrogates() -> re.Pattern[str]:
    return re.compile("[\ud800-\udfff]")


@functools.cache
def _cjk_letter() -> re.Pattern[str]:
    return re.compile(f"[{characters.python_class(characters.CJK_LETTERS)}]")


@functools.cache
def _replaced() -> re.Pattern[str]:
    """A character that some table replaces."""
    codes = characters.to_ranges(code for code in _replacements(True, False) if code != ord(" "))
    return re.compile(f"[{characters.python_class(codes)}]")


@functools.cache
def _replacements(fold_quotes: bool, cjk: bool) -> dict[int, str]:
    """The table of `str.translate`."""
    spaces = dict.fromkeys(characters.code_points(characters.white_space()), " ")
    return spaces | characters.replacements(fold_quotes, cjk)
