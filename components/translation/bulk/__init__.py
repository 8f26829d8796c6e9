"""BulkInferrer: translates a large file with Beam, for `bitext translate --beam-runner`.

It is not a node of the pipeline. `executor.translate_file` is its public function.

The input is divided into shards. A shard is what `bitext translate` reads at once, so that both make the
same batches, and the outputs are equal byte for byte. The translations of a shard become a file by one
rename. When all shards are translated, their files are joined, in order, into the output. Until then, beside
the output::

    .<output name>.bulk/<key>/000000     the translations of the first shard, complete
    .<output name>.bulk/<key>/input      the decompressed input, if the input is compressed

The key is a digest of the input, the model and the search. After an interruption the same command therefore
translates the missing shards only, and never takes those of another input or model. All workers must see all
paths under the same names: in a shared folder, if they are other machines.
"""

from __future__ import annotations

WORTHWHILE_BYTES = 1024 * 1024
"""A smaller file is translated without Beam: an interruption loses little of it."""
