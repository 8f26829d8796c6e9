"""ExampleGen: reads sentence pairs and writes tf.Examples by split, and the rejected rows. See `executor`."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

import msgspec

from bitext.components import artifacts
from bitext.components.component import Component, Context, Part, heavy_imports
from bitext.components.component import Parameters as BaseParameters
from bitext.components.example_gen.files import Files
from bitext.components.example_gen.formats import FORMATS
from bitext.components.shared.path_types import PathPattern

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Index = Annotated[int, msgspec.Meta(ge=0)]
SPLITS = ("train", "eval", "test")
GOLDEN_SPLIT = "golden"


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The spans of the corpus that are used; by default all.

    Attributes:
      newest: maximum number of spans; those with the highest numbers are used.
      first: lowest span number that is used. For spans by date, a date (`2026-11-24`) is possible too.
      last: highest span number that is used, or a date as for `first`.
    """

    newest: Annotated[int, msgspec.Meta(ge=1)] | None = None
    first: Index | datetime.date | None = None
    last: Index | datetime.date | None = None

    def __post_init__(self) -> None:
        first, last = self.bounds()
        if first is not None and last is not None and first > last:
            raise ValueError(f"window.first {self.first} is after window.last {self.last}")

    def bounds(self) -> tuple[int | None, int | None]:
        """The lowest and the highest span number; None without a bound."""
        return _span_number(self.first), _span_number(self.last)


EPOCH = datetime.date(1970, 1, 1)
"""The day of span number 0 if spans are dates, as in TFX."""


def _span_number(bound: int | datetime.date | None) -> int | None:
    return (bound - EPOCH).days if isinstance(bound, datetime.date) else bound


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A numbered part of the corpus; each is read in its own execution.

    Attributes:
      number: number of the span; None for the files without a span in their pattern.
      version: version of the span; None if its pattern has no version.
    """

    number: int | None
    version: int | None = None


class GivenSplits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files of each split, for a corpus that is already split.

    Attributes:
      train: the files of the training split.
      eval: the files of the split that training validates on.
      test: the files of the split that the model is scored on.
    """

    train: Files = Files()
    eval: Files = Files()
    test: Files = Files()


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
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
      format: `tsv` (tabs, no quoting), `csv` (RFC 4180: quoting, line breaks inside quotes), or `parallel`
        (two aligned text files).
      files: paths or globs of TSV or CSV files.
      source_files: for `parallel`: paths or globs of the source side.
      target_files: for `parallel`: paths or globs of the target side, in the same order.
      header: whether the first line of each TSV or CSV file has the names of the columns.
      source_column: column of the source: an index from 0, or a name if `header` is true.
      target_column: column of the target: an index from 0, or a name if `header` is true.
      delimiter: the character between columns, for `format: csv`.
      window: which spans are used.
      splits: the files of each split; if given, the corpus is not split by hash.
      golden: a test set of the same format that is scored in every run. Pairs whose source is in it are
        removed from train and eval.
      eval_share: share of source sentences that go to the eval split, by a hash of the normalized source.
      test_share: share of source sentences that go to the test split, by the same hash.
      drop_duplicates: drop exact duplicates in `all` splits, or only in `train`. Use `train` for a published
        test set that is scored line by line (see also `evaluator.references`).
      max_characters: rows with a longer source or target are rejected as `too_long`.
      max_length_ratio: rows are rejected as `length_ratio` if their ratio of target length to source length
        differs from the corpus's by more than this factor. Lengths are in characters, of which a Han
        character counts 3, and kana and Hangul syllables count 2. The corpus's ratio is the median of its
        rows (of each span by itself); 1 with fewer than 100 rows that are long enough. Not checked in eval
        and test splits whose files are given in `splits`.
      ratio_from_characters: the length ratio is checked only if the longer side has at least this many
        characters, counted in the same way.
      max_reject_share: the run stops if a larger share of the rows is rejected.
      max_out_of_step_share: the run stops if a larger share of the rows looks out of step: in sequences of
        lines in which the lengths, numbers and final marks of source and target agree no better than by
        chance, while they agree in the other lines of the file. Below it, a warning names the lines.
      shards: number of files of each split, by the same hash. With more than one, Beam's workers share
        the writing of a large corpus. All translations of a source are in one file.
    """

    format: Annotated[str, msgspec.Meta(extra={"choices": tuple(FORMATS)})] = "tsv"
    files: tuple[PathPattern, ...] = ()
    source_files: tuple[PathPattern, ...] = ()
    target_files: tuple[PathPattern, ...] = ()
    header: bool = False
    source_column: Index | str = 0
    target_column: Index | str = 1
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","
    window: Window = Window()
    splits: GivenSplits | None = None
    golden: Files = Files()
    eval_share: Share = 0.02
    test_share: Share = 0.02
    drop_duplicates: Literal["all", "train"] = "all"
    max_characters: Annotated[int, msgspec.Meta(ge=1)] = 1000
    max_length_ratio: Annotated[float, msgspec.Meta(ge=1.0)] = 5.0
    ratio_from_characters: Annotated[int, msgspec.Meta(ge=0)] = 30
    max_reject_share: Share = 0.05
    max_out_of_step_share: Share = 0.1
    shards: Annotated[int, msgspec.Meta(ge=1, le=99999)] = 1

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format must be {' or '.join(FORMATS)}; received {self.format!r}")
        file_format = FORMATS[self.format]
        if self.golden.patterns():
            file_format.check_files(self.golden, "golden")
        if self.splits is None:
            file_format.check_files(self.unsplit_files(), "")
            if self.eval_share <= 0 or self.test_share <= 0:
                raise ValueError("eval_share and test_share must be over 0, or splits must be given")
            if self.eval_share + self.test_share >= 1:
                raise ValueError(
                    "eval_share + test_share must be under 1, to leave something to train on; received "
                    f"{self.eval_share} + {self.test_share}"
                )
        else:
            if self.unsplit_files().patterns():
                raise ValueError("give either splits or files (source_files, target_files), not both")
            for name in SPLITS:
                file_format.check_files(getattr(self.splits, name), f"splits.{name}")
        file_format.check_options(self)

    def unsplit_files(self) -> Files:
        """The files of a corpus that is split by hash."""
        return Files(files=self.files, source_files=self.source_files, target_files=self.target_files)

    def files_by_split(self) -> dict[str | None, Files]:
        """The files by split; all under the key None if the corpus is split by hash."""
        if self.splits is None:
            return {None: self.unsplit_files()}
        return {name: getattr(self.splits, name) for name in SPLITS}


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
