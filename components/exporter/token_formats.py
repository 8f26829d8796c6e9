"""The formats of other runtimes, which have the graphs `encode_tokens` and `decode_step`.

The packages of a format are an extra of bitext. They are imported when the format is used.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bitext.components.seq2seq.export import node
from bitext.components.shared.errors import ConfigError

if TYPE_CHECKING:
    from bitext.components.seq2seq.export.quantize import Precision
    from bitext.components.seq2seq.export.saved_model import Translator
    from bitext.components.seq2seq.export.token_graphs import Run, TokenGraph

_MODULES = "bitext.components.seq2seq.export"


@dataclasses.dataclass(frozen=True)
class TokenFormat:
    """A format, and the runtime that runs it.

    Attributes:
      name: its name in `--format`, and that of the extra.
      label: its name in messages.
      suffix: suffix of the file of a graph.
      packages: top-level names of the packages of the extra.
      module: the module in `seq2seq.export` that writes and runs the format.
      model: the class in this module that runs it.
      uses_node: whether the runtime is TensorFlow.js in Node.js.
      quantizes: whether the format can have smaller weights.
    """

    name: str
    label: str
    suffix: str
    packages: tuple[str, ...]
    module: str
    model: str
    uses_node: bool = False
    quantizes: bool = False

    def require_packages(self) -> None:
        """Checks that the packages are installed, and Node.js with its packages.

        Raises:
          ConfigError: one of them is not installed.
        """
        missing = [name for name in self.packages if importlib.util.find_spec(name) is None]
        if missing:
            raise ConfigError(
                f"--format {self.name} needs {' and '.join(missing)}, which "
                f"{'is' if len(missing) == 1 else 'are'} not installed",
                f"pip install 'bitext[{self.name}]'",
            )
        if self.uses_node:
            node.require_packages()

    def round_weights(self, translator: Translator, precision: Precision) -> None:
        """Replaces the weights of a model by those of the quantized format."""
        self._imported().round_weights(translator, precision)

    def write(self, graphs: Sequence[TokenGraph], folder: Path, precision: Precision | None = None) -> None:
        """Writes graphs into a folder. With a precision, their weights are rounded already."""
        if precision is None:
            self._imported().write(graphs, folder)
        else:
            self._imported().write(graphs, folder, precision)

    def load(self, folder: Path) -> Run:
        """Loads the graphs of a folder into the runtime."""
        run: Run = getattr(self._imported(), self.model)(folder)
        return run

    def _imported(self) -> Any:
        return importlib.import_module(f"{_MODULES}.{self.module}")


TOKEN_FORMATS = {
    each.name: each
    for each in (
        TokenFormat(
            "onnx", "ONNX Runtime", ".onnx", ("onnx", "onnxruntime", "tf2onnx"), "onnx_graphs", "OnnxModel"
        ),
        TokenFormat("openvino", "OpenVINO", ".xml", ("openvino",), "openvino_graphs", "OpenVinoModel"),
        TokenFormat("tfjs", "TensorFlow.js", ".json", (), "tfjs_graphs", "GraphProcess", True, True),
    )
}
"""The formats by their name in `--format`."""
