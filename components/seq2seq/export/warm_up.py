"""Warm-up requests, which TensorFlow Serving runs when it loads a model, before the first client's request.

TensorFlow Serving reads them from `assets.extra/tf_serving_warmup_requests` in the folder of a version. It
does not load the version if a request fails: https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from bitext.components.artifacts import warm_up_file
from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.seq2seq.model import BOS

BATCH_SIZE = 4
"""Number of sentences in the larger requests. A server that batches may allow only few."""

Request = tuple[str, dict[str, tf.Tensor]]
"""The name of a signature, and its inputs."""


def write(translator: Translator, sentences: Sequence[str], saved_model: Path) -> None:
    """Writes the requests into the folder of a SavedModel: an uncompressed TFRecord file of PredictionLogs.

    Args:
      translator: the model that is saved in the folder.
      sentences: typical source sentences; the first `BATCH_SIZE` are used.
      saved_model: folder of the SavedModel.
    """
    path = warm_up_file(saved_model)
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as file:
        for signature, inputs in requests(translator, sentences):
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
            file.write(log.SerializeToString(deterministic=True))


def requests(translator: Translator, sentences: Sequence[str]) -> Iterator[Request]:
    """Yields one or two requests for each signature whose inputs all have one row per sentence.

    The other signatures take scalars (`translate_nbest`, `translate_sample`) or no inputs (`info`,
    `default_search`). A server that batches (`--enable_batching`) answers such requests with an error, so it
    would not load the model.
    """
    single, few = tf.constant(sentences[:1]), tf.constant(sentences[:BATCH_SIZE])
    translations = translator.translate(few)["text"]
    yield "serving_default", {"text": single}
    yield "serving_default", {"text": few}
    yield "score", {"source": few, "target": translations}
    yield "encode", {"text": single}
    tokenized = translator.tokenize(few)
    yield "encode_tokens", {name: tokenized[name] for name in ("tokens", "length")}
    yield "decode_step", {"token": tf.constant([BOS]), **translator.encode(single)}
    yield "tokenize", {"text": few}
    yield "detokenize", {"tokens": translator.target_tokens(translations)[:, 1:]}
