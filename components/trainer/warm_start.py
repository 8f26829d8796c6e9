"""Warm start: decides whether a training starts from a base model, and copies its weights.

If the vocabulary has changed, each token keeps its row of the embeddings.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import msgspec
import numpy as np

from bitext.components.artifacts import Model
from bitext.components.seq2seq.model import Seq2Seq
from bitext.components.shared.errors import DataError
from bitext.components.text.processor import TextPair
from bitext.components.trainer import SEED_COUNT, Parameters
from bitext.components.trainer.sections import LAST_BLESSED, WarmStartParameters

TARGET_EMBEDDING, SOURCE_EMBEDDING = "seq2seq/target_embedding", "seq2seq/source_embedding"
_TOKEN_SIDES = {
    SOURCE_EMBEDDING: "source",
    TARGET_EMBEDDING: "target",
    "seq2seq/output_embedding": "target",
    "seq2seq/output_bias": "target",
}
"""Variables with one row for each token, and the side whose tokens they are."""
_DEFAULT_RATE_FACTOR = 1 / 4
"""`warm_start.learning_rate` by default, as a share of `optimizer.learning_rate`."""
_REMEDY = "start from a model with the same trainer.model settings, or remove trainer.warm_start.model"


@dataclasses.dataclass(frozen=True)
class Start:
    """The base model of a training, and the parameters that follow from it.

    Attributes:
      parameters: the parameters of this training: steps, warm-up, learning rate and seed may differ from the
        configured ones.
      model: the base model; None: training from scratch.
      warm_starts: number of warm starts since the last training from scratch, this one included.
      digest: digest of the last blessed model, if the training starts from it and the digest is recorded.
      from_scratch_reason: if `warm_start.model` is `last_blessed` but the training starts from scratch: why;
        else empty.
    """

    parameters: Parameters
    model: Model | None = None
    warm_starts: int = 0
    digest: str | None = None
    from_scratch_reason: str = ""


def choose_start(parameters: Parameters, base: Model | None) -> Start:
    """Returns the base model of a training, and the parameters in effect.

    Args:
      parameters: the configured parameters.
      base: the model now served. None: none is served, or a training from scratch is due.

    Raises:
      DataError: the settings of the model now served cannot be read.
    """
    warm = parameters.warm_start
    if warm.model is None:
        return Start(parameters)
    if warm.model != LAST_BLESSED:
        return Start(parameters, Model(Path(warm.model)), 1)
    reason = _from_scratch_reason(parameters, base)
    if base is None or reason:
        from_scratch = msgspec.structs.replace(parameters, warm_start=WarmStartParameters())
        return Start(from_scratch, from_scratch_reason=reason)
    warm_starts = int(base.properties.get("warm_starts", 0)) + 1
    rate = warm.learning_rate or parameters.optimizer.learning_rate * _DEFAULT_RATE_FACTOR
    steps = warm.steps or parameters.step_count
    warmup_steps = parameters.schedule.warmup_steps * steps // parameters.step_count
    replace = msgspec.structs.replace
    effective = replace(
        parameters,
        steps=steps,
        schedule=replace(parameters.schedule, warmup_steps=warmup_steps),
        optimizer=replace(parameters.optimizer, learning_rate=rate),
        warm_start=replace(warm, steps=None, learning_rate=None),
        seed=(parameters.seed + warm_starts - 1) % SEED_COUNT + 1,
    )
    return Start(effective, base, warm_starts, base.digest)


def _from_scratch_reason(parameters: Parameters, base: Model | None) -> str:
    """Returns why a training cannot start from the model now served; empty if it can."""
    if base is None:
        every = parameters.warm_start.from_scratch_every
        due = f", or one training in {every} starts from scratch (from_scratch_every)" if every else ""
        return f"no model is served yet{due}"
    if not base.architecture_file.is_file():
        return f"the model now served is gone from {base.path}"
    if difference := _difference(_architecture(base), msgspec.to_builtins(parameters.model)):
        return f"the model now served has another architecture: {difference}"
    return ""


class _Table(NamedTuple):
    """Weights with one row for each token: float32[V, ...] and the V tokens."""

    rows: np.ndarray
    tokens: list[str]


@dataclasses.dataclass(frozen=True)
class _Checkpoint:
    """The weights of a base model.

    Attributes:
      model: the artifact.
      weights: arrays by the path of their variable.
      tokens: the tokens by side, in the order of their ids.
    """

    model: Model
    weights: dict[str, np.ndarray]
    tokens: dict[str, list[str]]

    @classmethod
    def read(cls, model: Model) -> _Checkpoint:
        """Reads the checkpoint of a Model artifact.

        Raises:
          DataError: a file is missing or damaged.
        """
        with _replacing_remedy():
            vocabulary = model.vocabulary()
            tokens = {"source": vocabulary.source, "target": vocabulary.target}
            return cls(model, model.weights(), tokens)

    def array(self, variable: keras.Variable) -> np.ndarray:
        """Returns the weights of a variable.

        Raises:
          DataError: the weights are missing or have another shape.
        """
        side, array = _TOKEN_SIDES.get(variable.path), self.weights.get(variable.path)
        if array is None and variable.path.endswith("_embedding"):
            # The base model shares one embedding between both sides or with the output layer.
            array = self.weights.get(TARGET_EMBEDDING)
        rows = len(self.tokens[side]) if side else variable.shape[0]
        if array is None or array.shape != (rows, *variable.shape[1:]):
            state = "missing" if array is None else f"of shape {list(array.shape)}"
            raise DataError(
                f"{self.model.weights_file}: {variable.path} is {state}, but in the model to train of shape "
                f"{list(variable.shape)}",
                _REMEDY,
            )
        return array


def load_weights(network: Seq2Seq, pair: TextPair, model: Model) -> Iterator[str]:
    """Copies a base model's weights into a new model.

    Each token keeps its rows of the embeddings and of the output layer. New tokens keep their initial
    weights. If one embedding replaces two, it takes the rows of the target embedding, and the rows of the
    source embedding for tokens that only the source had.

    Args:
      network: the new model, with its initial weights.
      pair: the text processors of the new model.
      model: the base model.

    Yields:
      A line about each embedding: how many tokens the base model knows.

    Raises:
      DataError: the files cannot be read, or the architectures differ.
    """
    base = _Checkpoint.read(model)
    if difference := _difference(_architecture(model), msgspec.to_builtins(network.settings)):
        raise DataError(f"{model.architecture_file}: {difference}", _REMEDY)
    tokens = {"source": pair.source.pieces(), "target": pair.target.pieces()}
    for variable in network.weights:
        array, side = base.array(variable), _TOKEN_SIDES.get(variable.path)
        if side is None:
            variable.assign(array)
            continue
        tables = [_Table(array, base.tokens[side])]
        source_rows = base.weights.get(SOURCE_EMBEDDING)
        is_joint = variable is network.source_embedding is network.target_embedding
        if is_joint and source_rows is not None:
            tables.insert(0, _Table(source_rows, base.tokens["source"]))
        rows, is_known = variable.numpy(), np.zeros(len(tokens[side]), bool)
        for table in tables:
            rows, is_in_table = _remap(table.rows, rows, table.tokens, tokens[side])
            is_known |= is_in_table
        variable.assign(rows)
        if variable.path.endswith("_embedding"):
            name = variable.path.removeprefix("seq2seq/")
            yield f"{name}: {is_known.sum():,} of {len(tokens[side]):,} tokens were known to {model.path}"


def _architecture(model: Model) -> dict[str, Any]:
    """Reads the architecture of a base model: settings by name, of any version of the settings.

    Raises:
      DataError: the file is missing or damaged.
    """
    with _replacing_remedy():
        return model.architecture(dict[str, Any])


@contextlib.contextmanager
def _replacing_remedy() -> Iterator[None]:
    """Context manager: gives errors about the base model a remedy that works without that model."""
    try:
        yield
    except DataError as error:
        raise DataError(
            f"{error}; the training cannot start from its weights",
            "set trainer.warm_start.model to another Model artifact (runs/<name>/Trainer/model/<id>) or null",
        ) from error


def _difference(base: dict[str, Any], new: dict[str, Any]) -> str:
    """Returns the first setting with which the base model's weights cannot be used; empty if there is none.

    Equal shapes do not suffice: another number of attention heads gives the same shapes. Dropout rates and
    `tie_embeddings` may differ.
    """
    for name, value in new.items():
        if not (name.endswith("_dropout") or name == "tie_embeddings" or base.get(name) == value):
            return f"{name} is {base.get(name)}, and the model to train has {value}"
    return ""


def _remap(
    rows: np.ndarray, new_rows: np.ndarray, tokens: list[str], new_tokens: list[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Copies the rows of tokens that both vocabularies have.

    Args:
      rows: float32[V, ...], rows of the base model.
      new_rows: float32[W, ...], rows of the new model; they are not changed.
      tokens: the V tokens of the base model.
      new_tokens: the W tokens of the new model.

    Returns:
      `new_rows` with the copied rows float32[W, ...], and whether each row was copied bool[W].
    """
    index = {token: row for row, token in enumerate(tokens)}
    is_known = np.array([token in index for token in new_tokens])
    result = new_rows.copy()
    result[is_known] = rows[[index[token] for token in new_tokens if token in index]]
    return result, is_known
