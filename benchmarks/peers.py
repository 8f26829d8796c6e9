"""Measures the speed of training and translation of OpenNMT-tf, JoeyNMT and this project in one run.

    python -m benchmarks.peers MULTI30K           # all figures
    python -m benchmarks.peers MULTI30K train     # only the training of this project

`make peers` installs both toolkits, each into its own environment. All three train the model `PEER_MODEL` of
`benchmarks.multi30k` on all cores, with 32-bit floats and label smoothing, on the same sentences of the same
8,000 subwords. The peers read token ids; this project translates from text to text. A batch of the peers has
128 sentences of similar length: OpenNMT-tf forms such batches itself, and the file for JoeyNMT is sorted.
OpenNMT-tf uses input feeding, because it has no other attention; in JoeyNMT input feeding is off. The output
layer of both has 512 inputs; that of this project has 256 and shares its weights with the embedding. The
times of the peers are those that they log, without loading. The peers train for UPDATES updates; length and
BLEU of their translations show whether the search is that of a trained model.
"""

from __future__ import annotations

import functools
import itertools
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.commands import bitext, child, outputs_of
from benchmarks.decoding import rate
from benchmarks.multi30k import CONFIG, PEER_MODEL, ROOT, options, sentences
from benchmarks.report import Result, print_results, progress, result
from benchmarks.toolkits import BATCH, TEST, JoeyNMT, OpenNMT, Peer
from bitext.components.shared.parallel import share_cores
from bitext.components.text import SPECIALS
from bitext.pipeline import config

WARM_UP, MEASURED = 50, 100
"""Number of updates of this project before and during the measurement."""
ROUNDS = 3
BEAMS = {5: "beam 5", 1: "greedy"}


def measure(folder: str) -> list[Result]:
    """Measures all figures of this benchmark."""
    unchanged_environment = dict(os.environ)  # before share_cores
    progress("this project's model, if there is none yet")
    run_options = options(folder, PEER_MODEL)
    bitext("run", CONFIG, *run_options, "--to", "Trainer")
    model = outputs_of(CONFIG, "Trainer", *run_options)["model"]
    share_cores()
    from bitext.components.text.processor import load_text_pair

    pair = load_text_pair(outputs_of(CONFIG, "Transform", *run_options)["transform_graph"])
    with tempfile.TemporaryDirectory(dir=ROOT) as folder_name:
        write_data(folder, pair, Path(folder_name).resolve())
        peers = [
            toolkit(Path(folder_name).resolve(), unchanged_environment) for toolkit in (OpenNMT, JoeyNMT)
        ]
        return [
            *training(folder, peers, unchanged_environment),
            *decoding(folder, peers, model, pair),
        ]


def write_data(data: str, pair: Any, folder: Path) -> None:
    """Writes the sentences as token ids, and the vocabulary, for the peers.

    The training sentences form batches of similar length, in random order of the batches.
    """
    import tensorflow as tf

    generator = random.Random(1)
    for split, name in (("train", "train"), ("val", "dev"), (TEST, TEST)):
        sides = []
        for language, side in (("en", pair.source), ("de", pair.target)):
            ids = side.tokenize(tf.constant(sentences(data, split, language))).to_list()
            sides.append([" ".join(map(str, row)) for row in ids])
        rows = list(zip(*sides, strict=True))
        if name == "train":
            rows.sort(key=lambda row: [len(side.split()) for side in reversed(row)])
            batches = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
            generator.shuffle(batches)
            rows = [row for batch in batches for row in batch]
        if name == "dev":
            rows = rows[:BATCH]
        for language, lines in zip(("en", "de"), zip(*rows, strict=True), strict=True):
            (folder / f"{name}.{language}").write_text("\n".join(lines) + "\n")
    # Without this project's special tokens, because the peers add their own.
    tokens = range(len(SPECIALS), pair.target.size())
    (folder / "vocabulary").write_text("\n".join(map(str, tokens)) + "\n")


