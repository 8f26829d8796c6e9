"""Nodes, and where their inputs come from: outputs of this run, or artifacts of earlier runs.

If nothing is new, every source chooses the same artifacts as in the run before, so that all nodes are
cached. For example, a model is not compared with itself, and a training does not begin with its own result,
although that was blessed since.
"""

from __future__ import annotations

import abc
import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from bitext.components.component import Component, Parameters
from bitext.components.pusher.serving import newest_version, withdrawn
from bitext.components.shared import storage
from bitext.pipeline.cache_keys import KeyParts, key_parts
from bitext.pipeline.records import (
    Artifacts,
    Execution,
    History,
    State,
    StoredArtifact,
    blesses,
    newest_usable,
    pushed_artifact,
)

Resolved = tuple[StoredArtifact, ...]
"""The artifacts of one input; empty: the input is absent."""


class Inputs:
    """Resolves the inputs of one node.

    Args:
      node: the node.
      executions: the executions of this run so far, by node.
      history: see `History`.
    """

    def __init__(self, node: Node, executions: Mapping[str, Execution], history: History):
        self.node, self.executions, self.history = node, executions, history
        self._resolved: Artifacts = {}

    def __getitem__(self, key: str) -> Resolved:
        """The artifacts of an input, which is resolved on first use."""
        if key not in self._resolved:
            self._resolved[key] = self.node.inputs[key].resolve(self)
        return self._resolved[key]

    def all(self) -> Artifacts:
        """The artifacts of every input."""
        return {key: self[key] for key in self.node.inputs}

    def key_of(self, source: Source) -> str:
        """The keyword of the input that has this source."""
        return next(key for key, value in self.node.inputs.items() if value is source)

    def key_parts_without(self, excluded: str) -> KeyParts:
        """The parts of the node's cache key, without one input."""
        others = {key: self[key] for key in self.node.inputs if key != excluded}
        return key_parts(self.node.component, self.node.parameters, others)


class Source(abc.ABC):
    """Where an input comes from."""

    @abc.abstractmethod
    def resolve(self, inputs: Inputs) -> Resolved:
        """Returns the artifacts that the input has in this run.

        Args:
          inputs: the other inputs of the node, the executions of this run and the history.
        """


@dataclasses.dataclass(frozen=True)
class Output(Source):
    """The output `key` of the node named `node` in this run."""

    node: str
    key: str

    def resolve(self, inputs: Inputs) -> Resolved:
        return inputs.executions[self.node].outputs[self.key]


@dataclasses.dataclass(frozen=True)
class Outputs(Source):
    """The outputs of several nodes in this run, one after another, as one list input."""

    outputs: tuple[Output, ...]

    def resolve(self, inputs: Inputs) -> Resolved:
        return tuple(itertools.chain.from_iterable(output.resolve(inputs) for output in self.outputs))


@dataclasses.dataclass(frozen=True)
class Node:
    """A component in the pipeline, with its parameters and the source of each input.

    Attributes:
      component: the component.
      parameters: its parameters.
      inputs: the source of each input by keyword.
      purpose: what an additional node of the component is for: `forward_teacher`; empty: it is the only one,
        or the main one.
    """

    component: Component[Any]
    parameters: Parameters
    inputs: Mapping[str, Source] = dataclasses.field(default_factory=dict)
    purpose: str = ""

    @property
    def name(self) -> str:
        """The node's name, its component's: `Trainer`; with a purpose, `Trainer.forward_teacher`.

        Folders, records and options have it, as they have the id of a node in TFX.
        """
        return f"{self.component.name}.{self.purpose}" if self.purpose else self.component.name

    def __getitem__(self, key: str) -> Output:
        """A reference to the output `key`."""
        if key not in self.component.outputs:
            raise KeyError(f"{self.name} has no output {key!r}; it has {', '.join(self.component.outputs)}")
        return Output(self.name, key)


@dataclasses.dataclass(frozen=True)
class ServedModel(Source):
    """The model that `serving` now serves, unless it is the model of the input `other_than`."""

    serving: str
    other_than: str

    def resolve(self, inputs: Inputs) -> Resolved:
        [model] = inputs[self.other_than]
        return served_model(inputs.history, self.serving, other_than=model.digest)


