"""The options of a corpus: which files it has, how they are written, and which rows are rejected."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

import msgspec

from bitext.components.component import Parameters as BaseParameters
from bitext.components.example_gen.cleaning import Cleaning
from bitext.components.example_gen.files import Files
from bitext.components.example_gen.formats import FORMATS
from bitext.components.example_gen.formats.decoding import check_encoding
from bitext.components.shared.path_types import PathPattern
from bitext.components.shared.suggestions import did_you_mean

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Index = Annotated[int, msgspec.Meta(ge=0)]
SPLITS = ("train", "eval", "test")


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


class CorpusOptions(BaseParameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The options of one corpus.

    Attributes:
      format: `tsv` (tabs, no quoting), `csv` (RFC 4180: quoting, line breaks inside quotes), `parallel` (two
        aligned text files), `jsonl` (one JSON value a line), `parquet`, `arrow` (IPC files, Feather),
        `tmx` (1.4), `xliff` (1.2 and 2.x), `po` (gettext: .po and .mo), or `auto`: recognized file by file.
      files: paths or globs of the files. `ARCHIVE//MEMBER` names files in a ZIP or tar archive.
      source_files: for `parallel`: paths or globs of the source side.
      target_files: for `parallel`: paths or globs of the target side, in the same order.
      header: whether the first line of each TSV or CSV file has the names of the columns.
      source_column: column of the source: an index from 0, or a name if `header` is true. For `jsonl`,
        `parquet` and `arrow`, the path of the field: `en`, `translation.en`.
      target_column: column of the target, likewise.
      delimiter: the character between columns, for `format: csv`; a tab is written in double quotes.
      encoding: encoding of the text: `utf-8`, or any that Python knows, as `utf-16`, `windows-1252`,
        `gb18030` or `shift_jis`. A row that cannot be decoded is rejected as `invalid_encoding`.
      source_language: language code of the source, for `tmx` and `xliff`: `en` also stands for `en-US`.
      target_language: language code of the target, likewise.
      inline_markup: for `tmx` and `xliff`, whether the native code in inline elements (`<b>`, `{0}`) is
        dropped or kept as text.
      window: which spans are used.
      splits: the files of each split; if given, the corpus is not split by hash.
      max_characters: rows with a longer source or target are rejected as `too_long`.
      max_length_ratio: rows are rejected as `length_ratio` if their ratio of target length to source length
        differs from the corpus's by more than this factor. Lengths are in characters, of which a Han
        character counts 3, and kana and Hangul syllables count 2. The corpus's ratio is the median of its
        rows (of each span by itself); 1 with fewer than 100 rows that are long enough. Not checked in eval
        and test splits whose files are given in `splits`.
      ratio_from_characters: the length ratio is checked only if the longer side has at least this many
        characters, counted in the same way.
      max_reject_share: the run stops if a larger share of the rows is rejected. Rows that `cleaning` rejects
        do not count here; see `cleaning.max_reject_share`.
      max_out_of_step_share: the run stops if a larger share of the rows looks out of step: in sequences of
        lines in which the lengths, numbers and final marks of source and target agree no better than by
        chance, while they agree in the other lines of the file. Below it, a warning names the lines.
      cleaning: which rows are fixed, and which are rejected although they can be read: `off`, `basic`,
        `strict`, or a section with a `level` and single rules.
    """

    format: Annotated[str, msgspec.Meta(extra={"choices": tuple(FORMATS)})] = "tsv"
    files: tuple[PathPattern, ...] = ()
    source_files: tuple[PathPattern, ...] = ()
    target_files: tuple[PathPattern, ...] = ()
    header: bool = False
    source_column: Index | str = 0
    target_column: Index | str = 1
    delimiter: Annotated[str, msgspec.Meta(min_length=1, max_length=1)] = ","
    encoding: str = "utf-8"
    source_language: str | None = None
    target_language: str | None = None
    inline_markup: Literal["drop", "keep"] = "drop"
    window: Window = Window()
    splits: GivenSplits | None = None
    max_characters: Annotated[int, msgspec.Meta(ge=1)] = 1000
    max_length_ratio: Annotated[float, msgspec.Meta(ge=1.0)] = 5.0
    ratio_from_characters: Annotated[int, msgspec.Meta(ge=0)] = 30
    max_reject_share: Share = 0.05
    max_out_of_step_share: Share = 0.1
    cleaning: Cleaning = Cleaning()

    def check_format(self) -> None:
        """Checks that the format exists and can be read with these options.

        Raises:
          ValueError: it does not, or cannot.
        """
        if self.format not in FORMATS:
            raise ValueError(
                f"format must be {' or '.join(FORMATS)}; received {self.format!r}"
                f"{did_you_mean(self.format, FORMATS)}"
            )
        check_encoding(self.encoding)
        FORMATS[self.format].check_options(self)

    def check_files(self) -> None:
        """Checks that the files are given which the format reads, either for all splits or for each.

        Raises:
          ValueError: they are not.
        """
        file_format = FORMATS[self.format]
        if self.splits is None:
            file_format.check_files(self.unsplit_files(), "")
            return
        if self.unsplit_files().patterns():
            raise ValueError("give either splits or files (source_files, target_files), not both")
        for name in SPLITS:
            file_format.check_files(getattr(self.splits, name), f"splits.{name}")

    def options(self) -> dict[str, Any]:
        """The options by key, without the fields that a subclass adds."""
        return {name: getattr(self, name) for name in CorpusOptions.__struct_fields__}

    def unsplit_files(self) -> Files:
        """The files of a corpus that is split by hash."""
        return Files(files=self.files, source_files=self.source_files, target_files=self.target_files)

    def files_by_split(self) -> dict[str | None, Files]:
        """The files by split; all under the key None if the corpus is split by hash."""
        if self.splits is None:
            return {None: self.unsplit_files()}
        return {name: getattr(self.splits, name) for name in SPLITS}
