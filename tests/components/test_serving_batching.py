"""Requests that arrive together: the answers are those of single requests."""

from __future__ import annotations

import asyncio
import random
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitext.components.serving.batching import Batcher
from bitext.components.serving.catalog import Version
from bitext.components.serving.errors import RequestError
from bitext.components.serving.loaded import LoadedVersion
from tests.components.small_export import LINES, Export

Request = tuple[str, dict[str, Any]]


@pytest.fixture(scope="module")
def loaded(export: Export) -> LoadedVersion:
    return LoadedVersion(Version(1, export.path), trusted=False)


def texts(*lines: bytes) -> np.ndarray[Any, Any]:
    return np.array(lines, object)


def nbest(lines: list[bytes], beam: int) -> Request:
    options = {
        "beam_size": np.int32(beam),
        "length_penalty": np.float32(1),
        "max_length": np.int32(9),
    }
    return "translate_nbest", {"text": texts(*lines), **{k: np.array(v) for k, v in options.items()}}


def random_requests(seed: int) -> list[Request]:
    chance = random.Random(seed)

    def lines() -> list[bytes]:
        return [chance.choice(LINES) for _ in range(chance.randint(1, 4))]

    requests: list[Request] = []
    for _ in range(12):
        source = lines()
        target = [chance.choice(LINES) for _ in source]
        requests += [
            ("serving_default", {"text": texts(*lines())}),
            nbest(lines(), chance.randint(1, 3)),
            ("score", {"source": texts(*source), "target": texts(*target)}),
            ("tokenize", {"text": texts(*lines())}),
            ("encode", {"text": texts(*lines())}),
        ]
    chance.shuffle(requests)
    return requests


def together(
    loaded: LoadedVersion, requests: list[Request], **options: Any
) -> tuple[list[Any], list[tuple[str, int]]]:
    """Sends requests at the same time. Returns outputs or errors, and signature and rows of each call."""
    calls: list[tuple[str, int]] = []

    async def main() -> list[Any]:
        settings = {"threads": 1, "max_rows": 16, "delay": 0.0, "max_queued_rows": 10_000, **options}
        batcher = Batcher(**settings, on_batch=lambda name, rows: calls.append((name, rows)))
        return await asyncio.gather(
            *(batcher.run(loaded, name, inputs) for name, inputs in requests), return_exceptions=True
        )

    return asyncio.run(main()), calls


@pytest.mark.parametrize("seed", range(4))
def test_answers_are_those_of_single_requests(loaded: LoadedVersion, seed: int) -> None:
    requests = random_requests(seed)
    outputs, calls = together(loaded, requests)
    assert len(calls) < len(requests) / 1.5, "nothing was merged"
    for (name, inputs), output in zip(requests, outputs, strict=True):
        alone = together(loaded, [(name, inputs)])[0][0]
        assert set(output) == set(alone)
        for key, expected in alone.items():
            assert output[key].shape == expected.shape, (name, key)
            if expected.dtype.kind == "f":
                np.testing.assert_allclose(output[key], expected, rtol=1e-4, atol=1e-5)
            else:
                np.testing.assert_array_equal(output[key], expected)


def test_other_options_are_other_calls(loaded: LoadedVersion) -> None:
    requests = [nbest([b"a mat"], beam) for beam in (1, 2, 3, 2, 3, 2)]
    outputs, calls = together(loaded, requests)
    assert [output["text"].shape for output in outputs] == [(1, beam) for beam in (1, 2, 3, 2, 3, 2)]
    assert sorted(calls) == [("translate_nbest", 1), ("translate_nbest", 2), ("translate_nbest", 3)]


def test_samples_are_never_merged(loaded: LoadedVersion) -> None:
    inputs = {
        "text": texts(b"the cat sat"),
        "samples": np.array(2, np.int32),
        "temperature": np.array(1, np.float32),
        "top_k": np.array(0, np.int32),
        "top_p": np.array(1, np.float32),
        "max_length": np.array(9, np.int32),
        "seed": np.array([1, 2], np.int32),
    }
    outputs, calls = together(loaded, [("translate_sample", inputs)] * 3)
    assert [rows for _, rows in calls] == [1, 1, 1]
    alone = loaded.call("translate_sample", inputs)["text"].tolist()
    assert [output["text"].tolist() for output in outputs] == [alone] * 3


def test_a_batch_has_at_most_so_many_texts(loaded: LoadedVersion) -> None:
    requests = [("serving_default", {"text": texts(*[b"a"] * rows)}) for rows in (1, 3, 3, 9, 2, 2)]
    outputs, calls = together(loaded, requests, max_rows=4)
    assert [len(output["text"]) for output in outputs] == [1, 3, 3, 9, 2, 2]
    assert [rows for _, rows in calls] == [1, 3, 3, 4, 4, 3, 2]
    _, calls = together(loaded, [("encode", {"text": texts(*[b"a"] * 9)})], max_rows=4)
    assert calls == [("encode", 9)]


@pytest.mark.parametrize("seed", range(2))
def test_the_parts_of_a_large_request_are_the_whole(loaded: LoadedVersion, seed: int) -> None:
    for name, inputs in random_requests(seed):
        inputs = {key: np.tile(value, 3) if value.ndim else value for key, value in inputs.items()}
        whole, parts = (together(loaded, [(name, inputs)], max_rows=rows)[0][0] for rows in (64, 2))
        for key, expected in whole.items():
            assert parts[key].shape == expected.shape, (name, key)
            if expected.dtype.kind == "f":
                np.testing.assert_allclose(parts[key], expected, rtol=1e-4, atol=1e-5)
            else:
                np.testing.assert_array_equal(parts[key], expected)


