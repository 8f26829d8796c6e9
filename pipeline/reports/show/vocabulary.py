"""The report of `bitext show vocabulary`: the pieces of each side, and how often training has them."""

from __future__ import annotations

import collections
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bitext.components.artifacts import TRAIN_SPLIT, SideFiles, TransformedExamples, TransformGraph
from bitext.components.text import WORD_BOUNDARY
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.reports.show.outputs import outputs_of
from bitext.pipeline.reports.show.tables import shown, table
from bitext.schemas import scripts

Order = Literal["id", "longest", "rarest", "frequent"]
SPECIAL, BYTES = 4, 256
SHOWN_SCRIPTS = 8
Counts = npt.NDArray[np.int64]


def collect(
    config: PipelineConfig,
    run_id: str | None,
    side: Literal["source", "target"] | None,
    order: Order,
    text: str,
    limit: int | None,
) -> dict[str, Any]:
    """Returns the report as an object that JSON can hold.

    Args:
      config: the configuration.
      run_id: the run; None: the newest with a vocabulary.
      side: the side; None: both.
      order: the order of the pieces; `rarest` and `frequent` count them in the training examples.
      text: what a piece must contain; empty: anything.
      limit: the most pieces of a side; None: all.

    Returns:
      `run`, `unit` (subword, word or character), `shared`, and `sides`, each with `side`, `file`, `size`,
      `special` and `bytes` (numbers of pieces that stand for no text of their own), `scripts` {script:
      pieces}, `matching`, and `pieces`, each with `id`, `piece` and `count` (tokens in the training examples;
      null: not counted).

    Raises:
      ConfigError: there is no such run.
      DataError: no run has a vocabulary, or a file is damaged.
    """
    outputs = outputs_of(config, TransformGraph, run_id)
    graph = outputs.artifacts[-1]
    settings = graph.text()
    sides = {"source": settings.source, "target": settings.target}
    chosen = [side] if side else ["both"] if settings.shared else list(sides)
    counts: dict[str, Counts] = {}
    if order in ("rarest", "frequent"):
        examples = outputs_of(
            config, TransformedExamples, outputs.run.run_id, lambda execution: execution.node == "Transform"
        ).artifacts[-1]
        counts = _token_counts(examples, {name: files.size for name, files in sides.items()})
        if settings.shared:
            counts["both"] = counts["source"] + counts["target"]
    unit = settings.settings.unit
    reports = [
        _side(graph, name, sides.get(name, settings.source), unit, counts.get(name), order, text)
        for name in chosen
    ]
    return {
        "run": outputs.run.run_id,
        "unit": unit,
        "shared": settings.shared,
        "sides": [_limited(side, limit) for side in reports],
    }


def _limited(side: dict[str, Any], limit: int | None) -> dict[str, Any]:
    return side | {"pieces": side["pieces"][:limit]}


def read_pieces(graph: TransformGraph, files: SideFiles) -> list[str]:
    """Returns the piece of each id.

    Raises:
      DataError: the file is missing or damaged.
    """
    path = graph.path / files.vocabulary
    with graph.reporting_damage(path):
        return path.read_bytes().decode().removesuffix("\n").split("\n")


def _side(
    graph: TransformGraph,
    name: str,
    files: SideFiles,
    unit: str,
    counts: Counts | None,
    order: Order,
    text: str,
) -> dict[str, Any]:
    """Returns the part of the report about one side, with all pieces that contain the text."""
    pieces = read_pieces(graph, files)
    first = SPECIAL if unit == "word" else SPECIAL + BYTES
    by_script: collections.Counter[str] = collections.Counter()
    for piece in pieces[first:]:
        by_script[scripts.dominant_script([piece.replace(WORD_BOUNDARY, " ")])] += 1
    ids = [i for i in range(first if not text else 0, len(pieces)) if text in pieces[i]]
    if order == "longest":
        ids.sort(key=lambda i: -len(pieces[i]))
    elif counts is not None:
        ids.sort(key=lambda i: int(counts[i]) if order == "rarest" else -int(counts[i]))
    return {
        "side": name,
        "file": str(graph.path / files.vocabulary),
        "size": len(pieces),
        "special": SPECIAL,
        "bytes": first - SPECIAL,
        "scripts": dict(by_script.most_common()),
        "matching": len(ids),
        "pieces": [
            {"id": i, "piece": pieces[i], "count": None if counts is None else int(counts[i])} for i in ids
        ],
    }


def _token_counts(examples: TransformedExamples, sizes: dict[str, int]) -> dict[str, Counts]:
    """Returns how often the training examples have each id, by side.

    Raises:
      DataError: a file is missing or damaged.
    """
    from bitext.components.shared import tfrecord

    counts = {side: np.zeros(size, np.int64) for side, size in sizes.items()}
    for bucket in examples.buckets(TRAIN_SPLIT):
        for name in bucket.files:
            for batch in tfrecord.read_record_batches(examples.split(TRAIN_SPLIT) / name):
                for side, total in counts.items():
                    ids = batch.column(batch.schema.names.index(f"{side}_ids")).flatten()
                    total += np.bincount(ids.to_numpy(zero_copy_only=False), minlength=len(total))
    return counts


def render(report: dict[str, Any], order: Order, text: str) -> str:
    """Returns the report as text."""
    lines = [f"run {report['run']}  unit {report['unit']}"]
    titles = {"id": "in the order of the ids", "longest": "longest first"}
    titles |= {"rarest": "rarest in training first", "frequent": "most frequent in training first"}
    for side in report["sides"]:
        title = "both sides" if side["side"] == "both" else side["side"]
        kinds = f"{side['special']} special" + (f", {side['bytes']} bytes" if side["bytes"] else "")
        shown_scripts = list(side["scripts"].items())
        named = ", ".join(
            f"{'without letters' if name == scripts.NONE else name} {count:,}"
            for name, count in shown_scripts[:SHOWN_SCRIPTS]
        )
        others = sum(count for _, count in shown_scripts[SHOWN_SCRIPTS:])
        lines += ["", f"{title}: {side['size']:,} pieces in {side['file']}", f"    {kinds}, {named}"]
        lines[-1] += f", others {others:,}" if others else ""
        found = f"{side['matching']:,} pieces with {shown(text)}, " if text else ""
        lines += [f"    {found}{titles[order]}:"]
        is_counted = any(row["count"] is not None for row in side["pieces"])
        header = ["id", "piece", *(["tokens"] if is_counted else [])]
        rows = [
            [str(row["id"]), shown(row["piece"]), *([f"{row['count']:,}"] if is_counted else [])]
            for row in side["pieces"]
        ]
        lines += table(header, rows, right=(0, 2), indent="    ")
        rest = side["matching"] - len(rows)
        lines += [f"    {rest:,} more (--limit 0 shows all)"] if rest > 0 else []
    return "\n".join(lines)
