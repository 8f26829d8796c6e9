"""The text path as a graph: normalize, tokenize and detokenize in core TensorFlow ops.

A regular expression splits text into pretokens. Byte-pair encoding (Sennrich et al. 2016) then runs on
integers, for all distinct pretokens of a batch at once. The ids of a text do not depend on the rest of its
batch.
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
    KEY_FACTOR,
    PAD_ID,
    UNK_ID,
    WORD_BOUNDARY,
    TextSettings,
    normalizer,
    pretokens,
    whole_tokens,
)

UNKNOWN_WORD = "\u2047"
_LOCAL_CAPITALS = (("İ", "i\u0307"), ("Ì", "ì"), ("Í", "í"), ("Ĩ", "ĩ"), ("Į", "į"))
"""What Turkish, Azeri and Lithuanian convert otherwise, and its small letter in all other languages."""
_FIRST_BYTE_ID = 4
_NO_MERGE = 2**63 - 1


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
        self._merges = tf.lookup.StaticHashTable(to_merged, _NO_MERGE)

    def size(self) -> int:
        """The number of ids. Eager mode only."""
        return int(self._ids.size())

    def normalize(self, text: tf.Tensor) -> tf.Tensor:
        """Normalizes text string[B]; see the function `normalize`."""
        return normalize(text, self._settings)

    def pretokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Splits normalized text string[B] into pretokens string[B, None]."""
        words = self._marked_pretokens(text)
        return words.with_values(whole_tokens.unmarked(words.values)) if self._settings.keeps_whole else words

    def _marked_pretokens(self, text: tf.Tensor) -> tf.RaggedTensor:
        text = pretokens.replaced(text, self._segmentation)
        return pretokens.pretokenize(text, self._segmentation, self._settings)

    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Converts text string[B] to ids int32[B, None], without `<s>` and `</s>`."""
        words = self._marked_pretokens(self.normalize(text))
        if self._settings.unit == "word":
            return words.with_values(self._word_ids(words.values))
        distinct, indices = tf.unique(words.values)
        tokens = self._tokens_of(distinct) if self._settings.keeps_whole else self._spelled(distinct)
        return words.with_values(tf.gather(tokens, indices)).merge_dims(1, 2)

    @property
    def characters(self) -> bool:
        """Whether tokens are characters."""
        return self._settings.unit == "character"

    @property
    def words(self) -> bool:
        """Whether tokens are words, so that some are unknown."""
        return self._settings.unit == "word"

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
            byte = ids - _FIRST_BYTE_ID
            single = tf.gather(tf.constant([bytes([b]) for b in range(256)]), tf.clip_by_value(byte, 0, 255))
            pieces = tf.where((byte >= 0) & (byte < 256), single, pieces)
        joined = tf.strings.reduce_join(tf.where(dropped, "", pieces), axis=1)
        joined = tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="replace")
        spaced = tf.strings.regex_replace(joined, WORD_BOUNDARY, " ")
        return normalizer.normalize(spaced, fold_quotes=self._settings.fold_quotes)

    def _spelled(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Converts words string[N] to ids int32[N, None] by their characters."""
        symbols = self._split_into_symbols(words)
        return symbols if self._settings.unit == "character" else self._merge(symbols)

    def _word_ids(self, words: tf.Tensor) -> tf.Tensor:
        """Looks up words string[N]. A whole token that is spelled like a special token is unknown."""
        ids = tf.cast(self._ids.lookup(whole_tokens.unmarked(words)), tf.int32)
        return tf.where(ids < _FIRST_BYTE_ID, UNK_ID, ids) if self._settings.keeps_whole else ids

    def _tokens_of(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Converts words string[N], some of which stay whole, to ids int32[N, None].

        A whole token that the vocabulary does not have is spelled in its characters, which do not merge.
        """
        whole, names = whole_tokens.is_whole(words), whole_tokens.unmarked(words)
        ids = tf.cast(self._ids.lookup(names), tf.int32)
        known = whole & (ids >= _FIRST_BYTE_ID + 256)
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
        flat = characters.values
        ids = tf.cast(self._ids.lookup(flat), tf.int32)
        unknown = tf.equal(ids, UNK_ID)
        octets = tf.io.decode_raw(tf.strings.reduce_join(tf.boolean_mask(flat, unknown)), tf.uint8)
        lengths = tf.where(unknown, tf.strings.length(flat), 1)
        # Repeat every id once per symbol, then replace those of unknown characters by their bytes, in order.
        spread, is_byte = tf.repeat(ids, lengths), tf.repeat(unknown, lengths)
        spread = tf.tensor_scatter_nd_update(
            spread, tf.where(is_byte), tf.cast(octets, tf.int32) + _FIRST_BYTE_ID
        )
        ends = tf.concat([[0], tf.cumsum(tf.cast(lengths, tf.int64))], axis=0)
        return tf.RaggedTensor.from_row_splits(spread, tf.gather(ends, characters.row_splits), validate=False)

    def _merge(self, symbols: tf.RaggedTensor) -> tf.RaggedTensor:
        """Applies byte-pair encoding to the symbols of words: int32[N, None] to int32[N, None].

        In each word, the pair that was learned first is merged (of equal pairs, the leftmost), until no pair
        can be merged. This is the pair with the smallest value in the merges file (`text.learn`).
        """
        words = symbols.to_tensor(default_value=-1)
        # A padding column on the right, so that every position has a right neighbor.
        words = tf.pad(words, [[0, 0], [0, 1]], constant_values=-1)
        joins = self._joins(words[:, :-1], words[:, 1:])
        joins = tf.pad(joins, [[0, 0], [0, 1]], constant_values=_NO_MERGE)
        rows = tf.range(tf.shape(words)[0])

        def more(rows: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
            return tf.size(rows) > 0

        def step(
            rows: tf.Tensor, words: tf.Tensor, joins: tf.Tensor, last: tf.Tensor, done: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            best = tf.reduce_min(joins, axis=1)
            if self._segmentation.all_occurrences:
                best = tf.where(tf.reduce_any(tf.equal(joins, last[:, None]), axis=1), last, best)
            active = best < _NO_MERGE
            finished = tf.where(~active)[:, 0]
            done = tf.tensor_scatter_nd_update(
                done, tf.gather(rows, finished)[:, None], tf.gather(words, finished)
            )
            keep = tf.where(active)[:, 0]
            last = tf.gather(best, keep)
            words, joins = self._join_one(tf.gather(words, keep), tf.gather(joins, keep), last)
            return tf.gather(rows, keep), words, joins, last, done

        row, matrix = tf.TensorShape([None]), tf.TensorShape([None, None])
        shapes = [row, matrix, matrix, row, matrix]
        state = [rows, words, joins, tf.fill([tf.size(rows)], tf.constant(-1, tf.int64)), words]
        *_, done = tf.while_loop(more, step, state, shape_invariants=shapes)
        lengths = tf.reduce_sum(tf.cast(done >= 0, tf.int64), axis=1)
        return tf.RaggedTensor.from_row_lengths(tf.boolean_mask(done, done >= 0), lengths, validate=False)

    def _join_one(self, words: tf.Tensor, joins: tf.Tensor, best: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Merges in each word the leftmost pair whose value in the merges file is `best`.

        Args:
          words: int32[A, W], -1 after the end.
          joins: int64[A, W], the value of each symbol and its right neighbor; 2**63 - 1 if they do not merge.
          best: int64[A], a value in each row of `joins`.

        Returns:
          `words` and `joins` after the merge: all symbols right of the pair have moved left by one.
        """
        position = tf.argmax(tf.equal(joins, best[:, None]), axis=1, output_type=tf.int32)[:, None]
        column = tf.range(tf.shape(words)[1])[None, :]
        words = tf.where(
            column <= position, words, tf.pad(words[:, 1:], [[0, 0], [0, 1]], constant_values=-1)
        )
        merged = tf.cast(best % KEY_FACTOR, tf.int32)
        words = tf.where(tf.equal(column, position), merged[:, None], words)
        joins = tf.where(
            column <= position, joins, tf.pad(joins[:, 1:], [[0, 0], [0, 1]], constant_values=_NO_MERGE)
        )
        before = tf.gather(words, tf.maximum(position - 1, 0), batch_dims=1)[:, 0]
        after = tf.gather(words, position + 1, batch_dims=1)[:, 0]
        left, right = self._joins(before, merged), self._joins(merged, after)
        joins = tf.where(tf.equal(column, position), right[:, None], joins)
        return words, tf.where(tf.equal(column, position - 1), left[:, None], joins)

    def _joins(self, left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        """The value of each pair, int64 of their shape; 2**63 - 1 if a pair does not merge."""
        keys = tf.cast(left, tf.int64) * KEY_FACTOR + tf.cast(right, tf.int64)
        return self._merges.lookup(keys)


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