def test_a_delay_lets_requests_wait_for_others(loaded: LoadedVersion) -> None:
    request = ("serving_default", {"text": texts(b"a")})
    assert [rows for _, rows in together(loaded, [request] * 3)[1]] == [1, 2]
    assert [rows for _, rows in together(loaded, [request] * 3, delay=0.05)[1]] == [3]
    assert [rows for _, rows in together(loaded, [request] * 3, delay=60, max_rows=3)[1]] == [3]


def test_the_error_of_one_request_is_not_that_of_the_others(
    loaded: LoadedVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = loaded.call

    def failing(name: str, inputs: dict[str, Any]) -> Any:
        if b"bad" in inputs["text"].tolist():
            raise RequestError(400, "a bad text")
        return call(name, inputs)

    monkeypatch.setattr(loaded, "call", failing)
    requests = [("serving_default", {"text": texts(text)}) for text in (b"a", b"a mat", b"bad", b"the cat")]
    outputs, _ = together(loaded, requests)
    assert [isinstance(output, RequestError) for output in outputs] == [False, False, True, False]
    assert outputs[3]["text"].tolist() == call(*requests[3])["text"].tolist()


def test_an_unexpected_error_reaches_every_request_of_a_batch(
    loaded: LoadedVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(name: str, inputs: dict[str, Any]) -> Any:
        raise ZeroDivisionError("unexpected")

    monkeypatch.setattr(loaded, "call", failing)
    outputs, _ = together(loaded, [("serving_default", {"text": texts(b"a")})] * 3)
    assert [type(output) for output in outputs] == [ZeroDivisionError] * 3


def test_a_full_queue_refuses(loaded: LoadedVersion) -> None:
    request = ("serving_default", {"text": texts(b"a", b"b")})
    outputs, _ = together(loaded, [request] * 5, max_queued_rows=4)
    refused = [output for output in outputs if isinstance(output, RequestError)]
    assert [(error.status, error.retry_seconds) for error in refused] == [(503, 1)] * 2
    assert "4 texts wait, and at most 4 may" in str(refused[0])


def test_a_request_that_was_given_up_is_not_computed(
    loaded: LoadedVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, computed, go_on = loaded.call, [], threading.Event()

    def slow(name: str, inputs: dict[str, Any]) -> Any:
        assert go_on.wait(30)
        computed.append(inputs["text"].tolist())
        return call(name, inputs)

    monkeypatch.setattr(loaded, "call", slow)

    async def main() -> None:
        batcher = Batcher(1, 16, 0.0, 100)
        first, second, third = (
            asyncio.ensure_future(batcher.run(loaded, "encode", {"text": texts(text)}))
            for text in (b"1", b"2", b"3")
        )
        await asyncio.sleep(0)
        second.cancel()
        go_on.set()
        await asyncio.gather(first, third)
        assert batcher.queued_rows == batcher.running == 0

    asyncio.run(main())
    assert computed == [[b"1"], [b"3"]]


def test_score_is_divided_where_the_vocabulary_would_fill_the_memory(
    loaded: LoadedVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {"source": texts(*LINES), "target": texts(*reversed(LINES))}
    whole = loaded.call("score", inputs)
    monkeypatch.setattr("bitext.components.serving.loaded.MAX_LOGITS", 2 * 40 * loaded.vocabulary_size)
    parts: list[int] = []
    call = loaded._call
    monkeypatch.setattr(
        loaded, "_call", lambda name, part: parts.append(len(part["source"])) or call(name, part)
    )
    divided = loaded.call("score", inputs)
    assert len(parts) > 1
    assert sum(parts) == len(LINES)
    for name, expected in whole.items():
        np.testing.assert_allclose(divided[name], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lines", [LINES[:1], LINES[2:3], LINES])
def test_only_padding_is_cut(loaded: LoadedVersion, export: Export, lines: list[bytes]) -> None:
    [output], _ = together(loaded, [("serving_default", {"text": texts(*lines)})])
    whole = export("serving_default", text=lines)
    length = max(1, whole["length"].max())
    np.testing.assert_array_equal(output["text"], whole["text"])
    np.testing.assert_array_equal(output["tokens"], whole["tokens"][:, :length])
    np.testing.assert_allclose(output["alignment"], whole["alignment"][:, :length], rtol=1e-4, atol=1e-5)
    assert not whole["alignment"][:, length:].any()


def test_an_error_of_tensorflow_has_its_status_and_one_line(loaded: LoadedVersion) -> None:
    inputs = loaded.call("encode", {"text": texts(b"a", b"b")})
    with pytest.raises(RequestError) as caught:
        loaded.call("decode_step", {"token": np.array([1, 1, 1], np.int32), **inputs})
    assert caught.value.status == 400
    assert "\n" not in str(caught.value)


def test_versions_are_not_mixed(export: Export) -> None:
    versions = [LoadedVersion(Version(number, Path(export.path)), trusted=False) for number in (1, 2)]
    calls: list[tuple[str, int]] = []

    async def main() -> None:
        batcher = Batcher(1, 16, 0.05, 100, lambda name, rows: calls.append((name, rows)))
        await asyncio.gather(
            *(batcher.run(version, "serving_default", {"text": texts(b"a")}) for version in versions * 2)
        )

    asyncio.run(main())
    assert [rows for _, rows in calls] == [2, 2]
