"""The rules that compare a row with most rows of its corpus: script, language, final marks.

Most rows are known only after all are read. So a rule has two parts, like the length ratio
(`length_ratios`): it gives each row a code, whose counts are summed over the corpus, and later judges the
codes by these counts. The sums do not depend on how Beam bundles the blocks.
"""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bitext.components.example_gen.cleaning import KEYS, Cleaning
from bitext.components.example_gen.cleaning.row_rules import SIDES, Pair, Violations
from bitext.components.example_gen.cleaning.texts import LETTER, NO_SCRIPT, SCRIPTS, Texts
from bitext.components.example_gen.rows import Mask
from bitext.components.shared import language_identification as languages
from bitext.components.shared.packing import Columns
from bitext.components.text import length_ratios

MIN_ROWS = 100
"""With fewer rows that have a code, no row is judged."""
Codes = npt.NDArray[np.uint16]


class CorpusRule(abc.ABC):
    """A rule. It has an entry in `RULES`.

    Attributes:
      reason: the reason of the rejected rows.
      majority: share of the rows with a code from which the most frequent code is that of the corpus. Below
        it, the corpus is mixed (Serbian in two scripts), and no row is judged.
    """

    reason: ClassVar[str]
    majority: ClassVar[float] = 0.85

    @property
    def key(self) -> str:
        """The field of `Cleaning` with the limit."""
        return KEYS[self.reason]

    @abc.abstractmethod
    def codes(self, side: str, texts: Texts, others: Texts, cleaning: Cleaning) -> Codes:
        """What the texts of a side are, beside those of the other side: uint16[N]; 0: unknown."""

    @abc.abstractmethod
    def describe(self, text: str, code: int, expected: int, cleaning: Cleaning) -> str:
        """What is wrong with a text, with the value and the limit.

        Args:
          text: the text of a rejected row.
          code: its code.
          expected: the code of the corpus.
          cleaning: the limits.
        """

    def violations(self, codes: Codes, expected: int, octaves: length_ratios.Octaves) -> Mask:
        """The rows that break the rule: bool[N].

        Args:
          codes: from `codes`.
          expected: the code of the corpus.
          octaves: float32[N], the binary logarithm of how many times longer the side is than the corpus's
            length ratio lets expect; NaN: unknown.
        """
        return cast(Mask, (codes != 0) & (codes != expected))

    def stated(self, side: str, cleaning: Cleaning) -> int:
        """The code of the corpus that the configuration states; 0: none."""
        return 0


class Script(CorpusRule):
    """The script of most words of a side. Sides with words in several scripts, or with few, pass."""

    reason = "wrong_script"
    least_words: ClassVar[float] = 4.0

    def codes(self, side: str, texts: Texts, others: Texts, cleaning: Cleaning) -> Codes:
        script, most, every = texts.script_words
        is_clear = (every >= self.least_words) & (most > cleaning.limit(self.key) * every)
        return np.where(is_clear, script, NO_SCRIPT).astype(np.uint16)

    def describe(self, text: str, code: int, expected: int, cleaning: Cleaning) -> str:
        _, (most,), (every,) = Texts(pa.array([text], pa.string())).script_words
        limit = f"over {self.key} {cleaning.limit(self.key):g}"
        return f"share of words in {SCRIPTS[code]} {most / every:.2f}, {limit}; expected {SCRIPTS[expected]}"


class Language(CorpusRule):
    """The language of a side."""

    reason = "wrong_language"
    majority = 0.6  # a noisy corpus has a fifth of its rows in other languages

    def codes(self, side: str, texts: Texts, others: Texts, cleaning: Cleaning) -> Codes:
        return languages.identify(
            texts.array,
            cleaning.limit(self.key),
            letters=texts.count(LETTER),
            stated=self.stated(side, cleaning),
        )

    def describe(self, text: str, code: int, expected: int, cleaning: Cleaning) -> str:
        name, confidence = languages.name_of(code), languages.confidence_of(text)
        limit = f"over {self.key} {cleaning.limit(self.key):g}"
        expected_name = languages.name_of(expected)
        return f"language {name} with confidence {confidence:.2f}, {limit}; expected {expected_name}"

    def stated(self, side: str, cleaning: Cleaning) -> int:
        return languages.code_of(getattr(cleaning, f"{side}_language"))


