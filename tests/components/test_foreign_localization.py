"""TMX, XLIFF and PO files as tools write them, and damaged ones: the place is named, and nothing is lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from bitext.components.example_gen.formats import markup
from bitext.components.shared.errors import DataError
from tests.components.format_rows import read, read_reasons

EN_DE = {"format": "tmx", "source_language": "en", "target_language": "de"}


def unit(source: str, target: str = "Ziel") -> str:
    variants = f'<tuv xml:lang="en"><seg>{source}</seg></tuv><tuv xml:lang="de"><seg>{target}</seg></tuv>'
    return f"<tu>{variants}</tu>\n"


def memory(damaged: str, head: str = '<?xml version="1.0"?>\n') -> str:
    return head + "<tmx><body>\n" + unit("One.") * 3 + damaged + unit("Two.") * 3 + "</body></tmx>\n"


@pytest.mark.parametrize(
    ("damaged", "message", "remedy"),
    [
        (
            unit("AT&T here"),
            "line 6, column 33: .* in unit 4: an & that begins no entity",
            "write &amp; for &",
        ),
        (unit("A & B"), "an & that begins no entity at .*A &", "&amp;"),
        (unit("a < b"), "in unit 4: a < in text", "write &lt; for <"),
        (unit("a \x0b b"), r"the character U\+000B, which XML does not allow", "tr -d "),
        (unit("a &#x1F; b"), "a reference to a character that XML does not allow", "sed -E "),
        (unit("a &nbsp; b"), "&nbsp; is not declared", "&#160;"),
        (unit("a</tuv> b"), "an end tag that does not belong to its start tag", "correct the tags"),
        ("</body></tmx>\n<tmx><body>", "in unit 3: text after the last element", "divide files"),
        ("<tu x=1/>", "an unexpected character at .*<tu x=1/>", "correct the file"),
        (unit("a \udce9 b"), "text that is not UTF-8", "convert it to UTF-8"),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [7, 1 << 16])
def test_xml_that_is_not_well_formed_names_unit_place_and_remedy(
    damaged: str,
    message: str,
    remedy: str,
    chunk_bytes: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(markup, "CHUNK_BYTES", chunk_bytes)
    (tmp_path / "a.tmx").write_bytes(memory(damaged).encode("utf-8", "surrogateescape"))
    with pytest.raises(DataError, match=message) as caught:
        read_reasons(tmp_path / "a.tmx", **EN_DE)
    assert "not well-formed XML" in str(caught.value)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("cut", [3, 40, 120, 300])
def test_an_incomplete_file_says_so(cut: int, tmp_path: Path) -> None:
    (tmp_path / "a.tmx").write_text(memory("")[:-cut], encoding="utf-8")
    with pytest.raises(DataError, match="the file ends within it") as caught:
        read_reasons(tmp_path / "a.tmx", **EN_DE)
    assert "incomplete" in caught.value.remedy


def test_text_before_the_declaration_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.tmx").write_text("\n" + memory(""), encoding="utf-8")
    with pytest.raises(DataError, match=r"line 2, column 1: .*<\?xml ...\?> is not at the beginning"):
        read_reasons(tmp_path / "a.tmx", **EN_DE)


@pytest.mark.parametrize("declared", ["UTF-16", "utf-16le", "utf-32"])
def test_a_file_that_was_converted_to_utf8_may_still_declare_utf16(declared: str, tmp_path: Path) -> None:
    text = memory(unit("é"), f'<?xml version="1.0" encoding="{declared}"?>')
    (tmp_path / "a.tmx").write_text(text, encoding="utf-8")
    assert [row[1] for row in read_reasons(tmp_path / "a.tmx", **EN_DE)] == [
        *["One."] * 3,
        "é",
        *["Two."] * 3,
    ]


def test_an_unknown_declared_encoding_is_named(tmp_path: Path) -> None:
    text = memory("", '<?xml version="1.0" encoding="martian"?>')
    (tmp_path / "a.tmx").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="unknown encoding: martian"):
        read_reasons(tmp_path / "a.tmx", **EN_DE)


def test_the_encoding_of_undeclared_xml_is_suggested(tmp_path: Path) -> None:
    text = memory(unit("groß", "schöne Grüße, süßer Käse"))
    (tmp_path / "a.tmx").write_bytes(text.encode("cp1252"))
    with pytest.raises(DataError, match="text that is not UTF-8") as caught:
        read_reasons(tmp_path / "a.tmx", **EN_DE)
    assert "set example_gen.encoding to windows-1252" in caught.value.remedy


# Segmentation by mrk, as the standard of XLIFF 1.2 shows it and Trados Studio writes it.
SEGMENTED = """<xliff version="1.2" xmlns:sdl="urn:sdl"><file source-language="en" target-language="de"><body>
<group><trans-unit id="1"><source>One. Two. Three.</source>
 <seg-source><g id="5"><mrk mtype="seg" mid="1">One.</mrk> <mrk mtype="seg" mid="2">Two <mrk
 mtype="term">term</mrk>.</mrk></g> <mrk mtype="seg" mid="3">Three.</mrk></seg-source>
 <target><g id="5"><mrk mtype="seg" mid="1">Eins.</mrk></g> <mrk mtype="seg" mid="3">Drei.</mrk></target>
 <sdl:seg-defs><sdl:seg id="1" conf="Translated"/><sdl:seg id="3" conf="Draft"/></sdl:seg-defs>
 <alt-trans><source>Alt</source><target><mrk mtype="seg" mid="2">Alternative</mrk></target></alt-trans>
