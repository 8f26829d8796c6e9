"""ExampleGen: every row is an example, a duplicate or a reject, and no source is in two splits."""

from __future__ import annotations

import bz2
import gzip
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import apache_beam as beam
import msgspec
import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from tfx_bsl.coders import example_coder

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.example_gen import (
    SPLITS,
    ExampleGen,
    Files,
    GoldenGen,
    GoldenParameters,
    Parameters,
    golden,
)
from bitext.components.example_gen.filters import REASONS, filter_rows
from bitext.components.example_gen.formats import FORMATS, Format
from bitext.components.example_gen.formats.base import SourceFile, text_lines
from bitext.components.example_gen.formats.tsv import split_tsv
from bitext.components.example_gen.rows import Rows
from bitext.components.example_gen.sources import find_source_files, read_rows
from bitext.components.example_gen.splitting import (
    SeenPairs,
    assign_splits,
)
from bitext.components.shared import directions, tfrecord
from bitext.components.shared.errors import DataError
from bitext.components.text.hashing import source_hashes
from bitext.components.text.normalization import is_blank, normalize, split_key
from bitext.pipeline.source_digests import source_digests
from tests.components.example_gen_runs import Result
from tests.components.example_gen_runs import write as _write
from tests.e2e import toy


def _corpus(rows: int = 60) -> list[str]:
    """Returns lines of a TSV file with three columns."""
    return [f"Sentence number {i}.\tOración número {i}.\tby {i}" for i in range(rows)]


LARGE_SHARES = {"eval_share": 0.3, "test_share": 0.3}


def test_every_row_has_one_split_and_its_id(tmp_path):
    lines = _corpus()
    result = Result(tmp_path / "run", files=[_write(tmp_path / "spa.tsv", lines)], **LARGE_SHARES)
    rows = result.all_rows()
    assert sorted(rows) == sorted((f"spa.tsv:{i + 1}", *lines[i].split("\t")[:2]) for i in range(60))
    for split in SPLITS:
        numbers = [int(row[0].rpartition(":")[2]) for row in result.rows(split)]
        assert numbers == sorted(numbers)
        assert result.examples.properties[split] == len(numbers) > 0
    assert "60 rows" in result.lines[0]


def test_translations_of_one_source_are_in_one_split_and_duplicates_are_dropped(tmp_path):
    lines = _corpus(40)
    lines += [line.upper().replace(" ", "  ") for line in lines]  # equal after normalization
    lines += lines[:7]
    result = Result(tmp_path / "run", files=[_write(tmp_path / "a.tsv", lines)], **LARGE_SHARES)
    seen: dict[str, set[str]] = {}
    for split in SPLITS:
        for _, source, _ in result.rows(split):
            seen.setdefault(split_key(source), set()).add(split)
    assert len(seen) == 40
    assert all(len(splits) == 1 for splits in seen.values())
    assert result.summary()["duplicates"] == result.examples.properties["duplicates"] == 7
    ids = {int(row[0].rpartition(":")[2]) for row in result.all_rows()}
    assert ids == set(range(1, 81))  # the first of each pair


def test_equal_runs_write_equal_bytes(tmp_path):
    path = _write(tmp_path / "a.tsv", _corpus())
    results = [Result(tmp_path / name, files=[path], **LARGE_SHARES) for name in ("one", "two")]
    for split in SPLITS:
        files = [r.examples.split(split) / "data_tfrecord-00000-of-00001.gz" for r in results]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_shards_hold_the_same_rows(tmp_path):
    path = _write(tmp_path / "a.tsv", _corpus())
    one = Result(tmp_path / "one", files=[path], **LARGE_SHARES)
    three = Result(tmp_path / "three", files=[path], shards=3, **LARGE_SHARES)
    for split in SPLITS:
        assert sorted(one.rows(split)) == sorted(three.rows(split))
        assert len(list(three.examples.split(split).iterdir())) == 3


EXPECTED_HASHES = ["24c4e79f019ea69f", "79ea4833cf67eda1", "22fefe5846453bfc", "9fed818fac878702"]


