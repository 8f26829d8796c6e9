"""The notebook in examples/: its code, and that it is stored without outputs. tests/e2e executes it."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from typing import Any

import nbformat

NOTEBOOK = Path(__file__).parents[2] / "examples" / "artifacts.ipynb"


def cells(kind: str) -> list[Any]:
    """Returns the cells of a kind."""
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == kind]


def test_its_code_is_python_whose_modules_exist() -> None:
    code = [ast.parse(cell.source) for cell in cells("code")]
    assert len(code) >= 10
    for node in (node for tree in code for node in ast.walk(tree)):
        if isinstance(node, ast.Import):
            assert all(importlib.util.find_spec(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert all(
                hasattr(module, alias.name) or importlib.util.find_spec(f"{node.module}.{alias.name}")
                for alias in node.names
            )


def test_its_code_needs_neither_tensorflow_nor_the_network() -> None:
    source = "\n".join(cell.source for cell in cells("code"))
    assert "http" not in source
    assert "tensorflow" not in source
    assert 'alt.renderers.enable("svg")' in source


def test_it_is_stored_without_outputs() -> None:
    for cell in cells("code"):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_it_says_how_to_use_the_functions_of_tfdv() -> None:
    text = "\n".join(cell.source for cell in cells("markdown"))
    for name in ("load_statistics", "visualize_statistics", "display_schema", "display_anomalies"):
        assert f"tfdv.{name}(" in text
