"""Sources of a split with all their translations, as scoring wants them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from components import tfrecord
from components.errors import DataError


@dataclasses.dataclass(frozen=True)
class References:
    """Distinct sources in the order of their first lines.

    Attributes:
      ids: the first id of each source.
      sources: the source sentences.
      references: every translation of each.
    """

    ids: list[str]
    sources: list[str]
    references: list[list[str]]

    def streams(self) -> list[list[str | None]]:
        """As sacreBLEU reads them: the n-th reference of every source, None where it has fewer."""
        most = max(map(len, self.references))
        return [[r[n] if n < len(r) else None for r in self.references] for n in range(most)]


def read(split: Path, most: int | None = None) -> References:
    """Reads a split of `id`, `source`, `target` examples, the first `most` distinct sources of it.

    Raises:
      DataError: the split holds no example.
    """
    batches = [b for path in sorted(split.glob("*.gz")) for b in tfrecord.read_record_batches(path)]
    if not sum(b.num_rows for b in batches):
        raise DataError(f"{split} holds no examples", "give ExampleGen more data, or a larger share to this split")
    table = pa.Table.from_batches(batches)
    columns = {name: _strings(table[name]) for name in ("id", "source", "target")}
    encoded = columns["source"].dictionary_encode()
    sources = encoded.dictionary.to_pylist()[:most]
    rows = pa.table({"source": encoded.indices, "id": columns["id"], "target": columns["target"]})
    rows = rows.filter(pc.less(rows["source"], len(sources)))
    ids: list[str] = [""] * len(sources)
    references: list[list[str]] = [[] for _ in sources]
    for index, identity, target in zip(*(rows[n].to_pylist() for n in ("source", "id", "target")), strict=True):
        ids[index] = ids[index] or identity
        references[index].append(target)
    return References(ids, sources, references)


def _strings(column: pa.ChunkedArray) -> pa.Array:
    """The column, one value a row, as string[N]."""
    array = pa.concat_arrays(column.chunks)
    values = array if pa.types.is_large_binary(array.type) else array.flatten()
    return values.cast(pa.large_string())
