"""BulkInferrer: translates a large file through Beam. It is no node of the pipeline: `bitext translate
--beam-runner` calls `executor.translate_file`, its one public function.

The input is cut into shards, each what `bitext translate` reads at once, so that the lines of a batch, and
with them the result, are the same to the last byte. A shard's translations become a file of their own by one
rename; when all are there they are joined, in order, into the output. Beside it lies, until then::

    .<output name>.bulk/<key>/000000     the translations of the first shard, complete
    .<output name>.bulk/<key>/input      the input, decompressed, where it is compressed

The key is a digest of the input, the model and the search: after a kill the same command translates the
shards that are missing, and none of another input or model is ever taken. All paths must be visible to the
workers by the same names: in a shared folder, where they are other machines.
"""

from __future__ import annotations

WORTHWHILE_BYTES = 1024 * 1024
"""Up to this size a file is translated without Beam: there would be little to share out, or to lose."""
