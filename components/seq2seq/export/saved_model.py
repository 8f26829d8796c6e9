"""The SavedModel: every signature a consumer needs, text to text and step by step, in core TensorFlow ops."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from bitext.components.seq2seq import SearchSettings, length_bound
from bitext.components.seq2seq.decoding.hypotheses import Hypotheses
from bitext.components.seq2seq.decoding.sampling import sample
from bitext.components.seq2seq.decoding.search import beam_search
from bitext.components.seq2seq.layers.attention import Memory
from bitext.components.seq2seq.model import BOS, EOS, PAD, UNK, Seq2Seq, Start, lengths
from bitext.components.text.processor import TextPair, pretokenize

TEXT = tf.TensorSpec([None], tf.string)
Signature = Callable[..., dict[str, tf.Tensor]]
"""From named tensors to named tensors."""


class Translator(tf.Module):
    """A model with its text path: what is exported, and what the trainer validates with.

    Args:
      model: the trained model.
      text: both sides' text processors, made from the transform graph's assets. Sources longer than its
        `source_max_length` are cut: none like them was trained on.
      search: the search done unless the caller says otherwise.
    """

    def __init__(self, model: Seq2Seq, text: TextPair, search: SearchSettings):
        super().__init__(name="translator")
        self.model, self.search = model, search
        self.source, self.target, self.source_max_length = text.source, text.target, text.source_max_length

    def source_tokens(self, text: tf.Tensor) -> tf.Tensor:
        """Source tokens int32[B, S] with `</s>`, padded with 0, of text string[B]."""
        tokens = self.source.tokenize(text)[:, : self.source_max_length - 1]
        ends = tf.fill([tf.size(text), 1], EOS)
        return _dense(tf.concat([tokens, ends], 1))

    def start(self, text: tf.Tensor) -> Start:
        """Encodes text string[B]."""
        return self.model.start(self.source_tokens(text))

    def target_tokens(self, text: tf.Tensor) -> tf.Tensor:
        """Target tokens int32[B, T] from `<s>` to `</s>`, padded with 0, of text string[B]."""
        begins = tf.fill([tf.size(text), 1], BOS)
        ends = tf.fill([tf.size(text), 1], EOS)
        return _dense(tf.concat([begins, self.target.tokenize(text), ends], 1))

    def decode(
        self,
        start: Start,
        beam_size: tf.Tensor,
        length_penalty: tf.Tensor,
        max_length: tf.Tensor,
        nbest: tf.Tensor | int | None = None,
    ) -> Hypotheses:
        """The `nbest` best translations of encoded sources; as many as the beam is wide if not given."""
        settings = self.search
        shortest = tf.minimum(settings.min_length, max_length)
        if settings.max_length_factor:
            sources = tf.reduce_sum(tf.cast(start.memory.mask, tf.int32), 1)
            longest = tf.maximum(length_bound(settings.max_length_factor, sources), shortest)
            max_length = tf.minimum(longest, max_length)
        # Without attention there is no coverage to speak of.
        beta = settings.coverage_penalty if self.model.decoder.attention is not None else 0.0
        return beam_search(self.model, start, beam_size, length_penalty, max_length, shortest, beta, nbest)

    @property
    def replacing(self) -> bool:
        """Whether unknown words are replaced by source words."""
        words = self.source.words and self.target.words
        return words and self.search.replace_unknown and self.model.decoder.attention is not None

    def texts(self, text: tf.Tensor, found: Hypotheses) -> tf.Tensor:
        """What the hypotheses of text string[B] read: string[B, N]."""
        tokens = found.tokens
        sentences, each, length = tf.unstack(tf.shape(tokens))
        flat = tf.reshape(tokens, [sentences * each, length])
        unknown = None
        if self.replacing:
            words = pretokenize(self.source.normalize(text))[:, : self.source_max_length - 1]
            words = words.to_tensor("", shape=[None, None])
            # As wide as the source, which has a token more: `</s>` is no word.
            missing = tf.shape(found.alignment)[3] - tf.shape(words)[1]
            words = tf.pad(words, [[0, 0], [0, missing]], constant_values="")
            real = tf.cast(tf.not_equal(words, ""), tf.float32)[:, tf.newaxis, tf.newaxis]
            places = tf.argmax(found.alignment * real, -1, output_type=tf.int32)
            aligned = tf.gather(words, tf.reshape(places, [sentences, each * length]), batch_dims=1)
            unknown = tf.reshape(aligned, [sentences * each, length])
        return tf.reshape(self.target.detokenize(flat, unknown), [sentences, each])

    @tf.function(input_signature=[TEXT])
    def translate(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """The best translation of each text; the alignment has a row for every target token."""
        start, search = self.start(text), self.search
        found = self.decode(start, search.beam_size, search.length_penalty, search.max_length, nbest=1)
        return {
            "text": self.texts(text, found)[:, 0],
            "score": found.score[:, 0],
            "length": found.length[:, 0],
            "alignment": found.alignment[:, 0],
        }

    @tf.function(
        input_signature=[
            TEXT,
            tf.TensorSpec([], tf.int32, "beam_size"),
            tf.TensorSpec([], tf.float32, "length_penalty"),
            tf.TensorSpec([], tf.int32, "max_length"),
        ]
    )
    def translate_nbest(
        self, text: tf.Tensor, beam_size: tf.Tensor, length_penalty: tf.Tensor, max_length: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The `beam_size` best translations of each text, best first."""
        found = self.decode(self.start(text), beam_size, length_penalty, max_length)
        return self._several(text, found)

    def _several(self, text: tf.Tensor, found: Hypotheses) -> dict[str, tf.Tensor]:
        """What is said of N translations of each text; an alignment has a row for every target token."""
        return {
            "text": self.texts(text, found),
            "score": found.score,
            "log_prob": found.log_prob,
            "length": found.length,
            "alignment": found.alignment,
        }

    @tf.function(
        input_signature=[
            TEXT,
            tf.TensorSpec([], tf.int32, "samples"),
            tf.TensorSpec([], tf.float32, "temperature"),
            tf.TensorSpec([], tf.int32, "top_k"),
            tf.TensorSpec([], tf.float32, "top_p"),
            tf.TensorSpec([], tf.int32, "max_length"),
            tf.TensorSpec([2], tf.int32, "seed"),
        ]
    )
    def translate_sample(
        self,
        text: tf.Tensor,
        samples: tf.Tensor,
        temperature: tf.Tensor,
        top_k: tf.Tensor,
        top_p: tf.Tensor,
        max_length: tf.Tensor,
        seed: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Translations of each text drawn at random, in the order drawn; see `sampling.sample`."""
        start, shortest = self.start(text), tf.minimum(self.search.min_length, max_length)
        found = sample(self.model, start, samples, max_length, seed, temperature, top_k, top_p, shortest)
        return self._several(text, found)

    @tf.function(input_signature=[TEXT, TEXT])
    def score(self, source: tf.Tensor, target: tf.Tensor) -> dict[str, tf.Tensor]:
        """Log probability of given translations, and their alignment: a row for every target token."""
        tokens = self.target_tokens(target)
        log_prob, alignment = self.model.score(self.source_tokens(source), tokens)
        words = tokens[:, 1:]
        alignment *= tf.cast(tf.not_equal(words, PAD), tf.float32)[:, :, tf.newaxis]
        return {"log_prob": log_prob, "length": lengths(words), "alignment": alignment}

    @tf.function(input_signature=[TEXT])
    def tokenize(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Source tokens of text, as `encode` reads them."""
        tokens = self.source_tokens(text)
        return {"tokens": tokens, "length": lengths(tokens)}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def detokenize(self, tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        """Text of target tokens, up to the first `</s>`."""
        return {"text": self.target.detokenize(tokens)}

    @tf.function(input_signature=[])
    def info(self) -> dict[str, tf.Tensor]:
        """The special tokens' ids, the target vocabulary's size, and what limits lengths by the source's."""
        numbers = {"pad": PAD, "bos": BOS, "eos": EOS, "unk": UNK, "vocab_size": self.model.target_size}
        numbers["max_length_factor"] = self.search.max_length_factor
        return {name: tf.constant(value, tf.int32) for name, value in numbers.items()}

    @tf.function(input_signature=[])
    def default_search(self) -> dict[str, tf.Tensor]:
        """What `serving_default` searches with: inputs of `translate_nbest`."""
        search = self.search
        return {
            "beam_size": tf.constant(search.beam_size, tf.int32),
            "length_penalty": tf.constant(search.length_penalty, tf.float32),
            "max_length": tf.constant(search.max_length, tf.int32),
        }

    @tf.function(input_signature=[TEXT])
    def encode(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """What `decode_step` needs of each text: the memory, and the first state by name."""
        return self.encode_tokens(self.source_tokens(text))

    def encode_tokens(self, tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        """`encode` of source tokens int32[B, S], padded with 0."""
        start = self.model.start(tokens)
        length = tf.reduce_sum(tf.cast(start.memory.mask, tf.int32), -1)
        memory = {"memory": start.memory.values, "memory_length": length}
        if self.model.decoder.attention is not None:
            memory["memory_keys"] = start.memory.keys
        return memory | dict(zip(self.model.decoder.state_names, start.state, strict=True))

    def _decode_step(
        self, token: tf.Tensor, memory: tf.Tensor, memory_length: tf.Tensor, **rest: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """One token of one hypothesis a row; states and memory as `encode` or the last step returned them."""
        names = self.model.decoder.state_names
        mask = tf.sequence_mask(memory_length, tf.shape(memory)[1])
        kept = Memory(memory, rest.get("memory_keys", memory[:, :, :0]), mask)
        state = tuple(rest[name] for name in names)
        state, log_probs, alignment = self.model.step(token[:, tf.newaxis], state, kept)
        outputs = {"log_probs": log_probs[:, 0], "alignment": alignment[:, 0]}
        return outputs | dict(zip(names, state, strict=True))

    def _step_signature(self) -> dict[str, tf.TensorSpec]:
        settings = self.model.settings
        keys = {}
        if self.model.decoder.attention is not None:
            width = self.model.decoder.attention.key_units
            keys["memory_keys"] = tf.TensorSpec([None, None, width], tf.float32, "memory_keys")
        widths = self.model.decoder.state_widths
        return {
            "token": tf.TensorSpec([None], tf.int32, "token"),
            "memory": tf.TensorSpec([None, None, settings.encoder_units], tf.float32, "memory"),
            "memory_length": tf.TensorSpec([None], tf.int32, "memory_length"),
            **keys,
            **{n: tf.TensorSpec([None, width], tf.float32, n) for n, width in widths.items()},
        }

    def save(self, folder: Path) -> None:
        """Writes the SavedModel with all signatures; it loads in stock TensorFlow on a CPU.

        What is saved is the signatures and what they read, as TensorFlow's own objects. Of a Keras variable,
        what a session restores (TensorFlow Serving's, C's, Java's) is a copy that nothing reads.
        """
        step = tf.function(self._decode_step).get_concrete_function(**self._step_signature())
        served = tf.Module()
        served.weights = [variable.value for variable in self.model.variables]
        served.text = [self.source, self.target]
        tf.saved_model.save(served, str(folder), signatures=self._graphs() | {"decode_step": step})

    def signatures(self) -> dict[str, tuple[Signature, dict[str, tf.TensorSpec]]]:
        """Each signature's function, yet to be traced, and what it takes."""
        found: dict[str, tuple[Signature, dict[str, tf.TensorSpec]]] = {}
        for name, graph in self._graphs().items():
            names = inspect.signature(graph.python_function).parameters
            inputs = zip(names, graph.input_signature, strict=True)
            found[name] = graph.python_function, {n: tf.TensorSpec(s.shape, s.dtype, n) for n, s in inputs}
        return found | {"decode_step": (self._decode_step, self._step_signature())}

    def _graphs(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """The signatures whose inputs are the same for all models."""
        return {
            "serving_default": self.translate,
            "translate_nbest": self.translate_nbest,
            "translate_sample": self.translate_sample,
            "score": self.score,
            "tokenize": self.tokenize,
            "detokenize": self.detokenize,
            "info": self.info,
            "default_search": self.default_search,
            "encode": self.encode,
        }


def _dense(tokens: tf.RaggedTensor) -> tf.Tensor:
    """Tokens padded with 0 to one position at least, which a batch of no text would not have by itself."""
    dense = tokens.to_tensor(PAD)
    return tf.pad(dense, [[0, 0], [0, tf.cast(tf.equal(tf.shape(dense)[1], 0), tf.int32)]])
