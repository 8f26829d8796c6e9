"""Adds altered copies of training pairs: in capitals, and without the final punctuation.

A corpus of edited text has few sentences in capitals and few without a full stop, so that a model translates
such input badly. The copies are made before tokenization, so that the vocabulary is learned from them too.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.transform import Augmentation

SEED = 1
"""The random numbers of a batch are drawn with this and the id of its first example."""
_FULL_STOPS = "[.。．।۔።։]+$"
_QUESTION_OR_EXCLAMATION = "[?!？！؟՞]+$"
Side: TypeAlias = pa.Array
"""large_string[N], source or target."""


def augment(batch: pa.RecordBatch, settings: Augmentation, tags: Iterable[str] = ()) -> pa.RecordBatch:
    """Returns a batch with altered copies of random rows after its own rows.

    A copy whose source equals that of its row is left out: a script may have no capitals.

    Args:
      batch: columns `id`, `source` and `target`, lists of one UTF-8 string, and others; at least one row.
      settings: the share of the rows that each alteration copies.
      tags: the tags of corpora. The copy of a source keeps the tag before it as it is.
    """
    first_id = _texts(batch.slice(0, 1), "id")[0].as_py()
    random = np.random.default_rng((SEED, zlib.crc32(first_id.encode())))
    batches = [batch]
    alterations = ((settings.upper_case, _in_capitals), (settings.no_final_mark, _without_final_mark))
    for share, alter in alterations:
        rows = np.flatnonzero(random.random(batch.num_rows) < share)
        copies = batch.take(pa.array(rows))
        source, target = (_texts(copies, side) for side in ("source", "target"))
        new_source, new_target = alter(source, target)
        for tag in tags:
            is_tagged = pc.starts_with(source, f"{tag} ")
            new_source = pc.if_else(
                is_tagged, pc.utf8_replace_slice(new_source, 0, len(tag), tag), new_source
            )
        changed = pc.and_(pc.not_equal(new_source, source), pc.not_equal(new_source, ""))
        changed = pc.and_(changed, pc.not_equal(new_target, ""))
        copies = _with_texts(_with_texts(copies, "source", new_source), "target", new_target)
        batches.append(copies.filter(changed))
    table = pa.Table.from_batches(batches)
    columns = [pa.concat_arrays(column.chunks) for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _in_capitals(source: Side, target: Side) -> tuple[Side, Side]:
    """Both sides in capitals; the capital of `ß` is `SS`."""
    upper = [pc.utf8_upper(pc.replace_substring(side, "ß", "ss")) for side in (source, target)]
    return upper[0], upper[1]


def _without_final_mark(source: Side, target: Side) -> tuple[Side, Side]:
    """The source without its final mark.

    A full stop is removed from the target too, if both sides have one. A target keeps its question mark or
    exclamation mark: the model learns to add it.
    """
    both_stop = pc.and_(
        pc.match_substring_regex(source, _FULL_STOPS), pc.match_substring_regex(target, _FULL_STOPS)
    )
    is_question = pc.match_substring_regex(source, _QUESTION_OR_EXCLAMATION)
    marks = f"({_FULL_STOPS}|{_QUESTION_OR_EXCLAMATION})"
    unmarked = pc.utf8_rtrim_whitespace(pc.replace_substring_regex(source, marks, ""))
    unstopped = pc.utf8_rtrim_whitespace(pc.replace_substring_regex(target, _FULL_STOPS, ""))
    return (
        pc.if_else(pc.or_(both_stop, is_question), unmarked, source),
        pc.if_else(both_stop, unstopped, target),
    )


def _texts(batch: pa.RecordBatch, side: str) -> Side:
    """The strings of a column of lists of one string."""
    return batch.column(batch.schema.get_field_index(side)).flatten().cast(pa.large_string())


def _with_texts(batch: pa.RecordBatch, side: str, texts: Side) -> pa.RecordBatch:
    """Replaces the strings of a column of lists of one string."""
    index = batch.schema.get_field_index(side)
    kind = batch.schema.field(index).type
    offsets = pa.array(np.arange(batch.num_rows + 1))
    lists = pa.LargeListArray.from_arrays(offsets, texts.cast(kind.value_type)).cast(kind)
    columns = [*batch.columns]
    columns[index] = lists
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)
