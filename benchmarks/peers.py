"""Speed of training and translating of OpenNMT-tf, JoeyNMT and this project, measured in one run.

    python -m benchmarks.peers MULTI30K           # all figures
    python -m benchmarks.peers MULTI30K train     # only the training of this project

`make peers` installs both toolkits, each into an environment of its own. All three train the model `USUAL` of
`benchmarks.multi30k` on all cores, with 32-bit floats and label smoothing, on the same sentences of the same
8,000 subwords. The peers read subword numbers; this project goes from text to text. A batch of the peers has
128 sentences of similar length: OpenNMT-tf forms such batches itself, and the file for JoeyNMT is sorted so.
OpenNMT-tf uses input feeding, because it has no other attention; in JoeyNMT it is switched off. Both score
tokens with the decoder's 512 units; this project has 256, and one table for embeddings and scores. The times
of the peers are those that they log, without loading. They train for UPDATES; length and BLEU of their
translations show whether the search does the work of a trained model's.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from benchmarks.commands import bitext, child, outputs_of
from benchmarks.decoding import rate
from benchmarks.multi30k import CONFIG, ROOT, USUAL, options, sentences
from benchmarks.report import Result, hand_over, progress, result
from bitext.components.shared.parallel import share_cores
from bitext.components.text import SPECIALS
from bitext.pipeline import config

UPDATES, LOGGED, BATCH = 1200, 50, 128
WARM_UP, MEASURED = 50, 100
"""Updates of this project before and during the measurement."""
ROUNDS = 3
BEAMS = {5: "beam 5", 1: "greedy"}
TEST = "test_2016_flickr"
MAX_LENGTH = 80
LEARNING_RATE, SMOOTHING, DROPOUT, EMBEDDING, ENCODER, DECODER = 0.001, 0.1, 0.1, 256, 256, 512


class Peer(Protocol):
    """Another toolkit."""

    name: str

    def train(self) -> list[float]:
        """Trains for UPDATES. Returns the target tokens per second of each LOGGED updates after the first."""
        ...

    def translate(self, beam: int) -> tuple[float, list[str]]:
        """Returns the seconds for all sentences of TEST, and their translations as subword numbers."""
        ...


class OpenNMT:
    """OpenNMT-tf (Klein et al. 2017)."""

    name = "OpenNMT-tf"
    MODEL = f"""
import opennmt

def model():
    return opennmt.models.SequenceToSequence(
        source_inputter=opennmt.inputters.WordEmbedder(embedding_size={EMBEDDING}),
        target_inputter=opennmt.inputters.WordEmbedder(embedding_size={EMBEDDING}),
        encoder=opennmt.encoders.RNNEncoder(1, {ENCODER}, bidirectional=True, dropout={DROPOUT}),
        decoder=opennmt.decoders.AttentionalRNNDecoder(
            1, {DECODER}, bridge_class=opennmt.layers.DenseBridge, dropout={DROPOUT}
        ),
    )
