"""What Transform will leave out of training because of other spans and corpora, before it has run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from bitext.components.artifacts import Examples, Reject
from bitext.components.transform import WeightedParameters
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.graph import create_pipeline
from bitext.pipeline.records import Execution, State
from bitext.pipeline.reports import rejected
from bitext.pipeline.store import Store


def render(config: PipelineConfig, limit: int | None) -> str:
    """Returns the lines that Transform will print, and the pairs that rules leave out; empty: there are none.

    Args:
      config: the configuration; its newest run has read the corpora.
      limit: the most pairs shown of a rule; None: all.

    Raises:
      DataError: a file is damaged, or no training pair is left.
    """
    from bitext.components.transform import selection

    examples = _examples(Store(config.metadata, Path(config.work_folder), config.name).executions())
    [transform] = [node for node in create_pipeline(config).nodes if node.name == "Transform"]
    parameters = cast(WeightedParameters, transform.parameters)
    chosen = selection.select(parameters, examples) if examples else None
    if chosen is None:
        return ""
    lines = list(chosen.lines())
    counts: Counter[str] = Counter()
    shown: dict[str, list[Reject]] = {}
    for row in selection.rejected(chosen, examples):
        counts[row.reason] += 1
        if limit is None or counts[row.reason] <= limit:
            shown.setdefault(row.reason, []).append(row)
    for reason, count in counts.most_common():
        lines += ["", f"{reason}: {count:,} training pair{'s' * (count != 1)}"]
        lines += [f"    {rejected.on_one_line(row)}" for row in shown[reason]]
        if count > len(shown[reason]):
            lines.append(f"    and {count - len(shown[reason]):,} more (--limit 0 shows all)")
    return "\n".join(["Transform will choose the training pairs:", *lines]) if lines else ""


def _examples(history: Sequence[Execution]) -> tuple[Examples, ...]:
    """The examples of the newest complete execution of ExampleGen, in the order of its parts."""
    done = [
        execution
        for execution in history
        if execution.node == "ExampleGen"
        and not execution.part
        and execution.state in (State.COMPLETE, State.CACHED)
    ]
    newest = max(done, key=lambda execution: execution.id or 0, default=None)
    outputs = newest.outputs.get("examples", ()) if newest else ()
    return tuple(Examples(artifact.path, dict(artifact.properties)) for artifact in outputs)
