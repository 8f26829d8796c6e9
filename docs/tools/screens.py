"""Runs the commands of the documentation and writes what they print into the pages: `make docs-screens`.

All figures come from one commit and one machine, which are written into docs/performance.md. It trains the
models of `make run` and of the tutorial: half an hour on two cores. The result is kept in build/screens:
`--keep` uses it again.
"""

from __future__ import annotations

import argparse
import datetime
import html
import os
import pickle
import platform
import re
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from bitext.components.artifacts.model_run import ModelRun, Validation
from bitext.pipeline.layout import Layout
from docs.tools import blocks, pictures
from docs.tools.blocks import ROOT, Block
from docs.tools.stage import TUTORIAL, Stage

WORK = ROOT / "build" / "screens"
ASSETS = ROOT / "docs" / "assets"
FIGURES = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->)", re.DOTALL)
LINES_SHOWN = 14
"""Lines of the picture of a terminal."""


def main() -> None:
    """Runs all pages and rewrites them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--keep", action="store_true", help="use the models of the last call again")
    keep = parser.parse_args().keep
    differs = _git("status", "--porcelain", "--untracked-files=no", "--", ":!docs", ":!README.md")
    if differs:
        raise SystemExit(f"the figures must come from a commit, and files differ from it:\n{differs}")
    stage, first = _prepared(keep)
    wrong = []
    for page in blocks.pages():
        if not any(block.language in blocks.RUNS and block.not_run is None for block in blocks.parse(page)):
            continue
        print(page.relative_to(ROOT), flush=True)
        shutil.rmtree(WORK / "copy", ignore_errors=True)
        printed = (
            first[page]
            if page in TUTORIAL
            else list(stage.copy(WORK / "copy").run_page(page, shown_only=True))
        )
        wrong += rewrite(page, printed)
        if (picture := WORK / "copy" / "alignment.png").is_file() and page.name == "look.md":
            shutil.copy(picture, ASSETS / "alignment.png")
    draw_training(newest_training(stage.folder / "runs" / "mine").history(), ASSETS / "training.svg")
    cold = next(text for block, text in first[TUTORIAL[0]] if block.text == "make run")
    draw_terminal(cold, ASSETS / "terminal.svg")
    served = stage.folder / "serving" / "tatoeba"
    [report, *_] = sorted((stage.folder / "runs" / "tatoeba" / "reports").glob("2*.html"))
    pictures.take(report, served, stage.folder / ".venv" / "bin" / "bitext", ASSETS)
    write_figures(ROOT / "docs" / "performance.md")
    if wrong:
        raise SystemExit("\n".join(["these blocks show lines that are not printed:", *wrong]))


def _prepared(keep: bool) -> tuple[Stage, dict[Path, list[tuple[Block, str]]]]:
    """The full stage after the tutorial's first pages, and what they printed."""
    record = WORK / "record.pickle"
    if not (keep and record.is_file()):
        shutil.rmtree(WORK, ignore_errors=True)
        stage = Stage.full(WORK / "bitext")
        first = stage.prepare()
        record.write_bytes(pickle.dumps((stage, first)))
    prepared: tuple[Stage, dict[Path, list[tuple[Block, str]]]] = pickle.loads(record.read_bytes())
    return prepared


def rewrite(page: Path, printed: Iterable[tuple[Block, str]]) -> list[str]:
    """Puts what was printed into the page's blocks; returns what does not fit."""
    lines, wrong = page.read_text(encoding="utf-8").splitlines(), []
    for block, text in printed:
        shown = blocks.shown_after(block)
        if shown is not None:
            try:
                fresh = blocks.refresh(shown.text, text, "free" in shown.marks).splitlines()
            except LookupError as error:
                wrong.append(f"{shown.name}: {error}")
                continue
            if len(fresh) != len(shown.text.splitlines()):
                raise RuntimeError(f"{shown.name}: the number of lines changed")
            lines[shown.line : shown.line + len(fresh)] = fresh
    page.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return wrong


def newest_training(root: Path) -> ModelRun:
    """The record of the newest training in a pipeline root."""
    _, folder = max(Layout(root).outputs(ModelRun.NODE, "model_run"))
    return ModelRun(folder)


def draw_training(history: Sequence[Validation], path: Path) -> None:
    """Loss and validation BLEU over the updates, for light and dark pages."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    mpl.rcParams["svg.hashsalt"] = "bitext"
    steps = [validation.step for validation in history]
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.add_subplot()
    other = axes.twinx()
    for one, values, label, color in (
        (axes, [validation.bleu for validation in history], "validation BLEU", "#4f6bd0"),
        (other, [validation.loss for validation in history], "loss", "#c08a2b"),
    ):
        one.plot(steps, values, marker="o", color=color)
        one.set_ylabel(label, color=color)
        one.tick_params(colors="#8a8f98")
        for spine in one.spines.values():
            spine.set_color("#8a8f98")
    axes.set_xlabel("updates", color="#8a8f98")
    figure.savefig(path, transparent=True, metadata={"Date": None})


def draw_terminal(text: str, path: Path) -> None:
    """The end of a run as a picture of a terminal."""
    lines = ["$ make run", "...", *text.rstrip().splitlines()[-LINES_SHOWN:]]
    width = max(map(len, lines)) * 7.3 + 40
    height = len(lines) * 18 + 50
    rows = [
        f'<text x="20" y="{52 + 18 * number}" xml:space="preserve">{html.escape(line)}</text>'
        for number, line in enumerate(lines)
    ]
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" '
        'font-family="ui-monospace, Consolas, Menlo, monospace" font-size="12" fill="#e6e9ee">'
        '<title>The end of a run</title><rect width="100%" height="100%" rx="10" fill="#1d2129"/>'
        '<circle cx="22" cy="20" r="6" fill="#f2605b"/><circle cx="42" cy="20" r="6" fill="#f4bd4f"/>'
        '<circle cx="62" cy="20" r="6" fill="#5fc454"/>' + "".join(rows) + "</svg>\n",
        encoding="utf-8",
    )


def write_figures(page: Path) -> None:
    """Commit, machine and versions, in the one place that has them."""
    from importlib import metadata

    from benchmarks.report import machine

    facts = machine()
    rows = {
        "commit": _git("rev-parse", "--short=7", "HEAD"),
        "date": datetime.date.today().isoformat(),
        "machine": f"{facts['processor']}, {len(os.sched_getaffinity(0))} cores, {facts['memory_gb']} GB",
        "versions": f"Python {platform.python_version()}, TensorFlow {metadata.version('tensorflow')}",
    }
    table = "".join(f"| {name} | {value} |\n" for name, value in rows.items())
    text = page.read_text(encoding="utf-8")
    page.write_text(FIGURES.sub(rf"\g<1>| | |\n|---|---|\n{table}\g<2>", text), encoding="utf-8")


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
