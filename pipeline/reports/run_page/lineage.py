"""The section "Lineage": from the files through the nodes to the pushed version, as a graph."""

from __future__ import annotations

from collections.abc import Iterator

from bitext.components.artifacts import PushedModel
from bitext.components.artifacts.page import Block, Column, Details, Graph, GraphNode, Section, Table, Text
from bitext.components.shared.display import path_text
from bitext.pipeline.records import Execution, StoredArtifact, pushed_folder
from bitext.pipeline.reports.run_page.record import RunRecord
from bitext.pipeline.reports.run_page.top import tone

SHOWN_FILES = 8
"""The most files that are nodes of the graph. More are one node."""
_SHOWN_DIGEST = 12


def section(record: RunRecord) -> Section:
    """Returns the section."""
    if not record.nodes:
        text = Text(text="The run executed no node.")
        return Section(id="lineage", title="Lineage", blocks=(text,))
    drawing = _Drawing(record)
    graph = drawing.graph()
    tables: list[Block] = [
        Details(summary=table.title, blocks=(table,)) for table in (_files(record), _artifacts(record))
    ]
    return Section(id="lineage", title="Lineage", blocks=(graph, *tables))


class _Drawing:
    """Draws the graph of a run.

    Args:
      record: the record of the run.
    """

    def __init__(self, record: RunRecord):
        self._record, self._makers = record, record.makers()
        self._nodes: list[GraphNode] = []
        self._edges: dict[tuple[str, str], None] = {}
        self._node_of = {
            artifact.id: name
            for name, execution in record.nodes.items()
            for artifact in execution.all_outputs()
        }

    def graph(self) -> Graph:
        """Returns the graph."""
        files: list[GraphNode] = []
        earlier: dict[str, GraphNode] = {}
        executions: list[GraphNode] = []
        for name, execution in self._record.nodes.items():
            files += self._files_of(name)
            for key, artifact in self._inputs_of(name):
                source = self._node_of.get(artifact.id)
                if source is None:
                    node = self._earlier(key, artifact)
                    earlier[node.id], source = node, node.id
                if source != name:
                    self._edges[source, name] = None
            state = self._record.state_of(execution)
            executions.append(
                GraphNode(id=name, label=name, role="execution", detail=state, tone=tone(execution.state))
            )
        versions = list(self._version())
        nodes = (*files, *earlier.values(), *executions, *versions)
        inputs = "1 input leads" if len(files) == 1 else f"{len(files)} inputs lead"
        end = f" It ends in {versions[0].label}." if versions else " Nothing was pushed."
        return Graph(
            title="What was made from what",
            nodes=nodes,
            edges=tuple(self._edges),
            alternative=f"{inputs} through {', '.join(self._record.nodes)}.{end}",
        )

    def _own_executions(self, name: str) -> list[Execution]:
        """The executions that made the outputs of a node, in this run or an earlier one."""
        execution = self._record.nodes[name]
        made = {
            maker.id: maker
            for artifact in execution.all_outputs()
            if (maker := self._makers.get(artifact.id)) is not None
        }
        return list(made.values()) or [execution]

    def _files_of(self, name: str) -> Iterator[GraphNode]:
        """Yields the nodes of the files that a node read, and draws their edges."""
        files = _file_digests(self._own_executions(name))
        if len(files) <= SHOWN_FILES:
            shown = [(path, f"SHA-256 {digest[:_SHOWN_DIGEST]}") for path, digest in files.items()]
        else:
            first, *_, last = sorted(files)
            shown = [(f"{len(files)} files", f"{path_text(first)} to {path_text(last)}")]
        for label, detail in shown:
            id_ = f"file {label}" if len(files) <= SHOWN_FILES else f"files of {name}"
            self._edges[id_, name] = None
            if id_ not in {node.id for node in self._nodes}:
                name_of_file = path_text(label.rstrip("/").rpartition("/")[2])
                node = GraphNode(id=id_, label=name_of_file, role="file", detail=detail)
                self._nodes.append(node)
                yield node

    def _inputs_of(self, name: str) -> Iterator[tuple[str, StoredArtifact]]:
        """Yields the inputs of a node with their keywords."""
        for execution in self._own_executions(name):
            for key, artifacts in execution.inputs.items():
                for artifact in artifacts:
                    yield key, artifact

    def _earlier(self, key: str, artifact: StoredArtifact) -> GraphNode:
        """The node of an artifact of an earlier run."""
        maker = self._makers.get(artifact.id)
        run = f"run {maker.run_id}" if maker else "an earlier run"
        return GraphNode(
            id=f"{key} of {run}", label=key.replace("_", " "), role="artifact", detail=f"from {run}"
        )

    def _version(self) -> Iterator[GraphNode]:
        for name, execution in self._record.nodes.items():
            for artifact in execution.all_outputs():
                folder = None
                if artifact.type == PushedModel.TYPE_NAME:
                    folder = pushed_folder(artifact, self._record.config.serving)
                if folder is not None:
                    id_ = f"version {folder.name}"
                    self._edges[name, id_] = None
                    label = f"{folder.parent.name} version {folder.name}"
                    yield GraphNode(id=id_, label=label, role="version", detail=str(folder), tone="good")


def _file_digests(executions: list[Execution]) -> dict[str, str]:
    """The files that executions read, with their digests."""
    return {
        path: str(digest)
        for execution in executions
        for path, digest in execution.key_values().get("file", {}).items()
    }


def _files(record: RunRecord) -> Table:
    drawing = _Drawing(record)
    rows = [
        (path_text(path), digest, name)
        for name in record.nodes
        for path, digest in _file_digests(drawing._own_executions(name)).items()
    ]
    columns = (Column(title="file", content="place"), Column(title="SHA-256"), Column(title="read by"))
    return Table(title=f"Files: {len(rows)}", columns=columns, rows=tuple(rows))


def _artifacts(record: RunRecord) -> Table:
    makers = record.makers()
    rows = []
    for name, execution in record.nodes.items():
        for key, artifacts in execution.outputs.items():
            for artifact in artifacts:
                maker = makers.get(artifact.id)
                state = "present" if artifact.exists else "removed"
                rows.append((name, key, maker.run_id if maker else "", artifact.uri, artifact.digest, state))
    columns = (
        Column(title="node"),
        Column(title="output"),
        Column(title="made by run", content="run"),
        Column(title="folder", content="place"),
        Column(title="SHA-256"),
        Column(title="state"),
    )
    return Table(title=f"Outputs: {len(rows)}", columns=columns, rows=tuple(rows))
