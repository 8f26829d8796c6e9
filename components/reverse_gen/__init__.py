"""ReverseGen: exchanges source and target of examples, for a model of the opposite direction."""

from __future__ import annotations

from bitext.components import artifacts
from bitext.components.component import Component, Context, heavy_imports
from bitext.components.component import Parameters as BaseParameters


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is taken away from the examples.

    Attributes:
      tags: the token before the sources of a corpus, by its name. It is no text, so it does not become the
        beginning of a target.
    """

    tags: dict[str, str] = {}


class ReverseGen(Component[Parameters]):
    """Writes the examples of the opposite direction, span by span."""

    inputs = {"examples": artifacts.Examples}
    outputs = {"reversed_examples": artifacts.Examples}
    parameters = Parameters
    libraries = ("pyarrow", "tfx-bsl")
    map_over = "examples"
    input_splits = {"examples": ("train", "eval")}

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        examples: artifacts.Examples,
        reversed_examples: artifacts.Examples,
    ) -> None:
        with heavy_imports():
            from bitext.components.reverse_gen import executor
        executor.run(parameters, context, examples=examples, reversed_examples=reversed_examples)
