"""Configurations: errors name the line and the remedy; a dumped configuration loads to an equal value."""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from benchmarks import ablation
from bitext.components.shared.errors import ConfigError
from bitext.pipeline import config, graph, records
from bitext.pipeline.config import sections

VALID = """\
name: toy
example_gen:
  files: [data/toy.tsv]
trainer:
  steps: 1000
  optimizer: {learning_rate: 1e-3}
"""


def write_config(tmp_path: Path, text: str) -> Path:
    """Writes `toy.yaml` and returns its path."""
    path = tmp_path / "toy.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def load_error(tmp_path: Path, text: str, *overrides: str) -> ConfigError:
    """Returns the error of loading a configuration. Checks that it has a remedy."""
    with pytest.raises(ConfigError) as caught:
        config.load(write_config(tmp_path, text), overrides)
    assert caught.value.remedy
    return caught.value


def test_folders_default_to_the_name(tmp_path: Path) -> None:
    loaded = config.load(write_config(tmp_path, VALID))
    assert (loaded.root, loaded.serving) == ("runs/toy", "serving/toy")
    assert loaded.trainer.optimizer.learning_rate == 0.001
    assert loaded.beam.runner == "DirectRunner"


def test_a_dumped_configuration_loads_to_an_equal_value(tmp_path: Path) -> None:
    loaded = config.load(
        write_config(tmp_path, VALID), ["metadata.sqlite=elsewhere.db", "trainer.steps=2000"]
    )
    assert config.load(write_config(tmp_path, config.dump(loaded))) == loaded


def test_a_dumped_configuration_with_another_name_has_other_folders(tmp_path: Path) -> None:
    dumped = config.dump(config.load(write_config(tmp_path, VALID)))
    other = config.load(write_config(tmp_path, dumped.replace("name: toy", "name: mine")))
    assert (other.root, other.serving) == ("runs/mine", "serving/mine")


def test_a_dumped_configuration_keeps_folders_that_do_not_follow_from_the_name(tmp_path: Path) -> None:
    dumped = config.dump(config.load(write_config(tmp_path, VALID + "root: runs/a\nserving: serving/b\n")))
    other = config.load(write_config(tmp_path, dumped.replace("name: toy", "name: mine")))
    assert (other.root, other.serving) == ("runs/a", "serving/b")


def test_a_dumped_configuration_validates_as_the_evaluator_scores_after_an_edit(tmp_path: Path) -> None:
    dumped = config.dump(config.load(write_config(tmp_path, VALID)))
    other = config.load(
        write_config(tmp_path, dumped), ["evaluator.tokenize=char", "evaluator.lowercase=true"]
    )
    assert (other.trainer.validation.tokenize, other.trainer.validation.lowercase) == ("char", True)


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        ("root: x\nserving: ./x/\n", "toy.yaml:7, toy.yaml:8: root and serving must be two folders"),
        ("root: serving/toy\n", "toy.yaml:7: root and serving must be two folders"),
        (
            "serving: runs/toy/Trainer/model\n",
            "toy.yaml:7: serving must not be in a folder that runs write",
        ),
        ("serving: runs/toy/.staging\n", "serving must not be in a folder that runs write"),
        ("root: a\nserving: a/Pusher\n", "toy.yaml:7, toy.yaml:8: serving must not be in"),
    ],
)
def test_a_serving_folder_that_runs_write_into_is_refused(tmp_path: Path, folders: str, message: str) -> None:
    assert message in str(load_error(tmp_path, VALID + folders)).replace(f"{tmp_path}/", "")


@pytest.mark.parametrize("serving", ["a/serving", "a/../serving", "b", "ab/Trainer"])
def test_another_serving_folder_is_accepted(tmp_path: Path, serving: str) -> None:
    assert config.load(write_config(tmp_path, f"{VALID}root: a\nserving: {serving}\n")).serving == serving


def test_the_folders_in_a_pipeline_root_are_those_of_all_nodes(tmp_path: Path) -> None:
    optional_nodes = [
        *("example_gen.golden.files=[g.tsv]", "request_log.files=[r.txt]"),
        *(f"augmentation.monolingual.{side}.files=[{side}.txt]" for side in ("source", "target")),
    ]
    nodes = graph.create_pipeline(config.load(write_config(tmp_path, VALID), optional_nodes)).nodes
    others = {records.ROLLBACK, "logs", "reports", "tensorboard"}
    assert {*(node.name for node in nodes), *others} == sections.NODE_FOLDERS


