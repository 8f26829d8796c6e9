"""Minutes of training until the BLEU of Multi30k's validation set first reaches 36, ours and the tutorial's.

    python -m benchmarks.quality MULTI30K

Lowercased, tokenized English to German. Ours is a run of the pipeline, its validations (beam 5) on the clock.
The peer (`benchmarks.tutorial`, greedy, its validations off the clock), in this process after it, is given up
after LIMIT times as long: then the ratio is an upper bound, and what it says is that the peer was not there
yet. How soon ours was as good as the peer ever became is the last figure.
"""

from __future__ import annotations

import json
import sys

from benchmarks.commands import bitext, outputs_of
from benchmarks.multi30k import CONFIG, SOON, options, sentences
from benchmarks.report import Result, hand_over, progress, result

BLEU = 36.0
LIMIT = 3.3


def measure(folder: str) -> list[Result]:
    """Both, and their ratio."""
    given = options(folder, SOON)
    bitext("run", CONFIG, *given, "--to", "Trainer", "--force", "Trainer")
    history = (outputs_of(CONFIG, "Trainer", *given)["model_run"] / "history.jsonl").read_text()
    points = [json.loads(line) for line in history.splitlines()]
    for point in points:
        progress(f"ours: {point['minutes']:.1f} min, BLEU {point['bleu']:.2f}")
    reached = [point["minutes"] for point in points if point["bleu"] >= BLEU]
    best = result("best BLEU of ours", [max(point["bleu"] for point in points)], "BLEU", at_least=BLEU)
    if not reached:
        return [best]
    ours = result(f"ours until BLEU {BLEU:g}", reached[:1], "minutes")
    found, highest = peer(folder, given, reached[0])
    as_good = [point["minutes"] for point in points if point["bleu"] >= highest]
    name = "ours until the tutorial's best BLEU"
    return [best, ours, *found, *(result(name, [minutes], "minutes") for minutes in as_good[:1])]


def peer(folder: str, given: tuple[str, ...], ours: float) -> tuple[list[Result], float]:
    """The tutorial's model, on the same subwords: its figures, and its best BLEU."""
    import numpy as np
    import sacrebleu
    import tensorflow as tf

    from benchmarks import tutorial
    from bitext.components import text

    pair = text.load(outputs_of(CONFIG, "Transform", *given)["transform_graph"])

    def ids(split: str, language: str) -> list[list[int]]:
        side = pair.source if language == "en" else pair.target
        found = side.tokenize(tf.constant(sentences(folder, split, language)))
        return [[*row, tutorial.EOS] for row in found.to_list()]

    batches = tf.data.Dataset.from_generator(
        lambda: ids("val", "en"), output_signature=tf.TensorSpec([None], tf.int32)
    ).padded_batch(128)
    references = [sentences(folder, "val", "de")]

    def validate(translate: tutorial.Translate) -> float:
        lines: list[str] = []
        for batch in batches:
            found = pair.target.detokenize(tf.constant(tutorial.cut(np.asarray(translate(batch)))))
            lines += [line.decode() for line in found.numpy()]
        return float(sacrebleu.corpus_bleu(lines, references, tokenize="none", force=True).score)

    taken, bleu = 0.0, 0.0
    curve = tutorial.curve(
        ids("train", "en"),
        ids("train", "de"),
        (pair.source.size(), pair.target.size()),
        validate,
        seconds=60 * LIMIT * ours,
    )
    best, when = 0.0, 0.0
    for seconds, bleu in curve:
        taken = seconds / 60
        if bleu > best:
            best, when = bleu, taken
        progress(f"the tutorial's: {taken:.1f} min, BLEU {bleu:.2f}")
        if bleu >= BLEU:
            break
    name = (
        f"the tutorial's until BLEU {BLEU:g}"
        if bleu >= BLEU
        else "the tutorial's, without reaching it, at least"
    )
    figures = [
        result(name, [taken], "minutes"),
        result("the tutorial's until its best BLEU", [when], "minutes"),
        result("best BLEU of the tutorial's until then", [best], "BLEU"),
        result("ours, of the tutorial's time, at most", [ours / taken], "times", at_most=round(1 / 3, 3)),
    ]
    return figures, best


if __name__ == "__main__":
    hand_over(measure(sys.argv[1]))
