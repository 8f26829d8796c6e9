"""JSON of TensorFlow Serving's REST protocol <-> NumPy arrays.

The rules are those of TensorFlow Serving: https://www.tensorflow.org/tfx/serving/api_rest. A request has rows
(`instances`) or columns (`inputs`); the answer has the same form.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import numpy as np

from bitext.components.serving.errors import INVALID, RequestError
from bitext.components.serving.signatures import Signature, TensorSpec

DEFAULT_SIGNATURE = "serving_default"
Arrays = dict[str, "np.ndarray[Any, Any]"]
MAX_RANK = 8
"""Levels of lists in the value of an input."""
_SHOWN = 80
"""Characters of a wrong value that an error repeats."""
_SIGNIFICANT_DIGITS = (7, 8, 9)
"""Digits that are tried for a float32; nine give every value back."""


@dataclasses.dataclass(frozen=True)
class PredictRequest:
    """The body of a request.

    Attributes:
      signature: the name of the signature.
      by_row: whether the body has rows, so that the answer has, too.
      value: the value of `instances` or `inputs`.
    """

    signature: str
    by_row: bool
    value: Any


def parse_json(body: bytes) -> Any:
    """Parses a body. NaN and Infinity are accepted, as by TensorFlow Serving, so that errors can name them.

    Raises:
      RequestError: it is no JSON.
    """
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        problem = surrogate_problem(body)
        if not problem and (b"NaN" in body or b"Inf" in body):
            try:
                return json.loads(body)
            except (ValueError, RecursionError):  # the other parser's message has the position
                pass
        raise RequestError(
            INVALID, f"JSON Parse error: {problem or error or 'nested too deeply'}"
        ) from error


def surrogate_problem(body: bytes) -> str:
    """Returns what is wrong with a body that is JSON but for half a surrogate pair; empty: nothing."""
    try:
        json.dumps(json.loads(body), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        code = ord(error.object[error.start])
        return f"\\u{code:04x} is half a surrogate pair, not a character"
    except (ValueError, RecursionError):
        pass
    return ""


def parse_predict(body: bytes) -> PredictRequest:
    """Parses the body of a predict request.

    Raises:
      RequestError: it is not of that form.
    """
    document = parse_json(body)
    if not isinstance(document, dict):
        raise RequestError(INVALID, f"JSON Value: {_shown(document)} Is not object")
    signature = document.get("signature_name", DEFAULT_SIGNATURE)
    if not isinstance(signature, str):
        raise RequestError(
            INVALID,
            f"JSON Value: {_shown(document)} not formatted correctly. 'signature_name' key must be a string"
            " value.",
        )
    if "instances" in document and "inputs" in document:
        raise RequestError(
            INVALID,
            "JSON object: Not formatted correctly expecting only one of 'inputs' or 'instances' keys to"
            " exist",
        )
    if "inputs" in document:
        return PredictRequest(signature or DEFAULT_SIGNATURE, False, document["inputs"])
    if "instances" not in document:
        raise RequestError(INVALID, "Missing 'inputs' or 'instances' key")
    instances = document["instances"]
    if not isinstance(instances, list):
        raise RequestError(
            INVALID, f"JSON Value: {_shown(instances)} Expecting 'instances' to be an list/array"
        )
    if not instances:
        raise RequestError(INVALID, "No values in 'instances' array")
    return PredictRequest(signature or DEFAULT_SIGNATURE, True, instances)


def to_arrays(request: PredictRequest, signature: Signature) -> Arrays:
    """Returns the inputs of a signature from the body of a request.

    Raises:
      RequestError: an input is missing or unknown, or has another dtype or shape.
    """
    if not signature.inputs:
        raise RequestError(INVALID, f"Failed to get input map for signature: {signature.name}")
    columns = (_columns_of_rows if request.by_row else _columns)(request.value, signature)
    arrays = {}
    for name, spec in signature.inputs.items():
        array = to_array(columns[name], spec, name)
        if not spec.accepts(array.shape):
            hint = ""
            if request.by_row and not spec.has_rows:
                hint = "; it is the same for all texts: use the column format, 'inputs'"
            raise RequestError(
                INVALID, f"input {name!r} must be {spec}, received the shape {list(array.shape)}{hint}"
            )
        arrays[name] = array
    return arrays


def _columns_of_rows(rows: list[Any], signature: Signature) -> dict[str, Any]:
    """Returns a list of values for each input from the rows of `instances`."""
    names = list(signature.inputs)
    if not _is_object(rows[0]):
        if len(names) > 1:
            raise RequestError(
                INVALID,
                "instances is a plain list, but expecting list of objects as multiple input tensors required"
                f" as per tensorinfo_map: {', '.join(names)}",
            )
        for index, row in enumerate(rows):
            if _is_object(row):
                raise RequestError(
                    INVALID, f"Expecting value/list but got object at item {index} of input list"
                )
        return {names[0]: rows}
    for index, row in enumerate(rows):
        if not _is_object(row):
            raise RequestError(INVALID, f"Expecting object but got list at item {index} of input list")
        if set(row) != set(names):
            raise RequestError(
                INVALID,
                f"Failed to process element: {index} of 'instances' list. JSON object: {_shown(row)} must"
                f" only have keys: {','.join(names)}",
            )
    return {name: [row[name] for row in rows] for name in names}


def _columns(value: Any, signature: Signature) -> dict[str, Any]:
    """Returns the value of each input from `inputs`."""
    names = list(signature.inputs)
    if not _is_object(value):
        if len(names) > 1:
            raise RequestError(
                INVALID,
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as"
                f" per tensorinfo_map: {', '.join(names)}",
            )
        return {names[0]: value}
    for name in names:
        if name not in value:
            raise RequestError(INVALID, f"Missing named input: {name} in 'inputs' object.")
    return {name: value[name] for name in names}


def to_array(value: Any, spec: TensorSpec, name: str) -> np.ndarray[Any, Any]:
    """Converts a JSON value, a scalar or nested lists of equal lengths.

    Raises:
      RequestError: it has another dtype, or lists of different lengths.
    """
    shape: list[int] = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        if not first:
            break
        first = first[0]
    if len(shape) > MAX_RANK:
        raise RequestError(INVALID, f"input {name!r} must be {spec}, received lists of {len(shape):,} levels")
    leaves = [value]
    for level, size in enumerate(shape):
        for item in leaves:
            if not isinstance(item, list) or len(item) != size:
                received = f"list of {len(item)}" if isinstance(item, list) else _shown(item)
                raise RequestError(
                    INVALID,
                    f"input {name!r}: all values must have one shape; expected a list of {size} at level"
                    f" {level}, received {received}",
                )
        leaves = [leaf for item in leaves for leaf in item]
    converted = [_leaf(leaf, spec, name) for leaf in leaves]
    array = np.empty(len(converted), spec.dtype)
    array[:] = converted
    return array.reshape(shape)


def _leaf(value: Any, spec: TensorSpec, name: str) -> Any:
    """Converts a value that is no list."""
    kind = spec.dtype.kind
    if kind == "O":
        if isinstance(value, str):
            try:
                return value.encode()
            except UnicodeEncodeError as error:
                raise RequestError(INVALID, f"input {name!r}: the text has half a surrogate pair") from error
        if isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str):
            return _decoded(value["b64"], name)
    elif kind == "f" and isinstance(value, int | float) and not isinstance(value, bool):
        information = np.finfo(spec.dtype)
        is_exact = isinstance(value, float) or abs(value) < 2 ** (information.nmant + 1)
        if is_exact and (not math.isfinite(value) or abs(value) <= float(information.max)):
            return value
        raise RequestError(
            INVALID,
            f"input {name!r}: Cannot convert JSON value: {_shown(value)} to float without loss of precision.",
        )
    elif kind == "b" and isinstance(value, bool):
        return value
    elif kind in "iu" and isinstance(value, int) and not isinstance(value, bool):
        limits = np.iinfo(spec.dtype)
        if limits.min <= value <= limits.max:
            return value
    raise RequestError(
        INVALID, f"input {name!r}: JSON Value: {_shown(value)} is not of expected type: {spec.dtype_name}"
    )


def _decoded(text: str, name: str) -> bytes:
    """Decodes base64, with the padding or without it."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(INVALID, f"input {name!r}: Unable to base64 decode") from error


