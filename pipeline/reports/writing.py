"""Writes a page and opens it in the browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path

from bitext.components import pages
from bitext.components.pages import Page
from bitext.components.shared.errors import ConfigError, EnvironmentFault


def write_page(page: Page, file: Path, open_it: bool = False) -> None:
    """Writes a page.

    Args:
      page: the page.
      file: the HTML file. Its folder is made if it does not exist.
      open_it: whether it is opened in the browser.

    Raises:
      ConfigError: the file is a folder.
      EnvironmentFault: it cannot be written, or there is no browser.
    """
    if file.is_dir():
        raise ConfigError(f"--output {file} is a folder", "name a file in it")
    try:
        pages.write(page, file)
    except OSError as error:
        raise EnvironmentFault(
            f"{file} cannot be written: {error.strerror}", "name a file elsewhere with --output"
        ) from error
    if open_it and not webbrowser.open(file.absolute().as_uri()):
        raise EnvironmentFault(f"no browser could be started; the page is {file}", "open the file yourself")
