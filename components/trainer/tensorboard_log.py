"""Writes the log of a training for TensorBoard: scalars, texts, images and hyper-parameters."""

from __future__ import annotations

import html
import os
import re
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_STRING
from tensorboard.plugins.hparams.api_pb2 import STATUS_SUCCESS
from tensorboard.plugins.hparams.summary import session_end_pb, session_start_pb
from tensorboard.plugins.image.metadata import create_summary_metadata as image_metadata
from tensorboard.plugins.text.metadata import create_summary_metadata as text_metadata
from tensorboard.summary.writer.record_writer import RecordWriter

_FILE_VERSION = "brain.Event:2"
_PREFIX = "events.out.tfevents"
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!|])")


class TensorBoardLog:
    """The log of one training. TensorBoard reads it while it is written.

    An attempt that resumes a training writes a new file in the same folder. It begins with a mark that makes
    TensorBoard forget the steps that the training repeats.
    """

    def __init__(self, folder: Path, step: int):
        """Starts a new file.

        Args:
          folder: the folder of the training's log. It is created if it is missing.
          step: number of updates before this attempt. What the log has after them is forgotten.
        """
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names, and none before the last one.
        numbers = [int(path.name.split(".")[3]) for path in folder.glob(f"{_PREFIX}.*")]
        number = max([int(time.time()), *(number + 1 for number in numbers)])
        name = f"{_PREFIX}.{number:010d}.{socket.gethostname()}.{os.getpid()}"
        self._file = (folder / name).open("wb")
        self._records = RecordWriter(self._file)
        self._write(Event(file_version=_FILE_VERSION))
        start = step + 1 if step else 0
        self._write(Event(step=start, session_log=SessionLog(status=SessionLog.START)))

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds a point to the curve of each name."""
        points = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(Event(step=step, summary=Summary(value=points)))

    def table(self, step: int, name: str, rows: Sequence[Sequence[str]]) -> None:
        """Adds a table of plain texts. The first row has the titles."""
        cells = [_as_markdown(text).encode() for row in rows for text in row]
        self._tensor(step, name, text_metadata("", ""), cells, [len(rows), len(rows[0])])

    def image(self, step: int, name: str, png: bytes, size: tuple[int, int], description: str = "") -> None:
        """Adds an image.

        Args:
          step: number of updates.
          name: its name.
          png: the image as PNG.
          size: its width and height.
          description: what it shows.
        """
        values = [str(size[0]).encode(), str(size[1]).encode(), png]
        self._tensor(step, name, image_metadata("", description), values, [3])

    def start_session(self, parameters: Mapping[str, Any], name: str) -> None:
        """Adds the hyper-parameters.

        Args:
          parameters: their values by name, nested in sections.
          name: the name of the training.
        """
        self._hparams(0, session_start_pb(_flat(parameters), group_name=name))

    def finish(self, step: int) -> None:
        """Marks the training as complete."""
        self._hparams(step, session_end_pb(STATUS_SUCCESS))

    def close(self) -> None:
        """Closes the file."""
        self._records.close()

    def _hparams(self, step: int, summary: Any) -> None:
        # TensorFlow and TensorBoard have each their own class of the same message.
        self._write(Event(step=step, summary=Summary.FromString(summary.SerializeToString())))

    def _tensor(self, step: int, name: str, metadata: Any, values: list[bytes], shape: list[int]) -> None:
        dimensions = [TensorShapeProto.Dim(size=size) for size in shape]
        tensor = TensorProto(
            dtype=DT_STRING, string_val=values, tensor_shape=TensorShapeProto(dim=dimensions)
        )
        summary = Summary(value=[Summary.Value(tag=name, tensor=tensor, metadata=metadata)])
        self._write(Event(step=step, summary=summary))

    def _write(self, event: Event) -> None:
        event.wall_time = time.time()
        self._records.write(event.SerializeToString())
        self._records.flush()


def _as_markdown(text: str) -> str:
    """Returns Markdown that shows a text as it is, on one line."""
    return _MARKDOWN.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, bool | float | str]:
    """Returns nested values by their dotted names. Null is left out: TensorBoard has no such value."""
    flat: dict[str, bool | float | str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        elif value is not None:
            flat[prefix + name] = value if isinstance(value, bool | int | float) else str(value)
    return flat
