"""Measures the minutes of training to validation BLEU 36 on Multi30k: this project and TensorFlow's tutorial.

    python -m benchmarks.quality MULTI30K

The data is lowercased, tokenized English to German. The time of this project includes its validations (beam
5). Then the tutorial model (`benchmarks.tutorial`, greedy search, time without validations) trains in this
process, for at most TIME_LIMIT times as long. If it does not reach the BLEU, the ratio is an upper bound. The
last figure is the time in which this project reached the tutorial model's best BLEU.
"""

from __future__ import annotations

import sys

from benchmarks.commands import bitext, outputs_of
from benchmarks.multi30k import CONFIG, FAST_MODEL, options, sentences
from benchmarks.report import Result, print_results, progress, result
from bitext.components.artifacts import ModelRun

BLEU = 36.0
TIME_LIMIT = 3.3
"""Maximum training time of the tutorial model, as a multiple of this project's time to the BLEU."""


def measure(folder: str) -> list[Result]:
    """Measures both times and their ratio."""
    run_options = options(folder, FAST_MODEL)
    bitext("run", CONFIG, *run_options, "--to", "Trainer", "--force", "Trainer")
    history = ModelRun(outputs_of(CONFIG, "Trainer", *run_options)["model_run"]).history()
    for validation in history:
        progress(f"ours: {validation.minutes:.1f} min, BLEU {validation.bleu:.2f}")
    reached = [validation.minutes for validation in history if validation.bleu >= BLEU]
    best_bleu = max(validation.bleu for validation in history)
    best = result("best BLEU of ours", [best_bleu], "BLEU", at_least=BLEU)
    if not reached:
        return [best]
    ours = result(f"ours until BLEU {BLEU:g}", reached[:1], "minutes")
    tutorial_results, tutorial_best = train_tutorial(folder, run_options, reached[0])
    as_good = [validation.minutes for validation in history if validation.bleu >= tutorial_best]
    name = "ours until the tutorial's best BLEU"
    return [best, ours, *tutorial_results, *(result(name, [minutes], "minutes") for minutes in as_good[:1])]


def train_tutorial(
    folder: str, run_options: tuple[str, ...], our_minutes: float
) -> tuple[list[Result], float]:
    """Trains the tutorial model on the same subwords. Returns its figures and its best BLEU."""
    import numpy as np
    import sacrebleu
    import tensorflow as tf

    from benchmarks import tutorial
    from bitext.components.text.processor import load_text_pair

    pair = load_text_pair(outputs_of(CONFIG, "Transform", *run_options)["transform_graph"])

    def ids(split: str, language: str) -> list[list[int]]:
        side = pair.source if language == "en" else pair.target
        tokens = side.tokenize(tf.constant(sentences(folder, split, language)))
        return [[*row, tutorial.EOS] for row in tokens.to_list()]

    batches = tf.data.Dataset.from_generator(
        lambda: ids("val", "en"), output_signature=tf.TensorSpec([None], tf.int32)
    ).padded_batch(128)
    references = [sentences(folder, "val", "de")]

    def validate(translate: tutorial.Translate) -> float:
        lines: list[str] = []
        for batch in batches:
            texts = pair.target.detokenize(tf.constant(tutorial.cut_at_eos(np.asarray(translate(batch)))))
            lines += [line.decode() for line in texts.numpy()]
        return float(sacrebleu.corpus_bleu(lines, references, tokenize="none", force=True).score)

    minutes, bleu = 0.0, 0.0
    curve = tutorial.learning_curve(
        ids("train", "en"),
        ids("train", "de"),
        (pair.source.size(), pair.target.size()),
        validate,
        seconds=60 * TIME_LIMIT * our_minutes,
    )
    best, best_minutes = 0.0, 0.0
    for seconds, bleu in curve:
        minutes = seconds / 60
        if bleu > best:
            best, best_minutes = bleu, minutes
        progress(f"the tutorial's: {minutes:.1f} min, BLEU {bleu:.2f}")
        if bleu >= BLEU:
            break
    name = (
        f"the tutorial's until BLEU {BLEU:g}"
        if bleu >= BLEU
        else "the tutorial's, without reaching it, at least"
    )
    figures = [
        result(name, [minutes], "minutes"),
        result("the tutorial's until its best BLEU", [best_minutes], "minutes"),
        result("best BLEU of the tutorial's until then", [best], "BLEU"),
        result(
            "ours, of the tutorial's time, at most", [our_minutes / minutes], "times", at_most=round(1 / 3, 3)
        ),
    ]
    return figures, best


if __name__ == "__main__":
    print_results(measure(sys.argv[1]))