def test_set_values_are_yaml(tmp_path: Path) -> None:
    overrides = ["trainer.steps=7000", "example_gen.files=[a.tsv, b.tsv]", "metadata.mysql.host=h"]
    overrides += ["metadata.mysql.port=1", "metadata.mysql.database=d", "metadata.mysql.user=u"]
    loaded = config.load(write_config(tmp_path, VALID), overrides)
    assert loaded.trainer.steps == 7000
    assert loaded.example_gen.files == ("a.tsv", "b.tsv")
    assert loaded.metadata.mysql == config.SqlServer(host="h", port=1, database="d", user="u")


@pytest.mark.parametrize("spelling", ["DirectRunner", "directrunner", "direct", "Direct"])
def test_every_spelling_of_the_direct_runner_is_accepted(tmp_path: Path, spelling: str) -> None:
    assert config.load(write_config(tmp_path, VALID), [f"beam.runner={spelling}"]).beam == config.Beam()


@pytest.mark.parametrize(
    "spelling", ["FlinkRunner", "flink", "sparkrunner", "their_package.runners.TheirRunner"]
)
def test_a_runner_that_beam_finds_is_accepted(tmp_path: Path, spelling: str) -> None:
    assert config.load(write_config(tmp_path, VALID), [f"beam.runner={spelling}"]).beam.runner == spelling


@pytest.mark.parametrize("spelling", ["Foo", "FlinkRuner", "", "runner", "a/b.C"])
def test_a_runner_that_beam_does_not_know_is_refused_with_those_it_knows(
    tmp_path: Path, spelling: str
) -> None:
    error = load_error(tmp_path, VALID + f"beam:\n  runner: '{spelling}'")
    assert re.search(r"toy\.yaml:8: beam: runner must be DirectRunner, FlinkRunner, ", str(error))
    assert f"; received {spelling!r}" in str(error)
    assert ("did you mean FlinkRunner?" in str(error)) == (spelling == "FlinkRuner")


def test_an_empty_section_has_all_defaults(tmp_path: Path) -> None:
    assert config.load(write_config(tmp_path, VALID + "evaluator:\n")) == config.load(
        write_config(tmp_path, VALID)
    )


