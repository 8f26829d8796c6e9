"""Learns a vocabulary from the counts of pretokens, and writes its two files.

* The vocabulary file has one piece a line. The id of a piece is its line number, from 0: the four special
  tokens; except for words, the 256 bytes `<0xNN>`; the merged pieces in the order of learning; the
  characters.
* The merges file has lines `key<TAB>value`: the pair `key = left id * 2**32 + right id` merges to the id
  `value % 2**32`. Of the pairs of a word, the one with the smallest value merges first. The value of a
  learned pair is the id. A given merges file (`text.given`) has ranks: `value = rank * 2**32 + id`.

No piece has a control character or a space, so lines need no escaping. No pretoken joins `<` with a letter or
a digit, so no learned piece equals a special token.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import re
from collections.abc import Iterable, Iterator, Mapping

import sentencepiece

from bitext.components.text import KEY_FACTOR, SPECIALS, WHOLE_MARK, WORD_BOUNDARY, TextSettings

BYTES = tuple(f"<0x{b:02X}>" for b in range(256))
MIN_MATCHES = 2
"""A match of the pattern of whole tokens has an id if the training data has it so often."""
NO_MERGE = "-1\t0"
"""First line of every merges file, because TensorFlow has no empty tables. No pair of ids has this key."""
_REJECTED_BY_SENTENCEPIECE = "\u2585"
"""A mark that sentencepiece uses itself and does not accept in training text."""


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """A learned vocabulary.

    Attributes:
      pieces: the piece of each id.
      merges: (left id, right id, value in the merges file) of every pair of pieces that merges.
    """

    pieces: tuple[str, ...]
    merges: tuple[tuple[int, int, int], ...] = ()

    def with_pieces(self, pieces: Iterable[str]) -> Vocabulary:
        """Returns a vocabulary with more pieces at its end; those that it has are left out."""
        known = frozenset(self.pieces)
        return Vocabulary(self.pieces + tuple(p for p in pieces if p not in known), self.merges)

    def vocabulary_file(self) -> bytes:
        """The content of the vocabulary file."""
        return "".join(piece + "\n" for piece in self.pieces).encode()

    def merges_file(self) -> bytes:
        """The content of the merges file."""
        lines = [f"{left * KEY_FACTOR + right}\t{merged}" for left, right, merged in self.merges]
        return "".join(line + "\n" for line in [NO_MERGE, *lines]).encode()


def empty(settings: TextSettings) -> Vocabulary:
    """The vocabulary of an empty text: the special tokens and, except for words, the bytes."""
    return Vocabulary(pieces=SPECIALS if settings.unit == "word" else SPECIALS + BYTES)


def learn(counts: Mapping[str, int], settings: TextSettings, size: int) -> Vocabulary:
    """Learns a vocabulary. Equal counts give equal vocabularies.

    Args:
      counts: how often each pretoken occurs.
      settings: the unit of the vocabulary.
      size: maximum number of ids.
    """
    base = empty(settings).pieces
    whole = whole_pieces(counts, settings, size - len(base))
    counts = {word: count for word, count in counts.items() if not word.startswith(WHOLE_MARK)}
    free_ids = size - len(base) - len(whole)
    if settings.unit == "word":
        others = {word: count for word, count in counts.items() if word not in whole}
        return Vocabulary(pieces=base + whole + _most_frequent(others, free_ids))
    characters = _character_counts(counts)
    if settings.unit == "character":
        return Vocabulary(pieces=base + _most_frequent(characters, free_ids)).with_pieces(whole)
    # At most half of the ids are characters. Rarer characters are represented by their bytes.
    alphabet = _most_frequent(characters, max(1, free_ids // 2))
    parts = _split_at_rare_characters(counts, alphabet)
    return byte_pair_encoding(parts, alphabet, size - len(whole)).with_pieces(whole)


def whole_pieces(counts: Mapping[str, int], settings: TextSettings, free_ids: int) -> tuple[str, ...]:
    """Returns the pieces of texts that stay whole: all that are listed, and frequent matches of the pattern.

    Args:
      counts: how often each pretoken occurs.
      settings: the texts that stay whole.
      free_ids: number of ids that are not reserved. Matches of the pattern take at most a quarter of them.
    """
    listed = [text.replace(" ", WORD_BOUNDARY) for text in settings.whole_tokens]
    matches = {
        word.removeprefix(WHOLE_MARK): count
        for word, count in counts.items()
        if word.startswith(WHOLE_MARK) and count >= MIN_MATCHES
    }
    reserved = {*SPECIALS, *BYTES, *listed}
    others = {piece: count for piece, count in matches.items() if piece not in reserved}
    return (*dict.fromkeys(listed), *_most_frequent(others, max(0, free_ids // 4)))


def byte_pair_encoding(counts: Mapping[str, int], characters: tuple[str, ...], size: int) -> Vocabulary:
    """Learns byte-pair encoding (Sennrich et al. 2016, section 3.2).

    Args:
      counts: how often each pretoken occurs; pretokens consist of `characters` only.
      characters: the characters that get an id.
      size: maximum number of ids.
    """
    merged: tuple[str, ...] = ()
    if any(len(word) > 1 for word in counts):
        merged = tuple(
            piece for piece in _sentencepiece_pieces(train_sentencepiece(counts, size)) if len(piece) > 1
        )
    pieces = SPECIALS + BYTES + merged + characters
    pieces = pieces[:size] if len(pieces) > size else pieces
    ids = {piece: index for index, piece in enumerate(pieces)}
    merges = [
        (ids[piece[:cut]], ids[piece[cut:]], ids[piece])
        for piece in merged
        for cut in range(1, len(piece))
        if piece[:cut] in ids and piece[cut:] in ids
    ]
    return Vocabulary(pieces=pieces, merges=tuple(merges))


def train_sentencepiece(counts: Mapping[str, int], size: int) -> bytes:
    """Trains a sentencepiece BPE model in one thread.

    sentencepiece only learns the merges: it does not normalize, split or prefix the text.

    Args:
      counts: how often each pretoken occurs.
      size: maximum number of pieces.

    Returns:
      The serialized ModelProto.
    """
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_tsv(counts),
        model_writer=model,
        input_format="tsv",
        model_type="bpe",
        vocab_size=size,
        character_coverage=1.0,
        byte_fallback=True,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        split_by_unicode_script=False,
        split_by_number=False,
        split_by_whitespace=True,
        num_threads=1,
        pad_id=0,
        bos_id=1,
        eos_id=2,
        unk_id=3,
        minloglevel=2,
    )
    return model.getvalue()


def _sentencepiece_pieces(model: bytes) -> list[str]:
    """The learned pieces of a serialized sentencepiece model: merged pieces in order, then characters."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    first = len(SPECIALS) + len(BYTES)
    return [processor.id_to_piece(i) for i in range(first, processor.get_piece_size())]


