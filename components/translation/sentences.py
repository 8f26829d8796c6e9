"""Lines with several sentences: splits them, translates each sentence, and joins the translations.

A model that is trained on single sentences translates two sentences in one line badly, and loses what is
longer than it reads. `bitext translate`, with or without Beam, uses this module. The served graph translates
one sentence.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from bitext.components.text.normalization import is_blank, normalize
from bitext.components.text.scripts import dominant_script
from bitext.components.translation.translator import LineTranslator, Translation

LANGUAGES = {
    "Arabic": "ar",
    "Armenian": "hy",
    "Cyrillic": "ru",
    "Devanagari": "hi",
    "Greek": "el",
    "Han": "zh",
    "Japanese": "ja",
}
"""The language whose abbreviations are known, by the script of a line, if the language is unknown."""
DEFAULT_LANGUAGE = "en"
"""The same for other scripts. The ends of sentences are known for all scripts."""
MAX_SEGMENTED = 4000
"""Characters that are given to sentencex at a time."""
_CUT_AFTER = ("。", "！", "？", "।", ". ", "! ", "? ")
_INITIAL = re.compile(r"[^ ]\.")
"""A sentence of one letter is the initial of a name."""
_KHMER_OR_TIBETAN = re.compile("[^។៕།༎]*[។៕།༎]+ *|[^។៕།༎]+$")
"""A part of a segment up to a final mark that sentencex does not know."""
MAX_REPORTED = 20
"""So many long sentences are reported one by one; all are counted."""


@dataclasses.dataclass(frozen=True)
class Splitting:
    """How lines are split into sentences.

    Attributes:
      language: the language of the text, ISO 639-1; None: that of the model, or by the script of the line.
      whole_lines: whether only lines that are longer than the model reads are split.
    """

    language: str | None = None
    whole_lines: bool = False


DEFAULT_SPLITTING = Splitting()


@dataclasses.dataclass(frozen=True)
class LongSentence:
    """A sentence that is longer than the model reads, so that its end is not translated.

    Attributes:
      line: index of its line in the block, from 0.
      tokens: its length in tokens, `</s>` included.
      limit: the most tokens that the model reads.
    """

    line: int
    tokens: int
    limit: int


@dataclasses.dataclass(frozen=True)
class TranslatedBlock:
    """The translations of a block of lines.

    Attributes:
      translations: the translations of each line, best first.
      too_long: the sentences that are too long even after splitting, in order.
    """

    translations: list[list[Translation]]
    too_long: list[LongSentence]


class LongSentenceReport:
    """Reports sentences that are too long, one by one, and their number at the end.

    Args:
      warn: prints one line.
    """

    def __init__(self, warn: Callable[[str], None]):
        self._warn, self._count = warn, 0

    def add(self, first_line: int, too_long: Sequence[LongSentence]) -> None:
        """Reports the sentences of a block whose first line has the number `first_line`."""
        for sentence in too_long[: max(0, MAX_REPORTED - self._count)]:
            self._warn(
                f"warning: line {first_line + sentence.line}: a sentence of {sentence.tokens:,} tokens is"
                f" longer than the model reads ({sentence.limit:,}); its end is not translated"
            )
        self._count += len(too_long)

    def finish(self) -> None:
        """Reports the number of sentences, if there are any."""
        if self._count:
            self._warn(
                f"warning: {self._count:,} sentence{'s' * (self._count > 1)} too long for the model; divide"
                " the text into shorter sentences"
            )


def warn_if_unmeasured(translator: LineTranslator, warn: Callable[[str], None]) -> None:
    """Warns if the model does not tell the lengths of texts."""
    if translator.source_max_length is None:
        warn(
            f"warning: the model at {translator.path} was exported by bitext 0.2.0 or earlier: long lines are"
            " neither split nor reported"
        )


def translate_blocks(
    translator: LineTranslator, blocks: Iterable[list[bytes]], splitting: Splitting = DEFAULT_SPLITTING
) -> Iterator[TranslatedBlock]:
    """Yields the translations of each block of lines.

    The score of a line with several sentences is the mean of their scores. A blank line is not sent to the
    model.

    Args:
      translator: the model.
      blocks: lines of text, UTF-8.
      splitting: how lines are split into sentences.
    """
    for block in blocks:
        units = sentences_of(translator, block, splitting)
        results = iter(translator.translate([sentence for of_line in units for sentence in of_line]))
        by_line = [list(itertools.islice(results, len(of_line))) for of_line in units]
        translations = [join(of_line, translator.search.nbest) for of_line in by_line]
        yield TranslatedBlock(translations, too_long(translator, units))


def sentences_of(
    translator: LineTranslator, block: Sequence[bytes], splitting: Splitting
) -> list[list[bytes]]:
    """Returns the sentences of each line of a block, none of a blank line."""
    language = splitting.language or translator.source_language or None
    is_split = translator.are_too_long(block) if splitting.whole_lines else [True] * len(block)
    return [
        split(line, language) if splits or is_blank(line.decode("utf-8", "replace")) else [line]
        for line, splits in zip(block, is_split, strict=True)
    ]


def too_long(translator: LineTranslator, units: Sequence[Sequence[bytes]]) -> list[LongSentence]:
    """Returns the sentences of the lines of a block that are longer than the model reads, in order."""
    lengths = iter(translator.total_lengths([sentence for of_line in units for sentence in of_line]))
    limit = translator.source_max_length or 0
    return [
        LongSentence(index, length, limit)
        for index, of_line in enumerate(units)
        for length in itertools.islice(lengths, len(of_line))
        if length > limit
    ]


def split(line: bytes, language: str | None) -> list[bytes]:
    """Splits a line at the ends of its sentences.

    Equal text (`normalization.normalize`) is split equally. The sentences are normalized, except for
    quotation marks; nothing else is lost.

    Args:
      line: UTF-8; other bytes become U+FFFD.
      language: ISO 639-1; None: by the script of the line.
    """
    line_text = line.decode("utf-8", "replace")
    text, shown = normalize(line_text), normalize(line_text, fold_quotes=False)
    if len(shown) != len(text):  # a quotation mark has composed with a mark after it
        shown = text
    if language is None:
        language = LANGUAGES.get(dominant_script([text]), DEFAULT_LANGUAGE)
    sentences: list[str] = []
    for start, end in _spans(text, language):
        sentence = shown[start:end].strip()
        if sentences and _INITIAL.fullmatch(sentences[-1]):
            sentences[-1] += f" {sentence}"
        elif sentence:
            sentences.append(sentence)
    return [sentence.encode() for sentence in sentences]


def _spans(text: str, language: str) -> Iterator[tuple[int, int]]:
    """Yields the first and the last index of each sentence of a normalized text; together they cover it."""
    import sentencex

    start = 0
    for piece in _pieces(text):
        for segment in sentencex.segment(language, piece):
            for part in _KHMER_OR_TIBETAN.findall(segment):
                yield start, start + len(part)
                start += len(part)


def _pieces(text: str) -> Iterator[str]:
    """Cuts a long text after a final mark or a space, because the time of sentencex is quadratic."""
    while len(text) > MAX_SEGMENTED:
        cut = max(text.rfind(mark, 0, MAX_SEGMENTED) for mark in _CUT_AFTER) + 1 or MAX_SEGMENTED
        yield text[:cut]
        text = text[cut:]
    yield text


def join(sentences: Sequence[Sequence[Translation]], nbest: int = 1) -> list[Translation]:
    """Joins the translations of the sentences of a line.

    Args:
      sentences: the translations of each sentence, best first, at least one each. No sentence: an empty line.
      nbest: maximum number of results.

    Returns:
      The combinations with the highest mean score, best first, with different texts.
    """
    if not sentences:
        return [Translation("", 0.0)]
    combined: list[Translation] = list(sentences[0])
    for following in sentences[1:]:
        pairs = (
            Translation(_joined(left.text, right.text), left.score + right.score)
            for left in combined
            for right in following
        )
        combined = heapq.nlargest(nbest, pairs, key=lambda pair: pair.score)
    distinct: dict[str, Translation] = {}
    for translation in combined:
        mean = translation.score / len(sentences)
        distinct.setdefault(translation.text, Translation(translation.text, mean))
    return list(distinct.values())


def _joined(left: str, right: str) -> str:
    """Joins two sentences: with a space, unless the first is Chinese or Japanese."""
    if not left or not right:
        return left or right
    last_letter = next((character for character in reversed(left) if character.isalnum()), left[-1])
    return f"{left}{right}" if _is_wide(left[-1]) or _is_wide(last_letter) else f"{left} {right}"


def _is_wide(character: str) -> bool:
    """Whether the character is punctuation or a letter of Chinese or Japanese."""
    return (
        "\u3000" <= character <= "\u30ff" or "\u3400" <= character <= "\u9fff" or character in "！？．：；）"
    )
