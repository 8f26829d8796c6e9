"""The attention Seq2Seq model. This module has the settings and does not import TensorFlow.

`layers`: cells, recurrence, attention, dropout. `encoders`, `decoders`. `model`: the network that consists of
them. `loss`: the training loss. `decoding`: beam search and sampling. `export`: SavedModel, checkpoint,
quantized and TensorFlow Lite models, and TensorFlow Serving's warm-up requests.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from bitext.components.component import Parameters
from bitext.components.shared.corpus_size import AUTO, Auto

Positive = Annotated[int, msgspec.Meta(ge=1)]
Rate = Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)]


class ModelSettings(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The architecture of the network.

    Attributes:
      cell: `lstm` (Hochreiter and Schmidhuber 1997), `gru` (Cho et al. 2014, in cuDNN's form) or `rnn` (Elman
        1990).
      embedding_units: width of the embeddings and of the attentional layer before the softmax. They are equal
        so that the output layer can be tied to the embeddings.
      encoder_units: width of the encoder, both directions together.
      encoder_layers: number of encoder layers, with residual connections from the second on.
      bidirectional: whether half of the encoder's units read the source backward.
      decoder_units: width of the decoder.
      decoder_layers: number of decoder layers, with residual connections from the second on.
      decoder: position of the attention. `luong`: after all layers; only the output layer reads the context
        (Luong et al. 2015 without input feeding). `gnmt`: the first layer is the query, and all layers above
        read the context (Wu et al. 2016). `input_feeding`: after all layers; the first layer reads the
        attentional vector at the next step (Luong et al. 2015, section 3.3). `conditional`: between two cells
        of the first layer; the layers above read the context, too (Sennrich et al. 2017, section 2). In
        training, the first two compute the attention of all positions at once, the others step by step.
      layer_norm: whether the cells have layer normalization (Ba et al. 2016).
      attention: the attention score. `general` or `dot` (Luong et al. 2015, section 3.1), `scaled` (dot
        divided by the square root of a head's width: Vaswani et al. 2017, section 3.2.1), `additive`
        (Bahdanau et al. 2015), or `none`: the fixed context vector of Sutskever et al. 2014.
      attend_embeddings: whether the attention also averages the embedded source tokens, beside the encoder's
        outputs (Gehring et al. 2017, section 3.3, add both). So the layers above see which words are
        translated, not only what the encoder makes of them. The heads share the columns of both evenly, those
        of the embeddings last. So the last heads may read embeddings only, with alignments of their own.
      output_shortcut: whether [context; hidden], projected by a second matrix, is added to the attentional
        vector after its tanh. So what is attended reaches the output layer linearly, and logits are not
        bounded. The lexical module of Nguyen and Chiang 2018 is such a path for embeddings.
      attention_heads: number of heads, each with its share of the keys and values (Vaswani et al. 2017).
        Several heads learn much faster than one.
      bridge: how the encoder's final state becomes the decoder's initial state, layer by layer: `dense` (a
        learned projection), `mean` (a learned projection of the encoder's mean output), `copy` (unchanged),
        or `zero`.
      tie_embeddings: whether the output layer is the transposed target embedding (Press and Wolf 2017). With
        a shared vocabulary, source and target embeddings are one table, too.
      word_dropout: share of tokens whose whole embedding is dropped, on both sides (Sennrich and Zhang 2019).
      embedding_dropout: dropout of embedded tokens.
      layer_input_dropout: dropout of the input of every recurrent layer. In the first layer of the decoder
        `conditional`, only the token is dropped, not the context.
      layer_dropout: dropout of the output of every recurrent layer.
      recurrent_dropout: dropout of the hidden state before the next step, with the same mask at every step of
        a sentence (variational dropout: Gal and Ghahramani 2016).
      memory_dropout: dropout of the encoder's outputs, which the attention and the bridge `mean` read.
      output_dropout: dropout of the attentional vector, before the softmax and before input feeding.
    """

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    embedding_units: Positive = 256
    encoder_units: Positive = 384
    encoder_layers: Positive = 1
    bidirectional: bool = True
    decoder_units: Positive = 384
    decoder_layers: Positive = 1
    decoder: Literal["luong", "gnmt", "input_feeding", "conditional"] = "luong"
    layer_norm: bool = False
    attention: Literal["general", "dot", "scaled", "additive", "none"] = "general"
    attend_embeddings: bool = False
    output_shortcut: bool = False
    attention_heads: Positive = 4
    bridge: Literal["dense", "mean", "copy", "zero"] = "dense"
    tie_embeddings: bool = True
    word_dropout: Rate = 0.0
    embedding_dropout: Rate = 0.1
    layer_input_dropout: Rate = 0.0
    layer_dropout: Rate = 0.1
    recurrent_dropout: Rate = 0.0
    memory_dropout: Rate = 0.0
    output_dropout: Rate = 0.1

    def __post_init__(self) -> None:
        units_are_equal = self.encoder_units == self.decoder_units
        units = f"Received: {self.encoder_units} and {self.decoder_units}"
        heads = self.attention_heads
        if self.bidirectional and self.encoder_units % 2:
            raise ValueError(f"encoder_units must be even when bidirectional. Received: {self.encoder_units}")
        if self.attention == "none":
            if self.decoder != "luong":
                raise ValueError(f"decoder {self.decoder} needs an attention, not none")
            if self.attend_embeddings:
                raise ValueError("attend_embeddings needs an attention, not none")
            if self.memory_dropout and self.bridge != "mean":
                raise ValueError("memory_dropout has no effect with attention none, unless bridge is mean")
            if self.bridge == "zero":
                raise ValueError(
                    "attention none needs a bridge: with bridge zero, the decoder would not read the source"
                )
        if self.decoder == "gnmt" and self.decoder_layers < 2:
            raise ValueError("decoder gnmt needs two decoder_layers or more. Received: 1")
        if self.attention in ("dot", "scaled") and not units_are_equal:
            raise ValueError(
                f"attention {self.attention} needs encoder_units equal to decoder_units; use general. {units}"
            )
        if self.bridge == "copy" and not units_are_equal:
            raise ValueError(f"bridge copy needs encoder_units equal to decoder_units; use dense. {units}")
        if self.attention != "none" and (self.encoder_units % heads or self.decoder_units % heads):
            raise ValueError(f"attention_heads {heads} must divide encoder_units and decoder_units. {units}")
        if self.attend_embeddings and self.embedding_units % heads:
            raise ValueError(
                f"attend_embeddings: attention_heads {heads} must divide embedding_units. "
                f"Received: {self.embedding_units}"
            )

    @property
    def context_units(self) -> int:
        """Width of the context vectors, and of the memory's values, of which they are weighted means."""
        return self.encoder_units + (self.embedding_units if self.attend_embeddings else 0)


