"""The identity of a tuning: two commands with the same one work on the same trials.

It covers what all trials share: the data, the settings that the space does not change, the source code and
the libraries, the space and the seed. The scores of trials that differ in any of them cannot be compared.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import msgspec

from bitext.components.trainer.sections import LAST_BLESSED
from bitext.pipeline.cache_keys import key_parts
from bitext.pipeline.config import PipelineConfig
from bitext.pipeline.graph import Pipeline
from bitext.pipeline.records import Artifacts, Execution, History
from bitext.pipeline.sources import Node, served_model
from bitext.pipeline.tuning.nodes import outputs_in
from bitext.pipeline.tuning.space import SECTIONS, Space


def id_of(
    config: PipelineConfig,
    pipeline: Pipeline,
    space: Space,
    seed: int,
    executions: Mapping[str, Execution],
    history: History,
) -> str:
    """Returns the identity of a tuning.

    Args:
      config: the configuration that it starts from.
      pipeline: its pipeline.
      space: what it varies.
      seed: the seed of the search.
      executions: the executions of the nodes before the first one that the space changes, by name.
      history: see `History`.
    """
    nodes = {node.name: node for node in pipeline.nodes}
    parts: dict[str, Any] = {"space": space.description(), "seed": seed}
    parts["augmentation"] = msgspec.to_builtins(config.augmentation)
    for section in SECTIONS:
        node = nodes[section.capitalize()]
        values = key_parts(node.component, node.parameters, _inputs(node, executions))
        keys = [key for key in space.keys if key.startswith(f"{section}.")]
        parts[section] = values | {"parameter": _without(values["parameter"], keys)}
    if config.trainer.warm_start.model == LAST_BLESSED:
        parts["base_model"] = [model.digest for model in served_model(history, config.serving)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _inputs(node: Node, executions: Mapping[str, Execution]) -> Artifacts:
    """The inputs of a node that nodes made which no trial executes."""
    found: Artifacts = {}
    for key, source in node.inputs.items():
        made = [each for each in outputs_in(source) if each.node in executions]
        if made:
            found[key] = tuple(a for each in made for a in executions[each.node].outputs[each.key])
    return found


def _without(parameters: Mapping[str, Any], keys: list[str]) -> dict[str, Any]:
    """The parameters of a node without those at some dotted keys, which begin with the section."""
    copy: dict[str, Any] = json.loads(json.dumps(parameters))
    for key in keys:
        *sections, last = key.split(".")[1:]
        section = copy
        for name in sections:
            section = section[name]
        section.pop(last, None)
    return copy
