"""A client of TensorFlow's C API, by ctypes. Run as a script, it imports the standard library alone.

Usage: `python -I -S c_api.py LIBRARIES MODEL < CALLS > ANSWERS`, where LIBRARIES is the folder of
libtensorflow_cc.so.2, CALLS is a JSON list of {"signature", "inputs": {name: numbers or texts}}, and ANSWERS
one of {name: numbers or texts}. Bytes that are not UTF-8 travel as `surrogateescape` has them.
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
    """What a signature says of an input or output: the tensor's name in the graph, and its TF_DataType."""

    name: str
    dtype: int


pointer, text, number, size = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.c_size_t
TENSORS = (ctypes.POINTER(Output), ctypes.POINTER(pointer), number)  # places in the graph, values, how many
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
    """The fields of a protocol buffer: number, and an integer or bytes."""
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = message[place]
            place, value, shift = place + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while place < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            yield number, varint()
        else:
            length = varint() if kind == 2 else {1: 8, 5: 4}[kind]
            yield number, message[place : place + length]
            place += length


def mapping(message: bytes, field: int) -> dict[str, bytes]:
    """A field of type map<string, message>."""
    entries = (dict(fields(entry)) for number, entry in fields(message) if number == field)
    return {entry[1].decode(): entry[2] for entry in entries}


def tensor_infos(signature: bytes, field: int) -> dict[str, TensorInfo]:
    """The inputs (field 1) or outputs (field 2) of a SignatureDef."""
    infos = {name: dict(fields(info)) for name, info in mapping(signature, field).items()}
    return {name: TensorInfo(info[1].decode(), info[2]) for name, info in infos.items()}


def shape_of(value: Any) -> list[int]:
    """The shape of nested lists."""
    return [len(value), *(shape_of(value[0]) if value else [])] if isinstance(value, list) else []


def flat(value: Any) -> list[Any]:
    """The items of nested lists, row by row."""
    return [item for row in value for item in flat(row)] if isinstance(value, list) else [value]


def nested(items: list[Any], shape: list[int]) -> Any:
    """Items as lists of a shape; the other way round."""
    if not shape:
        return items[0]
    width = math.prod(shape[1:])
    return [nested(items[row * width : (row + 1) * width], shape[1:]) for row in range(shape[0])]


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
        """Raises what the last call has to complain of."""
        if self.tf.TF_GetCode(self.status):
            raise RuntimeError(self.tf.TF_Message(self.status).decode())

    def place(self, info: TensorInfo) -> Output:
        """Where in the graph a tensor is, by its name `operation:index`."""
        name, _, index = info.name.partition(":")
        operation = self.tf.TF_GraphOperationByName(self.graph, name.encode())
        if not operation:
            raise RuntimeError(f"the graph has no operation {name}")
        return Output(operation, int(index))

    def tensor(self, dtype: int, value: Any) -> int:
        """A TF_Tensor of nested lists of numbers or texts."""
        shape, items = shape_of(value), flat(value)
        width = TSTRING_BYTES if dtype == STRING else ctypes.sizeof(NUMBERS[dtype])
        dims = (ctypes.c_int64 * len(shape))(*shape)
        tensor = self.tf.TF_AllocateTensor(dtype, dims, len(shape), width * len(items))
        data = self.tf.TF_TensorData(tensor)
        if dtype != STRING:
            ctypes.memmove(data, (NUMBERS[dtype] * len(items))(*items), width * len(items))
            return tensor
        for place, item in enumerate(items):
            encoded = item.encode("utf-8", "surrogateescape")
            self.tf.TF_StringInit(data + place * width)
            self.tf.TF_StringCopy(data + place * width, encoded, len(encoded))
        return tensor

    def value(self, tensor: int) -> Any:
        """A TF_Tensor as nested lists of numbers or texts."""
        dtype, data = self.tf.TF_TensorType(tensor), self.tf.TF_TensorData(tensor)
        shape = [self.tf.TF_Dim(tensor, axis) for axis in range(self.tf.TF_NumDims(tensor))]
        if dtype != STRING:
            return nested(list((NUMBERS[dtype] * math.prod(shape)).from_address(data)), shape)
        places = (data + place * TSTRING_BYTES for place in range(math.prod(shape)))
        read, length = self.tf.TF_StringGetDataPointer, self.tf.TF_StringGetSize
        texts = [ctypes.string_at(read(place), length(place)) for place in places]
        return nested([text.decode("utf-8", "surrogateescape") for text in texts], shape)

    def delete(self, tensor: int) -> None:
        """Frees a TF_Tensor and its strings, which it does not free by itself."""
        if self.tf.TF_TensorType(tensor) == STRING:
            dims = [self.tf.TF_Dim(tensor, axis) for axis in range(self.tf.TF_NumDims(tensor))]
            for place in range(math.prod(dims)):
                self.tf.TF_StringDealloc(self.tf.TF_TensorData(tensor) + place * TSTRING_BYTES)
        self.tf.TF_DeleteTensor(tensor)

    def __call__(self, signature: str, inputs: dict[str, Any]) -> dict[str, Any]:
        """Runs a signature on inputs by name."""
        taken = tensor_infos(self.signatures[signature], 1)
        given = tensor_infos(self.signatures[signature], 2)
        if set(taken) != set(inputs):
            raise RuntimeError(f"{signature} takes {sorted(taken)}, received {sorted(inputs)}")
        feeds = (Output * len(taken))(*map(self.place, taken.values()))
        values = (pointer * len(taken))(*(self.tensor(i.dtype, inputs[name]) for name, i in taken.items()))
        fetches = (Output * len(given))(*map(self.place, given.values()))
        results = (pointer * len(given))()
        self.tf.TF_SessionRun(
            *(self.session, None, feeds, values, len(taken), fetches, results, len(given)),
            *(None, 0, None, self.status),
        )
        self.check()
        answer = {name: self.value(result) for name, result in zip(given, results, strict=True)}
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
