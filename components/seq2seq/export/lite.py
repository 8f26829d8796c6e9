"""TensorFlow Lite: `encode` and `decode_step` over tokens, in built-in operations alone.

The text path stays outside: TensorFlow Lite has regular expressions and tables of strings only by its Select
TF ops, a second and much larger runtime. What `bitext export` writes beside the model lets a client tokenize.
"""

from __future__ import annotations

import functools
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

from bitext.components.seq2seq.decoding.search import NEVER
from bitext.components.seq2seq.export.quantize import Precision, with_weights
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.seq2seq.model import BOS, EOS, PAD


def convert(translator: Translator, precision: Precision | None) -> bytes:
    """The model as a TensorFlow Lite file with two signatures.

    `encode` takes `tokens` int32[1, S] without padding and gives what the SavedModel's `encode` gives;
    `decode_step` is the SavedModel's. A client that follows several hypotheses repeats the memory for each.

    Args:
      precision: of the stored matrices, by TensorFlow Lite's own converter; None: float32.
    """
    variables = translator.model.weights
    # Constants: variables would be resources, which the converter's products do not take.
    constants = [functools.partial(tf.constant, v.numpy()) for v in variables]
    tokens = tf.TensorSpec([1, None], tf.int32, "tokens")
    functions: dict[str, tuple[Any, dict[str, tf.TensorSpec]]] = {
        "encode": (translator.encode_tokens, {"tokens": tokens}),
        "decode_step": translator.signatures()["decode_step"],
    }
    signatures = {
        name: with_weights(variables, constants, function).get_concrete_function(**inputs)
        for name, (function, inputs) in functions.items()
    }
    with tempfile.TemporaryDirectory() as folder:
        tf.saved_model.save(tf.Module(), folder, signatures=signatures)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=[*signatures])
        if precision is not None:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        converted: bytes = converter.convert()
    return converted


class LiteModel:
    """A converted model in TensorFlow Lite's interpreter.

    Args:
      content: the file's.
      threads: for each operation.
    """

    def __init__(self, content: bytes, threads: int = 1):
        interpreter = tf.lite.Interpreter(model_content=content, num_threads=threads)
        self._encode = interpreter.get_signature_runner("encode")
        self._step = interpreter.get_signature_runner("decode_step")

    def greedy(self, tokens: np.ndarray, max_length: int) -> np.ndarray:
        """The most probable token at each step.

        Args:
          tokens: int32[S], the source's, `</s>` included.
          max_length: tokens at most, `</s>` included.

        Returns:
          int32[T], with `</s>` unless it was cut.
        """
        state = self._encode(tokens=tokens[np.newaxis])
        memory = {name: state.pop(name) for name in [*state] if name.startswith("memory")}
        token = BOS
        taken: list[int] = []
        while token != EOS and len(taken) < max_length:
            outputs = self._step(token=np.array([token], np.int32), **memory, **state)
            log_probs = outputs["log_probs"][0]
            log_probs[[PAD, BOS]] = NEVER
            token = int(log_probs.argmax())
            taken.append(token)
            state = {name: outputs[name] for name in state}
        return np.array(taken, np.int32)