@pytest.mark.parametrize(
    ("line", "message", "remedy"),
    [
        ("trianer: {}", "toy.yaml:7: unknown key trianer", "did you mean trainer?"),
        ("evaluator:\n  min_blue: 3", "toy.yaml:8: unknown key evaluator.min_blue", "evaluator.min_bleu?"),
        (
            "delimiter: x",
            "toy.yaml:7: unknown key delimiter",
            "did you mean example_gen.delimiter or example_gen.corpora[].delimiter or ",
        ),
        ("beam: {cell: gru}", "toy.yaml:7: unknown key beam.cell", "did you mean trainer.model.cell?"),
        ("beam: {name: x}", "toy.yaml:7: unknown key beam.name", "known keys: runner, options"),
        (
            "evaluator: {weight: 2}",
            "toy.yaml:7: unknown key evaluator.weight",
            "did you mean example_gen.corpora[].weight?",
        ),
        ("beam: {colour: red}", "toy.yaml:7: unknown key beam.colour", "known keys: runner, options"),
    ],
)
def test_an_unknown_key_is_reported_with_its_line_and_a_similar_key(
    tmp_path: Path, line: str, message: str, remedy: str
) -> None:
    error = load_error(tmp_path, VALID + line)
    assert str(error).endswith(message)
    assert remedy in error.remedy


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "trainer.steps=many",
            "--set trainer.steps=many: trainer.steps: must be auto or a whole number; received the text",
        ),
        (
            "trainer.steps=1.5",
            "trainer.steps: must be auto or a whole number; received the number 1.5",
        ),
        ("trainer.steps=-3", "trainer.steps: must be a whole number >= 1; received the number -3"),
        (
            "evaluator.lowercase=maybe",
            "evaluator.lowercase: must be true or false; received the text 'maybe'",
        ),
        (
            "evaluator.tokenize=moses",
            "must be auto or 13a or intl or zh or ja-mecab or ko-mecab or char or none; received the text",
        ),
        ("schema_gen.target_scripts=[Latn]", "must be Latin or Greek or Cyrillic or "),
        ("example_gen.files=x.tsv", "example_gen.files: must be a list; received the text 'x.tsv'"),
        ("trainer=5", "trainer: must be a section of keys and values; received the number 5"),
        ("example_gen.files=[3]", "example_gen.files[0]: must be text; received the number 3"),
        ("example_gen.files=a", "must be a list; received the text 'a' (write [a])"),
        ("example_gen.files=['']", "example_gen.files[0]: must not be empty"),
        ("example_gen.delimiter=ab", "example_gen.delimiter: must be one character; received the text 'ab'"),
        ("name=1e3", "name: must be text; received the number 1e3 (in quotes it is text)"),
        ("name=true", "name: must be text; received true (in quotes it is text)"),
        (
            "name=a b",
            "name: must be letters, digits, `_`, `.` and `-`, at most 200, with a letter or a digit first;"
            " received",
        ),
        (
            "example_gen.window.first=2026-13-01",
            "must be a date that exists (YYYY-MM-DD) or a whole number or",
        ),
        (
            "evaluator.thresholds={ter: 3, chrf: '50'}",
            "--set evaluator.thresholds={ter: 3, chrf: '50'}: evaluator.thresholds.chrf: must be a number;"
            " received the text '50'",
        ),
        (
            "evaluator.golden_thresholds.ter=-1",
            "evaluator.golden_thresholds.ter: must be a number >= 0.0; received",
        ),
        ("beam.options=[verbose]", "beam: a Beam option starts with --, and 'verbose' does not"),
    ],
)
def test_the_error_about_a_wrong_value_names_the_key_and_the_expected_type(
    tmp_path: Path, override: str, message: str
) -> None:
    error = str(load_error(tmp_path, VALID, override))
    assert message in error
    assert "in quotes it is text" not in error or "must be text" in error


def test_a_wrong_value_in_the_file_is_reported_with_its_line(tmp_path: Path) -> None:
    error = load_error(tmp_path, VALID.replace("1000", "soon"), "trainer.seed=3")
    assert "toy.yaml:5: trainer.steps: must be auto or a whole number; received the text 'soon'" in str(error)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "example_gen.files=[]",
            "--set example_gen.files=[]: example_gen: format tsv takes files, and files is empty",
        ),
        (
            "example_gen.source_files=[a]",
            "example_gen: format tsv takes files, and source_files must be left out",
        ),
        ("trainer.schedule.warmup_steps=1000", "warmup_steps must be below steps"),
        ("root=gs://bucket/runs", "root 'gs://bucket/runs' is remote, and its records must be as safe"),
        ("work=gs://bucket/runs", "work 'gs://bucket/runs' is remote; it must be a path of this machine"),
        ("metadata.sqlite=s3://bucket/m", "is remote; it must be a path of this machine"),
        ("root=s3:/bucket/runs", "has one slash after s3:"),
        ("serving=s3://K:S@bucket/m", "has a password"),
        ("work=elsewhere", "work is for a remote root; the root 'runs/toy' is a folder of this machine"),
        ("pusher.destination=other", "unknown key pusher.destination"),
        ("example_gen.span={number: 1}", "unknown key example_gen.span"),
        ("beam.options=[--direct_running_mode=multi_processing]", "leave --direct_running_mode out"),
        ("example_gen.source_column=english", "source_column is a name, so header must be true"),
    ],
)
def test_an_impossible_combination_is_refused(tmp_path: Path, override: str, message: str) -> None:
    assert message in str(load_error(tmp_path, VALID, override))


def test_two_metadata_stores_are_refused(tmp_path: Path) -> None:
    text = VALID + "metadata:\n  sqlite: a\n  mysql: {host: h, port: 1, database: d, user: u}\n"
    message = str(load_error(tmp_path, text)).replace(f"{tmp_path}/", "")
    assert "toy.yaml:8, toy.yaml:9: metadata: give one of" in message


