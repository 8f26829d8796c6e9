"""A held-out source has no twin in train: another spelling of the same sentence is in the same split."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.example_gen import SPLITS, Files, GoldenParameters, golden
from tests.components import phrases
from tests.components.example_gen_runs import Result, write

EXTRA = (
    "I don't know what you're talking about.",
    'She said "good morning" and left the café.',
    "The naïve señor's résumé is snake_case, isn't it?",
    "Ångström and Café Zürich are 12 km apart.",
)
SOURCES = [
    *phrases.ENGLISH,
    *EXTRA,
    *(f"{a} {b}" for a, b in itertools.product(phrases.ENGLISH, EXTRA)),
    *(f"{a} {b}" for a, b in itertools.product(EXTRA, phrases.ENGLISH)),
    *phrases.TRANSLATIONS["ko"],
    *phrases.TRANSLATIONS["hi"],
    *phrases.TRANSLATIONS["ja"],
    *phrases.TRANSLATIONS["ru"],
]


def _full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if c.isascii() and c.isalnum() else c for c in text)


def _curly(text: str) -> str:
    return text.replace("'", "\u2019").replace(' "', " \u201c").replace('" ', "\u201d ")


SPELLINGS: dict[str, Callable[[str], str]] = {
    "zero-width space": lambda text: text[:3] + "\u200b" + text[3:],
    "byte order mark": lambda text: "\ufeff" + text,
    "word joiner at the end": lambda text: text + "\u2060",
    "soft hyphen": lambda text: text[:2] + "\u00ad" + text[2:],
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "full-width": _full_width,
    "curly quotes": _curly,
    "word boundary mark": lambda text: text.replace("_", "\u2581"),
    "no-break spaces": lambda text: text.replace(" ", "\u00a0\u3000"),
    "upper case": str.upper,
    "all at once": lambda text: "\u200b" + unicodedata.normalize("NFD", _curly(text)).replace(" ", "\u2003"),
}
WIDE = {"eval_share": 0.3, "test_share": 0.3}


def _lines(sources: list[str], target: str) -> list[str]:
    """One row a source; the last word of the target tells which source it is."""
    return [f"{source}\t{target} oración número {number}" for number, source in enumerate(sources)]


def _splits(result: Result) -> dict[str, set[str]]:
    """The splits of each source, by its number."""
    splits: dict[str, set[str]] = {}
    for split in SPLITS:
        for _, _, target in result.rows(split):
            splits.setdefault(target.split()[-1], set()).add(split)
    return splits


@pytest.fixture(params=SPELLINGS)
def twins(request) -> list[str]:
    """Every source in another spelling."""
    return [SPELLINGS[request.param](source) for source in SOURCES]


def test_a_twin_is_in_the_split_of_its_source(tmp_path, twins):
    lines = _lines(SOURCES, "Una") + _lines(twins, "Otra")
    result = Result(tmp_path / "run", files=[write(tmp_path / "a.tsv", lines)], **WIDE)
    splits = _splits(result)
    assert len(splits) == len(SOURCES)
    assert {name for names in splits.values() for name in names} == set(SPLITS)
    assert all(len(names) == 1 for names in splits.values())


def test_a_twin_in_another_span_is_in_the_split_of_its_source(tmp_path, twins):
    splits = []
    for number, sources in enumerate((SOURCES, twins)):
        file = write(tmp_path / f"{number}.tsv", _lines(sources, "Una"))
        splits.append(_splits(Result(tmp_path / str(number), files=[file], span={"number": number}, **WIDE)))
    assert splits[0] == splits[1]


def test_twins_in_given_splits_are_counted(tmp_path, twins):
    sides = {"train": SOURCES, "eval": twins[:20], "test": [*twins[20:50], "A sentence of test alone."]}
    files = {
        split: {"files": [write(tmp_path / f"{split}.tsv", _lines(sources, "Una"))]}
        for split, sources in sides.items()
    }
    result = Result(tmp_path / "run", splits=files)
    assert result.summary()["sources_also_in_train"] == {"eval": 20, "test": 30}
    assert "warning: 30 sources of test are also in train; scores on test will be too high" in result.lines


def test_twins_of_golden_sources_are_removed(tmp_path: Path, twins):
    path = write(tmp_path / "golden.tsv", _lines(twins, "Una"))
    examples, rejects = artifacts.Examples(tmp_path / "golden"), artifacts.Rejects(tmp_path / "rejects")
    for artifact in (examples, rejects):
        artifact.path.mkdir()
    parameters = GoldenParameters(files=("unread.tsv",), golden=Files(files=(path,)))
    context = Context(tmp_path, tmp_path, beam_pipeline=beam.Pipeline, say=print)
    golden.run(parameters, context, examples=examples, rejects=rejects)
    file = write(tmp_path / "a.tsv", [*_lines(SOURCES, "Una"), *_lines(["Only here."], "x")])
    result = Result(tmp_path / "run", files=[file], golden=examples, span={"number": 1}, **WIDE)
    left = {target for split in ("train", "eval") for _, _, target in result.rows(split)}
    assert left <= {"x oración número 0"}
    assert result.summary()["golden_removed"] > len(SOURCES) / 2
