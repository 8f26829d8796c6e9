"""Multi30k (Elliott et al. 2016): its files, and the settings of two models that benchmarks train on it."""

from __future__ import annotations

import gzip
from pathlib import Path

CONFIG = "pipeline/configs/multi30k.yaml"
ROOT = "runs/bench"
SUFFIX = ".lc.norm.tok"
PEER_MODEL = (
    "transform.vocabulary_size=8000",
    "trainer.model.decoder=luong",
    "trainer.model.decoder_layers=1",
    "trainer.model.decoder_units=512",
    "trainer.search.beam_size=5",
    "trainer.schedule.warmup_steps=200",
    "trainer.steps=2400",
    "trainer.validation.every=400",
)
"""A model that other toolkits can train: embedding 256, bidirectional LSTM 256, LSTM 512."""
FAST_MODEL = (
    "trainer.search.beam_size=5",
    "trainer.schedule.warmup_steps=200",
    "trainer.steps=3200",
    "trainer.validation.every=400",
)
"""The configured model with a sixth of the updates. The learning rate falls to 0 over these updates."""


def options(folder: str, settings: tuple[str, ...]) -> tuple[str, ...]:
    """Returns the command line options of `bitext run CONFIG`."""
    all_settings = (f"variables.data={folder}", *settings)
    return ("--root", ROOT, *(word for setting in all_settings for word in ("--set", setting)))


def sentences(folder: str, split: str, language: str) -> list[str]:
    """Returns the lines of one file."""
    path = Path(folder) / f"{split}{SUFFIX}.{language}.gz"
    return gzip.decompress(path.read_bytes()).decode().splitlines()