def test_a_wrong_threshold_is_reported_with_its_line(tmp_path: Path) -> None:
    error = load_error(tmp_path, VALID + "evaluator:\n  thresholds:\n    ter: 3\n    chrf: '50'\n")
    assert "toy.yaml:10: evaluator.thresholds.chrf: must be a number; received the text '50'" in str(error)


def test_the_remedy_of_a_key_that_a_list_element_lacks_is_an_edit_of_the_file(tmp_path: Path) -> None:
    error = load_error(tmp_path, VALID + "example_validator:\n  severities:\n    - feature: x\n")
    assert str(error).endswith("toy.yaml:9: example_validator.severities[0].severity is missing")
    assert error.remedy.startswith("add severity (severity: warn or severity: stop) there")
    assert "--set" not in error.remedy


@pytest.mark.parametrize("key", ["severities.0.severity", "severities[0].severity"])
def test_an_element_of_a_list_cannot_be_set(tmp_path: Path, key: str) -> None:
    error = load_error(tmp_path, VALID, f"example_validator.{key}=warn")
    assert str(error).endswith("--set cannot change one element of a list")
    assert "--set example_validator.severities=[...]" in error.remedy


def test_the_remedies_of_wrong_values_are_commands_that_work(tmp_path: Path) -> None:
    overrides = ["example_gen.files=[3]", "evaluator.thresholds={chrf: x}", "trainer.steps=x", "name=a b"]
    for override in overrides:
        command = load_error(tmp_path, VALID, override).remedy.split("`")[1].split()
        assert command[:3] == ["bitext", "config", "--explain"]
        assert config.reference.find(command[3])


@pytest.mark.parametrize(
    ("override", "where"),
    [
        (
            "trainer.schedule.warmup_steps=1000",
            "toy.yaml:5, --set trainer.schedule.warmup_steps=1000: trainer: schedule.warmup_steps",
        ),
        ("trainer.search.max_length=7", "--set trainer.search.max_length=7: trainer.search.max_length must"),
    ],
)
def test_an_impossible_combination_is_reported_with_the_lines_of_its_keys(
    tmp_path: Path, override: str, where: str
) -> None:
    assert where in str(load_error(tmp_path, VALID, override))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: [", "toy.yaml:1: "),
        ("- a\n- b\n", "a configuration is a mapping"),
        (VALID + "name: again\n", "toy.yaml:7: the key 'name' is given twice"),
        ("name: toy\n", "example_gen is missing"),
        (VALID.replace("name: toy", "name: ../up"), "toy.yaml:1: name"),
        (VALID + "root: {{ folder }}\n", "toy.yaml:7: a section or a list cannot be a key"),
        (VALID + "[a]: b\n", "toy.yaml:7: a section or a list cannot be a key"),
        (VALID + "root: !!bool maybe\n", "toy.yaml:7: 'maybe' cannot be read"),
        (
            VALID + "schema_gen:\n  source_scripts: [Latin,\n    Latn]\n",
            "toy.yaml:9: schema_gen.source_scripts[1]",
        ),
        ("", "received an empty file"),
    ],
)
def test_a_malformed_file_is_reported_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    assert message in str(load_error(tmp_path, text))


@pytest.mark.parametrize(
    "override", ["trainer.steps", "=3", "trainer..steps=3", "name.x=3", "trainer.steps=["]
)
def test_a_malformed_override_is_refused(tmp_path: Path, override: str) -> None:
    assert f"--set {override}" in str(load_error(tmp_path, VALID, override))


def test_a_missing_file_is_reported_with_a_similar_name(tmp_path: Path) -> None:
    write_config(tmp_path, VALID)
    with pytest.raises(ConfigError, match=r"tyo\.yaml: there is no such file") as caught:
        config.load(tmp_path / "tyo.yaml")
    assert "toy.yaml?" in caught.value.remedy


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "toy.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        config.load(tmp_path / "toy.yaml")


