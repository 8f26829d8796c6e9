"""Requests that TensorFlow Serving does when it loads the model, so that no user waits for the first ones.

It reads them from a version's `assets.extra/tf_serving_warmup_requests`, and loads no version of which one
fails: https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from bitext.components.seq2seq.export.saved_model import Translator
from bitext.components.seq2seq.model import BOS

REQUESTS = Path("assets.extra/tf_serving_warmup_requests")
BATCH = 4
"""Sentences in the larger requests; a server that batches may be set to few."""

Request = tuple[str, dict[str, tf.Tensor]]


def write(translator: Translator, sentences: Sequence[str], saved_model: Path) -> None:
    """Writes the requests into a SavedModel's folder: an uncompressed TFRecord of PredictionLog.

    Args:
      translator: what was saved there.
      sentences: of the kind users will send; the first few are taken.
      saved_model: the folder.
    """
    (saved_model / REQUESTS).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(saved_model / REQUESTS)) as file:
        for signature, inputs in requests(translator, sentences):
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
            file.write(log.SerializeToString(deterministic=True))


def requests(translator: Translator, sentences: Sequence[str]) -> Iterator[Request]:
    """Signatures and their inputs.

    Only where every input has a row for each sentence. `translate_nbest` and `translate_sample` take numbers
    for the whole batch, `info` and `default_search` take nothing: a server that batches (`--enable_batching`)
    answers those with an error, and would not load the model at all.
    """
    one, several = tf.constant(sentences[:1]), tf.constant(sentences[:BATCH])
    translations = translator.translate(several)["text"]
    yield "serving_default", {"text": one}
    yield "serving_default", {"text": several}
    yield "score", {"source": several, "target": translations}
    yield "encode", {"text": one}
    yield "decode_step", {"token": tf.constant([BOS]), **translator.encode(one)}
    yield "tokenize", {"text": several}
    yield "detokenize", {"tokens": translator.target_tokens(translations)[:, 1:]}