@dataclasses.dataclass(frozen=True)
class BaseModel(Source):
    """The model that a training begins with.

    If a training with this cache key is on record, its base model is used again. A new training begins with
    the model that `serving` now serves. Every `from_scratch_every`th training begins without a base model,
    whether the trainings before it were blessed or not. 0: none does, once a model is served.
    """

    serving: str
    from_scratch_every: int = 0

    def resolve(self, inputs: Inputs) -> Resolved:
        key = inputs.key_of(self)
        others = inputs.key_parts_without(key)
        trainings = [e for e in inputs.history if e.node == inputs.node.name and e.state == State.COMPLETE]
        for execution in trainings:
            base = execution.inputs.get(key, ())
            digest = base[0].digest if base else None
            expected = others | {"input": others["input"] | {key: digest}}
            if execution.key_values() == expected and not execution.missing_outputs():
                return base
        of_runs = [execution for execution in trainings if not execution.part]  # not those of `bitext tune`
        warm = list(itertools.takewhile(lambda execution: execution.inputs.get(key), of_runs))
        if 0 < self.from_scratch_every <= len(warm) + 1 and of_runs:
            return ()
        return served_model(inputs.history, self.serving)


@dataclasses.dataclass(frozen=True)
class PreviousOutput(Source):
    """The output `key` of `node` in the newest run that blessed a model and had a different output.

    The output is different if its artifacts differ from those of the input `other_than`.
    """

    node: str
    key: str
    other_than: str

    def resolve(self, inputs: Inputs) -> Resolved:
        blessed_runs = {execution.run_id for execution in inputs.history if blesses(execution)}
        present = {artifact.digest for artifact in inputs[self.other_than]}
        for execution in inputs.history:
            if execution.node != self.node or execution.part or execution.run_id not in blessed_runs:
                continue
            outputs = execution.outputs.get(self.key, ())
            is_usable = bool(outputs) and all(artifact.exists for artifact in outputs)
            if is_usable and {artifact.digest for artifact in outputs} != present:
                return outputs
        return ()


@dataclasses.dataclass(frozen=True)
class NewestOutput(Source):
    """The output `key` of the newest execution of the node itself in any earlier run."""

    key: str

    def resolve(self, inputs: Inputs) -> Resolved:
        newest = newest_usable(inputs.history, inputs.node.name)
        return newest.outputs.get(self.key, ()) if newest else ()


def served_model(history: History, serving: str, other_than: str = "") -> Resolved:
    """Returns the model that the newest version in the serving folder is a copy of.

    If the records do not have that model, it is the model pushed last; if none was ever pushed, the model
    blessed last. A model that a rollback withdrew is left out.

    Args:
      history: see `History`.
      serving: the serving folder.
      other_than: the digest of a model to skip; empty: no model is skipped.
    """
    metadata = newest_version(storage.path(serving)).metadata()
    served = pushed_with(history, metadata.digest) if metadata else ()
    pushed, blessed = _models_of(history, pushed_artifact), _models_of(history, blesses)
    excluded = {other_than, *_withdrawn_models(history, serving)}
    models = (model for model in itertools.chain(served, pushed, blessed) if model.digest not in excluded)
    return tuple(itertools.islice(models, 1))


def _withdrawn_models(history: History, serving: str) -> Iterator[str]:
    """Yields the digests of the models that a rollback withdrew."""
    withdrawals = withdrawn(storage.path(serving))
    for execution in history if withdrawals else ():
        pushed = pushed_artifact(execution)
        if pushed is not None and pushed.properties.get("digest") in withdrawals:
            yield from (model.digest for model in execution.inputs.get("model", ()))


def pushed_with(history: History, digest: str) -> Resolved:
    """Returns the model that was pushed with this digest, if its folder exists.

    Args:
      history: see `History`.
      digest: the digest of its SavedModel, as in the served version's metadata.
    """
    for execution in history:
        pushed = pushed_artifact(execution)
        if pushed is None or pushed.properties.get("digest") != digest:
            continue
        if models := tuple(model for model in execution.inputs.get("model", ()) if model.exists):
            return models
    return ()


def _models_of(history: History, matches: Callable[[Execution], object]) -> Iterator[StoredArtifact]:
    """Yields the input models of the complete executions that match, newest first."""
    for execution in history:
        if execution.state == State.COMPLETE and matches(execution):
            yield from (model for model in execution.inputs.get("model", ()) if model.exists)