def test_the_hash_of_a_source_never_changes():
    # With other hashes, sentences that were held out in earlier runs would become training data.
    sources = pa.array(["Go.", "  gO.\u00a0", "Ｇｏ.", "¿Dónde está?", "你好。", ""])
    hashes = source_hashes(sources)
    assert hashes[0] == hashes[1] == hashes[2]
    assert [f"{h:016x}" for h in hashes[[0, 3, 4, 5]].tolist()] == EXPECTED_HASHES
    splits = assign_splits(np.array([0, 2**62, 2**63, 2**64 - 1], np.uint64), 0.1, 0.25)
    assert splits.tolist() == [2, 0, 0, 1]


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        (b"only one column", "missing_column", "no target column 1"),
        (b"", "empty_side", "the line is blank"),
        (b"bad \xff byte\tmal", "invalid_utf8", "source: byte 0xff at 4"),
        (b"ok\tmal \xc3", "invalid_utf8", "target: byte 0xc3 at 4"),
        (b"null\x00\tnulo", "control_characters", "source: U+0000"),
        ("c1\tno \u0090".encode(), "control_characters", "target: U+0090"),
        (b"  \tvac\xc3\xado", "empty_side", "source is empty"),
        (b"empty\t\xc2\xa0", "empty_side", "target is empty"),
        (b"a" * 51 + b"\tlargo", "too_long", "source: 51 characters"),
    ],
)
def test_an_unusable_row_is_rejected_with_reason_and_detail(row, reason, detail):
    parameters = Parameters(files=("x",), max_characters=50)
    rows = split_tsv(b"good\tbueno\n" + row + b"\ngood too\tbueno\n", 10, (0, 1))
    filtered = filter_rows(rows, parameters)
    assert [bool(r) for r in filtered.reason] == [False, True, False]
    assert REASONS[filtered.reason[1] - 1] == reason
    assert detail in filtered.details[1]
    assert rows.line.tolist() == [10, 11, 12]


def test_rejects_are_written_and_counted(tmp_path):
    lines = _corpus()
    lines[4], lines[9] = "no tab", "x\t"
    result = Result(tmp_path / "run", files=[_write(tmp_path / "a.tsv", lines)], **LARGE_SHARES)
    rejected = [(r["line"], r["reason"], r["text"]) for r in result.rejects()]
    assert rejected == [(5, "missing_column", "no tab"), (10, "empty_side", "x\t")]
    assert result.summary()["reasons"] == {"missing_column": 1, "empty_side": 1}
    assert "2 rows rejected: missing_column 1, empty_side 1" in result.lines[1]


def test_too_many_rejects_stop_the_run_and_the_error_shows_ten(tmp_path):
    lines = [line if i % 2 else f"broken {i}" for i, line in enumerate(_corpus())]
    path = _write(tmp_path / "a.tsv", lines)
    with pytest.raises(DataError) as error:
        Result(tmp_path / "run", files=[path], **LARGE_SHARES)
    message = str(error.value)
    assert "30 of 60 rows (50.0%)" in message
    assert message.count("missing_column (") == 10
    assert f"{path}:1: " in message
    assert "max_reject_share" in message
    rejects_file = tmp_path / "run" / "failure" / "rejects.jsonl.gz"
    assert f"all are in {rejects_file}, and `bitext rejects CONFIG` shows them by reason:" in message
    with gzip.open(rejects_file, "rt", encoding="utf-8") as rejects:
        assert len(rejects.readlines()) == 30
    assert "example_gen.source_column" in error.value.remedy
    assert "delimiter" not in error.value.remedy  # TSV has none


