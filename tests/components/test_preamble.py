"""CSV with lines of Excel or Anki before the rows, and tables whose lines are not divided alike."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitext.components.example_gen.detection import describe
from bitext.components.shared.errors import DataError
from bitext.pipeline.scaffold.choice import choose
from tests.components.format_rows import read

PAIRS = [(f"Sentence number {n}.", f"Satz, der {n} heißt.") for n in range(30)]


def rows(delimiter: str) -> str:
    return "".join(f"{source}{delimiter}{target}\n" for source, target in PAIRS)


ANKI = "#separator:tab\n#html:false\n#tags column:3\n"


@pytest.mark.parametrize(
    ("before", "delimiter"),
    [
        ("sep=;\n", ";"), ('"sep=\t"\n', "\t"), (ANKI, "\t"), ("#separator:Semicolon\n#html:true\n", ";"),
        ("#separator:|\n", "|"), ("", ";"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_lines_before_the_rows_are_left_out(
    before: str, delimiter: str, encoding: str, tmp_path: Path
) -> None:
    path, first = tmp_path / "a.txt", 1 + before.count("\n")
    path.write_bytes((before + rows(delimiter)).replace("\n", "\r\n").encode(encoding))
    expected = [(n, *pair, "") for n, pair in enumerate(PAIRS, first)]
    options = {"format": "csv", "delimiter": delimiter, "encoding": encoding.removesuffix("-sig")}
    assert read(path, **options) == expected
    assert read(path, format="auto") == expected
    found = describe(str(path))
    assert (found.format, found.delimiter) == ("csv", delimiter)
    assert ("not rows" in "".join(found.notes)) == bool(before)
    path.write_text(before + f"Deutsch{delimiter}English\n" + rows(delimiter), encoding="utf-8")
    options = {
        "format": "csv",
        "delimiter": delimiter,
        "source_column": "Deutsch",
        "target_column": "English",
    }
    assert read(path, header=True, **options) == [(line + 1, *pair) for line, *pair in expected]


@pytest.mark.parametrize(
    ("before", "options", "message", "remedy"),
    [
        ("sep=;\n", {"format": "csv"}, "its delimiter is the semicolon, as Excel wrote", 'delimiter to ";"'),
        (ANKI, {"format": "csv"}, "its delimiter is the tab, as Anki wrote", r'delimiter to "\t"'),
        (ANKI, {}, "its first 3 lines are settings of Anki", r'csv and example_gen.delimiter to "\t"'),
    ],
)  # fmt: skip
def test_other_settings_are_refused(
    before: str, options: dict, message: str, remedy: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text(before + rows(";"), encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / "a", **options)
    assert remedy in caught.value.remedy


def test_a_comment_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("#hashtag: one\tzwei\n" + rows("\t"), encoding="utf-8")
    assert len(read(tmp_path / "a")) == len(PAIRS) + 1


def test_lines_without_a_tab_are_named(tmp_path: Path) -> None:
    lines = rows("\t").splitlines()
    lines[::5] = [line.replace("\t", " ") for line in lines[::5]]
    (tmp_path / "a.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (found,) = choose([str(tmp_path / "a.tsv")], "", "")
    assert found.options["format"] == "tsv"
    assert found.notes == ("6 of its first 30 lines have no tab",)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.tsv", "".join(f"{s}\n" * 4 + f"{s}\t{t}\n" for s, t in PAIRS),
         "the tab divides 30 of its first 150 lines, into 2 columns"),
        ("a.csv", "".join(f"{s}, {s}, {t}\n{s}, {t}, {t}, {t}\n" for s, t in PAIRS),
         "the comma divides 60 of its first 60 lines, into 4 to 7 columns"),
        ("a.txt", rows(" ||| "), "its columns are divided by ' ||| '"),
    ],
)  # fmt: skip
def test_irregular_columns_are_described(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="cannot tell the columns of") as caught:
        choose([str(tmp_path / name)], "", "")
    assert message in str(caught.value)
    with pytest.raises(DataError) as caught:
        read(tmp_path / name, format="auto")
    assert message in str(caught.value)
