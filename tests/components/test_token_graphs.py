"""The graphs for other runtimes, before a converter reads them."""

from __future__ import annotations

from pathlib import Path

from bitext.components.seq2seq.export import token_graphs
from tests.components.test_quantize import make


def test_the_graphs_have_no_operation_that_runtimes_lack(tmp_path: Path) -> None:
    for graph in token_graphs.token_graphs(make(tmp_path / "text", attention="additive")):
        functions = graph.definition.library.function
        operations = {n.op for n in graph.definition.node} | {n.op for f in functions for n in f.node_def}
        assert "MatMul" in operations
        assert not operations & {"EnsureShape", "Assert", "MatrixDiagV3", "PartitionedCall", "VarHandleOp"}
        assert not set(graph.inputs) & set(graph.outputs)
