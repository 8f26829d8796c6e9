"""Cleaning: fixes the text of rows, and rejects rows that are no translations. This module has the settings.

A rule is a function on Arrow columns and an entry in a table: in `row_rules` if it judges a row by itself, in
`corpus_rules` if it compares the row with its corpus, in `pair_counts` if it compares pairs with each other.
`fixes` has the corrections. This module imports no large library.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, TypeAlias

import msgspec

Level: TypeAlias = Literal["off", "basic", "strict"]
Count = Annotated[int, msgspec.Meta(ge=0)]
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Factor = Annotated[float, msgspec.Meta(ge=0.0)]
Language = Annotated[
    str, msgspec.Meta(pattern="^([a-z]{2,3})?$", description="two or three small letters, or empty")
]

BASIC: dict[str, Any] = {
    "fix_mojibake": True,
    "fix_entities": True,
    "fix_blanks": True,
    "min_characters": 1,
    "min_words": 0,
    "max_words": 0,
    "max_word_characters": 0,
    "min_mean_word_characters": 0.0,
    "max_mean_word_characters": 0.0,
    "min_letter_share": 0.05,
    "max_digit_share": 0.0,
    "max_punctuation_share": 0.7,
    "max_repeats": 8,
    "markup": "off",
    "links_only": True,
    "min_copied_words": 4,
    "max_shared_words": 0.0,
    "numbers": False,
    "max_other_script_share": 0.95,
    "min_language_confidence": 0.0,
    "final_marks": False,
    "max_length_ratio": 0.0,
    "near_duplicates": False,
    "max_targets": 0,
}
STRICT: dict[str, Any] = BASIC | {
    "max_words": 100,
    "max_word_characters": 40,
    "min_mean_word_characters": 1.5,
    "max_mean_word_characters": 20.0,
    "min_letter_share": 0.5,
    "max_digit_share": 0.4,
    "max_punctuation_share": 0.4,
    "max_repeats": 4,
    "markup": "any",
    "min_copied_words": 2,
    "max_shared_words": 0.9,
    "numbers": True,
    "max_other_script_share": 0.5,
    "min_language_confidence": 0.8,
    "final_marks": True,
    "max_length_ratio": 3.0,
    "near_duplicates": True,
    "max_targets": 10,
}
OFF: dict[str, Any] = {name: "off" if name == "markup" else type(value)() for name, value in BASIC.items()}
LEVELS: dict[str, dict[str, Any]] = {"off": OFF, "basic": BASIC, "strict": STRICT}
"""The rules of each level, by key. 0, false and `off` turn a rule off."""

KEYS = {
    "too_short": "min_characters",
    "too_few_words": "min_words",
    "too_many_words": "max_words",
    "long_word": "max_word_characters",
    "letters_apart": "min_mean_word_characters",
    "long_words": "max_mean_word_characters",
    "few_letters": "min_letter_share",
    "many_digits": "max_digit_share",
    "much_punctuation": "max_punctuation_share",
    "links_only": "links_only",
    "copied": "min_copied_words",
    "nearly_copied": "max_shared_words",
    "repeated": "max_repeats",
    "markup": "markup",
    "numbers_differ": "numbers",
    "uneven_lengths": "max_length_ratio",
    "wrong_script": "max_other_script_share",
    "wrong_language": "min_language_confidence",
    "final_mark_missing": "final_marks",
    "near_duplicate": "near_duplicates",
    "too_many_targets": "max_targets",
}
"""The key of each rule by the reason of the rows that it rejects. The rules are checked in this order."""
REASONS = tuple(KEYS)


class Cleaning(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which readable rows are fixed or rejected: a level, and single rules that differ from it.

    `cleaning: strict` is short for `cleaning: {level: strict}`. In a rule, 0, false and `off` turn it off.
    Eval and test files that are given in `splits`, and the golden set, are not cleaned.

    Attributes:
      level: the rules that are not given: `off` (none), `basic` (rows that are almost surely no
        translations), or `strict` (also likely ones; slower).
      fix_mojibake: repair UTF-8 that was read in another encoding: `cafÃ©` becomes `café`.
      fix_entities: replace HTML entities: `&amp;` becomes `&`.
      fix_blanks: replace several blanks by one.
      min_characters: rows with a shorter side are rejected as `too_short`.
      min_words: rows with fewer words on a side are rejected as `too_few_words`. Words are counted at blanks,
        and sides in scripts without blanks between words are not checked.
      max_words: rows with more words on a side are rejected as `too_many_words`.
      max_word_characters: rows with a longer word are rejected as `long_word`. Checked in scripts that put
        blanks between words.
      min_mean_word_characters: rows are rejected as `letters_apart` if the words of a side have fewer
        characters on average: `l i k e  t h i s`. This and the next limit are checked in scripts that put
        blanks between words, without Hangul, from 10 characters.
      max_mean_word_characters: rows are rejected as `long_words` if they have more on average.
      min_letter_share: rows are rejected as `few_letters` if a smaller share of the characters of a side are
        letters. This and the next two shares leave out blanks, and sides of less than 10 characters.
      max_digit_share: rows with a larger share of digits are rejected as `many_digits`.
      max_punctuation_share: rows with a larger share of punctuation and symbols are rejected as
        `much_punctuation`.
      max_repeats: rows are rejected as `repeated` if a side repeats one to eight words more often in
        succession, and the other side repeats nothing half as often. In scripts without blanks, characters
        count instead of words.
      markup: rows with HTML tags are rejected as `markup`: `any`, or only with tags on `one_side`.
      links_only: rows with a side of nothing but web addresses and e-mail addresses are rejected.
      min_copied_words: rows whose sides are equal are rejected as `copied` if they have at least this many
        words. Case and punctuation are ignored. Numbers and capitalized words do not count (names, titles);
        in scripts without capitals, three letters count as a word.
      max_shared_words: rows are rejected as `nearly_copied` if both sides have a larger share of their words
        in common, of at least four that begin with a small letter. Turn it off for closely related languages.
      numbers: rows are rejected as `numbers_differ` if less than half of the numbers with at least two digits
        are the same on both sides. A number on one side only is no reason: it may be written in words.
      max_other_script_share: rows are rejected as `wrong_script` if a larger share of the words of a side is
        in another script than most rows of the corpus. Sides of less than four words are not checked.
      min_language_confidence: rows are rejected as `wrong_language` if a side is, with at least this
        confidence, in another language than `source_language` or `target_language`. Sides with less than 20
        letters, those that the identifier is less sure of, and those that look like a constructed language
        (Esperanto, Ido), pass.
      source_language: language of the source (`en`, `de`, `zh`); empty: that of most rows of the corpus.
      target_language: language of the target; empty: that of most rows of the corpus.
      final_marks: rows are rejected as `final_mark_missing` if one side ends with a mark such as `.` or `?`,
        and the other does not and is shorter than the corpus's length ratio lets expect (by two fifths or
        more): it was cut off. Checked only if both sides of most rows end with a mark, and from five words.
      max_length_ratio: as `example_gen.max_length_ratio`, which is less tight: rows over this limit are
        rejected as `uneven_lengths`.
      near_duplicates: training rows are rejected as `near_duplicate` if an earlier row differs only in case,
        punctuation or blanks.
      max_targets: training rows are rejected as `too_many_targets` if the source already has this many
        targets.
      max_reject_share: the run stops if cleaning rejects a larger share of the rows.
    """

    short_form: ClassVar[str] = "level"
    level: Level = "basic"
    fix_mojibake: bool | None = None
    fix_entities: bool | None = None
    fix_blanks: bool | None = None
    min_characters: Count | None = None
    min_words: Count | None = None
    max_words: Count | None = None
    max_word_characters: Count | None = None
    min_mean_word_characters: Factor | None = None
    max_mean_word_characters: Factor | None = None
    min_letter_share: Share | None = None
    max_digit_share: Share | None = None
    max_punctuation_share: Share | None = None
    max_repeats: Count | None = None
    markup: Literal["off", "one_side", "any"] | None = None
    links_only: bool | None = None
    min_copied_words: Count | None = None
    max_shared_words: Share | None = None
    numbers: bool | None = None
    max_other_script_share: Share | None = None
    min_language_confidence: Share | None = None
    source_language: Language = ""
    target_language: Language = ""
    final_marks: bool | None = None
    max_length_ratio: Factor | None = None
    near_duplicates: bool | None = None
    max_targets: Count | None = None
    max_reject_share: Share = 0.5

    def __post_init__(self) -> None:
        """Fills in the rules of the level: `bitext config` prints all limits."""
        rules = LEVELS[self.level]
        given = {name: value for name in rules if (value := getattr(self, name)) is not None}
        for level, others in LEVELS.items():
            if level != self.level and given == others:
                raise ValueError(
                    f"level is {self.level}, but every rule is given with the value of {level}: leave out"
                    f" the rules, or set level to {level}"
                )
        for name in rules.keys() - given.keys():
            msgspec.structs.force_setattr(self, name, rules[name])
        if 0 < self.limit("max_length_ratio") < 1:
            raise ValueError(f"max_length_ratio must be 0 or at least 1; received {self.max_length_ratio}")
        for key in ("source_language", "target_language"):
            if getattr(self, key) and not self.limit("min_language_confidence"):
                raise ValueError(
                    f"{key} is {getattr(self, key)}, but the rule that reads it is off: set"
                    " min_language_confidence, for example to 0.8, or level to strict"
                )

    def limit(self, key: str) -> Any:
        """The limit of a rule, or whether it is on; 0, false or "" if it is off."""
        value = getattr(self, key)
        return "" if value == "off" else value

    @property
    def is_off(self) -> bool:
        """Whether no rule is on."""
        return not any(self.limit(name) for name in OFF)
