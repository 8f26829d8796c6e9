"""The warm-up requests, read from the file as TensorFlow Serving reads them, against the saved signatures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from bitext.components.artifacts import warm_up_file
from bitext.components.infra_validator import standalone
from bitext.components.seq2seq.export import warm_up
from tests.components.small_export import Export
from tests.components.transformer_decoder import CHANGES as TRANSFORMER_CHANGES
from tests.components.transformer_decoder import TransformerDecoder

SENTENCES = ["the cat sat", "a mat", "", "seven songs on the mat, he said", "їжак", "the cat"]


def read(saved_model: Path) -> list[predict_pb2.PredictRequest]:
    records = tf.data.TFRecordDataset(str(warm_up_file(saved_model))).as_numpy_iterator()
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records]
    assert {log.WhichOneof("log_type") for log in logs} == {"predict_log"}
    return [log.predict_log.request for log in logs]


@pytest.fixture(scope="module")
def export(tmp_path_factory) -> Export:
    return Export(tmp_path_factory.mktemp("export"))


def test_requests_cover_the_signatures_and_are_reproducible(export):
    warm_up.write(export.translator, SENTENCES, export.path)
    requests = read(export.path)
    assert {request.model_spec.signature_name for request in requests} == {
        *("serving_default", "score", "encode", "encode_tokens", "decode_step", "tokenize", "detokenize")
    }
    texts = [tf.make_ndarray(r.inputs["text"]).tolist() for r in requests if "text" in r.inputs]
    assert {len(text) for text in texts} == {1, warm_up.BATCH_SIZE}
    assert all(text == [s.encode() for s in SENTENCES[: len(text)]] for text in texts)
    before = warm_up_file(export.path).read_bytes()
    warm_up.write(export.translator, SENTENCES, export.path)
    assert warm_up_file(export.path).read_bytes() == before


@pytest.mark.parametrize(
    ("sentences", "changes"),
    [
        (SENTENCES, {}),
        (SENTENCES[:1], {}),
        (SENTENCES, {"attention": "none", "cell": "gru", "bidirectional": False, "decoder_layers": 2}),
        pytest.param(
            SENTENCES, {"make_decoder": TransformerDecoder, **TRANSFORMER_CHANGES}, marks=pytest.mark.slow
        ),
    ],
    ids=["default", "one sentence", "deep GRU without attention", "Transformer"],
)
def test_every_request_fits_its_signature_and_is_answered(export, sentences, changes, tmp_path):
    model = Export(tmp_path, **changes) if changes else export
    warm_up.write(model.translator, sentences, model.path)
    saved = saved_model_pb2.SavedModel.FromString((model.path / "saved_model.pb").read_bytes())
    for request in read(model.path):
        name = request.model_spec.signature_name
        signature = saved.meta_graphs[0].signature_def[name]
        assert signature.method_name == "tensorflow/serving/predict"
        assert set(request.inputs) == set(signature.inputs)
        arrays = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        for key, info in signature.inputs.items():
            assert request.inputs[key].dtype == info.dtype
            assert tf.TensorShape(info.tensor_shape).is_compatible_with(arrays[key].shape)
        # A server that batches needs as many rows in every output as in the inputs.
        (rows,) = {array.shape[0] for array in arrays.values()}
        answer = model(name, **arrays)
        assert {value.shape[0] for value in answer.values()} == {rows}
        assert all(np.isfinite(v).all() for v in answer.values() if v.dtype == np.float32)
    assert standalone.check_warm_up(str(model.path), model.loaded.signatures) == []
