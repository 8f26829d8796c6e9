"""Word alignment from attention: which word of a line each word of its translation comes from.

Attention is between tokens. The weight of a source word for a target word is the sum over the tokens of the
source word and the mean over the tokens of the target word. Words are what stands between blanks.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from bitext.components.shared.errors import DataError
from bitext.components.text.normalization import normalize
from bitext.components.translation import sentences
from bitext.components.translation.attention import Attention, translate_with_attention
from bitext.components.translation.detokenize import detokenize
from bitext.components.translation.sentences import LongSentence, Splitting
from bitext.components.translation.translator import LineTranslator, Translation

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

Link = tuple[int, int]
"""The index of a source word and the index of a target word in their lines, from 0."""
PERCENT = 100
ALIGNED_SENTENCES = 64
"""Sentences whose words are found at once, by the texts of all their first words and tokens."""


@dataclasses.dataclass(frozen=True)
class AlignedLine:
    """The translation of a line.

    Attributes:
      text: the best translation.
      links: the links between its words and those of the line, in order; None: the words of the line or of
        the translation cannot be told apart after normalization.
    """

    text: str
    links: list[Link] | None

    @property
    def pharaoh(self) -> str:
        """The links in the format of Pharaoh: `0-0 1-2`."""
        return " ".join(f"{source}-{target}" for source, target in self.links or ())


@dataclasses.dataclass(frozen=True)
class AlignedBlock:
    """The translations of a block of lines, and the sentences that are too long for the model."""

    lines: list[AlignedLine]
    too_long: list[LongSentence]


@dataclasses.dataclass(frozen=True)
class _Sentence:
    """A translated sentence.

    Attributes:
      source: its words.
      target: the words of its translation.
      links: the links between them; None: the tokens are not those of the text, in which unknown words are
        replaced.
      text: the translation.
    """

    source: list[str]
    target: list[str]
    links: list[Link] | None
    text: str


def align_blocks(
    translator: LineTranslator,
    blocks: Iterable[list[bytes]],
    splitting: Splitting,
    threshold: float | None = None,
) -> Iterator[AlignedBlock]:
    """Yields the best translation of each line of each block, with links between the words.

    Args:
      translator: the model.
      blocks: lines of text, UTF-8.
      splitting: how lines are split into sentences.
      threshold: the weight from which two words are linked; None: each target word is linked to the source
        word with the largest weight, unless `</s>` has a larger one.

    Raises:
      DataError: the model has no attention, or its signatures do not return the tokens of translations.
    """
    for block in blocks:
        units = sentences.sentences_of(translator, block, splitting)
        translated = iter(_sentences(translator, [s for of_line in units for s in of_line], threshold))
        lines = [
            _line(line, list(itertools.islice(translated, len(of_line))))
            for line, of_line in zip(block, units, strict=True)
        ]
        yield AlignedBlock(lines, sentences.too_long(translator, units))


def _sentences(
    translator: LineTranslator, units: Sequence[bytes], threshold: float | None
) -> Iterator[_Sentence]:
    """Yields the translations of sentences with the links between their words."""
    texts = [
        " ".join(normalize(unit.decode("utf-8", "replace"), fold_quotes=False).split()) for unit in units
    ]
    attended = translate_with_attention(translator, units)
    for start in range(0, len(units), ALIGNED_SENTENCES):
        part = slice(start, start + ALIGNED_SENTENCES)
        rows = [(row.translation.text, row.attention) for row in attended[part]]
        attentions = [attention for _, attention in rows if attention is not None]
        if any(text and attention is None for text, attention in rows):
            raise _no_attention(translator)
        words = [text.split(" ") if text else [] for text in texts[part]]
        ends_of = source_word_ends(translator, words)
        owners = iter(target_words(translator, [attention.target for attention in attentions]))
        for (text, attention), source, ends in zip(rows, words, ends_of, strict=True):
            target = text.split()
            links: list[Link] | None = []
            if attention is not None:
                of_tokens = next(owners)
                is_same = max(of_tokens, default=-1) + 1 == len(target)
                links = _links(attention, ends, of_tokens, len(target), threshold) if is_same else None
            yield _Sentence(source, target, links, text)


def _no_attention(translator: LineTranslator) -> DataError:
    """Returns the error for translations without attention."""
    if not translator.returns("serving_default", "tokens"):
        return DataError(
            f"the model at {translator.path} does not return the tokens of its translations: an earlier"
            " version of bitext exported it",
            "train and push it again with this version",
        )
    return DataError(
        f"the model at {translator.path} has no attention, so its words cannot be aligned",
        "train a model whose `trainer.model.attention` is not none, or leave --alignments out",
    )


def source_word_ends(translator: LineTranslator, sentences: Sequence[Sequence[str]]) -> list[list[int]]:
    """Returns for each sentence the number of tokens up to the end of each of its words.

    The tokens of a text's first words are the first tokens of the text, because no token crosses a blank.
    """
    prefixes = [" ".join(words[: count + 1]) for words in sentences for count in range(len(words))]
    if not prefixes:
        return [[] for _ in sentences]
    outputs = translator.tokenize([prefix.encode() for prefix in prefixes])
    ends = iter((outputs["total_length"] - 1).tolist())
    return [list(itertools.islice(ends, len(words))) for words in sentences]


def target_words(translator: LineTranslator, translations: Sequence[Sequence[int]]) -> list[list[int]]:
    """Returns for each token of each translation the index of its word; -1 for `</s>`.

    It is the number of words of the text up to the token. A token that adds nothing to the text (a blank, a
    part of a character) belongs to the word of the next one.
    """
    import numpy as np

    lengths = [len(tokens) for tokens in translations]
    padded = np.zeros((sum(lengths), max(lengths, default=0)), np.int32)
    first = 0
    for tokens, length in zip(translations, lengths, strict=True):
        padded[first : first + length, :length] = np.tril(np.asarray(tokens, np.int32))
        first += length
    texts = iter(detokenize(translator, padded))
    return [
        _owners([text.decode("utf-8", "replace") for text in itertools.islice(texts, length)])
        for length in lengths
    ]


def _owners(texts: Sequence[str]) -> list[int]:
    """Returns the word of each token of a translation, whose text up to each token is given."""
    owners, previous = [-1] * len(texts), ""
    pending: list[int] = []
    for index, text in enumerate(texts):
        pending.append(index)
        if text != previous:
            for token in pending:
                owners[token] = len(text.split()) - 1
            pending, previous = [], text
    return owners


def _links(
    attention: Attention,
    ends: Sequence[int],
    owners: Sequence[int],
    target_count: int,
    threshold: float | None,
) -> list[Link]:
    """Returns the links of a sentence.

    Args:
      attention: of the sentence's tokens.
      ends: number of source tokens up to the end of each source word.
      owners: the word of each target token.
      target_count: number of target words.
      threshold: as in `align_blocks`.
    """
    import numpy as np

    weights, end_weights = word_weights(attention, ends, owners, target_count)
    if threshold is not None:
        source, target = np.nonzero(np.greater_equal(weights.T, threshold))
    else:
        best = weights.argmax(1) if weights.size else np.zeros(len(weights), np.int64)
        largest = weights.max(1, initial=0.0)
        target = np.flatnonzero((largest > 0) & (largest >= end_weights))
        source = best[target]
    return sorted(zip(source.tolist(), target.tolist(), strict=True))


def word_weights(
    attention: Attention, ends: Sequence[int], owners: Sequence[int], target_count: int
) -> tuple[Floats, Floats]:
    """Returns the weights of words.

    Args: as for `_links`.

    Returns:
      float64[target words, source words]; and float64[target words], the weight of `</s>`.
    """
    import numpy as np

    weights = attention.weights.astype(np.float64) / PERCENT
    tokens = np.arange(weights.shape[1])
    words = np.searchsorted(np.asarray(ends, np.int64), tokens, side="right")
    is_source = np.equal.outer(np.arange(len(ends)), words)
    is_source[:, -1] = False  # the last token is </s>
    is_target = np.equal.outer(np.arange(target_count), np.asarray(owners))
    share = is_target / np.maximum(is_target.sum(1, keepdims=True), 1)
    return share @ weights @ is_source.T, share @ weights[:, -1]


def _line(line: bytes, translated: Sequence[_Sentence]) -> AlignedLine:
    """Joins the sentences of a line. Their words become words of the line."""
    text = " ".join(sentence.text for sentence in translated)
    if len(translated) > 1:
        text = sentences.join([[Translation(s.text, 0.0)] for s in translated])[0].text
    source = _places(
        line.decode("utf-8", "replace").split(), [s.source for s in translated], normalized=False
    )
    target = _places(text.split(), [s.target for s in translated], normalized=True)
    if source is None or target is None or any(sentence.links is None for sentence in translated):
        return AlignedLine(text, None)
    links = {
        (source_places[i], target_places[j])
        for sentence, source_places, target_places in zip(translated, source, target, strict=True)
        for i, j in sentence.links or ()
    }
    return AlignedLine(text, sorted(links))


def _places(
    line: Sequence[str], of_sentences: Sequence[Sequence[str]], *, normalized: bool
) -> list[list[int]] | None:
    """Returns for each word of each sentence its index in the line, by counting characters.

    Args:
      line: the words of the line.
      of_sentences: the words of its sentences, in order. They have the characters of the line's words.
      normalized: whether the words of the line are normalized; those of the sentences are.

    Returns:
      None if the characters are not the same: normalization depends on the words around.
    """
    shown = line if normalized else ["".join(normalize(w, fold_quotes=False).split()) for w in line]
    ends = list(itertools.accumulate(map(len, shown)))
    words = [word for sentence in of_sentences for word in sentence]
    if "".join(shown) != "".join(words):
        return None
    place, position, places = 0, 0, []
    for word in words:
        while ends[place] <= position:
            place += 1
        places.append(place)
        position += len(word)
    by_word = iter(places)
    return [list(itertools.islice(by_word, len(sentence))) for sentence in of_sentences]
