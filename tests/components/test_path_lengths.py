"""Names and paths that are too long for the system: an error that names them, and not a traceback."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.shared.errors import ConfigError, EnvironmentFault
from bitext.components.shared.faults import reporting_faults
from bitext.components.shared.path_lengths import (
    NAME_BYTES,
    PATH_BYTES,
    SQLITE_BYTES,
    bytes_of,
    length_problem,
    too_long_error,
)
from bitext.pipeline import cli, config
from bitext.pipeline.faults import translating_errors

LONG = "a" * 300
DEEP = "/".join(["b" * 200] * 21)


class TestLengthProblem:
    @given(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=60)
    )
    @pytest.mark.parametrize("unit", ["a", "é", "文", "😀"])
    def test_it_is_what_the_system_says(self, unit: str, text: str) -> None:
        for count in (NAME_BYTES // bytes_of(unit), NAME_BYTES // bytes_of(unit) + 1):
            path = f"/tmp/{unit * count}/{text}"
            try:
                os.stat(path)
                refused = False
            except OSError as error:
                refused = error.errno == errno.ENAMETOOLONG
            assert bool(length_problem(path)) == refused, path

    def test_a_whole_path(self) -> None:
        for size, refused in ((PATH_BYTES, False), (PATH_BYTES + 1, True)):
            path = ("/" + "a" * 99) * 41
            path = path[: size - 1] + "x"
            assert len(path) == size
            assert bool(length_problem(path)) == refused
            with pytest.raises(OSError, match="too long" if refused else "No such file"):
                os.stat(path)

    def test_the_message_names_the_start_of_the_name(self) -> None:
        assert length_problem(f"x/{LONG}/y") == (f"the name '{'a' * 30}'... has 300 bytes, more than 255")


class TestErrors:
    @pytest.mark.parametrize("path", [LONG, DEEP])
    def test_of_a_component(self, tmp_path: Path, path: str) -> None:
        for context in (reporting_faults(tmp_path, "free space"), translating_errors(tmp_path)):
            with pytest.raises(ConfigError, match="more than") as caught, context:
                (tmp_path / path).write_text("x")
            assert caught.value.remedy.startswith("shorten it")

    def test_a_file_system_with_a_lower_limit(self) -> None:
        error = too_long_error(OSError(errno.ENAMETOOLONG, "File name too long", "x/" + "a" * 150))
        assert str(error) == f"the path 'x/{'a' * 28}'... is too long for this file system"

    def test_the_cause_counts(self) -> None:
        error = RuntimeError("wrapped")
        error.__cause__ = OSError(errno.ENAMETOOLONG, "File name too long", LONG)
        assert "300 bytes" in str(too_long_error(error))

    def test_others_are_left_alone(self, tmp_path: Path) -> None:
        assert too_long_error(OSError(errno.ENOENT, "No such file", LONG)) is None
        with pytest.raises(EnvironmentFault), reporting_faults(tmp_path, "free space"):
            (tmp_path / "absent" / "file").write_text("x")


CONFIG = "name: toy\nexample_gen: {files: [rows.tsv]}\n"
KEYS = [
    "root=LONG",
    "serving=x/LONG",
    "metadata.sqlite=LONG/x",
    "metrics.textfile=LONG.prom",
    "example_gen.files=[rows.tsv, LONG]",
    "example_gen.golden.files=[LONG]",
    "trainer.warm_start.model=LONG",
    "schema_gen.curated=LONG",
    "request_log.files=[LONG]",
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "toy.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("override", KEYS)
@pytest.mark.parametrize("path", [LONG, DEEP])
def test_every_path_of_the_configuration(folder: Path, override: str, path: str) -> None:
    with pytest.raises(ConfigError, match="bytes, more than") as caught:
        config.load(folder / "toy.yaml", [override.replace("LONG", path)])
    assert override.partition("=")[0] in str(caught.value)
    assert "shorten it" in caught.value.remedy


@pytest.mark.parametrize("value", ["gs://bucket/" + LONG, "data/[" + LONG + "]*.tsv"])
def test_remote_files_and_globs_may_be_longer(folder: Path, value: str) -> None:
    assert config.load(folder / "toy.yaml", [f"example_gen.files=['{value}']"]).example_gen.files == (value,)


def test_the_name_of_the_pipeline(folder: Path) -> None:
    assert config.load(folder / "toy.yaml", [f"name={'a' * 200}"]).name == "a" * 200
    with pytest.raises(ConfigError, match="at most 200"):
        config.load(folder / "toy.yaml", [f"name={'a' * 201}"])


def test_the_metadata_store_has_a_limit_of_its_own(folder: Path) -> None:
    rest = SQLITE_BYTES - len(f"{folder}/") - len("/metadata.sqlite")
    fitting = "/".join(["c" * 99] * 5)[:rest].rstrip("/").ljust(rest, "c")
    assert config.load(folder / "toy.yaml", [], fitting).root == fitting
    with pytest.raises(ConfigError, match=f"root is too long.* {SQLITE_BYTES + 1} bytes"):
        config.load(folder / "toy.yaml", [], f"{fitting}c")
    server = "metadata={mysql: {host: h, port: 1, database: d, user: u}}"
    assert config.load(folder / "toy.yaml", [server], f"{fitting}c").metadata.mysql is not None


@pytest.mark.parametrize(
    "arguments",
    [
        "run PATH",
        "run toy.yaml --root PATH",
        "status toy.yaml --root PATH",
        "status toy.yaml --set serving=PATH",
        "lineage 1 toy.yaml --root PATH",
        "rollback toy.yaml --reason x --root PATH",
        "gc toy.yaml --keep 1 --root PATH",
        "export toy.yaml --output PATH",
        "export toy.yaml --output x/PATH/y",
        "translate --model PATH",
        "translate PATH --model x",
        "translate toy.yaml --output PATH",
        "config PATH",
    ],
)
@pytest.mark.parametrize("path", [LONG, DEEP])
def test_every_command(folder: Path, capsys: pytest.CaptureFixture[str], arguments: str, path: str) -> None:
    words = [word.replace("PATH", path) for word in arguments.split()]
    try:
        code = cli.main(words)
    except SystemExit as ended:
        code = ended.code
    error = capsys.readouterr().err
    assert code == 2
    assert "bytes, more than" in error
    assert "shorte" in error
    [option] = [before for before, word in zip(["CONFIG", *words], words, strict=False) if path in word]
    assert option.lstrip("-") in error or "FILE" in error or "CONFIG" in error
    assert sorted(path.name for path in folder.iterdir()) == ["toy.yaml"]


def test_a_path_that_is_found_too_long_later_is_no_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A glob is not checked before: only the file that it is without its characters is looked for."""
    assert cli.main(["run", "toy.yaml", "--set", f"example_gen.files=['{LONG}*']"]) == 2
    assert "error: the name 'aaa" in capsys.readouterr().err