def _tsv(counts: Mapping[str, int]) -> Iterator[str]:
    """Lines `word<TAB>count`, in an order that depends on the counts alone."""
    return (
        f"{word}\t{count}" for word, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )


def _character_counts(counts: Mapping[str, int]) -> dict[str, int]:
    """How often each character occurs."""
    characters: collections.Counter[str] = collections.Counter()
    for word, count in counts.items():
        for character in word:
            characters[character] += count
    return characters


def _most_frequent(counts: Mapping[str, int], most: int) -> tuple[str, ...]:
    """The `most` most frequent items by descending count; of equal counts, in the order of code points."""
    ranked = sorted(counts, key=lambda item: (-counts[item], item))
    return tuple(ranked[: max(0, most)])


def _split_at_rare_characters(counts: Mapping[str, int], characters: tuple[str, ...]) -> dict[str, int]:
    """Splits pretokens at every character that is not in `characters`, and counts the parts."""
    escaped = "".join(re.escape(c) for c in characters if c != _REJECTED_BY_SENTENCEPIECE)
    runs = re.compile(f"[{escaped}]+") if escaped else re.compile("(?!)")
    result: collections.Counter[str] = collections.Counter()
    for word, count in counts.items():
        for run in runs.findall(word):
            result[run] += count
    return result
