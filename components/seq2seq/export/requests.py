"""Checks of requests, in the graph: a wrong one gets an InvalidArgument that names the signature's input.

A request may be careless or hostile, and a server has nothing but this graph. Each check is an `Assert` with
the name of the input. All operations of a signature depend on its checks, so that nothing is computed for a
request that is refused.
"""

from __future__ import annotations

from collections.abc import Mapping

import tensorflow as tf

from bitext.components.seq2seq import ServingLimits

MOST_LENGTH_PENALTY = 10.0
"""The largest `length_penalty`. Far above it, ((5 + length) / 6) ** alpha is infinite."""
_PER_ROW_ONCE = frozenset({"memory", "memory_length", "memory_keys"})
"""The inputs of `decode_step` that may have one row for all hypotheses."""


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
    message = tf.strings.format(f"input {name} {rule}, received {{}}", received)
    return tf.raw_ops.Assert(condition=is_valid, data=[message], name=name)


def in_range(name: str, value: tf.Tensor, lowest: float, highest: float) -> tf.Operation:
    """Checks a number; NaN is in no range."""
    is_valid = tf.logical_and(value >= lowest, value <= highest)
    return check(name, is_valid, f"must be from {lowest:,} to {highest:,}", value)


class RequestChecks:
    """The checks of the signatures.

    Args:
      limits: how much a request may ask for.
      vocabulary: V, number of target tokens.
    """

    def __init__(self, limits: ServingLimits, vocabulary: int):
        self.limits, self.vocabulary = limits, vocabulary

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
            sizes = tf.stack([tf.size(first[1]), tf.size(text)])
            rule = f"must have as many texts as {first[0]}"
            checks.append(check(name, tf.equal(sizes[0], sizes[1]), rule, sizes))
        return checks

    def tokens(self, name: str, tokens: tf.Tensor) -> list[tf.Operation]:
        """Checks the size of the tokens int32[B, T] of an input's texts, with padding."""
        return [
            self._product(name, "number of texts times tokens of the longest", *tf.unstack(tf.shape(tokens)))
        ]

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

    def ids(self, name: str, tokens: tf.Tensor) -> list[tf.Operation]:
        """Checks that tokens int32[...] are in the vocabulary."""
        outside = tf.logical_or(tokens < 0, tokens >= self.vocabulary)
        rule = f"must be tokens from 0 to {self.vocabulary - 1:,}"
        return [
            check(name, tf.logical_not(tf.reduce_any(outside)), rule, tf.boolean_mask(tokens, outside)[:1])
        ]

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
            self._product(count_name, "its product with the number of texts", rows, count, of="hypotheses"),
            self._product(
                "max_length",
                f"its product with {count_name} and the number of texts",
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
        of_memory, most = rows["memory"], tf.shape(inputs["memory"])[1]
        checks = self.ids("token", inputs["token"])
        for name, count in rows.items():
            sizes = tf.stack([count, rows["token"]])
            if name == "memory":
                is_valid = tf.logical_or(tf.equal(count, rows["token"]), tf.equal(count, 1))
                rule = "must have one row, or as many as token"
            elif name in _PER_ROW_ONCE:
                sizes = tf.stack([count, of_memory])
                is_valid, rule = tf.equal(count, of_memory), "must have as many rows as memory"
            else:
                is_valid, rule = tf.equal(count, rows["token"]), "must have as many rows as token"
            checks.append(check(name, is_valid, rule, sizes))
        if "memory_keys" in inputs:
            lengths = tf.stack([tf.shape(inputs["memory_keys"])[1], most])
            rule = "must have as many columns as memory"
            checks.append(check("memory_keys", tf.equal(lengths[0], lengths[1]), rule, lengths))
        length = inputs["memory_length"]
        outside = tf.logical_or(length < 1, length > most)
        rule = "must be from 1 to the columns of memory"
        wrong = tf.boolean_mask(length, outside)[:1]
        return [*checks, check("memory_length", tf.logical_not(tf.reduce_any(outside)), rule, wrong)]

    def _product(self, name: str, what: str, *factors: tf.Tensor, of: str = "tokens") -> tf.Operation:
        """Checks a product of numbers int32[], which may be too large for int32."""
        most = getattr(self.limits, of)
        product = tf.reduce_prod(tf.cast(tf.stack(factors), tf.float64))
        return check(name, product <= float(most), f"{what} must be at most {most:,}", product)
