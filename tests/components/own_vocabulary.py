"""A vocabulary of one's own and the text path that uses it, for several test modules."""

from __future__ import annotations

import collections
import dataclasses
import functools
import io
import random
import re
import struct
from pathlib import Path

import sentencepiece
import tensorflow as tf
from hypothesis import strategies as st

from bitext.components.text import TextSettings
from bitext.components.text import given as given_vocabulary
from bitext.components.text.normalization import normalize
from bitext.components.text.pretokens import pretokenize, replaced
from bitext.components.text.processor import TextProcessor
from tests.components.transform_runs import WORDS

MORE_WORDS = [*WORDS, "cats!", "café", "½", "™", "state-of"]
LINES = [" ".join(random.Random(n).choices(MORE_WORDS, k=9)) for n in range(400)]
OTHERS = ["thesat", "catcat", "mmmm", "㎏ ²", "Ａ", "x", "…", ""]
TEXTS = st.one_of(
    st.text(max_size=30),
    st.lists(st.sampled_from([*MORE_WORDS, *OTHERS]), max_size=8).map(" ".join),
    st.text(alphabet="aceht snmy½™é猫x▁'", max_size=40),
)


@functools.cache
def model(**options) -> bytes:
    """Trains a SentencePiece model."""
    writer = io.BytesIO()
    values = {"model_type": "bpe", "vocab_size": 150, "hard_vocab_limit": False, "minloglevel": 2, **options}
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=writer, **values)
    return writer.getvalue()


def serialized(
    pieces: list[tuple[str, float, int]], trainer: dict[int, int] | None = None, normalizer: bytes = b""
) -> bytes:
    """Serializes a SentencePiece model with the identity as its normalization.

    Args:
      pieces: the text, the score and the type of each piece.
      trainer: the values of fields of `TrainerSpec`.
      normalizer: more fields of `NormalizerSpec`.
    """
    rows = (
        _field(1, piece.encode()) + b"\x15" + struct.pack("<f", score) + bytes([0x18, kind])
        for piece, score, kind in pieces
    )
    spec = b"".join(_varint(number << 3) + _varint(value) for number, value in (trainer or {}).items())
    names = _field(1, b"identity") + normalizer
    return b"".join(_field(1, row) for row in rows) + _field(2, spec) + _field(3, names)


def _field(number: int, content: bytes) -> bytes:
    """A field of bytes."""
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(number: int) -> bytes:
    encoded = b""
    while number > 127:
        encoded, number = encoded + bytes([number & 127 | 128]), number >> 7
    return encoded + bytes([number])


@dataclasses.dataclass
class Own:
    """A given vocabulary, and the text path that uses it."""

    given: given_vocabulary.Given
    processor: TextProcessor
    pieces: list[str]

    @classmethod
    def of(cls, content: bytes, folder: Path, counted: list[str] = LINES, **changes) -> Own:
        file = folder / "given"
        file.write_bytes(content)
        given = given_vocabulary.read(str(file))
        text = tf.constant([normalize(line) for line in counted])
        words = pretokenize(
            replaced(text, given.segmentation), given.segmentation, TextSettings(**changes)
        ).values
        text_settings = TextSettings(**changes)
        counts = collections.Counter(w.decode() for w in words.numpy().tolist())
        vocabulary = given.vocabulary(counts, text_settings)
        paths = folder / "vocabulary", folder / "merges"
        for path, lines in zip(paths, (vocabulary.vocabulary_file(), vocabulary.merges_file()), strict=True):
            path.write_bytes(lines)
        processor = TextProcessor(text_settings, *map(str, paths), given.segmentation)
        return cls(given, processor, processor.pieces())

    @functools.cached_property
    def tokenize(self) -> tf.types.experimental.PolymorphicFunction:
        """The tokenization as a graph."""
        return tf.function(self.processor.tokenize, input_signature=[tf.TensorSpec([None], tf.string)])

    def tokens(self, texts: list[str], *, traced: bool = True) -> list[list[str]]:
        """The tokens of each text. Tracing takes two seconds and pays for long texts or many calls."""
        tokenize = self.tokenize if traced else self.processor.tokenize
        ids = tokenize(tf.constant(texts, tf.string)).to_list()
        return [[self.pieces[i] for i in row] for row in ids]

    def round_trip(self, texts: list[str]) -> list[str]:
        ids = self.processor.tokenize(tf.constant(texts, tf.string)).to_tensor()
        return [text.decode() for text in self.processor.detokenize(ids).numpy().tolist()]


def library_tokens(content: bytes, text: str) -> list[str]:
    processor = sentencepiece.SentencePieceProcessor(model_proto=content)
    return [str(piece) for piece in processor.encode(normalize(text), out_type=str)]


def without_bytes(tokens: list[str], known: set[str]) -> list[str]:
    """Tokens with `?` for each run of bytes or of tokens that are not known."""
    result: list[str] = []
    for token in tokens:
        unknown = re.fullmatch("<0x..>", token) or token not in known
        if not (unknown and result[-1:] == ["?"]):
            result.append("?" if unknown else token)
    return result
