"""YAML: plain values are numbers, true, false, null or text, and every file is read or refused in seconds."""

from __future__ import annotations

import datetime
import os
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.shared.errors import ConfigError
from bitext.pipeline import config
from bitext.pipeline.config import yaml_values
from bitext.pipeline.config.yaml_values import YamlError, parse
from tests.pipeline.test_config import VALID, load_error, write_config

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "text",
    [
        "no", "No", "NO", "yes", "on", "off", "y", "n", "Off", "tRUE",
        "010", "0o10", "0x1F", "0b11", "1_000", "1:30", "-010", "00", "1_0.5", "01.5",
        "2026-01-31", "2026-01-31 10:00:00", ".inf", "-.INF", ".nan", "1.2.3", "~", "=", "1e", ".", "-a", "+",
        "nullable", "NuLL", "1,000", "5 %",
    ],
)  # fmt: skip
def test_a_plain_scalar_that_only_yaml_1_1_converts_is_text(text: str) -> None:
    assert parse(f"key: {text}").value == {"key": text}
    assert parse(text, "key").value == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None), ("null", None), ("NULL", None), ("true", True), ("False", False), ("TRUE", True),
        ("0", 0), ("-3", -3), ("+5", 5), ("9223372036854775807", 2**63 - 1),
        ("0.5", 0.5), (".5", 0.5), ("5.", 5.0), ("1e-3", 0.001), ("1E3", 1000.0), ("-1.5e+2", -150.0),
        ("'010'", "010"), ('"no"', "no"), ("!!str 010", "010"), ("!!int 7", 7), ("|\n  a\n  b\n", "a\nb\n"),
    ],
)  # fmt: skip
def test_numbers_booleans_null_and_quoted_text(text: str, value: object) -> None:
    parsed = parse(f"key: {text}").value["key"]
    assert (parsed, type(parsed)) == (value, type(value))


def test_a_key_is_text() -> None:
    assert parse("no: 1\n010: 2\nnull: 3\n2026-01-31: 4\n").value == {
        "no": 1,
        "010": 2,
        "null": 3,
        "2026-01-31": 4,
    }


NEED_QUOTES = [
    "1e3",
    "no",
    "010",
    "~",
    "null",
    "<<",
    "1:30",
    "2026-01-31",
    "0x1",
    ".inf",
    "=",
    "# a",
    "a\x85b",
]


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=12)
    | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(NEED_QUOTES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
))  # fmt: skip
def test_a_dumped_value_is_parsed_to_an_equal_value(value: object) -> None:
    for flow in (True, False):
        text = yaml.dump(value, Dumper=yaml_values.Dumper, default_flow_style=flow, allow_unicode=True)
        assert parse(text).value == value


@pytest.mark.parametrize(
    ("text", "problem", "line"),
    [
        ("a: 1\nb: 1e400", "1e400 is too large for a number", 2),
        ("a: 99999999999999999999", "99999999999999999999 is too large for a number", 1),
        ("a: " + "9" * 5000, "too large|cannot be read", 1),
        ("a: !!bool maybe", "'maybe' cannot be read as bool; in quotes it is text", 1),
        ("a: !!int 010x", "'010x' cannot be read as int", 1),
        ("a: 1\nb: !!timestamp 2026-01-31", "the tag tag:yaml.org,2002:timestamp is not supported", 2),
        ("a: !!python/object/apply:os.system [ls]", "is not supported", 1),
        ("a: !mine x", "the tag !mine is not supported", 1),
        ("a: !!set {x, y}", "is not supported", 1),
        ("a: !!binary aGk=", "is not supported", 1),
        ("a:\n\tb: 1", "a tab in column 1; indent with spaces", 2),
        ("a: x: y", "a colon too many", 1),
        ("a: 1\nb: @x", "quote text that begins with it", 2),
        ("a: 1\nb: \x00", "U+0000 is not allowed", 2),
        ("a: [*.tsv]", "[*] has a meaning in YAML; quote text that begins with [*]", 1),
        ("a: 1\nb: **/*.tsv", "quote text that begins with [*]", 2),
        ("a: [!.tsv]", "quote text that begins with !", 1),
        ("a: [&.tsv]", "quote text that begins with &", 1),
        ("a: [!<x]", "quote text that begins with !", 1),
        ("a: !x.tsv", "quote text that begins with", 1),
        ("a: !x [b]", "quote text that begins with", 1),
        ("a: %x", "quote text that begins with it", 1),
        ("a: `x", "quote text that begins with it", 1),
        ("a: |", "begins a text of several lines, and none follows; quote text", 1),
        ("a: 1\n---\nb: 2", "the file has a second document, which begins with --- at line 2", 2),
        ("a: *x", "undefined alias 'x'", 1),
        ("a: 1\na: 2", "the key 'a' is given twice", 2),
        ("<<: 3", "<< needs a section", 1),
        ("? [a]\n: b", "a section or a list cannot be a key", 1),
    ],
)
def test_an_invalid_text_is_reported_with_its_line(text: str, problem: str, line: int) -> None:
    with pytest.raises(YamlError, match=problem.replace("(", r"\(").replace("+", r"\+")) as caught:
        parse(text)
    assert caught.value.line == line


