"""Checks of requests, in the graph: a wrong one gets an InvalidArgument that names the signature's input.

A request may be careless or hostile, and a server has nothing but this graph. Each check is an `Assert` with
the name of the input. All operations of a signature depend on its checks, so that nothing is computed for a
request that is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from bitext.components.seq2seq import MOST_LENGTH_PENALTY, ServingLimits


def check(name: str, is_valid: tf.Tensor, rule: str, received: tf.Tensor) -> tf.Operation:
    """Returns an operation that fails if an input is not valid.

    Args:
      name: the name of the input.
      is_valid: bool[].
      rule: what is valid: `must be from 1 to 9`.
      received: the value that is told.

    Raises:
      tf.errors.InvalidArgumentError: when the graph runs and `is_valid` is false.
    """
    if received.dtype == tf.string:  # without quotes, which `Assert` would escape
        texts = tf.strings.reduce_join(received, separator=", ")
        message = tf.strings.join([f"input {name} {rule}, received ", texts])
    else:
        message = tf.strings.format(f"input {name} {rule}, received {{}}", received)
    return tf.raw_ops.Assert(condition=is_valid, data=[message], name=name)


def in_range(name: str, value: tf.Tensor, lowest: float, highest: float) -> tf.Operation:
    """Checks a number; NaN is in no range."""
    is_valid = tf.logical_and(value >= lowest, value <= highest)
    return check(name, is_valid, f"must be from {lowest:,} to {highest:,}", value)


def equal(name: str, size: tf.Tensor, expected: tf.Tensor, rule: str) -> tf.Operation:
    """Checks that a size int32[] of an input is that of another input."""
    return check(name, tf.equal(size, expected), rule, tf.stack([size, expected]))


def none_of(name: str, values: tf.Tensor, wrong: tf.Tensor, rule: str) -> tf.Operation:
    """Checks that no value is wrong, bool of the shape of the values; the first wrong one is told."""
    return check(name, tf.logical_not(tf.reduce_any(wrong)), rule, tf.boolean_mask(values, wrong)[:1])


class RequestChecks:
    """The checks of the signatures.

    Args:
      limits: how much a request may ask for.
      vocabulary: V, number of target tokens.
    """

    def __init__(self, limits: ServingLimits, vocabulary: int):
        self.limits, self.vocabulary = limits, vocabulary

    def fitting(self, texts: Sequence[str], beam_size: int, source_max_length: int) -> list[str]:
        """Returns the first of the texts that one request of the default search may have.

        Args:
          texts: the texts.
          beam_size: that of the search.
          source_max_length: maximum number of tokens of a source.
        """
        limits = self.limits
        most = min(limits.batch_size, limits.hypotheses // beam_size, limits.tokens // source_max_length)
        return [text for text in texts if len(text.encode()) <= limits.text_bytes][:most]

    def texts(self, **texts: tf.Tensor) -> list[tf.Operation]:
        """Checks the number of texts string[B], their lengths, and that all inputs have as many.

        Args:
          **texts: by the name of the input.
        """
        most, most_bytes = self.limits.batch_size, self.limits.text_bytes
        checks = []
        for name, text in texts.items():
            rows = tf.size(text)
            longest = tf.maximum(tf.reduce_max(tf.strings.length(text)), 0)  # of an empty batch: negative
            checks += [
                check(name, rows <= most, f"must have at most {most:,} texts", rows),
                check(
                    name, longest <= most_bytes, f"must have texts of at most {most_bytes:,} bytes", longest
                ),
            ]
        first, *others = texts.items()
        for name, text in others:
            rule = f"must have as many texts as {first[0]}"
            received = tf.stack([tf.size(first[1]), tf.size(text)])
            checks.append(check(name, tf.equal(received[0], received[1]), rule, received))
        return checks

    def tokens(self, name: str, tokens: tf.Tensor) -> list[tf.Operation]:
        """Checks the size of the tokens int32[B, T] of an input's texts, with padding."""
        rule = "must have at most {most} tokens in all, each text as long as the longest"
        return [self._product(name, rule, *tf.unstack(tf.shape(tokens)))]

    def read(self, tokens: tf.Tensor, beam_size: int = 1) -> list[tf.Operation]:
        """Checks the size of source tokens int32[B, S], and the number of hypotheses with this beam size."""
        rows = tf.shape(tokens)[0]
        most = self.limits.hypotheses // beam_size
        rule = f"must have at most {most:,} texts for a beam size of {beam_size:,}"
        return [check("text", rows <= most, rule, rows), *self.tokens("text", tokens)]

    def target(self, tokens: tf.Tensor) -> list[tf.Operation]:
        """Checks the length of targets int32[B, T] from `<s>` to `</s>`."""
        most, longest = self.limits.target_length, tf.shape(tokens)[1] - 1
        rule = f"must have texts of at most {most:,} tokens"
        return [check("target", longest <= most, rule, longest), *self.tokens("target", tokens)]

    def target_ids(self, tokens: tf.Tensor) -> list[tf.Operation]:
        """Checks the input `tokens` int32[N, T] of `detokenize`: its size and its ids."""
        rows, most = tf.shape(tokens)[0], self.limits.hypotheses
        return [
            check("tokens", rows <= most, f"must have at most {most:,} rows", rows),
            *self.tokens("tokens", tokens),
            *self.ids("tokens", tokens),
        ]

    def ids(self, name: str, tokens: tf.Tensor) -> list[tf.Operation]:
        """Checks that tokens int32[...] are in the vocabulary."""
        outside = tf.logical_or(tokens < 0, tokens >= self.vocabulary)
        return [none_of(name, tokens, outside, f"must be tokens from 0 to {self.vocabulary - 1:,}")]

    def translations(
        self, text: tf.Tensor, count_name: str, count: tf.Tensor, max_length: tf.Tensor
    ) -> list[tf.Operation]:
        """Checks how many translations of each text are asked for, and how long they may be.

        Args:
          text: string[B].
          count_name: `beam_size` or `samples`.
          count: int32[], its value.
          max_length: int32[].
        """
        rows, most = tf.size(text), getattr(self.limits, count_name)
        return [
            *self.texts(text=text),
            in_range(count_name, count, 1, most),
            in_range("max_length", max_length, 1, self.limits.max_length),
            self._product(
                count_name, "times the number of texts must be at most {most}", rows, count, of="hypotheses"
            ),
            self._product(
                "max_length",
                f"times {count_name} times the number of texts must be at most {{most}}",
                rows,
                count,
                max_length,
            ),
        ]

    def search(self, length_penalty: tf.Tensor) -> list[tf.Operation]:
        """Checks the length penalty float32[]."""
        return [in_range("length_penalty", length_penalty, 0.0, MOST_LENGTH_PENALTY)]

    def sampling(self, temperature: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor) -> list[tf.Operation]:
        """Checks the options of sampling; see `sampling.sample`."""
        is_temperature = tf.logical_and(tf.math.is_finite(temperature), temperature >= 0.0)
        is_probability = tf.logical_and(top_p > 0.0, top_p <= 1.0)
        return [
            check("temperature", is_temperature, "must be finite, and 0 (greedy) or more", temperature),
            check("top_k", top_k >= 0, "must be 0 (off) or more", top_k),
            check("top_p", is_probability, "must be above 0 and at most 1 (off)", top_p),
        ]

    def step(self, inputs: Mapping[str, tf.Tensor]) -> list[tf.Operation]:
        """Checks the inputs of `decode_step`: the tokens, the rows of all inputs, and `memory_length`."""
        rows = {name: tf.shape(value)[0] for name, value in inputs.items()}
        count, of_memory, most = rows.pop("token"), rows.pop("memory"), tf.shape(inputs["memory"])[1]
        many = f"must have at most {self.limits.hypotheses:,} rows"
        checks = [
            check("token", count <= self.limits.hypotheses, many, count),
            *self.ids("token", inputs["token"]),
        ]
        for name, of_state in rows.items():
            if not name.startswith("memory"):
                checks.append(equal(name, of_state, count, "must have as many rows as token"))
        is_valid = tf.logical_or(tf.equal(of_memory, 1), tf.equal(of_memory, count))
        rule = "must have one row, or as many as token"
        checks.append(check("memory", is_valid, rule, tf.stack([of_memory, count])))
        for name, of_part in rows.items():
            if name.startswith("memory"):
                checks.append(equal(name, of_part, of_memory, "must have as many rows as memory"))
        if "memory_keys" in inputs:
            columns = tf.shape(inputs["memory_keys"])[1]
            checks.append(equal("memory_keys", columns, most, "must have as many columns as memory"))
        length = inputs["memory_length"]
        outside = tf.logical_or(length < 1, length > most)
        return [*checks, none_of("memory_length", length, outside, "must be from 1 to the columns of memory")]

    def _product(self, name: str, rule: str, *factors: tf.Tensor, of: str = "tokens") -> tf.Operation:
        """Checks a product of numbers int32[], which may be too large for int32; `{most}` is its limit."""
        most = getattr(self.limits, of)
        product = tf.reduce_prod(tf.cast(tf.stack(factors), tf.float64))
        return check(name, product <= float(most), rule.format(most=f"{most:,}"), product)
