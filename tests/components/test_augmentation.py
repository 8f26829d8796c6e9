"""Augmentation: altered copies of training pairs, in capitals and without the final mark."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from bitext.components.transform import Augmentation, analyzer_cache
from bitext.components.transform.augmentation import augment
from tests.components.transform_runs import Run, key_of, rows, write_examples

KIND = pa.large_list(pa.large_binary())


def batch(*pairs: tuple[str, str], first: int = 1) -> pa.RecordBatch:
    ids = [[f"a.tsv:{first + i}".encode()] for i in range(len(pairs))]
    sides = ([[text.encode()] for text in side] for side in zip(*pairs, strict=True))
    columns = [pa.array(values, KIND) for values in (ids, *sides)]
    return pa.RecordBatch.from_arrays(columns, ["id", "source", "target"])


def pairs(altered: pa.RecordBatch) -> list[tuple[str, str]]:
    columns = altered.to_pydict()
    return [(s.decode(), t.decode()) for [s], [t] in zip(columns["source"], columns["target"], strict=True)]


@pytest.mark.parametrize(
    ("pair", "copy"),
    [
        (("I don't know.", "No lo sé."), ("I DON'T KNOW.", "NO LO SÉ.")),
        (("eine Straße", "one street"), ("EINE STRASSE", "ONE STREET")),
        (("I like tea.", "我喜欢茶。"), ("I LIKE TEA.", "我喜欢茶。")),
    ],
)
def test_copy_in_capitals(pair: tuple[str, str], copy: tuple[str, str]) -> None:
    assert pairs(augment(batch(pair), Augmentation(upper_case=1.0))) == [pair, copy]


def test_the_tag_of_a_corpus_stays_in_a_copy_in_capitals() -> None:
    altered = augment(batch(("<bt> a", "b"), ("<btw> c", "d")), Augmentation(upper_case=1.0), ["<bt>"])
    assert pairs(altered)[2:] == [("<bt> A", "B"), ("<BTW> C", "D")]


@pytest.mark.parametrize(
    ("pair", "copy"),
    [
        (("I like tea.", "Me gusta el té."), ("I like tea", "Me gusta el té")),
        (("I like tea.", "我喜欢茶。"), ("I like tea", "我喜欢茶")),
        (("Where is it?", "¿Dónde está?"), ("Where is it", "¿Dónde está?")),
        (("Stop !!", "¡Alto!"), ("Stop", "¡Alto!")),
        (("यह चाय है।", "This is tea."), ("यह चाय है", "This is tea")),
    ],
)
def test_copy_without_the_final_mark(pair: tuple[str, str], copy: tuple[str, str]) -> None:
    assert pairs(augment(batch(pair), Augmentation(no_final_mark=1.0))) == [pair, copy]


@pytest.mark.parametrize(
    "pair", [("42", "42"), ("我喜欢茶", "茶"), ("?", "¿?"), (".", "."), ("no mark", "none")]
)
def test_pair_that_does_not_change_has_no_copy(pair: tuple[str, str]) -> None:
    altered = pairs(augment(batch(pair), Augmentation(no_final_mark=1.0)))
    assert altered == [pair]


def test_copies_are_a_random_share_that_depends_on_the_batch_alone() -> None:
    many = [(f"sentence {i}.", f"frase {i}.") for i in range(2000)]
    settings = Augmentation(upper_case=0.2, no_final_mark=0.1)
    altered = augment(batch(*many), settings)
    assert altered.slice(0, 2000).equals(batch(*many))
    capitals = sum(source.isupper() for source, _ in pairs(altered)[2000:])
    assert 340 < capitals < 460
    assert 160 < altered.num_rows - 2000 - capitals < 240
    assert altered.equals(augment(batch(*many), settings))
    other = {source for source, _ in pairs(augment(batch(*many, first=7), settings))[2000:]}
    assert other != {source for source, _ in pairs(altered)[2000:]}


@pytest.mark.slow
def test_only_the_training_split_is_augmented_and_its_capitals_are_in_the_vocabulary(tmp_path: Path) -> None:
    lower = [(id_, source, source) for id_, source, _ in rows(200, 1)]
    splits = {"train": lower, "eval": rows(20, 2)}
    plain = Run(tmp_path / "plain", splits)
    altered = Run(tmp_path / "altered", splits, augmentation=Augmentation(upper_case=1.0))
    count = {name: len(list(run.records("train"))) for name, run in (("plain", plain), ("altered", altered))}
    capitals = sum(source != source.upper() for _, source, _ in lower)
    assert count == {"plain": 200, "altered": 200 + capitals}
    assert dict(altered.records("eval")).keys() == dict(plain.records("eval")).keys()
    assert any("pairs, altered copies included, in" in message for message in altered.messages)
    pieces = next(altered.graph.path.rglob("vocabulary-*.txt")).read_text().split("\n")
    assert [piece for piece in pieces if piece.isupper() and len(piece) > 2]


def test_counts_of_another_augmentation_are_not_reused(tmp_path: Path) -> None:
    write_examples(tmp_path / "span", {"train": rows(5, 1)})
    folders = [tmp_path / "span" / "Split-train"]
    keys = {
        analyzer_cache.dataset_keys(folders, settings)[0]
        for settings in (Augmentation(), Augmentation(upper_case=0.5), Augmentation(no_final_mark=0.5))
    }
    assert len(keys) == 3
    assert key_of(tmp_path / "span") in keys
