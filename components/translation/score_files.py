"""Scores the pairs of two files by forced decoding: `bitext score`."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

from bitext.components.shared.errors import DataError
from bitext.components.text.normalization import is_blank
from bitext.components.translation.forced_decoding import PairScore, exp_mean, score_pairs
from bitext.components.translation.parallel_text import (
    TextFile,
    check_equal_lengths,
    check_one_standard_input,
)
from bitext.components.translation.translator import LineTranslator

BLOCK_PAIRS = 2048
"""Pairs that are read and scored at once, which limits the memory."""
MAX_TARGET_BYTES = 16 * 1024
"""A longer target is refused: the logits of its tokens would not fit into the memory."""
SHOWN_SOURCES = 20
"""Number of sources that are too long, of which each has a warning. The others are counted."""


@dataclasses.dataclass
class Total:
    """The sums over the pairs that have text.

    Attributes:
      pairs: number of pairs.
      log_prob: sum of their log probabilities, in nats.
      length: sum of their target tokens, `</s>` included.
    """

    pairs: int = 0
    log_prob: float = 0.0
    length: int = 0

    def add(self, scores: Sequence[PairScore]) -> None:
        """Adds scores; those without a token are of blank pairs."""
        counted = [score for score in scores if score.length]
        self.pairs += len(counted)
        self.log_prob += math.fsum(score.log_prob for score in counted)
        self.length += sum(score.length for score in counted)

    @property
    def perplexity(self) -> float:
        """The perplexity per target token; NaN without tokens."""
        return exp_mean(self.log_prob, self.length) if self.length else math.nan


def score_files(
    translator: LineTranslator, source: TextFile, target: TextFile, warn: Callable[[str], None]
) -> Iterator[list[PairScore]]:
    """Yields the scores of the lines of two files, in blocks.

    A pair that is blank on both sides has a log probability and a length of 0. Files that can be read twice
    are checked as a whole before the first pair is scored.

    Args:
      translator: the model.
      source: the sources.
      target: the translation of each source.
      warn: prints one line about sources of which the model does not read the end.

    Raises:
      ConfigError: both files are standard input.
      DataError: a file cannot be read, the numbers of lines differ, or a target is too long.
    """
    check_one_standard_input([source, target])
    if all(file.path is not None and file.path.is_file() for file in (source, target)):
        for _ in _blocks(source, target):
            pass
    first_line, too_long, limit = 1, 0, translator.source_max_length or 0
    for block in _blocks(source, target):
        for index, length in enumerate(translator.total_lengths([pair[0] for pair in block])):
            if length > limit:
                too_long += 1
                if too_long <= SHOWN_SOURCES:
                    warn(
                        f"warning: {source.place(first_line + index)}: a source of {length:,} tokens is"
                        f" longer than the model reads ({limit:,}); its end is not read"
                    )
        yield _scores(translator, block)
        first_line += len(block)
    if too_long > SHOWN_SOURCES:
        warn(f"warning: {too_long:,} sources are longer than the model reads")


def _scores(translator: LineTranslator, block: list[tuple[bytes, bytes]]) -> list[PairScore]:
    scores = [PairScore(0.0, 0)] * len(block)
    filled = [i for i, pair in enumerate(block) if not all(is_blank(text.decode()) for text in pair)]
    for index, score in zip(filled, score_pairs(translator, [block[i] for i in filled]), strict=True):
        scores[index] = score
    return scores


def _blocks(source: TextFile, target: TextFile) -> Iterator[list[tuple[bytes, bytes]]]:
    """Yields the pairs of two files in blocks, and checks them.

    Raises:
      DataError: see `score_files`.
    """
    rows = itertools.zip_longest(*(itertools.chain.from_iterable(file.blocks()) for file in (source, target)))
    counts, is_blank_at_end = [0, 0], [False, False]
    while block := list(itertools.islice(rows, BLOCK_PAIRS)):
        pairs = [(a.encode(), b.encode()) for a, b in block if a is not None and b is not None]
        for number, (_, text) in enumerate(pairs, counts[1] + 1):
            if len(text) > MAX_TARGET_BYTES:
                raise DataError(
                    f"{target.place(number)}: a target of {len(text):,} bytes cannot be scored; the most is"
                    f" {MAX_TARGET_BYTES:,}",
                    "write one sentence a line, or remove the pair",
                )
        for side in range(2):
            lines = [row[side] for row in block if row[side] is not None]
            if lines:
                counts[side] += len(lines)
                is_blank_at_end[side] = not lines[-1].strip()
        yield pairs
    if not any(counts):
        raise source.empty()
    check_equal_lengths([source, target], counts, is_blank_at_end)