@pytest.mark.parametrize("header", [False, True])
def test_the_remedy_for_another_csv_delimiter_names_the_parameter(tmp_path, header):
    lines = [line.replace("\t", ";") for line in _corpus()]
    path = _write(tmp_path / "a.csv", ["en;es;by"] * header + lines)
    columns = {"header": True, "source_column": "en", "target_column": "es"} if header else {}
    with pytest.raises(DataError, match="no column 'en'" if header else "the semicolon looks like") as error:
        Result(tmp_path / "run", format="csv", files=[path], **columns, **LARGE_SHARES)
    assert "example_gen.delimiter" in error.value.remedy
    result = Result(tmp_path / "again", format="csv", files=[path], delimiter=";", **columns, **LARGE_SHARES)
    assert len(result.all_rows()) == len(lines)


FRAGMENTS = st.sampled_from(
    [b"a", b"b", b"\t", b"\n", b"\n", b" ", b"\xff", b"\x00", "é".encode(), b"\r\n", b"\xef\xbb\xbf"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAGMENTS, max_size=60).map(b"".join), st.tuples(st.integers(0, 2), st.integers(0, 2)))
def test_every_line_is_an_example_a_duplicate_or_a_reject(tmp_path_factory, text, columns):
    """The result equals that of a simple implementation that reads line by line."""
    if columns[0] == columns[1]:
        columns = (0, 1)
    path = tmp_path_factory.mktemp("property") / "a.tsv"
    path.write_bytes(text)
    parameters = Parameters(
        files=(str(path),), source_column=columns[0], target_column=columns[1], max_characters=9
    )
    (file,) = find_source_files(parameters)
    lines, accepted, rejected = [], [], 0
    for rows in read_rows(file, parameters):
        filtered = filter_rows(rows, parameters)
        lines += rows.line.tolist()
        assert set(filtered.details) == set(np.flatnonzero(filtered.reason).tolist())
        rejected += len(filtered.details)
        for row in np.flatnonzero(filtered.reason == 0).tolist():
            accepted.append((int(rows.line[row]), filtered.source[row].as_py(), filtered.target[row].as_py()))
    expected = _read_line_by_line(text, columns, 9)
    assert lines == list(range(1, len(expected) + 1))
    assert accepted == [(i + 1, *pair) for i, pair in enumerate(expected) if pair]
    assert len(accepted) + rejected == len(lines)
    seen, firsts = SeenPairs(), []
    for start in range(0, len(accepted), 5):
        sides = (pa.array([row[side] for row in accepted[start : start + 5]], pa.string()) for side in (1, 2))
        firsts += (start + seen.first_rows(*sides)).tolist()
    normalized = [tuple(map(normalize, row[1:])) for row in accepted]
    assert firsts == sorted({pair: i for i, pair in reversed(list(enumerate(normalized)))}.values())


def _read_line_by_line(text: bytes, columns: tuple[int, int], longest: int) -> list[tuple[str, str] | None]:
    """Returns the pair of every line; None for a rejected row."""
    text = text.removeprefix(b"\xef\xbb\xbf")
    pairs: list[tuple[str, str] | None] = []
    for line in text.splitlines():
        fields = line.split(b"\t")
        try:
            pair = [fields[c].decode().strip() for c in columns]
        except (IndexError, UnicodeDecodeError):
            pairs.append(None)
            continue
        has_control_character = any(
            unicodedata.category(c) == "Cc" and c not in "\t\n\r\x85" for side in pair for c in side
        )
        is_accepted = not has_control_character and all(
            len(side) <= longest and not is_blank(side) for side in pair
        )
        pairs.append((pair[0], pair[1]) if is_accepted else None)
    return pairs


COMPRESSORS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".zst": zstandard.ZstdCompressor().compress,
}
"""The compression function of each file name ending."""


