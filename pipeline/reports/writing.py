"""Writes a page and opens it in the browser."""

from __future__ import annotations

import os
import webbrowser
from pathlib import Path

import msgspec

from bitext.components import pages
from bitext.components.artifacts.page import Block, Details, Table
from bitext.components.shared.errors import ConfigError, EnvironmentFault
from bitext.pipeline.layout import Layout
from bitext.pipeline.streams import print_message


def write_page(page: pages.Page, file: Path, layout: Layout, open_it: bool = False) -> None:
    """Writes a page. Where it names runs, it links to those that have a page in the same folder.

    Args:
      page: the page.
      file: the HTML file. Its folder is made if it does not exist.
      layout: the folders of the root, which keep the scripts of pages.
      open_it: whether it is opened in the browser.

    Raises:
      ConfigError: the file is a folder.
      EnvironmentFault: it cannot be written.
    """
    if file.is_dir():
        raise ConfigError(f"--output {file} is a folder", "name a file in it")
    try:
        pages.write(_linked(page, file.absolute().parent), file, assets=layout.assets)
    except OSError as error:
        raise EnvironmentFault(
            f"the page {file} cannot be written: {error.strerror or error}",
            "free space, or name a file elsewhere with --output",
        ) from error
    if open_it:
        open_page(file)


def _linked(page: pages.Page, folder: Path) -> pages.Page:
    """A page that links to those runs alone that have a page in the folder."""
    runs = frozenset(path.stem for path in folder.glob("*.html"))

    def linked(block: Block) -> Block:
        if isinstance(block, Details):
            return msgspec.structs.replace(block, blocks=tuple(map(linked, block.blocks)))
        if not isinstance(block, Table):
            return block
        columns = (
            msgspec.structs.replace(column, linked=runs) if column.content == "run" else column
            for column in block.columns
        )
        return msgspec.structs.replace(block, columns=tuple(columns))

    sections = (
        msgspec.structs.replace(section, blocks=tuple(map(linked, section.blocks)))
        for section in page.sections
    )
    lead = tuple(map(linked, page.lead))
    return msgspec.structs.replace(page, lead=lead, sections=tuple(sections))


def open_page(path: Path) -> None:
    """Opens a file in a web browser, or prints that none can be opened.

    Without a display, `webbrowser` would start a browser for terminals.
    """
    has_display = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))
    if not (has_display and webbrowser.open(path.absolute().as_uri())):
        print_message("no web browser can be opened here: open the file on a machine with a display")
