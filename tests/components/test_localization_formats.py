"""TMX, XLIFF, PO and MO: units by number or line, with the reason why one gives no pair."""

from __future__ import annotations

import shutil
import subprocess
import tracemalloc
from pathlib import Path
from xml.sax.saxutils import escape

import mkdocs
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.artifacts import Reject
from bitext.components.example_gen import Parameters
from bitext.components.example_gen.formats import languages, markup
from bitext.components.example_gen.sources import find_source_files
from bitext.components.shared.errors import DataError
from tests.components.example_gen_runs import Result
from tests.components.format_rows import read_reasons

EN_DE = {"format": "tmx", "source_language": "en", "target_language": "de"}
# The units have the elements that the specification of TMX 1.4b shows.
TMX = """<?xml version="1.0"?>
<!-- Example of TMX document -->
<!DOCTYPE tmx SYSTEM "tmx14.dtd">
<tmx version="1.4">
 <header creationtool="XYZTool" creationtoolversion="1.01" datatype="PlainText" segtype="sentence"
  adminlang="en-us" srclang="EN" o-tmf="ABCTransMem">
  <note>This is a note at document level.</note>
  <ude name="MacRoman" base="Macintosh">
   <map unicode="#xF8FF" code="#xF0" ent="Apple_logo" subst="[Apple]"/></ude>
 </header>
 <body>
  <tu tuid="0001"><note>Text of a note.</note><prop type="x-Domain">Computing</prop>
   <tuv xml:lang="EN-US"><seg>data (with a non-standard &amp; character).</seg></tuv>
   <tuv xml:lang="de_DE"><seg>Daten (mit einem &#228;).</seg></tuv>
  </tu>
  <tu tuid="0002">
   <tuv xml:lang="en">
    <seg>The <bpt i="1" x="1">&lt;b></bpt>bold<ept i="1">&lt;/b></ept> one: <ph x="2"/>.</seg></tuv>
   <tuv xml:lang="de"><seg>Der <hi>fette</hi>: <ph x="2">%s<sub>no text</sub></ph>.</seg></tuv>
  </tu>
  <tu><tuv xml:lang="en"><seg>Only English.</seg></tuv><tuv xml:lang="fr"><seg>Fran&#xE7;ais.</seg></tuv></tu>
  <tu>
   <tuv lang="en"><seg>Old.</seg></tuv><tuv lang="de"><seg>Alt.</seg></tuv>
   <tuv lang="de-AT"><seg>Oid.</seg></tuv>
  </tu>
  <tu><tuv xml:lang="en"><seg></seg></tuv><tuv xml:lang="de"><seg>Leer.</seg></tuv></tu>
 </body>
</tmx>
"""


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def test_units_of_a_translation_memory(tmp_path: Path) -> None:
    rows = read_reasons(write(tmp_path / "a.tmx", TMX), **EN_DE)
    assert rows == [
        (1, "data (with a non-standard & character).", "Daten (mit einem ä).", ""),
        (2, "The bold one: .", "Der fette: .", ""),
        (3, "Only English.", "", "missing_language"),
        (4, "Old.", "Alt.", ""),
        (4, "", "Oid.", "other_variant"),
        (5, "", "Leer.", "empty_side"),
    ]
    kept = read_reasons(tmp_path / "a.tmx", inline_markup="keep", **EN_DE)
    assert kept[1] == (2, 'The <b>bold</b> one: <ph x="2"/>.', "Der fette: %sno text.", "")
    fr = read_reasons(tmp_path / "a.tmx", format="tmx", source_language="fr", target_language="en")
    assert [row for row in fr if not row[3]] == [(3, "Français.", "Only English.", "")]


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-16", "latin-1", "windows-1252", "gb18030", "shift_jis", "koi8-r"]
)
@pytest.mark.parametrize("chunk_bytes", [1, 100, 1 << 16])
def test_the_declared_or_given_encoding_is_read(
    tmp_path: Path, encoding: str, chunk_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(markup, "CHUNK_BYTES", 1000 if chunk_bytes == 1 else chunk_bytes)
    target = {"gb18030": "数据", "shift_jis": "データ", "koi8-r": "данные"}.get(encoding, "Äpfel")
    units = "".join(
        f'<tu><tuv xml:lang="en"><seg>{n}</seg></tuv><tuv xml:lang="de"><seg>{target}</seg></tuv></tu>'
        for n in range(30)
    )
    expected = [(n + 1, str(n), target, "") for n in range(30)]
    text = f'<?xml version="1.0" encoding="{encoding}"?><tmx><body>{units}</body></tmx>'
    assert read_reasons(write(tmp_path / "a", text, encoding), **EN_DE) == expected
    path = write(tmp_path / "b", f"<tmx><body>{units}</body></tmx>", encoding)
    assert read_reasons(path, encoding=encoding, **EN_DE) == expected


BOMB = '<!DOCTYPE tmx [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TMX.replace('<!DOCTYPE tmx SYSTEM "tmx14.dtd">', BOMB), "line 3: it declares the entity 'a'"),
        (
            TMX.replace('SYSTEM "tmx14.dtd"', '[<!ENTITY a SYSTEM "file:///etc/passwd">]'),
            "declares the entity 'a'",
        ),
        (
            TMX.replace('SYSTEM "tmx14.dtd"', '[<!ENTITY % a SYSTEM "http://localhost/a">%a;]'),
            "declares the entity",
        ),
        (TMX.replace("Alt.", "&auml;lt."), "line 23: the entity &auml; is not declared"),
        (TMX.replace("Alt.", "<b>Alt."), "not well-formed XML"),
        (TMX[: len(TMX) // 2], "not well-formed XML"),
        (TMX.replace("tmx", "tbx"), "its first element is <tbx>, not <tmx>"),
        ("Go.\tVe.\n", "line 1, column 1: not well-formed"),
        ("", "not well-formed"),
        ("<tmx>" + "<a>" * 2000, "over 1,000 elements in each other"),
        (f"<tmx><!--{'a' * (17 << 20)}", "a tag or comment of more than 16 MiB"),
    ],
)
def test_what_is_no_plain_tmx_stops_with_its_place(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_reasons(write(tmp_path / "a.tmx", text), **EN_DE)


def test_missing_languages_name_those_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="none of its 5 units has both languages, en and es; it has EN-US, de_DE, en"
    ):
        read_reasons(write(tmp_path / "a.tmx", TMX), format="tmx", source_language="en", target_language="es")
    with pytest.raises(ValueError, match="format tmx needs source_language and target_language"):
        Parameters(files=("a.tmx",), format="tmx", source_language="en")
    with pytest.raises(ValueError, match="format tsv has no source_language"):
        Parameters(files=("a.tsv",), source_language="en")


@pytest.mark.parametrize(
    ("prefix", "language", "expected"),
    [("en", "en", True), ("en", "EN-us", True), ("en", "en_GB", True), ("en", "eng", False),
     ("en-US", "en", False),
     ("zh-Hant", "zh_Hant_TW", True), ("en", "", False), ("de", "nl-de", False)],
)  # fmt: skip
def test_language_prefixes(prefix: str, language: str, expected: bool) -> None:
    assert languages.matches(prefix, language) is expected


def test_the_memory_is_limited_whatever_a_memory_has(tmp_path: Path) -> None:
    unit = '<tu><tuv xml:lang="en"><seg>Go.</seg></tuv><tuv xml:lang="de"><seg>Geh.</seg></tuv></tu>\n'
    long = unit.replace("Go.", "a" * (8 << 20))
    write(tmp_path / "a.tmx", f"<tmx><body>{unit * 20_000}{long}{unit}</body></tmx>")
    parameters = Parameters(files=(str(tmp_path / "a.tmx"),), **EN_DE)
    from bitext.components.example_gen.formats import FORMATS
    from bitext.components.example_gen.sources import find_source_files

    (file,) = find_source_files(parameters)
    tracemalloc.start()
    units = FORMATS["tmx"].units(file, parameters)  # type: ignore[attr-defined]
    longest = max(len(unit.source) for unit in units)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (1 << 20) < longest < (2 << 20)
    assert peak < 8 << 20
    rows = read_reasons(tmp_path / "a.tmx", **EN_DE)
    assert [row[0] for row in rows if row[3]] == [20_001]
    assert len(rows) == 20_002


XML_TEXT = st.text(
    st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff"), max_size=9
)


@given(st.lists(st.tuples(XML_TEXT, XML_TEXT), min_size=1, max_size=9))
def test_every_text_of_an_xml_writer_is_read(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("xml")
    tus = "".join(
        f'<tu><tuv xml:lang="en"><seg>{escape(s)}</seg></tuv>'
        f'<tuv xml:lang="de"><seg>{escape(t)}</seg></tuv></tu>'
        for s, t in pairs
    )
    rows = read_reasons(write(folder / "a.tmx", f"<tmx><body>{tus}</body></tmx>"), **EN_DE)
    assert [row[1:3] for row in rows] == pairs
    units = "".join(
        f"<trans-unit><source>{escape(s)}</source><target>{escape(t)}</target></trans-unit>" for s, t in pairs
    )
    text = f'<xliff version="1.2"><file><body>{units}</body></file></xliff>'
    rows = read_reasons(write(folder / "a.xlf", text), format="xliff")
    assert [row[1:3] for row in rows] == pairs


XLIFF_1 = """<?xml version="1.0" encoding="UTF-8"?>
<xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
 <file original="a.html" source-language="en-US" target-language="fr" datatype="html"><header/><body>
  <trans-unit id="1"><source>Hello <g id="1">big</g> <x id="2"/>world</source>
   <seg-source><mrk mtype="seg" mid="1">no</mrk></seg-source>
   <target state="translated">Bonjour <bpt id="1">&lt;i></bpt>grand<ept id="1">&lt;/i></ept> monde</target>
   <alt-trans match-quality="80%"><source>Other</source><target>Autre</target></alt-trans></trans-unit>
  <group><trans-unit id="2"><source>New</source></trans-unit>
   <trans-unit id="3"><source>Empty</source><target/></trans-unit>
   <trans-unit id="4"><source>State</source><target state="needs-translation">State</target></trans-unit>
   <trans-unit id="5"><source>Review</source>
    <target state="needs-review-translation">Revue</target></trans-unit>
   <trans-unit id="6" approved="no"><source>Open</source><target>Ouvrir</target></trans-unit>
   <trans-unit id="7" translate="no"><source>ID</source><target>ID</target></trans-unit></group>
  <trans-unit id="8" approved="yes"><source>Yes</source>
   <target><mrk mtype="seg" mid="1">Oui</mrk></target></trans-unit>
 </body></file>
 <file original="b" source-language="de" target-language="fr"><body>
  <trans-unit id="1"><source>Ja</source><target>Oui</target></trans-unit></body></file>
</xliff>
"""
XLIFF_2 = """<xlf:xliff xmlns:xlf="urn:oasis:names:tc:xliff:document:2.0" version="2.0"
 srcLang="en" trgLang="ja">
 <xlf:file id="f1"><xlf:unit id="u1" name="x">
  <mtc:matches xmlns:mtc="urn:oasis:names:tc:xliff:matches:2.0">
   <mtc:match ref="#1"><xlf:source>No</xlf:source>
   <xlf:target>No</xlf:target></mtc:match></mtc:matches>
  <xlf:segment id="1" state="final"><xlf:source>First <xlf:pc id="1">sentence</xlf:pc>.</xlf:source>
   <xlf:target>最初の<xlf:ph id="1"/>文。</xlf:target></xlf:segment>
  <xlf:ignorable><xlf:source> </xlf:source></xlf:ignorable>
  <xlf:segment><xlf:source>Second.</xlf:source><xlf:target>第二。</xlf:target></xlf:segment>
  <xlf:segment state="initial"><xlf:source>Third.</xlf:source><xlf:target>Third.</xlf:target></xlf:segment>
 </xlf:unit><xlf:unit id="u2" translate="no"><xlf:segment><xlf:source>A</xlf:source><xlf:target>A</xlf:target>
 </xlf:segment></xlf:unit></xlf:file>
</xlf:xliff>
"""


def test_segments_of_xliff(tmp_path: Path) -> None:
    path = write(tmp_path / "a.xlf", XLIFF_1)
    rows = read_reasons(path, format="xliff")
    assert rows[0] == (1, "Hello big world", "Bonjour grand monde", "")
    assert [row[3] for row in rows] == [
        "", "untranslated", "untranslated", "untranslated", "fuzzy", "fuzzy", "untranslated", "", "",
    ]  # fmt: skip
    assert rows[7:] == [(8, "Yes", "Oui", ""), (9, "Ja", "Oui", "")]
    of_english = read_reasons(path, format="xliff", source_language="en", target_language="fr")
    assert [row[0] for row in of_english if row[3] == "missing_language"] == [9]
    kept = read_reasons(path, format="xliff", inline_markup="keep")
    assert kept[0][1:3] == ('Hello <g id="1">big</g> <x id="2"/>world', "Bonjour <i>grand</i> monde")
    rows = read_reasons(write(tmp_path / "b.xlf", XLIFF_2), format="xliff")
    assert rows == [
        (1, "First sentence.", "最初の文。", ""),
        (2, "Second.", "第二。", ""),
        (3, "Third.", "Third.", "untranslated"),
        (4, "A", "A", "untranslated"),
    ]


PO = r"""# Translators:
msgid ""
msgstr ""
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=3; plural=(n%10==1 && n%100!=11 ? 0 : n%10>=2 && n%10<=4 ? 1 : 2);\n"

#. A comment
#: src/a.c:10
#, c-format
msgid "Open \"%s\"\n"
msgstr ""
"Открыть "
"\"%s\"\n"

msgctxt "menu"
msgid "Open"
msgstr "Открыть"
msgid "Close"
msgstr ""

#, c-format, fuzzy
#| msgid "Saves"
msgid "Save\t\x41\101"
msgstr "Сохранить"

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d файл"
msgstr[1] "%d файла"
msgstr[2] "%d файлов"

#~ msgid "Obsolete"
#~ msgstr "Старое"
"""


def test_messages_of_a_po_file(tmp_path: Path) -> None:
    rows = read_reasons(write(tmp_path / "a.po", PO), format="po")
    assert rows == [
        (11, 'Open "%s"\n', 'Открыть "%s"\n', ""),
        (17, "Open", "Открыть", ""),
        (19, "Close", "", "untranslated"),
        (24, "Save\tAA", "Сохранить", "fuzzy"),
        (28, "%d file", "%d файл", ""),
        (29, "%d files", "%d файла", ""),
        (30, "%d files", "%d файлов", ""),
    ]
    text = PO.replace("UTF-8", "KOI8-R")
    assert read_reasons(write(tmp_path / "b.po", text, "koi8-r"), format="po") == rows
    for damaged in ("Go.\tVe.\n", PO.partition("msgstr[0]")[0]):
        with pytest.raises(DataError, match="is not valid in a PO file|has no msgstr"):
            read_reasons(write(tmp_path / "c.po", damaged), format="po")


@pytest.mark.skipif(shutil.which("msgfmt") is None, reason="gettext is not installed")
def test_a_compiled_catalog_has_the_same_messages(tmp_path: Path) -> None:
    path = write(tmp_path / "a.po", PO)
    compiled = tmp_path / "a.mo"
    subprocess.run(["msgfmt", str(path), "-o", str(compiled)], check=True)
    rows = read_reasons(compiled, format="po")
    expected = {row[1:3] for row in read_reasons(path, format="po") if not row[3]}
    assert {row[1:3] for row in rows} == expected
    assert [row[0] for row in rows] == list(range(1, 6))
    data = compiled.read_bytes()
    for damaged in (data[:100], data[:30], data[:8] + b"\xff\xff\xff\x7f" + data[12:]):
        compiled.write_bytes(damaged)
        with pytest.raises(DataError, match="it ends too early|is beyond its end"):
            read_reasons(compiled, format="po")


def test_a_catalog_of_another_program() -> None:
    """Babel has compiled the catalogs of MkDocs."""
    folder = Path(mkdocs.__file__).parent / "themes" / "readthedocs" / "locales"
    rows = read_reasons(folder / "de" / "LC_MESSAGES" / "messages.mo", format="po")
    assert ("Next", "Weiter") in {row[1:3] for row in rows}
    assert not [row for row in rows if row[3]]


def test_untranslated_units_are_counted_and_do_not_stop_the_run(tmp_path: Path) -> None:
    unit = "<trans-unit><source>Sentence {0}.</source>{1}</trans-unit>"
    units = [unit.format(n, f"<target>Phrase {n}.</target>" if n % 2 else "") for n in range(400)]
    text = f'<xliff version="1.2"><file><body>{"".join(units)}</body></file></xliff>'
    path = write(tmp_path / "a.xlf", text)
    result = Result(tmp_path / "run", format="xliff", files=[str(path)], eval_share=0.2, test_share=0.2)
    assert result.summary()["reasons"] == {"untranslated": 200}
    assert len(result.all_rows()) == 200
    first = result.rejects()[0]
    assert (first["line"], first["reason"], first["detail"]) == (1, "untranslated", "it has no target")
    assert first["numbered"] == "unit"
    assert result.rejects_artifact.rows(1)[0].place() == f"{path}: unit 1"


XLIFF_OF_ONE = (
    '<xliff version="1.2"><file source-language="en" target-language="de"><body><trans-unit id="1">'
    "<source>Yes.</source><target>Ja.</target></trans-unit></body></file></xliff>"
)


@pytest.mark.parametrize(
    ("name", "text", "file_format", "place"),
    [
        ("a.xlf", XLIFF_OF_ONE, "auto", ": unit 1"),
        ("a.xlf", XLIFF_OF_ONE, "xliff", ": unit 1"),
        ("a.po", 'msgid "a"\nmsgstr "b"\n', "po", ":1"),
        ("a.tsv", "a\tb\n", "tsv", ":1"),
    ],
)
def test_the_place_of_a_row_says_what_its_number_counts(
    tmp_path: Path, name: str, text: str, file_format: str, place: str
) -> None:
    path = write(tmp_path / name, text)
    [file] = find_source_files(Parameters(format=file_format, files=(str(path),)))
    reject = Reject(str(path), 1, "untranslated", "it has no target", "", file.numbered)
    assert reject.place() == f"{path}{place}"
    assert msgspec.json.decode(msgspec.json.encode(reject), type=Reject) == reject
