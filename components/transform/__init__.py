"""Transform: turns strings into padded token ids, with one TensorFlow Transform graph."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from bitext.components import artifacts
from bitext.components.component import Component, Context, heavy_imports
from bitext.components.component import Parameters as BaseParameters
from bitext.components.shared.corpus_size import AUTO, Auto
from bitext.components.shared.path_types import LocalPath
from bitext.components.text import SPECIALS, Unit
from bitext.components.text.normalization import is_blank

MIN_VOCABULARY_SIZE = 4 + 256 + 1
"""The specials, the 256 bytes, and one token to learn."""


Probability = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class Augmentation(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Altered copies of training pairs, which make the model less sensitive to how its input is written.

    Attributes:
      upper_case: share of the training pairs that are written once more in capitals, on both sides. Use it if
        users may write in capitals.
      no_final_mark: share of the training pairs that are written once more without the final mark of the
        source. The target loses a full stop too, but keeps a question mark or an exclamation mark.
    """

    upper_case: Probability = 0.0
    no_final_mark: Probability = 0.0


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How text becomes training examples.

    Attributes:
      unit: what a token is: `subword` (byte-pair encoding), `word` or `character`.
      vocabulary_size: maximum number of ids of a vocabulary. It includes the four specials and, except for
        unit `word`, the 256 bytes. A small corpus may yield fewer. `auto`: 2,000 below 10,000 training pairs,
        4,000 below 100,000, 8,000 below 500,000, 16,000 below 5 million, else 32,000; four times as many for
        unit `word`. The run prints the number.
      vocabulary_file: a file that is taken as the vocabulary of both sides instead of learning one: a unigram
        or BPE model of SentencePiece, or the merges of byte-pair encoding (codes of subword-nmt, fairseq or
        fastBPE, `merges.txt`). `vocabulary_size` then has no effect. Empty: none.
      source_vocabulary_file: such a file for the source only, with `shared_vocabulary: false`. The vocabulary
        of a side without a file is learned.
      target_vocabulary_file: such a file for the target only, with `shared_vocabulary: false`.
      whole_tokens: texts that are one token each, with an id of their own, where they stand as whole words:
        placeholders, tags, product names (`{name}`, `<br>`, `Model 3`).
      whole_token_pattern: a regular expression (RE2) for texts that are never joined with others or split
        into subwords, such as `[A-Z]+-[0-9]+`. A match that the training data has at least twice has an id of
        its own; others are spelled in characters. Empty: none.
      shared_vocabulary: whether both sides share one vocabulary, learned from both.
      lowercase: whether all text is lower-cased. Translations are lower case too; see `evaluator.lowercase`.
      fold_quotes: whether typographic quotation marks and apostrophes become " and ' in all text, so that
        `don’t` and `don't` are one word. Translations then have " and '.
      source_language: language of the source, ISO 639-1 (`en`, `de`, `zh`). The exported model tells it to
        `bitext translate`, which splits a line with several sentences by the abbreviations of this language.
        Empty: by the script of the line (English for Latin script).
      source_max_length: maximum number of tokens of a source, `</s>` included.
      target_max_length: maximum number of tokens of a target, `<s>` and `</s>` included.
      over_long: what happens to a pair with a side over its limit: `reject` leaves it out and counts it,
        `truncate` cuts the side to its limit and keeps `</s>`.
      bucket_growth: smallest ratio of each padded length to the next smaller one. A smaller ratio gives less
        padding and more shapes.
      subword_samples: number of times that the training split is written: once tokenized as in serving, and
        further times with subwords split at random (`subword_dropout`). An epoch of the training reads all of
        them.
      subword_dropout: in the further tokenizations, the probability that a subword is split in two, and its
        parts again (similar to BPE-dropout: Provilkov et al. 2020).
      augmentation: altered copies of training pairs.
      batch_size: sentences in a batch given to the transform graph. The further tokenizations depend on it,
        because their random numbers are drawn for each batch.
    """

    unit: Unit = "subword"
    vocabulary_size: Annotated[int, msgspec.Meta(ge=5, le=1_000_000)] | Auto = AUTO
    vocabulary_file: LocalPath = ""
    source_vocabulary_file: LocalPath = ""
    target_vocabulary_file: LocalPath = ""
    whole_tokens: Annotated[tuple[str, ...], msgspec.Meta(max_length=1000)] = ()
    whole_token_pattern: str = ""
    shared_vocabulary: bool = True
    lowercase: bool = False
    fold_quotes: bool = True
    source_language: Annotated[
        str,
        msgspec.Meta(
            pattern="^([a-z]{2,3})?$", description="a language code of two or three letters, or empty"
        ),
    ] = ""
    source_max_length: Annotated[int, msgspec.Meta(ge=2, le=10_000)] = 60
    target_max_length: Annotated[int, msgspec.Meta(ge=3, le=10_000)] = 60
    over_long: Literal["reject", "truncate"] = "reject"
    bucket_growth: Annotated[float, msgspec.Meta(ge=1.0, le=10.0)] = 1.12
    subword_samples: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    subword_dropout: Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)] = 0.0
    augmentation: Augmentation = Augmentation()
    batch_size: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 2000

    def __post_init__(self) -> None:
        """Raises ValueError for a vocabulary without room for the bytes, and for contradicting samples."""
        size = self.vocabulary_size
        if self.unit != "word" and size != AUTO and size < MIN_VOCABULARY_SIZE:
            raise ValueError(
                f"vocabulary_size must be at least {MIN_VOCABULARY_SIZE} for unit {self.unit}: "
                f"256 ids are the bytes that spell unknown characters. Received: {self.vocabulary_size}"
            )
        if (self.subword_samples > 1) != (self.subword_dropout > 0):
            raise ValueError(
                "subword_samples above 1 and subword_dropout above 0 need each other. "
                f"Received: {self.subword_samples} and {self.subword_dropout}"
            )
        if self.subword_samples > 1 and self.unit != "subword":
            raise ValueError(f"subword_samples above 1 needs unit subword. Received: {self.unit}")
        self._check_vocabulary_files()
        self._check_whole_tokens()

    def _check_vocabulary_files(self) -> None:
        """Raises ValueError for a vocabulary file that another setting contradicts."""
        by_side = bool(self.source_vocabulary_file or self.target_vocabulary_file)
        if self.unit != "subword" and any(self.vocabulary_files.values()):
            raise ValueError(f"a vocabulary file needs unit subword. Received: {self.unit}")
        if self.vocabulary_file and (by_side or not self.shared_vocabulary):
            raise ValueError(
                "vocabulary_file is for both sides: for one side, set shared_vocabulary: false and "
                "source_vocabulary_file or target_vocabulary_file"
            )
        if by_side and self.shared_vocabulary:
            raise ValueError(
                "source_vocabulary_file and target_vocabulary_file need shared_vocabulary: false; one file "
                "for both sides is vocabulary_file"
            )

    def _check_whole_tokens(self) -> None:
        """Raises ValueError for whole tokens that are blank, reserved or too many."""
        for text in self.whole_tokens:
            if is_blank(text):
                raise ValueError(f"a text of whole_tokens is blank: {text!r}")
            if text in SPECIALS or re.fullmatch("<0x[0-9A-F]{2}>", text):
                raise ValueError(f"whole_tokens: {text} is the name of a special token")
        size = self.vocabulary_size
        reserved = len(SPECIALS) if self.unit == "word" else MIN_VOCABULARY_SIZE
        if size != AUTO and len(self.whole_tokens) > (size - reserved) // 2:
            raise ValueError(
                f"whole_tokens are more than half of vocabulary_size without its {reserved} reserved ids. "
                f"Received: {len(self.whole_tokens)} and {size}"
            )

    @property
    def vocabulary_files(self) -> dict[str, str]:
        """The vocabulary file of each side; empty: it is learned."""
        if self.shared_vocabulary:
            return dict.fromkeys(("source", "target"), self.vocabulary_file)
        return {"source": self.source_vocabulary_file, "target": self.target_vocabulary_file}

    @property
    def max_ids(self) -> int:
        """`vocabulary_size` as a number.

        Raises:
          ValueError: it is `auto`, which `fitting.with_vocabulary_size` replaces.
        """
        if self.vocabulary_size == AUTO:
            raise ValueError("vocabulary_size is auto: the number follows from the training data")
        return self.vocabulary_size


class CorpusUse(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a corpus is used; see `example_gen.Corpus`.

    Attributes:
      name: the name of the corpus.
      weight: how often each of its training pairs is written.
      tag: the token before its sources; empty: none.
      near_duplicates: whether pairs are left out that nearly equal one of an earlier span or corpus.
      max_targets: the most targets of a source, with those of earlier spans and corpora; 0: any number.
    """

    name: str
    weight: float
    tag: str
    near_duplicates: bool = False
    max_targets: int = 0


class WeightedParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters, with those that the pipeline takes from the section of ExampleGen.

    Attributes:
      corpora: the corpora; spans without a corpus have one with an empty name.
      sampling_seed: the seed that chooses the pairs of a corpus whose weight is no whole number.
    """

    corpora: tuple[CorpusUse, ...] = ()
    sampling_seed: int = 0


class Transform(Component[WeightedParameters]):
    """Learns the vocabularies and turns text into token ids."""

    inputs = {
        "examples": artifacts.Examples,
        "schema": artifacts.Schema,
        "analyzer_cache": artifacts.TransformCache,
    }
    outputs = {
        "transform_graph": artifacts.TransformGraph,
        "transformed_examples": artifacts.TransformedExamples,
        "updated_analyzer_cache": artifacts.TransformCache,
        "rejects": artifacts.Rejects,
    }
    parameters = WeightedParameters
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
    opened_by_workers = frozenset({"examples", "transformed_examples", "updated_analyzer_cache"})

    def external_inputs(self, parameters: Parameters) -> list[str]:
        """Paths of the vocabulary files that a user gives."""
        return list(dict.fromkeys(filter(None, parameters.vocabulary_files.values())))

    def check_files(self, parameters: Parameters) -> None:
        """Raises DataError for a vocabulary file and ConfigError for a pattern that cannot be used."""
        from bitext.components.text import given
        from bitext.components.transform.pattern import check_pattern

        check_pattern(parameters.whole_token_pattern)
        for file in self.external_inputs(parameters):
            given.read(file)

    def run(
        self,
        parameters: WeightedParameters,
        context: Context,
        *,
        examples: tuple[artifacts.Examples, ...],
        schema: artifacts.Schema,
        analyzer_cache: artifacts.TransformCache | None,
        transform_graph: artifacts.TransformGraph,
        transformed_examples: artifacts.TransformedExamples,
        updated_analyzer_cache: artifacts.TransformCache,
        rejects: artifacts.Rejects,
    ) -> None:
        with heavy_imports():
            from bitext.components.transform import executor
        executor.run(
            parameters,
            context,
            examples=examples,
            schema=schema,
            previous_cache=analyzer_cache,
            transform_graph=transform_graph,
            transformed_examples=transformed_examples,
            updated_analyzer_cache=updated_analyzer_cache,
            rejects=rejects,
        )