@pytest.mark.parametrize("ending", COMPRESSORS)
def test_compressed_files_are_read_like_plain_files(tmp_path, ending, monkeypatch):
    monkeypatch.setattr(
        "bitext.components.example_gen.formats.base.BLOCK_BYTES", 37
    )  # many blocks, cut within lines
    data = ("\ufeff" + "\r\n".join(_corpus(20)) + "\r\n").encode()
    half = len(data) // 2
    compress = COMPRESSORS[ending]
    path = tmp_path / f"a.tsv{ending}"
    path.write_bytes(compress(data[:half]) + compress(data[half:]))  # two concatenated streams
    parameters = Parameters(files=(str(path),))
    sources, lines = [], []
    for rows in read_rows(find_source_files(parameters)[0], parameters):
        sources += filter_rows(rows, parameters).source.to_pylist()
        lines += rows.line.tolist()
    assert sources == [line.split("\t")[0] for line in _corpus(20)]
    assert lines == list(range(1, 21))


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".zst"])
def test_a_truncated_compressed_file_is_an_error(tmp_path, ending):
    path = tmp_path / f"a.tsv{ending}"
    path.write_bytes(COMPRESSORS[ending]("\n".join(_corpus(500)).encode())[:-9])
    with pytest.raises(DataError, match="cannot read .*a.tsv"):
        Result(tmp_path / "run", files=[str(path)], **LARGE_SHARES)


def test_csv_quoting_newlines_and_header(tmp_path):
    lines = ['id,"es, texto",en']
    lines += [f'{i},"Dijo ""{i}"", y\nse fue","He said {i}, and left"' for i in range(40)]
    path = _write(tmp_path / "a.csv", lines)
    result = Result(
        tmp_path / "run",
        format="csv",
        files=[path],
        header=True,
        source_column="en",
        target_column="es, texto",
        **LARGE_SHARES,
    )
    rows = sorted(result.all_rows(), key=lambda row: int(row[0].rpartition(":")[2]))
    assert rows[0] == ("a.csv:2", "He said 0, and left", 'Dijo "0", y\nse fue')
    assert rows[1][0] == "a.csv:4"
    assert len(rows) == 40


def test_broken_csv_quoting_rejects_only_the_line_that_opens_it(tmp_path):
    lines = [f"en {i},es {i}" for i in range(20)] + ['en,"es'] + [f"en {i},es {i}" for i in range(100, 103)]
    path = _write(tmp_path / "a.csv", lines)
    result = Result(tmp_path / "run", format="csv", files=[path], max_reject_share=1.0, **LARGE_SHARES)
    assert [(r["line"], r["reason"], r["text"]) for r in result.rejects()] == [(21, "bad_quoting", 'en,"es')]
    assert "not closed, in the row of line 21" in result.rejects()[0]["detail"]
    assert len(result.all_rows()) == 23


def test_invalid_utf8_in_csv_is_rejected_with_its_position(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"good,bueno\nb\xffd,malo\n")
    parameters = Parameters(format="csv", files=(str(path),))
    (rows,) = read_rows(find_source_files(parameters)[0], parameters)
    assert filter_rows(rows, parameters).details == {1: "source: byte 0xff at 1, invalid start byte"}
    assert rows.text(1) == "b\\xffd,malo"


def test_aligned_files_are_joined_line_by_line_and_need_equal_lengths(tmp_path):
    lines = _corpus(50)
    for name, side in (("a.en", 0), ("a.es", 1)):
        _write(tmp_path / name, [line.split("\t")[side] for line in lines])
    sides = {"source_files": [str(tmp_path / "a.en")], "target_files": [str(tmp_path / "a.es")]}
    result = Result(tmp_path / "run", format="parallel", **sides, **LARGE_SHARES)
    assert sorted(result.all_rows())[0] == ("a.en:1", "Sentence number 0.", "Oración número 0.")
    with (tmp_path / "a.es").open("a") as file:
        file.write("one more")
    with pytest.raises(DataError, match=r"a\.en has 50 lines, .*a\.es has 51"):
        Result(tmp_path / "again", format="parallel", **sides, **LARGE_SHARES)


def _aligned_files(folder: Path, first: int = 0, last: int = 0, shift: int = 0) -> dict:
    """450 aligned lines; from `first` to `last`, those of the target are shifted."""
    pairs = toy.sentences()
    source, target = [list(side) for side in zip(*pairs, strict=True)]
    target[first:last] = [*target[first + shift : last], *target[first : first + shift]]
    files = {"source_files": _write(folder / "a.en", source), "target_files": _write(folder / "a.es", target)}
    return {"format": "parallel", **{key: [path] for key, path in files.items()}}


