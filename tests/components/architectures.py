"""Architectures in which every value of a setting meets every value of each other setting at least once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import msgspec

from components.seq2seq import ModelSettings
from components.seq2seq.cells import CELLS
from tests.components.tiny_model import SETTINGS

DECODERS = ("luong", "gnmt", "input_feeding", "conditional")
ATTENTIONS = ("general", "dot", "scaled", "additive")


def pairwise(**choices: Sequence[object]) -> Iterator[dict[str, object]]:
    """Combinations in which every value of a choice meets every value of each other choice at least once."""
    names = list(choices)
    missing = {
        frozenset([(a, x), (b, y)])
        for a, b in itertools.combinations(names, 2)
        for x, y in itertools.product(choices[a], choices[b])
    }
    everything = [dict(zip(names, values, strict=True)) for values in itertools.product(*choices.values())]
    while missing:
        best = max(
            everything, key=lambda c: len(missing & set(map(frozenset, itertools.combinations(c.items(), 2))))
        )
        missing -= set(map(frozenset, itertools.combinations(best.items(), 2)))
        yield best


def _attending() -> Iterator[ModelSettings]:
    for chosen in pairwise(
        cell=list(CELLS),
        decoder=DECODERS,
        attention=ATTENTIONS,
        attention_heads=[1, 2],
        encoder_layers=[1, 2],
        decoder_layers=[2, 1],
        bidirectional=[True, False],
        bridge=["dense", "mean", "copy", "zero"],
        layer_norm=[False, True],
        tie_embeddings=[True, False],
    ):
        layers = {"decoder_layers": 2} if chosen["decoder"] == "gnmt" else {}
        yield msgspec.structs.replace(SETTINGS, **(chosen | layers))


def _fixed_context() -> Iterator[ModelSettings]:
    for cell, bridge in itertools.product(CELLS, ["dense", "mean", "copy"]):
        yield msgspec.structs.replace(SETTINGS, cell=cell, attention="none", bridge=bridge)


ARCHITECTURES = (*_attending(), *_fixed_context())


def label(settings: ModelSettings) -> str:
    """What distinguishes the settings, as a test's name."""
    changed = {f: getattr(settings, f) for f in settings.__struct_fields__}
    return "-".join(f"{f}={v}" for f, v in changed.items() if v != getattr(SETTINGS, f)) or "default"
