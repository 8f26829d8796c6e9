"""The text path as a graph: normalize, tokenize, detokenize, in core TensorFlow ops, whatever the batch.

Pretokens are found by regular expression; byte-pair encoding (Sennrich et al. 2016) then runs on integers,
for all distinct pretokens of a batch at once.
"""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import tensorflow as tf

from bitext.components.artifacts import SideFiles, TransformGraph
from bitext.components.text import BOS_ID, EOS_ID, KEY_FACTOR, PAD_ID, UNK_ID, WORD_BOUNDARY, TextSettings

UNKNOWN_WORD = "\u2047"
# Separators, controls, zero-width space, byte order mark. Joiners stay: Persian and emoji need them.
_SPACES = "[\\p{Z}\\p{Cc}\u200b\ufeff]+"
# Letters (with apostrophes inside), digits, or anything else; each with the word boundary before it, if any.
_PRETOKEN = (
    "\u2581?[\\p{L}\\p{M}]+(?:['\u2019][\\p{L}\\p{M}]+)*|\u2581?\\p{N}+|\u2581?[^\u2581\\p{L}\\p{M}\\p{N}]+"
)
# Longer pretokens are cut into pieces of so many characters, which bounds the work.
LONGEST_PRETOKEN = 32
_CUT = f"[^ ]{{{LONGEST_PRETOKEN}}}"
_FIRST_BYTE_ID = 4
_NO_MERGE = 2**31 - 1


def normalize(text: tf.Tensor, settings: TextSettings) -> tf.Tensor:
    """Valid UTF-8 with single spaces, none at the ends, and no control characters.

    Args:
      text: string[B], any bytes. What is not UTF-8 becomes U+FFFD.
      settings: whether to lower-case.

    Returns:
      string[B]. Normalising it again changes nothing.
    """
    text = _tidy(text)
    return tf.strings.lower(text, encoding="utf-8") if settings.lowercase else text


def pretokenize(text: tf.Tensor) -> tf.RaggedTensor:
    """Normalised text string[B] to pretokens string[B, None]; spaces have become U+2581.

    The first has one before it too, so joining the pretokens and taking that one off restores the text.
    """
    marked = tf.strings.regex_replace(text, " ", WORD_BOUNDARY)
    marked = tf.where(tf.equal(marked, ""), marked, WORD_BOUNDARY + marked)
    marked = tf.strings.regex_replace(marked, _PRETOKEN, "\\0 ")
    return tf.strings.split(tf.strings.regex_replace(marked, _CUT, "\\0 "))


class _VocabularyFile(tf.lookup.TextFileInitializer):
    """A table's content, in a file.

    TensorFlow names a table by the path of its file, and shares tables of one name within a process. Named by
    the content instead, no folder of this machine is in what is exported: it is the same bytes each time.
    """

    @property
    def _shared_name(self) -> str:
        name = super()._shared_name
        path = self._filename_arg
        if tf.is_tensor(path):
            if not hasattr(path, "numpy"):
                return name  # a placeholder, while the graph is only analysed
            path = path.numpy().decode()
        digest = hashlib.sha256(tf.io.gfile.GFile(path, "rb").read()).hexdigest()
        return name.replace(str(self._filename_arg), digest[:16])