</trans-unit></group>
<trans-unit id="2"><source>Whole.</source><target>Ganz.</target></trans-unit>
</body></file></xliff>"""


def test_the_segments_of_a_unit_are_pairs_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "a.sdlxliff").write_text(SEGMENTED, encoding="utf-8")
    assert read_reasons(tmp_path / "a.sdlxliff", format="xliff") == [
        (1, "One.", "Eins.", ""),
        (2, "Two term.", "", "untranslated"),
        (3, "Three.", "Drei.", "fuzzy"),
        (4, "Whole.", "Ganz.", ""),
    ]
    details = [row[3] for row in read(tmp_path / "a.sdlxliff", format="xliff")]
    assert details[1] == "it has no target for its segment 2"
    assert details[2] == "it is not confirmed: conf is Draft"


@pytest.mark.parametrize("inline_markup", ["drop", "keep"])
def test_deleted_text_of_a_tracked_change_is_left_out(inline_markup: str, tmp_path: Path) -> None:
    target = (
        '<mrk mtype="seg" mid="1">eins <mrk mtype="x-sdl-deleted">alt<mrk mtype="x">er</mrk></mrk>'
        '<mrk mtype="x-sdl-added">neu</mrk> drei</mrk>'
    )
    text = (
        '<xliff version="1.2"><file><body><trans-unit><source>one</source><seg-source>'
        f'<mrk mtype="seg" mid="1">one</mrk></seg-source><target>{target}</target></trans-unit></body></file>'
        "</xliff>"
    )
    (tmp_path / "a.xlf").write_text(text, encoding="utf-8")
    rows = read_reasons(tmp_path / "a.xlf", format="xliff", inline_markup=inline_markup)
    assert rows == [(1, "one", "eins neu drei", "")]


# The structure of everything-core.xlf in the test suite of XLIFF 2.1 (OASIS).
EVERYTHING = """<?xml version="1.0"?>
<xliff xmlns="urn:oasis:names:tc:xliff:document:2.0" version="2.1" srcLang="en" trgLang="fr" xmlns:my="n">
<file id="f1" translate="no" my:attr="v"><skeleton>No text</skeleton>
 <mda:metadata xmlns:mda="m"><mda:metaGroup><mda:meta>info</mda:meta></mda:metaGroup></mda:metadata>
 <notes><note id="n1" appliesTo="source">Text of a note</note></notes>
 <unit id="tu1" translate="yes">
  <mtc:matches xmlns:mtc="x"><mtc:match><source>Match</source><target>Autre</target></mtc:match>
  </mtc:matches>
  <segment id="1" state="translated"><source>Sample segment.</source>
   <target order="3">Exemple de segment.</target></segment>
  <ignorable><source> </source></ignorable>
  <segment id="2"><source>Its content.</source><target order="1">Contenu du segment.</target></segment>
 </unit>
 <group id="g1"><unit><segment><source>Not for translation</source><target>x</target></segment></unit>
 </group>
 <unit id="tu2" translate="yes"><originalData><data id="d1">[b]</data></originalData><segment><source><pc
  id="1" dataRefStart="d1">special text</pc> and <mrk id="m1">more</mrk><ph id="2"/>.</source>
  </segment></unit>
