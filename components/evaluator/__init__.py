"""Evaluator: scores a model on the held-out sets, and blesses it or says why not."""

from __future__ import annotations

import itertools
from typing import Annotated, Literal

import msgspec

from bitext.components import artifacts, component
from bitext.components.component import Component, Context, heavy_imports

GOLDEN = "golden"
"""The one split of the golden set: a fixed test file, scored beside the test split in every run."""


class Parameters(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is scored, and what it must reach.

    Attributes:
      min_bleu: the model is blessed only with at least this corpus BLEU on the test split.
      min_golden_bleu: and with at least this on the golden set.
      compare_with_baseline: compare with the model now served, on the same sentences, by paired bootstrap.
      significance: the model is refused as worse than the model now served when on either set its BLEU is
        lower and the p-value of the difference is below this. A lower BLEU that chance explains does not
        refuse a model: two trainings with equal settings differ by as much.
      bootstrap_samples: resamples behind the intervals and the comparison with the model now served.
      references: what a translation is scored against: `by_source`, all that its source has in the set; or
        `by_line`, its own line's alone, as published scores of a test set are (see also
        `example_gen.drop_duplicates`).
      max_sentences: score at most this many distinct sources of a set, chosen by hash of the text; null: all.
      batch_size: sentences translated at once.
      beam_size: search width; null scores what users get by default (`serving_default`).
      length_penalty: how strongly scores are normalised by length; needs `beam_size`.
      max_length: longest translation in tokens; needs `beam_size`.
      tokenize: sacreBLEU's tokenizer. `13a` is what papers report.
      lowercase: compare without regard to case.
      length_bins: source lengths, in words, at which a new row of the scores by length begins.
    """

    min_bleu: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.0
    min_golden_bleu: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.0
    compare_with_baseline: bool = True
    significance: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.05
    bootstrap_samples: Annotated[int, msgspec.Meta(ge=100, le=100_000)] = 1000
    references: Literal["by_source", "by_line"] = "by_source"
    max_sentences: Annotated[int, msgspec.Meta(ge=1)] | None = None
    batch_size: Annotated[int, msgspec.Meta(ge=1)] = 128
    beam_size: Annotated[int, msgspec.Meta(ge=1, le=256)] | None = None
    length_penalty: Annotated[float, msgspec.Meta(ge=0, le=10)] | None = None
    max_length: Annotated[int, msgspec.Meta(ge=1)] | None = None
    tokenize: Literal["13a", "intl", "char", "none"] = "13a"
    lowercase: bool = False
    length_bins: tuple[Annotated[int, msgspec.Meta(ge=1)], ...] = (1, 5, 9, 13, 17, 25)

    def __post_init__(self) -> None:
        if self.beam_size is None and (self.length_penalty is not None or self.max_length is not None):
            raise ValueError("length_penalty and max_length need beam_size: set it too")
        bins = self.length_bins
        if not bins or bins[0] != 1 or any(a >= b for a, b in itertools.pairwise(bins)):
            raise ValueError(f"length_bins must begin with 1 and increase, received {list(bins)}")


class Evaluator(Component[Parameters]):
    """Scores the model and decides whether it is blessed."""

    inputs = {
        "examples": artifacts.Examples,
        "golden": artifacts.Examples,
        "model": artifacts.Model,
        "baseline": artifacts.Model,
    }
    outputs = {"evaluation": artifacts.ModelEvaluation, "blessing": artifacts.ModelBlessing}
    parameters = Parameters
    libraries = ("tensorflow", "sacrebleu", "numpy")
    optional = frozenset({"golden", "baseline"})
    list_inputs = frozenset({"examples"})

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        examples: tuple[artifacts.Examples, ...],
        golden: artifacts.Examples | None,
        model: artifacts.Model,
        baseline: artifacts.Model | None,
        evaluation: artifacts.ModelEvaluation,
        blessing: artifacts.ModelBlessing,
    ) -> None:
        with heavy_imports():
            from bitext.components.evaluator import executor
        executor.run(
            parameters,
            context,
            examples=examples,
            golden=golden,
            model=model,
            baseline=baseline,
            evaluation=evaluation,
            blessing=blessing,
        )
