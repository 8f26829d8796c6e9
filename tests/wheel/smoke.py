"""Runs a small pipeline and a translation with the installed wheel alone: `make wheel` calls this.

The interpreter is that of an environment that holds the wheel and its dependencies, and nothing of the
checkout is importable: this script is started from an empty folder, which is also the one it works in.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
import subprocess
import sys
from pathlib import Path

import yaml

SUBJECTS = {"the cat": "el gato", "the dog": "el perro", "my brother": "mi hermano", "a child": "un niño"}
VERBS = {"sees": "ve", "wants": "quiere", "buys": "compra", "draws": "dibuja", "sells": "vende"}
OBJECTS = {"a red house": "una casa roja", "some bread": "pan", "two apples": "dos manzanas"}
TIMES = {"": "", " today": " hoy", " every day": " cada día"}
CONFIG = {
    "name": "smoke",
    "example_gen": {"files": ["pairs.tsv"], "eval_share": 0.1, "test_share": 0.1},
    "transform": {"vocabulary_size": 300},
    "trainer": {
        "model": {"embedding_units": 16, "encoder_units": 16, "decoder_units": 16},
        "steps": 20,
        "batch_tokens": 400,
        "schedule": {"warmup_steps": 5},
        "validation": {"every": 20},
    },
    "evaluator": {"min_bleu": 0, "beat_trivial_baselines": False, "bootstrap_samples": 100},
}


def bitext(*arguments: str, stdin: str = "") -> str:
    """What the command of this environment prints; a failure ends the check."""
    command = [str(Path(sys.executable).with_name("bitext")), *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def expect(condition: bool, message: str) -> None:
    """Ends the check with the message unless the condition holds."""
    if not condition:
        raise SystemExit(message)


def main() -> None:
    """The check; it prints what it saw."""
    top_level = {path.parts[0] for path in importlib.metadata.files("bitext") or ()}
    modules = {name for name in top_level if "." not in name}
    expect(modules == {"bitext"}, f"the wheel installs the top-level names {sorted(modules)}")
    for generic in ("pipeline", "components", "schemas"):
        expect(importlib.util.find_spec(generic) is None, f"{generic} is importable")
    home = importlib.util.find_spec("bitext")
    expect(home is not None and "site-packages" in str(home.origin), f"bitext comes from {home}")

    parts = itertools.product(SUBJECTS.items(), VERBS.items(), OBJECTS.items(), TIMES.items())
    rows = [f"{s} {v} {o}{t}.\t{s2} {v2} {o2}{t2}.\n" for (s, s2), (v, v2), (o, o2), (t, t2) in parts]
    Path("pairs.tsv").write_text("".join(rows), encoding="utf-8")
    Path("smoke.yaml").write_text(yaml.safe_dump(CONFIG), encoding="utf-8")
    expect("Trainer" in bitext("run", "smoke.yaml"), "the run names no Trainer")
    translated = bitext("translate", "--model", "serving/smoke", stdin="the cat sees some bread.\n")
    expect(translated.count("\n") == 1, f"one line in, {translated!r} out")
    version = importlib.metadata.version("bitext")
    print(f"wheel bitext {version}: one top-level name, a run of {len(rows)} pairs, a translation")


if __name__ == "__main__":
    main()
