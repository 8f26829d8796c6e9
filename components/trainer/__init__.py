"""Trainer: transformed examples in, a trained and exported attention Seq2Seq out."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from bitext.components import artifacts, component
from bitext.components.component import Component, Context, heavy_imports
from bitext.components.seq2seq import (
    SETTINGS_FILE,
    VOCABULARY_FILE,
    WEIGHTS_FILE,
    ModelSettings,
    Positive,
    Rate,
    SearchSettings,
)

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
MOST_SEEDS = 2**31 - 2
"""How many seeds there are, from 1. TensorFlow takes 0, and the one after the last, for no seed at all."""
LAST_BLESSED = "last_blessed"
"""What `warm_start` says to begin with the model now served."""


class Parameters(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to train.

    Attributes:
      model: the architecture.
      search: the search the exported model does by default.
      steps: updates at most.
      batch_tokens: target positions a batch; the sentences a batch follow from its padded length.
      accumulate: batches whose gradients are summed for one update.
      towers: parts of a batch computed side by side, each on its share of the cores; the update is that of
        the whole batch. 1 is right on a GPU.
      learning_rate: the highest, reached at the end of the warm-up.
      warmup_steps: updates over which the learning rate rises linearly from 0.
      schedule: what the learning rate does after the warm-up: `linear` or `cosine` down to 0 at `steps`,
        `inverse_sqrt` (Vaswani et al. 2017), `constant`, or `plateau`: constant, but multiplied by
        `plateau_factor` after every validation past the warm-up without a better BLEU.
      plateau_factor: see `schedule`.
      beta2: Adam's decay of the squared gradient (Kingma and Ba 2015).
      weight_decay: decoupled weight decay of matrices (Loshchilov and Hutter 2019).
      clip_norm: the gradient's global norm is cut to this.
      label_smoothing: share of the target distribution spread over the vocabulary.
      scheduled_sampling: probability, at the end of the training, that a token the decoder is fed is the
        model's own guess rather than the true one; it rises linearly from 0 (Bengio et al. 2015, for all
        positions at once as in Duckworth et al. 2019). 0 is teacher forcing.
      average_decay: decay of the exponential moving average of the weights, which is what is validated and
        exported, at most: after n updates it is n / (n + 10) while that is less, so that 0.999 is reached
        after 9,990; 0 turns the average off. After a hundred updates it moves at every fourth, by what four
        of them make, for each move is a pass over all weights; what is validated is up to three updates old.
      average_checkpoints: validate and export the mean of the weights at the last so many validations instead
        of the moving average; 0: do not.
      precision: `bfloat16` lets TensorFlow (oneDNN) do matrix products in that precision on the CPU, in
        training and its validations; what is exported computes in float32. It is faster on some processors,
        slower on others, and changes nothing on a GPU.
      warm_start: whose weights this training begins with: `last_blessed`, the model now served (from scratch
        where there is none yet, or one of another architecture), or the folder of a Model artifact
        (`runs/<name>/Trainer/model/<id>`); rows of the embeddings follow their tokens where the vocabulary
        changed. A newer model to begin with is by itself no reason to train again.
      from_scratch_every: with `last_blessed`, every so many-th training begins from scratch all the same;
        0: none does, once there is a model.
      warm_steps: updates at most of a training that begins with the last blessed model; `warmup_steps`
        changes in proportion, and `schedule` ends with them; null: `steps`.
      warm_learning_rate: the highest of a training that begins with the last blessed model; null: a quarter
        of `learning_rate`, for the whole of it undoes much of what that model has learnt.
      validate_every: updates between validations (BLEU on the eval split) and checkpoints.
      validation_sentences: sources of the eval split in a validation, those with the smallest hash.
      validation_beam: beam size of validations; 1 is greedy search.
      validation_tokenize, validation_lowercase: how sacreBLEU compares in validations; null: as the
        pipeline's evaluator does (without one, `13a` and with regard to case).
      validation_references: whether equal sources are one with several references (`by_source`) or lines of
        their own (`by_line`) in validations; null: as the pipeline's evaluator has it (without one,
        `by_source`).
      patience: validations without a better BLEU before training stops; 0: never stop early.
      seed: of weights, dropout and batch order, from 1. A training that begins with the last blessed model
        adds how many warm starts lie behind it, so that each sees other batches first.
      samples: sentences of those validated on that are translated at the end, at most; the export is checked
        against them.
      progress: show a progress bar where a person watches.
    """

    model: ModelSettings = ModelSettings()
    search: SearchSettings = SearchSettings()
    steps: Positive = 4000
    batch_tokens: Positive = 1600
    accumulate: Positive = 1
    towers: Positive = 2
    learning_rate: Annotated[float, msgspec.Meta(gt=0.0)] = 2e-3
    warmup_steps: Annotated[int, msgspec.Meta(ge=0)] = 200
    schedule: Literal["linear", "cosine", "inverse_sqrt", "constant", "plateau"] = "linear"
    plateau_factor: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.5
    beta2: Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)] = 0.98
    weight_decay: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    clip_norm: Annotated[float, msgspec.Meta(gt=0.0)] = 1.0
    label_smoothing: Rate = 0.1
    scheduled_sampling: Share = 0.0
    average_decay: Rate = 0.999
    average_checkpoints: Annotated[int, msgspec.Meta(ge=0)] = 0
    precision: Literal["float32", "bfloat16"] = "float32"
    warm_start: str | None = None
    from_scratch_every: Annotated[int, msgspec.Meta(ge=0)] = 0
    warm_steps: Positive | None = None
    warm_learning_rate: Annotated[float, msgspec.Meta(gt=0.0)] | None = None
    validate_every: Positive = 500
    validation_sentences: Positive = 500
    validation_beam: Positive = 1
    validation_tokenize: Literal["13a", "intl", "char", "none"] | None = None
    validation_lowercase: bool | None = None
    validation_references: Literal["by_source", "by_line"] | None = None
    patience: Annotated[int, msgspec.Meta(ge=0)] = 5
    seed: Annotated[int, msgspec.Meta(ge=1, le=MOST_SEEDS)] = 1
    samples: Positive = 20
    progress: bool = True

    def __post_init__(self) -> None:
        if self.warmup_steps >= self.steps:
            raise ValueError(
                f"warmup_steps must be below steps. Received: {self.warmup_steps} and {self.steps}"
            )
        if self.search.coverage_penalty and self.model.attention == "none":
            raise ValueError("search.coverage_penalty needs an attention, and model.attention is none")
        if self.warm_start == LAST_BLESSED:
            return
        for name in ("from_scratch_every", "warm_steps", "warm_learning_rate"):
            if getattr(self, name):
                raise ValueError(f"{name} needs warm_start: {LAST_BLESSED}. Received: {self.warm_start}")


