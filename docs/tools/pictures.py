"""Pictures of the report of a run and of the page of `bitext serve`, taken in Chromium."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page

WIDTH, HEIGHT = 1280, 860
SENTENCES = "Where is the station? I would like a cup of tea. Tom didn't know what to say."
STARTED = re.compile(r"is served at (http://\S+)")


def take(report: Path, model: Path, program: Path, folder: Path) -> None:
    """Takes all pictures.

    Args:
      report: the report of a run.
      model: the serving folder of a model.
      program: the command `bitext`.
      folder: the folder of the pictures.

    Raises:
      FileNotFoundError: Chromium is not installed.
    """
    with _chromium() as browser:
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(report.resolve().as_uri())
        _shoot(page, folder / "report.png")
        _shoot(page, folder / "report-evaluation.png", page.locator("#evaluation"))
        alignment = page.locator("#sentences button.align").first
        _scroll(page, alignment)
        alignment.click()
        _shoot(page, folder / "report-sentences.png", alignment.locator("xpath=ancestor::li"))
        with _served(program, model) as address:
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT // 2})
            page.goto(address)
            page.locator("textarea").first.fill(SENTENCES)
            _shoot(page, folder / "serve.png")


def _shoot(page: Page, path: Path, top: Locator | None = None) -> None:
    """Takes a picture when nothing moves any more, which begins at `top` if it is given."""
    if top is not None:
        _scroll(page, top)
    _wait(page)
    page.screenshot(path=path)


def _scroll(page: Page, top: Locator) -> None:
    """Scrolls to an element, twice: the charts on the way move it when they are drawn."""
    for _ in range(2):
        top.evaluate("element => element.scrollIntoView()")
        _wait(page)


def _wait(page: Page) -> None:
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)  # charts are drawn when they come into view


@contextlib.contextmanager
def _chromium() -> Iterator[Browser]:
    """Context manager: Chromium without a window."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise FileNotFoundError("no Chromium for the pictures: apt-get install chromium")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []  # root cannot use the sandbox
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@contextlib.contextmanager
def _served(program: Path, model: Path) -> Iterator[str]:
    """Context manager: `bitext serve` of a model on a free port; gives its address."""
    command = [str(program), "serve", "--model", str(model), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            lines = iter(process.stdout or ())
            yield next(match[1] for line in lines if (match := STARTED.search(line)))
        finally:
            process.send_signal(signal.SIGTERM)
