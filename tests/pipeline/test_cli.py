"""The command line: messages, exit codes, status, and a fast start."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from bitext.components.shared import errors
from bitext.pipeline import cli, graph
from bitext.pipeline.reports import summary
from tests.pipeline import fakes
from tests.pipeline.fakes import Calls, raising

REPOSITORY = Path(__file__).parents[2]


OPTIONS: dict[str, Any] = {}
"""Arguments of `fakes.pipeline` in the next run."""


@pytest.fixture
def folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, in which `bitext run toy.yaml` runs the fake pipeline with `OPTIONS`."""
    monkeypatch.chdir(folder)
    monkeypatch.setattr(graph, "create_pipeline", lambda config: fakes.pipeline(folder, **OPTIONS))
    OPTIONS.clear()
    return folder


def status(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Returns the output of `bitext status --json`."""
    capsys.readouterr()
    assert cli.main(["status", "--json", "toy.yaml"]) == 0
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def test_the_summary_has_score_sample_translations_and_the_translate_command(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for cached in (0, 4):
        assert cli.main(["run", "toy.yaml"]) == 0
        output = capsys.readouterr().out
        assert "BLEU 31.25  (95 % interval 30.00 to 32.50)  nrefs:var|tok:13a" in output
        assert [f"h{i}" for i in range(25) if f"model       h{i}\n" in output] == [
            f"h{i}" for i in (0, 2, 5, 7, 10, 12, 15, 17, 20, 22)
        ]
        assert "reference   r22" in output
        assert f"SavedModel  {folder / 'serving' / 'toy' / '1'}" in output
        assert 'echo "s0" | ' in output
        assert "translate --model serving/toy" in output
        assert f"4 nodes, {cached} of them cached" in output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("the thing", "the remedy"), 2),
        (errors.DataError("the thing", "the remedy"), 3),
        (errors.LockedError("the thing", "the remedy"), 5),
        (errors.EnvironmentFault("the thing", "the remedy"), 6),
        (errors.TrainingError("the thing", "the remedy"), 7),
    ],
)
def test_an_error_prints_message_remedy_and_log_and_sets_the_exit_code(
    folder: Path, capsys: pytest.CaptureFixture[str], error: errors.BitextError, code: int
) -> None:
    Calls.hooks["Train"] = raising(error)
    assert cli.main(["run", "toy.yaml"]) == code
    captured = capsys.readouterr()
    assert captured.err.startswith("error: the thing\nwhat to do: the remedy\nlog: runs/toy/logs/")
    assert "Traceback" not in captured.out + captured.err
    log = Path(captured.err.split("log: ")[1].splitlines()[0])
    assert "Traceback" in log.read_text(encoding="utf-8")


def test_an_unexpected_error_is_printed_without_its_traceback(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Calls.hooks["Train"] = raising(ZeroDivisionError("oh"))
    assert cli.main(["run", "toy.yaml"]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ZeroDivisionError: oh\n")
    assert "Traceback" not in captured.out + captured.err
    assert log_named_in(captured.err).count("Traceback") == 1


def log_named_in(stderr: str) -> str:
    """Returns the content of the log file that an error message names."""
    return Path(stderr.split("log: ")[1].splitlines()[0]).read_text(encoding="utf-8")


def test_the_log_has_the_traceback_of_an_error_after_the_last_node(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(summary, "summarize", fail)
    assert cli.main(["run", "toy.yaml"]) == 1
    assert "in fail\n    raise ZeroDivisionError" in log_named_in(capsys.readouterr().err)


def test_damaged_scores_are_no_error_and_those_on_record_are_shown(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["run", "toy.yaml"])
    for name in ("metrics.json", "translations.jsonl"):
        [path] = (folder / "runs" / "toy").glob(f"Evaluate/evaluation/*/{name}")
        path.write_text('{"bleu": ', encoding="utf-8")
    assert cli.main(["run", "toy.yaml"]) == 0
    assert [run["bleu"] for run in status(capsys)["runs"]] == [31.25, 31.25]


def test_an_interrupted_run_exits_with_130_and_the_next_run_continues(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Calls.hooks["Train"] = raising(KeyboardInterrupt())
    assert cli.main(["run", "toy.yaml"]) == 130
    Calls.hooks.clear()
    Calls.nodes.clear()
    assert cli.main(["run", "toy.yaml"]) == 0
    assert Calls.nodes == ["Train", "Evaluate", "Push"]
    assert [r["state"] for r in status(capsys)["runs"]] == ["COMPLETE", "CANCELED"]


def test_a_terminated_run_exits_with_143_and_is_recorded(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Calls.hooks["Train"] = lambda context: signal.raise_signal(signal.SIGTERM)
    assert cli.main(["run", "toy.yaml"]) == 143
    assert status(capsys)["runs"][0]["nodes"]["Train"]["state"] == "CANCELED"


def test_a_refused_model_exits_with_4_after_the_summary(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    OPTIONS["bless"] = False
    assert cli.main(["run", "toy.yaml"]) == 4
    captured = capsys.readouterr()
    assert "BLEU 31.25" in captured.out
    assert "Not pushed: not blessed" in captured.out
    assert "error: the model was not blessed: BLEU 31.25 is under 40" in captured.err
    report = status(capsys)
    assert (report["runs"][0]["blessed"], report["runs"][0]["state"]) == (False, "COMPLETE")
    assert report["pushed"] is None


def test_status_shows_every_run_and_node(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(capsys) == {"runs": [], "pushed": None}
    assert not (folder / "runs").exists()
    cli.main(["run", "toy.yaml"])
    OPTIONS["steps"] = 2
    Calls.hooks["Evaluate"] = raising(errors.DataError("bad day"))
    cli.main(["run", "toy.yaml"])
    report = status(capsys)
    failed, complete = report["runs"]
    assert (failed["state"], complete["state"]) == ("FAILED", "COMPLETE")
    assert (failed["error"], failed["bleu"], failed["blessed"]) == ("bad day", None, None)
    assert {n: (v["state"], v["cached"]) for n, v in failed["nodes"].items()} == {
        "Source": ("COMPLETE", True),
        "Train": ("COMPLETE", False),
        "Evaluate": ("FAILED", False),
    }
    assert list(complete["nodes"]) == list(fakes.NODES)
    assert (complete["bleu"], complete["bleu_signature"], complete["blessed"]) == (
        31.25,
        "nrefs:var|tok:13a",
        True,
    )
    assert complete["seconds"] >= sum(node["seconds"] for node in complete["nodes"].values()) - 0.01
    assert report["pushed"] == {
        "model": "toy",
        "version": 1,
        "path": str(folder / "serving" / "toy" / "1"),
        "digest": "abc",
        "run": complete["id"],
        "rolled_back": False,
    }
    assert cli.main(["status", "toy.yaml"]) == 0
    text = capsys.readouterr().out
    assert "bad day" in text
    assert "Source            cached" in text
    assert "pushed: toy version 1" in text
    Calls.hooks["Evaluate"] = raising(errors.DataError("long message " * 50))
    cli.main(["run", "toy.yaml"])
    capsys.readouterr()
    assert cli.main(["status", "toy.yaml"]) == 0
    assert max(map(len, capsys.readouterr().out.splitlines())) < 220


def test_an_invalid_configuration_exits_with_2_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in (["run", "none.yaml"], ["run", "toy.yaml", "--set", "x=1"], ["config", "none.yaml"]):
        assert cli.main(arguments) == 2
        assert capsys.readouterr().err.startswith("error: ")
    assert not (folder / "runs").exists()


def test_a_closed_pipe_is_no_error() -> None:
    """As in `bitext config | head -1`."""
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [sys.executable, "-m", "bitext", "config"],
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        cwd=REPOSITORY,
    )
    os.close(writing)
    assert (process.returncode, process.stderr) == (0, "")


def test_an_invalid_command_line_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["run", "--nonsense"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.startswith("error: ")


@pytest.mark.parametrize("reason", ["", "  ", "\n"])
@pytest.mark.parametrize("command", [["run", "--force-bless"], ["rollback", "--reason"]])
def test_a_blank_reason_is_refused(
    folder: Path, capsys: pytest.CaptureFixture[str], command: list[str], reason: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([*command, reason])
    assert ended.value.code == 2
    assert f"argument {command[1]}: the reason must not be empty" in capsys.readouterr().err
    assert not (folder / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message", "command"),
    [
        (["--versoin"], "unknown option --versoin", "bitext"),
        ([], "name a COMMAND", "bitext"),
        (["run", "a.yaml", "b.yaml"], "unexpected argument b.yaml", "bitext run"),
        (["gc", "--keep", "x"], "argument --keep: must be a whole number; received 'x'", "bitext gc"),
        (
            ["lineage", "mine.yaml", "1"],
            "argument VERSION: must be the number of a pushed version; received 'mine.yaml' (VERSION comes"
            " before CONFIG)",
            "bitext lineage",
        ),
        (
            ["translate", "--length-penalty", "x"],
            "argument --length-penalty: must be a number; received 'x'",
            "bitext translate",
        ),
    ],
)
def test_the_error_about_a_wrong_command_line_names_the_help_of_its_command(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str, command: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\nwhat to do: {command} --help\n"


COMMANDS = (
    "init",
    "inspect",
    "run",
    "tune",
    "train-worker",
    "config",
    "status",
    "history",
    "compare",
    "rejects",
    "show",
    "report",
    "lineage",
    "rollback",
    "gc",
    "verify",
    "doctor",
    "export",
    "fetch",
    "translate",
    "evaluate",
    "score",
    "serve",
    "completion",
)


@pytest.mark.parametrize(
    ("arguments", "message", "remedy"),
    [
        (["nope"], f"there is no command 'nope'; the commands are {', '.join(COMMANDS)}", "bitext --help"),
        (
            ["statsu", "mine.yaml"],
            f"there is no command 'statsu'; the commands are {', '.join(COMMANDS)}",
            "did you mean status? bitext --help",
        ),
        (
            ["run", "--log-format", "jsn"],
            "argument --log-format: must be human or json; received 'jsn'",
            "did you mean json? bitext run --help",
        ),
    ],
)
def test_an_unknown_command_or_choice_is_reported_with_a_similar_one(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str, remedy: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert capsys.readouterr().err == f"error: {message}\nwhat to do: {remedy}\n"


@pytest.mark.parametrize("command", [["status"], ["rollback", "--reason", "x"]])
def test_remedies_name_the_configuration_that_was_given(
    folder: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    (folder / "my own.yaml").write_text((folder / "toy.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    first, *others = command
    cli.main([first, "my own.yaml", *others, "--set", "trainer.steps=900"])
    captured = capsys.readouterr()
    assert "bitext run 'my own.yaml' --set trainer.steps=900" in captured.out + captured.err


def test_explain_shows_every_key_that_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "--explain", "trainer.steps", "--explain", "name"]) == 0
    assert re.findall(r"^\S+", capsys.readouterr().out, re.MULTILINE) == ["trainer.steps", "name"]


def test_config_prints_every_default(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "toy.yaml", "--root", "123"]) == 0
    printed = capsys.readouterr().out
    assert "root: '123'" in printed
    assert "batch_tokens:" in printed


def test_a_missing_model_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["translate", "--model", "serving/none", "rows.txt"]) == 3
    assert "serving/none" in capsys.readouterr().err


def test_serving_folder_of_another_pipeline_is_refused_before_the_first_step(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    version = folder / "serving" / "toy" / "3"
    (version / "assets.extra").mkdir(parents=True)
    (version / "saved_model.pb").write_bytes(b"x")
    (version / "assets.extra" / "bitext.json").write_text('{"digest": "sha256:0", "pipeline": "other"}')
    assert cli.main(["run", "toy.yaml"]) == 2
    error = capsys.readouterr().err
    assert "version 3, was pushed by the pipeline 'other'; this pipeline is 'toy'" in error
    assert "--set pusher.take_over=true" in error
    assert not Calls.nodes
    assert cli.main(["run", "toy.yaml", "--set", "pusher.take_over=true"]) == 0


def test_control_characters_of_file_names_are_escaped(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["config", "no\x1b[31m\nerror: forged\u202e.yaml"]) == 2
    error = capsys.readouterr().err
    assert "no\\x1b[31m" in error
    assert "\\u202e.yaml" in error
    assert not re.search("\x1b|\u202e|^error: forged", error, re.MULTILINE)


def test_a_root_that_cannot_be_created_exits_with_6(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "toy.yaml", "--root", "/proc/bitext"]) == 6
    error = capsys.readouterr().err
    assert "/proc/bitext" in error
    assert "Traceback" not in error


def test_help_takes_under_half_a_second_and_lists_the_exit_codes() -> None:
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        process = subprocess.run(
            [sys.executable, "-m", "bitext", "--help"],
            capture_output=True,
            text=True,
            check=True,
            cwd=REPOSITORY,
        )
        seconds.append(time.perf_counter() - started)
    assert "exit codes:" in process.stdout
    assert min(seconds) < 0.5
    assert max(map(len, process.stdout.splitlines())) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_a_command_shows_examples_that_parse(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    examples = text.partition("examples:\n")[2].splitlines()
    assert 1 <= len(examples) <= 2
    for example in examples:
        words = shlex.split(example.rpartition("|")[2])
        assert words[:2] == ["bitext", command]
        assert cli.build_parser().parse_args(words[1:]).run
    assert "exit codes" not in text


def test_the_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--help"])
    listed = re.findall(r"^    ([\w-]+)", capsys.readouterr().out, re.MULTILINE)
    assert tuple(listed) == COMMANDS


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"bitext {metadata.version('bitext')}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interruption_in_a_finalizer_is_not_lost(tmp_path: Path, number: signal.Signals) -> None:
    """Python discards what a signal handler raises in `__del__`: the signal is sent again."""
    script = f"""
import os, signal, time
from bitext.pipeline import cli

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), {int(number)})
        time.sleep(0)  # the handler runs here

def run(*_):
    Finalized()
    for _ in range(1000):
        time.sleep(0.01)

cli._run = run
raise SystemExit(cli.main([]))
"""
    process = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 128 + number
    assert process.stderr == f"error: {'terminated' if number == signal.SIGTERM else 'interrupted'}\n"
