"""Rejects: the rows that did not become examples, and the counts of all rows."""

from __future__ import annotations

import collections
import gzip
import itertools
import json
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from bitext.components.artifacts.base import Artifact
from bitext.components.shared.display import path_text
from bitext.components.shared.files import gzip_writer, write_json


class Reject(msgspec.Struct, frozen=True, omit_defaults=True):
    """A row that cannot be used.

    Attributes:
      file: the file that the row is in.
      line: the line where the row begins; the first line is 1. Or the number of the unit, row or message.
      reason: the kind of reason: `too_long`.
      detail: the reason in words, with the numbers.
      text: the row; its source and target if it was compared with the corpus (`length_ratio`, `wrong_script`
        and others). Bytes that are not UTF-8 are lone surrogates here, and backslash escapes in the file.
      numbered: what `line` counts: `line`; `unit` (TMX, XLIFF), `row` (Parquet, Arrow) or `message` (MO).
    """

    file: str
    line: int
    reason: str
    detail: str
    text: str
    numbered: str = "line"

    def place(self) -> str:
        """Where the row is: `corpus.tsv:17`, `memory.tmx: unit 17`."""
        number = f"{self.line}" if self.numbered == "line" else f" {self.numbered} {self.line}"
        return f"{path_text(self.file)}:{number}"


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows: rows = accepted + duplicates + golden_removed + rejected.

    Attributes:
      rows: rows read.
      accepted: rows that became examples.
      duplicates: rows dropped as exact duplicates.
      golden_removed: rows left out of training because their source is in the golden set or a test set.
      rejected: rows that cannot be used.
      reasons: rejected rows by reason.
      splits: examples by split.
      sources_also_in_train: by held-out split, sources that the training split has too.
      max_reject_share: share of rejected rows above which the run stops.
      files: the files read, in order.
      length_ratio: the length ratio that rows were compared with (`example_gen.max_length_ratio`); None for
        the golden set and for several spans.
      cleaning: the level of cleaning; empty: unknown.
      fixed: rows whose text was changed, by the correction (`fix_entities`), of those that no rule for single
        rows rejects.
      corpus: the name of the corpus; empty: it has none.
      left_out: training pairs that Transform leaves out because of other spans and corpora, by corpus and
        reason. They are among the accepted rows.
    """

    rows: int
    accepted: int
    duplicates: int = 0
    golden_removed: int = 0
    rejected: int = 0
    reasons: dict[str, int] = {}
    splits: dict[str, int] = {}
    sources_also_in_train: dict[str, int] = {}
    max_reject_share: float | None = None
    files: tuple[str, ...] = ()
    length_ratio: float | None = None
    cleaning: str = ""
    fixed: dict[str, int] = {}
    corpus: str = ""
    left_out: dict[str, dict[str, int]] = {}

    @classmethod
    def total(cls, summaries: Sequence[Summary]) -> Summary:
        """Returns the sums over the spans of a corpus."""

        def sums(counts_by_span: Iterable[Mapping[str, int]]) -> dict[str, int]:
            total: collections.Counter[str] = collections.Counter()
            for counts in counts_by_span:
                total.update(counts)
            return dict(total)

        return cls(
            rows=sum(span.rows for span in summaries),
            accepted=sum(span.accepted for span in summaries),
            duplicates=sum(span.duplicates for span in summaries),
            golden_removed=sum(span.golden_removed for span in summaries),
            rejected=sum(span.rejected for span in summaries),
            reasons=sums(span.reasons for span in summaries),
            splits=sums(span.splits for span in summaries),
            sources_also_in_train=sums(span.sources_also_in_train for span in summaries),
            max_reject_share=summaries[0].max_reject_share if summaries else None,
            files=tuple(path for span in summaries for path in span.files),
            length_ratio=summaries[0].length_ratio if len(summaries) == 1 else None,
            cleaning=summaries[0].cleaning if summaries else "",
            fixed=sums(span.fixed for span in summaries),
        )


class Rejects(Artifact):
    """Rows that did not become examples, in file order, with their reasons::

    rejects.jsonl.gz     {"file", "line", "reason", "detail", "text"} for each row, and
                         "numbered" if "line" is no line
    summary.json         {"rows", "accepted", "duplicates", "golden_removed", "reasons": {reason: count}, ...}
    """

    TYPE_NAME = "Rejects"
    FILES = ("rejects.jsonl.gz", "summary.json")
    NODE = "ExampleGen"

    @property
    def rows_file(self) -> Path:
        """The file of the rejected rows."""
        return self.path / "rejects.jsonl.gz"

    @property
    def has_summary(self) -> bool:
        """Whether the counts of all rows are on record. They are not if the run failed for the rejects."""
        return (self.path / "summary.json").is_file()

    def rows(self, limit: int | None = None, reasons: Container[str] | None = None) -> list[Reject]:
        """Reads the rejected rows, or those with some reasons, or the first `limit` of these.

        Raises:
          DataError: the file is missing or damaged.
        """
        rows = (row for row in self.each_row() if reasons is None or row.reason in reasons)
        return list(itertools.islice(rows, limit))

    def each_row(self) -> Iterator[Reject]:
        """Yields the rejected rows in order.

        Raises:
          DataError: the file is missing or damaged.
        """
        decode = msgspec.json.Decoder(Reject).decode
        with self.reporting_damage(self.rows_file):
            if not self.rows_file.stat().st_size:  # without rows, gzip still writes a header
                raise self.damaged(self.rows_file, "is damaged: it is empty")
            with self.rows_file.open("rb") as compressed, gzip.open(compressed, "rb") as lines:
                for line in lines:
                    yield decode(line)

    def write_rows(self, rows: Iterable[Reject]) -> None:
        """Writes the rejected rows."""
        self.path.mkdir(parents=True, exist_ok=True)
        with gzip_writer(self.rows_file) as file:
            for row in rows:
                text = json.dumps(msgspec.structs.asdict(row), ensure_ascii=False)
                # backslashreplace: bytes that are not UTF-8 arrive as lone surrogates.
                file.write(text.encode("utf-8", "backslashreplace") + b"\n")

    def summary(self) -> Summary:
        """Reads the counts.

        Raises:
          DataError: the file is missing or damaged.
        """
        return self.read_json(self.path / "summary.json", Summary)

    def write_summary(self, summary: Summary) -> None:
        """Writes the counts."""
        write_json(self.path / "summary.json", summary)
