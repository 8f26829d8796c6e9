"""Shows a person what was read: some pairs, and the scripts and languages of both sides with their shares."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
from tfx_bsl.coders import example_coder

from bitext.components.artifacts import Examples
from bitext.components.shared import directions, tfrecord
from bitext.components.shared.display import excerpt
from bitext.components.shared.language_identification import count_languages
from bitext.components.shared.spacing import spaced_indices
from bitext.schemas import scripts

SAMPLE_ROWS = 2000
LOOKED_AT = 200_000
BLOCK_ROWS = 10_000
SHOWN_PAIRS = 3
SAME_SHARE = 0.8
"""A side is in a language if at least this share of its decided texts is."""
LEAST_DECIDED = 20


@dataclasses.dataclass(frozen=True)
class Preview:
    """What a person should see of examples.

    Attributes:
      lines: languages, a warning if both sides are in one, and pairs.
      direction: the languages of both sides.
    """

    lines: list[str]
    direction: directions.Direction = ("", "")


def look(examples: Examples, sizes: Mapping[str, int], pairs: int = SHOWN_PAIRS) -> Preview:
    """Looks at examples.

    Args:
      examples: the examples.
      sizes: number of examples by split; the first split with an example is looked at.
      pairs: number of pairs to show.
    """
    split = next((name for name, size in sizes.items() if size), None)
    if split is None:
        return Preview([])
    source, target = _sample(examples.files(split)[0], sizes[split])
    found = [count_languages(side) for side in (source, target)]
    words = [in_words(side, f) for side, f in zip((source, target), found, strict=True)]
    lines = [f"source {words[0]}; target {words[1]}"]
    if warning := same_language(*found):
        lines.append(f"warning: {warning}")
    for row in spaced_indices(len(source), pairs).tolist():
        lines += [f"  {excerpt(source[row].as_py())}", f"      {excerpt(target[row].as_py())}"]
    return Preview(lines, (dominant_language(found[0]), dominant_language(found[1])))


def _sample(path: Path, size: int) -> tuple[pa.Array, pa.Array]:
    """The sources and the targets of rows that are spread over the first `LOOKED_AT` rows of a file.

    Args:
      path: the file.
      size: number of examples of its split, which the file may share with other files.
    """
    step = max(1, min(size, LOOKED_AT) // SAMPLE_ROWS)
    records: list[bytes] = []
    first = 0
    for block in tfrecord.read_records(path, BLOCK_ROWS):
        records += block[-first % step :: step]
        first += len(block)
        if first >= LOOKED_AT:
            break
    batch = example_coder.ExamplesToRecordBatchDecoder(None).DecodeBatch(records)
    source, target = (tfrecord.string_column(batch, side, path) for side in ("source", "target"))
    return source, target


def in_words(texts: pa.Array, found: Counter[str]) -> str:
    """Returns script and language with their shares: `Latin script 100 %, en 97 % (30 % undecided)`.

    The share of the language is that of the decided texts. Short texts are undecided.
    """
    listed = texts.to_pylist()
    script = scripts.dominant_script(listed)
    of_script = sum(scripts.dominant_script([text]) == script for text in listed)
    words = f"{script} script {_percent(of_script, len(listed))}"
    decided = found.total() - found[""]
    if not decided:
        return f"{words}, language undecided"
    name, count = max(((n, c) for n, c in found.items() if n), key=lambda item: item[1])
    undecided = f" ({_percent(found[''], found.total())} undecided)" if found[""] else ""
    return f"{words}, {name} {_percent(count, decided)}{undecided}"


def dominant_language(found: Counter[str]) -> str:
    """Returns the language of most of the decided texts; empty if there is none, or too few are decided."""
    decided = found.total() - found[""]
    name, count = max(((n, c) for n, c in found.items() if n), key=lambda item: item[1], default=("", 0))
    return name if decided >= LEAST_DECIDED and count >= SAME_SHARE * decided else ""


def same_language(source: Counter[str], target: Counter[str]) -> str:
    """Returns that both sides are in one language, or an empty text."""
    name = dominant_language(source)
    if not name or name != dominant_language(target):
        return ""
    return f"both sides are {name}: check source_column and target_column, or the files"


def _percent(count: int, total: int) -> str:
    share = 100 * count / total
    return f"{share:.1f} %" if 99 < share < 100 or 0 < share < 1 else f"{share:.0f} %"
