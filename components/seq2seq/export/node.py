"""Node.js with TensorFlow.js: where they are, and a process that runs graphs."""

from __future__ import annotations

import base64
import contextlib
import json
import shutil
import subprocess
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from bitext.components.shared.errors import ConfigError, DataError, EnvironmentFault

PACKAGES = {"@tensorflow/tfjs": "4.22.0", "@tensorflow/tfjs-backend-wasm": "4.22.0"}
"""The packages of npm that the export to TensorFlow.js needs, with the versions that are tested."""
SCRIPTS = Path(__file__).with_name("tfjs")
BACKEND = "wasm"
"""The backend of TensorFlow.js that runs the graphs: several times as fast as `cpu`."""
ANOTHER_FORMAT = "use another --format"
_RESOLVE = "for (const name of process.argv.slice(1)) require.resolve(name, {paths: [process.cwd()]})"


def require_packages() -> None:
    """Checks that Node.js and the packages are installed.

    Raises:
      ConfigError: one of them is not installed.
    """
    if shutil.which("node") is None:
        raise ConfigError(
            "--format tfjs needs Node.js, and there is no `node` on the search path",
            "install Node.js 18 or later, for example with `apt-get install nodejs npm`",
        )
    missing = [name for name in PACKAGES if _node("-e", _RESOLVE, name).returncode]
    if missing:
        raise ConfigError(
            f"--format tfjs needs {' and '.join(missing)}, which Node.js does not find from {Path.cwd()}",
            f"run `npm install {' '.join(f'{name}@{PACKAGES[name]}' for name in missing)}` in this folder, or"
            " name a node_modules folder that has them in the variable NODE_PATH",
        )


def _node(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["node", *arguments], capture_output=True, text=True, check=False)


class GraphProcess:
    """A process of Node.js that runs the graphs of a folder. An instance is a `token_graphs.Run`.

    Args:
      folder: the folder, with graph models of TensorFlow.js.
      backend: the backend of TensorFlow.js.

    Raises:
      EnvironmentFault: the process cannot be started, or ends.
      DataError: TensorFlow.js cannot run a graph.
    """

    def __init__(self, folder: Path, backend: str = BACKEND):
        self._process = subprocess.Popen(
            ["node", SCRIPTS / "run_graphs.mjs", folder.resolve(), backend],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        weakref.finalize(self, _end, self._process)
        started = self._read()
        if "error" in started:
            raise DataError(f"TensorFlow.js cannot load {folder}: {started['error']}", ANOTHER_FORMAT)
        self._inputs: dict[str, list[str]] = started["inputs"]
        self._held: dict[str, dict[str, tuple[tuple[int, ...], bytes]]] = {name: {} for name in self._inputs}

    def __call__(self, name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        held = self._held[name]
        request: dict[str, Any] = {}
        for key in self._inputs[name]:
            array = np.ascontiguousarray(inputs[key])
            value = array.shape, array.tobytes()
            request[key] = None if held.get(key) == value else _encode(array)
            held[key] = value
        line = json.dumps({"graph": name, "inputs": request}).encode()
        try:
            self._stream(self._process.stdin).write(line + b"\n")
            self._stream(self._process.stdin).flush()
        except BrokenPipeError as error:
            raise self._fault() from error
        answer = self._read()
        if "error" in answer:
            raise DataError(f"TensorFlow.js cannot run {name}: {answer['error']}", ANOTHER_FORMAT)
        return {key: _decode(tensor) for key, tensor in answer["outputs"].items()}

    def _read(self) -> Any:
        line = self._stream(self._process.stdout).readline()
        if not line:
            raise self._fault()
        return json.loads(line)

    def _fault(self) -> EnvironmentFault:
        return EnvironmentFault(
            f"Node.js ended with code {self._process.wait()}",
            "check that `node --version` is 18 or later, and that there is enough memory",
        )

    @staticmethod
    def _stream(stream: IO[bytes] | None) -> IO[bytes]:
        if stream is None:
            raise RuntimeError("the process has no pipes")
        return stream


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends the process, which reads requests until its input is closed."""
    with contextlib.suppress(BrokenPipeError):  # it has ended already
        process.communicate()


def _encode(array: np.ndarray) -> dict[str, Any]:
    data = base64.b64encode(array.tobytes()).decode()
    return {"dtype": array.dtype.name, "shape": array.shape, "data": data}


def _decode(tensor: dict[str, Any]) -> np.ndarray:
    values = np.frombuffer(base64.b64decode(tensor["data"]), tensor["dtype"])
    return values.reshape(tensor["shape"]).copy()
