"""BulkInferrer: translates a large file with Beam, for `bitext translate --beam-runner`.

It is not a node of the pipeline. `executor.translate_file` is its public function.

The input is divided into shards. A shard is a block of lines that `bitext translate` reads at once, so that
both form the same batches, and their outputs are equal byte for byte. The translations of a shard are written
to a file that appears by one rename. When all shards are translated, their files are joined, in order, into
the output. Until then, these files are beside the output::

    .<output name>.bulk/<key>/000000     the translations of the first shard, complete
    .<output name>.bulk/<key>/input      the decompressed input, if the input is compressed

The key is a digest of the input, the model and the search. After an interruption, the same command therefore
translates only the missing shards, and never uses shards of another input or model. All workers must see all
paths under the same names: if they are other machines, in a shared folder.
"""

from __future__ import annotations

WORTHWHILE_BYTES = 1024 * 1024
"""A smaller file is translated without Beam, because an interruption loses little work."""