def test_lines_that_are_out_of_step_stop_the_run_or_are_warned_of(tmp_path):
    files = _aligned_files(tmp_path, 200, 400, 1)
    with pytest.raises(DataError) as raised:
        Result(tmp_path / "run", **files, **LARGE_SHARES)
    message = str(raised.value)
    assert message.startswith("200 of 450 rows (44.4%) look out of step, over max_out_of_step_share 10.0%")
    assert f"lines 201 to 400 of {tmp_path}/a.en and {tmp_path}/a.es look out of step" in message
    assert "the translations seem to be 1 row above" in message
    assert "max_out_of_step_share" in raised.value.remedy
    result = Result(tmp_path / "again", max_out_of_step_share=0.5, **files, **LARGE_SHARES)
    [warning] = [line for line in result.lines if "out of step" in line]
    assert warning.startswith("warning: lines 201 to 400 of ")
    assert result.summary()["accepted"] == 450
    in_step = Result(tmp_path / "in step", **_aligned_files(tmp_path), **LARGE_SHARES)
    assert not [line for line in in_step.lines if "warning" in line]


def test_given_splits_are_read_with_globs_and_no_file_twice(tmp_path):
    for name, low, high in (("train1", 0, 10), ("train2", 10, 20), ("dev", 20, 25), ("test", 25, 30)):
        _write(tmp_path / f"{name}.tsv", _corpus(30)[low:high])
    splits = {
        "train": {"files": [str(tmp_path / "train*.tsv")]},
        "eval": {"files": [str(tmp_path / "dev.tsv")]},
        "test": {"files": [str(tmp_path / "test.tsv")]},
    }
    result = Result(tmp_path / "run", splits=splits)
    assert [len(result.rows(split)) for split in SPLITS] == [20, 5, 5]
    assert [row[0] for row in result.rows("train")][9:11] == ["train1.tsv:10", "train2.tsv:1"]
    assert result.summary()["sources_also_in_train"] == {"eval": 0, "test": 0}
    splits["test"] = splits["eval"]
    with pytest.raises(DataError, match=r"dev.tsv is given twice: for eval and test"):
        Result(tmp_path / "again", splits=splits)


def test_duplicates_in_a_published_test_set_are_kept(tmp_path):
    lines = _corpus(30)
    for name, low, high in (("train", 0, 20), ("eval", 20, 25), ("test", 25, 30)):
        _write(tmp_path / f"{name}.tsv", lines[low:high] + lines[low : low + 2])
    splits = {split: {"files": [str(tmp_path / f"{split}.tsv")]} for split in SPLITS}
    result = Result(tmp_path / "run", splits=splits, drop_duplicates="train")
    assert [len(result.rows(split)) for split in SPLITS] == [20, 7, 7]
    assert [row[0] for row in result.rows("test")] == [f"test.tsv:{n}" for n in range(1, 8)]
    assert result.summary()["duplicates"] == 2
    everywhere = Result(tmp_path / "all", splits=splits)
    assert [len(everywhere.rows(split)) for split in SPLITS] == [20, 5, 5]


def test_test_sources_that_are_also_in_train_are_reported(tmp_path):
    for name, low, high in (("train", 0, 10), ("dev", 10, 15), ("test", 8, 15)):
        _write(tmp_path / f"{name}.tsv", _corpus(30)[low:high])
    names = zip(SPLITS, ("train", "dev", "test"), strict=True)
    result = Result(tmp_path / "run", splits={s: {"files": [str(tmp_path / f"{n}.tsv")]} for s, n in names})
    assert result.summary()["sources_also_in_train"] == {"eval": 0, "test": 2}
    assert "warning: 2 sources of test are also in train; scores on test will be too high" in result.lines


