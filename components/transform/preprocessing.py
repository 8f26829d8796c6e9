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
      parameters: Transform's.

    Returns:
      `id` string[B], `source_ids` and `target_ids` int64[B, None].
    """
    settings = text_settings(parameters)
    assets = _vocabularies(inputs, parameters)
    ids = {}
    for side in assets:
        name = "text" if parameters.shared_vocabulary else f"{side}_text"
        ids[side] = vocabulary.tokenize(
            inputs[side], settings, parameters.vocabulary_size, assets[side], name
        )
    rows = tf.size(inputs["id"])
    end = tf.fill([rows, 1], tf.constant(EOS_ID, tf.int64))
    start = tf.fill([rows, 1], tf.constant(BOS_ID, tf.int64))
    return {
        "id": inputs["id"],
        "source_ids": tf.concat([ids["source"], end], axis=1),
        "target_ids": tf.concat([start, ids["target"], end], axis=1),
    }


def analysis_fn(inputs: dict[str, tf.Tensor], *, parameters: Parameters) -> dict[str, tf.Tensor]:
    """Builds the part of the graph that TFT's cache keys depend on, and that is counted.

    The whole graph cannot be traced for the keys: the paths of the vocabularies are placeholders then, and no
    lookup table can be made of a placeholder.
    """
    _vocabularies(inputs, parameters)
    return {"id": inputs["id"]}


def _vocabularies(
    inputs: dict[str, tf.Tensor], parameters: Parameters
) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
    """Adds the analyzers; returns the paths of the vocabulary files that each side learns."""
    settings = text_settings(parameters)
    pretokens = {
        side: processor.pretokenize(processor.normalize(inputs[side], settings)).values
        for side in ("source", "target")
    }
    learn = functools.partial(
        vocabulary.vocabulary_assets, settings=settings, size=parameters.vocabulary_size
    )
    if parameters.shared_vocabulary:
        both = learn(tf.concat([pretokens["source"], pretokens["target"]], axis=0), prefix="")
        return {"source": both, "target": both}
    return {side: learn(pretokens[side], prefix=f"{side}.") for side in pretokens}


def text_settings(parameters: Parameters) -> TextSettings:
    """Returns the text settings among the parameters."""
    return TextSettings(unit=parameters.unit, lowercase=parameters.lowercase)
