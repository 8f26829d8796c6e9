"""The two runs of a comparison with what is on record of them."""

from __future__ import annotations

import dataclasses
import re
import shlex
from pathlib import Path
from typing import TypeVar

from bitext.components.artifacts import (
    Artifact,
    Metrics,
    Model,
    ModelEvaluation,
    ModelRun,
    TransformGraph,
)
from bitext.components.reporter.evaluation.summary import sets_of
from bitext.components.shared import distributions
from bitext.components.shared.distributions import Distribution
from bitext.components.shared.errors import ConfigError
from bitext.pipeline.completion import complete_interrupted
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.layout import Layout
from bitext.pipeline.records import History, StoredArtifact
from bitext.pipeline.reports import contents
from bitext.pipeline.reports.history.entries import Entry
from bitext.pipeline.reports.history.reading import distributions_of, entries, training_statistics
from bitext.pipeline.reports.passes import Pass
from bitext.pipeline.reports.selection import choose
from bitext.pipeline.store import Store
from bitext.pipeline.store import exists as store_exists

A = TypeVar("A", bound=Artifact)


@dataclasses.dataclass(frozen=True)
class Side:
    """One of the runs.

    Attributes:
      config: the configuration of its pipeline.
      one: its pass.
      entry: what is on record of it.
      history: see `History`.
      name: what it is called on the page: its id, and its pipeline if the pipelines differ.
    """

    config: PipelineConfig
    one: Pass
    entry: Entry
    history: History
    name: str

    @property
    def layout(self) -> Layout:
        """The folders of its root."""
        return Layout.of(self.config)

    def newest(self, kind: type[A]) -> StoredArtifact | None:
        """The record of its artifact of a kind; None: it has none."""
        found = self.one.outputs(kind.TYPE_NAME)
        return found[-1][1] if found else None

    def artifact(self, kind: type[A]) -> A | None:
        """Its artifact of a kind; None: it has none, or `bitext gc` removed it."""
        record = self.newest(kind)
        return kind(record.path, dict(record.properties)) if record is not None and record.exists else None

    def metrics(self) -> dict[str, Metrics]:
        """The scores of each set; empty: there are none, or they cannot be read."""
        evaluation = self.artifact(ModelEvaluation)
        metrics = contents.readable(evaluation.metrics) if evaluation else None
        return sets_of(metrics) if metrics else {}

    def statistics(self) -> dict[str, Distribution]:
        """The distributions of the features of its training examples; empty: they cannot be read."""
        parts = [distributions_of(artifact) for artifact in training_statistics(self.one)]
        known = [part for part in parts if part is not None]
        return distributions.pooled(known) if len(known) == len(parts) else {}

    def model_figures(self) -> dict[str, float]:
        """Whole numbers on record of its vocabulary and model."""
        records = [r for r in (self.newest(TransformGraph), self.newest(Model)) if r is not None]
        return {
            name.replace("_", " "): value
            for record in records
            for name, value in record.properties.items()
            if isinstance(value, int)
        }

    def training_figures(self) -> dict[str, float]:
        """Other numbers on record of its training."""
        model = self.newest(Model)
        properties = model.properties.items() if model is not None else ()
        found = {name.replace("_", " "): value for name, value in properties if isinstance(value, float)}
        if (run := self.artifact(ModelRun)) is not None and (validations := contents.readable(run.history)):
            found |= {"updates": float(validations[-1].step), "minutes": validations[-1].minutes}
        return found


def sides(
    names: tuple[str, str], configs: tuple[PipelineConfig, PipelineConfig], other: str = ""
) -> tuple[Side, Side]:
    """Returns the two runs.

    Args:
      names: what the user calls them (see `selection.choose`).
      configs: the configuration of the pipeline of each.
      other: the configuration file of the second, for messages; empty: that of the first.

    Raises:
      ConfigError: there is no such run, several, or both are the same.
      DataError, EnvironmentFault: the metadata store is damaged or cannot be read.
    """
    first = _side(names[0], configs[0], configs)
    try:
        second = _side(names[1], configs[1], configs)
    except ConfigError as error:
        if other:
            error.remedy = re.sub(r" CONFIG\b", lambda _: f" {shlex.quote(other)}", error.remedy)
        raise
    if first.one.last.run_id == second.one.last.run_id and first.config.root == second.config.root:
        raise ConfigError(
            f"{names[0]} and {names[1]} are both run {first.one.last.run_id}", "name two different runs"
        )
    return first, second


def _side(name: str, config: PipelineConfig, configs: tuple[PipelineConfig, PipelineConfig]) -> Side:
    root = Path(config.work_folder)
    if not store_exists(config.metadata, root):
        choose(name, [], [], config.name)  # raises: there is no run yet
    complete_interrupted(config)
    store = Store(config.metadata, root, config.name)
    history = store.executions()
    one = choose(name, store.runs(), history, config.name)
    is_other = configs[0].name != configs[1].name
    shown = f"{config.name} {one.last.run_id}" if is_other else one.last.run_id
    return Side(config, one, entries([one])[0], history, shown)
