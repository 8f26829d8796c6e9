"""`bitext translate`: translations are in the order of the lines and do not depend on the batches; errors."""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.artifacts import ServedVersion, VersionMetadata, model_digest
from bitext.components.shared import errors
from bitext.components.text.normalization import normalize
from bitext.components.translation import lines, translate
from bitext.components.translation.search import Search
from bitext.components.translation.sentences import TranslatedBlock, translate_blocks
from bitext.components.translation.translator import (
    LineTranslator,
    Translation,
    find_saved_model,
)
from tests import toy_model

ROOT = Path(__file__).resolve().parents[2]
LINE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Po"]), max_size=30)
"""Text without sentence ends."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model.save(tmp_path_factory.mktemp("model"), "copy")


@pytest.fixture(scope="module")
def translators(model: Path) -> list[LineTranslator]:
    return [LineTranslator(model, batch_size=size) for size in (1, 3, 64)]


def run(model: Path, folder: Path, data: bytes, search: Search | None = None) -> str:
    """Translates a file with this content, and returns the content of the output."""
    (folder / "in.txt").write_bytes(data)
    assert translate.main_translate(model, folder / "in.txt", folder / "out.txt", search) == 0
    return (folder / "out.txt").read_text(encoding="utf-8")


class TestOrder:
    @given(texts=st.lists(LINE, max_size=12))
    def test_translations_do_not_depend_on_the_batches(
        self, translators: list[LineTranslator], texts: list[str]
    ) -> None:
        data = [text.encode() for text in texts]
        outputs = [
            [r for block in translate_blocks(t, [data]) for r in block.translations] for t in translators
        ]
        assert outputs[0] == outputs[1] == outputs[2]
        expected = [normalize(text, fold_quotes=False) for text in texts]
        assert [translations[0].text for translations in outputs[0]] == expected

    @given(st.lists(st.integers(0, 200_000), max_size=40), st.integers(1, 9))
    def test_batches_contain_each_line_once_and_are_bounded(self, lengths: list[int], size: int) -> None:
        batches = list(lines.length_sorted_batches(lengths, size))
        assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
        for batch in batches:
            longest = max(lengths[i] for i in batch)
            assert len(batch) == 1 or (len(batch) <= size and len(batch) * longest <= lines.MAX_BATCH_BYTES)
        longest_first = [lengths[batch[0]] for batch in batches]
        assert longest_first == sorted(longest_first, reverse=True)


class TestReading:
    @given(st.lists(st.binary(min_size=1, max_size=8), max_size=10))
    def test_lines_do_not_depend_on_the_chunks(self, chunks: list[bytes]) -> None:
        text = b"".join(chunks)
        blocks = lines.read_blocks(chunks)
        assert [line for block in blocks for line in block] == re.sub(rb"\r+\n", b"\n", text).splitlines()

    def test_a_line_is_yielded_as_soon_as_it_arrives(self) -> None:
        blocks = lines.read_blocks([b"a\n", b"b\nc", b"\n"])
        assert list(blocks) == [[b"a"], [b"b"], [b"c"]]


class TestFiles:
    def test_blank_lines_stay_blank_and_any_line_ends_are_read(self, model: Path, tmp_path: Path) -> None:
        assert run(model, tmp_path, b"uno\r\n\n  \ndos tres") == "uno\n\n\ndos tres\n"
        assert run(model, tmp_path, b"uno\rdos\r\rtres") == "uno\ndos\n\ntres\n"
        assert run(model, tmp_path, b"") == ""

    def test_the_output_may_not_be_the_file_of_standard_input(self, model: Path, tmp_path: Path) -> None:
        (tmp_path / "in.txt").write_text("uno\n")
        process = subprocess.run(
            [sys.executable, "-m", "bitext", "translate", "--model", str(model), "--output", "in.txt"],
            stdin=(tmp_path / "in.txt").open(),
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 2
        assert "it is the input" in process.stderr
        assert (tmp_path / "in.txt").read_text() == "uno\n"

    def test_a_hyphen_is_standard_input_and_standard_output(self, model: Path, tmp_path: Path) -> None:
        process = subprocess.run(
            [sys.executable, "-m", "bitext", "translate", "-", "--output", "-", "--model", str(model)],
            input="uno\n",
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert process.stdout == "uno\n"
        assert not list(tmp_path.iterdir())

    def test_a_served_model_whose_files_changed_is_refused(self, model: Path, tmp_path: Path) -> None:
        served = tmp_path / "1"
        shutil.copytree(model / "Format-Serving", served)
        metadata = VersionMetadata(model_digest(served)).encode()
        (served / "assets.extra").mkdir()
        (served / ServedVersion.METADATA).write_bytes(metadata)
        assert LineTranslator(served).translate([b"uno"])[0][0].text == "uno"
        (served / "fingerprint.pb").write_bytes(b"other")
        with pytest.raises(errors.DataError, match="its files are not those that were pushed"):
            LineTranslator(served)

    def test_a_compressed_input_is_decompressed(self, model: Path, tmp_path: Path) -> None:
        (tmp_path / "in.txt.gz").write_bytes(gzip.compress(b"uno\ndos"))
        translate.main_translate(model, tmp_path / "in.txt.gz", tmp_path / "out.txt")
        assert (tmp_path / "out.txt").read_text() == "uno\ndos\n"

    def test_a_line_of_invalid_utf8_shifts_no_other_line_and_is_told(
        self, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        assert run(model, tmp_path, b"a\n\xff\xfe\nb\n").split("\n")[::2] == ["a", "b"]
        told = capfd.readouterr().err
        assert "warning: line 2 is not UTF-8: byte 0xff at 0, invalid start byte" in told
        assert "warning: 1 of 3 lines are not UTF-8" in told

    @pytest.mark.parametrize(
        ("data", "kind"),
        [
            ("¿Dónde?\nAquí.\n".encode("latin-1"), "looks like windows-1252"),
            ("Кошка.\n".encode("koi8-r") * 9 + b"a\n", "looks like koi8-r"),
            ("Where is the station?\n".encode("utf-16-le") * 2, "it is UTF-16LE text"),
            (gzip.compress(b"a\n", mtime=0), "it is gzip data"),
            (b"PK\x03\x04" + bytes(40), "it is a ZIP archive"),
        ],
    )
    def test_text_that_is_none_is_refused_by_name(
        self, tmp_path: Path, data: bytes, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "in.txt").write_bytes(data)
        for path, name in ((tmp_path / "in.txt", "in.txt"), (None, "standard input")):
            monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
            with pytest.raises(errors.DataError, match=f"{name}.*{kind}"), lines.open_input(path) as chunks:
                list(lines.check_blocks(lines.read_blocks(chunks), path, str))

    def test_nbest_translations_are_rows_with_line_number_and_score(
        self, model: Path, tmp_path: Path
    ) -> None:
        rows = [row.split("\t") for row in run(model, tmp_path, b"ab\n\ncd\n", Search(nbest=2)).splitlines()]
        numbered_texts = [f"{row[0]} {row[2]}" for row in rows]
        assert numbered_texts == ["1 ab", "1 aab", "2 ", "3 cd", "3 ccd"]
        assert float(rows[0][1]) > float(rows[1][1])

    def test_a_failed_run_leaves_the_earlier_output(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "out.txt").write_text("before")

        def fail(*_: object, **__: object) -> Iterator[TranslatedBlock]:
            yield TranslatedBlock([[Translation("a", 0.0)]], [])
            raise errors.DataError("no more")

        monkeypatch.setattr(translate, "translate_blocks", fail)
        with pytest.raises(errors.DataError, match="no more"):
            run(model, tmp_path, b"a\nb\n")
        assert (tmp_path / "out.txt").read_text() == "before"
        assert sorted(os.listdir(tmp_path)) == ["in.txt", "out.txt"]


def test_line_breaks_in_a_translation_are_removed() -> None:
    assert lines.one_line("a\nb\u2028c".encode()) == "a b c"


class TestSearch:
    def test_the_length_penalty_reaches_the_model(self, model: Path) -> None:
        [[default]] = LineTranslator(model).translate([b"a"])
        [[penalized]] = LineTranslator(model, Search(length_penalty=2.0)).translate([b"a"])
        assert penalized == Translation(default.text, pytest.approx(2 * default.score))

    def test_the_default_search_sets_the_missing_options(self, model: Path) -> None:
        inputs = LineTranslator(model, Search(max_length=7)).nbest_inputs
        assert {name: float(value) for name, value in inputs.items()} == {
            "beam_size": 2.0,
            "length_penalty": 1.0,
            "max_length": 7.0,
        }
        assert int(LineTranslator(model, Search(nbest=3)).nbest_inputs["beam_size"]) == 3
        assert len(LineTranslator(model, Search(nbest=3)).translate([b"a"])[0]) == 3

    @pytest.mark.parametrize(
        "wrong",
        [
            {"beam_size": 0},
            {"nbest": 0},
            {"max_length": 0},
            {"length_penalty": -1},
            {"beam_size": 2, "nbest": 3},
        ],
    )
    def test_impossible_searches_are_refused(self, wrong: dict[str, int]) -> None:
        with pytest.raises(errors.ConfigError, match="|".join(wrong)):
            Search(**wrong)


class TestFindSavedModel:
    def test_the_highest_version_number_is_chosen(self, model: Path, tmp_path: Path) -> None:
        for version in ("9", "10", "half", ".staging-11"):
            (tmp_path / version).mkdir()
            (tmp_path / version / "saved_model.pb").touch()
        (tmp_path / "11").mkdir()
        assert find_saved_model(tmp_path) == tmp_path / "10"
        assert find_saved_model(tmp_path / "9") == tmp_path / "9"
        assert find_saved_model(model) == model / "Format-Serving"

    def test_a_missing_model_is_an_error_with_a_remedy(self, tmp_path: Path) -> None:
        for folder, problem in ((tmp_path, "holds no SavedModel"), (tmp_path / "none", "does not exist")):
            with pytest.raises(errors.DataError, match=problem) as caught:
                translate.main_translate(folder, None, None)
            assert "bitext run" in caught.value.remedy

    def test_a_damaged_model_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "saved_model.pb").write_bytes(b"nothing")
        with pytest.raises(errors.DataError, match="cannot be loaded"):
            LineTranslator(tmp_path)


class TestErrors:
    def test_the_error_about_a_missing_input_names_it(self, model: Path, tmp_path: Path) -> None:
        with pytest.raises(errors.DataError, match="absent.txt: No such file"):
            translate.main_translate(model, tmp_path / "absent.txt", None)

    def test_an_output_in_a_missing_folder_is_refused(self, model: Path, tmp_path: Path) -> None:
        (tmp_path / "in.txt").touch()
        with pytest.raises(errors.ConfigError, match="cannot write .*out.txt: .*absent does not exist"):
            translate.main_translate(model, tmp_path / "in.txt", tmp_path / "absent" / "out.txt")

    def test_a_folder_as_output_is_refused_before_the_model_is_loaded(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(translate, "LineTranslator", None)
        (tmp_path / "in.txt").touch()
        with pytest.raises(errors.ConfigError, match="it is a folder"):
            translate.main_translate(model, tmp_path / "in.txt", tmp_path)

    @pytest.mark.parametrize("name", ["saved_model.pb", "variables.index", "variables.data-00000-of-00001"])
    @pytest.mark.parametrize("size", [0, 20, -1])
    def test_a_model_with_a_damaged_file_is_an_error(
        self, model: Path, tmp_path: Path, name: str, size: int
    ) -> None:
        copy = shutil.copytree(find_saved_model(model), tmp_path / "model")
        [path] = copy.rglob(name)
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(errors.DataError, match=f"the model at {copy} (cannot be loaded|fails)") as caught:
            translate.main_translate(copy, None, tmp_path / "out.txt")
        assert "bitext run" in caught.value.remedy


def test_each_line_is_answered_at_once_and_a_closed_pipe_is_no_error(model: Path) -> None:
    code = f"import sys; from pathlib import Path\n" \
           f"from bitext.components.translation.translate import main_translate\n" \
           f"sys.exit(main_translate(Path({str(model)!r}), None, None))"  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdin
        assert process.stdout
        assert process.stderr
        for line in (b"uno\n", b"dos\n"):
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == line
        process.stdout.close()
        process.stdin.write(b"tres\n")
        process.stdin.close()
        error = process.stderr.read().decode()
        assert process.wait(timeout=60) == 0
        assert "Traceback" not in error
        assert "BrokenPipe" not in error
