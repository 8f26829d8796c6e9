"""A folder that looks like a checkout, in which the commands of the pages run.

The folder links to this checkout's code. In a small stage the corpus is made up and each `bitext run` trains
a very small model, so that all pages run in minutes; in a full stage the commands run exactly as written.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from docs.tools import blocks
from docs.tools.blocks import ROOT, Block

LINKED = ("Makefile", "benchmarks", "bitext", "components", "examples", "pipeline", "schemas", "tests")
TOOLS = ("saved_model_cli",)
TUTORIAL = tuple(ROOT / "docs" / "tutorial" / f"{name}.md" for name in ("run", "your-data"))
"""The pages that make what the other pages use: the example's model, `mine.yaml` and its model."""
COLD = "make run"
"""The command whose first output is what every page shows."""
SHOWN_FOLDER = "/srv/bitext"
"""What a page shows in place of the stage's own folder."""
SECONDS = 3600

SMALL = {
    "example_gen.eval_share": "0.1",
    "example_gen.test_share": "0.1",
    "transform.vocabulary_size": "400",
    "transform.target_max_length": "21",
    "trainer.model.embedding_units": "16",
    "trainer.model.encoder_units": "16",
    "trainer.model.decoder_units": "16",
    "trainer.search.max_length": "20",
    "trainer.steps": "40",
    "trainer.batch_tokens": "400",
    "trainer.replicas": "1",
    "trainer.schedule.warmup_steps": "5",
    "trainer.validation.every": "20",
    "trainer.samples": "4",
    "evaluator.bootstrap_samples": "100",
    "evaluator.min_bleu": "0",
    "evaluator.beat_trivial_baselines": "false",
    "evaluator.compare_with_baseline": "false",
}
"""What a run in a small stage is given beside its own options."""

_COMMAND = """\
#!{python}
import sys
from bitext.pipeline.cli import main
if sys.argv[1:2] in (["run"], ["tune"]):
    sys.argv += {extra!r}
sys.exit(main())
"""


