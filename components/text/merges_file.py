"""Reads merges of byte-pair encoding: codes of subword-nmt, fairseq and fastBPE, and `merges.txt`."""

from __future__ import annotations

import itertools

from bitext.components.shared import file_kinds
from bitext.components.shared.display import path_text
from bitext.components.shared.errors import DataError
from bitext.components.text import WORD_BOUNDARY

END_OF_WORD = "</w>"
_BYTE_LEVEL = "\u00e2\u0122"
"""The merge of the bytes E2 80 in byte-level BPE, the first two of typographic punctuation."""
_REMEDY = "give a merges file of subword-nmt, fairseq or fastBPE, or a model of SentencePiece"
Rule = tuple[str, str]


def parse(content: bytes, path: str) -> tuple[Rule, ...]:
    """Returns the pairs that merge in the order of their rank, with U+2581 for the end of a word.

    Args:
      content: the bytes of the file.
      path: its path, for messages.

    Raises:
      DataError: the file is no merges file, or one that needs what bitext cannot do.
    """
    file_kinds.check_text(content[: file_kinds.HEAD_BYTES], path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path_text(path)} is neither a SentencePiece model nor UTF-8 text", _REMEDY
        ) from error
    if text.lstrip()[:1] == "{":
        raise DataError(
            f"{path_text(path)} is JSON (tokenizer.json or vocab.json of Hugging Face) and no merges file",
            "give the file merges.txt or the SentencePiece model (spiece.model, source.spm) beside it",
        )
    lines = [line.rstrip("\r") for line in text.rstrip("\n").split("\n")]
    skip = int(lines[0].startswith("#version"))
    numbered = list(enumerate(lines[skip:], skip + 1))
    _refuse_lists(numbered, path)
    rules = dict.fromkeys(_rule(number, line, path) for number, line in numbered)
    _refuse_other_kinds(rules, path)
    marked = (
        (a.replace(END_OF_WORD, WORD_BOUNDARY), b.replace(END_OF_WORD, WORD_BOUNDARY)) for a, b in rules
    )
    return tuple(rule for rule in marked if _can_occur(rule))


def _rule(number: int, line: str, path: str) -> Rule:
    """Returns the pair of a line `left right`, or `left right count` (fastBPE)."""
    parts = line.split(" ")
    if len(parts) == 3 and parts[2].isdecimal():
        parts.pop()
    if len(parts) != 2 or not all(parts):
        raise DataError(
            f"{path_text(path)}:{number}: a line must have two symbols and a space between them; received "
            f"{line[:80]!r}",
            _REMEDY,
        )
    return parts[0], parts[1]


def _refuse_lists(numbered: list[tuple[int, str]], path: str) -> None:
    """Raises DataError for a list of tokens, with or without their counts or scores."""
    first = [line.replace("\t", " ").split(" ") for _, line in itertools.islice(numbered, 20)]
    if len(first) > 1 and all(len(parts) == 1 for parts in first):
        raise DataError(
            f"{path_text(path)} is a list of tokens, one a line (vocab.txt of BERT), and no merges file",
            "give the codes or merges file, or the .model file of SentencePiece",
        )
    if first and all(len(parts) == 2 and _is_number(parts[1]) for parts in first):
        raise DataError(
            f"{path_text(path)} is a list of tokens with numbers (dict.txt of fairseq, .vocab of "
            "SentencePiece) and no merges file",
            "give the codes or merges file, or the .model file of SentencePiece",
        )


def _refuse_other_kinds(rules: dict[Rule, None], path: str) -> None:
    """Raises DataError for merges with another mark for the end of a word."""
    parts = {part for rule in rules for part in rule}
    if END_OF_WORD in parts:
        raise DataError(
            f"{path_text(path)} has the end of a word {END_OF_WORD} as a symbol of its own (subword-nmt "
            "0.1), which bitext cannot apply",
            "learn the codes again with subword-nmt 0.2 or later",
        )
    if any(a + b == _BYTE_LEVEL for a, b in rules):
        raise DataError(
            f"{path_text(path)} is byte-level BPE (CLIP, GPT-2), which bitext cannot apply", _REMEDY
        )
    if not any(part.endswith(END_OF_WORD) for part in parts):
        raise DataError(
            f"{path_text(path)} has no symbol that ends in {END_OF_WORD}: it is byte-level BPE (GPT-2, "
            "RoBERTa) or of another tokenizer, which bitext cannot apply",
            _REMEDY,
        )


def _can_occur(rule: Rule) -> bool:
    """Whether a word can have the pair: the end of a word is at the end only, and no part has white space."""
    text = "".join(rule)
    return WORD_BOUNDARY not in text[:-1] and not any(c.isspace() for c in text)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
