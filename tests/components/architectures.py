"""Architectures that cover every valid pair of values of two different settings (pairwise testing)."""

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
    "output_shortcut": [False, True],
}
ATTENDING = SHARED | {
    "decoder": DECODERS,
    "attention": ["general", "dot", "scaled", "additive"],
    "attention_heads": [1, 2],
    "attend_embeddings": [False, True],
    "bridge": ["dense", "mean", "copy", "zero"],
}
FIXED_CONTEXT = SHARED | {"attention": ["none"], "bridge": ["dense", "mean", "copy"]}


def pairwise(choices: dict[str, Sequence[object]]) -> Iterator[ModelSettings]:
    """Yields settings that cover every valid pair of values of two choices, selected greedily."""
    pair_numbers: dict[object, int] = {}
    candidates: dict[int, ModelSettings] = {}  # The key has one bit for each pair that the settings cover.
    for values in itertools.product(*choices.values()):
        chosen = dict(zip(choices, values, strict=True))
        try:
            settings = msgspec.structs.replace(SETTINGS, **chosen)
        except ValueError:
            continue
        pairs = itertools.combinations(chosen.items(), 2)
        candidates[sum(1 << pair_numbers.setdefault(pair, len(pair_numbers)) for pair in pairs)] = settings
    missing = (1 << len(pair_numbers)) - 1
    while missing:
        best = max(candidates, key=lambda pairs: (pairs & missing).bit_count())
        missing &= ~best
        yield candidates[best]


ARCHITECTURES = (*pairwise(ATTENDING), *pairwise(FIXED_CONTEXT))


def label(settings: ModelSettings) -> str:
    """Returns the settings that differ from SETTINGS, as the name of a test."""
    changed = {f: getattr(settings, f) for f in settings.__struct_fields__}
    return "-".join(f"{f}={v}" for f, v in changed.items() if v != getattr(SETTINGS, f)) or "default"
