"""The attention Seq2Seq: settings here, importing nothing heavy; the model in the modules beside it.

`cells` one step of a recurrent cell, `recurrence` a whole sequence of them, `encoder`, `attention`,
`decoder`, `model` the parts put together, `loss`, `search` the decoding, `export` the SavedModel.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from components.component import Parameters

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
      decoder: where the attention sits: `luong`, after all layers (Luong et al. 2015 without input feeding);
        `gnmt`, queried by the first layer, its context an input of all layers above (Wu et al. 2016).
      attention: `general`, `dot` or `scaled` (Luong et al. 2015, section 3.1; `scaled` divides by the root of
        the width), or `none`: the fixed context vector of Sutskever et al. 2014.
      bridge: how the encoder's last state becomes the decoder's first: `dense` (a learnt projection) or
        `zero`.
      tie_embeddings: the output layer is the target embedding, transposed (Press and Wolf 2017). With a
        shared vocabulary source and target embeddings are one as well.
      embedding_dropout: dropout of embedded tokens.
      layer_dropout: dropout of every recurrent layer's output.
      output_dropout: dropout of the attentional layer, before the softmax.
    """

    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    embedding_units: Positive = 256
    encoder_units: Positive = 384
    encoder_layers: Positive = 1
    bidirectional: bool = True
    decoder_units: Positive = 384
    decoder_layers: Positive = 1
    decoder: Literal["luong", "gnmt"] = "luong"
    attention: Literal["general", "dot", "scaled", "none"] = "general"
    bridge: Literal["dense", "zero"] = "dense"
    tie_embeddings: bool = True
    embedding_dropout: Rate = 0.1
    layer_dropout: Rate = 0.1
    output_dropout: Rate = 0.1

    def __post_init__(self) -> None:
        if self.bidirectional and self.encoder_units % 2:
            raise ValueError(f"encoder_units must be even when bidirectional. Received: {self.encoder_units}")
        if self.decoder == "gnmt" and (self.attention == "none" or self.decoder_layers < 2):
            raise ValueError("decoder gnmt needs an attention and two decoder_layers or more")
        if self.attention == "none" and self.bridge == "zero":
            raise ValueError(
                "attention none needs bridge dense: the decoder would know nothing of the source"
            )
        if self.attention in ("dot", "scaled") and self.encoder_units != self.decoder_units:
            raise ValueError(
                f"attention {self.attention} needs encoder_units equal to decoder_units; use general. "
                f"Received: {self.encoder_units} and {self.decoder_units}"
            )


class SearchSettings(Parameters, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the exported model searches unless a caller says otherwise.

    Attributes:
      beam_size: hypotheses kept at every step; 1 is greedy search.
      length_penalty: alpha of Wu et al. 2016, equation 14; 0 compares plain log probabilities.
      max_length: tokens of a translation at most, `</s>` included.
    """

    beam_size: Positive = 5
    length_penalty: Annotated[float, msgspec.Meta(ge=0.0)] = 1.0
    max_length: Positive = 80