# Each line repeats the line before it several times: the "billion laughs" attack.
LISTS = "a0: &a0 [ha, ha]\n" + "".join(
    f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}]\n" for i in range(1, 40)
)
SECTIONS = "a0: &a0 {x: y}\n" + "".join(f"a{i}: &a{i} {{p: *a{i - 1}, q: *a{i - 1}}}\n" for i in range(1, 28))
MERGES = "a0: &a0 {k: v}\n" + "".join(
    f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}, *a{i - 1}, *a{i - 1}]}}\n" for i in range(1, 28)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (LISTS, "more than 20,000 values, with those that aliases repeat|nested too deeply"),
        (SECTIONS, "more than 20,000 values, with those that aliases repeat"),
        (MERGES, "more than 20,000 values, with those that aliases repeat"),
        ("a: &a [*a]", "an alias refers to the section or list that it is in"),
        ("a: &a\n  b: {c: *a}", "an alias refers to the section or list that it is in"),
        ("a: &a\n  <<: *a", "an alias refers to the section or list that it is in"),
        ("&a [*a]", "an alias refers to the section or list that it is in"),
        ("[" * 2000, "nested too deeply"),
        ("a: " + "{a: " * 5000, "nested too deeply"),
        ("[" * 200 + "]" * 200, "nested too deeply"),
        ("- " * 200 + "a", "nested too deeply"),
        ("[" + "1," * 30_000 + "1]", "more than 20,000 values"),
    ],
    ids=lambda value: value[:30],
)
def test_too_many_aliases_or_levels_are_an_error_within_seconds(
    tmp_path: Path, text: str, problem: str
) -> None:
    started = time.process_time()
    with pytest.raises(YamlError, match=problem):
        parse(text)
    assert time.process_time() - started < 5
    with pytest.raises(ConfigError, match=r"toy\.yaml(:1?\d)?: "):
        config.load(write_config(tmp_path, text))


def test_anchors_and_merges_have_the_lines_of_their_values() -> None:
    parsed = parse("base: &b {x: 1, y: 010}\nother:\n  <<: *b\n  y: 2\nthird: {<<: [{x: 5}, *b]}\n")
    assert parsed.value == {
        "base": {"x": 1, "y": "010"},
        "other": {"x": 1, "y": 2},
        "third": {"x": 5, "y": "010"},
    }
    assert (parsed.lines["other.y"], parsed.lines["other.x"], parsed.lines["third.y"]) == (4, 1, 1)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.steps=010", "received the text '010' (a number has no leading zero)"),
        ("trainer.steps=1_000", "received the text '1_000' (a number has no underscores)"),
        ("trainer.steps=0x10", "received the text '0x10' (write the number in decimal)"),
        ("trainer.steps=1:30", "must be auto or a whole number; received the text '1:30'"),
        ("trainer.label_smoothing=.nan", "must be a number; received the text '.nan'"),
        ("evaluator.lowercase=no", "must be true or false; received the text 'no' (write true or false)"),
        ("evaluator.max_sentences=~", "a whole number or nothing; received the text '~' (write null)"),
        ("trainer.steps=1e400", "1e400 is too large"),
        ("trainer.steps=5 # five", "# five is a comment in YAML"),
        ("pusher.card.corpus=#1", "#1 is a comment in YAML"),
        ("trainer=*x", "undefined alias 'x'; quote text that begins with *"),
        ("example_gen.files=[*.tsv]", "quote text that begins with *"),
        ("example_gen.delimiter=|", "| begins a text of several lines, and none follows; quote text"),
        ("trainer=&a [*a]", "an alias refers to the section"),
        ("name=\tx", "the value is not YAML: a tab"),
    ],
)  # fmt: skip
def test_overrides_have_the_same_rules(tmp_path: Path, override: str, message: str) -> None:
    assert message in str(load_error(tmp_path, VALID, override))


def test_the_remedy_of_a_value_that_is_no_yaml_quotes_it_for_shell_and_yaml(tmp_path: Path) -> None:
    valid = VALID.replace("example_gen:\n", "example_gen:\n  format: csv\n", 1)
    remedy = load_error(tmp_path, valid, "example_gen.delimiter=|").remedy
    words = shlex.split(remedy.split(": ", 1)[1].rstrip(".").replace("...", "|"))
    assert config.load(write_config(tmp_path, valid), words[1:]).example_gen.delimiter == "|"


def test_text_fields_take_what_yaml_1_1_would_convert(tmp_path: Path) -> None:
    loaded = config.load(
        write_config(tmp_path, VALID.replace("toy\n", "no\n", 1)),
        ["pusher.card.languages=010", "pusher.card.corpus=2026-01-31", "root=1:30"],
    )
    assert (loaded.name, loaded.pusher.card.languages, loaded.pusher.card.corpus, loaded.root) == (
        "no", "010", "2026-01-31", "1:30",
    )  # fmt: skip
    assert config.load(write_config(tmp_path, config.dump(loaded))) == loaded


