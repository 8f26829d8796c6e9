"""Finds the value that was probably meant: another case, another name in the field, or a misspelling."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

OTHER_NAMES = {
    "bahdanau": "additive conditional", "concat": "additive", "mlp": "additive",
    "luong": "general", "multiplicative": "general", "bilinear": "general",
    "dotproduct": "dot", "scaleddot": "scaled", "scaleddotproduct": "scaled",
    "elman": "rnn", "simplernn": "rnn", "vanilla": "rnn",
    "bpe": "subword", "sentencepiece": "subword", "wordpiece": "subword", "unigram": "subword",
    "char": "character", "chars": "character",
    "noam": "inverse_sqrt", "rsqrt": "inverse_sqrt", "isqrt": "inverse_sqrt",
    "bf16": "bfloat16", "mixed": "bfloat16", "fp32": "float32", "single": "float32", "full": "float32",
    "tab": "tsv", "moses": "parallel", "plain": "parallel", "text": "parallel", "txt": "parallel",
    "chinese": "zh", "mecab": "ja-mecab", "japanese": "ja-mecab", "korean": "ko-mecab",
    "chrf++": "chrfpp", "chrf2": "chrf", "sacrebleu": "bleu",
    "warning": "warn", "error": "stop", "fail": "stop",
    "line": "by_line", "source": "by_source",
}  # fmt: skip
"""Values by another name that the field or another toolkit has for them, in the form of `_plain`. Of several
values, the first that is a choice counts."""
CUTOFF = 0.6


def similar(received: str, choices: Iterable[str]) -> str:
    """Returns the choice that was probably meant; empty: none is similar.

    Args:
      received: what was given.
      choices: the allowed values.
    """
    by_plain = {_plain(choice): choice for choice in choices}
    word = _plain(received)
    if word in by_plain:
        return by_plain[word]
    for other in OTHER_NAMES.get(word, "").split():
        if other in by_plain.values():
            return other
    # One word of several: `LSTM cell`, `linear decay`.
    parts = [part for part in map(_plain, re.split(r"[\s_.-]+", received)) if part in by_plain]
    if len(parts) == 1:
        return by_plain[parts[0]]
    close = difflib.get_close_matches(word, by_plain, n=1, cutoff=CUTOFF)
    return by_plain[close[0]] if close else ""


def did_you_mean(received: str, choices: Iterable[str]) -> str:
    """Returns `; did you mean lstm?` for the end of a message; empty: no choice is similar."""
    choice = similar(received, choices)
    return f"; did you mean {choice}?" if choice else ""


def _plain(name: str) -> str:
    """Returns a name in lower case, without blanks, hyphens and underscores."""
    return re.sub(r"[\s_-]", "", name.casefold())
