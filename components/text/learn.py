"""Learning a vocabulary from pretoken counts, and its files.

A vocabulary is two text files. `vocabulary`: a piece a line, the id being the line's number from 0: the four
specials, then (except for words) the 256 bytes `<0xNN>`, the merged pieces in the order they were learnt, the
characters. `merges`: `key<TAB>id` lines, `key = left id * 2**32 + right id`: which pairs of pieces join.
No piece holds a control character or a space, so lines need no escaping; and the pretokens never join `<` to
a letter or digit, so no learnt piece looks like a special.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import re
from collections.abc import Iterator, Mapping

import sentencepiece

from bitext.components.text import KEY_FACTOR, SPECIALS, TextSettings

BYTES = tuple(f"<0x{b:02X}>" for b in range(256))
# A table is never empty, whatever the unit: no pair of ids has this key.
NO_MERGE = "-1\t0"
# sentencepiece's own mark, which it refuses in what it learns from.
_REFUSED_BY_SENTENCEPIECE = "\u2585"


@dataclasses.dataclass(frozen=True)
class Vocabulary:
    """Pieces by id, and `(left id, right id, merged id)` of every pair of them that joins."""

    pieces: tuple[str, ...]
    merges: tuple[tuple[int, int, int], ...] = ()

    def vocabulary_file(self) -> bytes:
        """The content of the vocabulary file."""
        return "".join(piece + "\n" for piece in self.pieces).encode()

    def merges_file(self) -> bytes:
        """The content of the merges file."""
        lines = [f"{left * KEY_FACTOR + right}\t{merged}" for left, right, merged in self.merges]
        return "".join(line + "\n" for line in [NO_MERGE, *lines]).encode()


def empty(settings: TextSettings) -> Vocabulary:
    """The vocabulary of no text: specials and, except for words, bytes."""
    return Vocabulary(pieces=SPECIALS if settings.unit == "word" else SPECIALS + BYTES)


def learn(counts: Mapping[str, int], settings: TextSettings, size: int) -> Vocabulary:
    """A vocabulary of at most `size` ids from how often each pretoken occurs; it depends on nothing else."""
    base = empty(settings).pieces
    room = size - len(base)
    if settings.unit == "word":
        return Vocabulary(pieces=base + _most_frequent(counts, room))
    characters = _character_counts(counts)
    if settings.unit == "character":
        return Vocabulary(pieces=base + _most_frequent(characters, room))
    # Rarer characters are left to the bytes when they would take more than half of what there is to learn.
    kept = _most_frequent(characters, max(1, room // 2))
    return byte_pair_encoding(_split_at_others(counts, kept), kept, size)


def byte_pair_encoding(counts: Mapping[str, int], characters: tuple[str, ...], size: int) -> Vocabulary:
    """Byte-pair encoding (Sennrich et al. 2016, section 3.2) of pretokens made of `characters` only."""
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
    """A sentencepiece BPE model (its serialised ModelProto) from pretoken counts, single-threaded.

    sentencepiece is only the trainer here: the text is not normalized, split or prefixed by it.
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
    """The learnt pieces (merged ones in order, then characters) of a serialised sentencepiece model."""
    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    first = len(SPECIALS) + len(BYTES)
    return [processor.id_to_piece(i) for i in range(first, processor.get_piece_size())]


def _tsv(counts: Mapping[str, int]) -> Iterator[str]:
    """`word<TAB>count` lines, in an order that depends on nothing but the counts."""
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
    """The `most` most frequent, by falling count; equally frequent ones in code point order."""
    ranked = sorted(counts, key=lambda item: (-counts[item], item))
    return tuple(ranked[: max(0, most)])


def _split_at_others(counts: Mapping[str, int], characters: tuple[str, ...]) -> dict[str, int]:
    """The counts of what is left of the words when they are cut at every character not among `characters`."""
    kept = "".join(re.escape(c) for c in characters if c != _REFUSED_BY_SENTENCEPIECE)
    runs = re.compile(f"[{kept}]+") if kept else re.compile("(?!)")
    result: collections.Counter[str] = collections.Counter()
    for word, count in counts.items():
        for run in runs.findall(word):
            result[run] += count
    return result
