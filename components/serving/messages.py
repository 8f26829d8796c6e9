"""The request and the answer of the page's API, `POST /api/translate`."""

from __future__ import annotations

import msgspec


class TranslateRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of `POST /api/translate`.

    Attributes:
      text: one or more paragraphs.
      version: the version that translates; null: the served one.
      nbest: number of translations of each sentence.
      alignment: whether each translation comes with its alignment.
    """

    text: str
    version: int | None = None
    nbest: int = 1
    alignment: bool = False


class Aligned(msgspec.Struct, frozen=True):
    """The alignment of a translation between units: words, or tokens where a script has no spaces.

    Attributes:
      source: the parts of the sentence, each with the index of its unit; null: a space.
      target: the parts of the translation.
      weights: for each unit of the translation, the weight of each unit of the sentence.
    """

    source: list[tuple[str, int | None]]
    target: list[tuple[str, int | None]]
    weights: list[list[float]]


class SentenceTranslation(msgspec.Struct, frozen=True):
    """A translation of a sentence.

    Attributes:
      text: the translation.
      score: its score.
      alignment: its alignment; null: not asked for, or not available.
    """

    text: str
    score: float
    alignment: Aligned | None = None


class Sentence(msgspec.Struct, frozen=True):
    """A sentence with its translations.

    Attributes:
      source: the sentence.
      paragraph: the number of its line in the text, from 0.
      translations: its translations, best first.
      tokens: number of its tokens.
      is_cut: whether it is longer than the model reads, so that its end is not translated.
    """

    source: str
    paragraph: int
    translations: list[SentenceTranslation]
    tokens: int
    is_cut: bool


class TranslateAnswer(msgspec.Struct, frozen=True):
    """The answer of `POST /api/translate`.

    Attributes:
      version: the version that translated.
      paragraphs: number of lines of the text.
      sentences: the sentences of the text, in order.
      milliseconds: duration in the server, without loading the version.
    """

    version: int
    paragraphs: int
    sentences: list[Sentence]
    milliseconds: float
