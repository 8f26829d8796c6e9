"""Hashes of sentences and pairs that are equal for texts that the model cannot tell apart."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from bitext.components.text import normalization

Hashes = npt.NDArray[np.uint64]


def source_hashes(sources: pa.Array) -> Hashes:
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
    return _numbers(digests)[encoded.indices.to_numpy(zero_copy_only=False)]


def pair_hashes(sources: pa.Array, targets: pa.Array) -> Hashes:
    """A hash of each pair of normalized texts. Two of ten million pairs collide with a probability of 3e-6.

    Args:
      sources, targets: string[N].

    Returns:
      uint64[N].
    """
    sides = (normalization.normalize_array(side).to_pylist() for side in (sources, targets))
    return _numbers(
        b"".join(
            hashlib.blake2b(f"{source}\t{target}".encode(), digest_size=8, person=b"bitext-pair-1").digest()
            for source, target in zip(*sides, strict=True)
        )
    )


def _numbers(digests: bytes) -> Hashes:
    return np.frombuffer(digests, ">u8").astype(np.uint64)
