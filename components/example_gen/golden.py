"""GoldenGen's work: the golden test set as examples, so that ExampleGen removes its sources from training."""

from __future__ import annotations

import gzip
import json
from collections import Counter

import pyarrow as pa

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.example_gen import GOLDEN_SPLIT, Parameters
from bitext.components.example_gen.executor import rejected_rows
from bitext.components.example_gen.filters import filter_rows
from bitext.components.example_gen.sources import find, read
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError


def run(
    parameters: Parameters, context: Context, *, examples: artifacts.Examples, rejects: artifacts.Rejects
) -> None:
    """Writes `Split-golden`: every row that can be scored, in the order of the files, duplicates and all.

    Raises:
      DataError: a file is missing or damaged, or has no row that can be used.
    """
    blocks: list[pa.Table] = []
    refused = []
    rows = 0
    for file in find(parameters, {GOLDEN_SPLIT: parameters.golden}):
        for block in read(file, parameters):
            filtered = filter_rows(block, parameters, GOLDEN_SPLIT)
            rows += len(block.line)
            refused += rejected_rows(file, block, filtered)
            accepted = filtered.accepted()
            ids = [f"{file.label}:{line}" for line in block.line[accepted].tolist()]
            columns = [
                pa.array(ids, pa.string()),
                *(s.take(pa.array(accepted)) for s in (filtered.source, filtered.target)),
            ]
            blocks.append(pa.table(columns, ["id", "source", "target"]))
    if not sum(block.num_rows for block in blocks):
        raise DataError(
            f"the golden set has no row that can be used: {', '.join(parameters.golden.patterns())}",
            "correct example_gen.golden",
        )
    table = pa.concat_tables(blocks).combine_chunks()
    folder = examples.split(GOLDEN_SPLIT)
    folder.mkdir()
    found = {name: pa.concat_arrays(table.column(name).chunks) for name in table.column_names}
    tfrecord.write_examples(folder / "data_tfrecord-00000-of-00001.gz", found)
    with (
        (rejects.path / "rejects.jsonl.gz").open("wb") as raw,
        gzip.GzipFile("", "wb", 6, raw, mtime=0) as out,
    ):
        for row in refused:
            out.write(json.dumps(row, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")
    reasons = Counter(row["reason"] for row in refused)
    summary = {"rows": rows, "accepted": table.num_rows, "rejected": len(refused), "reasons": reasons}
    (rejects.path / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    examples.properties[GOLDEN_SPLIT] = table.num_rows
    context.say(f"{table.num_rows:,} pairs" + (f", {len(refused):,} rows rejected" if refused else ""))
