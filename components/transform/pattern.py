"""Checks the pattern of texts that stay whole."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bitext.components.shared.errors import ConfigError
from bitext.components.text import WORD_BOUNDARY

_SENTENCES = ("The cat sat on a mat.", "Кошка сидит дома.", "猫が座っている", "고양이가 앉아 있다")
"""A pattern that matches one of them as a whole would leave no text to learn subwords from."""


def check_pattern(pattern: str) -> None:
    """Raises ConfigError if TensorFlow cannot use a pattern, or if it leaves no text to split.

    pyarrow has the same library of regular expressions as TensorFlow (RE2) and is imported in less time.
    """
    if not pattern:
        return
    import pyarrow as pa
    import pyarrow.compute as pc

    probes = pa.array(["", *_SENTENCES])
    try:
        marked = pc.replace_substring_regex(probes, pattern, "\x01\\0\x02").to_pylist()
        whole = pc.match_substring_regex(probes, f"^(?:{pattern})$").to_pylist()
    except pa.ArrowInvalid as error:
        raise ConfigError(
            f"transform.whole_token_pattern: {pattern!r} is no regular expression of RE2: {error}",
            "correct it: RE2 has no look-ahead, look-behind or back-references",
        ) from error
    if any("\x01\x02" in text for text in marked):
        raise ConfigError(
            f"transform.whole_token_pattern: {pattern!r} matches the empty text", "use + in place of *"
        )
    for sentence, is_match in zip(_SENTENCES, whole[1:], strict=True):
        if is_match:
            raise ConfigError(
                f"transform.whole_token_pattern: {pattern!r} matches whole sentences, such as {sentence!r}",
                "write a pattern for placeholders, codes or addresses, such as [A-Z]+-[0-9]+",
            )


def no_match(pattern: str, vocabularies: Iterable[Path]) -> str:
    """Returns a warning if no piece of the vocabularies is a match of the pattern; else an empty text."""
    if not pattern:
        return ""
    import pyarrow as pa
    import pyarrow.compute as pc

    for file in vocabularies:
        pieces = pa.array(file.read_text(encoding="utf-8").replace(WORD_BOUNDARY, " ").split("\n"))
        if pc.any(pc.match_substring_regex(pieces, f"^(?:{pattern})$")).as_py():
            return ""
    return (
        f"no match of transform.whole_token_pattern {pattern!r} is twice in the training data: the text is"
        " normalized before, and lower-cased with `lowercase` or a vocabulary file with case folding (`_cf`)"
    )
