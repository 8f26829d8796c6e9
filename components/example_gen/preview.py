"""Shows a person what was read: some pairs, and the scripts and languages of both sides with their shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from bitext.components.artifacts import Examples
from bitext.components.example_gen.cleaning import languages
from bitext.components.example_gen.cleaning.texts import Texts
from bitext.components.shared import tfrecord
from bitext.components.shared.display import isolate
from bitext.schemas import scripts

SAMPLE_ROWS = 2000
BLOCK_ROWS = 20_000
SHOWN_PAIRS = 3
SHOWN_CHARACTERS = 100
CONFIDENCE = 0.5
"""The language of a text is undecided with less confidence (of lid.176)."""
SAME_SHARE = 0.8
"""Both sides are taken for one language if it has this share of the decided texts of each."""
LEAST_DECIDED = 20
SIDES = ("source", "target")


def lines(examples: Examples, splits: tuple[str, ...], pairs: int = SHOWN_PAIRS) -> Iterator[str]:
    """Yields lines about the examples: languages, a warning if both sides are in one, and pairs.

    Args:
      examples: the examples.
      splits: the splits to look at; the first with an example is taken.
      pairs: number of pairs to show.
    """
    files = [path for split in splits for path in examples.files(split)]
    batches = (
        [tfrecord.string_column(batch, side, path) for side in SIDES]
        for path in files
        for batch in tfrecord.read_record_batches(path, BLOCK_ROWS)
        if batch.num_rows
    )
    columns = next(batches, None)
    if columns is None:
        return
    sides = [column.take(spread(len(column), SAMPLE_ROWS)) for column in columns]
    found = [languages_of(side) for side in sides]
    yield "; ".join(f"{name} {in_words(side, f)}" for name, side, f in zip(SIDES, sides, found, strict=True))
    if warning := same_language(*found):
        yield f"warning: {warning}"
    for source, target in zip(*(column.take(spread(len(column), pairs)) for column in columns), strict=True):
        yield f"  {_shown(source.as_py())}"
        yield f"      {_shown(target.as_py())}"


def spread(size: int, count: int) -> pa.Array:
    """Indices of at most `count` of `size` rows, spread evenly."""
    return pa.array(np.linspace(0, size - 1, min(size, count)).astype(np.int64))


def languages_of(texts: pa.Array) -> Counter[str]:
    """The number of texts by language; the language of undecided texts is empty.

    Args:
      texts: string[N].
    """
    codes = languages.identify(Texts(texts), CONFIDENCE)
    values, counts = np.unique(codes, return_counts=True)
    return Counter(dict(zip(map(languages.name_of, values.tolist()), counts.tolist(), strict=True)))


def in_words(texts: pa.Array, found: Counter[str]) -> str:
    """Returns script and language of texts with shares: `Latin script 100 %, en 97 % (3 % undecided)`."""
    listed = texts.to_pylist()
    script = scripts.dominant_script(listed)
    of_script = sum(scripts.dominant_script([text]) == script for text in listed)
    words = f"{script} script {_percent(of_script, len(listed))}"
    decided = [(name, count) for name, count in found.most_common() if name]
    if not decided:
        return f"{words}, language undecided"
    name, count = decided[0]
    words += f", {name} {_percent(count, found.total())}"
    others = sum(other for _, other in decided[1:])
    more = {"other": others, "undecided": found[""]}
    rest = [f"{_percent(number, found.total())} {what}" for what, number in more.items() if number]
    return words + (f" ({', '.join(rest)})" if rest else "")


def same_language(source: Counter[str], target: Counter[str]) -> str:
    """Returns that both sides are in one language, or an empty text."""
    tops = []
    for found in (source, target):
        decided = found.total() - found[""]
        name, count = max(((n, c) for n, c in found.items() if n), key=lambda item: item[1], default=("", 0))
        if decided < LEAST_DECIDED or count < SAME_SHARE * decided:
            return ""
        tops.append(name)
    if tops[0] != tops[1]:
        return ""
    return f"both sides are {tops[0]}: check source_column and target_column, or the files"


def _percent(count: int, total: int) -> str:
    share = 100 * count / total
    return f"{share:.1f} %" if 99 < share < 100 or 0 < share < 1 else f"{share:.0f} %"


def _shown(text: str) -> str:
    return isolate(text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]} ...")
