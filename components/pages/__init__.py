"""Renders a page (`components/artifacts/page.py`) as one HTML file that needs no network."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bitext.components.artifacts.page import Block, Section, Text


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page.

    Attributes:
      title: its title: `tatoeba`.
      sections: its sections, which the table of contents lists.
      subtitle: what it is about, beside the title: `run 20260131T120000Z-1a2b`.
      verdict: the result in a sentence, at the top; None: there is none.
      lead: the blocks between the verdict and the first section.
      links: related pages, as pairs of a title and a file in the same folder: `("history", "history.html")`.
      footer: a line at the end: the program that wrote the page, and when.
    """

    title: str
    sections: tuple[Section, ...]
    subtitle: str = ""
    verdict: Text | None = None
    lead: tuple[Block, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    footer: str = ""


def render(page: Page, *, assets: Path | None = None) -> str:
    """Returns a page as an HTML document that contains all that it needs.

    Args:
      page: the page.
      assets: a folder that keeps the JavaScript of Vega-Lite, which takes a second to build, from page to
        page; None: it is built for each page that has a chart.
    """
    from bitext.components.pages.html import render as render_html

    return render_html(page, assets)


def write(page: Page, path: Path, *, assets: Path | None = None) -> None:
    """Writes a page as an HTML file. The file appears complete or not at all.

    Args:
      page: the page.
      path: the file. Its folder is made if it does not exist.
      assets: see `render`.
    """
    from bitext.components.shared.files import atomic_writer

    document = render(page, assets=assets).encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_writer(path) as file:
        file.write(document)
