"""JSON of TensorFlow Serving's REST protocol, and the limits of requests."""

from __future__ import annotations

import json
import math
from typing import Any

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from bitext.components.serving.errors import RequestError
from bitext.components.serving.limits import check_inputs
from bitext.components.serving.settings import Limits, Settings
from bitext.components.serving.signatures import Signature, TensorSpec
from bitext.components.serving.tensors import (
    encode_answer,
    parse_json,
    parse_predict,
    shortest,
    to_arrays,
)
from bitext.components.shared.errors import ConfigError

TEXT = TensorSpec(np.dtype(object), "DT_STRING", (None,))
INT = TensorSpec(np.dtype(np.int32), "DT_INT32", ())
FLOAT = TensorSpec(np.dtype(np.float32), "DT_FLOAT", ())
TOKENS = TensorSpec(np.dtype(np.int32), "DT_INT32", (None, None))
ONE = Signature("serving_default", "", {"text": TEXT}, {})
TWO = Signature("score", "", {"source": TEXT, "target": TEXT}, {})
NBEST = Signature("nbest", "", {"text": TEXT, "beam_size": INT, "length_penalty": FLOAT}, {})
ALL = Signature("tokens", "", {"tokens": TOKENS}, {})


def arrays(document: Any, signature: Signature = ONE) -> dict[str, Any]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return {name: array.tolist() for name, array in to_arrays(parse_predict(body), signature).items()}


@pytest.mark.parametrize(
    ("document", "signature", "expected"),
    [
        ({"instances": ["a", "ї"]}, ONE, {"text": [b"a", "ї".encode()]}),
        ({"instances": [{"text": "a"}]}, ONE, {"text": [b"a"]}),
        ({"instances": [{"b64": "/w=="}, "a"]}, ONE, {"text": [b"\xff", b"a"]}),
        ({"instances": [{"text": {"b64": "/w"}}]}, ONE, {"text": [b"\xff"]}),
        ({"inputs": ["a", "b"]}, ONE, {"text": [b"a", b"b"]}),
        ({"inputs": {"text": ["a"], "unknown": 1}}, ONE, {"text": [b"a"]}),
        ({"inputs": []}, ONE, {"text": []}),
        (
            {"instances": [{"source": "a", "target": "b"}, {"target": "d", "source": "c"}]},
            TWO,
            {"source": [b"a", b"c"], "target": [b"b", b"d"]},
        ),
        (
            {"inputs": {"text": ["a"], "beam_size": 2, "length_penalty": 1}},
            NBEST,
            {"text": [b"a"], "beam_size": 2, "length_penalty": 1.0},
        ),
        ({"instances": [[1, 2], [3, 4]]}, ALL, {"tokens": [[1, 2], [3, 4]]}),
    ],
)
def test_forms_of_a_request(document: Any, signature: Signature, expected: dict[str, Any]) -> None:
    assert arrays(document, signature) == expected


