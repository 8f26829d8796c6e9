"""Serving folders with versions of the toy model, and a client of the server in this process."""

from __future__ import annotations

import functools
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
from starlette.testclient import TestClient
from tensorflow_serving.apis import prediction_log_pb2

from bitext.components.artifacts import ServedVersion, VersionMetadata, model_digest, warm_up_file
from bitext.components.serving.app import Application
from bitext.components.serving.batching import Batcher
from bitext.components.serving.catalog import Catalog
from bitext.components.serving.manager import Manager
from bitext.components.serving.metrics import Metrics
from bitext.components.serving.request_log import RequestLog
from bitext.components.serving.service import Service
from bitext.components.serving.settings import Settings
from tests import toy_model

HOST = "http://127.0.0.1:8500"


@functools.cache
def saved_model(behavior: toy_model.Behavior) -> Path:
    """Returns a SavedModel of the toy model."""
    return toy_model.save(Path(tempfile.mkdtemp(prefix="toy-")), behavior) / "Format-Serving"


def push(
    serving: Path,
    number: int,
    behavior: toy_model.Behavior = "upper",
    *,
    described: bool = True,
    **fields: Any,
) -> Path:
    """Adds a version to a serving folder, by one rename. Returns its folder.

    Args:
      serving: the serving folder.
      number: the number of the version.
      behavior: what the toy model does.
      described: whether it has the metadata that Pusher writes.
      **fields: fields of its metadata.
    """
    serving.mkdir(parents=True, exist_ok=True)
    staging, version = serving / f".staging-{number}", serving / str(number)
    shutil.copytree(saved_model(behavior), staging)
    if described:
        metadata = VersionMetadata(model_digest(staging), **fields)
        (staging / ServedVersion.METADATA).parent.mkdir(exist_ok=True)
        (staging / ServedVersion.METADATA).write_bytes(metadata.encode())
    staging.rename(version)
    return version


def digest(behavior: toy_model.Behavior) -> str:
    """Returns the digest of a toy model."""
    return model_digest(saved_model(behavior))


def write_warm_up(version: Path, signature: str, inputs: dict[str, Any]) -> None:
    """Writes a warm-up request of a version."""
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    for name, value in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    warm_up_file(version).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(warm_up_file(version))) as file:
        file.write(log.SerializeToString())


def service(model: Path, said: list[str] | None = None, **changes: Any) -> Service:
    """Returns the service of a server, whose model is loaded."""
    settings = Settings(model=model, **{"poll_seconds": 0.02, **changes})
    say = (said if said is not None else []).append
    catalog = Catalog(model)
    catalog.name = settings.name or catalog.name
    manager = Manager(catalog, settings.trusted, settings.extra_versions, say, settings.labels)
    metrics = Metrics()
    batcher = Batcher(2, settings.batch_rows, settings.batch_delay, settings.queued_rows, metrics.batch)
    log = RequestLog(settings.request_log, say) if settings.request_log else None
    manager.start()
    return Service(settings, manager, batcher, metrics, log)


@contextmanager
def client(model: Path, said: list[str] | None = None, **changes: Any) -> Iterator[TestClient]:
    """Context manager: yields a client of a server that runs in this process."""
    with TestClient(Application(service(model, said, **changes)).asgi(), HOST) as test_client:
        yield test_client


def predict(client: TestClient, texts: Sequence[str], path: str = "/v1/models/toy:predict") -> list[str]:
    """Returns translations through the protocol."""
    response = client.post(path, content=json.dumps({"instances": [{"text": text} for text in texts]}))
    assert response.status_code == 200, response.text
    return [row["text"] for row in response.json()["predictions"]]
