"""ExampleGen: reads sentence pairs and writes tf.Examples by split, and the rejected rows. See `executor`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from bitext.components import artifacts
from bitext.components.component import Component, Context, Part, heavy_imports
from bitext.components.example_gen.corpus import EPOCH, SPLITS, CorpusOptions, GivenSplits, Share, Window
from bitext.components.example_gen.files import Files
from bitext.components.example_gen.formats import FORMATS

__all__ = ["EPOCH", "SPLITS", "CorpusOptions", "GivenSplits", "Window"]
GOLDEN_SPLIT = "golden"


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A numbered part of the corpus; each is read in its own execution.

    Attributes:
      number: number of the span; None for the files without a span in their pattern.
      version: version of the span; None if its pattern has no version.
    """

    number: int | None
    version: int | None = None


class Parameters(CorpusOptions, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which files to read, how to split the corpus, and which rows to reject.

    Paths are local or of any file system that Beam opens (gs://, s3://, hdfs://). Files whose names end in
    .gz, .bz2, .xz or .zst are decompressed. A local path that exists is taken literally, even if it contains
    brackets. So are the existing folders at the start of a glob. A glob does not match hidden files; `**`
    matches folders at any depth. Files are UTF-8. A line ends with LF, CRLF or CR.

    A corpus that grows is read by spans. In a pattern, `{SPAN}` is the number of a span, or `{YYYY}`, `{MM}`
    and `{DD}` are its date. `{VERSION}` is its version, of which the highest is used. `{SPAN:4}` has four
    digits. Each span is read once, and its statistics are computed once. Files without a span in their
    pattern are in every window.

    Attributes:
      golden: a test set of the same format that is scored in every run. Pairs whose source is in it are
        removed from train and eval.
      eval_share: share of source sentences that go to the eval split, by a hash of the normalized source.
      test_share: share of source sentences that go to the test split, by the same hash.
      drop_duplicates: drop exact duplicates in `all` splits, or only in `train`. Use `train` for a published
        test set that is scored line by line (see also `evaluator.references`).
      shards: number of files of each split, by the same hash. With more than one, Beam's workers share
        the writing of a large corpus. All translations of a source are in one file.
    """

    golden: Files = Files()
    eval_share: Share = 0.02
    test_share: Share = 0.02
    drop_duplicates: Literal["all", "train"] = "all"
    shards: Annotated[int, msgspec.Meta(ge=1, le=99999)] = 1

    def __post_init__(self) -> None:
        self.check_format()
        if self.golden.patterns():
            FORMATS[self.format].check_files(self.golden, "golden")
        self.check_files()
        if self.splits is not None:
            return
        if self.eval_share <= 0 or self.test_share <= 0:
            raise ValueError("eval_share and test_share must be over 0, or splits must be given")
        if self.eval_share + self.test_share >= 1:
            raise ValueError(
                "eval_share + test_share must be under 1, to leave something to train on; received "
                f"{self.eval_share} + {self.test_share}"
            )


class SpanParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of one span, or of the files without a span.

    Attributes:
      span: the span that is read.
    """

    span: Span

    def __post_init__(self) -> None:
        """Checks nothing: `Parameters` has checked the corpus, and a span may lack the files of a split."""


def span_of(parameters: Parameters) -> Span | None:
    """Returns the span that the parameters are for; None if the corpus has no spans."""
    return parameters.span if isinstance(parameters, SpanParameters) else None


class ExampleGen(Component[Parameters]):
    """Reads the corpus, span by span."""

    inputs = {"golden": artifacts.Examples}
    outputs = {"examples": artifacts.Examples, "rejects": artifacts.Rejects}
    parameters = Parameters
    libraries = ("apache-beam", "pyarrow")
    optional = frozenset({"golden"})

    def parts(self, parameters: Parameters) -> list[Part]:
        from bitext.components.example_gen import spans

        return spans.parts(parameters)

    def external_inputs(self, parameters: Parameters) -> list[str]:
        return [pattern for files in parameters.files_by_split().values() for pattern in files.patterns()]

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


class GoldenGen(Component[Parameters]):
    """Reads the golden test set."""

    inputs = {}
    outputs = {"examples": artifacts.Examples, "rejects": artifacts.Rejects}
    parameters = Parameters
    libraries = ("apache-beam", "pyarrow")

    def external_inputs(self, parameters: Parameters) -> list[str]:
        return list(parameters.golden.patterns())

    def run(
        self,
        parameters: Parameters,
        context: Context,
        *,
        examples: artifacts.Examples,
        rejects: artifacts.Rejects,
    ) -> None:
        with heavy_imports():
            from bitext.components.example_gen import golden
        golden.run(parameters, context, examples=examples, rejects=rejects)
