"""Trainer: trains an attention Seq2Seq model on the transformed examples and exports it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from bitext.components import artifacts, component
from bitext.components.component import Component, Context, heavy_imports
from bitext.components.seq2seq import (
    ModelSettings,
    Positive,
    Rate,
    SearchSettings,
    ServingLimits,
)
from bitext.components.shared.corpus_size import AUTO, Auto
from bitext.components.shared.metrics.tokenizers import LIBRARIES, Tokenizer
from bitext.components.trainer.sections import (
    LAST_BLESSED,
    DistributeParameters,
    EmbeddingParameters,
    NonNegative,
    PositiveFloat,
    WarmStartParameters,
)

OpenRate = Annotated[float, msgspec.Meta(gt=0.0, lt=1.0)]
Probability = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
SEED_COUNT = 2**31 - 2
"""Number of valid seeds, which start at 1. TensorFlow takes 0 and 2**31 - 1 as "no seed"."""


class OptimizerParameters(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """AdamW and the averaging of the weights.

    Attributes:
      learning_rate: the highest learning rate, reached at the end of the warm-up.
      beta1: decay of Adam's first moment, the mean gradient (Kingma and Ba 2015).
      beta2: decay of Adam's second moment, the mean squared gradient.
      epsilon: added to the root of the second moment (`epsilon hat` in section 2 of Kingma and Ba 2015).
      weight_decay: decoupled weight decay of matrices (Loshchilov and Hutter 2019).
      clip_norm: upper bound of the gradient's global norm; a larger gradient is scaled down to it.
      average_decay: upper bound of the decay of the exponential moving average (EMA) of the weights. The
        average, not the weights, is validated and exported. After n updates the decay is n / (n + 10), until
        it reaches this bound (0.999: after 9,990 updates). Computing the average reads all weights.
        Therefore, after 100 updates, it is computed at every fourth update only, with the decay of four
        updates, and a validation may miss up to three updates. 0 turns the average off.
      average_checkpoints: number of the last validations over which the weights are averaged. This mean is
        validated and exported instead of the moving average. 0 turns it off.
    """

    learning_rate: PositiveFloat = 2e-3
    beta1: OpenRate = 0.9
    beta2: OpenRate = 0.98
    epsilon: PositiveFloat = 1e-8
    weight_decay: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    clip_norm: PositiveFloat = 1.0
    average_decay: Rate = 0.999
    average_checkpoints: NonNegative = 0


class ScheduleParameters(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the learning rate changes during training.

    Attributes:
      kind: the learning rate after the warm-up: `linear` or `cosine` decay to 0 at the last update;
        `inverse_sqrt` decay (Vaswani et al. 2017); `constant`; or `plateau`: constant, but multiplied by
        `plateau_factor` after each validation that is not better.
      warmup_steps: number of updates over which the learning rate rises linearly from 0.
      plateau_factor: with `kind: plateau`, the factor of the learning rate after each validation that is not
        better.
    """

    kind: Literal["linear", "cosine", "inverse_sqrt", "constant", "plateau"] = "linear"
    warmup_steps: NonNegative = 200
    plateau_factor: OpenRate = 0.5


