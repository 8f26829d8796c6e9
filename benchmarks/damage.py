"""Damages kept files at random, and checks that nothing damaged is used.

    python -m benchmarks.damage [--attacks 60] [--seed 0] [--folder FOLDER]

The pipeline runs once on a small generated corpus (the reference). Each attack copies it, and flips a bit of
one file, truncates it, fills it with zeros, or deletes it: a file of an output, of the served model, or of
the metadata. Then:

* `bitext verify` must find damage of outputs and the served model (exit code 3);
* a run in which a node reads the file must either make it again, or end with an error and its remedy. The
  same for a run that starts at this node and may not make it again;
* after a run that ended without an error, the served model must be that of the reference.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.kills import InconsistentError, Pipeline
from benchmarks.process import start
from bitext.components.artifacts import ServedVersion
from bitext.components.pusher.serving import newest_version
from bitext.components.shared.files import folder_digest
from bitext.pipeline.graph import create_pipeline
from bitext.pipeline.sources import Output

DATA_ERROR, ENVIRONMENT_FAULT = 3, 6


def flip(content: bytes, generator: random.Random) -> bytes:
    """Returns the content with one bit changed."""
    position = generator.randrange(len(content))
    changed = bytes([content[position] ^ 1 << generator.randrange(8)])
    return content[:position] + changed + content[position + 1 :]


DAMAGES: dict[str, Callable[[bytes, random.Random], bytes | None]] = {
    "flip": flip,
    "truncate": lambda content, generator: content[: generator.randrange(len(content))],
    "zeros": lambda content, generator: bytes(len(content)),
    "delete": lambda content, generator: None,
}
"""Functions from the content of a file to its damaged content; None: the file is deleted."""


@dataclasses.dataclass(frozen=True)
class Attack:
    """A damaged copy of the reference.

    Attributes:
      folder: the copy.
      file: the damaged file, relative to the folder.
      kind: `output`, `served` or `metadata`.
    """

    folder: Path
    file: Path
    kind: str

    def bitext(self, *arguments: str) -> tuple[int, str]:
        """Runs `bitext` in the copy. Returns exit code and output.

        Raises:
          InconsistentError: it ended with a traceback.
        """
        process = start(self.folder, *arguments)
        printed, _ = process.communicate()
        if "Traceback" in printed or process.returncode in (1, 130) or process.returncode < 0:
            raise InconsistentError(
                f"bitext {' '.join(arguments)} ended with {process.returncode}:\n{printed}"
            )
        return process.returncode, printed


def kept_files(reference: Pipeline) -> list[tuple[str, Path]]:
    """Returns the kind and the path of every file that a later run relies on, without empty files."""
    folder = reference.folder
    outputs = [("output", path) for path in reference.root.glob("[A-Z]*/*/*/**/*")]
    served = [("served", path) for path in (folder / "serving").rglob("*")]
    metadata = [("metadata", reference.root / "metadata.sqlite")]
    version = folder / "serving" / "toy" / "1"
    cards = {version / ServedVersion.CARD_JSON, version / ServedVersion.CARD_MARKDOWN}  # for people
    return [
        (kind, path.relative_to(folder))
        for kind, path in sorted((*outputs, *served, *metadata))
        if path.is_file() and path.stat().st_size and path not in cards
    ]


def consumers(reference: Pipeline, file: Path) -> list[str]:
    """Returns the nodes that read an output, by a file of it."""
    node, key = file.parts[2:4]
    return [
        consumer.name
        for consumer in create_pipeline(reference.config()).nodes
        for source in consumer.inputs.values()
        if isinstance(source, Output) and (source.node, source.key) == (node, key)
    ]


def attack(reference: Pipeline, folder: Path, generator: random.Random) -> str:
    """Makes one attack and checks what follows. Returns a line about it."""
    files = kept_files(reference)
    wanted = generator.choices(["output", "served", "metadata"], [6, 3, 1])[0]
    kind, file = generator.choice([entry for entry in files if entry[0] == wanted])
    name, damage = generator.choice(sorted(DAMAGES.items()))
    shutil.copytree(reference.folder, folder)
    content = (folder / file).read_bytes()
    damaged = damage(content, generator)
    if damaged == content:
        damaged = flip(content, generator)
    if damaged is None:
        (folder / file).unlink()
    else:
        (folder / file).write_bytes(damaged)
    attacked = Attack(folder, file, kind)
    before = folder_digest(folder)
    code, printed = attacked.bitext("verify", "toy.yaml")
    if kind != "metadata" and code != DATA_ERROR:
        raise InconsistentError(f"{name} of {file}: verify ended with {code}:\n{printed}")
    if kind != "metadata" and folder_digest(folder) != before:
        raise InconsistentError(f"{name} of {file}: verify changed a file")
    ending = _run(attacked, reference, generator)
    shutil.rmtree(folder)
    return f"{name} of {file}: {ending}"


def served_weights(folder: Path) -> str:
    """Returns the digest of the weights that are served. The graph's bytes differ from process to process."""
    return folder_digest(newest_version(folder / "serving" / "toy").path / "variables")


def _run(attacked: Attack, reference: Pipeline, generator: random.Random) -> str:
    """Runs what reads the damaged file, and checks the outcome."""
    arguments = ["run", "toy.yaml"]
    if attacked.kind == "output":
        nodes = consumers(reference, attacked.file)
        if not nodes:
            return "found by verify; no node reads it"
        node = generator.choice(nodes)
        arguments += ["--force", node]
        if generator.random() < 0.3:
            arguments += ["--from", node]
    code, printed = attacked.bitext(*arguments)
    shown = " ".join(arguments[2:]) or "run"
    if code == 0:
        if served_weights(attacked.folder) != served_weights(reference.folder):
            raise InconsistentError(f"{attacked.file} damaged, {shown}: another model is served:\n{printed}")
        return f"{shown}: made again"
    if code not in (DATA_ERROR, ENVIRONMENT_FAULT) or "what to do: " not in printed:
        raise InconsistentError(f"{attacked.file} damaged, {shown}: ended with {code}:\n{printed}")
    return f"{shown}: exit code {code}"


def main() -> None:
    """Makes all attacks and exits with 1 if a check fails."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--attacks", type=int, default=60, help="number of attacks (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the choices (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="working folder (default: a temporary folder)")
    options = parser.parse_args()
    start_time, generator = time.monotonic(), random.Random(options.seed)
    endings = collections.Counter[str]()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        reference = Pipeline(Path(name) / "reference")
        code, printed = reference.run()
        if code:
            sys.exit(f"the run without damage ended with {code}:\n{printed}")
        try:
            for number in range(1, options.attacks + 1):
                line = attack(reference, Path(name) / f"attack-{number}", generator)
                endings[line.rpartition(": ")[2]] += 1
                print(f"attack {number:>3}: {line}", flush=True)
        except InconsistentError as error:
            sys.exit(f"inconsistent: {error}")
    counts = ", ".join(f"{count} {ending}" for ending, count in endings.most_common())
    print(f"{options.attacks} attacks in {time.monotonic() - start_time:,.0f} s, none unnoticed: {counts}")


if __name__ == "__main__":
    main()
