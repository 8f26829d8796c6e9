"""A generated parallel corpus, a configuration for it, and functions that run `bitext` in another process.

All files are below a folder that the test names. It is the working directory of the command, and all paths in
the configuration are relative to it, as in a user's project.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[2]
NODES = (
    "ExampleGen",
    "StatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "Transform",
    "Trainer",
    "Evaluator",
    "InfraValidator",
    "Pusher",
    "Reporter",
)
_SUBJECTS = {
    "the cat": "el gato",
    "the dog": "el perro",
    "my brother": "mi hermano",
    "the teacher": "el maestro",
    "a child": "un niño",
    "the doctor": "el médico",
}
_VERBS = {"sees": "ve", "wants": "quiere", "buys": "compra", "draws": "dibuja", "sells": "vende"}
_OBJECTS = {
    "a red house": "una casa roja",
    "the old book": "el libro viejo",
    "some bread": "pan",
    "two apples": "dos manzanas",
    "the river": "el río",
}
_TIMES = {"": "", " today": " hoy", " every day": " cada día"}

Pair = tuple[str, str]


def sentences() -> list[Pair]:
    """Returns the same 450 pairs in every call. Every source occurs once."""
    phrases = itertools.product(_SUBJECTS.items(), _VERBS.items(), _OBJECTS.items(), _TIMES.items())
    return [
        (f"{s.capitalize()} {v} {o}{t}.", f"{s_.capitalize()} {v_} {o_}{t_}.")
        for (s, s_), (v, v_), (o, o_), (t, t_) in phrases
    ]


def write_tsv(path: Path, rows: list[Pair]) -> Path:
    """Writes pairs as tab-separated lines and returns the path."""
    path.write_text("".join(f"{source}\t{target}\n" for source, target in rows), encoding="utf-8")
    return path


def config(**changes: Any) -> dict[str, Any]:
    """Returns a configuration whose run takes seconds; `changes` replace keys of its sections."""
    values: dict[str, Any] = {
        "name": "toy",
        "example_gen": {"files": ["toy.tsv"], "eval_share": 0.1, "test_share": 0.1},
        "transform": {"vocabulary_size": 400, "target_max_length": 21, "bucket_growth": 1.5},
        "trainer": {
            "model": {"embedding_units": 16, "encoder_units": 16, "decoder_units": 16},
            "search": {"beam_size": 2, "max_length": 20},
            "steps": 40,
            "batch_tokens": 400,
            "replicas": 1,
            "schedule": {"warmup_steps": 5},
            "validation": {"every": 20},
            "samples": 4,
        },
        "evaluator": {"min_bleu": 0, "beat_trivial_baselines": False, "bootstrap_samples": 100},
    }
    for section, change in changes.items():
        default = values.get(section)
        if isinstance(default, dict) and isinstance(change, dict):
            values[section] = {**default, **change}
        else:
            values[section] = change
    return values


def write_config(folder: Path, values: dict[str, Any]) -> None:
    """Writes a configuration to `toy.yaml` in the folder."""
    (folder / "toy.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of a command.

    Attributes:
      code: the exit code.
      out: standard output.
      err: standard error.
      seconds: wall time.
    """

    code: int
    out: str
    err: str
    seconds: float

    def ran(self) -> list[str]:
        """Returns the nodes that the run executed."""
        return [line for line in self.out.splitlines() if line in NODES]

    def cached(self) -> list[str]:
        """Returns the nodes that the run took from the cache."""
        words = [line.split() for line in self.out.splitlines()]
        return [line[0] for line in words if len(line) == 2 and line[0] in NODES and line[1] == "cached"]


def command(*arguments: str) -> list[str]:
    """Returns the process arguments of `bitext ...`."""
    return [sys.executable, "-m", "bitext", *arguments]


def environment() -> dict[str, str]:
    """Returns the environment of a user, without the variables that the tests set for TensorFlow.

    PYTHONPATH has the code under test.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "CUDA_"))}
    return inherited | {"PYTHONPATH": str(REPOSITORY)}


def bitext(folder: Path, *arguments: str, stdin: str = "", max_file_bytes: int | None = None) -> Result:
    """Runs the command and waits for its end.

    Args:
      folder: the working directory.
      arguments: arguments of the command.
      stdin: text for standard input.
      max_file_bytes: the largest file that the command may write; None for no limit.
    """

    def limit() -> None:
        if max_file_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (max_file_bytes, max_file_bytes))

    started = time.perf_counter()
    process = subprocess.run(
        command(*arguments),
        cwd=folder,
        env=environment(),
        input=stdin,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=280,
        check=False,
        preexec_fn=limit,
    )
    return Result(process.returncode, process.stdout, process.stderr, time.perf_counter() - started)


def status(folder: Path) -> dict[str, Any]:
    """Returns the output of `bitext status --json`."""
    result = bitext(folder, "status", "--json", "toy.yaml")
    assert (result.code, result.err) == (0, "")
    report: dict[str, Any] = json.loads(result.out)
    return report


def output(folder: Path, node: str, key: str) -> Path:
    """Returns the folder of a node's newest published output."""
    return max((folder / "runs" / "toy" / node / key).iterdir(), key=lambda path: int(path.name))


def contents(folder: Path) -> dict[str, bytes]:
    """Returns the published files below a pipeline root or a serving folder.

    Logs, reports of runs and metadata are left out.
    """
    files = {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}
    left_out = (".", "logs", "metadata", "reports")
    return {name: path.read_bytes() for name, path in files.items() if not name.startswith(left_out)}
