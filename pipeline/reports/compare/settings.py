"""What differs between two runs before any data is read: configuration, files, code and libraries."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
import yaml

from bitext.pipeline.layout import Layout
from bitext.pipeline.records import History, State
from bitext.pipeline.reports.passes import Pass

Kind = Literal["configuration", "file", "code", "library"]
_DIGESTED_PARTS: dict[str, Kind] = {"file": "file", "source": "code", "library": "library"}
"""The kinds of differences, by the kind of a cache key's part."""
_DIGESTED: tuple[Kind, ...] = ("file", "code", "library")
"""The kinds that are compared by digest or version."""
DIFFERS, NEW, GONE = "content differs", "only here", "–"


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A value that differs between two runs.

    Attributes:
      kind: what it is a part of. `file` and `code` are compared by content.
      name: the key of the configuration, the path, the module, or the library.
      first: its value in the first run, as JSON; `–`: it has none.
      second: its value in the second run.
    """

    kind: Kind
    name: str
    first: str
    second: str


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the outputs of a run depend on.

    Attributes:
      configuration: the values of the configuration by key: `trainer.steps`; None: not on record.
      parameters: the parameters of the nodes, as they are part of the cache keys: `Trainer.steps`.
      digests: of each node by kind, digests or versions by name.
    """

    configuration: dict[str, Any] | None
    parameters: dict[str, Any]
    digests: dict[str, dict[Kind, dict[str, str]]]

    def of_kind(self, kind: Kind, nodes: Iterable[str]) -> dict[str, str]:
        """The digests or versions of a kind that some nodes depend on."""
        return {name: value for node in nodes for name, value in self.digests[node][kind].items()}


def settings_of(one: Pass, history: History, layout: Layout) -> Settings:
    """Reads what the outputs of a pass depend on.

    Raises:
      DataError: the metadata store is damaged.
    """
    makers = {
        artifact.id: execution
        for execution in reversed(history)
        if execution.state == State.COMPLETE and execution.cache_key_parts
        for artifact in execution.all_outputs()
    }
    parameters: dict[str, Any] = {}
    digests: dict[str, dict[Kind, dict[str, str]]] = {}
    for execution in {e.node: e for e in one.executions}.values():  # the last of each node
        made = {m.id: m for a in execution.all_outputs() if (m := makers.get(a.id)) is not None}
        keys = [maker.key_values() for maker in (made.values() or [execution])]
        of_parts = [_flat(key.get("parameter", {}), f"{execution.node}.") for key in keys]
        parameters |= {  # parts of a corpus differ in the files that they read
            name: value for name, value in of_parts[0].items() if all(p.get(name) == value for p in of_parts)
        }
        of_node = digests[execution.node] = {kind: {} for kind in _DIGESTED}
        for key in keys:
            for part, kind in _DIGESTED_PARTS.items():
                of_node[kind] |= {name: str(value) for name, value in key.get(part, {}).items()}
            of_node["library"] |= {f"Python {n}": str(v) for n, v in key.get("python", {}).items()}
    return Settings(configuration=_whole(layout, one), parameters=parameters, digests=digests)


def _whole(layout: Layout, one: Pass) -> dict[str, Any] | None:
    """The configuration of a pass that was recorded beside its log; None: it was not, or is removed."""
    try:
        values = yaml.safe_load(layout.config_file(one.last.run_id).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    return _flat(values) if isinstance(values, dict) else None


def changes(first: Settings, second: Settings) -> list[Change]:
    """Returns what differs: the configuration first, then files, code and libraries.

    Files, code and libraries are those of the nodes that both runs have: a run that stopped early has fewer.
    So are the parameters, which are compared if a configuration is not on record.
    """
    nodes = [node for node in first.digests if node in second.digests]
    before, after = first.configuration, second.configuration
    if before is None or after is None:
        before, after = (
            {name: value for name, value in side.parameters.items() if _node(name) in nodes}
            for side in (first, second)
        )
    found = [
        Change(kind="configuration", name=name, first=_text(before, name), second=_text(after, name))
        for name in _differing(before, after)
    ]
    for kind in _DIGESTED:
        earlier, later = first.of_kind(kind, nodes), second.of_kind(kind, nodes)
        is_content = kind != "library"
        for name in _differing(earlier, later):
            is_both = name in earlier and name in later
            sides = [
                GONE if name not in side else side[name] if not is_content else DIFFERS if is_both else NEW
                for side in (earlier, later)
            ]
            found.append(Change(kind=kind, name=name, first=sides[0], second=sides[1]))
    return found


def _node(name: str) -> str:
    return name.partition(".")[0]


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    names = [*before, *(name for name in after if name not in before)]
    return [n for n in names if (n in before) != (n in after) or before.get(n) != after.get(n)]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values of nested sections by their keys, joined by dots."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _text(values: Mapping[str, Any], name: str) -> str:
    return json.dumps(values[name], ensure_ascii=False, default=str) if name in values else GONE