@pytest.mark.parametrize(
    ("document", "signature", "message"),
    [
        (b"", ONE, "JSON Parse error"),
        (b"{", ONE, "JSON Parse error"),
        (b"\xff", ONE, "JSON Parse error"),
        (b'{"instances": ["caf\xe9"]}', ONE, "JSON Parse error: 'utf-8' codec can't decode byte 0xe9"),
        (b'{"instances": ["\xed\xa0\x80"]}', ONE, "JSON Parse error"),
        (b'{"instances": ["\xe9 NaN"]}', ONE, "JSON Parse error"),
        (b'{"x": NaN, "instances": [' + b"[" * 900 + b"]" * 900 + b"]}", ONE, "received lists of 901 levels"),
        (
            b'{"instances": [{"text": ' + b"[" * 900 + b'"a"' + b"]" * 900 + b"}]}",
            ONE,
            "received lists of 901 levels",
        ),
        (b'{"instances": [' + b'{"text": ' * 900 + b"1" + b"}" * 900 + b"]}", ONE, "not of expected type"),
        (b"[" * 100_000, ONE, "JSON Parse error"),
        (b'{"a": NaN' + b"[" * 100_000, ONE, "JSON Parse error"),
        ([1], ONE, "Is not object"),
        ({"signature_name": 1, "instances": ["a"]}, ONE, "'signature_name' key must be a string value"),
        ({}, ONE, "Missing 'inputs' or 'instances' key"),
        ({"instances": ["a"], "inputs": ["a"]}, ONE, "only one of 'inputs' or 'instances'"),
        ({"instances": "a"}, ONE, "'instances' to be an list/array"),
        ({"instances": []}, ONE, "No values in 'instances' array"),
        ({"instances": ["a"]}, TWO, "expecting list of objects as multiple input tensors"),
        ({"inputs": ["a"]}, TWO, "expecting an object as multiple input tensors"),
        ({"instances": [{"text": "a"}, "b"]}, ONE, "Expecting object but got list at item 1"),
        ({"instances": ["a", {"text": "b"}]}, ONE, "Expecting value/list but got object at item 1"),
        ({"instances": [{"words": "a"}]}, ONE, "must only have keys: text"),
        ({"instances": [{"text": "a", "more": 1}]}, ONE, "must only have keys: text"),
        ({"inputs": {"words": ["a"]}}, ONE, "Missing named input: text in 'inputs' object"),
        ({"instances": [1]}, ONE, "JSON Value: 1 is not of expected type: DT_STRING"),
        ({"instances": [None]}, ONE, "JSON Value: null is not of expected type: DT_STRING"),
        ({"instances": [["a"], ["b"]]}, ONE, "must be DT_STRING [-1], received the shape [2, 1]"),
        ({"inputs": "a"}, ONE, "must be DT_STRING [-1], received the shape []"),
        ({"instances": [[1], [2, 3]]}, ALL, "expected a list of 1 at level 1, received list of 2"),
        ({"instances": [[1], 2]}, ALL, "expected a list of 1 at level 1, received 2"),
        ({"instances": [[1.5]]}, ALL, "JSON Value: 1.5 is not of expected type: DT_INT32"),
        ({"instances": [[True]]}, ALL, "JSON Value: true is not of expected type: DT_INT32"),
        ({"instances": [[2**31]]}, ALL, "2147483648 is not of expected type: DT_INT32"),
        ({"instances": [{"text": {"b64": "*"}}]}, ONE, "Unable to base64 decode"),
        (
            {"instances": [{"text": "a", "beam_size": 1, "length_penalty": 1}]},
            NBEST,
            "'beam_size' must be DT_INT32 [], received the shape [1]; it is the same for all texts: use the"
            " column format",
        ),
        (
            {"inputs": {"text": ["a"], "beam_size": 1, "length_penalty": 2**24 + 1}},
            NBEST,
            "to float without loss of precision",
        ),
        (b'{"x": NaN, "instances": ["\\ud800"]}', ONE, "half a surrogate pair"),
        ({"instances": ["a"]}, Signature("info", "", {}, {}), "Failed to get input map for signature: info"),
    ],
)
def test_errors_of_a_request(document: Any, signature: Signature, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        arrays(document, signature)
    assert message in str(caught.value)
    assert caught.value.status == 400
    assert len(str(caught.value)) < 500


def test_a_long_value_is_not_repeated() -> None:
    with pytest.raises(RequestError) as caught:
        arrays({"instances": [[[["x" * 100_000]]]]}, ALL)
    assert len(str(caught.value)) < 300


def test_nan_and_infinity_are_read() -> None:
    document = parse_json(b'{"a": [NaN, Infinity, -Infinity]}')
    assert [str(value) for value in document["a"]] == ["nan", "inf", "-inf"]


def test_the_form_of_the_answer() -> None:
    outputs = {"text": np.array([b"a", b"\xff"], object), "score": np.array([0.1, -1], np.float32)}
    rows = json.loads(encode_answer(outputs, by_row=True))
    assert rows == {"predictions": [{"score": 0.1, "text": "a"}, {"score": -1.0, "text": "\ufffd"}]}
    columns = json.loads(encode_answer(outputs, by_row=False))
    assert columns == {"outputs": {"score": [0.1, -1.0], "text": ["a", "\ufffd"]}}
    single = {"text": outputs["text"]}
    assert json.loads(encode_answer(single, by_row=True)) == {"predictions": ["a", "\ufffd"]}
    assert json.loads(encode_answer(single, by_row=False)) == {"outputs": ["a", "\ufffd"]}
    as_bytes = {"text_bytes": outputs["text"]}
    assert json.loads(encode_answer(as_bytes, by_row=True)) == {
        "predictions": [{"b64": "YQ=="}, {"b64": "/w=="}]
    }


def test_answers_without_common_rows_have_no_row_form() -> None:
    text = np.array([b"a"], object)
    for other, message in (
        (np.float32(1), "has no shape information"),
        (np.zeros(2), "has inconsistent batch size"),
        (np.zeros(0), "has invalid batch size: 0"),
    ):
        with pytest.raises(RequestError, match=message):
            encode_answer({"other": np.asarray(other), "text": text}, by_row=True)
    assert json.loads(encode_answer({"other": np.asarray(np.float32(1)), "text": text}, by_row=False))


def test_answers_that_are_not_finite_are_written_as_tensorflow_serving_does() -> None:
    body = encode_answer({"score": np.array([math.nan, math.inf, 1], np.float32)}, by_row=True)
    assert body == b'{"predictions": [NaN, Infinity, 1.0]}'


@hypothesis.given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_the_printed_number_is_the_same_float32(values: list[float]) -> None:
    array = np.array(values, np.float32)
    np.testing.assert_array_equal(shortest(array).astype(np.float32), array)


def test_numbers_are_short() -> None:
    assert str(shortest(np.array([0.1, 0.2953295, -12.34, 1e-9], np.float32)).tolist()) == (
        "[0.1, 0.2953295, -12.34, 1e-09]"
    )


def check(inputs: dict[str, Any]) -> None:
    """Checks inputs, of which the texts have rows."""
    specs = {name: TEXT if array.dtype == object else INT for name, array in inputs.items()}
    check_inputs(Signature("any", "", specs, {}), inputs, Limits())


def test_inputs_have_as_many_rows_as_each_other() -> None:
    inputs = {"source": np.array([b"a", b"b"], object), "target": np.array([b"a"], object)}
    with pytest.raises(RequestError, match="the same number of rows, received 'source' 2, 'target' 1"):
        check(inputs)


def nbest(**changes: Any) -> dict[str, Any]:
    values = {"text": ["a"] * 2, "beam_size": 4, "length_penalty": 1.0, "max_length": 50, **changes}
    return {
        name: np.array([text.encode() for text in value], object) if name == "text" else np.array(value)
        for name, value in values.items()
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"beam_size": 100_000}, "input 'beam_size' must be 1 to 32, received 100000"),
        ({"beam_size": 0}, "input 'beam_size' must be 1 to 32, received 0"),
        ({"samples": -1}, "input 'samples' must be 1 to 32, received -1"),
        ({"max_length": 2147483647}, "input 'max_length' must be 1 to 512, received 2147483647"),
        ({"max_length": 0}, "input 'max_length' must be 1 to 512, received 0"),
        ({"length_penalty": math.nan}, "input 'length_penalty' must be 0 to 10, received nan"),
        ({"temperature": math.nan}, "input 'temperature' must be 0 to 1,000, received nan"),
        ({"temperature": -0.1}, "input 'temperature' must be 0 to 1,000, received -0.1"),
        ({"temperature": math.inf}, "input 'temperature' must be 0 to 1,000, received inf"),
        ({"top_k": -1}, "input 'top_k' must be 0 or more, received -1"),
        ({"top_p": 0.0}, "input 'top_p' must be above 0 to 1, received 0"),
        ({"top_p": 1.5}, "input 'top_p' must be above 0 to 1, received 1.5"),
        ({"text": ["a"] * 129}, "129 instances are more than the limit of 128"),
        (
            {"text": ["a", "x" * 2001]},
            "input 'text', text 1: 2,001 characters are more than the limit of 2,000",
        ),
        (
            {"text": ["a"] * 100, "beam_size": 10, "max_length": 100},
            "100 texts times beam_size 10 times max_length 100 are 100,000 tokens, more than the limit of"
            " 32,768",
        ),
    ],
)
def test_what_a_server_cannot_afford_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError) as caught:
        check(nbest(**changes))
    assert message in str(caught.value)
    assert caught.value.status == 400


