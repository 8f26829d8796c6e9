"""The signatures without inputs: what a client must know of a model."""

from __future__ import annotations

import msgspec
import tensorflow as tf

from bitext.components.seq2seq import SearchSettings, ServingLimits
from bitext.components.seq2seq.model import BOS, EOS, PAD, UNK, Seq2Seq
from bitext.components.shared.graphs import graph_function


def functions(
    model: Seq2Seq,
    search: SearchSettings,
    limits: ServingLimits,
    source_max_length: int,
    source_language: str,
) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """Returns the signatures `info`, `languages` and `default_search`.

    Args:
      model: the model.
      search: the search of `serving_default`.
      limits: how much a request may ask for.
      source_max_length: maximum number of tokens of a source that the model reads, `</s>` included.
      source_language: the language of the source; empty: not known.
    """

    @graph_function(input_signature=[])
    def info() -> dict[str, tf.Tensor]:
        """Special tokens, the size of the target vocabulary, lengths, and the limits of requests.

        With `default_search`, it is all that a search over `decode_step` needs to find what `serving_default`
        finds.
        """
        numbers = {"pad": PAD, "bos": BOS, "eos": EOS, "unk": UNK, "vocab_size": model.target_size}
        numbers |= {"source_max_length": source_max_length, "min_length": search.min_length}
        numbers["max_length_factor"] = search.max_length_factor
        numbers |= {f"limit_{name}": value for name, value in msgspec.structs.asdict(limits).items()}
        outputs = {name: tf.constant(value, tf.int32) for name, value in numbers.items()}
        return outputs | {"coverage_penalty": tf.constant(coverage_penalty(model, search), tf.float32)}

    @graph_function(input_signature=[])
    def languages() -> dict[str, tf.Tensor]:
        """The language of the source, for programs that split text into sentences."""
        return {"source_language": tf.constant(source_language)}

    @graph_function(input_signature=[])
    def default_search() -> dict[str, tf.Tensor]:
        """The settings of the search in `serving_default`, as inputs of `translate_nbest`."""
        return {
            "beam_size": tf.constant(search.beam_size, tf.int32),
            "length_penalty": tf.constant(search.alpha, tf.float32),
            "max_length": tf.constant(search.max_length, tf.int32),
        }

    return {"info": info, "languages": languages, "default_search": default_search}


def coverage_penalty(model: Seq2Seq, search: SearchSettings) -> float:
    """The weight of the coverage penalty. A decoder that does not attend has no coverage."""
    return search.coverage_penalty if model.decoder.attends else 0.0
