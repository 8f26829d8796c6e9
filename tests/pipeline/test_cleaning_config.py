"""The level of cleaning is short for its section, and a configuration prints all rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitext.components.example_gen.cleaning import LEVELS, Cleaning
from bitext.components.shared.errors import ConfigError
from bitext.pipeline import config

TEXT = "name: toy\nexample_gen:\n  files: [a.tsv]\n"


def load(folder: Path, lines: str = "", *overrides: str) -> config.PipelineConfig:
    path = folder / "toy.yaml"
    path.write_text(TEXT + lines, encoding="utf-8")
    return config.load(path, overrides)


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_short_for_the_section(tmp_path, level):
    full = load(tmp_path, f"  cleaning: {{level: {level}}}\n")
    assert full.example_gen.cleaning == Cleaning(level=level)
    assert load(tmp_path, f"  cleaning: {level}\n") == full
    assert load(tmp_path, "", f"example_gen.cleaning={level}") == full
    assert load(tmp_path, "  cleaning: basic\n", f"example_gen.cleaning.level={level}") == full
    dumped = config.dump(full).replace("'", "")
    for key, value in LEVELS[level].items():
        written = str(value).lower()
        assert f"\n    {key}: {written}\n" in dumped


def test_a_single_rule_is_set_beside_a_short_level(tmp_path):
    cleaning = load(tmp_path, "  cleaning: off\n", "example_gen.cleaning.max_words=7").example_gen.cleaning
    assert (cleaning.level, cleaning.max_words, cleaning.links_only) == ("off", 7, False)


def test_each_corpus_has_its_own_and_the_common_one_is_the_default(tmp_path):
    text = "name: toy\nexample_gen:\n  cleaning: strict\n  corpora:\n"
    text += "  - {name: a, files: [a.tsv], cleaning: off}\n  - {name: b, files: [b.tsv]}\n"
    (tmp_path / "toy.yaml").write_text(text, encoding="utf-8")
    corpora = config.load(tmp_path / "toy.yaml").example_gen.corpora
    assert [corpus.cleaning for corpus in corpora] == [Cleaning(level="off"), Cleaning(level="strict")]


def test_a_dumped_configuration_loads_to_an_equal_value(tmp_path):
    loaded = load(tmp_path, "  cleaning: {level: strict, max_targets: 0}\n")
    (tmp_path / "dumped.yaml").write_text(config.dump(loaded), encoding="utf-8")
    assert config.load(tmp_path / "dumped.yaml") == loaded


@pytest.mark.parametrize(
    ("lines", "overrides", "message"),
    [
        ("  cleaning: strct\n", (), "example_gen.cleaning.level"),
        ("  cleaning: {max_word: 3}\n", (), "unknown key example_gen.cleaning.max_word"),
        ("  cleaning: 3\n", (), "example_gen.cleaning"),
        ("  cleaning: {max_repeats: -1}\n", (), "example_gen.cleaning.max_repeats"),
        ("", ("example_gen.files.level=3",), "not a section"),
    ],
)
def test_a_wrong_value_names_the_key(tmp_path, lines, overrides, message):
    with pytest.raises(ConfigError) as error:
        load(tmp_path, lines, *overrides)
    assert message in str(error.value)
    assert error.value.remedy


def test_another_level_in_a_printed_configuration_is_refused(tmp_path):
    (tmp_path / "dumped.yaml").write_text(config.dump(load(tmp_path)), encoding="utf-8")
    with pytest.raises(ConfigError, match="every rule is given with the value of basic"):
        config.load(tmp_path / "dumped.yaml", ["example_gen.cleaning.level=strict"])
    loaded = config.load(tmp_path / "dumped.yaml", ["example_gen.cleaning=strict"])
    assert loaded.example_gen.cleaning == Cleaning(level="strict")
