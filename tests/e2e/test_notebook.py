"""The notebook in examples/ draws the artifacts of a finished run, without network."""

from __future__ import annotations

from typing import Any

import nbclient
import nbformat
import pytest

from tests.e2e.conftest import Finished
from tests.e2e.toy import REPOSITORY
from tests.examples.test_notebook import NOTEBOOK

NO_NETWORK = """\
import socket

connect = socket.socket.connect


def local_only(self, address):
    if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in ("127.0.0.1", "::1"):
        raise OSError(f"the notebook tried to connect to {address}")
    return connect(self, address)


socket.socket.connect = local_only
"""
SVG = "image/svg+xml"


@pytest.mark.slow
def test_the_notebook_draws_a_run_without_network(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))
    monkeypatch.setenv("BITEXT_FOLDER", str(finished.folder))
    monkeypatch.setenv("BITEXT_CONFIG", "toy.yaml")
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.insert(0, nbformat.v4.new_code_cell(NO_NETWORK))
    client = nbclient.NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": NOTEBOOK.parent}}
    )
    client.execute()  # raises an error of a cell
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    drawn = [output["data"] for output in outputs if SVG in output.get("data", {})]
    assert len(drawn) == 7  # two of statistics, two of scores, training, lineage, alignments
    for data in drawn:
        assert data[SVG].startswith("<svg")
        assert set(data) <= {SVG, "text/plain"}  # nothing that a browser would load from elsewhere
        assert "<script" not in data[SVG]
    assert any("Evaluator" in data[SVG] and "Pusher" in data[SVG] for data in drawn)
    assert "&lt;/s&gt;" in drawn[-1][SVG]
    printed = "".join(output.get("text", "") for output in outputs)
    assert "source_characters" in printed
