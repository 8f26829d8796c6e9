"""Pages as HTML, without a browser: tests/browser opens them in one."""

from __future__ import annotations

import html.parser
import itertools
import json
import math
import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.artifacts.page import (
    Alignment,
    Axis,
    Block,
    Candidate,
    Chart,
    Column,
    Graph,
    GraphNode,
    Section,
    SentenceRow,
    Sentences,
    Series,
    Table,
    Text,
)
from bitext.components.pages import Page, assets, charts, graph, render, sentences, tables, text, write
from tests.browser.demo import full_page
from tests.browser.hostile import ATTACK

ASSETS = Path(charts.__file__).with_name("assets")
FORMS = ("line", "bar", "histogram", "scatter")
SCALES = ("linear", "log", "ordinal", "time")


def page_of(*blocks: Block) -> Page:
    return Page(title="t", sections=(Section(id="s", title="S", blocks=blocks),))


def chart(form: str = "line", scale: str = "linear", y: str = "linear", **changes: Any) -> Chart:
    positions = ("a", "b", "c") if scale == "ordinal" else (1.0, 2.0, 4.0)
    values: dict[str, Any] = {
        "form": form,
        "title": "title",
        "x": Axis("x", scale),  # type: ignore[arg-type]
        "y": Axis("y", y),  # type: ignore[arg-type]
        "series": (
            Series("one", positions, (1.0, 0.0, 3.0), (0.5, 0.0, 2.0), (2.0, 1.0, 4.0), marked=(2,)),
            Series("two", positions, (2.0, None, math.nan), role="other"),
            Series("two", positions, (1.0, 1.0, 1.0), role="earlier"),
        ),
        "alternative": "It rises.",
        "diagonal": form == "scatter",
    }
    return Chart(**(values | changes))