</file></xliff>
"""


def test_all_elements_of_xliff_2(tmp_path: Path) -> None:
    (tmp_path / "a.xlf").write_text(EVERYTHING, encoding="utf-8")
    assert read_reasons(tmp_path / "a.xlf", format="xliff", source_language="en", target_language="fr") == [
        (1, "Sample segment.", "Exemple de segment.", ""),
        (2, "Its content.", "Contenu du segment.", ""),
        (3, "Not for translation", "x", "untranslated"),
        (4, "special text and more.", "", "untranslated"),
    ]


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ('m:confirmed="1"', ""), ('m:confirmed="0"', "fuzzy"), ('mq:status="ManuallyConfirmed"', ""),
        ('mq:status="PartiallyEdited"', "fuzzy"), ('mq:status="Proofread"', ""),
        ('mq:status="ConfirmedTranslator"', ""), ('mq:status="NotStarted"', "fuzzy"),
        ('approved="yes"', ""), ('approved="no"', "fuzzy"), ('translate="no"', "untranslated"),
    ],
)  # fmt: skip
def test_unconfirmed_units_of_translation_tools(attributes: str, reason: str, tmp_path: Path) -> None:
    text = (
        '<xliff version="1.2" xmlns:m="m" xmlns:mq="mq"><file><body>'
        f"<trans-unit {attributes}><source>a</source><target>b</target></trans-unit></body></file></xliff>"
    )
    (tmp_path / "a.xlf").write_text(text, encoding="utf-8")
    assert read_reasons(tmp_path / "a.xlf", format="xliff") == [(1, "a", "b", reason)]


def test_translate_is_inherited(tmp_path: Path) -> None:
    def of(attributes: str) -> str:
        return f"<unit {attributes}><segment><source>a</source><target>b</target></segment></unit>"

    yes = 'translate="yes"'
    text = (
        '<xliff version="2.0"><file>'
        f'<group translate="no">{of("")}{of(yes)}<group>{of("")}</group></group>{of("")}'
        "</file></xliff>"
    )
    (tmp_path / "a.xlf").write_text(text, encoding="utf-8")
    reasons = [row[3] for row in read_reasons(tmp_path / "a.xlf", format="xliff")]
    assert reasons == ["untranslated", "", "untranslated", ""]


HEADER = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        ('msgid "He said "hi""\nmsgstr "Er sagte hallo"\n', 8),
        ('msgid "Hi"\nmsgstr Hallo"\n', 9),
        ('msgid "Hi"\nmsgstr "Hallo\n"there"\n', 9),
        ('msgid "%d a"\nmsgid_plural "%d b"\nmsgstr[0] "x"\nmsgstr[1] y\nmsgstr[2] "z"\n', 11),
        ("Hello\n", 8),
        ('msgid "no translation"\n', 8),
        ('msgid "Hi"\nmsgstr "Hallo"\nleft over\n', 10),
    ],
)
def test_a_broken_message_is_rejected_and_reading_goes_on(broken: str, line: int, tmp_path: Path) -> None:
    text = f'{HEADER}msgid "One"\nmsgstr "Eins"\n\n{broken}\nmsgid "Two"\nmsgstr "Zwei"\n'
    (tmp_path / "a.po").write_text(text, encoding="utf-8")
    first, rejected, last = read_reasons(tmp_path / "a.po", format="po")
    assert (first[1:], last[1:]) == (("One", "Eins", ""), ("Two", "Zwei", ""))
    assert (rejected[0], rejected[3]) == (line, "bad_message")
