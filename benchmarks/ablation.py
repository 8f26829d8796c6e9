"""Trainings with one choice changed at a time, equal in everything else, and the table of their scores.

    python -m benchmarks.ablation CONFIG [--set a.b=c ...]

Every row is a run of the pipeline in one root, so that all share ExampleGen to Transform, rows that differ in
the search share a model, and a second call of the same trains nothing again. `--set` reaches every row before
its own choice: it sets the corpus's folder and, with `trainer.steps`, the budget. All rows make as many
updates from about as many pairs: a vocabulary of words is larger, a batch of characters longer. After every
row ABLATION.md and ABLATION.json are written anew.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from bitext.components.shared.errors import NotBlessedError, TrainingError

HERE = Path(__file__).parent
BITEXT = (sys.executable, "-m", "bitext")
NOT_BLESSED, DIVERGED = NotBlessedError.exit_code, TrainingError.exit_code
BASE = {
    "trainer.model.cell": "gru",
    "trainer.model.decoder": "luong",
    "trainer.model.decoder_layers": 1,
    "trainer.model.attention": "general",
    "trainer.model.attention_heads": 4,
    "trainer.model.bidirectional": True,
    "trainer.validation.patience": 0,
    "evaluator.compare_with_baseline": False,
    "trainer.search.beam_size": 5,
    "transform.unit": "subword",
    # Other units have none.
    "transform.subword_samples": 1,
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
    ("tokens", "words", {"transform.unit": "word", "transform.vocabulary_size": 12000}),
    ("tokens", "subwords", {}),
    (
        "tokens",
        "characters",
        {
            "transform.unit": "character",
            "trainer.batch_tokens": 8000,
            "transform.source_max_length": 250,
            "transform.target_max_length": 250,
            "trainer.search.max_length": 300,
        },
    ),
    ("search", "greedy", {"evaluator.beam_size": 1}),
    ("search", "beam 5", {"evaluator.beam_size": 5}),
    ("search", "beam 12", {"evaluator.beam_size": 12}),
)


def bitext(*arguments: str, may: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    """The command, run to its end, which is an exit code it `may` have."""
    done = subprocess.run([*BITEXT, *arguments], capture_output=True, text=True, check=False)
    if done.returncode not in may:
        raise SystemExit(f"bitext {shlex.join(arguments)} failed:\n{done.stderr}")
    return done


def flags(sets: list[str]) -> list[str]:
    """`--set` before each."""
    return [word for value in sets for word in ("--set", value)]


def as_sets(values: dict[str, Any]) -> list[str]:
    """As `a.b=c`."""
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]


def measure(config: str, root: str, sets: list[str]) -> dict[str, Any]:
    """Scores of a configuration with these `a.b=c`, None where its training diverged, and minutes it took.

    A refused model is no failure here: its score counts.
    """
    arguments = [config, "--root", root, *flags(sets)]
    done = bitext("run", *arguments, "--to", "Evaluator", may=(0, NOT_BLESSED, DIVERGED))
    if done.returncode == DIVERGED:
        return {"validation_bleu": None, "test_bleu": None, "minutes": None}
    run = json.loads(bitext("status", *arguments, "--json").stdout)["runs"][0]
    history = Path(run["nodes"]["Trainer"]["outputs"]["model_run"]) / "history.jsonl"
    lines = [json.loads(line) for line in history.read_text(encoding="utf-8").splitlines()]
    return {
        "validation_bleu": max(line["bleu"] for line in lines),
        "test_bleu": float(run["bleu"]),
        "minutes": lines[-1]["minutes"],
        "signature": run["bleu_signature"],
    }


def write(command: str, settings: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Writes both files."""
    trainer, model = settings["trainer"], settings["trainer"]["model"]
    widths = ", ".join(f"{n.removesuffix('_units')} {model[n]}" for n in model if n.endswith("_units"))
    signature = next((row["signature"] for row in rows if "signature" in row), "")
    lines = [
        "# Ablation",
        "",
        f"One choice changed at a time, {trainer['steps']:,} updates of about {trainer['batch_tokens']:,}",
        f"target subwords each; units: {widths}. BLEU by `{signature}`.",
        "",
        f"    {command}",
        "",
        "| choice | value | validation BLEU | test BLEU | minutes |",
        "|---|---|---:|---:|---:|",
        *(_line(row) for row in rows),
    ]
    (HERE / "ABLATION.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = {"command": command, "settings": settings, "rows": rows}
    (HERE / "ABLATION.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _line(row: dict[str, Any]) -> str:
    """A row of the table."""
    start = f"| {row['choice']} | {row['value']} |"
    if row["test_bleu"] is None:
        return f"{start} diverged | | |"
    return f"{start} {row['validation_bleu']:.2f} | {row['test_bleu']:.2f} | {row['minutes']:.1f} |"


def main() -> None:
    """Runs every row and writes the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation")
    parser.add_argument("config")
    parser.add_argument("--root", default="runs/ablation")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="a.b=c")
    options = parser.parse_args()
    base = [*as_sets(BASE), *options.sets]
    command = f"python -m benchmarks.ablation {shlex.join([options.config, *flags(options.sets)])}"
    settings = yaml.safe_load(bitext("config", options.config, *flags(base)).stdout)
    for _, _, changes in ROWS:  # Refused now rather than after hours.
        bitext("config", options.config, *flags([*base, *as_sets(changes)]))
    rows: list[dict[str, Any]] = []
    for choice, value, changes in ROWS:
        measured = measure(options.config, options.root, [*base, *as_sets(changes)])
        rows.append({"choice": choice, "value": value, "changes": changes, **measured})
        print(_line(rows[-1]), flush=True)
        write(command, settings, rows)


if __name__ == "__main__":
    main()