def test_a_date_is_read_in_a_field_for_dates(tmp_path: Path) -> None:
    text = VALID.replace("data/toy.tsv", "'{YYYY}-{MM}-{DD}.tsv'") + "variables: {day: 2026-01-31}\n"
    loaded = config.load(write_config(tmp_path, text), ["example_gen.window.first=${day}"])
    assert loaded.example_gen.window.first == datetime.date(2026, 1, 31)
    assert config.load(write_config(tmp_path, config.dump(loaded))) == loaded


def test_a_variable_in_a_text_keeps_its_spelling(tmp_path: Path) -> None:
    text = VALID.replace("data/toy.tsv", "'${a}-${b}-${c}-${d}'") + (
        "variables:\n  a: 1.10\n  b: 007\n  c: true\n  d: +5\n"
    )
    assert config.load(write_config(tmp_path, text)).example_gen.files == ("1.10-007-true-+5",)
    assert config.load(
        write_config(tmp_path, text), ["variables.a=2.50", "variables.c=no"]
    ).example_gen.files == ("2.50-007-no-+5",)


class TestFiles:
    """Paths that are not an ordinary configuration file: folders, devices, pipes, other content."""

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "received an empty file"),
            (b"# only a comment\n", "received nothing"),
            (b"just text", "received the text 'just text'"),
            (b"name: \xff\xfe", "not UTF-8 text"),
            (VALID.encode("utf-16"), "not UTF-8 text"),
            (b"\x7fELF\x02\x01\x01\x00", "toy.yaml:1: the character U+007F is not allowed in YAML"),
            (bytes(range(128)) * 9, "the character U+0000 is not allowed in YAML"),
            (b"#" * (config.source.MAX_BYTES + 1), "larger than 256 KiB, the limit for a configuration"),
        ],
        ids=lambda value: str(value)[:20],
    )
    def test_a_file_that_is_no_configuration_is_refused(
        self, tmp_path: Path, content: bytes, message: str
    ) -> None:
        (tmp_path / "toy.yaml").write_bytes(content)
        with pytest.raises(ConfigError) as caught:
            config.load(tmp_path / "toy.yaml")
        assert message in str(caught.value)
        assert caught.value.remedy

    def test_other_line_ends_and_a_byte_order_mark_change_nothing(self, tmp_path: Path) -> None:
        plain = config.load(write_config(tmp_path, VALID))
        for text in (VALID.replace("\n", "\r\n"), "\ufeff" + VALID, "\ufeff" + VALID.replace("\n", "\r\n")):
            (tmp_path / "toy.yaml").write_bytes(text.encode())
            assert config.load(tmp_path / "toy.yaml") == plain
        (tmp_path / "toy.yaml").write_bytes(VALID.replace("1000", "soon").replace("\n", "\r\n").encode())
        with pytest.raises(ConfigError, match=r"toy\.yaml:5: trainer\.steps: must be auto or a whole number"):
            config.load(tmp_path / "toy.yaml")

    def test_a_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="is a folder"):
            config.load(tmp_path)

    def test_a_path_below_a_file_is_refused(self, tmp_path: Path) -> None:
        path = write_config(tmp_path, VALID)
        with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
            config.load(path / "toy.yaml")

    def test_an_endless_device_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="larger than 256 KiB"):
            config.load("/dev/zero")

    def test_a_fifo_without_a_writer_is_refused(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        with pytest.raises(ConfigError, match="received an empty file"):
            config.load(tmp_path / "fifo")

    def test_a_pipe_from_a_slow_program_is_read(self) -> None:
        """As in `bitext config <(generate)`."""
        reading, writing = os.pipe()

        def write() -> None:
            with open(writing, "wb", buffering=0) as stream:
                for line in VALID.encode().splitlines(keepends=True):
                    stream.write(line)
                    time.sleep(0.01)

        thread = threading.Thread(target=write)
        thread.start()
        try:
            assert config.load(f"/dev/fd/{reading}").trainer.steps == 1000
        finally:
            thread.join()
            os.close(reading)

    def test_standard_input_is_read(self) -> None:
        process = subprocess.run(
            [sys.executable, "-m", "bitext", "config", "/dev/stdin"],
            input=VALID, capture_output=True, text=True, check=False, cwd=REPOSITORY,
        )  # fmt: skip
        assert (process.returncode, process.stderr) == (0, "")
        assert "steps: 1000" in process.stdout

    def test_the_largest_file_is_read_in_seconds(self, tmp_path: Path) -> None:
        started = time.process_time()
        lines = "# comment\n" * ((config.source.MAX_BYTES - len(VALID)) // 10)
        assert config.load(write_config(tmp_path, VALID + lines)).name == "toy"
        assert time.process_time() - started < 5
