"""The attention Seq2Seq: settings here, importing nothing heavy; the model in the modules beside it.

`cells` one step of a recurrent cell, `recurrence` and `slopes` a whole sequence of them, `encoder`,
`attention`, `decoder`, `model` the parts put together, `dropout`, `loss`, `search` and `sampling` the
decoding, `checkpoint` the weights on disk, `export` the SavedModel, `quantise` and `lite` its smaller forms,
`warm_up` the requests a server does before it serves it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from bitext.components.component import Parameters

WEIGHTS_FILE, VOCABULARY_FILE, SETTINGS_FILE = "weights.npz", "vocabulary.json", "settings.json"
"""What a Model artifact's `checkpoint` folder holds: arrays by name, tokens by id, `ModelSettings`."""

Positive = Annotated[int, msgspec.Meta(ge=1)]
Rate = Annotated[float, msgspec.Meta(ge=0.0, lt=1.0)]


class ModelSettings(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The architecture.

    Attributes:
      cell: `lstm` (Hochreiter and Schmidhuber 1997), `gru` (Cho et al. 2014, cuDNN's form) or `rnn` (Elman
        1990).
      embedding_units: width of the embeddings and, so that the output layer can be tied to them, of the
        attentional layer before the softmax.
      encoder_units: width of the encoder, of both directions together.
      encoder_layers: how many encoder layers; residual connections from the second on.
      bidirectional: whether half of the encoder's units read the source from its end.
      decoder_units: width of the decoder.
      decoder_layers: how many decoder layers; residual connections from the second on.
      decoder: where the attention sits. `luong`: after all layers, its context seen by the output alone
        (Luong et al. 2015 without input feeding). `gnmt`: the first layer queries it, and its context is an
        input of all layers above (Wu et al. 2016). `input_feeding`: after all layers, its attentional vector
        an input of the first layer at the next step (Luong et al. 2015, section 3.3). `conditional`: between
        two cells of the first layer (Sennrich et al. 2017, section 2), its context also an input of the
        layers above. The first two attend for all positions at once in training, the others step by step.
      layer_norm: layer normalisation in the cells (Ba et al. 2016).
      attention: `general` or `dot` (Luong et al. 2015, section 3.1), `scaled` (dot over the root of a head's
        width: Vaswani et al. 2017, section 3.2.1), `additive` (Bahdanau et al. 2015), or `none`: the fixed
        context vector of Sutskever et al. 2014.
      attention_heads: how many alignments, each over its share of the keys and values (Vaswani et al. 2017).
        Several learn much faster than one.
      bridge: how the encoder's last state becomes the decoder's first, layer by layer: `dense` (a learnt
        projection), `mean` (a learnt projection of the encoder's mean output), `copy` (as it is), or `zero`.
      tie_embeddings: the output layer is the target embedding, transposed (Press and Wolf 2017). With a
        shared vocabulary source and target embeddings are one as well.
      word_dropout: share of tokens whose whole embedding is dropped, on both sides (Sennrich and Zhang 2019).
      embedding_dropout: dropout of embedded tokens.
      layer_input_dropout: dropout of every recurrent layer's input (of a conditional layer's, the token's).
      layer_dropout: dropout of every recurrent layer's output.
      recurrent_dropout: dropout of the hidden state on its way to the next step, the same at every step of a
        sentence (variational dropout: Gal and Ghahramani 2016).
      memory_dropout: dropout of the encoder's outputs, which the attention and the bridge `mean` read.
      output_dropout: dropout of the attentional layer, before the softmax, and before it is fed on.
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
        equal = self.encoder_units == self.decoder_units
        units = f"Received: {self.encoder_units} and {self.decoder_units}"
        heads = self.attention_heads
        if self.bidirectional and self.encoder_units % 2:
            raise ValueError(f"encoder_units must be even when bidirectional. Received: {self.encoder_units}")
        if self.attention == "none":
            if self.decoder != "luong":
                raise ValueError(f"decoder {self.decoder} needs an attention, not none")
            if self.memory_dropout and self.bridge != "mean":
                raise ValueError(
                    "memory_dropout needs an attention or bridge mean: nothing else reads a memory"
                )
            if self.bridge == "zero":
                raise ValueError(
                    "attention none needs a bridge: the decoder would know nothing of the source with zero"
                )
        if self.decoder == "gnmt" and self.decoder_layers < 2:
            raise ValueError("decoder gnmt needs two decoder_layers or more")
        if self.attention in ("dot", "scaled") and not equal:
            raise ValueError(
                f"attention {self.attention} needs encoder_units equal to decoder_units; use general. {units}"
            )
        if self.bridge == "copy" and not equal:
            raise ValueError(f"bridge copy needs encoder_units equal to decoder_units; use dense. {units}")
        if self.attention != "none" and (self.encoder_units % heads or self.decoder_units % heads):
            raise ValueError(f"attention_heads {heads} must divide encoder_units and decoder_units. {units}")


LENGTH_SLACK = 10
"""What a translation of a very short source may be longer by; see `SearchSettings.max_length_factor`."""


def length_bound(factor: int, source_tokens: Any) -> Any:
    """Tokens of a translation at most, by `max_length_factor`, of an integer or a tensor int32[...]."""
    return factor * source_tokens + LENGTH_SLACK


class SearchSettings(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the exported model searches unless a caller says otherwise.

    Attributes:
      beam_size: hypotheses kept at every step; 1 is greedy search.
      length_penalty: alpha of Wu et al. 2016, equation 14; 0 compares plain log probabilities.
      coverage_penalty: beta of the same equation; 0 does not ask what of the source was translated.
      min_length: tokens of a translation at least, `</s>` included.
      max_length: tokens of a translation at most, `</s>` included.
      max_length_factor: and at most so many for each token of its source, plus LENGTH_SLACK, `</s>` included
        on both sides (twice the source in tensorflow/nmt; Marian's `max-length-factor`). The search is done
        sooner, and no translation babbles on. 0: `max_length` alone. Look at your data before setting it:
        from a script with a character a word into one with letters, 2 would cut what is right.
      replace_unknown: in a vocabulary of words, put the source word that an unknown word is aligned to in its
        place (Jean et al. 2015, section 3.3), where the model has an attention.
    """

    beam_size: Positive = 5
    length_penalty: Annotated[float, msgspec.Meta(ge=0.0)] = 1.0
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