@dataclasses.dataclass
class Stage:
    """One such folder.

    Attributes:
      folder: the folder, which contains `.venv`, `data`, and what the commands make.
      shown: other folders whose names are replaced in what is printed.
      cold: what `make run` printed first.
    """

    folder: Path
    shown: tuple[Path, ...] = ()
    cold: str = ""

    @classmethod
    def small(cls, folder: Path) -> Stage:
        """A stage with a made corpus, in which trainings take seconds."""
        stage = cls._made(
            folder, [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
        )
        rows = "".join(f"{source}\t{target}\tmade up\n" for source, target in pairs())
        (folder / "data" / "spa.tsv").write_text(rows, encoding="utf-8")
        return stage

    @classmethod
    def full(cls, folder: Path) -> Stage:
        """A stage with the corpus of the example."""
        stage = cls._made(folder, [])
        if (ROOT / "data" / "spa.tsv").exists():
            shutil.copy(ROOT / "data" / "spa.tsv", folder / "data")
        else:
            stage.run("bitext fetch tatoeba-es")
        return stage

    @classmethod
    def _made(cls, folder: Path, extra: list[str]) -> Stage:
        programs = folder / ".venv" / "bin"
        for new in (programs, folder / "data", folder / "requirements"):
            new.mkdir(parents=True)
        for name in LINKED:
            (folder / name).symlink_to(ROOT / name)
        (folder / "requirements" / "install.sh").write_text("# Everything is installed.\n")
        (programs / "activate").write_text('PATH="$PWD/.venv/bin:$PATH"\n')
        scripts = {
            "bitext": _COMMAND.format(python=sys.executable, extra=extra),
            "python": f'#!/bin/sh\nexec {sys.executable} "$@"\n',
        }
        for name, script in scripts.items():
            (programs / name).write_text(script)
            (programs / name).chmod(0o755)
        for name in TOOLS:
            (programs / name).symlink_to(Path(sys.executable).with_name(name))
        return cls(folder)

    def copy(self, folder: Path) -> Stage:
        """The stage with all that the commands have made so far."""
        shutil.copytree(self.folder, folder, symlinks=True)
        return Stage(folder, (*self.shown, self.folder), self.cold)

    def prepare(self) -> dict[Path, list[tuple[Block, str]]]:
        """Runs the pages that the others build on; returns what they print."""
        return {page: list(self.run_page(page)) for page in TUTORIAL}

    def run_page(self, page: Path, shown_only: bool = False) -> Iterator[tuple[Block, str]]:
        """Runs the blocks of a page in order; yields each that runs, with what it prints.

        Args:
          page: the page.
          shown_only: leave out blocks marked as long, and those after the last whose output is shown.
        """
        every = blocks.parse(page)
        if shown_only:
            last = max((i for i, block in enumerate(every) if blocks.shown_after(block)), default=-1)
            every = [block for block in every[: last + 1] if "long" not in block.marks]
        for block in every:
            for name in block.marks.get("file", []):
                (self.folder / name).write_text(block.text + "\n", encoding="utf-8")
            is_run = block.not_run is None and block.is_possible
            if is_run and block.language in blocks.RUNS and "file" not in block.marks:
                for command in block.marks.get("setup", []):
                    self.run(command)
                yield block, self._printed(block)

    def _printed(self, block: Block) -> str:
        if block.text == COLD:
            self.cold = self.cold or self.run(COLD)
            return self.cold
        expected = int(block.marks.get("exit", ["0"])[0])
        if block.language == "python":
            return self.run(
                f".venv/bin/python -c '{block.text.replace(chr(39), chr(39) + chr(92) + chr(39) * 2)}'"
            )
        return self.run(block.text, expected)

    def run(self, script: str, expected: int = 0) -> str:
        """Runs a shell script in the folder.

        Args:
          script: for bash.
          expected: its exit code.

        Returns:
          Standard output and standard error, with the folder's name replaced.

        Raises:
          RuntimeError: it ends with another exit code.
        """
        users = {name: value for name, value in os.environ.items() if not name.startswith(("TF_", "CUDA_"))}
        path = f"{self.folder}/.venv/bin:{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "-eu", "-o", "pipefail", "-c", script],
            cwd=self.folder,
            env=users
            | {
                "PYTHONPATH": str(ROOT),
                "PATH": path,
                "TF_CPP_MIN_LOG_LEVEL": "3",
                "PYTHONWARNINGS": "ignore",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
        printed = done.stdout
        for folder in (self.folder, *self.shown, ROOT):
            printed = printed.replace(str(folder), SHOWN_FOLDER)
        if done.returncode != expected:
            raise RuntimeError(
                f"exit code {done.returncode} and not {expected}:\n{script}\n{printed[-3000:]}"
            )
        return printed


def pairs() -> Iterator[tuple[str, str]]:
    """1,800 sentence pairs of a made language pair, every source once."""
    subjects = {
        "the cat": "el gato", "the dog": "el perro", "my brother": "mi hermano", "the teacher": "el maestro",
        "a child": "un niño", "the doctor": "el médico", "your friend": "tu amigo",
        "the driver": "el conductor", "our neighbor": "nuestro vecino", "the king": "el rey",
    }  # fmt: skip
    verbs = {
        "sees": "ve",
        "wants": "quiere",
        "buys": "compra",
        "draws": "dibuja",
        "sells": "vende",
        "likes": "ama",
    }
    objects = {
        "a red house": "una casa roja", "the old book": "el libro viejo", "some bread": "pan",
        "two apples": "dos manzanas", "the river": "el río", "a small boat": "un barco pequeño",
        "green tea": "té verde", "the station": "la estación", "three letters": "tres cartas",
        "a song": "una canción",
    }  # fmt: skip
    times = {"": "", " today": " hoy", " every day": " cada día"}
    for (s, s_), (v, v_), (o, o_), (t, t_) in itertools.product(
        subjects.items(), verbs.items(), objects.items(), times.items()
    ):
        yield f"{s.capitalize()} {v} {o}{t}.", f"{s_.capitalize()} {v_} {o_}{t_}."
