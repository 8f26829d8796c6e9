"""Rows in = examples + duplicates + golden + rejects, for every format, whatever the bytes."""

from __future__ import annotations

import csv
import io
import itertools
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from bitext.components import artifacts
from bitext.components.artifacts.rejects import Summary
from bitext.components.component import Context
from bitext.components.example_gen import SPLITS, Files, GoldenParameters, Parameters, golden, summary
from bitext.components.shared.errors import BitextError, DataError
from tests.components.example_gen_runs import Result

PIECES = (
    b"a", b"Go.", b"word ", b" ", b"\t", b"\n", b"\r\n", b"\r", b'"', b'""', b",", b"\x00", b"\x1a", b"\x0c",
    b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xff\xfe", "é".encode(), "\u2028".encode(),
    "\u0085".encode(), "\u200b".encode(), "\u3000".encode(), "你好。".encode(), "😀\u200d".encode(),
    "a\tb\n".encode("utf-16-le"), b"x" * 1500, b"long line " * 200,
)  # fmt: skip
GOOD = "".join(f"Sentence number {i}.\tOración número {i}.\n" for i in range(25)).encode()
bytes_of_any_kind = st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join)
mostly_rows = st.lists(
    st.one_of(st.sampled_from([b"a\tb\n", b"Go.\tVe.\n", b"\tb\n", b"c\td"]), bytes_of_any_kind), max_size=12
).map(b"".join)
"""Bytes with rows of two columns among them."""


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return (Path(tempfile.mkdtemp(dir=tmp_path_factory.getbasetemp())) for _ in itertools.count())


def lines_of(data: bytes) -> int:
    """The number of lines: a line ends in LF, CR LF, CR CR LF or CR, and the last one may have no end."""
    data = re.sub(rb"\r+\n", b"\n", data.removeprefix(b"\xef\xbb\xbf")).replace(b"\r", b"\n")
    return data.count(b"\n") + (not data.endswith(b"\n") and bool(data))


def run(root: Path, contents: dict[str, bytes], **parameters) -> Result | None:
    """Runs ExampleGen with no limit of rejects; None if it refuses the files and names one of them."""
    for name, content in contents.items():
        (root / name).write_bytes(content)
    limits = {"max_reject_share": 1.0, "max_characters": 300, "span": {"number": 1}}
    refusal = ""
    try:
        return Result(root / "run", **limits, **parameters)
    except DataError as error:
        refusal = str(error) if error.remedy else ""
    assert any(str(root / name) in refusal for name in contents)
    return None


def check(result: Result, lines: int | None) -> None:
    """Checks the counts against the files that were written, and the numbers of the lines."""
    counts = result.summary()
    written = {split: result.rows(split) for split in SPLITS}
    rejects = result.rejects()
    assert counts["splits"] == {split: len(rows) for split, rows in written.items()}
    assert counts["accepted"] == sum(counts["splits"].values())
    assert counts["rejected"] == len(rejects) == sum(counts["reasons"].values())
    parts = ("accepted", "duplicates", "golden_removed", "rejected")
    assert counts["rows"] == sum(counts[part] for part in parts)
    if lines is not None:
        assert counts["rows"] == lines
    places = [f"{r['file'].rpartition('/')[2]}:{r['line']}" for r in rejects]
    places += [id_.partition("/")[2] for rows in written.values() for id_, _, _ in rows]
    assert len(set(places)) == len(places) == counts["rows"] - counts["duplicates"] - counts["golden_removed"]


few = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@few
@given(st.one_of(bytes_of_any_kind, mostly_rows), st.booleans(), st.booleans())
def test_every_line_of_a_tsv_file_is_accounted_for(folders, data, good, header):
    data += GOOD * good
    result = run(root := next(folders), {"a.tsv": data}, files=[str(root / "a.tsv")], header=header)
    if result is not None:
        check(result, max(0, lines_of(data) - header))


@few
@given(mostly_rows, mostly_rows, st.sampled_from(["all", "train"]))
def test_every_line_of_given_splits_is_accounted_for(folders, train, test, drop_duplicates):
    root = next(folders)
    contents = {"train.tsv": GOOD + train, "eval.tsv": GOOD[:200], "test.tsv": test}
    splits = {name: {"files": [str(root / f"{name}.tsv")]} for name in SPLITS}
    result = run(root, contents, splits=splits, drop_duplicates=drop_duplicates)
    if result is not None:
        check(result, sum(map(lines_of, contents.values())))


