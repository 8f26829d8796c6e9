"""JSON Lines: lines that are decoded many at once give the same rows as each line by itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.example_gen.formats import jsonl
from tests.components.format_rows import read_reasons

TEXT = st.sampled_from(["Go.", "", "a\nb", "\u00e9", "\0", "\ud83d\ude00"])
VALUE = st.one_of(TEXT, st.none(), st.integers(), st.just([]), st.just({"en": "x"}))
KEYS = st.sampled_from(["t", "t.en", "t.es", "en", "es", "x"])
FIELDS = st.dictionaries(KEYS, st.one_of(VALUE, st.dictionaries(KEYS, VALUE, max_size=3)), max_size=4)
RECORD = st.one_of(
    st.builds(lambda s, t: {"t": {"en": s, "es": t}}, TEXT, TEXT),
    st.builds(lambda s, t: {"en": s, "es": t, "x": 1}, TEXT, TEXT),
    FIELDS,
    st.lists(TEXT, max_size=3),
)
LINE = st.one_of(
    RECORD.map(lambda record: json.dumps(record).encode()),
    st.sampled_from(
        [b"", b" ", b"{", b"\xff", b'{"en":"\xff","es":"a"}', b'{"en":"a",', b'"es":"b"}', b"1 2"]
    ),
    st.just(b'{"en": "first", "en": "last", "es": "b"}'),
)
COLUMNS = st.sampled_from(
    [("t.en", "t.es"), ("en", "es"), ("en", "t.en"), ("t", "t.en"), ("0", "1"), ("t.t", "x")]
)


@given(st.lists(LINE, min_size=1, max_size=12), COLUMNS, st.sampled_from([1, 3, 1000]))
def test_the_rows_are_those_of_single_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes], columns: tuple[str, str], at_once: int
) -> None:
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    path.write_bytes(
        b'{"t": {"en": "a", "es": "b", "t": "c"}, "x": "d", "en": "e", "es": "f"}\n' + b"\n".join(lines)
    )
    options = {"format": "jsonl", "source_column": columns[0], "target_column": columns[1]}
    if columns == ("0", "1"):
        path.write_bytes(b'["a", "b"]\n' + b"\n".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jsonl, "_LINES_AT_ONCE", at_once)
        rows = read_reasons(path, **options)
        patch.setattr(jsonl, "_decoder_of", lambda columns: None)
        assert read_reasons(path, **options) == rows
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))


def test_only_the_lines_beside_a_damaged_one_are_read_by_themselves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jsonl, "_LINES_AT_ONCE", 10)
    single = []
    monkeypatch.setattr(
        jsonl,
        "_values",
        lambda line, columns, values=jsonl._values: single.append(line) or values(line, columns),
    )
    lines = [json.dumps({"en": f"a {n}", "es": f"b {n}"}) for n in range(100)]
    lines[57] = '{"en": "broken'
    (tmp_path / "a.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    rows = read_reasons(tmp_path / "a.jsonl", format="jsonl", source_column="en", target_column="es")
    assert [row[0] for row in rows if row[3]] == [58]
    assert rows[99][1:3] == ("a 99", "b 99")
    assert single == [line.encode() for line in lines[50:60]]


def test_values_that_only_python_writes_are_read(tmp_path: Path) -> None:
    lines = [{"en": "a", "es": "b", "score": float("nan")}, {"en": "c", "es": "d", "score": float("-inf")}]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    rows = read_reasons(tmp_path / "a.jsonl", format="jsonl", source_column="en", target_column="es")
    assert rows == [(1, "a", "b", ""), (2, "c", "d", "")]
