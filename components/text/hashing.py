"""Hashes of sentences and pairs that are equal for texts that the model cannot tell apart."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

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


def near_hashes(texts: pa.Array) -> Hashes:
    """A hash of each text without case, punctuation and blanks. A text of punctuation only keeps it.

    Texts with equal keys (`normalization.split_key`) have equal hashes.

    Args:
      texts: string[N] without nulls.

    Returns:
      uint64[N].
    """
    folded = pa.array(normalization.split_keys(texts), pa.string())
    letters = pc.replace_substring_regex(folded, pattern=r"[^\pL\pM\pN]+", replacement="")
    keys = pc.if_else(pc.equal(letters, ""), folded, letters).to_pylist()
    return _numbers(b"".join(hashlib.blake2b(key.encode(), digest_size=8).digest() for key in keys))


def joined(first: Hashes, second: Hashes) -> Hashes:
    """A hash of each pair of hashes; the order of a pair counts: uint64[N]."""
    return mixed(first, 1) ^ mixed(second, 2)


def mixed(hashes: Hashes, seed: int) -> Hashes:
    """Other hashes for each seed: the output function of SplitMix64 (Steele et al. 2014, OOPSLA)."""
    mixed = hashes + np.uint64(seed * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def _numbers(digests: bytes) -> Hashes:
    return np.frombuffer(digests, ">u8").astype(np.uint64)
