"""Converts target tokens to text with the signature `detokenize`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from bitext.components.translation.translator import LineTranslator


def detokenize(translator: LineTranslator, tokens: np.ndarray) -> list[bytes]:
    """Returns the texts of tokens int32[N, T], padded with 0, in as many calls as the model's limits need.

    Raises:
      errors.DataError: the model has no such signature, or is damaged.
      errors.EnvironmentFault: there is not enough memory.
    """
    most = max(1, min(translator.limit("hypotheses"), translator.limit("tokens") // max(1, tokens.shape[1])))
    parts = [tokens[start : start + most] for start in range(0, len(tokens), most)]
    return [text for part in parts for text in translator.call("detokenize", tokens=part)["text"].tolist()]
