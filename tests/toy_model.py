"""A SavedModel with the signatures of a real export. It upper-cases, copies or reverses words.

The score of a translation is minus its length in tokens. Each target token has probability 1/2: perplexity 2.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

Behavior = Literal["upper", "copy", "reverse"]
BATCH_OF_TEXT = tf.TensorSpec([None], tf.string)
SCALAR_INT, SCALAR_FLOAT = tf.TensorSpec([], tf.int32), tf.TensorSpec([], tf.float32)
MAX_LENGTH = 400
"""Tokens (bytes) of the longest source that the toy model claims to read."""
OFFSET = 4
"""Byte b is token b + OFFSET. Tokens below OFFSET are pad, bos, eos and unk."""


class ToyTranslator(tf.Module):
    """Translates word by word."""

    def __init__(self, behavior: Behavior):
        super().__init__()
        self.behavior = behavior

    def _words(self, text: tf.Tensor) -> tf.RaggedTensor:
        return tf.strings.split(text)

    def _translate(self, text: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        words = self._words(text)
        if self.behavior == "reverse":
            words = tf.reverse(words.to_tensor(default_value=""), axis=[1])
            translation = tf.strings.strip(tf.strings.reduce_join(words, axis=1, separator=" "))
        else:
            translation = tf.strings.reduce_join(words, axis=1, separator=" ")
        if self.behavior == "upper":
            translation = tf.strings.upper(translation, encoding="utf-8")
        length = tf.cast(self._words(translation).row_lengths(), tf.int32) + 1
        return translation, -tf.cast(length, tf.float32), length

    @tf.function(input_signature=[BATCH_OF_TEXT])
    def translate(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        translation, score, length = self._translate(text)
        alignment = tf.zeros(tf.stack([tf.size(text), tf.reduce_max(length), tf.reduce_max(length)]))
        return {"text": translation, "score": score, "length": length, "alignment": alignment}

    @tf.function(input_signature=[BATCH_OF_TEXT, SCALAR_INT, SCALAR_FLOAT, SCALAR_INT])
    def translate_nbest(
        self, text: tf.Tensor, beam_size: tf.Tensor, length_penalty: tf.Tensor, max_length: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """Hypothesis n is the translation with n copies of its first character before it."""
        translation, score, length = self._translate(text)
        score = score * length_penalty
        rank = tf.range(beam_size)
        first = tf.strings.substr(translation, 0, 1, unit="UTF8_CHAR")

        def hypothesis(n: tf.Tensor) -> tf.Tensor:
            prefix = tf.strings.reduce_join(tf.repeat(first[:, None], n, axis=1), axis=1)
            return tf.strings.join([prefix, translation])

        texts = tf.map_fn(hypothesis, rank, fn_output_signature=tf.string)
        lengths = tf.minimum(tf.repeat(length[:, None], beam_size, axis=1), max_length)
        score = score[:, None] - tf.cast(rank, tf.float32)[None, :]
        return self._translations(tf.transpose(texts), score, lengths)

    @tf.function(
        input_signature=[
            BATCH_OF_TEXT,
            tf.TensorSpec([None], tf.string),
            tf.TensorSpec([None, None], tf.string),
            tf.TensorSpec([None, None], tf.string),
            SCALAR_INT,
            SCALAR_FLOAT,
            SCALAR_INT,
            SCALAR_INT,
            SCALAR_FLOAT,
            SCALAR_INT,
        ]
    )
    def translate_constrained(
        self,
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
        """Returns the translations with the prefix before them, without other constraints."""
        found = self.translate_nbest(text, beam_size, length_penalty, max_length)
        scores = tf.repeat(found["score"][:, :, None], tf.reduce_max(found["length"]), axis=2)
        return found | {
            "text": tf.strings.join([tf.repeat(prefix[:, None], beam_size, axis=1), found["text"]]),
            "token_log_probs": scores,
            "meets_constraints": tf.ones_like(found["length"], tf.bool),
        }

    def _translations(self, texts: tf.Tensor, score: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        alignment = tf.ones(tf.concat([tf.shape(length), [tf.reduce_max(length), 1]], 0))
        return {"text": texts, "score": score, "log_prob": score, "length": length, "alignment": alignment}

    @tf.function(
        input_signature=[
            BATCH_OF_TEXT,
            SCALAR_INT,
            SCALAR_FLOAT,
            SCALAR_INT,
            SCALAR_FLOAT,
            SCALAR_INT,
            tf.TensorSpec([2], tf.int32),
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
        """Returns the translation as every sample."""
        return self._translations(
            *(tf.repeat(output[:, None], samples, axis=1) for output in self._translate(text))
        )

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "source"),
            tf.TensorSpec([None], tf.string, "target"),
        ]
    )
    def score(self, source: tf.Tensor, target: tf.Tensor) -> dict[str, tf.Tensor]:
        length = tf.cast(self._words(target).row_lengths(), tf.int32) + 1
        length += 0 * tf.cast(self._words(source).row_lengths(), tf.int32)
        uniform = tf.ones([tf.size(target), tf.reduce_max(length), 1])
        return {
            "log_prob": -math.log(2.0) * tf.cast(length, tf.float32),
            "length": length,
            "alignment": uniform,
        }

    @tf.function(input_signature=[BATCH_OF_TEXT])
    def tokenize(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        characters = tf.strings.bytes_split(text)
        values = tf.cast(tf.reshape(tf.io.decode_raw(characters.flat_values, tf.uint8), [-1]), tf.int32)
        lengths = tf.cast(tf.strings.length(text), tf.int32)
        tokens = characters.with_flat_values(values + OFFSET).to_tensor()
        return {"tokens": tokens, "length": lengths, "total_length": lengths}

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def detokenize(self, tokens: tf.Tensor) -> dict[str, tf.Tensor]:
        alphabet = tf.constant([b""] * OFFSET + [bytes([b]) for b in range(256)])
        return {"text": tf.strings.reduce_join(tf.gather(alphabet, tokens), axis=1)}

    @tf.function(input_signature=[BATCH_OF_TEXT])
    def encode(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        length = tf.cast(tf.strings.length(text), tf.int32)
        memory = tf.sequence_mask(length, dtype=tf.float32)[:, :, None]
        return {"memory": memory, "memory_length": length, "state": tf.zeros([tf.size(text), 1])}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None], tf.int32, "tokens"),
            tf.TensorSpec([None], tf.int32, "length"),
        ]
    )
    def encode_tokens(self, tokens: tf.Tensor, length: tf.Tensor) -> dict[str, tf.Tensor]:
        memory = tf.sequence_mask(length, tf.shape(tokens)[1], dtype=tf.float32)[:, :, None]
        return {"memory": memory, "memory_length": length, "state": tf.zeros([tf.size(length), 1])}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, None, 1], tf.float32),
            tf.TensorSpec([None], tf.int32),
            tf.TensorSpec([None, 1], tf.float32),
        ]
    )
    def decode_step(
        self, token: tf.Tensor, memory: tf.Tensor, memory_length: tf.Tensor, state: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        logits = tf.one_hot(token, OFFSET + 256) + state
        alignment = memory[:, :, 0] / tf.cast(tf.maximum(memory_length, 1), tf.float32)[:, None]
        return {"log_probs": tf.nn.log_softmax(logits), "alignment": alignment, "state": state + 1.0}

    @tf.function(input_signature=[])
    def default_search(self) -> dict[str, tf.Tensor]:
        """Beam size 2, length penalty 1, and at most 50 tokens."""
        return {
            "beam_size": tf.constant(2),
            "length_penalty": tf.constant(1.0),
            "max_length": tf.constant(50),
        }

    @tf.function(input_signature=[])
    def languages(self) -> dict[str, tf.Tensor]:
        return {"source_language": tf.constant("en")}

    @tf.function(input_signature=[])
    def info(self) -> dict[str, tf.Tensor]:
        values = {
            "pad": 0,
            "bos": 1,
            "eos": 2,
            "unk": 3,
            "vocab_size": OFFSET + 256,
            "source_max_length": MAX_LENGTH,
        }
        return {name: tf.constant(value, tf.int32) for name, value in values.items()}


def signatures(module: ToyTranslator) -> dict[str, Any]:
    """Returns the functions of a module by the names of a real export's signatures."""
    return {
        "serving_default": module.translate,
        "translate_nbest": module.translate_nbest,
        "translate_sample": module.translate_sample,
        "translate_constrained": module.translate_constrained,
        "score": module.score,
        "tokenize": module.tokenize,
        "detokenize": module.detokenize,
        "encode": module.encode,
        "encode_tokens": module.encode_tokens,
        "decode_step": module.decode_step,
        "info": module.info,
        "languages": module.languages,
        "default_search": module.default_search,
    }


