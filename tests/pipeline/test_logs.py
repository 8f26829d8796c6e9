"""The log of a run: all lines of this project, and warnings and errors of libraries."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from bitext.components.shared import library_logs
from bitext.components.shared.errors import ConfigError
from bitext.pipeline import cli
from bitext.pipeline.terminal import log, logging_to
from tests.pipeline.fakes import Calls

NOTICE = "2026-01-31 10:00:00.1: E external/cuda_fft.cc:479] Unable to register cuFFT factory: Attempting\n"


def write_messages() -> None:
    """Writes one message of each level, by this project, by libraries and by native code."""
    log.info("bitext info")
    log.getChild("inner").debug("detail")
    for level in ("debug", "info", "warning", "error"):
        getattr(logging.getLogger("apache_beam.x"), level)("beam %s", level)
    tensorflow = logging.getLogger("some_library")  # a library that sets its own level
    tensorflow.setLevel(logging.DEBUG)
    tensorflow.debug("own level")
    tensorflow.setLevel(logging.NOTSET)
    logging.getLogger().warning("crcmod package not found. This package is required if")
    warnings.warn("python warning", UserWarning, stacklevel=1)
    os.write(2, b"native message\n")


def logged_messages(path: Path) -> list[str]:
    """Writes the messages to a log and returns those that are in it."""
    with logging_to(path):
        write_messages()
    text = path.read_text(encoding="utf-8")
    messages = ("bitext info", "beam debug", "beam info", "beam warning", "beam error", "own level", "crcmod",
                "python warning", "native message")  # fmt: skip
    return [message for message in messages if message in text]


ALWAYS = ["beam warning", "beam error", "python warning", "native message"]


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        (None, ["bitext info", *ALWAYS]),
        ("", ["bitext info", *ALWAYS]),
        ("ERROR", ["bitext info", "beam error", "native message"]),
        ("info", ["bitext info", "beam info", "beam warning", "beam error", "crcmod", "python warning",
                  "native message"]),
        ("DEBUG", ["bitext info", "beam debug", "beam info", "beam warning", "beam error", "own level",
                   "crcmod", "python warning", "native message"]),
    ],
)  # fmt: skip
def test_the_level_of_libraries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, level: str | None, expected: list[str]
) -> None:
    monkeypatch.delenv(library_logs.VARIABLE, raising=False)
    if level is not None:
        monkeypatch.setenv(library_logs.VARIABLE, level)
    before = (logging.getLogger().level, log.level, logging.getLogger().handlers[:])
    assert logged_messages(tmp_path / "run.log") == expected
    assert (logging.getLogger().level, log.level, logging.getLogger().handlers[:]) == before


def test_an_unknown_level_is_refused(
    toy: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(library_logs.VARIABLE, "loud")
    assert cli.main(["run", "toy.yaml"]) == 2
    assert "error: BITEXT_LIBRARY_LOG_LEVEL is 'loud'" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="loud"):
        library_logs.level()


class TestImportNotices:
    def test_are_removed_and_other_lines_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "run.log"
        with logging_to(path):
            os.write(2, b"before\n" + NOTICE.encode())
            with library_logs.import_notices_removed():
                os.write(2, NOTICE.encode() + b"E a real error\n")
                log.info("meanwhile")
                os.write(2, NOTICE.replace("cuFFT", "cuDNN").encode() + b"no line end")
            os.write(2, b"\nafter\n")
        lines = path.read_text(encoding="utf-8").splitlines()
        assert [line for line in lines if not line.endswith("meanwhile")] == [
            "before",
            NOTICE.strip(),  # not during the import
            "E a real error",
            "no line end",
            "after",
        ]
        assert "meanwhile" in lines[3]

    def test_stay_at_the_level_info(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(library_logs.VARIABLE, "INFO")
        with logging_to(tmp_path / "run.log"), library_logs.import_notices_removed():
            os.write(2, NOTICE.encode())
        assert NOTICE in (tmp_path / "run.log").read_text(encoding="utf-8")

    def test_stay_if_the_import_ends_the_process(self, tmp_path: Path) -> None:
        code = (
            "import os\nfrom pathlib import Path\nfrom bitext.components.shared import library_logs\n"
            "from bitext.pipeline.terminal import logging_to\n"
            "with logging_to(Path('run.log')), library_logs.import_notices_removed():\n"
            f"    os.write(2, {NOTICE.encode()!r} + b'F fatal')\n    os.abort()\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        process = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=False)
        assert process.returncode < 0
        assert (tmp_path / "run.log").read_text(encoding="utf-8") == NOTICE + "F fatal"

    @pytest.mark.parametrize("redirection", ["2>file", "2>/dev/null", "2>&-", "2>&1 | cat"])
    def test_stay_in_a_standard_error_that_is_no_log(self, tmp_path: Path, redirection: str) -> None:
        code = (
            "import os\nfrom bitext.pipeline import streams\n"
            "from bitext.components.shared import library_logs\n"
            "streams.open_closed_streams()\n"
            f"with library_logs.import_notices_removed(): os.write(2, {NOTICE.encode()!r})\n"
        )
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        process = subprocess.run(
            ["bash", "-c", f'"$0" -c "$1" {redirection}', sys.executable, code],
            cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (process.returncode, process.stderr) == (0, "")
        if redirection == "2>file":
            assert (tmp_path / "file").read_text(encoding="utf-8") == NOTICE


def test_a_run_logs_what_it_prints_and_no_library_below_a_warning(
    toy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Calls.hooks["Train"] = lambda context: logging.getLogger("apache_beam").info("an unneeded detail")
    assert cli.main(["run", "toy.yaml"]) == 0
    printed = [line.strip() for line in capsys.readouterr().out.split("\n\n")[0].splitlines()]
    [path] = (toy / "runs" / "toy" / "logs").glob("*.log")
    text = path.read_text(encoding="utf-8")
    assert "an unneeded detail" not in text
    assert [line for line in printed if line not in text] == []
