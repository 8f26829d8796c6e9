"""Chromium, and pages opened in it whose errors and requests are recorded."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks all tests of this folder."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


def executable() -> str | None:
    """Returns the path of Chromium: that of the variable BROWSER, or the first on the search path."""
    names = (os.environ.get("BROWSER", ""), "chromium", "chromium-browser", "google-chrome")
    return next(filter(None, (shutil.which(name) for name in names if name)), None)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """Chromium without a window."""
    path = executable()
    if path is None:
        pytest.fail("no Chromium: install it (apt-get install chromium) or name one in the variable BROWSER")
    with sync_playwright() as playwright:
        # Root, as in a container, cannot use the sandbox.
        arguments = ["--no-sandbox"] if os.getuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


@dataclasses.dataclass
class Visit:
    """A page in a tab.

    Attributes:
      page: the tab.
      problems: errors and warnings of the console, and exceptions that nobody caught.
      requests: the URLs that were asked for besides the page itself.
    """

    page: Page
    problems: list[str] = dataclasses.field(default_factory=list)
    requests: list[str] = dataclasses.field(default_factory=list)


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Callable[..., Visit]]:
    """Opens a file with the options of a context (`viewport`, `color_scheme`).

    After the test, no page may have had a problem or have asked for anything else.
    """
    visits: list[Visit] = []

    def open_file(path: Path, **options: Any) -> Visit:
        context = chromium.new_context(**options)
        one = Visit(context.new_page())
        visits.append(one)
        one.page.on(
            "console",
            lambda message: message.type in ("error", "warning") and one.problems.append(message.text),
        )
        one.page.on("pageerror", lambda error: one.problems.append(str(error)))
        one.page.on(
            "request", lambda request: request.url != path.as_uri() and one.requests.append(request.url)
        )
        one.page.goto(path.as_uri())
        if options.get("java_script_enabled", True) and one.page.locator(".sentences").count():
            one.page.locator(".card").first.wait_for()  # lists are made after the event `load`
        return one

    yield open_file
    for one in visits:
        one.page.context.close()
    assert [problem for one in visits for problem in one.problems] == []
    assert [url for one in visits for url in one.requests] == []


def draw_all(page: Page) -> None:
    """Opens all details, and waits until all charts are drawn."""
    page.evaluate("for (const details of document.querySelectorAll('details')) details.open = true")
    for plot in page.locator(".plot").all():
        plot.scroll_into_view_if_needed()
    expect(page.locator(".plot:not([data-drawn])")).to_have_count(0)
