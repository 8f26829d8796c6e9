"""A converted model is compared with the SavedModel; here the SavedModel itself plays the converted one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest

from bitext.components.exporter.comparison import TOLERANCE, TokenComparison, compare
from bitext.components.seq2seq.export.token_graphs import NEXT
from bitext.components.translation.translator import LineTranslator
from tests.components.small_export import LINES, MAX_LENGTH, SEARCH, Export

SOURCES = [line.decode(errors="replace") for line in LINES]
Arrays = Mapping[str, np.ndarray]


class Converted:
    """Runs the signatures as a converted model does. Subclasses change what it computes."""

    def __init__(self, export: Export):
        self.export, self.steps = export, 0

    def __call__(self, name: str, inputs: Arrays) -> dict[str, np.ndarray]:
        read = self.export.loaded.signatures[name].structured_input_signature[1]
        outputs = self.export(name, **{key: inputs[key] for key in read})
        if name == "encode_tokens":
            return self.encoded(outputs)
        self.steps += 1
        outputs["log_probs"] = self.stepped(outputs["log_probs"].copy())
        return {NEXT + key if key in read else key: value for key, value in outputs.items()}

    def encoded(self, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return outputs

    def stepped(self, log_probs: np.ndarray) -> np.ndarray:
        return log_probs


class Reversed(Converted):
    """The encoder's outputs are in the opposite order."""

    def encoded(self, outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return outputs | {"memory": outputs["memory"][:, ::-1].copy()}


class NoNumbers(Converted):
    def stepped(self, log_probs: np.ndarray) -> np.ndarray:
        log_probs[-1, 7] = np.nan
        return log_probs


class Nearly(Converted):
    """All log probabilities are off by the same."""

    offset = 0.5 * TOLERANCE

    def stepped(self, log_probs: np.ndarray) -> np.ndarray:
        return log_probs + np.float32(self.offset)


class TooFar(Nearly):
    offset = 1.5 * TOLERANCE


class AnotherToken(Converted):
    """The second token of the first sentence is one that the SavedModel finds worse."""

    def stepped(self, log_probs: np.ndarray) -> np.ndarray:
        if self.steps == 2:
            log_probs[0, log_probs[0].argmin()] = 0.0
        return log_probs


@pytest.fixture(scope="module")
def original(export: Export) -> LineTranslator:
    return LineTranslator(export.path)


def compared(original: LineTranslator, converted: Converted) -> TokenComparison:
    return compare(original, converted, SOURCES, 1, MAX_LENGTH).comparison


def test_an_equal_model_has_the_same_tokens_and_texts(export: Export, original: LineTranslator) -> None:
    result = compare(original, Converted(export), SOURCES, 1, MAX_LENGTH)
    greedy = export.nbest(LINES, beam=1, alpha=0.0)
    assert result.original == result.translations == [text.decode() for text in greedy["text"][:, 0]]
    assert result.comparison == TokenComparison(len(LINES), int(greedy["length"].sum()), 0, 0, 0.0)
    assert result.comparison.is_equal


@pytest.mark.parametrize(("kind", "is_equal"), [(Nearly, True), (TooFar, False), (NoNumbers, False)])
def test_log_probabilities_must_be_within_the_tolerance(
    export: Export, original: LineTranslator, kind: type[Converted], is_equal: bool
) -> None:
    assert compared(original, kind(export)).is_equal == is_equal


@pytest.mark.parametrize("kind", [Reversed, AnotherToken])
def test_another_token_is_no_tie(export: Export, original: LineTranslator, kind: type[Converted]) -> None:
    result = compared(original, kind(export))
    assert result.different_sentences > 0
    assert not result.is_equal


@pytest.mark.parametrize(("gap", "ties", "different"), [(0.4, 1, 0), (1.2, 0, 1)])
def test_a_tie_is_another_token_that_the_saved_model_finds_as_good(
    export: Export,
    original: LineTranslator,
    monkeypatch: pytest.MonkeyPatch,
    gap: float,
    ties: int,
    different: int,
) -> None:
    """The two best tokens of the SavedModel differ by `gap` tolerances; the runtime prefers the other."""
    call, steps = LineTranslator.call, list[str]()

    def called(translator: LineTranslator, name: str, **inputs: object) -> dict[str, np.ndarray]:
        outputs: dict[str, np.ndarray] = call(translator, name, **inputs)
        if name == "decode_step":
            steps.append(name)
            if len(steps) == 1:
                first, second = np.argsort(outputs["log_probs"][0, 3:])[[-1, -2]] + 3
                outputs["log_probs"][0, second] = outputs["log_probs"][0, first] - gap * TOLERANCE
        return outputs

    class Prefers(Converted):
        def stepped(self, log_probs: np.ndarray) -> np.ndarray:
            if self.steps == 1:
                first, second = np.argsort(log_probs[0, 3:])[[-1, -2]] + 3
                log_probs[0, second] = log_probs[0, first] + 0.1 * TOLERANCE
            return log_probs

    monkeypatch.setattr(LineTranslator, "call", called)
    result = compare(original, Prefers(export), SOURCES, 1, MAX_LENGTH).comparison
    assert (result.ties, result.different_sentences) == (ties, different)
    assert f"in {len(LINES) - 1} of {len(LINES)} sentences" in str(result)
    assert ("a tie in 1" in str(result)) == bool(ties)


def test_the_search_of_the_model_is_followed(tmp_path: Path) -> None:
    export = Export(tmp_path, search=msgspec.structs.replace(SEARCH, min_length=6, max_length_factor=1))
    result = compare(LineTranslator(export.path), Converted(export), SOURCES, 6, MAX_LENGTH).comparison
    assert result.is_equal
    lengths = export.nbest(LINES, beam=1, alpha=0.0)["length"]
    assert result.tokens == lengths.sum()
    assert lengths[lengths > 0].min() >= 6
