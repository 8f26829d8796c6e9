"""The TensorFlow Transform graph: text in, token ids out."""

from __future__ import annotations

import functools

import tensorflow as tf

from bitext.components.text import BOS_ID, EOS_ID, TextSettings, processor
from bitext.components.transform import Parameters, vocabulary

FEATURES = ("id", "source", "target")


def preprocessing_fn(inputs: dict[str, tf.Tensor], *, parameters: Parameters) -> dict[str, tf.Tensor]:
    """Builds the graph.

    A source ends with `</s>`; a target begins with `<s>` and ends with `</s>`.

    Args:
      inputs: `id`, `source` and `target`, string[B] each.
      parameters: Transform's parameters.

    Returns:
      `id` string[B], `source_ids` and `target_ids` int64[B, None].
    """
    settings = text_settings(parameters)
    assets = _vocabularies(inputs, parameters)
    ids = {}
    for side in assets:
        name = "text" if parameters.shared_vocabulary else f"{side}_text"
        ids[side] = vocabulary.tokenize(inputs[side], settings, parameters.max_ids, assets[side], name)
    rows = tf.size(inputs["id"])
    end = tf.fill([rows, 1], tf.constant(EOS_ID, tf.int64))
    start = tf.fill([rows, 1], tf.constant(BOS_ID, tf.int64))
    return {
        "id": inputs["id"],
        "source_ids": tf.concat([ids["source"], end], axis=1),
        "target_ids": tf.concat([start, ids["target"], end], axis=1),
    }


def analysis_fn(inputs: dict[str, tf.Tensor], *, parameters: Parameters) -> dict[str, tf.Tensor]:
    """Builds the part of the graph with the analyzers, which TFT's cache keys depend on.

    The complete graph cannot be traced to get the keys: in that trace, the paths of the vocabularies are
    placeholders, and a lookup table cannot be made from a placeholder.
    """
    _vocabularies(inputs, parameters)
    return {"id": inputs["id"]}


def _vocabularies(
    inputs: dict[str, tf.Tensor], parameters: Parameters
) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
    """Adds the analyzers; returns the paths of the vocabulary and merges files of each side."""
    settings = text_settings(parameters)
    pretokens = {
        side: processor.pretokenize(processor.normalize(inputs[side], settings)).values
        for side in ("source", "target")
    }
    learn = functools.partial(vocabulary.vocabulary_assets, settings=settings, size=parameters.max_ids)
    if parameters.shared_vocabulary:
        shared = learn(tf.concat([pretokens["source"], pretokens["target"]], axis=0), prefix="")
        return {"source": shared, "target": shared}
    return {side: learn(pretokens[side], prefix=f"{side}.") for side in pretokens}


def text_settings(parameters: Parameters) -> TextSettings:
    """Returns the text settings among the parameters."""
    return TextSettings(
        unit=parameters.unit, lowercase=parameters.lowercase, fold_quotes=parameters.fold_quotes
    )
