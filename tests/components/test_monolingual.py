"""MonolingualGen: which lines of text files become sentences, and what is said about the others."""

from __future__ import annotations

import bz2
import gzip
import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.example_gen import MonolingualGen, MonolingualParameters, monolingual
from bitext.components.example_gen.cleaning import Cleaning
from bitext.components.shared import directions, tfrecord
from bitext.components.shared.errors import DataError
from bitext.components.text.normalization import is_blank, split_key
from tests.components.test_corpora import part

SUBJECTS = ("El gato", "El perro", "Mi hermano", "La maestra", "Un niño")
OBJECTS = ("una casa roja", "el libro viejo", "un poco de pan", "dos manzanas", "el río de la ciudad")
SPANISH = [f"{who} ve {what} todos los días." for who, what in itertools.product(SUBJECTS, OBJECTS)]
ENGLISH = [
    f"The {animal} sees the {thing} every day."
    for animal in ("cat", "dog", "cow", "child", "man")
    for thing in ("house", "river", "garden", "book", "bridge")
]


class Made:
    """What MonolingualGen has written and said."""

    def __init__(
        self,
        folder: Path,
        files: Mapping[str, bytes],
        bitext: Sequence[artifacts.Examples] = (),
        golden: artifacts.Examples | None = None,
        patterns: Sequence[str] = (),
        **parameters: Any,
    ):
        for name, content in files.items():
            (folder / name).write_bytes(content)
        self.examples, self.lines = artifacts.Examples(folder / "out"), list[str]()
        (folder / "temp").mkdir(parents=True, exist_ok=True)
        context = Context(folder, folder / "temp", lambda: None, say=self.lines.append)
        paths = tuple(str(folder / name) for name in (*files, *patterns))
        given = MonolingualParameters(**{"side": "target", "files": paths, **parameters})
        bitext = bitext or [part(folder / "bitext", "")]
        MonolingualGen().run(given, context, bitext=tuple(bitext), golden=golden, examples=self.examples)

    def column(self, name: str) -> list[str]:
        return [
            text
            for file in self.examples.files("train")
            for batch in tfrecord.read_record_batches(file)
            for text in tfrecord.string_column(batch, name, file).to_pylist()
        ]


def test_odd_files_are_read_as_the_bitext_is(tmp_path: Path) -> None:
    a, b, c, d, e = SPANISH[:5]
    made = Made(
        tmp_path,
        {
            "bom.txt": f"\ufeff{a}\r\n\r\n  {b}  \r\n{a}\r\n".encode(),
            "plain.txt.gz": gzip.compress(f"{c}\n{'x ' * 600}\n{a.upper()}\n".encode()),
            "old.txt.bz2": bz2.compress(f"{d}\r{e}".encode()),
        },
        max_reject_share=0.5,
    )
    assert made.column("target") == [a, b, c, d, e]
    assert made.column("id") == ["bom.txt:1", "bom.txt:3", "plain.txt.gz:1", "old.txt.bz2:1", "old.txt.bz2:2"]
    assert made.lines[0] == "9 lines: 5 sentences; left out: blank 1, duplicate 2, too_long 1"
    assert made.examples.properties["train"] == 5
    assert made.examples.splits() == ["train"]


def test_another_encoding(tmp_path: Path) -> None:
    text = f"{SPANISH[4]}\nUn niño.\n".encode("cp1252")
    assert Made(tmp_path, {"a.txt": text}, encoding="windows-1252").column("target")[1] == "Un niño."
    (tmp_path / "utf-8").mkdir()
    text = "".join(f"{sentence}\n" for sentence in SPANISH).encode("cp1252")
    with pytest.raises(DataError, match="is not UTF-8 text") as caught:
        Made(tmp_path / "utf-8", {"a.txt": text})
    assert "augmentation.monolingual.target.encoding" in caught.value.remedy


SENTENCES = st.sampled_from(["Hola", "hola", "¡Hola!", "  Hola ", "", "\u200b", "Adiós", "ADIÓS", "Sí", "No"])
LINES = st.lists(SENTENCES, min_size=1, max_size=12)
PAIRS = st.lists(st.tuples(SENTENCES.filter(bool), SENTENCES.filter(bool)), max_size=3)


