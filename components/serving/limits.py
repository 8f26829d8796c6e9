"""Checks the inputs of a signature against the limits, and against what the model can compute."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from bitext.components.seq2seq import MOST_LENGTH_PENALTY
from bitext.components.serving.errors import INVALID, RequestError
from bitext.components.serving.settings import Limits
from bitext.components.serving.signatures import Signature

_RANGES: dict[str, tuple[float, float]] = {
    "beam_size": (1, math.inf),
    "samples": (1, math.inf),
    "max_length": (1, math.inf),
    "length_penalty": (0, MOST_LENGTH_PENALTY),
    "temperature": (0, 1e3),
    "top_k": (0, math.inf),
    "top_p": (0, 1),
}
"""The scalar inputs of `translate_nbest` and `translate_sample`: what the model can compute."""
_TRANSLATIONS = ("beam_size", "samples")
"""The inputs that multiply the translations."""
_BYTES_OF_TEXT, _BYTES_OF_NUMBER = 3, 11
"""Bytes of quotes and a comma, and of a number with its comma, in an answer."""


def check_inputs(signature: Signature, inputs: Mapping[str, np.ndarray[Any, Any]], limits: Limits) -> None:
    """Checks the inputs of a signature.

    Raises:
      RequestError: the inputs have different numbers of rows; there are more rows, characters, translations
        or tokens than allowed; or a number is out of range. It names the input, what was received, and the
        limit.
    """
    of_inputs = signature.rows(inputs)
    if len(set(of_inputs.values())) > 1:
        counts = ", ".join(f"{name!r} {count:,}" for name, count in of_inputs.items())
        raise RequestError(INVALID, f"the inputs must have the same number of rows, received {counts}")
    rows = next(iter(of_inputs.values()), 1)
    if rows > limits.instances:
        raise RequestError(
            INVALID,
            f"{rows:,} instances are more than the limit of {limits.instances:,}; divide them into several"
            " requests",
        )
    for name, array in inputs.items():
        if array.dtype.kind == "O":
            check_texts(name, array.ravel().tolist(), limits)
        elif name in _RANGES and not array.ndim:
            _check_number(name, array.item(), limits)
    _check_tokens(inputs, rows, limits)


def check_texts(name: str, texts: list[bytes], limits: Limits) -> None:
    """Checks the length of texts.

    Raises:
      RequestError: one is too long.
    """
    for index, text in enumerate(texts):
        # A character has at most four bytes.
        if len(text) <= limits.characters:
            continue
        characters = len(text.decode("utf-8", "replace"))
        if characters > limits.characters:
            raise RequestError(
                INVALID,
                f"input {name!r}, text {index}: {characters:,} characters are more than the limit of"
                f" {limits.characters:,}; split it into sentences",
            )


def answer_bytes(outputs: Mapping[str, np.ndarray[Any, Any]]) -> int:
    """Estimates the size of the answer."""
    return sum(
        sum(len(text) for text in array.ravel().tolist()) + _BYTES_OF_TEXT * array.size
        if array.dtype.kind == "O"
        else _BYTES_OF_NUMBER * array.size
        for array in outputs.values()
    )


def _check_number(name: str, value: float, limits: Limits) -> None:
    lowest, highest = _RANGES[name]
    if name in _TRANSLATIONS:
        highest = limits.beam
    elif name == "max_length":
        highest = limits.length
    is_whole = isinstance(value, int)
    if lowest <= value <= highest and not (name == "top_p" and value == 0):
        return
    shown = str(value) if is_whole or not math.isfinite(value) else f"{value:g}"
    at_most = f" to {highest:,g}" if math.isfinite(highest) else " or more"
    at_least = "above 0" if name == "top_p" else f"{lowest:,g}"
    raise RequestError(INVALID, f"input {name!r} must be {at_least}{at_most}, received {shown}")


def _check_tokens(inputs: Mapping[str, np.ndarray[Any, Any]], rows: int, limits: Limits) -> None:
    """Checks the size of the answer, which the inputs multiply, and with it the time of the call."""
    if "target" in inputs and inputs["target"].dtype.kind == "O":
        longest = max((len(text.decode("utf-8", "replace")) for text in inputs["target"].tolist()), default=0)
        if rows * longest > limits.tokens:
            raise RequestError(
                INVALID,
                f"{rows:,} texts with an input 'target' of up to {longest:,} characters are more than the limit"
                f" of {limits.tokens:,} in all; ask for fewer",
            )
    factors = [name for name in (*_TRANSLATIONS, "max_length") if name in inputs and not inputs[name].ndim]
    if "max_length" not in factors:
        return
    tokens = rows
    for name in factors:
        tokens *= int(inputs[name])
    if tokens > limits.tokens:
        parts = " times ".join([f"{rows:,} texts", *(f"{name} {int(inputs[name]):,}" for name in factors)])
        raise RequestError(
            INVALID, f"{parts} are {tokens:,} tokens, more than the limit of {limits.tokens:,}; ask for fewer"
        )
