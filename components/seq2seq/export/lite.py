"""TensorFlow Lite: the signatures `encode` and `decode_step` on tokens, in built-in operations only.

The client tokenizes, because TensorFlow Lite has regular expressions and string tables only in Select TF ops,
a much larger runtime. `bitext export` writes the files that the client needs.
"""

from __future__ import annotations

import functools
import tempfile
from typing import Any

import numpy as np
import tensorflow as tf

from bitext.components.seq2seq.decoding.scoring import NEG_INF
from bitext.components.seq2seq.export.quantize import Precision, replace_weights
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.seq2seq.model import BOS, EOS, PAD

try:
    # The successor of TensorFlow's interpreter, which warns in TensorFlow 2.20 and later.
    from ai_edge_litert.interpreter import Interpreter
except ModuleNotFoundError:
    Interpreter = tf.lite.Interpreter


def convert(translator: Translator, precision: Precision | None) -> bytes:
    """Converts the model to a TensorFlow Lite file with two signatures.

    `encode` takes `tokens` int32[1, S] without padding and returns what the SavedModel's `encode` returns.
    `decode_step` is that of the SavedModel. A client with several hypotheses repeats the memory for each.

    Args:
      translator: the model.
      precision: dtype of the stored matrices, which TensorFlow Lite's converter quantizes; None: float32.

    Returns:
      The content of the file.
    """
    variables = translator.model.weights
    # The weights are constants, because TensorFlow Lite's matrix products do not read variables.
    constants = [functools.partial(tf.constant, v.numpy()) for v in variables]
    tokens = tf.TensorSpec([1, None], tf.int32, "tokens")
    functions: dict[str, tuple[Any, dict[str, tf.TensorSpec]]] = {
        "encode": (translator.encode_padded, {"tokens": tokens}),
        "decode_step": (translator.decode_step, translator.signatures()["decode_step"][1]),
    }
    signatures = {
        name: replace_weights(variables, constants, function).get_concrete_function(**inputs)
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
    """A converted model in the interpreter of LiteRT, or of TensorFlow Lite.

    Args:
      content: content of the file, from `convert`.
      threads: number of threads of each operation.
    """

    def __init__(self, content: bytes, threads: int = 1):
        interpreter = Interpreter(model_content=content, num_threads=threads)
        self._encode = interpreter.get_signature_runner("encode")
        self._step = interpreter.get_signature_runner("decode_step")

    def greedy(self, tokens: np.ndarray, max_length: int) -> np.ndarray:
        """Translates one sentence by greedy search.

        Args:
          tokens: int32[S], tokens of the source, `</s>` included.
          max_length: maximum number of target tokens, `</s>` included.

        Returns:
          int32[T], tokens of the translation, with `</s>` unless truncated at `max_length`.
        """
        state = self._encode(tokens=tokens[np.newaxis])
        memory = {name: state.pop(name) for name in [*state] if name.startswith("memory")}
        token = BOS
        translation: list[int] = []
        while token != EOS and len(translation) < max_length:
            outputs = self._step(token=np.array([token], np.int32), **memory, **state)
            log_probs = outputs["log_probs"][0]
            log_probs[[PAD, BOS]] = NEG_INF
            token = int(log_probs.argmax())
            translation.append(token)
            state = {name: outputs[name] for name in state}
        return np.array(translation, np.int32)