@hypothesis.settings(max_examples=15, deadline=None)
@hypothesis.given(LINES, PAIRS, PAIRS, PAIRS, st.sampled_from(["source", "target"]))
def test_it_leaves_out_what_is_known(lines: list[str], train: Any, test: Any, golden: Any, side: str) -> None:
    """No sentence is held out, on either side, is in the bitext on its side, or is there twice."""
    held_out = {split_key(text) for pair in (*test, *golden) for text in pair}
    trained = {split_key(pair[side == "target"]) for pair in train}
    expected: dict[str, str] = {}
    for line in lines:
        if not is_blank(line) and split_key(line) not in held_out | trained:
            expected.setdefault(split_key(line), line.strip())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tagged = [(f"<law> {source}", target) for source, target in train]
        bitext = [part(folder / "law", "law", train=tagged), part(folder / "web", "web", test=test)]
        arguments: dict[str, Any] = {
            "bitext": bitext,
            "golden": part(folder / "golden", "", test=golden),
            "side": side,
            "tags": {"law": "<law>"},
            "cleaning": Cleaning(level="off"),
        }
        files = {"a.txt": "".join(f"{line}\n" for line in lines).encode()}
        if not expected:
            with pytest.raises(DataError, match="no sentence of the"):
                Made(folder, files, **arguments)
            return
        assert Made(folder, files, **arguments).column(side) == list(expected.values())


def test_at_most_so_many_sentences_the_same_in_every_run(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(monolingual, "SHARD_ROWS", 3)
    text = "".join(f"{sentence}\n" for sentence in SPANISH).encode()
    (few, again, more) = (
        Made((tmp_path / str(i)), {"a.txt": text}, max_sentences=most)
        for i, most in enumerate((7, 7, 8))
        if not (tmp_path / str(i)).mkdir()
    )
    assert few.column("target") == again.column("target")
    assert len(few.column("target")) == 7
    assert set(few.column("target")) < set(more.column("target")) < set(SPANISH)
    assert few.column("target") == [sentence for sentence in SPANISH if sentence in few.column("target")]
    assert [file.name for file in few.examples.files("train")] == [
        f"data_tfrecord-0000{i}-of-00003.gz" for i in range(3)
    ]


class TestErrors:
    def test_lines_that_cannot_be_used(self, tmp_path: Path) -> None:
        text = f"{SPANISH[0]}\nEl \x07 timbre.\n{SPANISH[1]}\n\n".encode()
        with pytest.raises(DataError) as caught:
            Made(tmp_path, {"a.txt": text})
        assert "1 of 3 lines (33.3%) of the monolingual files cannot be used" in str(caught.value)
        assert f"{tmp_path}/a.txt:2: control_characters (U+0007): " in str(caught.value)

    def test_a_missing_file_and_one_of_another_kind(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no file matches") as caught:
            Made(tmp_path, {}, patterns=["*.txt"], bitext=[part(tmp_path / "b", "")])
        assert "augmentation.monolingual.target.files" in caught.value.remedy
        with pytest.raises(DataError) as caught:
            Made(tmp_path, {"a.txt": b"PAR1" + bytes(100)}, bitext=[part(tmp_path / "c", "")])
        assert "augmentation.monolingual.target takes text files" in caught.value.remedy
        with pytest.raises(DataError, match="has columns, divided by tabs") as caught:
            Made(tmp_path, {"a.tsv": b"a house\tuna casa\n" * 3}, bitext=[part(tmp_path / "d", "")])
        assert f"cut -f2 {tmp_path}/a.tsv" in caught.value.remedy

    @pytest.mark.parametrize(("languages", "is_refused"), [(("en", "es"), True), (("fr", "es"), False)])
    def test_the_wrong_language(self, tmp_path: Path, languages: tuple[str, str], is_refused: bool) -> None:
        bitext = part(tmp_path / "b", "")
        bitext.properties.update(directions.properties_of(languages))
        files = {"a.txt": "".join(f"{sentence}\n" for sentence in ENGLISH).encode()}
        if is_refused:
            with pytest.raises(DataError, match="and those of the bitext es: they are in"):
                Made(tmp_path, files, bitext=[bitext])
            return
        assert any(line.startswith("warning: ") for line in Made(tmp_path, files, bitext=[bitext]).lines)
