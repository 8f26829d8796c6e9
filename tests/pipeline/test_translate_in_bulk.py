"""`bitext translate --beam-runner`: when it uses Beam, its messages and its exit codes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from bitext.components.translation import bulk, lines
from bitext.components.translation.bulk import executor, shards
from bitext.pipeline import cli
from tests import toy_model

TEXT = b"".join(b"line %d\n" % number for number in range(1, 101))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return toy_model.save(tmp_path_factory.mktemp("model"), "upper")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a file over and a file under the size limit for Beam."""
    (tmp_path / "large.txt").write_bytes(TEXT)
    (tmp_path / "small.txt").write_bytes(b"one\n\ntwo\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(bulk, "WORTHWHILE_BYTES", 100)
    monkeypatch.setattr(lines, "READ_BYTES", 250)
    return tmp_path


def test_a_large_file_is_translated_with_beam_and_each_shard_is_printed(
    folder: Path, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    through_beam = ["--output", "beam.out", "--beam-runner", "direct", "--beam-option", "job_name=large"]
    assert cli.main(["translate", "--model", str(model), "--nbest", "2", "large.txt", *through_beam]) == 0
    printed = capfd.readouterr()
    assert printed.err.splitlines() == [
        "100 lines in 4 shards, 4 of them to translate",
        "translated lines 1 to 32",
        "translated lines 33 to 63",
        "translated lines 64 to 94",
        "translated lines 95 to 100",
    ]
    assert printed.out == ""
    assert cli.main(["translate", "--model", str(model), "--nbest", "2", "large.txt", "--output", "out"]) == 0
    assert Path("beam.out").read_bytes() == Path("out").read_bytes()
    assert Path("out").read_text().splitlines()[-1].split("\t")[::2] == ["100", "LLINE 100"]


def test_a_small_file_is_translated_without_beam_and_says_so(
    model: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "translate_file", None)
    arguments = ["--output", "out.txt", "--beam-runner", "direct"]
    assert cli.main(["translate", "--model", str(model), "small.txt", *arguments]) == 0
    assert capfd.readouterr().err == "small.txt has 9 bytes; up to 100 are translated without Beam\n"
    assert Path("out.txt").read_bytes() == b"ONE\n\nTWO\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--beam-runner", "direct"], "--beam-runner translates a file into another"),
        (["--beam-runner", "direct", "--output", "out.txt"], "--beam-runner translates a file into another"),
        (["--beam-runner", "direct", "large.txt"], "--beam-runner translates a file into another"),
        (["large.txt", "--beam-option", "a=b"], "--beam-option is given without --beam-runner"),
        (["large.txt", "--shared-folder", "s3://b/c"], "--shared-folder is given without --beam-runner"),
        (
            ["large.txt", "--output", "o", "--beam-runner", "direct", "--beam-option", "runner=x"],
            "name the runner",
        ),
        (["large.txt", "--output", "o", "--beam-runner", "NoSuchRunner"], "NoSuchRunner"),
        (
            ["large.txt", "--output", "o", "--beam-runner", "direct", "--batch-size", "0"],
            "batch_size must be",
        ),
        (["large.txt", "--output", ".", "--beam-runner", "direct"], "it is a folder"),
    ],
)
def test_contradictory_options_give_one_message_and_exit_code_2(
    model: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert cli.main(["translate", "--model", str(model), *arguments]) == 2
    error = capfd.readouterr().err
    [message_line] = [line for line in error.splitlines() if line.startswith("error: ")]
    assert message in message_line
    assert "Traceback" not in error
    assert "while running" not in error


def test_a_missing_file_is_a_data_error(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["absent.txt", "--output", "out.txt", "--beam-runner", "direct"]
    assert cli.main(["translate", "--model", str(model), *arguments]) == 3
    assert "cannot read absent.txt: No such file" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_command_and_the_same_command_resumes(
    model: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, number: int, code: int
) -> None:
    lines_of, blocks = lines.lines_of, list[bytes]()

    def signal_at_the_third_shard(block: bytes) -> list[bytes]:
        blocks.append(block)
        # First, the input is divided into 4 shards. Beam reads a shard before it translates the last one.
        if len(blocks) == 4 + 3:
            signal.raise_signal(number)
        return lines_of(block)

    monkeypatch.setattr(shards, "lines_of", signal_at_the_third_shard)
    arguments = ["large.txt", "--output", "out.txt", "--beam-runner", "direct"]
    command = ["translate", "--model", str(model), *arguments]
    assert cli.main(command) == code
    ending = "terminated" if number == signal.SIGTERM else "interrupted"
    assert capfd.readouterr().err.splitlines()[-2:] == ["translated lines 1 to 32", f"error: {ending}"]
    assert not Path("out.txt").exists()
    assert cli.main(command) == 0
    assert (
        "100 lines in 4 shards, 3 of them to translate\ntranslated lines 33 to 63\n" in capfd.readouterr().err
    )
    assert Path("out.txt").read_bytes() == TEXT.upper()
