"""Chooses the number of shards of each split by the size of the source files."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bitext.components.example_gen import Parameters
from bitext.components.example_gen.formats import parts
from bitext.components.example_gen.formats.base import SourceFile
from bitext.components.shared import archives, reading

SHARD_BYTES = 1 << 28
"""Bytes of text of a shard: some 3 million sentence pairs."""
COMPRESSION = 4
"""A compressed file, and one in an archive, is taken for so many times as many bytes of text."""
MOST_SHARDS = 99_999


def with_number(
    parameters: Parameters, files: Sequence[SourceFile], say: Callable[[str], None]
) -> Parameters:
    """The parameters with a number in place of `shards: auto`. Prints it if it is not 1."""
    if parameters.shards != "auto":
        return parameters
    size = text_bytes(files)
    shards = min(MOST_SHARDS, max(1, -(-size // SHARD_BYTES)))
    if shards > 1:
        say(f"{shards:,} shards of each split, for about {size / 1e9:,.1f} GB of text")
    return msgspec.structs.replace(parameters, shards=shards)


def text_bytes(files: Sequence[SourceFile]) -> int:
    """The bytes of text in files; of compressed files, an estimate."""
    given = [path for file in files for path in (file.path, file.target_path) if path is not None]
    sizes = parts.sizes([archives.container(path) for path in given])
    plain = {path for path in given if not path.endswith(reading.ENDINGS)}
    return sum(size * (1 if path in plain else COMPRESSION) for path, size in sizes.items())
