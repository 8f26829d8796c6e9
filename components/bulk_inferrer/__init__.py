"""BulkInferrer: makes synthetic pairs, by translating examples with a teacher model. See `executor`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from bitext.components import artifacts
from bitext.components.artifacts import PairOrigin
from bitext.components.component import Component, Context, heavy_imports
from bitext.components.component import Parameters as BaseParameters


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is translated, and which pairs are dropped.

    Attributes:
      origin: which side of the examples is translated, and what the pairs are.
      beam_size: beam size of the search; null: that of the model.
      max_length_ratio: pairs are dropped if their length ratio differs from that of the held-out pairs by
        more than this factor.
      ratio_from_characters: the length ratio is checked only if the longer side has at least this many
        characters.
      tags: the token before the sources of a corpus of the examples, by its name. A synthetic source of that
        corpus gets it too.
      tag: the token before every source; empty: none.
    """

    origin: PairOrigin
    beam_size: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_length_ratio: Annotated[float, msgspec.Meta(ge=1.0)] = 3.0
    ratio_from_characters: Annotated[int, msgspec.Meta(ge=0)] = 30
    tags: dict[str, str] = {}
    tag: str = ""


class BulkInferrer(Component[Parameters]):
    """Translates the training split of examples, and writes it with its translations as synthetic pairs."""

    inputs = {
        "examples": artifacts.Examples,
        "model": artifacts.Model,
        "held_out": artifacts.Examples,
        "golden": artifacts.Examples,
    }
    outputs = {"output_examples": artifacts.Examples}
    parameters = Parameters
    libraries = ("tensorflow", "apache-beam", "pyarrow", "tfx-bsl", "numpy")
    optional = frozenset({"golden"})
    list_inputs = frozenset({"examples", "held_out"})
    input_splits = {"examples": ("train",), "held_out": ("eval", "test")}
    opened_by_workers = frozenset({"output_examples"})

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        examples: tuple[artifacts.Examples, ...],
        model: artifacts.Model,
        held_out: tuple[artifacts.Examples, ...],
        golden: artifacts.Examples | None,
        output_examples: artifacts.Examples,
    ) -> None:
        with heavy_imports():
            from bitext.components.bulk_inferrer import executor
        executor.run(
            parameters,
            context,
            examples=examples,
            model=model,
            held_out=held_out,
            golden=golden,
            output_examples=output_examples,
        )
