"""MkDocs hooks: the pages of the reference are generated from the code at each build."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from mkdocs.structure.files import File, Files

from docs.tools import reference


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages."""
    for name, render in reference.PAGES.items():
        files.append(File.generated(config, f"reference/{name}.md", content=render()))
    return files
