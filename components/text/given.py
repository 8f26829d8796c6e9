"""A vocabulary that a user gives instead of one that is learned: what its file says, in this project's terms.

`sentencepiece_model` and `merges_file` read the two kinds of files, `read` finds out which one a file is.
"""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping
from pathlib import Path

from bitext.components.artifacts.transform_graph import Segmentation
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError
from bitext.components.text import (
    KEY_FACTOR,
    SPECIALS,
    WHOLE_MARK,
    WORD_BOUNDARY,
    TextSettings,
    merges_file,
    sentencepiece_model,
    trie,
)
from bitext.components.text.learn import BYTES, Vocabulary, whole_pieces
from bitext.components.text.normalization import normalize

MAX_GIVEN_IDS = 1_000_000
_MAX_BYTES = 1 << 28
_EXAMPLES = 5


@dataclasses.dataclass(frozen=True)
class Given:
    """A vocabulary from a file.

    Attributes:
      file: the path of the file.
      kind: what the file is, for messages.
      pieces: the pieces of several characters, U+2581 for a space; the position of a piece is its rank.
      characters: the pieces of one character.
      segmentation: how text becomes words.
      byte_fallback: whether the library spells unknown characters in bytes, as bitext always does.
      symbols: texts that are one token each, as the model has it.
      rules: the pairs that merge, in the order of their rank; None: every pair whose concatenation is
        a piece, in the order of the pieces.
      scores: the scores of pieces and symbols in a unigram model.
      unknown_score: the score of an unknown character in a unigram model.
    """

    file: str
    kind: str
    pieces: tuple[str, ...]
    characters: tuple[str, ...]
    segmentation: Segmentation
    byte_fallback: bool
    symbols: tuple[str, ...] = ()
    rules: tuple[tuple[str, str], ...] | None = None
    scores: Mapping[str, float] | None = None
    unknown_score: float = 0.0

    @property
    def counts_words(self) -> bool:
        """Whether the vocabulary depends on the words of the training data, not only on whole tokens."""
        return self.rules is not None

    def vocabulary(self, counts: Mapping[str, int], settings: TextSettings) -> Vocabulary:
        """Returns the vocabulary.

        Args:
          counts: how often each pretoken of the training data occurs. A merges file does not list the
            characters: they are those of its merges and of the data.
          settings: the texts that stay whole, which are added to the vocabulary.
        """
        whole = whole_pieces(counts, settings, len(self.pieces))
        words = {word: count for word, count in counts.items() if not word.startswith(WHOLE_MARK)}
        if self.rules is not None:
            return _of_rules(self.rules, words).with_pieces(whole)
        if self.scores is not None:
            return self._unigram(self.scores).with_pieces(whole)
        return _of_pieces(self.pieces, (*self.characters, *self.symbols)).with_pieces(whole)

    def _unigram(self, scores: Mapping[str, float]) -> Vocabulary:
        """The vocabulary of a unigram model, whose merges file is a trie."""
        pieces = (*SPECIALS, *BYTES, *self.pieces, *self.characters, *self.symbols)
        scored = {piece: (number, scores[piece]) for number, piece in enumerate(pieces) if piece in scores}
        return Vocabulary(pieces, tuple(trie.edges(scored, self.unknown_score)))

    def notes(self, *, fold_quotes: bool) -> list[str]:
        """Returns what a user should know about the use of the file: a line each."""
        size = len(self.pieces) + len(self.characters) + len(self.symbols)
        lines = [f"vocabulary of {size:,} pieces from {path_text(self.file)} ({self.kind})"]
        changed = [p for p in (*self.pieces, *self.characters, *self.symbols) if _is_changed(p, fold_quotes)]
        if changed:
            examples = " ".join(changed[:_EXAMPLES])
            lines.append(
                f"{len(changed):,} of its pieces are never used, because bitext normalizes their characters "
                f"before it splits text: {examples}"
            )
        if not self.byte_fallback:
            lines.append("a character that it does not know is spelled in its UTF-8 bytes, not <unk>")
        return lines


