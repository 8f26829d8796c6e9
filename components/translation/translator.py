"""Loads a SavedModel and translates lines of text with it.

This module imports TensorFlow only when it loads a model.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bitext.components.artifacts import Model, ServedVersion, is_saved_model
from bitext.components.shared import errors, progress
from bitext.components.shared.files import path_without_globs
from bitext.components.shared.imports import gc_disabled
from bitext.components.shared.numbered import folder_number
from bitext.components.shared.parallel import parallel_map
from bitext.components.translation import requests
from bitext.components.translation.graph_check import PUSH_AGAIN, check_graph
from bitext.components.translation.lines import length_sorted_batches, one_line
from bitext.components.translation.search import Search

TOKENIZED_LINES = 1024
"""Maximum number of lines in one call of the signature `tokenize`."""
UNFILLED_SCORE = -1e9
"""The score of a row of an n-best list that no hypothesis fills."""


@dataclasses.dataclass(frozen=True)
class Translation:
    """A translation and its score: the log probability, normalized by the length penalty."""

    text: str
    score: float


def find_saved_model(model: Path) -> Path:
    """Returns the folder of the SavedModel in `model`.

    Args:
      model: a SavedModel; a Model artifact; or a serving folder with integer versions, of which the newest is
        returned.

    Raises:
      errors.DataError: there is no SavedModel.
    """
    for candidate in (model, Model(model).serving):
        if is_saved_model(candidate):
            return candidate
    numbered = ((folder_number(path.name), path) for path in model.glob("*"))
    versions = {number: path for number, path in numbered if number is not None and is_saved_model(path)}
    if versions:
        return versions[max(versions)]
    problem = "the folder does not exist"
    if model.exists():
        problem = "it is a file, not a folder"
    if model.is_dir():
        problem = "the folder holds no SavedModel and no numbered version of one"
    raise errors.DataError(
        f"no model at {model}: {problem}",
        "run `bitext run` to train and push one, or name another folder with --model",
    )


class LineTranslator:
    """Translates with a loaded SavedModel.

    Args:
      model: as for `find_saved_model`.
      search: options of the beam search; None: the model's default search.
      batch_size: maximum number of lines in one call of the model.
      trusted: whether the model's graph may do more than compute; see `check_graph`.

    Raises:
      errors.ConfigError: the batch size is not positive.
      errors.DataError: there is no model, it is damaged or not trusted, or it lacks a signature.
    """

    def __init__(
        self, model: Path, search: Search | None = None, batch_size: int = 64, *, trusted: bool = False
    ):
        if batch_size < 1:
            raise errors.ConfigError(f"batch_size must be at least 1, received {batch_size}")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        import tensorflow as tf

        self.path = find_saved_model(model)
        served = ServedVersion(self.path)
        metadata = served.metadata()
        if metadata is not None and metadata.digest != served.model_digest():
            raise errors.DataError(
                f"the model at {self.path} is damaged: its files are not those that were pushed", PUSH_AGAIN
            )
        self.search = search or Search()
        self.batch_size = batch_size
        self._tf = tf
        load_errors = (
            ArithmeticError,
            AttributeError,
            LookupError,
            OSError,
            RuntimeError,
            TypeError,
            ValueError,
        )
        loading = self._reporting_damage("cannot be loaded", tf.errors.OpError, *load_errors)
        with loading, gc_disabled(), path_without_globs(self.path) as path:
            if not trusted:
                check_graph(self.path)
            # This reference keeps the model's variables alive. Without them the signatures fail.
            self._model = tf.saved_model.load(str(path))

    @contextlib.contextmanager
    def _reporting_damage(self, problem: str, *damage_errors: type[Exception]) -> Iterator[None]:
        """Context manager: re-raises errors that mean a damaged model as DataError, and others unchanged."""
        try:
            yield
        except self._tf.errors.ResourceExhaustedError as error:
            raise errors.EnvironmentFault(
                f"out of memory in the model at {self.path}", "give a smaller --batch-size"
            ) from error
        except self._tf.errors.InvalidArgumentError as error:
            if (refusal := requests.refusal(error)) is None:
                raise self._damage(problem, error) from error
            raise errors.ConfigError(
                f"the model at {self.path} refuses a request: {refusal}",
                "ask for less, or export the model with other trainer.serving_limits",
            ) from error
        except damage_errors as error:
            raise self._damage(problem, error) from error

    def _damage(self, problem: str, error: Exception) -> errors.DataError:
        return errors.DataError(f"the model at {self.path} {problem}: {error}", PUSH_AGAIN)

    def signature(self, name: str) -> Callable[..., dict[str, Any]]:
        """Returns the function of a signature, from tensors by keyword to a dictionary of tensors.

        Raises:
          errors.DataError: the model has no such signature.
        """
        functions = self._model.signatures
        if name not in functions:
            raise errors.DataError(
                f"the model at {self.path} has no signature {name!r}; it has {sorted(functions)}",
                "export it again with this version of bitext",
            )
        function: Callable[..., dict[str, Any]] = functions[name]
        return function

    def has(self, name: str) -> bool:
        """Returns whether the model has a signature."""
        return name in self._model.signatures

    def returns(self, name: str, output: str) -> bool:
        """Returns whether a signature has an output with a name."""
        signature: Any = self.signature(name)
        return output in signature.structured_outputs

    def call(self, name: str, **inputs: Any) -> dict[str, Any]:
        """Calls a signature with byte strings or an array. Returns its outputs as NumPy arrays.

        Raises:
          errors.DataError: the model has no such signature, or is damaged.
          errors.EnvironmentFault: there is not enough memory.
        """
        function = self.signature(name)
        tensors = {
            key: self._tf.constant(values, self._tf.string if isinstance(values, list | tuple) else None)
            for key, values in inputs.items()
        }
        with self._reporting_damage("fails", self._tf.errors.OpError):
            return {key: output.numpy() for key, output in function(**tensors).items()}

    def tokenize(self, lines: Sequence[bytes]) -> dict[str, Any]:
        """Returns the outputs of the signature `tokenize`, in as many calls as the model's limits need.

        Raises:
          errors.DataError: the model has no such signature, or is damaged.
          errors.EnvironmentFault: there is not enough memory.
        """
        most = min(TOKENIZED_LINES, self.limit("batch_size"))
        parts = [lines[start : start + most] for start in range(0, max(len(lines), 1), most)]
        return requests.joined([self.call("tokenize", text=self.cut(part)) for part in parts])

    def limit(self, name: str) -> int:
        """Returns how much a request may ask for, by the name of a field of `ServingLimits`.

        A model that bitext 0.2.0 or earlier exported tells no limits: the answer is 2^31 - 1.
        """
        told = self.info.get(f"limit_{name}")
        return requests.NO_LIMIT if told is None else int(told)

    @functools.cached_property
    def info(self) -> dict[str, Any]:
        """The outputs of the signature `info`, which are tensors."""
        return self.signature("info")()

    @functools.cached_property
    def source_max_length(self) -> int | None:
        """The most tokens of a source that the model reads, `</s>` included.

        None: bitext 0.2.0 or earlier exported the model, and it does not tell the lengths of texts.
        """
        told = self.info.get("source_max_length")
        return None if told is None else int(told)

    @functools.cached_property
    def source_language(self) -> str:
        """The language of the source, ISO 639-1; empty: unknown."""
        if "languages" not in self._model.signatures:  # exported by bitext 0.2.0 or earlier
            return ""
        language: bytes = self.signature("languages")()["source_language"].numpy()
        return language.decode()

    def total_lengths(self, lines: Sequence[bytes]) -> list[int]:
        """Returns the number of tokens of each line, `</s>` included.

        It is 0 for a line that is too short to have more than `source_max_length` tokens, and for every line
        if that is None.

        Raises:
          errors.DataError: the model is damaged.
        """
        limit = self.source_max_length
        lengths = [0] * len(lines)
        if limit is None:
            return lengths
        cut = self.cut(lines)
        for index, (line, read) in enumerate(zip(lines, cut, strict=True)):
            if len(read) < len(line):
                lengths[index] = limit + 1
        # In ASCII text a token has at least one byte, but the text begins with a word boundary.
        possibly_long = [i for i, line in enumerate(cut) if len(line) + 2 > limit or not line.isascii()]
        tokenize, most_lines = self.signature("tokenize"), min(TOKENIZED_LINES, self.limit("batch_size"))
        for batch in length_sorted_batches([len(cut[i]) for i in possibly_long], most_lines):
            indices = [possibly_long[i] for i in batch]
            with self._reporting_damage("fails", self._tf.errors.OpError):
                outputs = tokenize(text=self._tf.constant([cut[i] for i in indices], self._tf.string))
            for index, length in zip(indices, outputs["total_length"].numpy().tolist(), strict=True):
                lengths[index] = max(length, lengths[index])
        return lengths

    def are_too_long(self, lines: Sequence[bytes]) -> list[bool]:
        """Returns for each line whether it has more tokens than the model reads."""
        limit = self.source_max_length or 0
        return [length > limit for length in self.total_lengths(lines)]

    def translate(self, lines: Sequence[bytes]) -> list[list[Translation]]:
        """Returns the `nbest` translations of each line, best first, in the order of the lines.

        Raises:
          errors.DataError: the model is damaged.
          errors.EnvironmentFault: there is not enough memory for a batch.
        """
        results: list[list[Translation]] = [[]] * len(lines)
        batches = list(length_sorted_batches([len(line) for line in lines], self.lines_per_call))
        outputs = parallel_map(lambda batch: self._call([lines[i] for i in batch]), batches)
        for batch, output in zip(batches, outputs, strict=True):
            for index, translations in zip(batch, output, strict=True):
                results[index] = translations
        return results

    def _call(self, lines: list[bytes]) -> list[list[Translation]]:
        """Returns the `nbest` translations of each line of one batch."""
        outputs, nbest = self.outputs(lines), self.search.nbest
        return [
            _distinct(texts[:nbest], scores[:nbest])
            for texts, scores in zip(outputs["text"], outputs["score"], strict=True)
        ]

    def outputs(self, lines: list[bytes]) -> dict[str, Any]:
        """Returns the outputs of `translate_nbest` for one batch, as arrays.

        With the model's default search and one translation a line, those of `serving_default` in that form.

        Raises:
          errors.DataError: the model is damaged.
          errors.EnvironmentFault: there is not enough memory for the batch.
        """
        text = self._tf.constant(self.cut(lines), self._tf.string)
        with self._reporting_damage("fails", self._tf.errors.OpError):
            if self._uses_default_search:
                outputs = self.signature("serving_default")(text=text)
                arrays = {name: value.numpy()[:, None] for name, value in outputs.items()}
            else:
                outputs = self.signature("translate_nbest")(text=text, **self.nbest_inputs)
                arrays = {name: value.numpy() for name, value in outputs.items()}
        progress.count(len(lines))
        return arrays

    def cut(self, lines: Sequence[bytes]) -> list[bytes]:
        """Cuts lines that are longer than the model takes, which reads only their beginning."""
        return requests.cut(lines, self.limit("text_bytes"))

    @functools.cached_property
    def lines_per_call(self) -> int:
        """The batch size, or less if the model takes fewer lines with this search."""
        if "limit_batch_size" not in self.info:  # exported by bitext 0.2.0 or earlier
            return self.batch_size
        inputs = self.nbest_inputs
        max_length = 0 if self._uses_default_search else int(inputs["max_length"])
        return min(self.batch_size, self.most_lines(int(inputs["beam_size"]), max_length))

    def most_lines(self, beam_size: int, max_length: int = 0) -> int:
        """Returns the most lines that the model takes in a call (`max_length` 0: not an input of it)."""
        longest = max(self.source_max_length or 1, beam_size * max_length)
        lines, hypotheses, tokens = (self.limit(name) for name in ("batch_size", "hypotheses", "tokens"))
        return max(1, min(lines, hypotheses // beam_size, tokens // longest))

    @functools.cached_property
    def _uses_default_search(self) -> bool:
        """Whether `search` is the model's default search with one translation a line.

        If so, the signature `serving_default` is faster than `translate_nbest`.
        """
        if self.search.is_default:
            return True
        default = self.signature("default_search")()
        is_same = all(self.nbest_inputs[name].numpy() == default[name].numpy() for name in default)
        return is_same and self.search.nbest == 1

    @functools.cached_property
    def nbest_inputs(self) -> dict[str, Any]:
        """The scalar inputs of `translate_nbest`."""
        search, default = self.search, self.signature("default_search")()
        values = {name: getattr(search, name) for name in default}
        if search.beam_size is None and search.nbest > int(default["beam_size"]):
            values["beam_size"] = search.nbest
        return {
            name: tensor if values[name] is None else self._tf.constant(values[name], tensor.dtype)
            for name, tensor in default.items()
        }


def _distinct(texts: Iterable[bytes], scores: Iterable[float]) -> list[Translation]:
    """Returns the translations of a line, best first; of equal texts the best, and no unfilled rows.

    At least one translation is returned: a line keeps its place in the output.
    """
    best: dict[str, Translation] = {}
    for text, score in zip(map(one_line, texts), map(float, scores), strict=True):
        if not best or score > UNFILLED_SCORE:
            best.setdefault(text, Translation(text, score))
    return list(best.values())