class ValidationParameters(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Scores on the eval split during training, by which the exported weights are chosen.

    A validation is better than another if its BLEU is higher; with equal BLEU, if its chrF is higher; with
    equal chrF, if its loss is lower.

    Attributes:
      every: number of updates between two validations. Each validation is followed by a checkpoint.
      sentences: number of source sentences of the eval split to translate: those with the smallest hash.
      beam_size: beam size of the search; 1 is greedy search.
      tokenize: sacreBLEU's tokenizer for BLEU; `auto`: by the script of the references in the eval split;
        null: as in `evaluator` (if the component runs alone: `auto`).
      lowercase: whether BLEU and chrF ignore case; null: as in `evaluator` (if the component runs alone: no).
      references: whether equal sources are one sentence with several references (`by_source`) or one sentence
        each (`by_line`); null: as in `evaluator` (if the component runs alone: `by_source`).
      patience: training stops after this many validations of which none is better; 0: never.
      average_from: the exported weights are the mean of the weights at all validations after this share of
        `steps`, instead of the weights with the best validation. One of many validations is the best by
        chance, too; the mean needs no choice. If training stops earlier, the best weights are exported. 0:
        off.
    """

    every: Positive = 500
    sentences: Positive = 500
    beam_size: Positive = 1
    tokenize: Tokenizer | None = None
    lowercase: bool | None = None
    references: Literal["by_source", "by_line"] | None = None
    patience: NonNegative = 5
    average_from: Rate = 0.0


class Parameters(component.Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parameters of the Trainer.

    Attributes:
      model: the architecture.
      search: the default search of the exported model.
      serving_limits: how much a request to the exported model may ask for.
      optimizer: AdamW and the averaging of the weights.
      schedule: how the learning rate changes.
      validation: scores on the eval split during training, and early stopping.
      warm_start: starting from the weights of an earlier model.
      embeddings: pretrained vectors of words.
      steps: maximum number of updates of the weights. `auto`: as many as read each training pair 80 times
        (below 10,000 pairs), 40 times (below 100,000), 16 times (below 500,000), 12 times (below 5 million)
        or 8 times, but at least 1,000 and twice `schedule.warmup_steps`. The run prints the number.
      batch_tokens: maximum number of target positions in a batch, with padding. The number of sentences is
        `batch_tokens` divided by the padded target length, at least 1.
      accumulate: number of batches whose gradients are summed for one update.
      replicas: each batch is split into this many parts that run in parallel, each on its share of the cores.
        Their gradients are summed, so that the update is that of the whole batch. Use 2 on a CPU, because one
        small matrix product cannot use all cores, and 1 on a GPU.
      distribute: training by several processes, hosts or devices.
      device_kernels: the recurrent layers on a GPU. `auto`: cuDNN's kernels for the layers that they can
        compute: `lstm` and `gru` without layer normalization and without recurrent dropout. `off`: the
        same operations as on a CPU. It has no effect without a GPU.
      subword_dropout: BPE-dropout (Provilkov et al. 2020): each time a training pair is read, it is tokenized
        again, and at each step of byte-pair encoding a possible merge is left out with this probability; 0.1
        cuts one word in six differently. 0: as in serving. It needs byte-pair encoding. Sentences get longer
        (by 18 % with 0.1), and so do updates. `transform.subword_samples` must be 1.
      label_smoothing: share of the target probability that is spread evenly over the vocabulary.
      consistency: weight of the cross entropy with the predictions of the averaged weights, which read the
        same pair without dropout and, with `subword_dropout`, the source as it is tokenized in serving (mean
        teacher: Tarvainen and Valpola 2017). The weight grows during the warm-up. It takes one more forward
        pass. It needs `optimizer.average_decay`, without `average_checkpoints`. 0: off.
      scheduled_sampling: probability, at the last update, that the decoder reads its own prediction instead
        of the true token. It rises linearly from 0 (Bengio et al. 2015; for all positions at once: Duckworth
        et al. 2019). 0 is teacher forcing.
      precision: type of the matrix products in training and validation. `bfloat16`: TensorFlow (oneDNN) may
        compute them in bfloat16 on a CPU, which is slower on processors without instructions for it; it has
        no effect on a GPU. `auto`: `bfloat16` on an x86 processor that has such instructions (`avx512_bf16`
        or `amx_bf16`) if there is no GPU, else `float32`. The exported model computes in float32.
      seed: seed of the initial weights, of dropout and of the order of the batches, from 1. A training that
        starts from the last blessed model adds the number of warm starts since the last training from
        scratch, itself included, so that each training sees the batches in another order.
      samples: maximum number of validation sentences that are translated at the end. The InfraValidator
        compares the exported model with these translations.
      progress: whether to show a progress bar on a terminal.
    """

    model: ModelSettings = ModelSettings()
    search: SearchSettings = SearchSettings()
    serving_limits: ServingLimits = ServingLimits()
    optimizer: OptimizerParameters = OptimizerParameters()
    schedule: ScheduleParameters = ScheduleParameters()
    validation: ValidationParameters = ValidationParameters()
    warm_start: WarmStartParameters = WarmStartParameters()
    embeddings: EmbeddingParameters = EmbeddingParameters()
    steps: Positive | Auto = AUTO
    batch_tokens: Positive = 1600
    accumulate: Positive = 1
    replicas: Positive = 2
    distribute: DistributeParameters = DistributeParameters()
    device_kernels: Literal["auto", "off"] = "auto"
    subword_dropout: Rate = 0.0
    label_smoothing: Rate = 0.1
    consistency: Annotated[float, msgspec.Meta(ge=0.0, le=100.0)] = 0.0
    scheduled_sampling: Probability = 0.0
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    seed: Annotated[int, msgspec.Meta(ge=1, le=SEED_COUNT)] = 1
    samples: Positive = 20
    progress: bool = True

    def __post_init__(self) -> None:
        if self.steps != AUTO and self.schedule.warmup_steps >= self.steps:
            raise ValueError(
                "schedule.warmup_steps must be below steps. "
                f"Received: {self.schedule.warmup_steps} and {self.steps}"
            )
        if self.search.coverage_penalty and self.model.attention == "none":
            raise ValueError("search.coverage_penalty needs an attention, but model.attention is none")
        if self.consistency and (not self.optimizer.average_decay or self.optimizer.average_checkpoints):
            raise ValueError(
                "consistency needs the moving average of the weights: optimizer.average_decay above 0 and "
                f"average_checkpoints 0. Received: {self.optimizer.average_decay} and "
                f"{self.optimizer.average_checkpoints}"
            )
        if self.subword_dropout and self.distribute.workers > 1:
            raise ValueError(
                "subword_dropout needs distribute.workers 1: only the chief has the vocabulary. "
                f"Received: {self.subword_dropout} and {self.distribute.workers}"
            )
        limits = self.serving_limits
        for name, key, limit in (
            ("beam_size", "beam_size", limits.beam_size),
            ("beam_size", "hypotheses", limits.hypotheses),
            ("max_length", "max_length", limits.max_length),
        ):
            value = getattr(self.search, name)
            if value > limit:
                raise ValueError(
                    f"search.{name} must not be above serving_limits.{key}. Received: {value} and {limit}"
                )

    @property
    def step_count(self) -> int:
        """`steps` as a number.

        Raises:
          ValueError: it is `auto`, which `fitting.with_steps` replaces.
        """
        if self.steps == AUTO:
            raise ValueError("steps is auto: the number follows from the training data")
        return self.steps

    def averages_weights_at(self, step: int) -> bool:
        """Whether the weights at the validation after `step` updates are part of the exported mean."""
        share = self.validation.average_from
        return bool(share) and step >= share * self.step_count


class Trainer(Component[Parameters]):
    """Trains and exports the model."""

    inputs = {
        "transformed_examples": artifacts.TransformedExamples,
        "transform_graph": artifacts.TransformGraph,
        "examples": artifacts.Examples,
        "base_model": artifacts.Model,
    }
    outputs = {"model": artifacts.Model, "model_run": artifacts.ModelRun}
    parameters = Parameters
    libraries = ("tensorflow", "keras", "numpy", "sacrebleu", *LIBRARIES)
    optional = frozenset({"base_model"})
    list_inputs = frozenset({"examples"})
    input_splits = {"transformed_examples": ("train",), "examples": ("eval",)}
    uncached_parameters = frozenset({"progress", "distribute.wait_seconds"})

    def external_inputs(self, parameters: Parameters) -> list[str]:
        """Paths of pretrained vectors, and of the checkpoint files if `warm_start.model` is a folder."""
        vectors = list(filter(None, (parameters.embeddings.source, parameters.embeddings.target)))
        if parameters.warm_start.model in (None, LAST_BLESSED):
            return vectors
        model = artifacts.Model(Path(parameters.warm_start.model))
        return vectors + list(map(str, (model.weights_file, model.vocabulary_file, model.architecture_file)))

    def check_files(self, parameters: Parameters) -> None:
        """Raises DataError for a file of vectors that cannot be used, as far as its first lines show it.

        Raises ConfigError if several workers are to train, and TF_CONFIG does not name them.
        """
        from bitext.components.trainer import chief, vectors

        if parameters.distribute.workers > 1:
            chief.check(parameters)
        for file in filter(None, (parameters.embeddings.source, parameters.embeddings.target)):
            vectors.check(file, parameters.model.embedding_units)

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        transformed_examples: artifacts.TransformedExamples,
        transform_graph: artifacts.TransformGraph,
        examples: tuple[artifacts.Examples, ...],
        base_model: artifacts.Model | None,
        model: artifacts.Model,
        model_run: artifacts.ModelRun,
    ) -> None:
        if parameters.distribute.workers > 1:
            from bitext.components.trainer import chief

            inputs: dict[str, chief.Input] = {
                "transformed_examples": transformed_examples,
                "transform_graph": transform_graph,
                "examples": examples,
                "base_model": base_model,
            }
            chief.run(parameters, context, inputs, {"model": model, "model_run": model_run})
            return
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
