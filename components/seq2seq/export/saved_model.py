"""The SavedModel and its signatures, in core TensorFlow operations: from text to text, and step by step."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

from bitext.components.seq2seq import SearchSettings, ServingLimits, length_bound
from bitext.components.seq2seq.decoding.hypotheses import Hypotheses
from bitext.components.seq2seq.decoding.sampling import sample
from bitext.components.seq2seq.decoding.search import beam_search
from bitext.components.seq2seq.export import constrained, description, source_tokens
from bitext.components.seq2seq.export.requests import RequestChecks
from bitext.components.seq2seq.export.unknown_words import aligned_words
from bitext.components.seq2seq.memory import Memory
from bitext.components.seq2seq.model import BOS, EOS, PAD, Seq2Seq, Start, count_tokens
from bitext.components.shared.graphs import graph_function
from bitext.components.text.processor import TextPair

TEXT = tf.TensorSpec([None], tf.string)
Signature = Callable[..., dict[str, tf.Tensor]]
"""The Python function of a signature: named tensors -> named tensors."""


class Translator(tf.Module):
    """A model with its text processors. The trainer validates it and exports it.

    Args:
      model: the trained model.
      text: text processors of both sides, from the assets of the transform graph. Sources with more tokens
        than its `source_max_length` are truncated, because the model was not trained on such sources.
      search: the search that `serving_default` runs.
      limits: how much a request to a signature may ask for. A signature that is asked for more, or that has a
        wrong input, raises tf.errors.InvalidArgumentError. The error names the input.
    """

    def __init__(
        self,
        model: Seq2Seq,
        text: TextPair,
        search: SearchSettings,
        limits: ServingLimits = ServingLimits(),  # noqa: B008
    ):
        super().__init__(name="translator")
        self.model, self.search, self.limits = model, search, limits
        self.checks = RequestChecks(limits, model.target_size)
        self.source, self.target, self.source_max_length = text.source, text.target, text.source_max_length
        self.source_language = text.source_language

    def source_tokens(self, text: tf.Tensor) -> tf.Tensor:
        """Converts text string[B] to source tokens int32[B, S] with `</s>`, padded with 0."""
        return self._truncated(self.source.tokenize(text))

    def _truncated(self, tokens: tf.RaggedTensor) -> tf.Tensor:
        """Cuts the tokens int32[B, None] of whole texts, and adds `</s>` and padding: int32[B, S]."""
        eos = tf.fill([tokens.nrows(tf.int32), 1], EOS)
        return _to_padded(tf.concat([tokens[:, : self.source_max_length - 1], eos], 1))

    def target_tokens(self, text: tf.Tensor) -> tf.Tensor:
        """Converts text string[B] to target tokens int32[B, T] from `<s>` to `</s>`, padded with 0."""
        bos, eos = (tf.fill([tf.size(text), 1], token) for token in (BOS, EOS))
        return _to_padded(tf.concat([bos, self.target.tokenize(text), eos], 1), 2)

    def fitting(self, texts: Sequence[str]) -> list[str]:
        """Returns the first of the texts that one request to `serving_default` may have."""
        return self.checks.fitting(texts, self.search.beam_size, self.source_max_length)

    @staticmethod
    def is_blank(tokens: tf.Tensor) -> tf.Tensor:
        """Returns whether source tokens int32[B, S] are those of a blank text, `</s>` alone: bool[B]."""
        return tf.equal(tokens[:, 0], EOS)

    def start(self, text: tf.Tensor) -> Start:
        """Encodes text string[B]."""
        return self.model.start(self.source_tokens(text))

    def decode(
        self,
        start: Start,
        beam_size: tf.Tensor,
        length_penalty: tf.Tensor,
        max_length: tf.Tensor,
        nbest: tf.Tensor | int | None = None,
    ) -> Hypotheses:
        """Finds the `nbest` best translations of encoded sources.

        Arguments as in `beam_search`; `length_penalty` is its `alpha`. `self.search` sets the minimum length,
        the coverage penalty and `max_length_factor`.
        """
        settings = self.search
        min_length = tf.minimum(settings.min_length, max_length)
        if settings.max_length_factor:
            source_lengths = tf.reduce_sum(tf.cast(start.memory.mask, tf.int32), 1)
            bound = tf.maximum(length_bound(settings.max_length_factor, source_lengths), min_length)
            max_length = tf.minimum(bound, max_length)
        beta = description.coverage_penalty(self.model, settings)
        return beam_search(self.model, start, beam_size, length_penalty, max_length, min_length, beta, nbest)

    @property
    def replaces_unknown(self) -> bool:
        """Whether unknown words are replaced by the source words that they are aligned to."""
        words = self.source.words and self.target.words
        return words and self.search.replace_unknown and self.model.decoder.attends

    def detokenize_hypotheses(self, text: tf.Tensor, hypotheses: Hypotheses) -> tf.Tensor:
        """Converts translations of text string[B] to text string[B, N]."""
        tokens = hypotheses.tokens
        sentences, translations, length = tf.unstack(tf.shape(tokens))
        flat = tf.reshape(tokens, [sentences * translations, length])
        aligned = None
        if self.replaces_unknown:
            aligned = aligned_words(self.source, self.source_max_length - 1, text, hypotheses.alignment)
        return tf.reshape(self.target.detokenize(flat, aligned), [sentences, translations])

    @graph_function(input_signature=[TEXT])
    def translate(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the best translation of each text. The alignment has a row for every target token.

        A blank text has the translation "" with a score, length and alignment of 0, and no tokens.
        """
        search = self.search
        with tf.control_dependencies(self.checks.texts(text=text)):
            tokens = self.source_tokens(text)
        with tf.control_dependencies(self.checks.read(tokens, search.beam_size)):
            start = self.model.start(tokens)
            best = self.decode(start, search.beam_size, search.alpha, search.max_length, nbest=1)
            best = best.emptied_where(self.is_blank(tokens))
            return {
                "text": self.detokenize_hypotheses(text, best)[:, 0],
                "score": best.score[:, 0],
                "length": best.length[:, 0],
                "tokens": best.tokens[:, 0],
                "alignment": best.alignment[:, 0],
            }

    @graph_function(
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
        """Returns the `beam_size` best translations of each text, best first.

        All translations of a blank text are "" with scores and lengths of 0.
        """
        checks = self.checks.translations(text, "beam_size", beam_size, max_length)
        with tf.control_dependencies([*checks, *self.checks.search(length_penalty)]):
            tokens = self.source_tokens(text)
        with tf.control_dependencies(self.checks.read(tokens)):
            hypotheses = self.decode(self.model.start(tokens), beam_size, length_penalty, max_length)
            return self.outputs(text, tokens, hypotheses)

    def outputs(
        self, text: tf.Tensor, tokens: tf.Tensor, found: Hypotheses, texts: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Returns the outputs of a signature with N translations of each text; `texts`: theirs, if known."""
        hypotheses = found.emptied_where(self.is_blank(tokens))
        return {
            "text": self.detokenize_hypotheses(text, hypotheses) if texts is None else texts,
            "score": hypotheses.score,
            "log_prob": hypotheses.log_prob,
            "length": hypotheses.length,
            "tokens": hypotheses.tokens,
            "alignment": hypotheses.alignment,
        }

    @graph_function(
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
        """Returns random translations of each text, in the order drawn.

        All translations of a blank text are "" with scores and lengths of 0.
        """
        checks = self.checks.translations(text, "samples", samples, max_length)
        with tf.control_dependencies([*checks, *self.checks.sampling(temperature, top_k, top_p)]):
            tokens, min_length = self.source_tokens(text), tf.minimum(self.search.min_length, max_length)
        with tf.control_dependencies(self.checks.read(tokens)):
            start = self.model.start(tokens)
            drawn = sample(
                self.model, start, samples, max_length, seed, temperature, top_k, top_p, min_length
            )
            return self.outputs(text, tokens, drawn)

    @graph_function(input_signature=[TEXT, TEXT])
    def score(self, source: tf.Tensor, target: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns log probabilities of given translations. The alignment has a row for every target token."""
        with tf.control_dependencies(self.checks.texts(source=source, target=target)):
            read, tokens = self.source_tokens(source), self.target_tokens(target)
        with tf.control_dependencies([*self.checks.tokens("source", read), *self.checks.target(tokens)]):
            log_prob, alignment = self.model.score(read, tokens)
            labels = tokens[:, 1:]
            alignment *= tf.cast(tf.not_equal(labels, PAD), tf.float32)[:, :, tf.newaxis]
            return {"log_prob": log_prob, "length": count_tokens(labels), "alignment": alignment}

    @graph_function(input_signature=[TEXT])
    def tokenize(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the source tokens of text, as `encode` reads them: at most `source_max_length`."""
        with tf.control_dependencies(self.checks.texts(text=text)):
            whole = self.source.tokenize(text)
            tokens = self._truncated(whole)
            total = tf.cast(whole.row_lengths(), tf.int32) + 1
            return {"tokens": tokens, "length": count_tokens(tokens), "total_length": total}

    @graph_function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def detokenize(self, tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the text of target tokens, up to the first `</s>`."""
        with tf.control_dependencies(self.checks.target_ids(tokens)):
            return {"text": self.target.detokenize(tokens)}

    @graph_function(input_signature=[TEXT])
    def encode(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns the inputs of `decode_step` for each text: the memory, and the first state by name."""
        with tf.control_dependencies(self.checks.texts(text=text)):
            tokens = self.source_tokens(text)
        with tf.control_dependencies(self.checks.read(tokens)):
            return self.encode_padded(tokens)

    @graph_function(input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None], tf.int32)])
    def encode_tokens(self, tokens: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        """Returns what `encode` returns, from source tokens. Text and string tables are not read.

        What follows the `length` tokens of a sentence, which end with `</s>`, is ignored.
        """
        size, longest = self.model.source_embedding.shape[0], self.source_max_length
        return self.encode_padded(source_tokens.checked(self.checks, tokens, length, size, longest))

    def encode_padded(self, tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes the outputs of `encode` from source tokens int32[B, S], padded with 0."""
        start, decoder = self.model.start(tokens), self.model.decoder
        length = tf.reduce_sum(tf.cast(start.memory.mask, tf.int32), -1)
        outputs = {"memory": start.memory.values, "memory_length": length}
        if decoder.key_units:
            outputs["memory_keys"] = start.memory.keys
        if decoder.reads_position:
            outputs["position"] = tf.zeros_like(length)
        return outputs | dict(zip(decoder.state_names, tf.nest.flatten(start.state), strict=True))

    def decode_step(
        self, token: tf.Tensor, memory: tf.Tensor, memory_length: tf.Tensor, **rest: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Reads one token of one hypothesis per row.

        Args:
          token: int32[B].
          memory: float32[B, S, C], from `encode`.
          memory_length: int32[B], from `encode`.
          **rest: the other outputs of `encode`, or the state that the last step returned.

        Returns:
          Log probabilities float32[B, V] of the next token, the alignment float32[B, S], and the next state.
        """
        decoder = self.model.decoder
        mask = tf.sequence_mask(memory_length, tf.shape(memory)[1])
        source = Memory(memory, rest.get("memory_keys", memory[:, :, :0]), mask)
        state = tf.nest.pack_sequence_as(decoder.state_spec, [rest[name] for name in decoder.state_names])
        position = rest.get("position", 0)
        log_probs, alignment, state = self.model.step(token[:, tf.newaxis], position, state, source)
        outputs = {"log_probs": log_probs[:, 0], "alignment": alignment[:, 0]}
        if decoder.reads_position:
            outputs["position"] = position + 1
        return outputs | dict(zip(decoder.state_names, tf.nest.flatten(state), strict=True))

    def _checked_step(self, **inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Reads one token of one hypothesis per row. The memory may have one row for all hypotheses."""
        with tf.control_dependencies(self.checks.step(inputs)):
            return self.decode_step(**inputs)

    def _decode_step_inputs(self) -> dict[str, tf.TensorSpec]:
        units, decoder = self.model.settings.context_units, self.model.decoder
        specs = [
            tf.TensorSpec([None], tf.int32, "token"),
            tf.TensorSpec([None, None, units], tf.float32, "memory"),
            tf.TensorSpec([None], tf.int32, "memory_length"),
        ]
        if decoder.key_units:
            specs.append(tf.TensorSpec([None, None, decoder.key_units], tf.float32, "memory_keys"))
        if decoder.reads_position:
            specs.append(tf.TensorSpec([None], tf.int32, "position"))
        return {spec.name: spec for spec in [*specs, *tf.nest.flatten(decoder.state_spec)]}

    def save(self, folder: Path) -> None:
        """Writes the SavedModel with all signatures into a folder. TensorFlow alone loads it, on a CPU.

        The exported object has TensorFlow's variables. With Keras's variables, a session (TensorFlow Serving,
        C, Java) would restore copies that no signature reads.
        """
        step = graph_function(self._checked_step).get_concrete_function(**self._decode_step_inputs())
        exported = tf.Module()
        exported.weights = [variable.value for variable in self.model.variables]
        exported.text = [self.source, self.target]
        tf.saved_model.save(exported, str(folder), signatures=self._functions() | {"decode_step": step})

    def signatures(self) -> dict[str, tuple[Signature, dict[str, tf.TensorSpec]]]:
        """Returns the Python function of each signature, and its inputs."""
        signatures: dict[str, tuple[Signature, dict[str, tf.TensorSpec]]] = {}
        for name, function in self._functions().items():
            names = inspect.signature(function.python_function).parameters
            inputs = zip(names, function.input_signature, strict=True)
            specs = {n: tf.TensorSpec(spec.shape, spec.dtype, n) for n, spec in inputs}
            signatures[name] = function.python_function, specs
        return signatures | {"decode_step": (self._checked_step, self._decode_step_inputs())}

    def _functions(self) -> dict[str, tf.types.experimental.PolymorphicFunction]:
        """Returns the signatures whose inputs are the same for all models."""
        return {
            "serving_default": self.translate,
            "translate_nbest": self.translate_nbest,
            "translate_sample": self.translate_sample,
            "translate_constrained": constrained.function(self),
            "score": self.score,
            "tokenize": self.tokenize,
            "detokenize": self.detokenize,
            "encode": self.encode,
            "encode_tokens": self.encode_tokens,
        } | description.functions(
            self.model, self.search, self.limits, self.source_max_length, self.source_language
        )


def _to_padded(tokens: tf.RaggedTensor, least: int = 1) -> tf.Tensor:
    """Pads tokens with 0. The result has at least `least` columns, even for an empty batch."""
    dense = tokens.to_tensor(PAD)
    return tf.pad(dense, [[0, 0], [0, tf.maximum(least - tf.shape(dense)[1], 0)]])