def _is_object(value: Any) -> bool:
    """Whether a value is an object with names, and not bytes in base64."""
    is_bytes = isinstance(value, dict) and set(value) == {"b64"} and isinstance(value["b64"], str)
    return isinstance(value, dict) and not is_bytes


def _shown(value: Any) -> str:
    """Returns a JSON value, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "[[[..."
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def encode_answer(outputs: Mapping[str, np.ndarray[Any, Any]], by_row: bool) -> bytes:
    """Returns the body of the answer: `predictions` by row, or `outputs` by column.

    A single output stands without its name.

    Raises:
      RequestError: the outputs have no common number of rows.
    """
    names = sorted(outputs)
    if by_row:
        _check_rows(outputs)
    floats = (array for array in outputs.values() if array.dtype.kind == "f")
    is_finite = all(bool(np.isfinite(array).all()) for array in floats)
    columns = {name: _column(name, outputs[name], is_finite) for name in names}
    if len(names) == 1:
        body: Any = columns[names[0]]
    elif by_row:
        rows = zip(*(columns[name] for name in names), strict=True)
        body = [dict(zip(names, row, strict=True)) for row in rows]
    else:
        body = columns
    document = {"predictions" if by_row else "outputs": body}
    if is_finite:
        return msgspec.json.encode(document)
    return json.dumps(document, ensure_ascii=False).encode()  # NaN and Infinity, as TensorFlow Serving


def _check_rows(outputs: Mapping[str, np.ndarray[Any, Any]]) -> None:
    """Checks that all outputs have the same number of rows, and at least one."""
    rows = 0
    for name, array in sorted(outputs.items()):
        if not array.ndim:
            raise RequestError(INVALID, f"Tensor name: {name} has no shape information ")
        if not len(array):
            raise RequestError(INVALID, f"Tensor name: {name} has invalid batch size: 0")
        if rows and len(array) != rows:
            raise RequestError(
                INVALID, f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {rows}"
            )
        rows = len(array)


def _column(name: str, array: np.ndarray[Any, Any], is_finite: bool) -> Any:
    """Returns an output as JSON values; a large one by row, because Python objects take much memory."""
    if is_finite and array.ndim > 1 and array.size > 50_000 and array.dtype.kind != "O":
        return [msgspec.Raw(msgspec.json.encode(_values(name, row))) for row in array]
    return _values(name, array)


def _values(name: str, array: np.ndarray[Any, Any]) -> Any:
    """Returns an output as JSON values."""
    if array.dtype.kind == "O":
        return _texts(array.tolist(), name.endswith("_bytes"))
    return shortest(array).tolist() if array.dtype == np.float32 else array.tolist()


def _texts(value: Any, as_base64: bool) -> Any:
    """Converts bytes in nested lists to strings, or to objects with base64."""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()} if as_base64 else value.decode("utf-8", "replace")
    items: Iterable[Any] = value
    return [_texts(item, as_base64) for item in items]


def shortest(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Converts float32 to those float64 that print with the fewest digits and are the same float32."""
    exact = array.astype(np.float64)
    result = exact.copy()
    normal = np.isfinite(exact) & (np.abs(exact) > 1e-30) & (np.abs(exact) < 1e30)
    exponents = np.zeros_like(exact)
    np.log10(np.abs(exact), out=exponents, where=normal)
    for digits in _SIGNIFICANT_DIGITS[::-1]:
        places = digits - 1 - np.floor(exponents)
        # Powers of ten up to 22 are exact, so that the quotient is the nearest float64 of the decimal.
        power = 10.0 ** np.clip(places, 0, 22)
        rounded = np.round(exact * power) / power
        same = normal & (places >= 0) & (places <= 22) & (rounded.astype(np.float32) == array)
        result = np.where(same, rounded, result)
    return result