class ServingLimits(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much one request to the exported model may ask for. More is refused before anything is computed.

    Attributes:
      batch_size: number of texts.
      text_bytes: bytes of one text in UTF-8.
      beam_size: `beam_size` of `translate_nbest`.
      samples: `samples` of `translate_sample`.
      max_length: `max_length` of both.
      target_length: tokens of one target of `score`, `</s>` included.
      hypotheses: number of texts times `beam_size` or `samples`. The memory of a step grows with it.
      tokens: number of texts times `beam_size` or `samples` times `max_length`; number of texts times the
        tokens of the longest source or target; number of texts times `beam_size` of `translate_constrained`
        times the number of different banned phrases times the bytes of the longest.
      banned: number of different phrases in `banned` of `translate_constrained`.
      required: number of phrases in `required` for one text.
      phrase_bytes: bytes of one of these phrases in UTF-8.
    """

    batch_size: Positive = 1024
    text_bytes: Positive = 65_536
    beam_size: Positive = 100
    samples: Positive = 100
    max_length: Positive = 1000
    target_length: Positive = 20_000
    hypotheses: Positive = 8192
    tokens: Positive = 500_000
    banned: Positive = 200
    required: Positive = 20
    phrase_bytes: Positive = 200


MOST_LENGTH_PENALTY = 10.0
"""The largest `length_penalty` of a request. Far above it, ((5 + length) / 6) ** alpha is infinite."""
MOST_REPEATED_NGRAM = 20
"""The largest `no_repeat_ngram` of a request."""
MOST_REPETITION_PENALTY = 10.0
"""The largest `repetition_penalty` of a request."""
MOST_LENGTH_FACTOR = 1000
"""The largest `max_length_factor` of a request."""
LENGTH_SLACK = 10
"""Tokens that `length_bound` adds to the product, for very short sources."""


def length_bound(factor: int, source_tokens: Any) -> Any:
    """Maximum number of target tokens by `max_length_factor`.

    Args:
      factor: `SearchSettings.max_length_factor`.
      source_tokens: number of source tokens, an integer or a tensor int32[...].
    """
    return factor * source_tokens + LENGTH_SLACK


class SearchSettings(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The search of the exported model, unless a caller gives other values.

    Attributes:
      beam_size: hypotheses kept at every step; 1 is greedy search.
      length_penalty: alpha of Wu et al. 2016, equation 14; 0 ranks by plain log probability. `auto`: the
        Trainer chooses it after the training, from 0 to 2, such that the translations of the eval split have
        as many characters per source character as the training targets. No reference is read for it.
        During the training, and with `beam_size` 1, it is 1.
      coverage_penalty: beta of the same equation; 0 ignores which source tokens were translated.
      min_length: minimum number of tokens of a translation, `</s>` included.
      max_length: maximum number of tokens of a translation, `</s>` included.
      max_length_factor: also limits a translation to this many tokens for each source token, plus 10, `</s>`
        included on both sides. 0: only `max_length` limits it. With a factor, the search ends sooner, and
        no translation repeats itself up to `max_length`. Marian has the same option; tensorflow/nmt
        uses 2. Check your data before you set it: a translation from a script with one character per word
        into an alphabet can be longer than twice its source.
      replace_unknown: with a vocabulary of words, replace an unknown word by the source word that it is
        aligned to (Jean et al. 2015, section 3.3), if the model has an attention.
    """

    beam_size: Positive = 5
    length_penalty: Annotated[float, msgspec.Meta(ge=0.0)] | Auto = 1.0
    coverage_penalty: Annotated[float, msgspec.Meta(ge=0.0)] = 0.0
    min_length: Positive = 1
    max_length: Positive = 80
    max_length_factor: Annotated[int, msgspec.Meta(ge=0)] = 0
    replace_unknown: bool = True

    def __post_init__(self) -> None:
        if self.min_length > self.max_length:
            raise ValueError(
                f"min_length must not be above max_length. Received: {self.min_length} and {self.max_length}"
            )

    @property
    def alpha(self) -> float:
        """`length_penalty` as a number.

        Raises:
          ValueError: it is `auto`, which the Trainer replaces.
        """
        if self.length_penalty == AUTO:
            raise ValueError("length_penalty is auto: the number follows from the trained model")
        return self.length_penalty

    def with_length_penalty(self, number: float) -> SearchSettings:
        """Returns this search with a number for `length_penalty: auto`."""
        return msgspec.structs.replace(self, length_penalty=number) if self.length_penalty == AUTO else self
