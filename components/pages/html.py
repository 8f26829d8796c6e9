"""Fills the templates with a page's blocks."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2

from bitext.components.artifacts.page import Block, Chart, Details
from bitext.components.pages import assets as page_assets
from bitext.components.pages import text

if TYPE_CHECKING:
    from bitext.components.pages import Page


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=text.finalize,
    )
    environment.filters |= {
        "visible": text.visible,
        "script_json": text.script_json,
    }
    environment.globals |= {
        "cell_text": text.cell_text,
        "sort_value": text.sort_value,
        "is_run": text.is_run,
    }
    return environment


def blocks_of(blocks: Sequence[Block]) -> Iterator[Block]:
    """Yields blocks, and the blocks in their details."""
    for block in blocks:
        yield block
        if isinstance(block, Details):
            yield from blocks_of(block.blocks)


def render(page: Page, folder: Path | None) -> str:
    """Returns a page as an HTML document. See `components.pages.render`."""
    blocks = [*page.lead, *(block for section in page.sections for block in section.blocks)]
    has_charts = any(isinstance(block, Chart) for block in blocks_of(blocks))
    values: dict[str, Any] = {"page": page, "style": page_assets.asset("page.css")}
    del folder, has_charts
    return _environment().get_template("page.html").render(values)
