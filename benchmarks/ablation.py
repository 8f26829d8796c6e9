"""Trainings with one choice changed at a time, equal in everything else, and the table of their scores.

    python -m benchmarks.ablation CONFIG [--set a.b=c ...]

Every row is a run of the pipeline in one root, so that all share ExampleGen to Transform, rows that differ in
the search share a model, and a second call of the same trains nothing again. `--set` reaches every row before
its own choice: it sets the corpus's folder and, with `trainer.steps`, the budget. After every row ABLATION.md
and ABLATION.json are written anew.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
BITEXT = (sys.executable, "-m", "pipeline")
BASE = {
    "trainer.model.cell": "gru",
    "trainer.model.decoder": "luong",
    "trainer.model.decoder_layers": 1,
    "trainer.model.attention": "general",
    "trainer.model.attention_heads": 4,
    "trainer.model.bidirectional": True,
    "trainer.patience": 0,
    "evaluator.compare_with_baseline": False,
    "trainer.search.beam_size": 5,
    "transform.unit": "subword",
    # Other units have none.
    "transform.segmentations": 1,
    "transform.subword_dropout": 0.0,
}
ROWS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("cell", "SimpleRNN", {"trainer.model.cell": "rnn"}),
    ("cell", "GRU", {}),
    ("cell", "LSTM", {"trainer.model.cell": "lstm"}),
    ("attention", "none", {"trainer.model.attention": "none"}),
    ("attention", "Luong, general", {}),
    ("attention", "Bahdanau, additive", {"trainer.model.attention": "additive"}),
    ("heads", "one", {"trainer.model.attention_heads": 1}),
    ("heads", "four", {}),
    ("decoder", "Luong", {}),
    ("decoder", "Luong, two layers", {"trainer.model.decoder_layers": 2}),
    (
        "decoder",
        "GNMT, two layers",
        {"trainer.model.decoder": "gnmt", "trainer.model.decoder_layers": 2},
    ),
    ("decoder", "input feeding", {"trainer.model.decoder": "input_feeding"}),
    ("decoder", "conditional", {"trainer.model.decoder": "conditional"}),
    ("encoder", "unidirectional", {"trainer.model.bidirectional": False}),
    ("encoder", "bidirectional", {}),
    ("tokens", "words", {"transform.unit": "word"}),
    ("tokens", "subwords", {}),
    (
        "tokens",
        "characters",
        {
            "transform.unit": "character",
            "transform.source_max_length": 250,
            "transform.target_max_length": 250,
            "trainer.search.max_length": 300,
        },
    ),
    ("search", "greedy", {"evaluator.beam_size": 1}),
    ("search", "beam 5", {"evaluator.beam_size": 5}),
    ("search", "beam 12", {"evaluator.beam_size": 12}),
)


def bitext(*arguments: str) -> str:
    """What the command printed. A refused model (code 4) is no failure here: its score counts."""
    done = subprocess.run([*BITEXT, *arguments], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 4):
        raise SystemExit(f"bitext {' '.join(arguments)} failed:\n{done.stderr}")
    return done.stdout


def flags(sets: list[str]) -> list[str]:
    """`--set` before each."""
    return [word for value in sets for word in ("--set", value)]


def score(config: str, root: str, sets: list[str]) -> float:
    """BLEU on the test split of a configuration with these `a.b=c`."""
    arguments = [config, "--root", root, *flags(sets)]
    bitext("run", *arguments, "--to", "Evaluator")
    return float(json.loads(bitext("status", *arguments, "--json"))["runs"][0]["bleu"])


def as_sets(values: dict[str, Any]) -> list[str]:
    """As `a.b=c`."""
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]


def write(command: list[str], rows: list[dict[str, Any]]) -> None:
    """Writes both files."""
    lines = [
        "# Ablation",
        "",
        f"BLEU on the test split, one choice changed at a time: `{' '.join(command)}`",
        "",
        "| choice | value | BLEU |",
        "|---|---|---|",
        *(f"| {row['choice']} | {row['value']} | {row['bleu']:.2f} |" for row in rows),
    ]
    (HERE / "ABLATION.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = {"command": command, "rows": rows}
    (HERE / "ABLATION.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Runs every row and writes the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation")
    parser.add_argument("config")
    parser.add_argument("--root", default="runs/ablation")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="a.b=c")
    options = parser.parse_args()
    command = ["python -m benchmarks.ablation", options.config, *(f"--set {s}" for s in options.sets)]
    for _, _, changes in ROWS:  # Refused now rather than after hours.
        bitext("config", options.config, *flags([*as_sets(BASE), *options.sets, *as_sets(changes)]))
    rows: list[dict[str, Any]] = []
    for choice, value, changes in ROWS:
        bleu = score(options.config, options.root, [*as_sets(BASE), *options.sets, *as_sets(changes)])
        rows.append({"choice": choice, "value": value, "bleu": bleu, "changes": changes})
        print(f"{choice:10} {value:20} {bleu:6.2f}", flush=True)
        write(command, rows)


if __name__ == "__main__":
    main()