class Elements(html.parser.HTMLParser):
    """The start tags of a document."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


class TestText:
    @pytest.mark.parametrize(
        ("value", "column", "expected"),
        [
            (None, Column("c", "number"), "–"),
            (math.nan, Column("c", "number"), "–"),
            (math.inf, Column("c", "number"), "∞"),
            (1234567, Column("c", "number"), "1,234,567"),
            (39.512, Column("c", "number", 2), "39.51"),
            (0.25, Column("c", "share", 1), "25.0 %"),
            (4.24, Column("c", "seconds", 1), "4.2 s"),
            (192.0, Column("c", "seconds"), "3 min 12 s"),
            (7502.0, Column("c", "seconds"), "2 h 5 min"),
            (59.96, Column("c", "seconds", 1), "1 min 0 s"),
            ("text", Column("c", "number"), "text"),
            (True, Column("c"), "yes"),
            (0.00012345, Column("c", "number"), "0.000123"),
            (-12.3456, Column("c", "number"), "-12.35"),
        ],
    )
    def test_cells(self, value: Any, column: Column, expected: str) -> None:
        assert text.cell_text(value, column) == expected

    def test_what_stands_between_backquotes_is_code(self) -> None:
        shown = text.prose("run `bitext gc <x>` or `a")
        assert shown == "run <code>bitext gc &lt;x&gt;</code> or `a"

    @given(st.text(st.characters()))
    def test_a_visible_text_has_neither_markup_nor_controls(self, value: str) -> None:
        shown = re.sub(
            r'<span class="control" title="[^"<>]*">U\+[0-9A-F]{4,6}</span>', "", text.visible(value)
        )
        assert not re.search(r"[<>\"'\x00-\x08\u202a-\u202e\u2066-\u2069\ud800-\udfff]", shown)
        shown.encode("utf-8")

    @given(st.recursive(st.text(st.characters()) | st.none() | st.integers(), st.lists))
    def test_json_in_a_script_is_the_value_and_cannot_end_the_script(self, value: Any) -> None:
        encoded = text.script_json(value)
        encoded.encode("utf-8")
        assert json.loads(encoded) == value
        assert not re.search("[<>&\u2028\u2029]", encoded)

    @pytest.mark.parametrize("value", ["javascript:x", "../x", "a/b", "", ".hidden", "a b", "x\n", 3, None])
    def test_what_is_no_run(self, value: Any) -> None:
        assert not text.is_run(value)


class TestCharts:
    @pytest.mark.parametrize(
        ("form", "scale", "y"),
        [
            *zip(FORMS, SCALES, itertools.cycle(("linear", "log"))),
            ("bar", "ordinal", "log"),
            ("line", "ordinal", "linear"),
        ],
    )
    def test_specifications_follow_the_schema_of_vega_lite(self, form: str, scale: str, y: str) -> None:
        core = pytest.importorskip("altair.vegalite.v6.schema.core")
        import jsonschema

        specification = charts.specification(chart(form, scale, y))
        jsonschema.validate(specification, core.load_schema())
        json.dumps(specification, allow_nan=False)

    @pytest.mark.parametrize("form", FORMS)
    def test_text_is_data_and_never_an_expression(self, form: str) -> None:
        hostile = "datum.x'+signal"
        shown = chart(
            form, "ordinal", title=hostile, series=(Series(hostile, (hostile,), (1.0,), labels=(hostile,)),)
        )
        specification = charts.specification(shown)

        def keys_above(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
            if isinstance(value, dict):
                return [found for key, item in value.items() for found in keys_above(item, (*path, key))]
            if isinstance(value, list):
                return [found for item in value for found in keys_above(item, path)]
            return [path] if isinstance(value, str) and hostile in value else []

        assert {path[-1] for path in keys_above(specification)} == {"domain"}
        assert "expr" not in json.dumps(specification)
        assert "signal" not in json.dumps(specification).replace(hostile, "")

    def test_values_that_cannot_be_drawn_are_left_out(self) -> None:
        series = charts.payload(chart("line", "log", "log"))["series"]
        assert [one["y"] for one in series] == [[1.0, None, 3.0], [2.0, None, None], [1.0, 1.0, 1.0]]
        assert charts.payload(chart("bar", "ordinal", "log"))["series"][0]["y"] == [1.0, 0.0, 3.0]
        assert charts.payload(chart(scale="time"))["series"][0]["x"] == [1000, 2000, 4000]

    def test_series_have_distinct_names_and_earlier_runs_a_style_of_their_own(self) -> None:
        series = chart().series
        assert charts.names(series) == ["one", "two", "two (2)"]
        assert charts.styles(series) == [1, 2, charts.EARLIER]
        assert charts.styles((series[0], series[2], series[1], series[2])) == [1, 7, 2, 8]
        assert charts.styles((series[2], series[2])) == [charts.EARLIER] * 2

    def test_a_chart_without_points_has_no_plot(self) -> None:
        empty = chart(series=(Series("none", (), ()), Series("missing", (1.0,), (None,))))
        document = render(page_of(empty))
        assert 'class="plot' not in document
        assert "It rises." in document

    def test_every_vega_version_of_the_specification_is_in_the_bundle(self) -> None:
        import vl_convert

        version = re.search(r"/v(\d+)\.json", charts.SCHEMA)
        assert version
        assert any(one.startswith(f"{version[1]}.") for one in vl_convert.get_vegalite_versions())


class TestTablesOfCharts:
    def test_a_row_for_each_position_and_a_column_for_each_series(self) -> None:
        table = tables.chart_table(chart())
        assert [column.title for column in table.columns] == ["x", "one", "one: interval", "two", "two (2)"]
        assert table.rows == (
            (1.0, 1.0, "0.500 to 2", 2.0, 1.0),
            (2.0, 0.0, "0 to 1", None, 1.0),
            (4.0, 3.0, "2 to 4", None, 1.0),
        )

    def test_many_points_are_thinned_or_summarized(self) -> None:
        many = tuple(map(float, range(1000)))
        line = tables.chart_table(chart(series=(Series("s", many, many),)))
        assert len(line.rows) <= tables.MOST_ROWS
        assert line.note == "60 of 1,000 points, evenly chosen from each series."
        assert (line.rows[0], line.rows[-1]) == ((0.0, 0.0), (999.0, 999.0))
        scatter = tables.chart_table(chart("scatter", series=(Series("s", many, many),)))
        assert scatter.rows[0] == ("s: x", 1000, 0.0, 249.75, 499.5, 749.25, 999.0)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            pytest.param(range(0, 200, 2), range(1, 201, 2), id="in turn"),
            pytest.param(
                [*range(22), *range(22, 90, 2)], [*range(22), *range(23, 91, 2)], id="equal at first"
            ),
            pytest.param(range(1000), range(500, 510), id="few within many"),
            pytest.param(range(1000), range(5000, 5001), id="one apart"),
        ],
    )
    def test_thinning_keeps_points_of_every_series(self, first: Iterable[int], second: Iterable[int]) -> None:
        series = [
            Series(name, tuple(map(float, x)), tuple(map(float, x)))
            for name, x in (("a", first), ("b", second))
        ]
        rows = tables.chart_table(chart(series=tuple(series))).rows
        assert 50 <= len(rows) <= tables.MOST_ROWS
        assert [row[0] for row in rows] == sorted(row[0] for row in rows)  # type: ignore[type-var]
        for column, one in enumerate(series, start=1):
            values = [row[column] for row in rows if row[column] is not None]
            assert len(values) >= min(len(one.y), tables.MOST_ROWS // 3)
            assert (values[0], values[-1]) == (one.y[0], one.y[-1])

    def test_times_are_dates(self) -> None:
        table = tables.chart_table(chart(scale="time", series=(Series("s", (1769860800.0,), (1.0,)),)))
        assert table.rows[0][0] == "2026-01-31 12:00 UTC"


class TestSentences:
    @given(st.text(max_size=30), st.lists(st.tuples(st.integers(-5, 40), st.integers(-5, 40)), max_size=5))
    def test_segments_are_the_text_with_differing_parts_at_odd_positions(
        self, value: str, differing: list[tuple[int, int]]
    ) -> None:
        parts = sentences.segments(value, differing)
        assert "".join(parts) == value
        marked = {place for a, b in differing for place in range(max(0, a), min(len(value), b))}
        place = 0
        for number, part in enumerate(parts):
            for _ in part:
                assert (place in marked) == bool(number % 2)
                place += 1

    def test_weights_are_one_character_each(self) -> None:
        assert len(set(sentences.WEIGHTS)) == len(sentences.WEIGHTS) == 101
        weights = (tuple(range(51)), tuple(range(50, 101)))
        shown = Alignment(tuple("s" * 51), ("a", "b"), weights)
        row = SentenceRow(
            "1", "s", ("r",), (Candidate("m", "t", alignment=shown), Candidate("n", "t", alignment=shown))
        )
        first, second = sentences.payload(Sentences(title="t", rows=(row,), total=1))["rows"][0]["candidates"]
        for line, expected in zip(first["alignment"]["rows"], weights, strict=True):
            assert tuple(map(sentences.WEIGHTS.index, line)) == expected
        assert "source" in first["alignment"]
        assert "source" not in second["alignment"]

    def test_scores_that_a_sentence_does_not_have_are_none(self) -> None:
        rows = (
            SentenceRow("1", "s", ("r",), (Candidate("m", "t", {"BLEU": 1.0}),), labels=("unknown",)),
            SentenceRow(
                "2", "s", ("r",), (Candidate("m", "t", {"TER": 2.0, "BLEU": math.nan}),), facts={"n": 1}
            ),
        )
        block = Sentences(
            title="t", rows=rows, total=2, labels={"known": "meaning"}, lower_is_better=("TER",)
        )
        payload = sentences.payload(block)
        assert payload["metrics"] == ["BLEU", "TER"]
        assert payload["lower"] == [False, True]
        assert [row["candidates"][0]["scores"] for row in payload["rows"]] == [[1.0, None], [None, 2.0]]
        assert payload["labels"] == [["known", "meaning"], ["unknown", ""]]
        assert [row["facts"] for row in payload["rows"]] == [[None], [1]]


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    count = draw(st.integers(0, 25))
    nodes = tuple(GraphNode(str(number), f"node {number}", "artifact") for number in range(count))
    pairs = st.tuples(st.integers(0, count + 1), st.integers(0, count + 1)).map(
        lambda p: (str(p[0]), str(p[1]))
    )
    return Graph(title="g", nodes=nodes, edges=tuple(draw(st.lists(pairs, max_size=40))), alternative="a")


class TestGraph:
    @given(graphs())
    def test_nodes_do_not_overlap_and_edges_go_down(self, value: Graph) -> None:
        drawing = graph.layout(value)
        assert len(drawing.shapes) == len(value.nodes)
        for a, b in itertools.combinations(drawing.shapes, 2):
            assert abs(a.x - b.x) >= graph.WIDTH or abs(a.y - b.y) >= graph.HEIGHT
        for shape in drawing.shapes:
            assert 0 <= shape.x <= drawing.width - graph.WIDTH
            assert 0 <= shape.y <= drawing.height - graph.HEIGHT
        for curve in drawing.curves:
            assert drawing.shapes[curve.start].y + graph.HEIGHT < drawing.shapes[curve.end].y
        expected = {(int(a), int(b)) for a, b in value.edges if int(a) < int(b) < len(value.nodes)}
        assert {(curve.start, curve.end) for curve in drawing.curves} == expected

    def test_a_chain_is_straight(self) -> None:
        nodes = tuple(GraphNode(name, name, "artifact") for name in "abc")
        drawing = graph.layout(Graph(title="g", nodes=nodes, edges=(("a", "b"), ("b", "c")), alternative=""))
        assert len({shape.x for shape in drawing.shapes}) == 1


class TestPage:
    def test_a_page_without_charts_has_no_vega(self) -> None:
        document = render(page_of(Text(text="a")))
        assert len(document) < 60_000
        assert 'id="vega"' not in document

    def test_the_policy_has_the_hash_of_each_script_and_nothing_unsafe(self) -> None:
        document = render(page_of(Text(text="a")))
        (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', document)
        scripts = re.findall(r"<script>(.*?)</script>", document, re.DOTALL)
        assert len(scripts) == 4
        for script in scripts:
            assert assets.policy([script], "").split("script-src ")[1].split(";")[0].strip("'") in policy
        assert policy.startswith("default-src &#39;none&#39;")
        assert "unsafe" not in policy
        assert " style=" not in document

    def test_attacks_become_text(self, tmp_path: Path) -> None:
        document = render(
            page_of(Text(text=ATTACK), Table(title=ATTACK, columns=(Column(ATTACK),), rows=((ATTACK,),)))
        )
        tags = Elements(document).tags
        assert not {"img", "iframe"} & {tag for tag, _ in tags}
        assert all(not name.startswith("on") for _, attributes in tags for name in attributes)
        assert document.count("&lt;script&gt;window.hit=1&lt;/script&gt;") >= 4

    def test_the_bundle_is_built_once_for_each_version(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "reports" / ".assets"
        monkeypatch.setattr(assets, "_built", lambda: f"1;{assets._END}")
        first = render(page_of(chart()), assets=folder)
        (file,) = folder.iterdir()
        assert re.fullmatch(r"vega-\d+(\.\w+)+\.js", file.name)
        monkeypatch.setattr(assets, "_built", lambda: pytest.fail("built again"))
        assert render(page_of(chart()), assets=folder) == first

    def test_a_damaged_bundle_is_built_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(assets, "_built", lambda: f"1;{assets._END}")
        first = assets.vega(tmp_path)
        (file,) = tmp_path.iterdir()
        file.write_text(first[:3])
        assert assets.vega(tmp_path) == first == file.read_text()

    def test_a_file_is_complete_or_absent(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "reports" / "run.html"
        write(page_of(Text(text="one")), path)
        assert "one" in path.read_text(encoding="utf-8")
        monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
        with pytest.raises(OSError, match="disk full"):
            write(page_of(Text(text="two")), path)
        assert "one" in path.read_text(encoding="utf-8")
        assert [file.name for file in path.parent.iterdir()] == ["run.html"]

    def test_equal_pages_are_equal_bytes(self) -> None:
        assert render(page_of(Text(text="a"))) == render(page_of(Text(text="a")))

    def test_every_block_of_the_model_is_rendered(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(assets, "_built", lambda: "1")
        document = render(full_page(25))
        for part in (
            'class="facts of-',
            "<table>",
            'class="chart"',
            'class="sentences"',
            'class="graph"',
            "<pre",
        ):
            assert part in document


def test_scripts_are_valid() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node on the path")
    for script in sorted(ASSETS.glob("*.js")):
        assert script.read_text(encoding="utf-8").startswith('"use strict";\n')
        done = subprocess.run([node, "--check", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