"""

    def __init__(self, folder: Path, environment: Mapping[str, str]):
        self.folder, self.environment = folder, environment
        (folder / "usual.py").write_text(self.MODEL, encoding="utf-8")
        vocabulary = ["<blank>", "<s>", "</s>", *(folder / "vocabulary").read_text().split()]
        (folder / "opennmt.vocabulary").write_text("\n".join(vocabulary) + "\n")

    def _run(self, beam: int, *arguments: str) -> str:
        folder, vocabulary = self.folder, str(self.folder / "opennmt.vocabulary")
        settings = {
            "model_dir": str(folder / "opennmt"),
            "data": {
                "train_features_file": str(folder / "train.en"),
                "train_labels_file": str(folder / "train.de"),
                "source_vocabulary": vocabulary,
                "target_vocabulary": vocabulary,
            },
            "params": {
                "optimizer": "Adam",
                "learning_rate": LEARNING_RATE,
                "label_smoothing": SMOOTHING,
                "beam_width": beam,
                "length_penalty": 1.0,
                "maximum_decoding_length": MAX_LENGTH,
            },
            "train": {
                "batch_size": BATCH,
                "batch_type": "examples",
                "length_bucket_width": 2,
                "sample_buffer_size": 30_000,
                "max_step": UPDATES,
                "save_checkpoints_steps": UPDATES,
                "save_summary_steps": LOGGED,
            },
            "infer": {"batch_size": 64, "length_bucket_width": 2},
        }
        toolkit_options = (
            "--model",
            str(folder / "usual.py"),
            "--config",
            _written(folder / "opennmt.yaml", settings),
        )
        return _log(".venv-opennmt/bin/onmt-main", *toolkit_options, *arguments, environment=self.environment)

    def train(self) -> list[float]:
        """See `Peer`."""
        log = self._run(5, "train")
        return [float(rate) for rate in re.findall(r"(\d+) target\)", log)][1:]

    def translate(self, beam: int) -> tuple[float, list[str]]:
        """See `Peer`."""
        output = self.folder / "opennmt.translations"
        files = ("--features_file", str(self.folder / f"{TEST}.en"), "--predictions_file", str(output))
        log = self._run(beam, "infer", *files, "--log_prediction_time")
        return _seconds(r"Total prediction time \(s\): ([\d.]+)", log), output.read_text().splitlines()


class JoeyNMT:
    """JoeyNMT (Kreutzer et al. 2019)."""

    name = "JoeyNMT"

    def __init__(self, folder: Path, environment: Mapping[str, str]):
        self.folder, self.environment = folder, environment

    def _run(self, mode: str, beam: int, *arguments: str) -> str:
        folder = self.folder
        side = {"level": "word", "max_length": 200, "voc_file": str(folder / "vocabulary")}
        network = {"type": "recurrent", "rnn_type": "lstm", "num_layers": 1, "dropout": DROPOUT}
        network["embeddings"] = {"embedding_dim": EMBEDDING}
        settings = {
            "name": "peer",
            "model_dir": str(folder / "joeynmt"),
            "use_cuda": False,
            "data": {
                "train": str(folder / "train"),
                "dev": str(folder / "some"),
                "test": str(folder / TEST),
                "dataset_type": "plain",
                "src": {"lang": "en", **side},
                "trg": {"lang": "de", **side},
            },
            "testing": {
                "load_model": str(folder / "joeynmt" / "best.ckpt"),
                "beam_size": beam,
                "beam_alpha": 1.0,
                "batch_size": 64,
                "max_output_length": MAX_LENGTH,
                "eval_metrics": [],
            },
            "training": {
                "optimizer": "adam",
                "learning_rate": LEARNING_RATE,
                "scheduling": "plateau",
                "label_smoothing": SMOOTHING,
                "batch_size": BATCH,
                "shuffle": False,
                "epochs": UPDATES,
                "updates": UPDATES,
                "validation_freq": UPDATES,
                "logging_freq": LOGGED,
                "early_stopping_metric": "loss",
                "print_valid_sents": [],
            },
            "model": {
                "tied_embeddings": True,
                "encoder": {**network, "hidden_size": ENCODER, "bidirectional": True},
                "decoder": {
                    **network,
                    "hidden_size": DECODER,
                    "attention": "luong",
                    "input_feeding": False,
                    "init_hidden": "bridge",
                },
            },
        }
        toolkit_options = (mode, _written(folder / "joeynmt.yaml", settings), *arguments)
        command = (".venv-joeynmt/bin/python", "-m", "joeynmt", *toolkit_options)
        return _log(*command, environment=self.environment)

    def train(self) -> list[float]:
        """See `Peer`."""
        log = self._run("train", 1, "--skip-test")
        return [float(rate) for rate in re.findall(r"Tokens per Sec: +(\d+)", log)][1:]

    def translate(self, beam: int) -> tuple[float, list[str]]:
        """See `Peer`."""
        log = self._run("test", beam, "--output-path", str(self.folder / "joeynmt.translations"))
        # It is logged twice: for the validation sentences, then for TEST.
        seconds = _seconds(r"Generation took ([\d.]+)", log.partition("Decoding on test set")[2])
        return seconds, (self.folder / "joeynmt.translations.test").read_text().splitlines()


def missing() -> bool:
    """Whether a toolkit is not installed."""
    return not all(Path(f".venv-{name}/bin/python").exists() for name in ("opennmt", "joeynmt"))


def measure(folder: str) -> list[Result]:
    """Measures all figures."""
    stock = dict(os.environ)
    progress("this project's model, if there is none yet")
    run_options = options(folder, USUAL)
    bitext("run", CONFIG, *run_options, "--to", "Trainer")
    model = outputs_of(CONFIG, "Trainer", *run_options)["model"]
    share_cores()
    from bitext.components import text

    pair = text.load(outputs_of(CONFIG, "Transform", *run_options)["transform_graph"])
    with tempfile.TemporaryDirectory(dir=ROOT) as folder_name:
        write(folder, pair, Path(folder_name).resolve())
        peers = [kind(Path(folder_name).resolve(), stock) for kind in (OpenNMT, JoeyNMT)]
        return [*training(folder, peers, stock), *decoding(folder, peers, model, pair)]


def write(data: str, pair: Any, folder: Path) -> None:
    """Writes the sentences as subword numbers, and the vocabulary.

    Training sentences are in random order of batches of similar length.
    """
    import tensorflow as tf

    order = random.Random(1)
    for split, name in (("train", "train"), ("val", "some"), (TEST, TEST)):
        sides = []
        for language, side in (("en", pair.source), ("de", pair.target)):
            ids = side.tokenize(tf.constant(sentences(data, split, language))).to_list()
            sides.append([" ".join(map(str, row)) for row in ids])
        rows = list(zip(*sides, strict=True))
        if name == "train":
            rows.sort(key=lambda row: [len(side.split()) for side in reversed(row)])
            batches = [rows[i : i + BATCH] for i in range(0, len(rows), BATCH)]
            order.shuffle(batches)
            rows = [row for batch in batches for row in batch]
        if name == "some":
            rows = rows[:BATCH]
        for language, lines in zip(("en", "de"), zip(*rows, strict=True), strict=True):
            (folder / f"{name}.{language}").write_text("\n".join(lines) + "\n")
    # Without this project's special tokens: the peers have their own.
    tokens = range(len(SPECIALS), pair.target.size())
    (folder / "vocabulary").write_text("\n".join(map(str, tokens)) + "\n")


def training(folder: str, peers: Sequence[Peer], stock: Mapping[str, str]) -> list[Result]:
    """Measures target tokens per second, of this project before and after each peer."""
    ours, theirs, ratios = [trained(folder, stock)], list[Result](), list[Result]()
    for peer in peers:
        rates = peer.train()
        ours.append(trained(folder, stock))
        progress(f"training: ours {ours[-2]:.0f} and {ours[-1]:.0f}, {peer.name} {statistics.median(rates)}")
        theirs.append(result(f"training, {peer.name}", rates, "target tokens/s"))
        around = [before_or_after / statistics.median(rates) for before_or_after in ours[-2:]]
        ratios.append(result(f"training, ours of {peer.name}'s", around, "times", at_least=1))
    return [result("training, ours", ours, "target tokens/s"), *theirs, *ratios]


def trained(folder: str, stock: Mapping[str, str]) -> float:
    """Runs `python -m benchmarks.peers MULTI30K train`, which prints target tokens per second."""
    return float(child("peers", folder, "train", environment=stock))


def train(folder: str) -> float:
    """Measures target tokens per second of this project, reading included."""
    share_cores()
    import tensorflow as tf

    from benchmarks.training import open_training, update_with

    tf.config.experimental.enable_op_determinism()  # as in Trainer
    run_options = options(folder, USUAL)
    parameters = config.load(CONFIG, [f"variables.data={folder}", *USUAL]).trainer
    with tempfile.TemporaryDirectory() as folder_name:
        training = open_training(parameters, outputs_of(CONFIG, "Transform", *run_options), Path(folder_name))
        batches = training.batches.read_ahead(0)
        update_with(training, itertools.islice(batches, WARM_UP))
        training.progress.tokens.assign(0.0)
        start = time.perf_counter()
        update_with(training, itertools.islice(batches, MEASURED))
        return float(training.progress.tokens) / (time.perf_counter() - start)


def decoding(folder: str, peers: Sequence[Peer], model: Path, pair: Any) -> list[Result]:
    """Measures sentences per second, and length and BLEU of the translations."""
    import sacrebleu
    import tensorflow as tf

    from bitext.components.translation.search import Search
    from bitext.components.translation.translator import LineTranslator

    lines = [line.encode() for line in sentences(folder, TEST, "en")]
    references = [sentences(folder, TEST, "de")]
    results, quality = list[Result](), list[Result]()

    def tokens(translations: list[str]) -> float:
        ids = pair.target.tokenize(tf.constant(translations)).flat_values
        return int(tf.size(ids)) / len(translations)

    for beam, kind in BEAMS.items():
        translator = LineTranslator(model, Search(beam_size=beam))
        translations = {"ours": [best.text for best, *_ in translator.translate(lines)]}
        rates: dict[str, list[float]] = {name: [] for name in ("ours", *(peer.name for peer in peers))}
        for _ in range(ROUNDS):
            rates["ours"].append(rate(functools.partial(translator.translate, lines), len(lines)))
            for peer in peers:
                seconds, numbers = peer.translate(beam)
                rates[peer.name].append(len(lines) / seconds)
                ids = [[int(word) for word in line.split() if word.isdigit()] for line in numbers]
                detokenized = pair.target.detokenize(tf.ragged.constant(ids, dtype=tf.int32).to_tensor())
                translations[peer.name] = [line.decode() for line in detokenized.numpy()]
            progress(f"{kind}: " + ", ".join(f"{name} {values[-1]:.0f}" for name, values in rates.items()))
        results += [result(f"{kind}, {name}", values, "sentences/s") for name, values in rates.items()]
        for peer in peers:
            ratios = [ours / theirs for ours, theirs in zip(rates["ours"], rates[peer.name], strict=True)]
            results.append(result(f"{kind}, ours of {peer.name}'s", ratios, "times", at_least=1))
        for name, texts in translations.items():
            quality.append(result(f"{kind}, a translation of {name}", [tokens(texts)], "tokens"))
            score = sacrebleu.corpus_bleu(texts, references, tokenize="none", force=True).score
            quality.append(result(f"{kind}, {name}", [score], "BLEU"))
    return [*results, *quality, result("a reference", [tokens(references[0])], "tokens")]


def _written(path: Path, settings: dict[str, Any]) -> str:
    path.write_text(json.dumps(settings), encoding="utf-8")
    return str(path)


def _log(*command: str, environment: Mapping[str, str]) -> str:
    """Runs a command and returns what it writes to standard output and standard error.

    Raises:
      SystemExit: it failed.
    """
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, check=False
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


def _seconds(pattern: str, log: str) -> float:
    match = re.search(pattern, log)
    if match is None:
        raise SystemExit(f"{pattern} is not in the log:\n{log}")
    return float(match[1])


if __name__ == "__main__":
    if len(sys.argv) > 2:
        print(train(sys.argv[1]))
    else:
        hand_over(measure(sys.argv[1]))
