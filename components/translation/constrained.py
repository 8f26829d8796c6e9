"""Translates with constraints, by the signature `translate_constrained`.

This module imports no TensorFlow: a `LineTranslator` has loaded it.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from bitext.components.shared import errors, progress
from bitext.components.shared.parallel import parallel_map
from bitext.components.text import EOS_ID
from bitext.components.translation.constraints import ConstraintOptions, LineConstraints
from bitext.components.translation.detokenize import detokenize
from bitext.components.translation.lines import length_sorted_batches, one_line
from bitext.components.translation.translator import LineTranslator, Translation

SIGNATURE = "translate_constrained"


@dataclasses.dataclass(frozen=True)
class ScoredToken:
    """A token of a translation.

    Attributes:
      id: its id.
      text: what it adds to the text; empty for a part of a character.
      log_prob: its log probability.
    """

    id: int
    text: str
    log_prob: float


@dataclasses.dataclass(frozen=True)
class ScoredTranslation(Translation):
    """A translation with its tokens.

    Attributes:
      log_prob: its log probability.
      ids: its tokens, with `</s>` unless it was cut at the maximum length.
      log_probs: the log probability of each.
    """

    log_prob: float
    ids: list[int]
    log_probs: list[float]

    @property
    def is_finished(self) -> bool:
        """Whether it ends by itself, and not because of the maximum length."""
        return not self.ids or self.ids[-1] == EOS_ID


@dataclasses.dataclass(frozen=True)
class Sentence:
    """A sentence to translate.

    Attributes:
      text: UTF-8.
      line: number of its line, from 1.
      constraints: those of its line.
    """

    text: bytes
    line: int
    constraints: LineConstraints


class ConstrainedTranslator:
    """Translates with constraints.

    Args:
      translator: the model and the search.
      options: the constraints that are numbers.

    Raises:
      errors.DataError: the model has no signature for it.
    """

    def __init__(self, translator: LineTranslator, options: ConstraintOptions):
        if not translator.has(SIGNATURE):
            raise errors.DataError(
                f"the model at {translator.path} translates without constraints only: an earlier version of"
                " bitext exported it",
                "train and push it again with this version, or leave the constraints out",
            )
        self.translator, self.options = translator, options

    def translate(self, sentences: Sequence[Sentence]) -> list[list[ScoredTranslation]]:
        """Returns the `nbest` translations of each sentence, best first; none if none meets the constraints.

        Raises:
          errors.ConfigError: the model refuses the constraints of a line.
          errors.DataError: the model is damaged.
          errors.EnvironmentFault: there is not enough memory for a batch.
        """
        results: list[list[ScoredTranslation]] = [[]] * len(sentences)
        lengths = [len(sentence.text) for sentence in sentences]
        inputs = self.translator.nbest_inputs
        most = self.translator.most_lines(self._beam_size, int(inputs["max_length"]))
        whole = length_sorted_batches(lengths, min(self.translator.batch_size, most))
        batches = [part for batch in whole for part in self._divided(sentences, batch)]
        outputs = parallel_map(lambda batch: self._batch([sentences[i] for i in batch]), batches)
        for batch, output in zip(batches, outputs, strict=True):
            for index, translations in zip(batch, output, strict=True):
                results[index] = translations
        return results

    def _divided(self, sentences: Sequence[Sentence], batch: Sequence[int]) -> list[Sequence[int]]:
        """Divides a batch whose banned phrases are above the limits of a request."""
        phrases = {phrase for index in batch for phrase in sentences[index].constraints.ban}
        longest = max((len(phrase.encode()) for phrase in phrases), default=0)
        work = len(batch) * self._beam_size * (len(phrases) + 1) * (longest + 1)
        is_too_much = len(phrases) > self.translator.limit("banned") or work > self.translator.limit("tokens")
        if len(batch) < 2 or not is_too_much:
            return [batch]
        middle = len(batch) // 2
        return [part for half in (batch[:middle], batch[middle:]) for part in self._divided(sentences, half)]

    @functools.cached_property
    def _beam_size(self) -> int:
        return int(self.translator.nbest_inputs["beam_size"])

    def _batch(self, sentences: Sequence[Sentence]) -> list[list[ScoredTranslation]]:
        """Translates a batch. A refusal names the line."""
        try:
            outputs = self.translator.call(SIGNATURE, **self._inputs(sentences))
        except errors.ConfigError as error:
            if len(sentences) > 1:
                return [self._batch([sentence])[0] for sentence in sentences]
            raise errors.ConfigError(
                f"line {sentences[0].line:,}: {error}",
                "correct its constraints, or stay below the limit that is named",
            ) from error
        progress.count(len(sentences))
        return [self._translations(outputs, row) for row in range(len(sentences))]

    def _inputs(self, sentences: Sequence[Sentence]) -> dict[str, Any]:
        """Returns the inputs of the signature."""
        options, factor = self.options, self.options.max_length_factor
        if factor is None:
            factor = int(self.translator.info["max_length_factor"])
        constraints = [sentence.constraints for sentence in sentences]
        numbers = {name: value.numpy() for name, value in self.translator.nbest_inputs.items()}
        return numbers | {
            "text": self.translator.cut([sentence.text for sentence in sentences]),
            "prefix": [each.prefix.encode() for each in constraints],
            "required": _rows([each.require for each in constraints]),
            "banned": _rows([each.ban for each in constraints]),
            "no_repeat_ngram": np.int32(options.no_repeat_ngram),
            "repetition_penalty": np.float32(options.repetition_penalty),
            "max_length_factor": np.int32(factor),
        }

    def _translations(self, outputs: dict[str, Any], row: int) -> list[ScoredTranslation]:
        """Returns the translations of a sentence; of equal texts the best."""
        best: dict[str, ScoredTranslation] = {}
        for rank in np.flatnonzero(outputs["meets_constraints"][row])[: self.translator.search.nbest]:
            length, text = int(outputs["length"][row, rank]), one_line(outputs["text"][row, rank])
            found = ScoredTranslation(
                text=text,
                score=float(outputs["score"][row, rank]),
                log_prob=float(outputs["log_prob"][row, rank]),
                ids=outputs["tokens"][row, rank, :length].tolist(),
                log_probs=outputs["token_log_probs"][row, rank, :length].tolist(),
            )
            best.setdefault(text, found)
        return list(best.values())

    def tokens(self, translation: ScoredTranslation) -> list[ScoredToken]:
        """Returns the tokens of a translation with what each adds to its text."""
        ids, before = np.array(translation.ids, np.int32), ""
        tokens: list[ScoredToken] = []
        beginnings = np.tril(np.broadcast_to(ids, (len(ids), len(ids))))
        texts = detokenize(self.translator, beginnings)
        for number, log_prob, beginning in zip(translation.ids, translation.log_probs, texts, strict=True):
            text = beginning.decode("utf-8", "replace")
            # A part of a character is U+FFFD until the next token completes it.
            is_whole = len(tokens) + 1 == len(ids) or not text.endswith("\ufffd")
            added = text[len(before) :] if is_whole and text.startswith(before) else ""
            before = text if added else before
            tokens.append(ScoredToken(number, added, log_prob))
        return tokens


def _rows(phrases: Sequence[Sequence[str]]) -> Any:
    """Returns phrases as an array of byte strings, each row padded with empty ones."""
    columns = max(1, *map(len, phrases))
    return [[*(text.encode() for text in row), *[b""] * (columns - len(row))] for row in phrases]
