"""Runs OpenNMT-tf and JoeyNMT for `benchmarks.peers`, and reads times from their logs."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

UPDATES, LOG_EVERY, BATCH = 1200, 50, 128
TEST = "test_2016_flickr"
MAX_LENGTH = 80
LEARNING_RATE, SMOOTHING, DROPOUT, EMBEDDING, ENCODER, DECODER = 0.001, 0.1, 0.1, 256, 256, 512


class Peer(Protocol):
    """Another toolkit."""

    name: str

    def train(self) -> list[float]:
        """Trains for UPDATES updates. Returns target tokens per second, of each log line but the first."""
        ...

    def translate(self, beam: int) -> tuple[float, list[str]]:
        """Translates TEST. Returns the seconds, and the translations as token ids."""
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
        (folder / "model.py").write_text(self.MODEL, encoding="utf-8")
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
                "save_summary_steps": LOG_EVERY,
            },
            "infer": {"batch_size": 64, "length_bucket_width": 2},
        }
        toolkit_options = (
            "--model",
            str(folder / "model.py"),
            "--config",
            _write_json(folder / "opennmt.yaml", settings),
        )
        return _run_command(
            ".venv-opennmt/bin/onmt-main", *toolkit_options, *arguments, environment=self.environment
        )

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
                "dev": str(folder / "dev"),
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
                "logging_freq": LOG_EVERY,
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
        toolkit_options = (mode, _write_json(folder / "joeynmt.yaml", settings), *arguments)
        command = (".venv-joeynmt/bin/python", "-m", "joeynmt", *toolkit_options)
        return _run_command(*command, environment=self.environment)

    def train(self) -> list[float]:
        """See `Peer`."""
        log = self._run("train", 1, "--skip-test")
        return [float(rate) for rate in re.findall(r"Tokens per Sec: +(\d+)", log)][1:]

    def translate(self, beam: int) -> tuple[float, list[str]]:
        """See `Peer`."""
        log = self._run("test", beam, "--output-path", str(self.folder / "joeynmt.translations"))
        # The log has two durations: for the validation sentences, then for TEST.
        seconds = _seconds(r"Generation took ([\d.]+)", log.partition("Decoding on test set")[2])
        return seconds, (self.folder / "joeynmt.translations.test").read_text().splitlines()


def missing() -> bool:
    """Whether a toolkit is not installed."""
    return not all(Path(f".venv-{name}/bin/python").exists() for name in ("opennmt", "joeynmt"))


def _write_json(path: Path, settings: dict[str, Any]) -> str:
    path.write_text(json.dumps(settings), encoding="utf-8")
    return str(path)


def _run_command(*command: str, environment: Mapping[str, str]) -> str:
    """Runs a command and returns what it writes to standard output and standard error.

    Raises:
      SystemExit: the command failed.
    """
    process = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, check=False
    )
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{process.stdout}")
    return process.stdout


def _seconds(pattern: str, log: str) -> float:
    """Returns the number that a pattern captures in a log."""
    match = re.search(pattern, log)
    if match is None:
        raise SystemExit(f"{pattern} is not in the log:\n{log}")
    return float(match[1])