class TestVariables:
    TEXT = """\
name: ${pair}
variables:
  pair: en-de
  folder: data/en
  steps: 1200
example_gen:
  files: ["${folder}/${pair}.tsv", other.tsv]
trainer:
  steps: ${steps}
"""

    def test_are_replaced_by_their_values(self, tmp_path: Path) -> None:
        loaded = config.load(write_config(tmp_path, self.TEXT))
        assert (loaded.name, loaded.root) == ("en-de", "runs/en-de")
        assert loaded.example_gen.files == ("data/en/en-de.tsv", "other.tsv")
        assert loaded.trainer.steps == 1200

    def test_can_be_set(self, tmp_path: Path) -> None:
        loaded = config.load(
            write_config(tmp_path, self.TEXT), ["variables.pair=en-fr", "variables.steps=9000"]
        )
        assert loaded.example_gen.files == ("data/en/en-fr.tsv", "other.tsv")
        assert (loaded.name, loaded.trainer.steps) == ("en-fr", 9000)

    def test_may_be_empty_text(self, tmp_path: Path) -> None:
        for override in ("variables.folder=''", "variables.folder="):
            loaded = config.load(write_config(tmp_path, self.TEXT), [override])
            assert loaded.example_gen.files[0] == "/en-de.tsv"

    def test_cannot_use_each_other(self, tmp_path: Path) -> None:
        error = load_error(tmp_path, self.TEXT, "variables.folder=data/${pair}")
        assert "--set variables.folder=data/${pair}: the variable folder uses the variable pair" in str(error)

    def test_an_undefined_variable_is_reported_with_the_line_of_its_use(self, tmp_path: Path) -> None:
        error = load_error(tmp_path, self.TEXT.replace("  folder: data/en\n", ""))
        assert str(error).endswith("toy.yaml:6: example_gen.files[0]: there is no variable folder")
        assert "--set variables.folder=" in error.remedy

    def test_an_unused_variable_is_refused(self, tmp_path: Path) -> None:
        error = load_error(tmp_path, self.TEXT, "variables.pear=en-fr")
        assert "--set variables.pear=en-fr: no value uses the variable pear" in str(error)

    def test_a_variable_whose_only_use_is_overridden_is_accepted(self, tmp_path: Path) -> None:
        files = "example_gen.files=[mine.tsv]"
        assert config.load(write_config(tmp_path, self.TEXT), [files]).example_gen.files == ("mine.tsv",)
        error = load_error(tmp_path, self.TEXT, files, "variables.folder=here")
        assert "--set variables.folder=here: no value uses the variable folder" in str(error)

    def test_a_wrong_value_is_reported_at_the_key_that_uses_the_variable(self, tmp_path: Path) -> None:
        error = load_error(tmp_path, self.TEXT, "variables.steps=many")
        assert "trainer.steps: must be auto or a whole number; received the text 'many'" in str(error)
        assert "variables must be a section" in str(load_error(tmp_path, VALID + "variables: [a]"))


SHIPPED = Path(config.__file__).parents[1] / "configs"


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configurations_and_the_options_in_their_comments_are_valid(path: Path) -> None:
    assert all(msgspec.to_builtins(config.load(path).pusher.card).values())
    comments = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    for line in comments:
        words = shlex.split(line.split("#")[1]) if "--set" in line else []
        assert config.load(path, [after for word, after in pairwise(words) if word == "--set"])


def test_every_row_of_the_ablation_is_a_different_configuration() -> None:
    rows = [ablation.as_sets({**ablation.BASE, **changes}) for _, _, changes in ablation.ROWS]
    loaded = {config.dump(config.load(SHIPPED / "multi30k.yaml", row)) for row in rows}
    bases = [value for choice, value, changes in ablation.ROWS if not changes]
    assert len(loaded) == len(rows) - len(bases) + 1


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("mine.tsv", b"Go.\tVe.\nHi\tHola\n"),
        ("mine.csv", b"en,es\nGo.,Ve.\n"),
        ("mine.txt", b"Go.\nHi.\n"),
        ("my pairs.jsonl", b'{"en": "Go.", "es": "Ve."}\n{"en": "Hi.", "es": "Hola."}\n'),
        ("mine.parquet", b"PAR1\xff\xfe"),
        ("mine.tsv.gz", b"\x1f\x8b\x08\x00"),
    ],
)
def test_data_in_place_of_a_configuration_names_the_command_that_writes_one(
    tmp_path: Path, name: str, data: bytes
) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=re.escape(name)) as caught:
        config.load(tmp_path / name)
    assert f"`bitext init {shlex.quote(str(tmp_path / name))}`" in caught.value.remedy