def test_ids_are_distinct_if_files_have_the_same_name(tmp_path):
    paths = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        paths.append(_write(tmp_path / name / "a.tsv", [f"{name} {line}" for line in _corpus(30)]))
    result = Result(tmp_path / "run", files=paths, **LARGE_SHARES)
    ids = [row[0] for row in result.all_rows()]
    assert len(set(ids)) == 60
    assert f"{paths[1]}:30" in ids


def test_the_error_about_a_missing_file_names_it(tmp_path):
    with pytest.raises(DataError, match=r"no file matches .*nowhere\.tsv"):
        Result(tmp_path / "run", files=[str(tmp_path / "nowhere.tsv")])


def test_the_error_about_a_missing_column_lists_the_header(tmp_path):
    path = _write(tmp_path / "a.tsv", ["en\tes", *_corpus(5)])
    with pytest.raises(DataError, match=r"no column 'de'; its header names 'en', 'es'"):
        Result(tmp_path / "run", files=[path], header=True, source_column="en", target_column="de")


@pytest.mark.parametrize(
    ("lines", "message"),
    [(["One line.\tUna línea."], "the corpus has 1 usable example,"), ([], "no rows in")],
)
def test_the_message_about_a_small_corpus_names_the_empty_split(tmp_path, lines, message):
    path = tmp_path / "a.tsv"
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(DataError, match=message) as error:
        Result(tmp_path / "run", files=[str(path)])
    assert error.value.remedy


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "takes files"),
        ({"files": ["a"], "format": "parallel"}, "source_files and target_files"),
        ({"files": ["a"], "source_column": "en"}, "header must be true"),
        ({"files": ["a"], "source_column": 1}, "the same"),
        ({"files": ["a"], "eval_share": 0.5, "test_share": 0.5}, "something to train on"),
        ({"files": ["a"], "test_share": 0}, "over 0"),
        ({"files": ["a"], "max_charcters": 3}, "max_charcters"),
        ({"files": ["a"], "splits": {s: {"files": ["b"]} for s in SPLITS}}, "not both"),
    ],
)
def test_invalid_parameters_are_rejected(parameters, message):
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(parameters, Parameters)


def test_the_external_inputs_are_all_patterns():
    parameters = msgspec.convert(
        {"format": "parallel", "source_files": ["a*"], "target_files": ["b"]}, Parameters
    )
    assert ExampleGen().external_inputs(parameters) == ["a*", "b"]


class TestSpans:
    """A span is read in its own execution, and the split of a sentence does not depend on the span."""

    def test_a_source_is_in_the_same_split_in_every_span(self, tmp_path: Path) -> None:
        lines = _corpus(80)
        spans = [lines[:50], [line.upper() for line in lines[30:]], lines[::3]]
        seen: dict[str, set[str]] = {}
        for number, rows in enumerate(spans):
            span = {"number": number, "version": 1}
            file = _write(tmp_path / f"{number}.tsv", rows)
            result = Result(tmp_path / str(number), files=[file], span=span, **LARGE_SHARES)
            properties = result.examples.properties
            assert (properties["span"], properties["version"]) == (number, 1)
            for split in SPLITS:
                for id_, source, _ in result.rows(split):
                    assert id_.startswith(f"span-{number}-v1/{number}.tsv:")
                    seen.setdefault(split_key(source), set()).add(split)
        assert len(seen) == 80
        assert all(len(splits) == 1 for splits in seen.values())

    @pytest.mark.parametrize("rows", [0, 1])
    def test_a_span_may_lack_a_split_or_be_empty(self, tmp_path: Path, rows: int) -> None:
        path = tmp_path / "1.tsv"
        path.write_text("".join(f"{line}\n" for line in _corpus(rows)))
        result = Result(tmp_path / "run", files=[str(path)], span={"number": 1})
        assert len(result.all_rows()) == rows
        assert result.summary()["splits"] == {split: len(result.rows(split)) for split in SPLITS}
        assert ("warning: no rows" in result.lines) == (rows == 0)

    def test_a_span_with_too_many_rejects_stops_the_run(self, tmp_path: Path) -> None:
        file = _write(tmp_path / "1.tsv", ["no tab"] * 30)
        with pytest.raises(DataError, match="30 of 30 rows"):
            Result(tmp_path / "run", files=[file], span={"number": 1})