def save(folder: Path, behavior: Behavior = "upper", samples: tuple[str, ...] = ("the cat", "a")) -> Path:
    """Writes a Model artifact: `Format-Serving/` and `samples.json`. Returns `folder`."""
    module = ToyTranslator(behavior)
    tf.saved_model.save(module, str(folder / "Format-Serving"), signatures=signatures(module))
    outputs = module.translate(tf.constant(list(samples)))
    rows = [
        {"source": source, "translation": text.decode(), "score": float(score)}
        for source, text, score in zip(
            samples, outputs["text"].numpy(), outputs["score"].numpy(), strict=True
        )
    ]
    (folder / "samples.json").write_text(json.dumps(rows), encoding="utf-8")
    return folder


def write_examples(folder: Path, split: str, rows: list[tuple[str, str, str]], shards: int = 1) -> None:
    """Writes (id, source, target) rows as ExampleGen does, divided into `shards` files."""
    (folder / f"Split-{split}").mkdir(parents=True, exist_ok=True)
    for shard, indices in enumerate(np.array_split(np.arange(len(rows)), shards)):
        path = folder / f"Split-{split}" / f"data_tfrecord-{shard:05d}-of-{shards:05d}.gz"
        with tf.io.TFRecordWriter(str(path), tf.io.TFRecordOptions(compression_type="GZIP")) as writer:
            for index in indices:
                feature = {
                    name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
                    for name, value in zip(("id", "source", "target"), rows[index], strict=True)
                }
                writer.write(
                    tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
                )
