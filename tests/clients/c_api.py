"""A client of TensorFlow's C API, by ctypes. As a script, it imports only the standard library.

Usage: `python -I -S c_api.py LIBRARIES MODEL < CALLS > ANSWERS`, where LIBRARIES is the folder of
libtensorflow_cc.so.2, CALLS is a JSON list of {"signature", "inputs": {name: numbers or texts}}, and ANSWERS
a list of {name: numbers or texts}. Bytes that are not UTF-8 are encoded with `surrogateescape`.
"""

from __future__ import annotations

import ctypes
import json
import math
import os
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

FLOAT, INT32, STRING = 1, 3, 7  # TF_DataType
NUMBERS: dict[int, Any] = {FLOAT: ctypes.c_float, INT32: ctypes.c_int32}
TSTRING_BYTES = 24  # sizeof(TF_TString)


class Buffer(ctypes.Structure):
    """TF_Buffer."""

    _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("deallocator", ctypes.c_void_p))


class Output(ctypes.Structure):
    """TF_Output: a tensor of the graph."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class TensorInfo(NamedTuple):
    """An input or output of a signature: the tensor's name in the graph, and its TF_DataType."""

    name: str
    dtype: int


pointer, text, number, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
TENSORS = (ctypes.POINTER(Output), ctypes.POINTER(pointer), number)  # outputs in the graph, values, count
# From tensorflow/c/c_api.h, tf_tensor.h, tf_status.h and tf_tstring.h: results and arguments.
FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "TF_Version": (text, []),
    "TF_NewStatus": (pointer, []),
    "TF_GetCode": (number, [pointer]),
    "TF_Message": (text, [pointer]),
    "TF_NewGraph": (pointer, []),
    "TF_NewSessionOptions": (pointer, []),
    "TF_NewBuffer": (ctypes.POINTER(Buffer), []),
    "TF_LoadSessionFromSavedModel": (
        pointer,
        [pointer, pointer, text, ctypes.POINTER(text), number, pointer, ctypes.POINTER(Buffer), pointer],
    ),
    "TF_GraphOperationByName": (pointer, [pointer, text]),
    "TF_AllocateTensor": (pointer, [number, ctypes.POINTER(ctypes.c_int64), number, size]),
    "TF_TensorData": (pointer, [pointer]),
    "TF_TensorType": (number, [pointer]),
    "TF_NumDims": (number, [pointer]),
    "TF_Dim": (ctypes.c_int64, [pointer, number]),
    "TF_DeleteTensor": (None, [pointer]),
    "TF_StringInit": (None, [pointer]),
    "TF_StringCopy": (None, [pointer, text, size]),
    "TF_StringGetDataPointer": (pointer, [pointer]),
    "TF_StringGetSize": (size, [pointer]),
    "TF_StringDealloc": (None, [pointer]),
    "TF_SessionRun": (
        None,
        [pointer, pointer, *TENSORS, *TENSORS, pointer, number, pointer, pointer],
    ),
}


def fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yields the fields of a protocol buffer: number, and an integer or bytes."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position, value, shift = position + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while position < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            yield number, varint()
        else:
            length = varint() if kind == 2 else {1: 8, 5: 4}[kind]
            yield number, message[position : position + length]
            position += length


def mapping(message: bytes, field: int) -> dict[str, bytes]:
    """Returns a field of type map<string, message>."""
    entries = (dict(fields(entry)) for number, entry in fields(message) if number == field)
    return {entry[1].decode(): entry[2] for entry in entries}


def tensor_infos(signature: bytes, field: int) -> dict[str, TensorInfo]:
    """Returns the inputs (field 1) or outputs (field 2) of a SignatureDef."""
    infos = {name: dict(fields(info)) for name, info in mapping(signature, field).items()}
    return {name: TensorInfo(info[1].decode(), info[2]) for name, info in infos.items()}


def shape_of(value: Any) -> list[int]:
    """Returns the shape of nested lists."""
    return [len(value), *(shape_of(value[0]) if value else [])] if isinstance(value, list) else []


def flatten(value: Any) -> list[Any]:
    """Returns the items of nested lists, row by row."""
    return [item for row in value for item in flatten(row)] if isinstance(value, list) else [value]


def unflatten(items: list[Any], shape: list[int]) -> Any:
    """Returns items as nested lists of a shape: the inverse of `flatten`."""
    if not shape:
        return items[0]
    width = math.prod(shape[1:])
    return [unflatten(items[row * width : (row + 1) * width], shape[1:]) for row in range(shape[0])]