@few
@given(bytes_of_any_kind, bytes_of_any_kind, st.booleans())
@example(b"aaa\n aaa", b"\naaa\ra", False)
@example(b"a\rb\nc", b"a\rb\nc\rd", False)
def test_every_line_of_aligned_files_is_accounted_for(folders, source, target, same_length):
    """A carriage return at the end may end the last line, or be within it."""
    assume(not source.endswith(b"\r") and not target.endswith(b"\r"))
    root = next(folders)
    if same_length:
        longest = max(lines_of(source), lines_of(target))
        source, target = (
            side + b"\n" * (not side.endswith(b"\n") and bool(side)) + b"x\n" * (longest - lines_of(side))
            for side in (source, target)
        )
    contents = {"a.en": source, "a.es": target}
    result = run(
        root,
        contents,
        format="parallel",
        source_files=[str(root / "a.en")],
        target_files=[str(root / "a.es")],
    )
    if result is None:
        return
    lines, other_lines = lines_of(source), lines_of(target)
    check(result, lines if lines == other_lines else None)
    if lines != other_lines:  # carriage returns stand within lines, of which both files have equally many
        within, other_within = (lines_of(side.replace(b"\r", b"")) for side in (source, target))
        assert within == other_within <= result.summary()["rows"] <= max(lines, other_lines)


@few
@given(bytes_of_any_kind.map(lambda data: data.replace(b'"', b"'")), st.booleans())
def test_every_line_of_a_csv_file_without_quotes_is_accounted_for(folders, data, good):
    data += GOOD.replace(b"\t", b",") * good
    result = run(root := next(folders), {"a.csv": data}, format="csv", files=[str(root / "a.csv")])
    if result is not None:
        check(result, lines_of(data))


field = st.text(st.sampled_from('ab," \t\n\r\u2028\u200bé猫'), max_size=8)


@few
@given(st.lists(st.lists(field, min_size=1, max_size=3), max_size=12))
def test_every_record_of_a_csv_file_is_accounted_for(folders, records):
    """A line end within quotes ends no record."""
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(records)
    data = text.getvalue().encode()
    result = run(root := next(folders), {"a.csv": data}, format="csv", files=[str(root / "a.csv")])
    assert result is not None
    check(result, len(records))


@few
@given(st.one_of(bytes_of_any_kind, mostly_rows))
def test_no_line_of_a_damaged_csv_file_is_lost_or_counted_twice(folders, data):
    """Where quotes are broken, the number of records is not defined: the places of all rows are distinct."""
    data = GOOD.replace(b"\t", b",") + data.replace(b"\t", b",")
    result = run(root := next(folders), {"a.csv": data}, format="csv", files=[str(root / "a.csv")])
    if result is not None:
        check(result, None)
        assert 25 <= result.summary()["rows"] <= lines_of(data)


def test_rows_of_a_golden_set_are_accounted_for(tmp_path):
    path = tmp_path / "golden.tsv"
    path.write_bytes(b"".join(GOOD.splitlines(keepends=True)[:9]) + b"no tab\n")
    examples, rejects = artifacts.Examples(tmp_path / "golden"), artifacts.Rejects(tmp_path / "rejects")
    for artifact in (examples, rejects):
        artifact.path.mkdir()
    parameters = GoldenParameters(files=("unread.tsv",), golden=Files(files=(str(path),)))
    context = Context(tmp_path, tmp_path, beam_pipeline=beam.Pipeline, say=print)
    golden.run(parameters, context, examples=examples, rejects=rejects)
    counts = rejects.summary()
    assert (counts.rows, counts.accepted, counts.rejected) == (10, 9, 1)
    (tmp_path / "a.tsv").write_bytes(GOOD + GOOD[:90] + b"no tab\n")
    files = [str(tmp_path / "a.tsv")]
    result = Result(tmp_path / "run", golden=examples, files=files, span={"number": 1}, max_reject_share=1.0)
    check(result, lines_of(GOOD + GOOD[:90] + b"no tab\n"))
    assert result.summary()["golden_removed"] > 5


@pytest.mark.parametrize("change", [{"rows": 11}, {"split/train": 6}, {"golden": 3}, {"reason/too_long": 1}])
def test_counts_that_do_not_add_up_stop_the_run(change):
    counts = {
        "rows": 10,
        "split/train": 5,
        "split/eval": 1,
        "duplicates": 1,
        "golden": 1,
        "reason/empty_side": 2,
    }
    parameters = Parameters(files=("a.tsv",))
    good = summary.summarize(summary.Counts(counts), parameters, [])
    assert isinstance(good, Summary)
    with pytest.raises(BitextError, match=r"read 1\d rows, but wrote 1\d: examples ") as error:
        summary.summarize(summary.Counts(counts | change), parameters, [])
    assert "report it" in error.value.remedy
