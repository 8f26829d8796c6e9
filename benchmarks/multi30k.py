"""Multi30k (Elliott et al. 2016), a folder of which some of the benches are given, and two models on it."""

from __future__ import annotations

import gzip
from pathlib import Path

CONFIG = "pipeline/configs/multi30k.yaml"
ROOT = "runs/bench"
FORM = ".lc.norm.tok"
USUAL = (
    "transform.vocabulary_size=8000",
    "trainer.model.decoder=luong",
    "trainer.model.decoder_layers=1",
    "trainer.model.decoder_units=512",
    "trainer.search.beam_size=5",
    "trainer.schedule.warmup_steps=200",
    "trainer.steps=2400",
    "trainer.validation.every=400",
)
"""A model of the size that toolkits are compared at: embedding 256, bidirectional LSTM 256, LSTM 512."""
SOON = (
    "trainer.search.beam_size=5",
    "trainer.schedule.warmup_steps=200",
    "trainer.steps=3200",
    "trainer.validation.every=400",
)
"""The recipe, its learning rate falling to nothing in a sixth of the updates: good soon."""


def options(folder: str, settings: tuple[str, ...]) -> tuple[str, ...]:
    """What follows `bitext run CONFIG`."""
    given = (f"variables.data={folder}", *settings)
    return ("--root", ROOT, *(word for setting in given for word in ("--set", setting)))


def sentences(folder: str, split: str, language: str) -> list[str]:
    """The lines of one file."""
    packed = Path(folder) / f"{split}{FORM}.{language}.gz"
    return gzip.decompress(packed.read_bytes()).decode().splitlines()