def test_what_is_within_the_limits_is_accepted() -> None:
    check(nbest(text=["ї" * 2000]))
    check({name: np.array([b"x" * 256] * 128, object) for name in ("source", "target")})
    check(nbest(beam_size=32, max_length=512))
    check(nbest(temperature=1.0, top_k=0, top_p=1.0, samples=3, seed=[1, 2]))


def test_a_long_target_of_score_is_refused() -> None:
    inputs = {name: np.array([text], object) for name, text in (("source", b"a"), ("target", b"x" * 180_000))}
    with pytest.raises(RequestError, match="input 'target', text 0: 180,000 characters"):
        check(inputs)
    inputs = {name: np.array([b"x" * 2000] * 17, object) for name in ("source", "target")}
    with pytest.raises(
        RequestError, match="17 texts with an input 'target' of up to 2,000 characters are more"
    ):
        check(inputs)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("port", 65_536, "--port must be from 0 to 65,535, received 65536"),
        ("timeout", math.nan, "--timeout must be from 0.001 to 86,400, received nan"),
        ("batch_rows", 0, "--batch-size must be from 1 to"),
        ("name", "a/b", "--name must be a name without / and :"),
        ("name", "", "--name must be a name without / and :"),
    ],
)
def test_settings_are_checked(tmp_path: Any, field: str, value: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Settings(model=tmp_path, **{field: value})


def test_a_request_log_must_be_named_as_json_lines(tmp_path: Any) -> None:
    with pytest.raises(ConfigError, match=r"requests\.txt: the name does not end in \.jsonl"):
        Settings(model=tmp_path, request_log=tmp_path / "requests.txt")


def test_limits_are_checked() -> None:
    with pytest.raises(ConfigError, match="--max-beam must be from 1 to"):
        Limits(beam=0)
