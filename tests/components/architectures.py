"""Architectures in which any two values of different settings meet, unless no architecture can have both."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import msgspec

from bitext.components.seq2seq import ModelSettings
from bitext.components.seq2seq.layers.cells import CELLS
from tests.components.tiny_model import SETTINGS

DECODERS = ("luong", "gnmt", "input_feeding", "conditional")
RATES = (
    "word_dropout",
    "embedding_dropout",
    "layer_input_dropout",
    "layer_dropout",
    "recurrent_dropout",
    "memory_dropout",
    "output_dropout",
)

SHARED: dict[str, Sequence[object]] = {
    "cell": list(CELLS),
    "encoder_layers": [1, 2],
    "decoder_layers": [2, 1],
    "bidirectional": [True, False],
    "encoder_units": [8, 12],
    "layer_norm": [False, True],
    "tie_embeddings": [True, False],
}
ATTENDING = SHARED | {
    "decoder": DECODERS,
    "attention": ["general", "dot", "scaled", "additive"],
    "attention_heads": [1, 2],
    "bridge": ["dense", "mean", "copy", "zero"],
}
FIXED_CONTEXT = SHARED | {"attention": ["none"], "bridge": ["dense", "mean", "copy"]}


def pairwise(choices: dict[str, Sequence[object]]) -> Iterator[ModelSettings]:
    """Settings in which every value of a choice meets every value of each other choice, where it can."""
    numbers: dict[object, int] = {}
    everything: dict[int, ModelSettings] = {}  # By the pairs it holds, a bit for each.
    for values in itertools.product(*choices.values()):
        chosen = dict(zip(choices, values, strict=True))
        try:
            settings = msgspec.structs.replace(SETTINGS, **chosen)
        except ValueError:
            continue
        pairs = itertools.combinations(chosen.items(), 2)
        everything[sum(1 << numbers.setdefault(pair, len(numbers)) for pair in pairs)] = settings
    missing = (1 << len(numbers)) - 1
    while missing:
        best = max(everything, key=lambda pairs: (pairs & missing).bit_count())
        missing &= ~best
        yield everything[best]


ARCHITECTURES = (*pairwise(ATTENDING), *pairwise(FIXED_CONTEXT))


def label(settings: ModelSettings) -> str:
    """What distinguishes the settings, as a test's name."""
    changed = {f: getattr(settings, f) for f in settings.__struct_fields__}
    return "-".join(f"{f}={v}" for f, v in changed.items() if v != getattr(SETTINGS, f)) or "default"
