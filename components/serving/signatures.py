"""The signatures of a SavedModel: names, dtypes and shapes of inputs and outputs, as its file has them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitext.components.artifacts.base import SAVED_MODEL_FILE

if TYPE_CHECKING:
    import numpy as np

Shape = tuple[int | None, ...]


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """An input or output.

    Attributes:
      dtype: NumPy's dtype; `object` for strings.
      dtype_name: TensorFlow's name of the dtype: `DT_STRING`.
      shape: its dimensions; None: any size. The whole is None if the rank is unknown.
    """

    dtype: np.dtype[Any]
    dtype_name: str
    shape: Shape | None

    @property
    def has_rows(self) -> bool:
        """Whether its first dimension is the number of texts."""
        return bool(self.shape) and self.shape is not None and self.shape[0] is None

    def accepts(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape fits."""
        if self.shape is None:
            return True
        sizes = zip(self.shape, shape, strict=False)
        return len(shape) == len(self.shape) and all(expected in (None, size) for expected, size in sizes)

    def __str__(self) -> str:
        sizes = (
            "?"
            if self.shape is None
            else ",".join("-1" if size is None else str(size) for size in self.shape)
        )
        return f"{self.dtype_name} [{sizes}]"


@dataclasses.dataclass(frozen=True)
class Signature:
    """A signature.

    Attributes:
      name: its name: `serving_default`.
      method: the method that it is for: `tensorflow/serving/predict`.
      inputs: its inputs by name.
      outputs: its outputs by name.
    """

    name: str
    method: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]

    def rows(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, int]:
        """Returns the number of rows of each input that has some."""
        return {name: len(inputs[name]) for name, spec in self.inputs.items() if spec.has_rows}

    def empty_outputs(self) -> dict[str, np.ndarray[Any, Any]] | None:
        """Returns the outputs for no rows; None: an output has no rows."""
        import numpy as np

        if not self.outputs or not all(spec.has_rows for spec in self.outputs.values()):
            return None
        return {
            name: np.zeros([size or 0 for size in spec.shape or ()], spec.dtype)
            for name, spec in self.outputs.items()
        }


def read(saved_model: Path) -> tuple[dict[str, Signature], dict[str, Any]]:
    """Reads the signatures of a SavedModel, and the same as TensorFlow Serving prints them.

    Raises:
      OSError, google.protobuf.message.DecodeError: the file cannot be read.
    """
    import inspect

    import tensorflow as tf
    from google.protobuf import json_format
    from tensorflow.core.framework import types_pb2
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap

    proto = saved_model_pb2.SavedModel.FromString((saved_model / SAVED_MODEL_FILE).read_bytes())
    definitions = proto.meta_graphs[0].signature_def

    def specs(infos: Any) -> dict[str, TensorSpec]:
        return {name: spec(info) for name, info in sorted(infos.items())}

    def spec(info: Any) -> TensorSpec:
        import numpy as np

        dims = info.tensor_shape.dim
        shape = tuple(None if dim.size < 0 else int(dim.size) for dim in dims)
        dtype = tf.as_dtype(info.dtype)
        return TensorSpec(
            np.dtype(dtype.as_numpy_dtype),
            types_pb2.DataType.Name(info.dtype),
            None if info.tensor_shape.unknown_rank else shape,
        )

    signatures = {
        name: Signature(name, definition.method_name, specs(definition.inputs), specs(definition.outputs))
        for name, definition in sorted(definitions.items())
        if not name.startswith("__")  # `__saved_model_init_op`, which is no function
    }
    # protobuf 5 renamed the option that prints fields with their default values.
    parameters = inspect.signature(json_format.MessageToDict).parameters
    option = next(
        name
        for name in ("always_print_fields_with_no_presence", "including_default_value_fields")
        if name in parameters
    )
    options: dict[str, Any] = {"preserving_proto_field_name": True, option: True}
    printed: dict[str, Any] = json_format.MessageToDict(SignatureDefMap(signature_def=definitions), **options)
    return signatures, printed