class SavedModel:
    """A SavedModel in a session of the C library."""

    def __init__(self, libraries: str, folder: str):
        self.tf: Any = ctypes.CDLL(os.path.join(libraries, "libtensorflow_cc.so.2"))
        for name, (result, arguments) in FUNCTIONS.items():
            function = getattr(self.tf, name)
            function.restype, function.argtypes = result, arguments
        self.status, self.graph = self.tf.TF_NewStatus(), self.tf.TF_NewGraph()
        meta_graph, tags = self.tf.TF_NewBuffer(), (text * 1)(b"serve")
        self.session = self.tf.TF_LoadSessionFromSavedModel(
            self.tf.TF_NewSessionOptions(),
            None,
            os.fsencode(folder),
            tags,
            1,
            self.graph,
            meta_graph,
            self.status,
        )
        self.check()
        definition = ctypes.string_at(meta_graph.contents.data, meta_graph.contents.length)
        self.signatures = mapping(definition, 5)

    def check(self) -> None:
        """Raises the error of the last call, if any."""
        if self.tf.TF_GetCode(self.status):
            raise RuntimeError(self.tf.TF_Message(self.status).decode())

    def output(self, info: TensorInfo) -> Output:
        """Returns a tensor of the graph by its name, `operation:index`."""
        name, _, index = info.name.partition(":")
        operation = self.tf.TF_GraphOperationByName(self.graph, name.encode())
        if not operation:
            raise RuntimeError(f"the graph has no operation {name}")
        return Output(operation, int(index))

    def tensor(self, dtype: int, value: Any) -> int:
        """Makes a TF_Tensor from nested lists of numbers or texts."""
        shape, items = shape_of(value), flatten(value)
        width = TSTRING_BYTES if dtype == STRING else ctypes.sizeof(NUMBERS[dtype])
        dims = (ctypes.c_int64 * len(shape))(*shape)
        tensor = self.tf.TF_AllocateTensor(dtype, dims, len(shape), width * len(items))
        data = self.tf.TF_TensorData(tensor)
        if dtype != STRING:
            ctypes.memmove(data, (NUMBERS[dtype] * len(items))(*items), width * len(items))
            return tensor
        for index, item in enumerate(items):
            encoded = item.encode("utf-8", "surrogateescape")
            self.tf.TF_StringInit(data + index * width)
            self.tf.TF_StringCopy(data + index * width, encoded, len(encoded))
        return tensor

    def value(self, tensor: int) -> Any:
        """Returns a TF_Tensor as nested lists of numbers or texts."""
        dtype, data = self.tf.TF_TensorType(tensor), self.tf.TF_TensorData(tensor)
        shape = [self.tf.TF_Dim(tensor, axis) for axis in range(self.tf.TF_NumDims(tensor))]
        if dtype != STRING:
            return unflatten(list((NUMBERS[dtype] * math.prod(shape)).from_address(data)), shape)
        strings = (data + index * TSTRING_BYTES for index in range(math.prod(shape)))
        read, length = self.tf.TF_StringGetDataPointer, self.tf.TF_StringGetSize
        texts = [ctypes.string_at(read(string), length(string)) for string in strings]
        return unflatten([text.decode("utf-8", "surrogateescape") for text in texts], shape)

    def delete(self, tensor: int) -> None:
        """Frees a TF_Tensor and its strings, which TF_DeleteTensor does not free."""
        if self.tf.TF_TensorType(tensor) == STRING:
            dims = [self.tf.TF_Dim(tensor, axis) for axis in range(self.tf.TF_NumDims(tensor))]
            for index in range(math.prod(dims)):
                self.tf.TF_StringDealloc(self.tf.TF_TensorData(tensor) + index * TSTRING_BYTES)
        self.tf.TF_DeleteTensor(tensor)

    def __call__(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Runs a signature on inputs by name."""
        input_infos = tensor_infos(self.signatures[signature], 1)
        output_infos = tensor_infos(self.signatures[signature], 2)
        if set(input_infos) != set(inputs):
            raise RuntimeError(f"{signature} takes {sorted(input_infos)}, received {sorted(inputs)}")
        feeds = (Output * len(input_infos))(*map(self.output, input_infos.values()))
        values = (pointer * len(input_infos))(
            *(self.tensor(info.dtype, inputs[name]) for name, info in input_infos.items())
        )
        fetches = (Output * len(output_infos))(*map(self.output, output_infos.values()))
        results = (pointer * len(output_infos))()
        self.tf.TF_SessionRun(
            *(self.session, None, feeds, values, len(input_infos), fetches, results, len(output_infos)),
            *(None, 0, None, self.status),
        )
        self.check()
        answer = {name: self.value(result) for name, result in zip(output_infos, results, strict=True)}
        for tensor in [*values, *results]:
            self.delete(tensor)
        return answer


def main() -> None:
    model = SavedModel(*sys.argv[1:])
    answers = [model(call["signature"], call["inputs"]) for call in json.load(sys.stdin)]
    if "tensorflow" in sys.modules:
        raise RuntimeError("TensorFlow for Python has been imported")
    print(model.tf.TF_Version().decode(), file=sys.stderr)
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    main()
