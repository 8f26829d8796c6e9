"""The text path as a graph: normalize, tokenize and detokenize in core TensorFlow ops.

A regular expression splits text into pretokens. Byte-pair encoding (`byte_pairs`) or the search of a given
unigram model (`unigram`) then runs on integers, for all distinct pretokens of a batch at once. The ids of a
text do not depend on the rest of its batch.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import tensorflow as tf

from bitext.components.artifacts import OF_LEARNED, Segmentation, SideFiles, TransformGraph
from bitext.components.text import (
    BOS_ID,
    EOS_ID,
    FIRST_BYTE_ID,
    KEY_FACTOR,
    PAD_ID,
    UNK_ID,
    WORD_BOUNDARY,
    TextSettings,
    byte_pairs,
    normalizer,
    pretokens,
    unigram,
    whole_tokens,
)

UNKNOWN_WORD = "\u2047"
_LOCAL_CAPITALS = (("İ", "i\u0307"), ("Ì", "ì"), ("Í", "í"), ("Ĩ", "ĩ"), ("Į", "į"))
"""What Turkish, Azeri and Lithuanian convert otherwise, and its small letter in all other languages."""


def normalize(text: tf.Tensor, settings: TextSettings) -> tf.Tensor:
    """Normalizes text as `normalization.normalize` does; with `lowercase`, to lower case.

    Args:
      text: string[B], any bytes. Bytes that are not UTF-8 become U+FFFD.
      settings: whether to fold quotation marks and to convert to lower case.

    Returns:
      string[B], valid UTF-8. Normalizing it again changes nothing.
    """
    text = normalizer.normalize(text, fold_quotes=settings.fold_quotes)
    if not settings.lowercase:
        return text
    # Some capital letters with marks have no composed form, but their small letters have one.
    return normalizer.normalize(lower(text), fold_quotes=settings.fold_quotes)


def lower(text: tf.Tensor) -> tf.Tensor:
    """Converts text string[B] to lower case, equally in every locale.

    TensorFlow lets the locale of the process (`LANG`) decide what becomes of I and J, with and without marks.
    These letters are therefore converted first.
    """
    text = tf.strings.lower(text)  # ASCII only, without a locale
    for capital, small in _LOCAL_CAPITALS:
        text = tf.strings.regex_replace(text, capital, small)
    return tf.strings.lower(text, encoding="utf-8")


class _VocabularyFile(tf.lookup.TextFileInitializer):
    """Initializes a lookup table from a file.

    TensorFlow names a table by the path of its file. This class uses the digest of the file's content, so
    that an exported graph contains no local path and is equal in every run.
    """

    @property
    def _shared_name(self) -> str:
        name = super()._shared_name
        path = self._filename_arg
        if tf.is_tensor(path):
            if not hasattr(path, "numpy"):
                return name  # a placeholder, while TensorFlow Transform analyzes the graph
            path = path.numpy().decode()
        digest = hashlib.sha256(tf.io.gfile.GFile(path, "rb").read()).hexdigest()
        return name.replace(str(self._filename_arg), digest[:16])


class TextProcessor(tf.Module):
    """The text path of one side.

    Its tables track their files as assets: a module that has a TextProcessor exports them.
    """

    def __init__(
        self,
        settings: TextSettings,
        vocabulary: str | tf.Tensor,
        merges: str | tf.Tensor,
        segmentation: Segmentation = OF_LEARNED,
    ):
        """Loads the tables.

        Args:
          settings: how text becomes tokens.
          vocabulary: path of the vocabulary file (see `text.learn`).
          merges: path of the merges file.
          segmentation: how text becomes words.
        """
        super().__init__(name="text_processor")
        self._settings = settings
        self._segmentation = segmentation
        line, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        to_id = _VocabularyFile(vocabulary, tf.string, line, tf.int64, number)
        to_piece = _VocabularyFile(vocabulary, tf.int64, number, tf.string, line)
        to_merged = _VocabularyFile(merges, tf.int64, 0, tf.int64, 1, delimiter="\t")
        self._ids = tf.lookup.StaticHashTable(to_id, UNK_ID)
        self._pieces = tf.lookup.StaticHashTable(to_piece, "")
        self._merges = tf.lookup.StaticHashTable(to_merged, byte_pairs.NO_MERGE)

    def size(self) -> int:
        """The number of ids. Eager mode only."""
        return int(self._ids.size())

    def normalize(self, text: tf.Tensor) -> tf.Tensor:
        """Normalizes text string[B]; see the function `normalize`."""
        return normalize(text, self._settings)

    def pretokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Splits normalized text string[B] into pretokens string[B, None]."""
        words = self._marked_pretokens(text)
        return words.with_values(whole_tokens.unmarked(words.values)) if self._keeps_whole else words

    def _marked_pretokens(self, text: tf.Tensor, follows: tf.Tensor | None = None) -> tf.RaggedTensor:
        text = pretokens.replaced(text, self._segmentation)
        return pretokens.pretokenize(text, self._segmentation, self._settings, follows)

    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Converts text string[B] to ids int32[B, None], without `<s>` and `</s>`."""
        return self.tokenize_normalized(self.normalize(text))

    def tokenize_normalized(self, text: tf.Tensor, follows: tf.Tensor | None = None) -> tf.RaggedTensor:
        """Converts normalized text string[B] to ids int32[B, None].

        Args:
          text: the texts.
          follows: bool[B], whether a space stands before each text; None: as at the start of a sentence.
        """
        words = self._marked_pretokens(text, follows)
        if self._settings.unit == "word":
            return words.with_values(self._word_ids(words.values))
        if self._segmentation.model == "unigram":
            return self._most_probable(words)
        distinct, indices = tf.unique(words.values)
        tokens = self._tokens_of(distinct) if self._keeps_whole else self._spelled(distinct)
        return words.with_values(tf.gather(tokens, indices)).merge_dims(1, 2)

    @property
    def characters(self) -> bool:
        """Whether tokens are characters."""
        return self._settings.unit == "character"

    @property
    def words(self) -> bool:
        """Whether tokens are words, so that some are unknown."""
        return self._settings.unit == "word"

    @property
    def mark(self) -> str:
        """Where the tokens have the mark of a word boundary."""
        return self._segmentation.mark

    @property
    def segmentation(self) -> Segmentation:
        """How text becomes words."""
        return self._segmentation

    def merged_ids(self) -> frozenset[int]:
        """The ids that byte-pair encoding makes of others, without texts that stay whole. Eager mode only."""
        keys, values = (each.numpy() for each in self._merges.export())
        whole = {text.replace(" ", WORD_BOUNDARY) for text in self._settings.whole_tokens}
        pieces = self.pieces()
        return frozenset(
            number for number in (values[keys >= 0] % KEY_FACTOR).tolist() if pieces[number] not in whole
        )

    def merge(self, symbols: tf.RaggedTensor, dropout: byte_pairs.Dropout | None = None) -> tf.RaggedTensor:
        """Applies byte-pair encoding to the symbols of words: int32[N, None] to int32[N, None]."""
        all_occurrences = self._segmentation.all_occurrences
        return byte_pairs.merge(
            symbols, self._merges.lookup, all_occurrences=all_occurrences, dropout=dropout
        )

    def pieces(self) -> list[str]:
        """The vocabulary: the piece of each id. Eager mode only."""
        ids, pieces = self._pieces.export()
        by_id = sorted(zip(ids.numpy().tolist(), pieces.numpy().tolist(), strict=True))
        return [piece.decode() for _, piece in by_id]

    def detokenize(self, ids: tf.Tensor, unknown: tf.Tensor | None = None) -> tf.Tensor:
        """Converts ids to text.

        Args:
          ids: int32[B, T]. `<pad>` and `<s>` are skipped. The first `</s>` and all ids after it are dropped.
          unknown: string[B, T], pretokens that replace unknown words; empty strings where there is none.

        Returns:
          string[B], normalized except for letter case. An unknown word without a replacement becomes U+2047.
        """
        ended = tf.cumsum(tf.cast(tf.equal(ids, EOS_ID), tf.int32), axis=1) > 0
        dropped = ended | tf.equal(ids, PAD_ID) | tf.equal(ids, BOS_ID)
        pieces = self._pieces.lookup(tf.cast(ids, tf.int64))
        replacements = tf.fill(tf.shape(ids), WORD_BOUNDARY + UNKNOWN_WORD)
        if unknown is not None:
            replacements = tf.where(tf.equal(unknown, ""), replacements, unknown)
        pieces = tf.where(tf.equal(ids, UNK_ID), replacements, pieces)
        if self._settings.unit != "word":
            byte = ids - FIRST_BYTE_ID
            single = tf.gather(tf.constant([bytes([b]) for b in range(256)]), tf.clip_by_value(byte, 0, 255))
            pieces = tf.where((byte >= 0) & (byte < 256), single, pieces)
        joined = tf.strings.reduce_join(tf.where(dropped, "", pieces), axis=1)
        joined = tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="replace")
        spaced = tf.strings.regex_replace(joined, WORD_BOUNDARY, " ")
        return normalizer.normalize(spaced, fold_quotes=self._settings.fold_quotes)

    def _spelled(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Converts words string[N] to ids int32[N, None] by their characters."""
        symbols = self._split_into_symbols(words)
        if self._settings.unit == "character":
            return symbols
        return self.merge(symbols)

    def _word_ids(self, words: tf.Tensor) -> tf.Tensor:
        """Looks up words string[N]. A whole token that is spelled like a special token is unknown."""
        ids = tf.cast(self._ids.lookup(whole_tokens.unmarked(words)), tf.int32)
        return tf.where(ids < FIRST_BYTE_ID, UNK_ID, ids) if self._keeps_whole else ids

    def _tokens_of(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Converts words string[N], some of which stay whole, to ids int32[N, None].

        A whole token that the vocabulary does not have is spelled in its characters, which do not merge.
        """
        whole, names = whole_tokens.is_whole(words), whole_tokens.unmarked(words)
        ids = tf.cast(self._ids.lookup(names), tf.int32)
        known = whole & (ids >= FIRST_BYTE_ID + 256)
        rows = [tf.cast(tf.where(kind)[:, 0], tf.int32) for kind in (~whole, known, whole & ~known)]
        tokens = [
            self._spelled(tf.gather(words, rows[0])),
            tf.RaggedTensor.from_tensor(tf.gather(ids, rows[1])[:, None], row_splits_dtype=tf.int64),
            self._split_into_symbols(tf.gather(names, rows[2])),
        ]
        return tf.gather(tf.concat(tokens, axis=0), tf.math.invert_permutation(tf.concat(rows, axis=0)))

    def _split_into_symbols(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Converts words string[N] to the ids int32[N, None] of their characters.

        A character that is not in the vocabulary becomes the ids of its UTF-8 bytes.
        """
        characters = tf.strings.unicode_split(words, "UTF-8")
        ids = tf.cast(self._ids.lookup(characters.values), tf.int32)
        spread, lengths = _with_bytes(ids, characters.values)
        ends = tf.concat([[0], tf.cumsum(tf.cast(lengths, tf.int64))], axis=0)
        return tf.RaggedTensor.from_row_splits(spread, tf.gather(ends, characters.row_splits), validate=False)

    def _most_probable(self, words: tf.RaggedTensor) -> tf.RaggedTensor:
        """Converts texts, string[B, None] words, to the most probable ids int32[B, None] (`unigram`)."""
        distinct, indices = tf.unique(words.values)
        names, known = whole_tokens.unmarked(distinct), tf.fill([tf.size(distinct)], -1)
        whole = whole_tokens.is_whole(distinct)
        if self._keeps_whole:
            ids = tf.cast(self._ids.lookup(names), tf.int32)
            known = tf.where(whole & (ids >= FIRST_BYTE_ID + 256), ids, known)
            names = tf.where(known >= 0, "-", names)
        codes = tf.strings.unicode_decode(names, "UTF-8")
        found = unigram.lattice(unigram.Words(codes, known, whole), self._merges.lookup, byte_pairs.NO_MERGE)
        index = codes.with_values(tf.range(tf.size(codes.values)))
        index = words.with_values(tf.gather(index, indices)).merge_dims(1, 2)
        tokens = unigram.best(found, index.values, tf.cast(index.row_lengths(), tf.int32))
        first = tf.gather(codes.values, tf.gather(index.values, tokens.starts))
        strings = tf.strings.unicode_encode(first[:, None], "UTF-8")
        spread, lengths = _with_bytes(tokens.ids, strings)
        rows = tf.gather(index.value_rowids(), tokens.starts)
        return tf.RaggedTensor.from_value_rowids(
            spread, tf.repeat(rows, lengths), nrows=words.nrows(), validate=False
        )

    @property
    def _keeps_whole(self) -> bool:
        """Whether some pretokens stay whole."""
        return self._settings.keeps_whole or bool(self._segmentation.symbols)


def _with_bytes(ids: tf.Tensor, characters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Replaces `<unk>` by the ids of the UTF-8 bytes of a character.

    Args:
      ids: int32[N].
      characters: string[N], the character of each id that is `<unk>`.

    Returns:
      int32[M], and int32[N], the number of ids that have come from each.
    """
    unknown = tf.equal(ids, UNK_ID)
    octets = tf.io.decode_raw(tf.strings.reduce_join(tf.boolean_mask(characters, unknown)), tf.uint8)
    lengths = tf.where(unknown, tf.strings.length(characters), 1)
    # Repeat every id once per byte, then replace those of unknown characters by their bytes, in order.
    spread, is_byte = tf.repeat(ids, lengths), tf.repeat(unknown, lengths)
    octets = tf.cast(octets, tf.int32) + FIRST_BYTE_ID
    return tf.tensor_scatter_nd_update(spread, tf.where(is_byte), octets), lengths


@dataclasses.dataclass(frozen=True)
class TextPair:
    """The text paths of both sides.

    Attributes:
      source, target: the text path of each side; the same object if the vocabulary is shared.
      shared: whether the vocabulary is shared.
      source_max_length: maximum number of tokens of a source, `</s>` included.
      source_language: the language of the source, ISO 639-1; empty: unknown.
    """

    source: TextProcessor
    target: TextProcessor
    shared: bool
    source_max_length: int
    source_language: str = ""


def load_text_pair(transform_graph: Path) -> TextPair:
    """Loads the text path of a transform graph.

    Args:
      transform_graph: the artifact's folder, or another with a copy of its text settings and vocabularies.

    Raises:
      DataError: the settings or a vocabulary file are missing or damaged.
    """
    graph = TransformGraph(transform_graph)
    text = graph.text()

    def side(files: SideFiles) -> TextProcessor:
        vocabulary, merges = transform_graph / files.vocabulary, transform_graph / files.merges
        with graph.reporting_damage(vocabulary, tf.errors.OpError):
            return TextProcessor(text.settings, str(vocabulary), str(merges), files.segmentation)

    source = side(text.source)
    target = source if text.shared else side(text.target)
    return TextPair(source, target, text.shared, text.source_max_length, text.source_language)
