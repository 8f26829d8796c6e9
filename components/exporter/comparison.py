"""Compares greedy search in a converted model, in its runtime, with that of the SavedModel, token by token.

Up to the first token that differs, both have read the same tokens, so their log probabilities are comparable.
A token may differ where the SavedModel's two best tokens are equally probable up to rounding: a *tie*.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import msgspec
import numpy as np

from bitext.components.seq2seq import length_bound
from bitext.components.seq2seq.export.token_graphs import NEXT, Run
from bitext.components.seq2seq.model import BOS, EOS, PAD
from bitext.components.translation.detokenize import detokenize
from bitext.components.translation.translator import LineTranslator

TOLERANCE = 1e-3
"""The largest allowed difference of a log probability, and of those of the two best tokens of a tie."""
BATCH_SIZE = 64


class TokenComparison(msgspec.Struct, frozen=True):
    """How a converted model differs from the SavedModel.

    Attributes:
      sentences: number of sentences that both translated.
      tokens: number of tokens that were compared.
      ties: number of sentences with another token where the SavedModel's two best log probabilities differ by
        less than the tolerance.
      different_sentences: number of sentences with another token for which there is no such reason.
      largest_difference: the largest difference of a log probability of any token of the vocabulary.
      tolerance: the largest difference that is allowed.
    """

    sentences: int
    tokens: int
    ties: int
    different_sentences: int
    largest_difference: float
    tolerance: float = TOLERANCE

    @property
    def is_equal(self) -> bool:
        """Whether the converted model computes what the SavedModel does."""
        return self.different_sentences == 0 and self.largest_difference <= self.tolerance

    def __str__(self) -> str:
        equal = self.sentences - self.ties - self.different_sentences
        ties = f", a tie in {self.ties:,}" if self.ties else ""
        return (
            f"greedy search finds the same tokens in {equal:,} of {self.sentences:,} sentences{ties} "
            f"({self.tokens:,} tokens); log probabilities differ by at most {self.largest_difference:.1e}"
        )


@dataclasses.dataclass(frozen=True)
class Compared:
    """The comparison, and the translations of both models."""

    comparison: TokenComparison
    translations: list[str]
    original: list[str]


def compare(
    original: LineTranslator, run: Run, sources: Sequence[str], min_length: int, max_length: int
) -> Compared:
    """Compares greedy search in a converted model with that of the SavedModel.

    A blank sentence has an empty translation, and no tokens are compared.

    Args:
      original: the SavedModel.
      run: calls the graphs of the converted model.
      sources: the sentences.
      min_length: minimum number of tokens of a translation, `</s>` included.
      max_length: maximum number of tokens.
    """
    size = min(BATCH_SIZE, original.most_lines(1, max_length))
    batches, texts, original_texts = [], list[str](), list[str]()
    for first in range(0, len(sources), size):
        text = [source.encode() for source in sources[first : first + size]]
        batch = _Batch(original, run, text, min_length, max_length)
        batches.append(batch)
        for tokens, its_texts in ((batch.found, texts), (batch.expected, original_texts)):
            its_texts += [each.decode() for each in detokenize(original, tokens)]
    comparison = TokenComparison(
        len(sources),
        sum(batch.tokens for batch in batches),
        sum(int(batch.is_tie.sum()) for batch in batches),
        sum(int(batch.is_different.sum()) for batch in batches),
        float(np.max([batch.largest_difference for batch in batches], initial=0.0)),  # NaN remains
    )
    return Compared(comparison, texts, original_texts)


class _Batch:
    """Greedy search for a batch of sentences in both models.

    Attributes:
      expected: int32[B, T], the tokens of the SavedModel's search, padded with 0.
      found: int32[B, U], the tokens of the converted model's search, padded with 0.
      is_tie: bool[B], whether the first other token of a sentence is a tie.
      is_different: bool[B], whether a sentence has another token without such a reason.
      tokens: number of compared tokens.
      largest_difference: of a log probability, at the steps before which the tokens are equal.
    """

    def __init__(
        self, original: LineTranslator, run: Run, text: list[bytes], min_length: int, max_length: int
    ):
        self._original, self._run, self._min_length = original, run, min(min_length, max_length)
        options = {
            "beam_size": np.int32(1),
            "length_penalty": np.float32(0),
            "max_length": np.int32(max_length),
        }
        searched = original.call("translate_nbest", text=text, **options)
        tokens, lengths = searched["tokens"][:, 0], searched["length"][:, 0]
        self.expected = np.where(np.arange(tokens.shape[1]) < lengths[:, np.newaxis], tokens, PAD)
        self.is_tie, self.is_different = np.zeros([2, len(text)], bool)
        self.tokens, self.largest_difference = 0, 0.0
        tokenized = original.call("tokenize", text=text)
        self._state = run("encode_tokens", tokenized)
        self._reference = original.call("encode", text=text)
        self.found = self._search(self._bounds(tokenized["length"], max_length))

    def _bounds(self, source_lengths: np.ndarray, max_length: int) -> np.ndarray:
        """Returns the maximum number of tokens int32[B] of each translation; 0 for a blank sentence."""
        bounds = np.full_like(source_lengths, max_length)
        if factor := int(self._original.info["max_length_factor"]):
            longest = np.maximum(length_bound(factor, source_lengths), self._min_length)
            bounds = np.minimum(longest, max_length)
        return np.where(source_lengths > 1, bounds, 0)

    def _search(self, bounds: np.ndarray) -> np.ndarray:
        """Searches greedily in the converted model, and compares every step. Returns `found`."""
        is_open = bounds > 0
        token, found = np.full(len(bounds), BOS, np.int32), [np.zeros(len(bounds), np.int32)]
        while is_open.any():
            step = len(found)
            log_probs, reference = self._step(token)
            forbidden = [PAD, BOS] if step >= self._min_length else [PAD, BOS, EOS]
            masked = log_probs.copy()
            masked[:, forbidden] = -np.inf
            token = np.where(is_open, masked.argmax(-1), PAD).astype(np.int32)
            self._compare_step(step - 1, token, is_open, log_probs, reference)
            found.append(token)
            is_open = is_open & (token != EOS) & (step < bounds)
        tokens = np.stack(found[1:] or found, 1)
        has_other_length = (tokens != PAD).sum(1) != (self.expected != PAD).sum(1)
        self.is_different |= has_other_length & ~self.is_tie
        return tokens

    def _step(self, token: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads tokens int32[B]. Returns the log probabilities float32[B, V] of both models."""
        outputs = self._run("decode_step", self._state | {"token": token})
        self._state |= {name.removeprefix(NEXT): v for name, v in outputs.items() if name.startswith(NEXT)}
        reference = self._original.call("decode_step", token=token, **self._reference)
        self._reference |= {name: value for name, value in reference.items() if name in self._reference}
        return outputs["log_probs"], reference["log_probs"]

    def _compare_step(
        self,
        step: int,
        token: np.ndarray,
        is_open: np.ndarray,
        log_probs: np.ndarray,
        reference: np.ndarray,
    ) -> None:
        """Compares a step for the sentences whose tokens were equal until then."""
        [rows] = np.nonzero(is_open & ~self.is_tie & ~self.is_different)
        self.tokens += len(rows)
        difference = np.abs(log_probs[rows] - reference[rows]).max(initial=0.0)
        self.largest_difference = float(np.maximum(self.largest_difference, difference))
        has_step = step < self.expected.shape[1]
        expected = self.expected[rows, step] if has_step else np.full(len(rows), PAD)
        gap = np.abs(reference[rows, expected] - reference[rows, token[rows]])
        differs = token[rows] != expected
        is_tie = differs & (expected != PAD) & (gap < TOLERANCE)
        self.is_tie[rows] |= is_tie
        self.is_different[rows] |= differs & ~is_tie
