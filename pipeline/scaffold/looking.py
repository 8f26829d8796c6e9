"""Looks at the first rows of a corpus: lengths, scripts, rejected rows, and pairs to show."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bitext.components.component import Parameters as BaseParameters
from bitext.components.example_gen import Parameters, preview
from bitext.components.example_gen.filters import REASONS, SKIPPED, Filtered, filter_rows
from bitext.components.example_gen.sources import find_source_files, read_rows
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError
from bitext.components.shared.language_identification import count_languages
from bitext.components.shared.spacing import spaced_indices
from bitext.schemas import scripts

SAMPLE_ROWS = 200_000
"""Rows of each file that are looked at."""
SHOWN_PAIRS, SHOWN_REJECTS, SHOWN_CHARACTERS, SHOWN_FILES = 10, 3, 100, 5
SAMPLE_TEXTS = 2_000
_MOST_FAULTS = 0.05
"""The default of `max_reject_share`."""
TEXTS_OF_FILE = 200
"""Texts of each file whose language is identified, to compare the directions of files."""


@dataclasses.dataclass
class Side:
    """One side of the rows that were looked at.

    Attributes:
      median, most: the median and the 95th percentile of the lengths, in characters.
      script: the script of most words.
      languages: number of texts by language; that of undecided texts is empty.
      in_words: script and languages with their shares.
    """

    median: int
    most: int
    script: str
    languages: Counter[str]
    in_words: str


@dataclasses.dataclass
class Look:
    """What the first rows of a corpus look like.

    Attributes:
      rows: rows that were looked at.
      is_whole: whether these are all rows.
      sides: source and target; None: no row can be used.
      pairs: pairs to show, spread over the rows.
      reasons: number of rejected rows by reason.
      rejects: some rejected rows: `file:line: reason (detail)`.
      blank: rejected rows without a text on either side.
      directions: by file, the languages of source and target that are identified; empty: undecided.
    """

    rows: int
    is_whole: bool
    sides: tuple[Side, Side] | None
    pairs: list[tuple[str, str]]
    reasons: Counter[str]
    rejects: list[str]
    blank: int = 0
    directions: dict[str, tuple[str, str]] = dataclasses.field(default_factory=dict)


def look_at(parameters: BaseParameters) -> Look:
    """Reads the first rows of each file.

    Raises:
      DataError: a file cannot be read.
    """
    if not isinstance(parameters, Parameters):
        raise TypeError(f"the parameters of ExampleGen are needed; received {type(parameters)}")
    rows, is_whole = 0, True
    sources: list[pa.Array] = []
    targets: list[pa.Array] = []
    reasons: Counter[str] = Counter()
    rejects: list[str] = []
    directions, blank = {}, 0
    for file in find_source_files(parameters):
        of_file, before = 0, len(sources)
        for block in read_rows(file, parameters):
            filtered = filter_rows(block, parameters, parameters.cleaning)
            of_file += len(block.line)
            for row in np.flatnonzero(filtered.reason).tolist():
                reason = REASONS[filtered.reason[row] - 1]
                reasons[reason] += 1
                if reasons[reason] <= SHOWN_REJECTS:
                    where = f"{path_text(file.path)}:{block.line[row]}"
                    rejects.append(f"{where}: {reason} ({filtered.details[row]})")
            blank += _blank(filtered)
            accepted = pa.array(filtered.accepted())
            sources.append(filtered.source.take(accepted))
            targets.append(filtered.target.take(accepted))
            if of_file >= SAMPLE_ROWS:
                is_whole = False
                break
        rows += of_file
        directions[file.path] = (_language(sources[before:]), _language(targets[before:]))
    none = pa.array([], pa.string())
    source, target = (pa.concat_arrays([none, *side]) for side in (sources, targets))
    if not len(source):
        return Look(rows, is_whole, None, [], reasons, rejects, blank, directions)
    shown = spaced_indices(len(source), SHOWN_PAIRS)
    pairs = [(source[i].as_py(), target[i].as_py()) for i in shown.tolist()]
    return Look(rows, is_whole, (_side(source), _side(target)), pairs, reasons, rejects, blank, directions)


def _blank(filtered: Filtered) -> int:
    """The number of rows that are rejected because they have no text on either side."""
    is_blank = pc.and_(pc.equal(filtered.source, ""), pc.equal(filtered.target, ""))
    mask = is_blank.to_numpy(zero_copy_only=False) & (filtered.reason == 1 + REASONS.index("empty_side"))
    return int(np.count_nonzero(mask))


def _language(blocks: list[pa.Array]) -> str:
    """The language of some texts, spread over the blocks; empty: undecided."""
    texts = pa.concat_arrays([pa.array([], pa.string()), *blocks])
    if not len(texts):
        return ""
    return preview.dominant_language(count_languages(texts.take(spaced_indices(len(texts), TEXTS_OF_FILE))))


def _side(texts: pa.Array) -> Side:
    lengths = pc.utf8_length(texts).to_numpy(zero_copy_only=False)
    sample = texts.take(spaced_indices(len(texts), SAMPLE_TEXTS))
    found = count_languages(sample)
    median, most = np.percentile(lengths, [50, 95]).astype(int).tolist()
    script = scripts.dominant_script(sample.to_pylist())
    return Side(median, most, script, found, preview.in_words(sample, found))


def in_words(look: Look) -> list[str]:
    """Returns what was seen, as lines."""
    first = "" if look.is_whole else ", the first of each file"
    lines = [f"rows      {look.rows:,}{first}"]
    if look.sides is None:
        lines.append("pairs     none that can be used")
    else:
        for name, side in zip(("source", "target"), look.sides, strict=True):
            lines.append(f"{name}    {side.in_words}; {side.median} characters, 95 % at most {side.most}")
    counts = ", ".join(f"{reason} {count:,}" for reason, count in look.reasons.most_common())
    if counts:
        lines.append(f"rejected  {look.reasons.total():,} rows: {counts}")
        lines += [f"    {row}" for row in look.rejects]
    lines += [f"WARNING   {warning}" for warning in warnings(look)]
    if look.pairs:
        lines.append("pairs")
        for source, target in look.pairs:
            lines += [f"    {_cut(source)}", f"        {_cut(target)}"]
    return lines


def warnings(look: Look) -> list[str]:
    """Returns what looks wrong."""
    found = []
    usable = look.rows - look.reasons.total()
    if look.sides is not None:
        source, target = look.sides
        if same := preview.same_language(source.languages, target.languages):
            found.append(same)
    if share := reject_share(look):
        found.append(
            f"{look.blank:,} rows are blank; the configuration lets them pass: max_reject_share {share}"
        )
    elif _faults(look) > _MOST_FAULTS * look.rows:
        found.append("a run stops if more than 5 % of the rows cannot be used (example_gen.max_reject_share)")
    if look.is_whole and usable < 1000:
        found.append(f"{usable:,} pairs are too few to train on; 10,000 give a first model")
    return found


def _faults(look: Look) -> int:
    return sum(count for reason, count in look.reasons.items() if reason not in SKIPPED)


def reject_share(look: Look) -> float:
    """Returns the `max_reject_share` that blank rows need, as spreadsheets write them at the end; 0: none."""
    faults = _faults(look)
    read = look.rows - look.reasons.total() + faults
    if not look.is_whole or faults <= _MOST_FAULTS * read:
        return 0
    if faults - look.blank > _MOST_FAULTS * (read - look.blank):
        return 0
    return math.ceil(100 * faults / read) / 100


def reversed_files(directions: Mapping[str, tuple[str, str]]) -> list[str]:
    """Returns a warning if files are the reverse of the first whose languages are known, as lines."""
    known = {path: pair for path, pair in directions.items() if all(pair) and pair[0] != pair[1]}
    if not known:
        return []
    first, (source, target) = next(iter(known.items()))
    others = [path for path, pair in known.items() if pair == (target, source)]
    if not others:
        return []
    names = ", ".join(map(path_text, others[:SHOWN_FILES]))
    more = f" and {len(others) - SHOWN_FILES:,} more" if len(others) > SHOWN_FILES else ""
    return [
        f"WARNING   {path_text(first)} is {source} to {target}, and {target} to {source} is {names}{more}:"
        " exchange the sides of one (source_column and target_column, or the files),"
        " in a corpus of its own (example_gen.corpora)"
    ]


def check_pairs(look: Look) -> None:
    """Checks that a row can be used.

    Raises:
      DataError: none can, so that a configuration would read nothing.
    """
    if look.sides is not None:
        return
    counts = (
        ", ".join(f"{reason} {count:,}" for reason, count in look.reasons.most_common()) or "there are none"
    )
    example = f"; {look.rejects[0]}" if look.rejects else ""
    remedy = "name a file with a source and a target in each row, or correct this one"
    if look.reasons["missing_language"] + look.reasons["other_variant"]:
        remedy = "name the languages that the file has with --source and --target"
    names = ", ".join(map(path_text, list(look.directions)[:SHOWN_FILES]))
    raise DataError(f"{names}: none of {look.rows:,} rows can be used: {counts}{example}", remedy)


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]} ..."
