"""The page of `bitext serve` in Chromium: it translates, compares versions, and trusts no text."""

from __future__ import annotations

import json
import re
import shlex
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, Route, expect

from bitext.components.artifacts import Withdrawal
from tests.components.served_toys import digest, push
from tests.components.small_export import Export
from tests.pipeline.serve_process import Server, running

HOSTILE = '<img src=x onerror="window.hacked=1"><script>window.hacked=1</script> {{7*7}} \u202eabc'
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1400, "height": 900}
Open = Callable[..., Page]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Version 1 copies, 2 reverses and was withdrawn for a hostile reason, 3 upper-cases."""
    serving = tmp_path_factory.mktemp("serving") / "toy"
    push(serving, 1, "copy", bleu=12.5)
    push(serving, 2, "reverse")
    withdrawn = {digest("reverse"): Withdrawal(2, HOSTILE, "2026-01-31T12:00:00+00:00")}
    push(serving, 3, "upper", rolled_back_to=1, withdrawn=withdrawn)
    with running(serving) as server:
        yield server


@pytest.fixture(scope="module")
def aligned(export: Export) -> Iterator[Server]:
    """A server of a model that aligns."""
    with running(export.path) as server:
        yield server


@pytest.fixture
def open_page(chromium: Browser) -> Iterator[Open]:
    """Opens the page of a server. No page may have a problem, or ask another origin for anything."""
    contexts: list[Any] = []
    problems: list[str] = []
    foreign: list[str] = []

    def opened(server: Server, **options: Any) -> Page:
        context = chromium.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        origin = f"http://127.0.0.1:{server.port}/"
        page.on("console", lambda m: problems.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda r: None if r.url.startswith(origin) else foreign.append(r.url))
        page.goto(origin)
        expect(page.locator("#count")).not_to_be_empty()
        return page

    opened.problems = problems  # type: ignore[attr-defined]
    yield opened
    for context in contexts:
        context.close()
    assert problems == []
    assert foreign == []


def output(page: Page, pane: int = 0) -> Any:
    return page.locator(".output").nth(pane)


def test_it_translates_as_you_type(server: Server, open_page: Open) -> None:
    page = open_page(server)
    page.locator("#source").press_sequentially("one two. is it?")
    expect(output(page)).to_have_text("ONE TWO. IS IT?")
    expect(output(page).locator(".sentence")).to_have_count(2)
    page.locator("#source").press_sequentially("\n\nthree")
    expect(output(page).locator("p")).to_have_count(3)
    expect(output(page).locator("p").nth(2)).to_have_text("THREE")
    page.locator("#clear").click()
    expect(output(page)).to_have_text("The translation appears here as you type.")
    expect(page.locator("#source")).to_be_focused()


def test_other_translations_and_their_scores(server: Server, open_page: Open) -> None:
    page = open_page(server)
    page.locator("#nbest-size").fill("3")
    page.locator("#source").fill("one two")
    output(page).locator(".sentence").click()
    expect(page.locator("#nbest li")).to_have_text(["ONE TWO-3.000", "OONE TWO-4.000", "OOONE TWO-5.000"])
    expect(page.locator("#nbest button").first).to_have_attribute("aria-pressed", "true")
    page.locator("#nbest button").nth(1).click()
    expect(page.locator("#nbest button").nth(1)).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#details")).to_be_hidden()


def test_the_alignment_of_words_is_drawn(aligned: Server, open_page: Open) -> None:
    page = open_page(aligned)
    page.locator("#source").fill("the cat sat")
    output(page).locator(".sentence").hover()
    expect(page.locator("#source-words button")).to_have_text(["the", "cat", "sat"])
    expect(page.locator("#links path").first).to_be_attached()
    page.locator("#target-words button").first.focus()
    expect(page.locator("#source-words button.to").first).to_be_visible()
    expect(page.locator("#aligned")).to_contain_text("%")


def test_versions_side_by_side(server: Server, open_page: Open) -> None:
    page = open_page(server)
    page.locator("#source").fill("one two")
    expect(output(page)).to_have_text("ONE TWO")
    rows = page.locator(".version")
    expect(rows).to_have_count(3)
    expect(rows.nth(0)).to_contain_text("Version 3 served, copy of version 1")
    expect(rows.nth(1)).to_contain_text("withdrawn: <img")
    expect(rows.nth(2)).to_contain_text("BLEU 12.50")
    page.locator("#version-2").check()
    expect(page.locator(".pane h2")).to_have_text(["Text", "Version 3, served", "Version 2"])
    expect(output(page, 1)).to_have_text("two one")
    expect(output(page, 1).locator("mark")).to_have_count(0)  # no word is the same
    page.locator("#version-2").uncheck()
    page.locator("#version-1").check()
    page.locator("#source").fill("ONE TWO, three")
    expect(output(page, 1)).to_have_text("ONE TWO, three")
    expect(output(page, 1).locator("mark")).to_have_text(["three"])
    page.locator("#version-1").uncheck()
    page.locator("#version-2").check()
    page.locator("#version-2").uncheck()
    expect(page.locator(".output")).to_have_count(1)


def test_an_answer_that_is_late_is_dropped(server: Server, open_page: Open) -> None:
    page = open_page(server)
    held: list[Route] = []

    def hold_first(route: Route) -> None:
        if held:
            route.continue_()
        else:
            held.append(route)

    page.route("**/api/translate", hold_first)
    page.locator("#source").fill("first")
    expect(output(page)).to_have_class("output stale")
    page.locator("#source").fill("second")
    expect(output(page)).to_have_text("SECOND")
    held[0].abort()
    page.locator("#source").press_sequentially("s")
    expect(output(page)).to_have_text("SECONDS")


def test_text_is_never_markup(server: Server, open_page: Open) -> None:
    page = open_page(server)
    page.locator("#source").fill(HOSTILE)
    expect(output(page)).to_contain_text("<IMG SRC=X")
    output(page).locator(".sentence").first.click()
    page.locator("#version-2").check()
    expect(output(page, 1)).to_contain_text("<img")
    assert page.evaluate("window.hacked") is None
    assert page.locator("main img, main script").count() == 0
    assert page.locator(".sentence bdi").count() >= 2


def test_errors_are_told(server: Server, open_page: Any) -> None:
    page = open_page(server)
    page.locator("#source").fill("a " * 5001)
    expect(output(page)).to_have_text(
        "The text has 10,002 characters, more than the limit of 10,000; translate it in parts."
    )
    page.locator("#source").fill("a" * 2001)
    expect(output(page)).to_have_text(
        "The sentence that begins with “"
        + "a" * 30
        + "…” has 2,001 characters, more than the limit of 2,000;"
        " divide it with a full stop or a line break."
    )
    expect(page.get_by_role("alert")).to_have_count(1)
    expect(page.locator("#status")).to_be_empty()
    # Chromium reports the status of every answer that is an error.
    assert ["status of 400" in problem for problem in open_page.problems] == [True]
    open_page.problems.clear()
    page.locator("#source").fill("a")
    expect(output(page)).to_have_text("A")


def test_the_command_translates_what_the_page_shows(server: Server, open_page: Open) -> None:
    page = open_page(server)
    page.locator("summary").click()

    def run() -> tuple[str, Any]:
        program, option, body, url = shlex.split(page.locator("#command").text_content() or "")
        assert (program, option) == ("curl", "-d")
        with urllib.request.urlopen(url, body.encode(), timeout=30) as response:
            return url.partition("/v1/")[1], json.load(response)

    assert [row["text"] for row in run()[1]["predictions"]] == ["WHERE IS THE STATION?"]
    page.locator("#source").fill("It's one. Is \"two\" \\n $HOME `id`?\n\nthree '")
    expect(output(page).locator(".sentence")).to_have_count(3)
    protocol, answer = run()
    assert protocol == "/v1/"
    assert [row["text"] for row in answer["predictions"]] == [
        "IT'S ONE.",
        'IS "TWO" \\N $HOME `ID`?',
        "THREE '",
    ]
    page.locator("#source").fill("\n".join(f"Line {number}." for number in range(200)))
    expect(output(page).locator(".sentence")).to_have_count(200)
    protocol, answer = run()
    assert protocol == ""
    assert [sentence["source"] for sentence in answer["sentences"]][199] == "Line 199."


def test_the_beam_of_more_translations_is_told(server: Server, open_page: Open) -> None:
    page = open_page(server)
    expect(page.locator("#nbest-note")).to_have_text(
        re.compile(r"^With more than \d+, the model searches more widely, which may change the first one\.$")
    )


@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_a_long_text_is_seen_whole(server: Server, open_page: Open, viewport: dict[str, int]) -> None:
    page = open_page(server, viewport=viewport)
    source = page.locator("#source")
    source.fill("\n".join(f"Line {number} of a text." for number in range(12)))
    expect(output(page).locator(".sentence")).to_have_count(12)
    assert source.evaluate("node => node.scrollHeight - node.clientHeight") <= 1, "it does not grow"
    source.fill("\n".join(f"Line {number} of a text." for number in range(100)))
    expect(output(page).locator(".sentence")).to_have_count(100)
    assert source.evaluate("node => getComputedStyle(node).overflowY") == "auto"
    assert source.evaluate("node => node.clientHeight") <= 0.61 * viewport["height"]
    bars = page.locator(".pane .bar").evaluate_all("nodes => nodes.map((node) => node.offsetHeight)")
    assert len(set(bars)) == 1


def test_everything_is_reached_by_keyboard(server: Server, open_page: Open) -> None:
    page = open_page(server)
    expect(page.locator("#source")).to_be_focused()
    page.keyboard.type("one two")
    expect(output(page)).to_have_text("ONE TWO")
    for _ in range(4):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.className") == "sentence":
            break
    expect(page.locator("#details")).to_be_visible()
    expect(page.locator(".sentence")).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Escape")
    expect(page.locator("#details")).to_be_hidden()


def test_a_new_version_is_told(tmp_path: Path, open_page: Open) -> None:
    push(tmp_path / "toy", 1, "upper")
    with running(tmp_path / "toy") as server:
        page = open_page(server)
        page.locator("#source").fill("one two")
        expect(output(page)).to_have_text("ONE TWO")
        push(tmp_path / "toy", 2, "reverse")
        expect(output(page)).to_have_text("two one", timeout=60_000)
        expect(page.locator("#served")).to_contain_text("version 2")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESK], ids=["phone", "desk"])
def test_accessibility(
    server: Server, aligned: Server, open_page: Open, scheme: str, viewport: dict[str, int]
) -> None:
    for of in (server, aligned):
        page = open_page(of, color_scheme=scheme, viewport=viewport)
        page.locator("#source").fill("the cat sat. a mat")
        output(page).locator(".sentence").first.click()
        if of is server:
            page.locator("#version-2").check()
            expect(output(page, 1)).to_contain_text("sat.")
        else:
            expect(page.locator("#links path").first).to_be_attached()
            page.locator("#source-words button").first.focus()
        page.locator("summary").click()
        found = Axe().run(page).response["violations"]
        assert [(v["id"], v["impact"], [n["html"] for n in v["nodes"]][:3]) for v in found] == []
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= viewport["width"], "the page scrolls sideways"
