"""Local folders as bytes: how a SavedModel travels to workers that do not see this machine's disk."""

from __future__ import annotations

import contextlib
import io
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path


def zipped(folder: Path) -> bytes:
    """Returns the files of a local folder as the bytes of a ZIP archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return buffer.getvalue()


@contextlib.contextmanager
def unzipped(data: bytes) -> Iterator[Path]:
    """Context manager: yields a temporary folder with the files of `zipped`."""
    with tempfile.TemporaryDirectory(prefix="bitext-") as folder:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.extractall(folder)
        yield Path(folder)
