"""The signature `translate_constrained`: an n-best search with constraints that are given as text."""

from __future__ import annotations

from typing import Protocol

import tensorflow as tf

from bitext.components.seq2seq import (
    MOST_LENGTH_FACTOR,
    MOST_REPEATED_NGRAM,
    MOST_REPETITION_PENALTY,
    SearchSettings,
    ServingLimits,
    length_bound,
)
from bitext.components.seq2seq.decoding.constrained import Constraints, constrained_search
from bitext.components.seq2seq.decoding.hypotheses import Hypotheses, ScoredTokens
from bitext.components.seq2seq.decoding.phrases import Phrases
from bitext.components.seq2seq.decoding.scoring import NEG_INF
from bitext.components.seq2seq.export import description
from bitext.components.seq2seq.export.given_constraints import GivenConstraints
from bitext.components.seq2seq.export.requests import RequestChecks, check, equal, in_range, none_of
from bitext.components.seq2seq.model import Seq2Seq, Start, count_tokens
from bitext.components.shared.graphs import graph_function
from bitext.components.text.processor import TextProcessor


class Translator(Protocol):
    """What the signature needs of `saved_model.Translator`."""

    model: Seq2Seq
    search: SearchSettings
    limits: ServingLimits
    target: TextProcessor

    def source_tokens(self, text: tf.Tensor) -> tf.Tensor: ...

    def is_blank(self, tokens: tf.Tensor) -> tf.Tensor: ...

    def detokenize_hypotheses(self, text: tf.Tensor, hypotheses: Hypotheses) -> tf.Tensor: ...

    def outputs(
        self, text: tf.Tensor, tokens: tf.Tensor, found: Hypotheses, texts: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]: ...


_INPUTS = [
    tf.TensorSpec([None], tf.string),
    tf.TensorSpec([None], tf.string, "prefix"),
    tf.TensorSpec([None, None], tf.string, "required"),
    tf.TensorSpec([None, None], tf.string, "banned"),
    tf.TensorSpec([], tf.int32, "no_repeat_ngram"),
    tf.TensorSpec([], tf.float32, "repetition_penalty"),
    tf.TensorSpec([], tf.int32, "max_length_factor"),
    tf.TensorSpec([], tf.int32, "beam_size"),
    tf.TensorSpec([], tf.float32, "length_penalty"),
    tf.TensorSpec([], tf.int32, "max_length"),
]


