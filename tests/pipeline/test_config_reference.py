"""`bitext config --explain` and the dumped configuration describe every key."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bitext.components.example_gen.formats import FORMATS
from bitext.components.shared.errors import ConfigError
from bitext.pipeline import cli, config
from bitext.pipeline.config import reference
from bitext.pipeline.config.sections import PipelineConfig
from tests.pipeline.test_config import VALID, write_config

REPOSITORY = Path(__file__).parents[2]
KEYS = {key.name: key for key in reference.all_keys()}


def test_every_key_has_a_meaning() -> None:
    assert len(KEYS) == len(reference.all_keys()) > 150
    assert [name for name, key in KEYS.items() if len(key.meaning.split()) < 2] == []


def structs(kind: type[msgspec.Struct]) -> set[type[msgspec.Struct]]:
    """Returns a struct and all structs in its fields."""
    nested = {kind}
    for field in msgspec.structs.fields(kind):
        inner = config.field_types.struct_in(field.type) or config.field_types.struct_in(
            config.field_types.item_type(field.type)
        )
        nested |= structs(inner) if inner else set()
    return nested


def test_every_docstring_explains_the_fields_of_its_struct() -> None:
    for struct in structs(PipelineConfig):
        assert set(reference.meanings(struct)) == set(struct.__struct_fields__), struct


def test_a_docstring_entry_may_have_paragraphs_and_several_fields() -> None:
    class Sample(msgspec.Struct):
        """A sample.

        Attributes:
          first, second: two fields that
            share a text: with a colon.

            And a second paragraph.
          third: another.
        """

        first: int
        second: int
        third: int

    shared = "two fields that share a text: with a colon.\n\nAnd a second paragraph."
    assert reference.meanings(Sample) == {"first": shared, "second": shared, "third": "another."}


@pytest.mark.parametrize(
    ("name", "kind", "default", "range_"),
    [
        (
            "name",
            "text",
            "required",
            "letters, digits, `_`, `.` and `-`, at most 200, with a letter or a digit first",
        ),
        ("root", "path", "''", ""),
        ("example_gen.format", "choice", "tsv", ", ".join(FORMATS)),
        ("example_gen.files", "list of path or glob", "[]", ""),
        ("example_gen.source_column", "whole number or text", "0", ">= 0"),
        ("example_gen.window.first", "whole number or date (YYYY-MM-DD) or null", "null", ">= 0"),
        ("example_gen.eval_share", "number", "0.02", "0 to 1"),
        ("metadata", "section", "", ""),
        ("metadata.mysql", "section or null", "null", ""),
        ("metadata.mysql.port", "whole number", "required", "1 to 65535"),
        ("example_validator.severities", "list of sections", "[]", ""),
        ("example_validator.severities[].severity", "choice", "required", "warn, stop"),
        ("evaluator.significance", "number", "0.05", "> 0 and < 1"),
        ("evaluator.length_bins", "list of whole numbers", "[1, 5, 9, 13, 17, 25]", "each >= 1"),
        ("trainer.model.cell", "choice", "lstm", "lstm, gru, rnn"),
        ("variables", "section of names and plain values", "", ""),
    ],
)
def test_type_default_and_range_of_a_key(name: str, kind: str, default: str, range_: str) -> None:
    key = KEYS[name]
    assert (key.type, key.default, key.range) == (kind, default, range_)


def test_explain_prints_a_key_and_a_section_with_all_its_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "--explain", "trainer.steps"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(
        "trainer.steps\n  type     whole number or choice\n  default  auto\n  range    auto, >= 1\n"
        "  meaning  "
    )
    assert cli.main(["config", "--explain", "evaluator"]) == 0
    names = re.findall(r"^\S+", capsys.readouterr().out, re.MULTILINE)
    assert names == [name for name in KEYS if name == "evaluator" or name.startswith("evaluator.")]


@pytest.mark.parametrize("list_name", ["severities[0]", "severities[]", "severities", "severities.0"])
def test_explain_takes_every_spelling_of_a_key_in_a_list(
    capsys: pytest.CaptureFixture[str], list_name: str
) -> None:
    assert cli.main(["config", "--explain", f"example_validator.{list_name}.check"]) == 0
    assert capsys.readouterr().out.startswith("example_validator.severities[].check\n")


def test_explain_shows_the_section_for_a_name_that_the_user_chooses(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["config", "--explain", "evaluator.thresholds.chrf"]) == 0
    assert capsys.readouterr().out.startswith("evaluator.thresholds\n")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("trianer.steps", "did you mean trainer.steps"),
        ("beam_size", "did you mean trainer.search.beam_size or trainer.serving_limits.beam_size or"),
        ("xyzzy", "`bitext config` prints every key"),
    ],
)
def test_an_unknown_key_exits_with_2_and_suggestions(
    capsys: pytest.CaptureFixture[str], name: str, suggestion: str
) -> None:
    assert cli.main(["config", "--explain", name]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: there is no configuration key {name}\n")
    assert suggestion in error


def test_explain_takes_no_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "toy.yaml", "--explain", "name"]) == 2
    assert "takes no CONFIG" in capsys.readouterr().err


def test_the_dumped_configuration_has_each_meaning_above_its_key(tmp_path: Path) -> None:
    text = config.dump(config.load(write_config(tmp_path, f"{VALID}augmentation: {{directions: both}}\n")))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 110
    for name, key in KEYS.items():
        if "[]" in name or name.count(".") > 1 or name == "variables":
            continue
        indent = "  " * name.count(".")
        [index] = [
            number
            for number, line in enumerate(lines)
            if line.startswith(f"{indent}{name.rpartition('.')[2]}:")
            and (not indent or section_of(lines, number) == name.partition(".")[0])
        ]
        comment = []
        while lines[index - 1].startswith(f"{indent}# "):
            index -= 1
            comment.insert(0, lines[index].removeprefix(f"{indent}# "))
        assert " ".join(comment) == " ".join(key.meaning.split()), name


def section_of(lines: list[str], number: int) -> str:
    """Returns the top-level key above a line."""
    return next(line.rstrip(":") for line in reversed(lines[:number]) if line[0:1].strip(" #"))


@pytest.mark.parametrize(
    "path", sorted((REPOSITORY / "pipeline" / "configs").glob("*.yaml")), ids=lambda p: p.stem
)
def test_a_shipped_configuration_dumps_and_loads_to_an_equal_value(tmp_path: Path, path: Path) -> None:
    loaded = config.load(path)
    reloaded = config.load(write_config(tmp_path, config.dump(loaded)))
    assert reloaded == loaded
    assert config.dump(reloaded) == config.dump(loaded)


def test_texts_that_need_quotes_are_dumped_and_loaded(tmp_path: Path) -> None:
    for text in (
        "no",
        "010",
        "1e3",
        "# x",
        "a: b",
        "~x",
        "é 語 😀",
        "- a",
        "{a}",
        "two\nlines",
        "x" * 300,
        " a ",
    ):
        loaded = config.load(write_config(tmp_path, VALID))
        card = msgspec.structs.replace(loaded.pusher.card, corpus=text)
        loaded = msgspec.structs.replace(loaded, pusher=msgspec.structs.replace(loaded.pusher, card=card))
        assert config.load(write_config(tmp_path, config.dump(loaded))) == loaded


def test_the_reference_of_the_keys_imports_no_tensorflow_and_no_numpy() -> None:
    code = (
        "import sys; from bitext.pipeline.config import reference; reference.all_keys();"
        " print('tensorflow' in sys.modules, 'numpy' in sys.modules)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    assert process.stdout.split() == ["False", "False"]


def test_find_refuses_a_name_that_is_no_key() -> None:
    for name in ("", ".", "trainer.steps.x", "[]"):
        with pytest.raises(ConfigError):
            reference.find(name)
