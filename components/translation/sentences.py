"""Lines that are longer than the model reads: splits them into sentences and joins the translations.

`bitext translate` and the bulk translation with Beam use it. The served graph translates one sentence.
"""

from __future__ import annotations

import dataclasses
import heapq
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

from bitext.components.translation.translator import LineTranslator, Translation

DEFAULT_LANGUAGE = "en"
"""The language of the splitter if none is given. It knows the sentence ends of all scripts, and the
abbreviations of this language."""
MAX_REPORTED = 20
"""So many long sentences are reported one by one; all are counted."""


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
    translator: LineTranslator, blocks: Iterable[list[bytes]], language: str | None = None
) -> Iterator[TranslatedBlock]:
    """Yields the translations of each block of lines.

    A line with more tokens than the model reads is split at the ends of its sentences. The translations of
    the sentences are joined, and the score of the line is the mean of theirs. A blank line is not sent to the
    model.

    Args:
      translator: the model.
      blocks: lines of text, UTF-8.
      language: the language of the text, ISO 639-1, for its abbreviations; None: `DEFAULT_LANGUAGE`.
    """
    for block in blocks:
        units = [[line] if line.strip() else [] for line in block]
        limit = translator.source_max_length or 0
        is_long = [length > limit for length in translator.total_lengths(block)]
        for index in itertools.compress(range(len(block)), is_long):
            units[index] = split(block[index], language or DEFAULT_LANGUAGE)
        results = iter(translator.translate([unit for of_line in units for unit in of_line]))
        by_line = [list(itertools.islice(results, len(of_line))) for of_line in units]
        yield TranslatedBlock(
            [join(of_line, translator.search.nbest) for of_line in by_line],
            [
                LongSentence(index, length, limit)
                for index in itertools.compress(range(len(block)), is_long)
                for length in translator.total_lengths(units[index])
                if length > limit
            ],
        )


def split(line: bytes, language: str) -> list[bytes]:
    """Splits a line at the ends of its sentences. It loses no text but white space between sentences.

    Args:
      line: UTF-8; other bytes become U+FFFD.
      language: ISO 639-1.
    """
    import sentencex

    # Single blanks only: sentencex 1.0 panics at a letter, a white space beyond ASCII and a full stop.
    text = " ".join(line.decode("utf-8", "replace").split())
    return [sentence.strip().encode() for sentence in sentencex.segment(language, text) if sentence.strip()]


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
    """Joins two sentences: with a space, unless the script of the first has none after a sentence."""
    if not left or not right:
        return left or right
    return f"{left}{right}" if _is_wide(left[-1]) else f"{left} {right}"


def _is_wide(character: str) -> bool:
    """Whether the character is punctuation or a letter of Chinese or Japanese."""
    return (
        "\u3000" <= character <= "\u30ff" or "\u3400" <= character <= "\u9fff" or character in "！？．：；）"
    )