class TextProcessor(tf.Module):
    """One language's text path.

    Its tables track their files as assets, so a module that holds a TextProcessor exports them.
    """

    def __init__(self, settings: TextSettings, vocabulary: str | tf.Tensor, merges: str | tf.Tensor):
        """Args: the settings, and the paths of the two vocabulary files (see `text.learn`)."""
        super().__init__(name="text_processor")
        self._settings = settings
        line, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
        to_id = _VocabularyFile(vocabulary, tf.string, line, tf.int64, number)
        to_piece = _VocabularyFile(vocabulary, tf.int64, number, tf.string, line)
        to_merged = _VocabularyFile(merges, tf.int64, 0, tf.int64, 1, delimiter="\t")
        self._ids = tf.lookup.StaticHashTable(to_id, UNK_ID)
        self._pieces = tf.lookup.StaticHashTable(to_piece, "")
        self._merges = tf.lookup.StaticHashTable(to_merged, _NO_MERGE)

    def size(self) -> int:
        """How many ids there are. Eager only."""
        return int(self._ids.size())

    def normalize(self, text: tf.Tensor) -> tf.Tensor:
        """See the function `normalize`."""
        return normalize(text, self._settings)

    def tokenize(self, text: tf.Tensor) -> tf.RaggedTensor:
        """Text string[B] to ids int32[B, None], without `<s>` or `</s>`."""
        pretokens = pretokenize(self.normalize(text))
        if self._settings.unit == "word":
            return pretokens.with_values(tf.cast(self._ids.lookup(pretokens.values), tf.int32))
        distinct, where = tf.unique(pretokens.values)
        spelt = self._spell(distinct)
        tokens = spelt if self._settings.unit == "character" else self._merge(spelt)
        return pretokens.with_values(tf.gather(tokens, where)).merge_dims(1, 2)

    @property
    def words(self) -> bool:
        """Whether tokens are words, of which some are unknown."""
        return self._settings.unit == "word"

    def pieces(self) -> list[str]:
        """The vocabulary, by id. Eager only."""
        ids, pieces = self._pieces.export()
        by_id = sorted(zip(ids.numpy().tolist(), pieces.numpy().tolist(), strict=True))
        return [piece.decode() for _, piece in by_id]

    def detokenize(self, ids: tf.Tensor, unknown: tf.Tensor | None = None) -> tf.Tensor:
        """Ids to text.

        Args:
          ids: int32[B, T]. `<pad>` and `<s>` are skipped; the first `</s>` and all after it are dropped.
          unknown: string[B, T], pretokens to take the place of unknown words; empty where there is none.

        Returns:
          string[B], normalized but for letter case. An unknown word with nothing in its place reads U+2047.
        """
        ended = tf.cumsum(tf.cast(tf.equal(ids, EOS_ID), tf.int32), axis=1) > 0
        dropped = ended | tf.equal(ids, PAD_ID) | tf.equal(ids, BOS_ID)
        pieces = self._pieces.lookup(tf.cast(ids, tf.int64))
        stranger = tf.fill(tf.shape(ids), WORD_BOUNDARY + UNKNOWN_WORD)
        if unknown is not None:
            stranger = tf.where(tf.equal(unknown, ""), stranger, unknown)
        pieces = tf.where(tf.equal(ids, UNK_ID), stranger, pieces)
        if self._settings.unit != "word":
            byte = ids - _FIRST_BYTE_ID
            single = tf.gather(tf.constant([bytes([b]) for b in range(256)]), tf.clip_by_value(byte, 0, 255))
            pieces = tf.where((byte >= 0) & (byte < 256), single, pieces)
        joined = tf.strings.reduce_join(tf.where(dropped, "", pieces), axis=1)
        return _tidy(tf.strings.regex_replace(_valid(joined), WORD_BOUNDARY, " "))

    def _spell(self, words: tf.Tensor) -> tf.RaggedTensor:
        """Words string[N] to ids int32[N, None] of their characters; unknown ones as their UTF-8 bytes."""
        characters = tf.strings.unicode_split(words, "UTF-8")
        flat = characters.values
        ids = tf.cast(self._ids.lookup(flat), tf.int32)
        unknown = tf.equal(ids, UNK_ID)
        octets = tf.io.decode_raw(tf.strings.reduce_join(tf.boolean_mask(flat, unknown)), tf.uint8)
        lengths = tf.where(unknown, tf.strings.length(flat), 1)
        # Every id repeated as often as it has symbols, and the unknown ones replaced by the bytes, in order.
        spread, is_byte = tf.repeat(ids, lengths), tf.repeat(unknown, lengths)
        spread = tf.tensor_scatter_nd_update(
            spread, tf.where(is_byte), tf.cast(octets, tf.int32) + _FIRST_BYTE_ID
        )
        ends = tf.concat([[0], tf.cumsum(tf.cast(lengths, tf.int64))], axis=0)
        return tf.RaggedTensor.from_row_splits(spread, tf.gather(ends, characters.row_splits), validate=False)

    def _merge(self, spelt: tf.RaggedTensor) -> tf.RaggedTensor:
        """Byte-pair encoding of words spelt int32[N, None]: int32[N, None].

        In each word the pair that was learnt first is joined, the leftmost of equals, until none is known.
        Ids are in the order of learning, so it is the pair with the smallest merged id.
        """
        words = spelt.to_tensor(default_value=-1)
        # A column on the right that never holds a symbol: every position has a right neighbour.
        words = tf.pad(words, [[0, 0], [0, 1]], constant_values=-1)
        joins = self._joins(words[:, :-1], words[:, 1:])
        joins = tf.pad(joins, [[0, 0], [0, 1]], constant_values=_NO_MERGE)
        rows = tf.range(tf.shape(words)[0])

        def more(rows: tf.Tensor, *_: tf.Tensor) -> tf.Tensor:
            return tf.size(rows) > 0

        def step(
            rows: tf.Tensor, words: tf.Tensor, joins: tf.Tensor, done: tf.Tensor
        ) -> tuple[tf.Tensor, ...]:
            best = tf.reduce_min(joins, axis=1)
            active = best < _NO_MERGE
            finished = tf.where(~active)[:, 0]
            done = tf.tensor_scatter_nd_update(
                done, tf.gather(rows, finished)[:, None], tf.gather(words, finished)
            )
            keep = tf.where(active)[:, 0]
            words, joins = self._join_one(
                tf.gather(words, keep), tf.gather(joins, keep), tf.gather(best, keep)
            )
            return tf.gather(rows, keep), words, joins, done

        shapes = [tf.TensorShape([None]), *[tf.TensorShape([None, None])] * 3]
        *_, done = tf.while_loop(more, step, [rows, words, joins, words], shape_invariants=shapes)
        lengths = tf.reduce_sum(tf.cast(done >= 0, tf.int64), axis=1)
        return tf.RaggedTensor.from_row_lengths(tf.boolean_mask(done, done >= 0), lengths, validate=False)

    def _join_one(self, words: tf.Tensor, joins: tf.Tensor, best: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Joins in each word the leftmost pair whose merged id is `best`.

        Args:
          words: int32[A, W], -1 after the end.
          joins: int32[A, W], merged id of each symbol and its right neighbour, or 2**31 - 1.
          best: int32[A], the smallest of each row of `joins`.

        Returns:
          The same two after the join: everything right of the pair has moved one to the left.
        """
        at = tf.argmax(tf.equal(joins, best[:, None]), axis=1, output_type=tf.int32)[:, None]
        column = tf.range(tf.shape(words)[1])[None, :]
        words = tf.where(column <= at, words, tf.pad(words[:, 1:], [[0, 0], [0, 1]], constant_values=-1))
        words = tf.where(tf.equal(column, at), best[:, None], words)
        joins = tf.where(
            column <= at, joins, tf.pad(joins[:, 1:], [[0, 0], [0, 1]], constant_values=_NO_MERGE)
        )
        before = tf.gather(words, tf.maximum(at - 1, 0), batch_dims=1)[:, 0]
        after = tf.gather(words, at + 1, batch_dims=1)[:, 0]
        left, right = self._joins(before, best), self._joins(best, after)
        joins = tf.where(tf.equal(column, at), right[:, None], joins)
        return words, tf.where(tf.equal(column, at - 1), left[:, None], joins)

    def _joins(self, left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
        """The merged id of each pair of neighbours, int32 of their shape; 2**31 - 1 where they do not."""
        keys = tf.cast(left, tf.int64) * KEY_FACTOR + tf.cast(right, tf.int64)
        return tf.cast(self._merges.lookup(keys), tf.int32)


def _valid(text: tf.Tensor) -> tf.Tensor:
    """Valid UTF-8: what is not becomes U+FFFD."""
    return tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")


def _tidy(text: tf.Tensor) -> tf.Tensor:
    """Valid UTF-8, single spaces, no controls, and U+2581, which is the word boundary's mark, as `_`."""
    text = tf.strings.regex_replace(_valid(text), _SPACES, " ")
    return tf.strings.strip(tf.strings.regex_replace(text, WORD_BOUNDARY, "_"))


@dataclasses.dataclass(frozen=True)
class TextPair:
    """Both sides' text paths: the same object when the vocabulary is shared.

    `source_max_length` is the most tokens of a source, `</s>` included.
    """

    source: TextProcessor
    target: TextProcessor
    shared: bool
    source_max_length: int


def load(transform_graph: Path) -> TextPair:
    """See `bitext.components.text.load`."""
    graph = TransformGraph(transform_graph)
    text = graph.text()

    def side(files: SideFiles) -> TextProcessor:
        vocabulary, merges = transform_graph / files.vocabulary, transform_graph / files.merges
        with graph.reporting_damage(vocabulary, tf.errors.OpError):
            return TextProcessor(text.settings, str(vocabulary), str(merges))

    source = side(text.source)
    target = source if text.shared else side(text.target)
    return TextPair(source, target, text.shared, text.source_max_length)
