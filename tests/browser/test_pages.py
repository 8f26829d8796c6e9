"""The pages of `components/pages` in Chromium."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from bitext.components.artifacts.page import Axis, Chart, Column, Section, Series, Table
from bitext.components.pages import Page as Content
from bitext.components.pages import write
from tests.browser.conftest import Visit, draw_all
from tests.browser.demo import full_page
from tests.browser.hostile import hostile_page

Visitor = Callable[..., Visit]
PHONE = {"width": 390, "height": 844}
DESK = {"width": 1400, "height": 900}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pages")


@pytest.fixture(scope="session")
def full(folder: Path) -> Path:
    write(full_page(1000), folder / "full.html", assets=folder / "assets")
    return folder / "full.html"


@pytest.fixture(scope="session")
def hostile(folder: Path) -> Path:
    write(hostile_page(), folder / "hostile.html", assets=folder / "assets")
    return folder / "hostile.html"


def overflow(page: Page) -> int:
    """Returns by how many pixels the page is wider than the window."""
    width: int = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    return width


class TestOpening:
    def test_size_and_time(self, visit: Visitor, full: Path) -> None:
        assert full.stat().st_size < 3_000_000
        loads = []
        for _ in range(5):
            page = visit(full, viewport=DESK).page
            loads.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
        print(f"milliseconds to the end of the event `load`: {[round(load) for load in loads]}")
        assert min(loads) < 1000

    def test_charts_are_drawn_when_they_come_near(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=DESK).page
        near = page.locator("#data .plot").first
        expect(page.locator("#evaluation .plot").last).not_to_have_attribute("data-drawn", "")
        near.scroll_into_view_if_needed()
        expect(near).to_have_attribute("data-drawn", "")
        assert near.locator("svg.marks path").count() > 3

    def test_every_chart_can_be_drawn(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=DESK).page
        draw_all(page)
        assert page.locator(".plot svg.marks").count() == page.locator(".plot").count() == 9

    def test_the_policy_forbids_what_the_page_does_not_need(self, visit: Visitor, full: Path) -> None:
        one = visit(full)
        blocked = one.page.evaluate(
            """async () => {
              const blocked = [];
              document.addEventListener("securitypolicyviolation", (event) => blocked.push(
                event.blockedURI === "eval" ? "eval" : event.effectiveDirective));
              const script = document.createElement("script");
              script.textContent = "window.hit = 1";
              document.head.append(script);
              document.body.setAttribute("style", "color: red");
              await fetch("https://example.invalid/").catch(() => null);
              new Image().src = "https://example.invalid/a.png";
              const button = document.createElement("button");
              button.addEventListener("click", () => { try { new Function("return 1")() } catch (error) {} });
              setTimeout(() => button.click(), 50);
              await new Promise((done) => setTimeout(done, 200));
              return [...new Set(blocked), window.hit];
            }"""
        )
        assert set(blocked[:-1]) >= {"script-src-elem", "style-src-attr", "connect-src", "img-src", "eval"}
        assert blocked[-1] is None
        one.problems.clear()  # the browser reports what it has blocked
        one.requests.clear()


class TestHostileText:
    def test_it_is_shown_and_not_run(self, visit: Visitor, hostile: Path) -> None:
        page = visit(hostile, viewport=DESK).page
        draw_all(page)
        self.use_everything(page)
        assert page.evaluate("window.hit") is None
        assert (
            page.locator(
                "img, iframe, object, embed, base, form:not(.vega-bindings), [onload], [onerror], [onfocus]"
            ).count()
            == 0
        )
        assert page.locator("a[href^='javascript']").count() == 0
        shown = page.locator("main").inner_text()
        for part in ("<script>window.hit=1</script>", "{{7*7}}${7*7}{% raw %}", "U+202E", "U+001B", "U+D800"):
            assert shown.count(part) > 50, part
        assert "\u202e" not in page.evaluate("document.body.innerText + document.title")

    def use_everything(self, page: Page) -> None:
        """Presses every button, chooses everything, and points at every chart."""
        page.evaluate("for (const button of document.querySelectorAll('main button')) button.click()")
        page.evaluate(
            """for (const select of document.querySelectorAll("select")) {
              for (const option of select.options) {
                select.value = option.value;
                select.dispatchEvent(new Event("change"));
              }
            }"""
        )
        for plot in page.locator(".plot").all():
            plot.scroll_into_view_if_needed()
            box = plot.bounding_box()
            assert box
            for share in (0.3, 0.5, 0.7):
                page.mouse.move(box["x"] + share * box["width"], box["y"] + box["height"] / 2)

    def test_links_lead_to_pages_only(self, visit: Visitor, hostile: Path, full: Path) -> None:
        assert visit(hostile).page.locator("a:not([href^='#'])").count() == 0
        links = visit(full).page.locator("a:not([href^='#'])")
        assert [link.get_attribute("href") for link in links.all()] == [
            "history.html",
            "20260131T120000Z-1a2b.html",
            "20260130T120000Z-77f0.html",
        ]

    def test_right_to_left_text_is_isolated(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=DESK).page
        arabic = page.locator(".card bdi", has_text="أين هي المحطة؟").first
        assert arabic.evaluate("(bdi) => getComputedStyle(bdi).direction") == "rtl"
        assert arabic.evaluate("(bdi) => getComputedStyle(bdi.parentElement).direction") == "ltr"
        assert arabic.evaluate("(bdi) => getComputedStyle(bdi).unicodeBidi") == "isolate"


class TestAccessibility:
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
    def test_axe_finds_nothing_serious(
        self, visit: Visitor, full: Path, scheme: str, size: dict[str, int]
    ) -> None:
        page = visit(full, color_scheme=scheme, viewport=size).page
        draw_all(page)
        page.locator("button.align").nth(0).click()
        page.locator(".chip").nth(1).click()
        violations = Axe().run(page).response["violations"]
        found = [
            (rule["id"], rule["impact"], node["html"][:200], node["any"][:1])
            for rule in violations
            for node in rule["nodes"][:3]
        ]
        assert found == []

    def test_skip_link_and_focus(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=DESK).page
        page.keyboard.press("Tab")
        skip = page.locator(":focus")
        assert skip.inner_text() == "Skip to the content"
        assert skip.evaluate("(link) => getComputedStyle(link).outlineStyle") == "solid"
        page.keyboard.press("Enter")
        page.keyboard.press("Tab")
        assert page.locator("main :focus").count() == 1

    def test_headings_are_in_order(self, visit: Visitor, full: Path) -> None:
        levels = visit(full).page.evaluate(
            "[...document.querySelectorAll('h1, h2, h3, h4')].map((heading) => Number(heading.tagName[1]))"
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(b <= a + 1 for a, b in itertools.pairwise(levels))


class TestSizes:
    @pytest.mark.parametrize("name", ["full", "hostile"])
    def test_a_phone_needs_no_horizontal_scrolling(
        self, visit: Visitor, name: str, request: pytest.FixtureRequest
    ) -> None:
        page = visit(request.getfixturevalue(name), viewport=PHONE).page
        assert overflow(page) == 0
        draw_all(page)
        page.evaluate("for (const button of document.querySelectorAll('.align')) button.click()")
        assert overflow(page) == 0

    def test_paper(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=DESK, color_scheme="dark").page
        document = page.pdf(prefer_css_page_size=True)
        assert 5 < len(re.findall(rb"/Type\s*/Page\b", document)) < 40
        assert page.locator(".plot[data-drawn] svg.marks").count() == page.locator(".plot").count()
        page.emulate_media(media="print")
        assert page.locator("nav").first.is_hidden()
        assert page.evaluate("getComputedStyle(document.body).color") == "rgb(22, 32, 43)"

    def test_paper_has_all_rows_and_columns(self, visit: Visitor, tmp_path: Path) -> None:
        rows = tuple(
            (f"word {n}", "BLEU|nrefs:1|bs:1000|seed:12345|case:mixed|eff:no|tok:13a", n) for n in range(30)
        )
        columns = (
            Column("word", "corpus"),
            Column("signature"),
            *(Column(f"n{n}", "number") for n in range(8)),
        )
        table = Table("Words", columns, tuple((*row, *[12345.6] * 7) for row in rows))
        write(
            Content(title="p", sections=(Section(id="s", title="S", blocks=(table,)),)),
            tmp_path / "p.html",
            assets=tmp_path,
        )
        page = visit(tmp_path / "p.html", viewport=DESK).page
        shown = page.locator("tbody tr:visible")
        expect(shown).to_have_count(15)
        page.set_viewport_size({"width": 688, "height": 1000})  # A4 without its margins
        page.emulate_media(media="print")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        expect(shown).to_have_count(30)
        right = "(element) => element.getBoundingClientRect().right"
        assert page.locator("table").evaluate(right) <= page.locator(".table").evaluate(right)
        page.evaluate("window.dispatchEvent(new Event('afterprint'))")
        expect(shown).to_have_count(15)

    def test_labels_of_axes_do_not_touch(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=PHONE).page
        draw_all(page)
        touching = page.evaluate(
            """() => [...document.querySelectorAll(".plot .role-axis-label")].flatMap((axis) => {
              const shown = [...axis.querySelectorAll("text")].filter((text) =>
                text.getAttribute("opacity") !== "0" &&
                !(text.getAttribute("transform") ?? "").includes("rotate"));
              const boxes = shown.map((text) => [text.textContent, text.getBoundingClientRect()]);
              return boxes.slice(1).filter(([, box], index) => {
                const before = boxes[index][1];
                const beside = Math.abs(box.top - before.top) < 4;
                return beside && box.left < before.right + 3 && before.left < box.right + 3;
              }).map(([text]) => text);
            })"""
        )
        assert touching == []
        assert page.locator(".plot .role-axis-label text").count() > 20

    def test_names_that_do_not_fit_side_by_side_are_slanted(self, visit: Visitor, tmp_path: Path) -> None:
        names = ("no words", "0 %", "1–24 %", "25–49 %", "50–74 %", "75–99 %", "100 %")
        chart = Chart("bar", "c", Axis("x", "ordinal"), Axis("y"), (Series("s", names, (1.0,) * 7),), "a")
        write(
            Content(title="p", sections=(Section(id="s", title="S", blocks=(chart,)),)),
            tmp_path / "p.html",
            assets=tmp_path,
        )
        for size, is_slanted in ((DESK, False), (PHONE, True)):
            page = visit(tmp_path / "p.html", viewport=size).page
            draw_all(page)
            label = page.locator(".role-axis-label text", has_text="50–74 %")
            assert ("rotate" in (label.get_attribute("transform") or "")) == is_slanted
            assert label.get_attribute("opacity") != "0"

    def test_without_scripts_everything_is_there(self, visit: Visitor, full: Path) -> None:
        page = visit(full, java_script_enabled=False).page
        text = page.locator("main").inner_text()
        for part in ("Pushed as version 2", "too_long: 1,204 rows", "The loss falls from 6.5", "▁abc0"):
            assert part in text
        assert "The first 20 of 1,000 sentences" in text
        assert "أين المحطة؟" in text
        assert page.locator("#training details.data").count() == 4
        assert page.locator(".plot:visible").count() == 0


def column(table: Locator, number: int) -> list[str]:
    return [row.locator("th, td").nth(number).inner_text() for row in table.locator("tbody tr:visible").all()]


class TestTables:
    def table(self, page: Page, caption: str) -> Locator:
        return page.locator(".table", has=page.locator("caption", has_text=caption)).first

    @pytest.mark.parametrize("how", ["mouse", "keyboard"])
    def test_sorting(self, visit: Visitor, full: Path, how: str) -> None:
        page = visit(full).page
        table = self.table(page, "Splits")
        button = table.get_by_role("button", name="pairs")
        header = table.locator("th", has=page.get_by_role("button", name="pairs"))
        assert header.get_attribute("aria-sort") is None
        for direction, order in (
            ("descending", ["train", "test", "eval"]),
            ("ascending", ["eval", "test", "train"]),
        ):
            button.click() if how == "mouse" else button.press("Enter")
            assert header.get_attribute("aria-sort") == direction
            assert column(table, 0) == order

    def test_missing_values_are_last_in_both_directions(self, visit: Visitor, full: Path) -> None:
        table = self.table(visit(full).page, "Splits")
        for order in (["train", "eval", "test"], ["eval", "train", "test"]):
            table.get_by_role("button", name="coverage").click()
            assert column(table, 0) == order

    def test_a_long_table_can_be_filtered(self, visit: Visitor, full: Path) -> None:
        table = self.table(visit(full).page, "Longest tokens")
        assert len(column(table, 0)) == 15
        table.get_by_role("searchbox").fill("I1")
        expect(table.locator("output")).to_have_text("4 of 120 rows")
        assert len(column(table, 0)) == 4
        table.get_by_role("searchbox").fill("")
        table.get_by_role("button", name="Show all 120 rows").click()
        assert len(column(table, 0)) == 120


class TestSentences:
    def cards(self, page: Page) -> Locator:
        return page.locator(".card")

    def test_filters(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=DESK).page
        count = page.locator(".count")
        assert count.inner_text() == "20 of 1,000 sentences shown, chosen from 2,867"
        assert count.get_attribute("role") == "status"
        page.get_by_role("button", name=re.compile("^repetition")).press("Enter")
        assert "a word or phrase three times in a row" in page.locator(".meaning").inner_text()
        for label in page.locator(".about").all_inner_texts():
            assert "repetition" in label
        page.get_by_role("combobox", name="corpus").select_option(label="manuals")
        for label in page.locator(".about").all_inner_texts():
            assert "manuals" in label
        page.get_by_role("searchbox", name="Search the texts").fill("no such text")
        expect(count).to_contain_text("0 of 0 sentences found")

    def test_sorting_by_score_and_difference(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=DESK).page
        page.get_by_role("combobox", name="sort by").select_option(label="BLEU")
        scores = [
            float(text) for text in page.locator(".version.candidate:nth-of-type(3) b").all_inner_texts()
        ]
        first = [card.locator(".scores b").first.inner_text() for card in self.cards(page).all()]
        assert scores
        assert [float(score) for score in first] == sorted(float(score) for score in first)
        page.get_by_role("button", name="lowest first").click()
        first = [card.locator(".scores b").first.inner_text() for card in self.cards(page).all()]
        assert [float(score) for score in first] == sorted((float(score) for score in first), reverse=True)

    def test_more_are_drawn_on_demand(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=DESK).page
        page.get_by_role("button", name="Show 20 more").click()
        assert self.cards(page).count() == 40
        assert page.evaluate("[...document.querySelectorAll('.card')].indexOf(document.activeElement)") == 20

    def test_the_alignment_has_a_cell_for_each_pair_of_tokens(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=DESK).page
        row = full_page(1000).sections[3].blocks[-1].rows[0]  # type: ignore[union-attr]
        button = page.locator(".align").first
        button.press("Enter")
        assert button.get_attribute("aria-expanded") == "true"
        cells: list[list[Any]] = page.locator(".heat").first.evaluate(
            """(heat) => [...heat.querySelectorAll("tbody tr")].map(
              (row) => [...row.querySelectorAll("td")].map((cell) => cell.title))"""
        )
        expected = row.candidates[0].alignment
        assert expected
        for titles, weights in zip(cells, expected.weights, strict=True):
            assert [int(title.split()[-2]) for title in titles] == list(weights)

    def test_differing_parts_are_marked(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=DESK).page
        mark = page.locator(".card").first.locator("mark")
        assert mark.inner_text() == "أين"
        assert mark.evaluate("(mark) => getComputedStyle(mark).borderBottomStyle") == "solid"


class TestFrame:
    def test_the_theme_can_be_chosen(self, visit: Visitor, full: Path) -> None:
        page = visit(full, color_scheme="light", viewport=DESK).page
        button = page.get_by_role("button", name="Theme")
        colors = [page.evaluate("getComputedStyle(document.body).backgroundColor")]
        for theme in ("light", "dark", "system"):
            button.click()
            assert theme in button.inner_text()
            colors.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert colors[0] == colors[1] == colors[3] != colors[2]

    def test_links_to_sections(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=DESK).page
        page.get_by_role("navigation").get_by_role("link", name="Training").click()
        expect(page.get_by_role("link", name="Training", exact=True)).to_have_attribute(
            "aria-current", "true"
        )
        assert page.url.endswith("#training")

    def test_a_series_can_be_hidden(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=DESK).page
        chart = page.locator("#training .chart").first
        chart.scroll_into_view_if_needed()
        expect(chart.locator(".plot")).to_have_attribute("data-drawn", "")
        before = chart.locator(".mark-line path").count()
        button = chart.get_by_role("button", name="training")
        button.click()
        assert button.get_attribute("aria-pressed") == "false"
        expect(chart.locator(".mark-line path")).to_have_count(before - 1)

    def test_the_tip_names_the_values(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=DESK).page
        plot = page.locator("#data .plot").last
        plot.scroll_into_view_if_needed()
        expect(plot).to_have_attribute("data-drawn", "")
        plot.locator(".mark-rect path").first.hover()
        assert plot.locator(".tip").inner_text().split() == ["too_long", "rows:", "1,204"]

    def test_code_can_be_copied(self, visit: Visitor, full: Path) -> None:
        page = visit(full, viewport=DESK).page
        page.get_by_role("button", name="Copy: Repeat this run").click()
        expect(page.locator(".code .tool").last).to_have_text(re.compile("Copied|Selected"))