class FinalMark(CorpusRule):
    """Whether a side is cut off: it lacks the final mark of the other side, and is short. Others pass."""

    reason = "final_mark_missing"
    majority = 0.8
    least_words: ClassVar[float] = 5.0
    shorter: ClassVar[float] = 1.4
    both, misses, neither = 1, 2, 3

    def codes(self, side: str, texts: Texts, others: Texts, cleaning: Cleaning) -> Codes:
        is_long = np.maximum(texts.script_words[2], others.script_words[2]) >= self.least_words
        misses = np.where(others.ends_in_word, self.neither, self.misses)
        codes = np.where(texts.ends_in_word, misses, np.where(others.ends_in_word, self.neither, self.both))
        return np.where(is_long, codes, 0).astype(np.uint16)

    def violations(self, codes: Codes, expected: int, octaves: length_ratios.Octaves) -> Mask:
        if expected != self.both:
            return np.zeros(len(codes), bool)
        return (codes == self.misses) & (octaves < -np.log2(self.shorter))

    def describe(self, text: str, code: int, expected: int, cleaning: Cleaning) -> str:
        end = f"ends in {text[-1]!r}, without the final mark of the other side"
        return f"{end}, and is over {self.shorter:g} times too short (final_marks: true)"


RULES: tuple[CorpusRule, ...] = (Script(), Language(), FinalMark())


def _prefix(rule: CorpusRule, side: str) -> str:
    return f"corpus/{rule.reason}/{side}/"


def column(rule: CorpusRule, side: str) -> str:
    """The name of the column with the codes."""
    return f"{rule.reason}/{side}"


def code_rows(pair: Pair, cleaning: Cleaning) -> Columns:
    """The columns of codes of the rules that are on."""
    return {
        column(rule, side): rule.codes(side, pair[index], pair[1 - index], cleaning)
        for rule in RULES
        if cleaning.limit(rule.key)
        for index, side in enumerate(SIDES)
    }


def histogram(columns: Mapping[str, Any]) -> Counter[str]:
    """Counts the codes of some rows."""
    counts: Counter[str] = Counter()
    for rule in RULES:
        for side in SIDES:
            if column(rule, side) in columns:
                for code, rows in enumerate(np.bincount(columns[column(rule, side)]).tolist()):
                    if code and rows:
                        counts[f"{_prefix(rule, side)}{code}"] += rows
    return counts


def code_of_corpus(rule: CorpusRule, side: str, counts: Mapping[str, int]) -> int:
    """The code of most rows of the corpus; 0 if they are too few, or have too many codes."""
    prefix = _prefix(rule, side)
    found = {int(name.removeprefix(prefix)): n for name, n in counts.items() if name.startswith(prefix)}
    rows = sum(found.values())
    code = max(found, key=lambda code: (found[code], -code), default=0)
    return code if rows >= MIN_ROWS and found[code] >= rule.majority * rows else 0


def check(
    columns: Columns, cleaning: Cleaning, counts: Mapping[str, int], octaves: length_ratios.Octaves
) -> Iterator[tuple[str, Violations]]:
    """Checks rows by every rule that is on. Removes its columns.

    Args:
      columns: the columns of `code_rows`, and those of both sides.
      cleaning: the limits.
      counts: sums of `histogram` over the corpus; other counts are ignored.
      octaves: float32[N], the binary logarithm of each row's length ratio divided by the corpus's; NaN:
        unknown.
    """
    for rule in RULES:
        for side in SIDES:
            codes = columns.pop(column(rule, side), None)
            if codes is None:
                continue
            expected = rule.stated(side, cleaning) or code_of_corpus(rule, side, counts)
            if not expected:
                continue
            mask = rule.violations(codes, expected, octaves if side == "target" else -octaves)

            def detail(
                row: int, rule: CorpusRule = rule, side: str = side, codes: Codes = codes,
                expected: int = expected, texts: pa.Array = columns[side],
            ) -> str:  # fmt: skip
                text = texts[row].as_py()
                return f"{side}: {rule.describe(text, int(codes[row]), expected, cleaning)}"

            yield rule.reason, Violations(mask, detail)
