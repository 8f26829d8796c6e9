"""ExampleGen: raw bitext in, tf.Examples by split and rejected rows out. See `executor`."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

import msgspec

from bitext.components import artifacts
from bitext.components.component import Component, Context, Part, heavy_imports
from bitext.components.component import Parameters as BaseParameters
from bitext.components.example_gen.formats import FORMATS
from bitext.components.shared.path_types import PathPattern

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Index = Annotated[int, msgspec.Meta(ge=0)]
SPLITS = ("train", "eval", "test")
GOLDEN_SPLIT = "golden"


class Files(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the text of one split (or of the whole corpus) lies.

    Attributes:
      files: paths or globs of TSV or CSV files (formats `tsv` and `csv`).
      source_files: paths or globs of text files, one source sentence a line (format `parallel`).
      target_files: their translations, line by line; matched with `source_files` in order.
    """

    files: tuple[PathPattern, ...] = ()
    source_files: tuple[PathPattern, ...] = ()
    target_files: tuple[PathPattern, ...] = ()

    def patterns(self) -> tuple[str, ...]:
        """Every path or glob named, in order."""
        return self.files + self.source_files + self.target_files


class Window(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which spans of the corpus are used, of those there are. Without anything given: all.

    Attributes:
      newest: at most so many, those with the highest numbers.
      first: the lowest number used; of spans by date, a date (`2026-11-24`) as well.
      last: the highest number used, likewise.
    """

    newest: Annotated[int, msgspec.Meta(ge=1)] | None = None
    first: Index | datetime.date | None = None
    last: Index | datetime.date | None = None

    def __post_init__(self) -> None:
        first, last = self.bounds()
        if first is not None and last is not None and first > last:
            raise ValueError(f"window.first {self.first} is after window.last {self.last}")

    def bounds(self) -> tuple[int | None, int | None]:
        """The lowest and the highest number, None where there is no bound."""
        return _span_number(self.first), _span_number(self.last)


EPOCH = datetime.date(1970, 1, 1)
"""The day whose span is number 0 where spans are dates, as in TFX."""


def _span_number(bound: int | datetime.date | None) -> int | None:
    return (bound - EPOCH).days if isinstance(bound, datetime.date) else bound


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the corpus, worked on by itself.

    Attributes:
      number: the span's; None: the part is what no span holds, files without a span in their pattern.
      version: of the span; None: its pattern has none.
    """

    number: int | None
    version: int | None = None


class GivenSplits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The files of each split, where the corpus comes already split.

    Attributes:
      train: the files of the training split.
      eval: the files of the split that training validates on.
      test: the files of the split that the model is scored on.
    """

    train: Files = Files()
    eval: Files = Files()
    test: Files = Files()


class Parameters(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to read, how to split it, and which rows to refuse.

    Paths are local or of any file system Beam opens (gs://, s3://, hdfs://); names ending in .gz, .bz2 or
    .zst are decompressed. A local path that exists stands for itself; a glob passes over hidden files, and
    `**` in it stands for folders at any depth.

    A corpus that grows comes in spans. `{SPAN}` in a pattern stands for a span's number, or `{YYYY}`, `{MM}`
    and `{DD}` for its date, and `{VERSION}` for the version of it, of which the highest counts; `{SPAN:4}`
    has four digits. Each span is read, and its statistics are computed, once. Files without a span in their
    pattern are in every window.

    Attributes:
      format: `tsv` (tabs, no quoting), `csv` (RFC 4180: quoting, line breaks inside quotes), or `parallel`
        (two aligned text files).
      files: paths or globs of TSV or CSV files.
      source_files: for `parallel`: paths or globs of the source side.
      target_files: for `parallel`: paths or globs of the target side, in the same order.
      header: whether the first line of each TSV or CSV file names its columns.
      source_column: the source's column: an index from 0, or a name if `header`.
      target_column: the target's column, likewise.
      delimiter: the CSV's delimiter, one character.
      window: which spans are used.
      splits: the files of each split, instead of splitting by hash.
      golden: a test set that stays as it is, of the same format: it is scored in every run, and what has a
        source of it is neither trained on nor validated with.
      eval_share: share of source sentences that go to the eval split, by a hash of the normalized source.
      test_share: share of source sentences that go to the test split.
      drop_duplicates: of which splits exact duplicates are dropped: of `all`, or of `train` alone, for a
        published test set that is scored line by line (see also `evaluator.references`).
      max_characters: a longer source or target is rejected as `too_long`.
      max_length_ratio: a row whose longer side has over this many times the other's characters is rejected
        as `length_ratio`; not of an eval or test split whose files are given, which is scored as it is.
      ratio_from_characters: the ratio is judged only where the longer side has at least this many characters.
      max_reject_share: with more than this share of the rows rejected, the run stops.
      shards: files a split is written to, by the same hash. More than one lets Beam's workers share a
        corpus too large for one of them; all translations of a source are in one file.
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
    shards: Annotated[int, msgspec.Meta(ge=1, le=99999)] = 1

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"format must be {' or '.join(FORMATS)}; received {self.format!r}")
        file_format = FORMATS[self.format]
        if self.golden.patterns():
            file_format.check_files(self.golden, "golden")
        if self.splits is None:
            file_format.check_files(self.everything(), "example_gen")
            if self.eval_share <= 0 or self.test_share <= 0:
                raise ValueError("eval_share and test_share must be over 0, or splits given")
            if self.eval_share + self.test_share >= 1:
                raise ValueError(
                    f"eval_share + test_share must leave something to train on: "
                    f"{self.eval_share} + {self.test_share}"
                )
        else:
            if self.everything().patterns():
                raise ValueError("give either splits or files (source_files, target_files), not both")
            for name in SPLITS:
                file_format.check_files(getattr(self.splits, name), f"splits.{name}")
        file_format.check_parameters(self)

    def everything(self) -> Files:
        """The files of a corpus that is to be split by hash."""
        return Files(files=self.files, source_files=self.source_files, target_files=self.target_files)

    def groups(self) -> dict[str | None, Files]:
        """Files by given split, or all under None where the hash decides."""
        if self.splits is None:
            return {None: self.everything()}
        return {name: getattr(self.splits, name) for name in SPLITS}


class SpanParameters(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The parameters of one part of a corpus that comes in spans.

    Attributes:
      span: the span.
    """

    span: Span

    def __post_init__(self) -> None:
        """Checks nothing: the whole corpus was checked, and a span may lack the files of a split."""


def span_of(parameters: Parameters) -> Span | None:
    """Returns the span that the parameters are for; None: the corpus has no spans."""
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
        return [pattern for files in parameters.groups().values() for pattern in files.patterns()]

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
