"""Selects the nodes that run, and divides each node into work items."""

from __future__ import annotations

import dataclasses

from bitext.components.component import Parameters, Part
from bitext.components.shared.errors import ConfigError
from bitext.components.shared.suggestions import similar
from bitext.pipeline.cache_keys import KeyParts, key_of, key_parts
from bitext.pipeline.graph import Pipeline
from bitext.pipeline.records import Artifacts
from bitext.pipeline.sources import Node


@dataclasses.dataclass(frozen=True)
class Selection:
    """Which nodes run.

    Attributes:
      first: nodes before it are not run, and their newest outputs are used. None: the first node.
      last: nodes after it are not run. None: the last node.
      force: nodes that run even if they are cached.
      explain: print for every node why it is cached or not.
      force_bless: the reason why the model is blessed whatever its scores. None: the scores decide.
    """

    first: str | None = None
    last: str | None = None
    force: frozenset[str] = frozenset()
    explain: bool = False
    force_bless: str | None = None

    def named(self, pipeline: Pipeline) -> Selection:
        """Returns the selection with the nodes' names as the pipeline has them: `trainer` is `Trainer`.

        Letter case, hyphens and underscores do not matter. A name of no node stays as it is.
        """
        names = [node.name for node in pipeline.nodes]
        by_plain = {_plain(name): name for name in names}

        def name_of(given: str) -> str:
            return given if given in names else by_plain.get(_plain(given), given)

        return dataclasses.replace(
            self,
            first=self.first and name_of(self.first),
            last=self.last and name_of(self.last),
            force=frozenset(map(name_of, self.force)),
        )

    def nodes_of(self, pipeline: Pipeline) -> dict[str, bool]:
        """Returns the names of the nodes up to the last, and whether each may run.

        Raises:
          ConfigError: the selection names a node that does not exist, or is empty.
        """
        names = [node.name for node in pipeline.nodes]
        options = [("--from", self.first), ("--to", self.last), *(("--force", n) for n in sorted(self.force))]
        for option, name in options:
            if name is not None and name not in names:
                meant = similar(name, names)
                hint = f"did you mean {meant}? " if meant else ""
                raise ConfigError(
                    f"{option} {name}: there is no such node", f"{hint}the nodes are {', '.join(names)}"
                )
        first = names.index(self.first) if self.first else 0
        last = names.index(self.last) if self.last else len(names) - 1
        if first > last:
            raise ConfigError(
                f"--from {self.first} comes after --to {self.last}", f"the order is {', '.join(names)}"
            )
        for name in sorted(self.force):
            if not first <= names.index(name) <= last:
                raise ConfigError(
                    f"--force {name} is outside --from and --to", "widen the range or drop --force"
                )
        return {name: index >= first for index, name in enumerate(names[: last + 1])}

    def why_forced(self, node: Node) -> str:
        """Returns why a node runs even if it is cached; empty: it need not."""
        if node.name in self.force:
            return "--force names it"
        if node.component.obeys_force_bless and self.force_bless is not None:
            return "--force-bless is given"
        return ""


def _plain(name: str) -> str:
    return name.casefold().replace("_", "").replace("-", "")


@dataclasses.dataclass(frozen=True)
class WorkItem:
    """What one execution does: all the work of a node in a run, or one part of it.

    Attributes:
      node: the node.
      part: the name of the part; empty: the node's work is not divided.
      is_whole: whether it is all of the node's work.
      parameters: the node's parameters, or those of the part.
      inputs: its input artifacts.
      key_parts: the values that its cache key is the hash of.
      cache_key: the cache key.
    """

    node: Node
    part: str
    is_whole: bool
    parameters: Parameters
    inputs: Artifacts
    key_parts: KeyParts
    cache_key: str

    @property
    def recorded_part(self) -> str:
        """The part's name in the execution's record: empty if it is all of the node's work."""
        return "" if self.is_whole else self.part


def divide(node: Node, parts: list[Part], inputs: Artifacts) -> list[WorkItem]:
    """Divides a node into work items: one per part, or one per artifact of the input that it maps over.

    Args:
      node: the node.
      parts: the parts that its parameters give.
      inputs: its input artifacts.
    """
    component = node.component
    if component.map_over is None:
        return [_work_item(node, part, len(parts) == 1, inputs) for part in parts]
    artifacts = inputs[component.map_over]
    return [
        _work_item(
            node,
            Part(str(artifact.properties.get("part", "")), node.parameters),
            len(artifacts) == 1,
            inputs | {component.map_over: (artifact,)},
        )
        for artifact in artifacts
    ]


def _work_item(node: Node, part: Part, is_whole: bool, inputs: Artifacts) -> WorkItem:
    parts = key_parts(node.component, part.parameters, inputs)
    return WorkItem(node, part.name, is_whole, part.parameters, inputs, parts, key_of(parts))