def read(path: str) -> Given:
    """Reads a SentencePiece model or a merges file.

    Raises:
      DataError: the file cannot be read, is another kind of file, or needs what bitext cannot do.
    """
    try:
        if (size := Path(path).stat().st_size) > _MAX_BYTES:
            raise DataError(
                f"{path_text(path)} has {size:,} bytes, and a vocabulary file at most {_MAX_BYTES:,}",
                "check transform.vocabulary_file: is it the corpus?",
            )
        content = Path(path).read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read {path_text(path)}: {error.strerror}", "check transform.vocabulary_file"
        ) from error
    given = _sentencepiece(content, path) if sentencepiece_model.is_model(content) else _merges(content, path)
    if (ids := len(given.pieces) + len(given.characters) + len(given.symbols)) > MAX_GIVEN_IDS:
        raise DataError(
            f"{path_text(path)} has {ids:,} pieces, more than {MAX_GIVEN_IDS:,}", "give a smaller vocabulary"
        )
    return given


def _sentencepiece(content: bytes, path: str) -> Given:
    """The vocabulary of a serialized model."""
    model = sentencepiece_model.Model.parse(content, path)
    return Given(
        file=path,
        kind=f"a {model.kind} model of SentencePiece",
        pieces=model.merged(),
        characters=model.characters(),
        segmentation=model.segmentation(),
        byte_fallback=model.byte_fallback,
        symbols=model.symbols,
        scores=model.scores() if model.is_unigram else None,
        unknown_score=model.unknown_score,
    )


def _merges(content: bytes, path: str) -> Given:
    """The vocabulary of a merges file."""
    rules = merges_file.parse(content, path)
    letters = dict.fromkeys(c for rule in rules for part in rule for c in part if c != WORD_BOUNDARY)
    return Given(
        file=path,
        kind="BPE merges",
        pieces=tuple(dict.fromkeys(left + right for left, right in rules)),
        characters=tuple(letters),
        segmentation=Segmentation(split="spaces", mark="after", all_occurrences=True),
        byte_fallback=False,
        rules=rules,
    )


def _of_pieces(pieces: tuple[str, ...], characters: tuple[str, ...]) -> Vocabulary:
    """The vocabulary in which a pair merges if its concatenation is a piece."""
    ids = {piece: number for number, piece in enumerate(SPECIALS + BYTES + pieces + characters)}
    merges = tuple(
        (ids[piece[:cut]], ids[piece[cut:]], ids[piece])
        for piece in pieces
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    )
    return Vocabulary(tuple(ids), merges)


def _of_rules(rules: tuple[tuple[str, str], ...], counts: Mapping[str, int]) -> Vocabulary:
    """The vocabulary of merges by rank, with the characters of the rules and of the training data.

    The last character of a word and the mark after it are one symbol in the rules. Here they merge first:
    with rank 0, before the rules from rank 1.
    """
    letters: collections.Counter[str] = collections.Counter()
    ends: collections.Counter[str] = collections.Counter()
    for word, count in counts.items():
        letters.update(dict.fromkeys(word, count))
        if len(word) > 1 and word.endswith(WORD_BOUNDARY):
            ends[word[-2:]] += count
    for rule in rules:
        for part in rule:
            letters.update(part)
            if len(part) > 1 and part.endswith(WORD_BOUNDARY):
                ends[part[-2:]] += 1
    letters.pop(WORD_BOUNDARY, None)
    merged = dict.fromkeys(left + right for left, right in rules)
    symbols = [WORD_BOUNDARY, *merged, *sorted(letters), *(e for e in sorted(ends) if e not in merged)]
    ids = {piece: number for number, piece in enumerate((*SPECIALS, *BYTES, *symbols))}
    merges = [(ids[end[0]], ids[WORD_BOUNDARY], ids[end]) for end in sorted(ends)]
    merges += [
        (ids[left], ids[right], rank * KEY_FACTOR + ids[left + right])
        for rank, (left, right) in enumerate(rules, 1)
        if left in ids and right in ids
    ]
    return Vocabulary(tuple(ids), tuple(merges))


def _is_changed(piece: str, fold_quotes: bool) -> bool:
    """Whether normalization changes the characters of a piece, so that no text has it."""
    text = piece.replace(WORD_BOUNDARY, "")
    return normalize(text, fold_quotes=fold_quotes) != text
