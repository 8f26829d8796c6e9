"""Downloads one wheel from PyPI with pip and checks its hash; nothing is installed.

pip downloads with the user's settings (index, proxy, certificates). The wheel is read as a zip file, so
neither its dependencies nor the Python version matter.
"""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

from bitext.components.shared.errors import DataError, EnvironmentFault
from bitext.components.shared.files import file_digest

PIP_OPTIONS = (
    "--disable-pip-version-check",
    "--no-input",
    "--retries=2",
    "--no-deps",
    "--ignore-requires-python",
    "--only-binary=:all:",
)


@dataclasses.dataclass(frozen=True)
class Wheel:
    """One version of a package on PyPI.

    Attributes:
      package: its name.
      version: its version.
      sha256: the hash of the file.
    """

    package: str
    version: str
    sha256: str

    @property
    def file_name(self) -> str:
        """The name of the file."""
        return f"{self.package}-{self.version}-py3-none-any.whl"

    def download(self, folder: Path) -> Path:
        """Downloads the wheel into a folder and checks its hash.

        Raises:
          DataError: the file has another hash.
          EnvironmentFault: pip cannot download it.
        """
        path = folder / self.file_name
        command = [sys.executable, "-m", "pip", "download", *PIP_OPTIONS, "--dest", str(folder)]
        pip = subprocess.run(
            [*command, f"{self.package}=={self.version}"], capture_output=True, text=True, check=False
        )
        if pip.returncode or not path.is_file():
            lines = [line for line in pip.stderr.splitlines() if line.strip()] or ["pip printed no reason"]
            errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
            # Before a traceback pip prints "ERROR: Exception:"; the last line then is the reason.
            reason = errors[0] if errors and errors[0] != "Exception:" else lines[-1]
            raise EnvironmentFault(
                f"cannot download {self.file_name}: {reason}",
                "check the network and its proxy, the free disk space, and that pip is installed and reaches "
                "PyPI or a mirror of it (PIP_INDEX_URL)",
            )
        sha256 = file_digest(path)
        if sha256 != self.sha256:
            raise DataError(
                f"the downloaded {self.file_name} has SHA-256 {sha256}, expected {self.sha256}",
                "run the command again; if the hash is the same, pip's index serves another file",
            )
        return path