class GoldenResult:
    """Runs GoldenGen, and holds its outputs and the printed lines."""

    def __init__(self, root: Path, lines: list[str]):
        path = _write(root / "golden.tsv", lines)
        self.lines: list[str] = []
        self.parameters = GoldenParameters(files=("unread.tsv",), golden=Files(files=(path,)))
        self.examples = artifacts.Examples(root / "golden")
        self.rejects = artifacts.Rejects(root / "golden-rejects")
        for artifact in (self.examples, self.rejects):
            artifact.path.mkdir()
        context = Context(root, root, beam_pipeline=beam.Pipeline, say=self.lines.append)
        golden.run(self.parameters, context, examples=self.examples, rejects=self.rejects)


class TestGolden:
    """The sentences of the golden set are scored, and are in neither the train nor the eval split."""

    @pytest.mark.parametrize("is_reversed", [True, False])
    def test_a_golden_set_in_the_opposite_direction_is_told(self, tmp_path: Path, is_reversed: bool) -> None:
        english = [f"This is sentence number {n} of a long and rather ordinary text." for n in range(400)]
        spanish = [f"Esta es la frase número {n} de un texto largo y bastante común." for n in range(400)]
        lines = list(map("\t".join, zip(english, spanish, strict=True)))
        golden_lines = list(map("\t".join, zip(spanish, english, strict=True))) if is_reversed else lines
        golden_gen = GoldenResult(tmp_path, golden_lines[300:])
        file = _write(tmp_path / "a.tsv", lines[:300])
        result = Result(tmp_path / "run", files=[file], golden=golden_gen.examples, **LARGE_SHARES)
        told = [line for line in result.lines if "opposite direction" in line]
        assert len(told) == is_reversed
        assert all(line.startswith("warning: the golden set: source es, target en") for line in told)
        assert directions.of(result.examples.properties) == ("en", "es")

    def test_text_of_a_golden_set_that_is_corrected_in_training_is_a_warning(self, tmp_path: Path) -> None:
        lines = [*_corpus(10), "Bread &amp; butter\tPan y mantequilla"]
        golden_gen = GoldenResult(tmp_path, lines)
        assert golden_gen.lines[0].startswith(
            "warning: 1 rows of the golden set have text that is corrected in train (entities)"
        )
        assert golden_gen.lines[1:] == ["11 pairs"]

    def test_a_golden_set_of_the_corpus_itself_is_named_as_the_cause(self, tmp_path: Path) -> None:
        lines = _corpus(100)
        golden_gen = GoldenResult(tmp_path, lines)
        with pytest.raises(DataError, match="rows were removed, because their source is in the") as caught:
            Result(tmp_path / "run", files=[_write(tmp_path / "a.tsv", lines)], golden=golden_gen.examples)
        assert "of other sentences" in caught.value.remedy

    def test_no_golden_source_is_in_train_or_eval(self, tmp_path: Path) -> None:
        lines = _corpus(100)
        golden_lines = [line.upper() for line in lines[::4]]
        golden_gen = GoldenResult(tmp_path, golden_lines)
        assert GoldenGen().external_inputs(golden_gen.parameters) == [str(tmp_path / "golden.tsv")]
        assert golden_gen.lines == ["25 pairs"]
        file = _write(tmp_path / "a.tsv", lines)
        without = Result(tmp_path / "without", files=[file], **LARGE_SHARES)
        result = Result(tmp_path / "run", files=[file], golden=golden_gen.examples, **LARGE_SHARES)
        held_out = {split_key(line.split("\t")[0]) for line in golden_lines}
        for split in SPLITS:
            expected = [
                row for row in without.rows(split) if split == "test" or split_key(row[1]) not in held_out
            ]
            assert result.rows(split) == expected
        summary = result.summary()
        removed = len(without.all_rows()) - len(result.all_rows())
        assert summary["golden_removed"] == removed > 10
        assert summary["rows"] == summary["accepted"] + summary["duplicates"] + removed
        assert (
            f"{removed} rows removed because their source is in the golden set or a test set" in result.lines
        )

    def test_duplicates_are_kept_and_unusable_rows_are_rejected(self, tmp_path: Path) -> None:
        golden_gen = GoldenResult(tmp_path, ["A.\tB.", "no tab", "A.\tB.", "A.\t" + "B" * 500])
        [path] = golden_gen.examples.split("golden").glob("*.gz")
        decoder = example_coder.ExamplesToRecordBatchDecoder(None)
        [batch] = [decoder.DecodeBatch(records).to_pydict() for records in tfrecord.read_records(path)]
        assert [v[0].decode() for v in batch["id"]] == ["golden.tsv:1", "golden.tsv:3", "golden.tsv:4"]
        with gzip.open(golden_gen.rejects.path / "rejects.jsonl.gz", "rt", encoding="utf-8") as rejected:
            assert [json.loads(line)["line"] for line in rejected] == [2]
        assert json.loads((golden_gen.rejects.path / "summary.json").read_text())["rows"] == 4

    def test_a_golden_set_without_a_usable_row_is_an_error(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no row of the golden set can be used"):
            GoldenResult(tmp_path, ["no tab"])


class JsonLines(Format):
    """A format of this test only: each line is a JSON object with a source and a target."""

    name = "toy"

    def rows(self, file: SourceFile, parameters: Parameters) -> Iterator[Rows]:
        for number, line in enumerate(text_lines(file.path), 1):
            sides, rejected = (None, None), {}
            try:
                pair = json.loads(line)
                sides = (pair["source"], pair["target"])
            except (json.JSONDecodeError, KeyError) as error:
                rejected = {0: ("missing_column", f"{type(error).__name__}: {error}")}
            columns = [pa.array([side], pa.string()).cast(pa.binary()) for side in sides]
            raw = (pa.array([line], pa.binary()),)
            yield Rows(np.array([number]), (columns[0], columns[1]), raw, np.array([2]), rejected)


class TestFormats:
    """A format is a class and an entry of FORMATS."""

    def test_a_new_format_is_one_class(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        pairs = [line.split("\t")[:2] for line in _corpus()]
        lines = [json.dumps({"source": source, "target": target}) for source, target in pairs]
        lines[4], lines[9] = "{", '{"source": "no target"}'
        path = _write(tmp_path / "a.jsonl", lines)
        with pytest.raises(msgspec.ValidationError, match="format must be tsv or csv or parallel"):
            msgspec.convert({"files": [path], "format": "toy"}, Parameters)
        monkeypatch.setitem(FORMATS, JsonLines.name, JsonLines())
        result = Result(tmp_path / "run", format="toy", files=[path], **LARGE_SHARES)
        tsv = Result(tmp_path / "tsv", files=[_write(tmp_path / "a.tsv", _corpus())], **LARGE_SHARES)
        expected = {row[1:] for row in tsv.all_rows()} - {tuple(pairs[4]), tuple(pairs[9])}
        assert {row[1:] for row in result.all_rows()} == expected
        assert {row[0].partition(":")[0] for row in result.all_rows()} == {"a.jsonl"}
        assert [(r["line"], r["reason"], r["text"]) for r in result.rejects()] == [
            (5, "missing_column", "{"),
            (10, "missing_column", '{"source": "no target"}'),
        ]

    def test_only_the_fields_that_a_format_reads_may_be_given(self) -> None:
        for file_format in FORMATS.values():
            for files in (Files(), Files(files=("a",), source_files=("b",), target_files=("c",))):
                with pytest.raises(ValueError, match=f"^golden: format {file_format.name} takes "):
                    file_format.check_files(files, "golden")

    def test_the_source_code_of_every_format_is_in_the_cache_key(self) -> None:
        digests = source_digests("bitext.components.example_gen")
        assert {type(file_format).__module__ for file_format in FORMATS.values()} < set(digests)
