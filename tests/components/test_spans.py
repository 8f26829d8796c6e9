"""Spans of a corpus: their numbers, the window, and the files of each span."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.component import Part
from bitext.components.example_gen import EPOCH, GivenSplits, Parameters, Span, Window
from bitext.components.example_gen.files import Files
from bitext.components.example_gen.spans import parts
from bitext.components.shared.errors import ConfigError, DataError


def touch(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def files_by_part(folder: Path, pattern: str, **window: object) -> dict[str, tuple[str, ...]]:
    """The files of each part by its name, relative to the folder."""
    span_parts = parts(Parameters(files=(f"{folder}/{pattern}",), window=Window(**window)))  # type: ignore[arg-type]
    return {part.name: relative_files(folder, part) for part in span_parts}


def relative_files(folder: Path, part: Part) -> tuple[str, ...]:
    assert isinstance(part.parameters, Parameters)
    return tuple(str(Path(file).relative_to(folder)) for file in part.parameters.files)


def test_a_corpus_without_spans_is_one_part_with_the_same_parameters() -> None:
    parameters = Parameters(files=("a-*.tsv",))
    assert parts(parameters) == [Part("", parameters)]


def test_spans_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    touch(tmp_path, "s-10.tsv", "s-9.tsv", "s-x.tsv", "s-011.tsv")
    span_parts = files_by_part(tmp_path, "s-{SPAN}.tsv")
    assert list(span_parts.items()) == [
        ("span 9", ("s-9.tsv",)),
        ("span 10", ("s-10.tsv",)),
        ("span 11", ("s-011.tsv",)),
    ]


def test_a_marker_with_a_width_matches_that_many_digits(tmp_path: Path) -> None:
    touch(tmp_path, "s-0010.tsv", "s-9.tsv")
    assert files_by_part(tmp_path, "s-{SPAN:4}.tsv") == {"span 10": ("s-0010.tsv",)}


def test_a_span_may_have_many_files_in_a_folder_of_its_own(tmp_path: Path) -> None:
    touch(tmp_path, "7/b/part-1.tsv", "7/part-0.tsv", "8/part-0.tsv", "8/other.txt")
    assert files_by_part(tmp_path, "{SPAN}/**/part-[0-9].tsv") == {
        "span 7": ("7/b/part-1.tsv", "7/part-0.tsv"),
        "span 8": ("8/part-0.tsv",),
    }


def test_a_span_by_date_and_a_marker_that_is_repeated(tmp_path: Path) -> None:
    touch(tmp_path, "2026/11/2026-11-23.tsv", "2026/11/2026-11-24.tsv", "2026/12/2026-11-25.tsv")
    pattern = "{YYYY}/{MM}/{YYYY}-{MM}-{DD}.tsv"
    assert list(files_by_part(tmp_path, pattern)) == ["span 2026-11-23", "span 2026-11-24"]
    day = datetime.date(2026, 11, 24)
    [part] = parts(Parameters(files=(f"{tmp_path}/{pattern}",), window=Window(first=day)))
    assert isinstance(part.parameters, Parameters)
    assert part.parameters.span == Span((day - EPOCH).days)


def test_an_impossible_date_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    touch(tmp_path, "2026-02-30.tsv")
    with pytest.raises(DataError, match=r"2026-02-30\.tsv: its name has no valid date"):
        files_by_part(tmp_path, "{YYYY}-{MM}-{DD}.tsv")


def test_the_newest_version_of_a_span_is_used(tmp_path: Path) -> None:
    touch(tmp_path, "1-v1.tsv", "1-v10.tsv", "1-v9.tsv", "2-v1.tsv")
    assert files_by_part(tmp_path, "{SPAN}-v{VERSION}.tsv") == {
        "span 1 version 10": ("1-v10.tsv",),
        "span 2 version 1": ("2-v1.tsv",),
    }


@given(
    numbers=st.sets(st.integers(0, 300), min_size=1, max_size=12),
    newest=st.none() | st.integers(1, 15),
    first=st.none() | st.integers(0, 300),
    last=st.none() | st.integers(0, 300),
)
def test_the_window_is_the_newest_within_its_bounds(
    tmp_path_factory: pytest.TempPathFactory,
    numbers: set[int],
    newest: int | None,
    first: int | None,
    last: int | None,
) -> None:
    if first is not None and last is not None and first > last:
        with pytest.raises(ValueError, match="is after"):
            Window(first=first, last=last)
        return
    folder = tmp_path_factory.mktemp("spans")
    touch(folder, *(f"{n}.tsv" for n in numbers))
    inside = sorted(n for n in numbers if n >= (first or 0) and n <= (300 if last is None else last))
    expected = inside[-newest:] if newest else inside
    if not expected:
        with pytest.raises(DataError, match="no span of the corpus is in example_gen.window"):
            files_by_part(folder, "{SPAN}.tsv", newest=newest, first=first, last=last)
        return
    span_parts = files_by_part(folder, "{SPAN}.tsv", newest=newest, first=first, last=last)
    assert list(span_parts) == [f"span {n}" for n in expected]


def test_a_part_does_not_depend_on_the_window(tmp_path: Path) -> None:
    touch(tmp_path, "1.tsv", "2.tsv")
    alone = parts(Parameters(files=(f"{tmp_path}/{{SPAN}}.tsv",), window=Window(newest=1)))
    both = parts(Parameters(files=(f"{tmp_path}/{{SPAN}}.tsv",), window=Window(newest=2)))
    assert alone == both[1:]


def test_files_without_a_span_are_in_every_window(tmp_path: Path) -> None:
    touch(tmp_path, "base.tsv", "1.tsv", "2.tsv")
    files = (f"{tmp_path}/base.tsv", f"{tmp_path}/{{SPAN}}.tsv")
    span_parts = parts(Parameters(files=files, window=Window(newest=1)))
    assert [(part.name, relative_files(tmp_path, part)) for part in span_parts] == [
        ("no span", ("base.tsv",)),
        ("span 2", ("2.tsv",)),
    ]


def test_both_sides_of_a_span_must_have_the_same_version(tmp_path: Path) -> None:
    touch(tmp_path, "1-v1.en", "1-v1.es", "1-v2.en")
    parameters = Parameters(
        format="parallel",
        source_files=(f"{tmp_path}/{{SPAN}}-v{{VERSION}}.en",),
        target_files=(f"{tmp_path}/{{SPAN}}-v{{VERSION}}.es",),
    )
    with pytest.raises(DataError, match=r"span 1 version 2: no file matches .*\.es"):
        parts(parameters)
    touch(tmp_path, "1-v2.es")
    [part] = parts(parameters)
    assert isinstance(part.parameters, Parameters)
    assert (part.parameters.source_files, part.parameters.target_files) == (
        (f"{tmp_path}/1-v2.en",),
        (f"{tmp_path}/1-v2.es",),
    )


def test_of_given_splits_train_alone_may_have_spans(tmp_path: Path) -> None:
    touch(tmp_path, "1.tsv", "eval.tsv", "test.tsv")
    given = GivenSplits(
        train=Files(files=(f"{tmp_path}/{{SPAN}}.tsv",)),
        eval=Files(files=(f"{tmp_path}/eval.tsv",)),
        test=Files(files=(f"{tmp_path}/test.tsv",)),
    )
    span_parts = parts(Parameters(splits=given))
    splits = [msgspec.to_builtins(part.parameters)["splits"] for part in span_parts]
    files = [{name: [Path(f).name for f in split[name]["files"]] for name in split} for split in splits]
    assert files == [
        {"train": [], "eval": ["eval.tsv"], "test": ["test.tsv"]},
        {"train": ["1.tsv"], "eval": [], "test": []},
    ]


@pytest.mark.parametrize("pattern", ["{SPAN}-{YYYY}-{MM}-{DD}.tsv", "{YYYY}-{MM}.tsv", "v{VERSION}.tsv"])
def test_markers_that_are_not_a_span_are_rejected(pattern: str) -> None:
    with pytest.raises(ConfigError, match="a span is {SPAN}, or {YYYY}, {MM} and {DD} together"):
        parts(Parameters(files=(pattern,)))


def test_a_window_without_spans_is_rejected() -> None:
    with pytest.raises(ConfigError, match="no pattern has a span"):
        parts(Parameters(files=("a.tsv",), window=Window(newest=3)))


def test_a_corpus_without_a_file_of_any_span_is_an_error() -> None:
    with pytest.raises(DataError, match="no file matches"):
        parts(Parameters(files=("no/{SPAN}.tsv",)))
