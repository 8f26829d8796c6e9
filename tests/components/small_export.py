"""A small exported model, for tests of the export and of its clients."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import tensorflow as tf

from bitext.components.seq2seq import ModelSettings, SearchSettings, ServingLimits
from bitext.components.seq2seq.decoders.base import Decoder
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.text import TextSettings, learn, processor
from bitext.components.translation.graph_check import check_graph
from tests.components.tiny_model import SETTINGS, build

LINES = [
    b"the cat sat",
    b"a mat",
    b"",
    b"seven songs on the mat, he said",
    b"\xff\xfe broken",
    "їжак".encode(),
]
SOURCE_MAX_LENGTH, MAX_LENGTH = 12, 9
SEARCH = SearchSettings(beam_size=3, length_penalty=1.0, max_length=MAX_LENGTH)


def text_pair(folder: Path, shared: bool) -> processor.TextPair:
    """Returns text processors of characters, whose files are in `folder`."""
    settings = TextSettings(unit="character")

    def side(name: str, words: dict[str, int]) -> processor.TextProcessor:
        vocabulary = learn.learn(words, settings, 300)
        paths = folder / f"{name}.vocabulary", folder / f"{name}.merges"
        paths[0].write_bytes(vocabulary.vocabulary_file())
        paths[1].write_bytes(vocabulary.merges_file())
        return processor.TextProcessor(settings, *map(str, paths))

    source = side("source", {"▁the": 9, "▁cat": 4, "▁songs": 2})
    target = source if shared else side("target", {"▁el": 9, "▁gato": 4})
    return processor.TextPair(source, target, shared, SOURCE_MAX_LENGTH)


class Export:
    """A translator and its SavedModel, loaded after it was moved and the vocabularies were deleted.

    Args:
      folder: folder of all files.
      make_decoder: as in `Seq2Seq`.
      limits, search: as in `Translator`.
      **changes: changed fields of SETTINGS.
    """

    def __init__(
        self,
        folder: Path,
        make_decoder: Callable[[ModelSettings], Decoder] | None = None,
        limits: ServingLimits = ServingLimits(),  # noqa: B008
        search: SearchSettings = SEARCH,
        **changes: Any,
    ):
        graph = folder / "graph"
        graph.mkdir()
        pair = text_pair(graph, shared=False)
        settings = msgspec.structs.replace(SETTINGS, **changes)
        sizes = pair.target.size(), pair.source.size()
        model = build(settings, *sizes, seed=5, make_decoder=make_decoder)
        self.translator = Translator(model, pair, search, limits)
        self.translator.save(folder / "model")
        shutil.rmtree(graph)
        self.path = folder / "moved"
        shutil.move(folder / "model", self.path)
        check_graph(self.path)
        self.loaded = tf.saved_model.load(str(self.path))

    def __call__(self, signature: str, **inputs) -> dict[str, np.ndarray]:
        """Calls a signature with constants."""
        tensors = {name: tf.constant(value) for name, value in inputs.items()}
        return {name: v.numpy() for name, v in self.loaded.signatures[signature](**tensors).items()}

    def nbest(self, text: list[bytes], beam: int, alpha: float = 1.0) -> dict[str, np.ndarray]:
        return self("translate_nbest", text=text, beam_size=beam, length_penalty=alpha, max_length=MAX_LENGTH)

    def client_greedy(self, text: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Greedy search by a client of `encode` and `decode_step`: tokens [B, T], log probabilities [B]."""
        state = self("encode", text=text)
        memory = {name: state.pop(name) for name in list(state) if name.startswith("memory")}
        token, total = np.full(len(text), 1, np.int32), np.zeros(len(text))
        steps: list[np.ndarray] = []
        for _ in range(MAX_LENGTH):
            state = self("decode_step", token=token, **memory, **state)
            alignment, log_probs = state.pop("alignment"), state.pop("log_probs")
            assert alignment.shape == memory["memory"].shape[:2]
            log_probs[:, :2] = -np.inf
            ended = (np.stack(steps) == 2).any(0) if steps else np.zeros(len(text), bool)
            token = np.where(ended, 0, log_probs.argmax(-1)).astype(np.int32)
            total += np.where(ended, 0.0, log_probs.max(-1))
            steps.append(token)
        return np.stack(steps, 1), total


def assert_same(outputs: dict[str, Any], expected: dict[str, np.ndarray]) -> None:
    """Asserts that a client's outputs, arrays or lists, equal those of a signature; floats approximately."""
    assert set(outputs) == set(expected)
    for name, value in expected.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(outputs[name], value, rtol=1e-4, atol=1e-5, err_msg=name)
        else:
            assert np.asarray(outputs[name], value.dtype).tolist() == value.tolist(), name