class Trainer(Component[Parameters]):
    """Trains and exports the model."""

    inputs = {
        "transformed_examples": artifacts.Examples,
        "transform_graph": artifacts.TransformGraph,
        "examples": artifacts.Examples,
        "base_model": artifacts.Model,
    }
    outputs = {"model": artifacts.Model, "model_run": artifacts.ModelRun}
    parameters = Parameters
    libraries = ("tensorflow", "keras", "numpy", "sacrebleu")
    optional = frozenset({"base_model"})
    list_inputs = frozenset({"examples"})
    input_splits = {"transformed_examples": ("train",), "examples": ("eval",)}
    uncached_parameters = frozenset({"progress"})

    def external_inputs(self, parameters: Parameters) -> list[str]:
        """The files of the model that `warm_start` names."""
        if parameters.warm_start in (None, LAST_BLESSED):
            return []
        return [
            f"{parameters.warm_start}/checkpoint/{name}"
            for name in (WEIGHTS_FILE, VOCABULARY_FILE, SETTINGS_FILE)
        ]

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        transformed_examples: artifacts.Examples,
        transform_graph: artifacts.TransformGraph,
        examples: tuple[artifacts.Examples, ...],
        base_model: artifacts.Model | None,
        model: artifacts.Model,
        model_run: artifacts.ModelRun,
    ) -> None:
        with heavy_imports():
            from bitext.components.trainer import executor
        executor.run(
            parameters,
            context,
            transformed_examples=transformed_examples,
            transform_graph=transform_graph,
            examples=examples,
            base_model=base_model,
            model=model,
            model_run=model_run,
        )
