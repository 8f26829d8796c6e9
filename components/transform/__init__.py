"""Transform: strings to padded token ids, by one TensorFlow Transform graph that serving uses too."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from bitext.components import artifacts
from bitext.components.component import Component, Context, heavy_imports
from bitext.components.component import Parameters as BaseParameters
from bitext.components.text import Unit

# Specials and the 256 bytes; what is above them can be learnt.
SMALLEST_VOCABULARY = 4 + 256 + 1


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How text becomes training examples.

    Attributes:
      unit: what a token is: `subword` (byte-pair encoding), `word` or `character`.
      vocabulary_size: most ids a vocabulary may have, with the four specials and, except for words, the 256
        bytes. A small corpus may yield fewer.
      shared_vocabulary: one vocabulary learnt from both sides, rather than one for each.
      lowercase: lower-case all text. Translations are lower case too; `evaluator.lowercase` compares so.
      source_max_length: most tokens of a source, `</s>` included.
      target_max_length: most tokens of a target, `<s>` and `</s>` included.
      over_long: `reject` leaves a pair with a side over its limit out, and counts it; `truncate` cuts the
        side to its limit, `</s>` kept.
      bucket_growth: each padded length is this times the one before, at least. Smaller wastes less on padding
        and makes more shapes.
      segmentations: how many times the training split is written: once as text is always tokenized, and each
        further time with other subwords, drawn at random (for each batch of `batch_size` anew). An epoch of
        the training is as many passes over the text.
      subword_dropout: in the further segmentations, the probability of a subword to be split in two, and of
        its parts again (in the manner of BPE-dropout: Provilkov et al. 2020).
      batch_size: sentences in a batch given to the transform graph.
    """

    unit: Unit = "subword"
    vocabulary_size: Annotated[int, msgspec.Meta(ge=5, le=1_000_000)] = 8000
    shared_vocabulary: bool = True
    lowercase: bool = False
    source_max_length: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 60
    target_max_length: Annotated[int, msgspec.Meta(ge=3, le=10_000)] = 60
    over_long: Literal["reject", "truncate"] = "reject"
    bucket_growth: Annotated[float, msgspec.Meta(ge=1.0, le=10.0)] = 1.12
    segmentations: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    subword_dropout: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.0
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 2000

    def __post_init__(self) -> None:
        """Refuses a vocabulary too small for its unit, and segmentations that cannot be or would be equal."""
        if self.unit != "word" and self.vocabulary_size < SMALLEST_VOCABULARY:
            raise ValueError(
                f"vocabulary_size must be at least {SMALLEST_VOCABULARY} for unit {self.unit}, of which 256 "
                f"are the bytes that unknown characters are spelt in; received {self.vocabulary_size}"
            )
        if (self.segmentations > 1) != (self.subword_dropout > 0):
            raise ValueError(
                "segmentations above 1 and a subword_dropout above 0 need each other. "
                f"Received: {self.segmentations} and {self.subword_dropout}"
            )
        if self.segmentations > 1 and self.unit != "subword":
            raise ValueError(f"segmentations above 1 need unit subword, not {self.unit}")


class Transform(Component[Parameters]):
    """Learns the vocabularies and turns text into token ids."""

    inputs = {
        "examples": artifacts.Examples,
        "schema": artifacts.Schema,
        "analyzer_cache": artifacts.TransformCache,
    }
    outputs = {
        "transform_graph": artifacts.TransformGraph,
        "transformed_examples": artifacts.Examples,
        "updated_analyzer_cache": artifacts.TransformCache,
    }
    parameters = Parameters
    libraries = (
        "tensorflow",
        "tensorflow-transform",
        "tfx-bsl",
        "apache-beam",
        "pyarrow",
        "numpy",
        "sentencepiece",
    )
    optional = frozenset({"analyzer_cache"})
    list_inputs = frozenset({"examples"})
    uncached_inputs = frozenset({"analyzer_cache"})

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        examples: tuple[artifacts.Examples, ...],
        schema: artifacts.Schema,
        analyzer_cache: artifacts.TransformCache | None,
        transform_graph: artifacts.TransformGraph,
        transformed_examples: artifacts.Examples,
        updated_analyzer_cache: artifacts.TransformCache,
    ) -> None:
        with heavy_imports():
            from bitext.components.transform import executor
        executor.run(
            parameters,
            context,
            examples=examples,
            schema=schema,
            analyzer_cache=analyzer_cache,
            transform_graph=transform_graph,
            transformed_examples=transformed_examples,
            updated_analyzer_cache=updated_analyzer_cache,
        )
