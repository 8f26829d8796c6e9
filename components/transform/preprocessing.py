"""The TensorFlow Transform graph: text in, token ids out."""

from __future__ import annotations

import tensorflow as tf

from bitext.components.text import BOS_ID, EOS_ID, pretokens, processor, whole_tokens
from bitext.components.text.given import MAX_GIVEN_IDS
from bitext.components.transform import Parameters, vocabulary
from bitext.components.transform.given_sides import SIDES, GivenSides, text_settings

FEATURES = ("id", "source", "target")


def preprocessing_fn(
    inputs: dict[str, tf.Tensor], *, parameters: Parameters, given: GivenSides
) -> dict[str, tf.Tensor]:
    """Builds the graph.

    A source ends with `</s>`; a target begins with `<s>` and ends with `</s>`.

    Args:
      inputs: `id`, `source` and `target`, string[B] each.
      parameters: Transform's parameters.
      given: the vocabularies that are not learned.

    Returns:
      `id` string[B], `source_ids` and `target_ids` int64[B, None].
    """
    settings = text_settings(parameters)
    assets = _vocabularies(inputs, parameters, given)
    ids = {}
    for side in assets:
        name = "text" if parameters.shared_vocabulary else f"{side}_text"
        size = MAX_GIVEN_IDS if given.of(side) else parameters.max_ids
        ids[side] = vocabulary.tokenize(
            inputs[side], settings, given.segmentation(side), size, assets[side], name
        )
    rows = tf.size(inputs["id"])
    end = tf.fill([rows, 1], tf.constant(EOS_ID, tf.int64))
    start = tf.fill([rows, 1], tf.constant(BOS_ID, tf.int64))
    return {
        "id": inputs["id"],
        "source_ids": tf.concat([ids["source"], end], axis=1),
        "target_ids": tf.concat([start, ids["target"], end], axis=1),
    }


def analysis_fn(
    inputs: dict[str, tf.Tensor], *, parameters: Parameters, given: GivenSides
) -> dict[str, tf.Tensor]:
    """Builds the part of the graph with the analyzers, which TFT's cache keys depend on.

    The complete graph cannot be traced to get the keys: in that trace, the paths of the vocabularies are
    placeholders, and a lookup table cannot be made from a placeholder.
    """
    _vocabularies(inputs, parameters, given)
    return {"id": inputs["id"]}


def prefixes(parameters: Parameters) -> dict[str, str]:
    """Returns the side of each vocabulary by the prefix of its files; `source` if it is for both."""
    if parameters.shared_vocabulary:
        return {"": "source"}
    return {vocabulary.side_prefix(side): side for side in SIDES}


def counted_words(
    inputs: dict[str, tf.Tensor], parameters: Parameters, given: GivenSides
) -> dict[str, tf.Tensor]:
    """Returns the pretokens that each vocabulary is learned from, string[N], by the prefix of its files."""
    settings = text_settings(parameters)

    def words(side: str) -> tf.Tensor:
        segmentation = given.segmentation(side)
        text = pretokens.replaced(processor.normalize(inputs[side], settings), segmentation)
        words = pretokens.pretokenize(text, segmentation, settings).values
        counts_all = (side_vocabulary := given.of(side)) is None or side_vocabulary.counts_words
        return words if counts_all else tf.boolean_mask(words, whole_tokens.is_whole(words))

    if parameters.shared_vocabulary:
        return {"": tf.concat([words("source"), words("target")], axis=0)}
    return {prefix: words(side) for prefix, side in prefixes(parameters).items()}


def _vocabularies(
    inputs: dict[str, tf.Tensor], parameters: Parameters, given: GivenSides
) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
    """Adds the analyzers; returns the paths of the vocabulary and merges files of each side."""
    settings, words = text_settings(parameters), counted_words(inputs, parameters, given)
    assets = {
        side: vocabulary.vocabulary_assets(
            words[prefix], settings, parameters.max_ids, prefix, given.of(side)
        )
        for prefix, side in prefixes(parameters).items()
    }
    return dict.fromkeys(SIDES, assets["source"]) if parameters.shared_vocabulary else assets
