"""Assigns rows to splits, and finds duplicates.

The split of a row depends on the key of its source alone: all translations of a source are in one split, and
a source stays in its split when the corpus grows.
"""

from __future__ import annotations

import hashlib
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bitext.components.example_gen.rows import Ints, to_ints
from bitext.components.text import normalization


def source_hashes(sources: pa.Array) -> npt.NDArray[np.uint64]:
    """A hash of each source's key; see `normalization.split_key`.

    Neither the function nor its salt may change: a sentence that is held out must stay held out. (Unicode
    guarantees the same for NFKC and case folding of assigned characters.)

    Args:
      sources: string[N].

    Returns:
      uint64[N].
    """
    encoded = sources.dictionary_encode()
    digests = b"".join(
        hashlib.blake2b(key.encode(), digest_size=8, person=b"bitext-split-1").digest()
        for key in normalization.split_keys(encoded.dictionary)
    )
    return np.frombuffer(digests, ">u8").astype(np.uint64)[to_ints(encoded.indices)]


def assign_splits(
    hashes: npt.NDArray[np.uint64], eval_share: float, test_share: float
) -> npt.NDArray[np.int8]:
    """The split of each row.

    The lowest hashes are test and the highest are eval, so that a change of one share moves no sentence
    between the other two splits.

    Args:
      hashes: uint64[N], from `source_hashes`.
      eval_share: share of sources in the eval split.
      test_share: share of sources in the test split.

    Returns:
      int8[N], index in (train, eval, test).
    """
    unit = hashes.astype(np.float64) / 2.0**64
    return np.where(unit < test_share, 2, np.where(unit >= 1.0 - eval_share, 1, 0)).astype(np.int8)


def first_of_duplicates(source: pa.Array, target: pa.Array) -> Ints:
    """Indices, ascending, of the first row with each pair of normalized source and target: int64[M].

    Args:
      source: string[N].
      target: string[N].
    """
    codes = [_codes_of_texts(side) for side in (source, target)]
    pair = codes[0] * (int(codes[1].max(initial=0)) + 1) + codes[1]
    return cast(Ints, np.sort(np.unique(pair, return_index=True)[1]).astype(np.int64))


def _codes_of_texts(texts: pa.Array) -> Ints:
    """A number for each text of string[N], equal for texts that are equal after normalization: int64[N]."""
    encoded = texts.dictionary_encode()
    normalized = normalization.normalize_array(encoded.dictionary).dictionary_encode()
    return to_ints(normalized.indices.take(encoded.indices))