def function(translator: Translator) -> tf.types.experimental.PolymorphicFunction:
    """Returns the signature of a translator."""
    checks = _Checks(translator.limits, translator.model.target_size)
    checks.marks_ends = translator.target.mark == "after"

    @graph_function(input_signature=_INPUTS)
    def translate_constrained(
        text: tf.Tensor,
        prefix: tf.Tensor,
        required: tf.Tensor,
        banned: tf.Tensor,
        no_repeat_ngram: tf.Tensor,
        repetition_penalty: tf.Tensor,
        max_length_factor: tf.Tensor,
        beam_size: tf.Tensor,
        length_penalty: tf.Tensor,
        max_length: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        """Returns the best translations of each text that meet constraints, best first.

        A row that no translation fills is empty, with a score of -1e9; `meets_constraints` is false. The
        translations of a blank text are "", which meets neither a prefix nor required phrases.
        """
        first = [
            *checks.translations(text, "beam_size", beam_size, max_length),
            *checks.search(length_penalty),
            *checks.texts(text=text, prefix=prefix),
            *checks.phrases(text, "required", required),
            *checks.phrases(text, "banned", banned),
            in_range("no_repeat_ngram", no_repeat_ngram, 0, MOST_REPEATED_NGRAM),
            in_range("repetition_penalty", repetition_penalty, 1.0, MOST_REPETITION_PENALTY),
            in_range("max_length_factor", max_length_factor, 0, MOST_LENGTH_FACTOR),
        ]
        with tf.control_dependencies(first):
            tokens = translator.source_tokens(text)
            request = GivenConstraints.of(translator.target, prefix, required, banned)
        second = [
            *checks.read(tokens),
            *checks.fit(request, max_length),
            checks.work(text, beam_size, request.banned),
        ]
        with tf.control_dependencies(second):
            start = translator.model.start(tokens)
            longest = _longest(translator, start, request, max_length_factor, max_length)
            constraints = request.constraints(translator.target, no_repeat_ngram, repetition_penalty)
            found = _search(translator, start, beam_size, length_penalty, longest, constraints)
            return _outputs(translator, text, tokens, found, request)

    return translate_constrained


def _search(
    translator: Translator,
    start: Start,
    beam_size: tf.Tensor,
    length_penalty: tf.Tensor,
    max_length: tf.Tensor,
    constraints: Constraints,
) -> ScoredTokens:
    search, model = translator.search, translator.model
    min_length = tf.minimum(search.min_length, tf.reduce_min(max_length))
    beta = description.coverage_penalty(model, search)
    return constrained_search(
        model, start, beam_size, length_penalty, max_length, constraints, min_length, beta
    )


def _longest(
    translator: Translator, start: Start, request: GivenConstraints, factor: tf.Tensor, max_length: tf.Tensor
) -> tf.Tensor:
    """Returns the largest number of target tokens int32[B]: `max_length`, or less with a factor."""
    length = tf.reduce_sum(tf.cast(start.memory.mask, tf.int32), 1)
    bound = tf.where(factor > 0, length_bound(factor, length), max_length)
    of_prefix = request.forced.token_count + request.forced.rest_length
    least = of_prefix + tf.reduce_sum(count_tokens(request.tokens), 1) + 1
    return tf.minimum(tf.maximum(bound, tf.maximum(least, translator.search.min_length)), max_length)


def _outputs(
    translator: Translator, text: tf.Tensor, tokens: tf.Tensor, found: ScoredTokens, request: GivenConstraints
) -> dict[str, tf.Tensor]:
    """Returns the outputs of the signature, without translations that do not meet the constraints."""
    texts = translator.detokenize_hypotheses(text, found)
    order = found.ranked(request.is_met_by(texts) & (found.length > 0))
    found, texts = found.only(order), tf.gather(texts, tf.maximum(order, 0), batch_dims=1)
    is_blank = translator.is_blank(tokens)
    texts = tf.where((found.length > 0) & ~is_blank[:, tf.newaxis], texts, "")
    is_met = tf.where(is_blank[:, tf.newaxis], request.is_met_by(tf.zeros_like(texts)), found.length > 0)
    outputs = translator.outputs(text, tokens, found, texts)
    outputs |= {name: tf.where(is_met, outputs[name], NEG_INF) for name in ("score", "log_prob")}
    scores = found.emptied_where(is_blank).token_log_probs
    return outputs | {"token_log_probs": scores, "meets_constraints": is_met}


class _Checks(RequestChecks):
    """The checks of the inputs that are constraints."""

    marks_ends = False
    """Whether the tokens mark where words end."""

    def phrases(self, text: tf.Tensor, name: str, texts: tf.Tensor) -> list[tf.Operation]:
        """Checks the number of phrases string[B, N] of an input, and their lengths."""
        limits = self.limits
        longest = tf.maximum(tf.reduce_max(tf.strings.length(texts)), 0)  # without phrases: negative
        if name == "required":
            most, count, what = limits.required, tf.shape(texts)[1], "phrases for a text"
        else:
            most, what = limits.banned, "different phrases"
            different, _ = tf.unique(tf.reshape(texts, [-1]))
            count = tf.math.count_nonzero(tf.not_equal(different, ""), dtype=tf.int32)
        rule = f"must have phrases of at most {limits.phrase_bytes:,} bytes"
        return [
            equal(name, tf.shape(texts)[0], tf.size(text), "must have as many rows as text"),
            check(name, longest <= limits.phrase_bytes, rule, longest),
            check(name, count <= most, f"must have at most {most:,} {what}", count),
        ]

    def fit(self, request: GivenConstraints, max_length: tf.Tensor) -> list[tf.Operation]:
        """Checks that the constraints can be met: that they agree, and that the tokens can have them."""
        prefix, banned, forced = request.prefix, request.banned, request.forced
        # With a rare letter behind it, because the last word of a prefix may go on.
        begun = tf.strings.join([prefix, tf.where(request.prefix_ends, " ", "\U00010400")])[:, tf.newaxis]
        of_prefix = tf.reduce_any(banned.contained(begun)[:, 0], 1)
        required = tf.gather(request.required.strings, request.required.index)
        of_required = tf.reduce_any(banned.contained(required), 2)
        of_prefix_tokens = forced.token_count + tf.minimum(forced.rest_length, 1)
        needed = of_prefix_tokens + tf.reduce_sum(count_tokens(request.tokens), 1)
        most = tf.maximum(tf.reduce_max(needed), 0) + 1
        rule = "must have room for the tokens of the prefix, those of the required phrases and the end"
        unwritable = "must be text that the model's tokens can spell"
        checks = [
            check("max_length", most <= max_length, rule, tf.stack([max_length, most])),
            none_of("prefix", prefix, of_prefix, "must not contain a banned phrase"),
            none_of("required", required, of_required, "must not contain a banned phrase"),
            none_of("prefix", prefix, ~request.is_writable, unwritable),
            check("required", tf.equal(tf.size(request.unwritable), 0), unwritable, request.unwritable[:1]),
        ]
        if self.marks_ends:
            is_given = tf.reduce_any(request.required.length > 0)
            rule = "must be empty, because the model's tokens mark where words end, not where they begin"
            checks.append(check("required", ~is_given, rule, request.required.strings[:1]))
        return checks

    def work(self, text: tf.Tensor, beam_size: tf.Tensor, banned: Phrases) -> tf.Operation:
        """Checks how much is compared at each step."""
        rule = "must be fewer or shorter: the number of texts times beam_size times different phrases times"
        rule += " bytes of the longest must be at most {most}"
        return self._product("banned", rule, tf.size(text), beam_size, *tf.unstack(tf.shape(banned.text)))