def training(folder: str, peers: Sequence[Peer], environment: Mapping[str, str]) -> list[Result]:
    """Measures target tokens per second of each peer, and of this project before and after each peer."""
    ours, theirs, ratios = [train_in_process(folder, environment)], list[Result](), list[Result]()
    for peer in peers:
        rates = peer.train()
        ours.append(train_in_process(folder, environment))
        progress(f"training: ours {ours[-2]:.0f} and {ours[-1]:.0f}, {peer.name} {statistics.median(rates)}")
        theirs.append(result(f"training, {peer.name}", rates, "target tokens/s"))
        peer_ratios = [our_rate / statistics.median(rates) for our_rate in ours[-2:]]
        ratios.append(result(f"training, ours of {peer.name}'s", peer_ratios, "times", at_least=1))
    return [result("training, ours", ours, "target tokens/s"), *theirs, *ratios]


def train_in_process(folder: str, environment: Mapping[str, str]) -> float:
    """Runs `python -m benchmarks.peers MULTI30K train` and returns target tokens per second."""
    return float(child("peers", folder, "train", environment=environment))


def train(folder: str) -> float:
    """Measures target tokens per second of this project, with reading."""
    share_cores()
    import tensorflow as tf

    from benchmarks.training import open_training, update_with

    tf.config.experimental.enable_op_determinism()  # as in Trainer
    run_options = options(folder, PEER_MODEL)
    parameters = config.load(CONFIG, [f"variables.data={folder}", *PEER_MODEL]).trainer
    with tempfile.TemporaryDirectory() as folder_name:
        training = open_training(parameters, outputs_of(CONFIG, "Transform", *run_options), Path(folder_name))
        batches = training.batches.read_ahead(0)
        update_with(training, itertools.islice(batches, WARM_UP))
        training.progress.tokens.assign(0.0)
        start = time.perf_counter()
        update_with(training, itertools.islice(batches, MEASURED))
        return float(training.progress.tokens) / (time.perf_counter() - start)


def decoding(folder: str, peers: Sequence[Peer], model: Path, pair: Any) -> list[Result]:
    """Measures sentences per second, and the length and BLEU of the translations."""
    import sacrebleu
    import tensorflow as tf

    from bitext.components.translation.search import Search
    from bitext.components.translation.translator import LineTranslator

    lines = [line.encode() for line in sentences(folder, TEST, "en")]
    references = [sentences(folder, TEST, "de")]
    results, quality = list[Result](), list[Result]()

    def mean_tokens(translations: list[str]) -> float:
        ids = pair.target.tokenize(tf.constant(translations)).flat_values
        return int(tf.size(ids)) / len(translations)

    for beam, search_name in BEAMS.items():
        translator = LineTranslator(model, Search(beam_size=beam))
        translations = {"ours": [best.text for best, *_ in translator.translate(lines)]}
        rates: dict[str, list[float]] = {name: [] for name in ("ours", *(peer.name for peer in peers))}
        for _ in range(ROUNDS):
            rates["ours"].append(rate(functools.partial(translator.translate, lines), len(lines)))
            for peer in peers:
                seconds, id_lines = peer.translate(beam)
                rates[peer.name].append(len(lines) / seconds)
                ids = [[int(word) for word in line.split() if word.isdigit()] for line in id_lines]
                detokenized = pair.target.detokenize(tf.ragged.constant(ids, dtype=tf.int32).to_tensor())
                translations[peer.name] = [line.decode() for line in detokenized.numpy()]
            progress(
                f"{search_name}: " + ", ".join(f"{name} {values[-1]:.0f}" for name, values in rates.items())
            )
        results += [result(f"{search_name}, {name}", values, "sentences/s") for name, values in rates.items()]
        for peer in peers:
            ratios = [ours / theirs for ours, theirs in zip(rates["ours"], rates[peer.name], strict=True)]
            results.append(result(f"{search_name}, ours of {peer.name}'s", ratios, "times", at_least=1))
        for name, texts in translations.items():
            quality.append(result(f"{search_name}, a translation of {name}", [mean_tokens(texts)], "tokens"))
            score = sacrebleu.corpus_bleu(texts, references, tokenize="none", force=True).score
            quality.append(result(f"{search_name}, {name}", [score], "BLEU"))
    return [*results, *quality, result("a reference", [mean_tokens(references[0])], "tokens")]


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(train(sys.argv[1]))
    else:
        print_results(measure(sys.argv[1]))
