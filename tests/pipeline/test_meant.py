"""What a person meant: values and nodes by another name, paths elsewhere, one name for two pipelines."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.shared.errors import ConfigError
from bitext.components.shared.suggestions import similar
from bitext.pipeline import cli, config, graph
from bitext.pipeline.config import field_types
from bitext.pipeline.config.sections import PipelineConfig
from tests import toy_model
from tests.pipeline import fakes

CONFIG = "name: toy\nexample_gen: {files: [rows.txt]}\n"


@pytest.fixture
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which `bitext run` runs the fake pipeline."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(graph, "create_pipeline", lambda config: fakes.pipeline(folder))
    return folder


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 2) -> str:
    """Returns what a command that fails prints to standard error."""
    capsys.readouterr()
    assert cli.main(list(arguments)) == code
    return capsys.readouterr().err


class TestValues:
    @pytest.mark.parametrize(
        ("override", "meant"),
        [
            ("trainer.model.cell=LSTM", "lstm"),
            ("trainer.model.cell=lstn", "lstm"),
            ("trainer.model.attention=bahdanau", "additive"),
            ("trainer.model.attention=Luong", "general"),
            ("trainer.model.attention=scaled_dot_product", "scaled"),
            ("trainer.model.decoder=Input-Feeding", "input_feeding"),
            ("trainer.model.decoder=bahdanau", "conditional"),
            ("trainer.schedule.kind=noam", "inverse_sqrt"),
            ("trainer.precision=bf16", "bfloat16"),
            ("transform.unit=BPE", "subword"),
            ("evaluator.tokenize=13A", "13a"),
            ("evaluator.references=by-line", "by_line"),
            ("evaluator.thresholds={BLEU: 3}", "bleu"),
            ("evaluator.thresholds={chrF++: 3}", "chrfpp"),
            ("schema_gen.target_scripts=[latin]", "Latin"),
            ("example_gen.format=TSV", "tsv"),
            ("example_gen.drop_duplicates=ALL", "all"),
            ("beam.runner=FlnikRunner", "FlinkRunner"),
            ("trainer.warm_start.model=Last-Blessed", "last_blessed"),
            ("trainer.steps=Auto", "auto"),
        ],
    )
    def test_the_value_that_was_meant_is_named(
        self, here: Path, capsys: pytest.CaptureFixture[str], override: str, meant: str
    ) -> None:
        assert f"did you mean {meant}?" in error_of(capsys, "config", "toy.yaml", "--set", override)

    @pytest.mark.parametrize("value", ["quantum", "''"])
    def test_nothing_is_guessed_of_another_word(
        self, here: Path, capsys: pytest.CaptureFixture[str], value: str
    ) -> None:
        assert "did you mean" not in error_of(
            capsys, "config", "toy.yaml", "--set", f"trainer.model.cell={value}"
        )

    @given(st.sampled_from(["lstm", "input_feeding", "ja-mecab", "Latin"]), st.randoms())
    def test_letter_case_never_matters(self, choice: str, random: Any) -> None:
        spelled = "".join(random.choice((letter.lower(), letter.upper())) for letter in choice)
        assert similar(spelled, ["lstm", "gru", "input_feeding", "ja-mecab", "Latin"]) == choice

    def test_a_corpus_of_another_name(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert "did you mean tatoeba-es? choose one of" in error_of(capsys, "fetch", "Tatoeba_ES")

    def test_keys_in_other_case(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for override, meant in (
            ("Trainer.steps=3", "did you mean trainer?"),
            ("trainer.batchTokens=3", "did you mean trainer.batch_tokens?"),
            ("trainer.batch-tokens=3", "did you mean trainer.batch_tokens?"),
        ):
            assert meant in error_of(capsys, "config", "toy.yaml", "--set", override)

    def test_options_in_other_case(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        with pytest.raises(SystemExit):
            cli.main(["run", "toy.yaml", "--log-format", "JSON"])
        assert "did you mean json?" in capsys.readouterr().err


def patterns(kind: Any) -> Iterator[tuple[str, str]]:
    """Yields the pattern and the description of every text of a section that has a pattern."""
    for name, field in field_types.fields(kind).items():
        kinds = [field.type, field_types.item_type(field.type), field_types.mapped_type(field.type)]
        for each in filter(None, kinds):
            meta = field_types.constraints(each)
            if meta is not None and meta.pattern:
                yield meta.pattern, meta.description or f"{name} has no description"
            if struct := field_types.struct_in(each):
                yield from patterns(struct)


class TestNoRegularExpression:
    def test_every_pattern_of_the_configuration_is_described_in_words(self) -> None:
        described = list(patterns(PipelineConfig))
        assert len(described) >= 2
        for pattern, description in described:
            assert "has no description" not in description
            assert pattern not in description

    def test_a_language_code(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        error = error_of(capsys, "config", "toy.yaml", "--set", "transform.source_language=german")
        assert (
            "must be a language code of two or three letters, or empty; received the text 'german'" in error
        )


class TestSet:
    @pytest.mark.parametrize(
        ("words", "written"),
        [
            (["--set", "trainer.steps", "5"], "--set trainer.steps=5"),
            (["--set", "trainer.steps", "=", "5"], "--set trainer.steps=5"),
            (["--set", "trainer.steps", "=5"], "--set trainer.steps=5"),
            (["--set", "trainer.steps:5"], "--set trainer.steps=5"),
            (["--set", "trainer.steps: 5"], "--set trainer.steps=5"),
            (["--set", "evaluator.thresholds={ter:", "60}"], "--set 'evaluator.thresholds={ter: 60}'"),
            (["--set", "a=[{b:", "1,", "c:", "[2]}]"], "--set 'a=[{b: 1, c: [2]}]'"),
            (["--set", "pusher.card.corpus", "a b"], "--set 'pusher.card.corpus=a b'"),
        ],
    )
    def test_a_value_that_is_another_word(
        self, here: Path, capsys: pytest.CaptureFixture[str], words: list[str], written: str
    ) -> None:
        for arguments in (["config", "toy.yaml", *words], ["config", *words, "toy.yaml"]):
            assert written in error_of(capsys, *arguments)

    def test_a_configuration_is_no_value(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        error = error_of(capsys, "config", "--set", "trainer.steps", "toy.yaml")
        assert "--set trainer.steps: not of the form a.b=value" in error
        assert cli.main(["config", "--set", "trainer.steps=3000", "toy.yaml"]) == 0


class TestNodes:
    @pytest.mark.parametrize("name", ["evaluate", "EVALUATE", "Evaluate", "eval_uate"])
    def test_a_node_is_named_in_any_case(
        self, here: Path, capsys: pytest.CaptureFixture[str], name: str
    ) -> None:
        assert cli.main(["run", "toy.yaml"]) == 0
        capsys.readouterr()
        assert cli.main(["run", "toy.yaml", "--from", name, "--to", name, "--force", name]) == 0
        output = capsys.readouterr().out
        assert "Evaluate" in output
        assert "Push" not in output

    def test_a_misspelled_node(self, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
        error = error_of(capsys, "run", "toy.yaml", "--from", "Evalaute")
        assert "--from Evalaute: there is no such node" in error
        assert "did you mean Evaluate? the nodes are " in error


class TestPaths:
    def test_a_file_beside_the_configuration_is_named(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
        (project / "data").mkdir(parents=True)
        elsewhere.mkdir()
        for name in ("mine.tsv", "day-3.tsv"):
            (project / "data" / name).write_text("a\tb\n", encoding="utf-8")
        monkeypatch.chdir(elsewhere)
        for pattern in ("data/mine.tsv", "data/m*.tsv", "data/day-{SPAN}.tsv"):
            text = f"name: toy\nexample_gen: {{files: ['{pattern}']}}\n"
            (project / "toy.yaml").write_text(text, encoding="utf-8")
            error = error_of(capsys, "run", str(project / "toy.yaml"), code=3)
            assert f"beside the configuration there is {project / 'data'}/" in error
            assert f"the current folder, {elsewhere}: start the command in {project}, or" in error

    def test_a_file_that_is_nowhere(self, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                                    monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
        monkeypatch.chdir(tmp_path)
        Path("toy.yaml").write_text("name: toy\nexample_gen: {files: [none.tsv]}\n", encoding="utf-8")
        error = error_of(capsys, "run", "toy.yaml", code=3)
        assert f"paths are relative to the current folder, {tmp_path}" in error
        assert "beside" not in error


class TestOneRoot:
    def test_another_configuration_of_the_same_name_is_refused(
        self, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["run", "toy.yaml"]) == 0
        shutil.copy("toy.yaml", "other.yaml")
        error = error_of(capsys, "run", "other.yaml")
        assert f"{here / 'other.yaml'} and {here / 'toy.yaml'} are two configurations" in error
        assert "both are named 'toy'" in error
        assert "share_root: true" in error
        assert cli.main(["run", "toy.yaml"]) == 0, "the first is not disturbed"
        assert cli.main(["run", "other.yaml", "--set", "share_root=true"]) == 0
        Path("toy.yaml").write_text(CONFIG + "share_root: true\n", encoding="utf-8")
        assert cli.main(["run", "toy.yaml"]) == 0
        assert cli.main(["run", "other.yaml"]) == 0, "one of the two says that they share it"

    def test_another_name_and_the_same_root_is_refused(
        self, here: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["run", "toy.yaml"]) == 0
        Path("other.yaml").write_text("name: b\nroot: runs/toy\nexample_gen: {files: [rows.txt]}\n")
        assert "two configurations with one pipeline root, runs/toy:" in error_of(capsys, "run", "other.yaml")

    def test_a_renamed_or_changed_configuration_is_none_other(self, here: Path) -> None:
        assert cli.main(["run", "toy.yaml"]) == 0
        Path("toy.yaml").rename("renamed.yaml")
        assert cli.main(["run", "renamed.yaml"]) == 0
        Path("link.yaml").symlink_to("renamed.yaml")
        assert cli.main(["run", "link.yaml"]) == 0
        Path("link.yaml").unlink()
        shutil.copy("renamed.yaml", "copy.yaml")
        Path("renamed.yaml").write_text(CONFIG.replace("toy", "renamed"), encoding="utf-8")
        assert cli.main(["run", "copy.yaml"]) == 0
        Path("copy.yaml").write_text("no configuration", encoding="utf-8")
        Path("new.yaml").write_text(CONFIG, encoding="utf-8")
        assert cli.main(["run", "new.yaml"]) == 0

    def test_a_copied_project_is_another_pipeline(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("first", "second"):
            folder = tmp_path / name
            if name == "first":
                folder.mkdir()
                (folder / "toy.yaml").write_text(CONFIG, encoding="utf-8")
                (folder / "rows.txt").write_text("a\tb\n", encoding="utf-8")
            else:
                shutil.copytree(tmp_path / "first", folder)
            monkeypatch.chdir(folder)
            monkeypatch.setattr(graph, "create_pipeline", lambda config, there=folder: fakes.pipeline(there))
            assert cli.main(["run", "toy.yaml"]) == 0


class TestDefaultModel:
    @pytest.fixture
    def project(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.stdin", open("/dev/null", encoding="utf-8"))  # noqa: SIM115
        Path("unrelated.yaml").write_text("services: [a]\n", encoding="utf-8")
        Path("mine.yaml").write_text(CONFIG.replace("toy", "mine") + "serving: models\n", encoding="utf-8")
        Path("other.yaml").write_text(CONFIG.replace("toy", "other"), encoding="utf-8")
        return tmp_path

    def test_without_a_model(self, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
        error = error_of(capsys, "translate", code=3)
        assert f"no model: {project} has no serving folder with a pushed version" in error

    def test_the_only_model_is_used_and_several_are_named(
        self, project: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (project / "rows.txt").write_text("one two\n", encoding="utf-8")
        toy_model.save(project / "first", "upper")
        shutil.copytree(project / "first" / "Format-Serving", project / "models" / "1")
        assert cli.main(["translate", "rows.txt"]) == 0
        assert capsys.readouterr().out == "ONE TWO\n"
        shutil.copytree(project / "models", project / "serving" / "elsewhere")
        error = error_of(capsys, "translate", "rows.txt")
        assert f"several models are served from {project}: models, serving/elsewhere" in error
        assert "--model models" in error
        assert cli.main(["translate", "rows.txt", "--model", "serving/elsewhere"]) == 0


def test_a_configuration_error_is_not_hidden_by_the_search_for_what_was_meant(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_text(CONFIG + "trainer: {batch_tokens: LSTM}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="must be a whole number") as caught:
        config.load(tmp_path / "toy.yaml")
    assert "did you mean" not in caught.value.remedy
    assert msgspec.structs.fields(PipelineConfig)
