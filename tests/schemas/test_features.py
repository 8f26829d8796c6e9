"""Derived features: literal inputs and outputs."""

from __future__ import annotations

from typing import get_args

import pyarrow as pa
import pytest

from bitext.schemas import Script, loader
from bitext.schemas.features import LENGTHS, NONE, OTHER, SCRIPTS, derive, of_side


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Hello, Ünïcode!", "Latin"),
        ("Привіт, Tom.", "Cyrillic"),
        ("Γειά", "Greek"),
        ("مرحبا", "Arabic"),
        ("שלום", "Hebrew"),
        ("नमस्ते", "Devanagari"),
        ("你好，世界。", "Han"),
        ("ありがとうございます", "Kana"),
        ("안녕하세요", "Hangul"),
        ("สวัสดี", "Thai"),
        ("გამარჯობა", "Georgian"),
        ("ᚠᚢᚦ", OTHER),
        ("12:30 — 100 %", NONE),
        ("e\u0301\u0301\u0301", "Latin"),
        ("", NONE),
    ],
)
def test_script(text, script):
    features = derive(pa.array(["x", text, "y"]), pa.array([text, "x", "y"]))
    assert features["source_script"].to_pylist() == ["Latin", script, "Latin"]
    assert features["target_script"].to_pylist() == [script, "Latin", "Latin"]


def test_numbers():
    features = derive(
        pa.array(["Go on, 7!", "día", "same"]), pa.array(["¡Adelante!", "day and night", "SAME"])
    )
    assert features["source_characters"].to_pylist() == [9, 3, 4]
    assert features["target_length"].to_pylist() == ["10-19", "10-19", "1-9"]
    assert features["target_words"].to_pylist() == [1, 3, 1]
    assert features["source_non_alphabetic"].to_pylist() == pytest.approx([3 / 9, 0, 0])
    assert features["length_ratio"].to_pylist() == pytest.approx([10 / 9, 13 / 3, 1])
    assert features["copied"].to_pylist() == ["no", "no", "yes"]


@pytest.mark.parametrize(
    ("size", "name"), [(1, "1-9"), (9, "1-9"), (10, "10-19"), (319, "160-319"), (320, "320+")]
)
def test_length_classes(size, name):
    assert derive(pa.array(["x" * size]), pa.array(["y"]))["source_length"].to_pylist() == [name]


@pytest.mark.parametrize(
    ("text", "ending"),
    [
        ("Where is the STATION?", "n"),
        ("¿Dónde está?", "a"),
        ("e\u0301\u0301 17.", "e"),
        ("Він їсть її", "і"),
        ("Straße ﬁ", "f"),
        ("你好，世界。", "Han, Kana"),
        ("안녕하세요", "Hangul"),
        ("行きます", "Han, Kana"),
        ("設定変更", "Han, Kana"),
        ("ไปครับ", "Thai"),
        ("ሰላም", f"Ethiopic {ord('ም') % 32}"),
        ("ᚠᚢᚦ", f"{OTHER} {ord('ᚦ') % 32}"),
        ("नमस्ते", "\u0947"),
        ("12:30 — 100 %", NONE),
        ("", NONE),
    ],
)
def test_ending(text, ending):
    """Each row has its own ending, also between rows without letters."""
    features = derive(pa.array(["!", text, "", "x"]), pa.array([text, "", text, "y"]))
    assert features["source_ending"].to_pylist() == [NONE, ending, NONE, "x"]
    assert features["target_ending"].to_pylist() == [ending, NONE, ending, "y"]


def test_scripts_with_many_letters_have_few_endings():
    letters = ["".join(chr(c) for c in range(*block)) for block in ((0x4E00, 0xA000), (0x1200, 0x13A0))]
    for text in letters:
        endings = of_side("source", pa.array(list(text)))["source_ending"]
        assert len(endings.unique()) <= 34


def test_one_side_has_the_same_features_as_in_a_pair():
    text = pa.array(["Go on, 7!", "día"])
    pair = derive(text, pa.array(["x", "y"]))
    alone = of_side("source", text)
    assert {name for name in pair if name.startswith("source_")} == set(alone)
    assert all(pair[name].equals(array) for name, array in alone.items())


def test_no_rows():
    empty = pa.array([], pa.string())
    assert {len(array) for array in derive(empty, empty).values()} == {0}


def test_the_curated_schema_has_every_feature_and_script():
    schema = loader.load()
    derived = derive(pa.array(["a"]), pa.array(["b"]))
    assert {f.name for f in schema.feature} == {"id", "source", "target", *derived}
    known = {f.name: list(f.string_domain.value) for f in schema.feature if f.HasField("string_domain")}
    assert get_args(Script) == SCRIPTS
    assert known["source_script"] == known["target_script"] == [s for s in SCRIPTS if s not in (OTHER, NONE)]
    assert known["source_length"] == known["target_length"] == list(LENGTHS)


def test_schema_round_trip(tmp_path):
    schema = loader.load()
    loader.restrict_domain(schema, "target_script", ["Han", "Kana"])
    loader.save(schema, tmp_path / "s.pbtxt", "two\nlines")
    assert loader.load(tmp_path / "s.pbtxt") == schema
    assert (tmp_path / "s.pbtxt").read_text().startswith("# two\n# lines\n")
    with pytest.raises(ValueError, match="no feature 'colour'"):
        loader.restrict_domain(schema, "colour", ["red"])
