"""Ablation: trains models that differ in one setting at a time, and writes a table of their scores.

    python -m benchmarks.ablation CONFIG [--set a.b=c ...]

Each row is a run of the pipeline in the same root. Cached nodes are shared: rows that differ only in the
search share a model, and a second call trains nothing again. `--set` applies to every row, before the row's
own settings: use it for the folder of the corpus and, with `trainer.steps`, for the number of updates. All
rows make the same number of updates from about the same number of pairs. For this reason, the vocabulary of
words is larger, and the batches of characters are longer. ABLATION.md and ABLATION.json are rewritten after
each row.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import yaml

from benchmarks.process import BITEXT
from bitext.components.artifacts import ModelRun
from bitext.components.shared.errors import REFUSED, TrainingError

HERE = Path(__file__).parent
NOT_BLESSED, DIVERGED = REFUSED, TrainingError.exit_code
BASE = {
    "trainer.model.cell": "gru",
    "trainer.model.decoder": "luong",
    "trainer.model.encoder_layers": 1,
    "trainer.model.decoder_layers": 1,
    "trainer.model.attention": "general",
    "trainer.model.attention_heads": 4,
    "trainer.model.bidirectional": True,
    "trainer.validation.patience": 0,
    "evaluator.compare_with_baseline": False,
    "trainer.search.beam_size": 5,
    "transform.unit": "subword",
    # Off in all rows, because words and characters have no subword sampling.
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


def bitext(*arguments: str, expected_codes: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    """Runs `bitext`.

    Raises:
      SystemExit: its exit code is not one of those expected.
    """
    process = subprocess.run([*BITEXT, *arguments], capture_output=True, text=True, check=False)
    if process.returncode not in expected_codes:
        raise SystemExit(f"bitext {shlex.join(arguments)} failed:\n{process.stderr}")
    return process


def flags(sets: list[str]) -> list[str]:
    """Returns the command line options: `--set` before each value."""
    return [word for value in sets for word in ("--set", value)]


def as_sets(values: dict[str, Any]) -> list[str]:
    """Returns settings in the form `a.b=c`."""
    return [f"{name}={json.dumps(value)}" for name, value in values.items()]


def measure(config: str, root: str, sets: list[str]) -> dict[str, Any]:
    """Trains and scores a configuration with these settings. Scores are None if the training diverged.

    The score of a model that was not blessed counts as well.
    """
    arguments = [config, "--root", root, *flags(sets)]
    codes = (0, NOT_BLESSED, DIVERGED)
    process = bitext("run", *arguments, "--to", "Evaluator", expected_codes=codes)
    if process.returncode == DIVERGED:
        return {"validation_bleu": None, "test_bleu": None, "minutes": None}
    run = json.loads(bitext("status", *arguments, "--json").stdout)["runs"][0]
    history = ModelRun(Path(run["nodes"]["Trainer"]["outputs"]["model_run"])).history()
    return {
        "validation_bleu": max(validation.bleu for validation in history),
        "test_bleu": float(run["bleu"]),
        "minutes": history[-1].minutes,
        "signature": run["bleu_signature"],
    }


def write(command: str, settings: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    """Writes ABLATION.md and ABLATION.json."""
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
    """Returns a row of the table."""
    row_start = f"| {row['choice']} | {row['value']} |"
    if row["test_bleu"] is None:
        return f"{row_start} diverged | | |"
    return f"{row_start} {row['validation_bleu']:.2f} | {row['test_bleu']:.2f} | {row['minutes']:.1f} |"


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
    for _, _, changes in ROWS:  # Checks all settings before the first training.
        bitext("config", options.config, *flags([*base, *as_sets(changes)]))
    rows: list[dict[str, Any]] = []
    for choice, value, changes in ROWS:
        scores = measure(options.config, options.root, [*base, *as_sets(changes)])
        rows.append({"choice": choice, "value": value, "changes": changes, **scores})
        print(_line(rows[-1]), flush=True)
        write(command, settings, rows)


if __name__ == "__main__":
    main()
