"""One side of the examples: its vocabulary, tokens and words."""

from __future__ import annotations

import dataclasses
from collections import Counter

from bitext.components.reporter.subwords.corpus import Ints, Pieces, Tokens, Words
from bitext.schemas import scripts


@dataclasses.dataclass(frozen=True)
class Side:
    """One side of all splits.

    Attributes:
      name: `source` or `target`.
      pieces: its vocabulary.
      tokens: its tokens by split.
      words: its words by split.
      uses: how often each id is used in the train split.
    """

    name: str
    pieces: Pieces
    tokens: dict[str, Tokens]
    words: dict[str, Words]
    uses: Ints

    def is_whole(self, split: str) -> bool:
        """Whether all sentences of a split are measured."""
        found = self.tokens.get(split)
        return found is None or found.sentences >= found.of

    def data(self, split: str) -> str:
        """The name of what is measured of a split, for labels: a part is not called by the split's name."""
        if self.is_whole(split):
            return split
        return f"the {self.tokens[split].sentences:,} measured {split} sentences"

    @property
    def has_words(self) -> bool:
        """Whether the script of most tokens divides words by blanks."""
        letters: Counter[str] = Counter()
        for text, uses in zip(self.pieces.texts, self.uses.tolist(), strict=True):
            if uses and text:
                letters[scripts.script_of(text[0])] += uses
        letters.pop(scripts.NONE, None)
        return not letters or scripts.counts_words(letters.most_common(1)[0][0])
