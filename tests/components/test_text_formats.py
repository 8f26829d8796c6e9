"""Text in any encoding is read or refused by name; a table that is no plain table is never read as one."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.example_gen import Parameters, detection, sources
from bitext.components.example_gen.formats import base, content, decoding, guards
from bitext.components.shared.errors import DataError
from tests.components.format_rows import read

PAIRS = [(f"Sentence {n} is here.", f"Señor {n} está aquí.") for n in range(30)]


def tsv_of(pairs: list[tuple[str, str]]) -> str:
    return "".join(f"{source}\t{target}\n" for source, target in pairs)


@pytest.mark.parametrize("block_bytes", [1, 7, 1 << 22])
@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "UTF-16BE", "utf-32", "latin-1", "cp1252", "macintosh"]
)
def test_the_rows_do_not_depend_on_the_encoding(
    encoding: str, block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "BLOCK_BYTES", block_bytes)
    (tmp_path / "a.tsv").write_bytes(tsv_of(PAIRS).encode(encoding))
    (tmp_path / "a.csv").write_bytes(tsv_of(PAIRS).replace("\t", ",").encode(encoding))
    for side in (0, 1):
        text = "\r\n".join(pair[side] for pair in PAIRS)
        (tmp_path / f"a.{side}").write_bytes(text.encode(encoding))
    expected = [(n, *pair, "") for n, pair in enumerate(PAIRS, 1)]
    assert read(tmp_path / "a.tsv", encoding=encoding) == expected
    assert read(tmp_path / "a.csv", encoding=encoding, format="csv") == expected
    assert read(tmp_path / "a.0", tmp_path / "a.1", encoding=encoding, format="parallel") == expected


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("gb18030", "我的哥哥买了一座红色的房子"),
        ("shift_jis", "猫が犬を見ています"),
        ("iso2022_jp", "猫が犬を見ています"),
        ("big5", "貓看見了狗"),
        ("euc_kr", "고양이가 개를 봅니다"),
        ("koi8-r", "Кошка видит собаку"),
        ("hz", "猫看见了狗"),
    ],
)
def test_encodings_of_other_scripts(encoding: str, text: str, tmp_path: Path) -> None:
    pairs = [(f"Sentence {n}.", f"{text} {n}") for n in range(20)]
    (tmp_path / "a.tsv").write_bytes(tsv_of(pairs).encode(encoding))
    assert read(tmp_path / "a.tsv", encoding=encoding) == [(n, *pair, "") for n, pair in enumerate(pairs, 1)]


def test_a_row_that_cannot_be_decoded_is_rejected_and_the_next_is_read(tmp_path: Path) -> None:
    lines = tsv_of(PAIRS).encode("cp1252").splitlines(keepends=True)
    lines[4] = b"Bad \x81\tMalo\n"
    (tmp_path / "a.tsv").write_bytes(b"".join(lines))
    rows = read(tmp_path / "a.tsv", encoding="cp1252")
    assert [row for row in rows if row[3]] == [(5, "", "Malo", "source: has bytes that are not cp1252")]
    assert [row[:3] for row in rows if not row[3]] == [(n, *p) for n, p in enumerate(PAIRS, 1) if n != 5]
    data = bytearray(tsv_of(PAIRS).encode("utf-16-le"))
    data[10:12] = b"\x00\xd8"  # half of a surrogate pair
    (tmp_path / "a.tsv").write_bytes(data)
    rows = read(tmp_path / "a.tsv", encoding="utf-16")
    assert [row[0] for row in rows if row[3]] == [1]
    assert len(rows) == len(PAIRS)


@given(st.lists(st.tuples(st.text("aé ñ'", min_size=1), st.text("bñ.", min_size=1)), min_size=1, max_size=20))
def test_utf16_gives_the_rows_of_utf8(
    tmp_path_factory: pytest.TempPathFactory, pairs: list[tuple[str, str]]
) -> None:
    folder = tmp_path_factory.mktemp("encodings")
    for encoding in ("utf-8", "utf-16"):
        (folder / f"{encoding}.tsv").write_bytes(tsv_of(pairs).encode(encoding))
    assert read(folder / "utf-16.tsv", encoding="utf-16") == read(folder / "utf-8.tsv")


@pytest.mark.parametrize(
    ("written", "given", "message", "remedy"),
    [
        ("utf-16", "utf-8", "it is UTF-16 text, not UTF-8", "set example_gen.encoding to utf-16; or convert"),
        ("utf-16", "cp1252", "it is UTF-16 text, not cp1252", "set example_gen.encoding to utf-16"),
        ("utf-16-be", "utf-8", "it is UTF-16BE text", "set example_gen.encoding to utf-16be"),
        ("cp1252", "utf-8", "it looks like windows-1252", "set example_gen.encoding to windows-1252; or"),
        ("utf-8", "cp1252", "is UTF-8 text, not cp1252", "leave out example_gen.encoding"),
        ("utf-8", "utf-16", "is UTF-8 text, not utf-16", "leave out example_gen.encoding"),
        ("utf-8-sig", "latin-1", "is UTF-8 text, not latin-1", "leave out example_gen.encoding"),
        ("cp1252", "ascii", "is not ascii text: 30 of 30 lines", "correct example_gen.encoding"),
    ],
)
def test_another_encoding_than_the_given_stops(
    written: str, given: str, message: str, remedy: str, tmp_path: Path
) -> None:
    (tmp_path / "a.tsv").write_bytes(tsv_of(PAIRS).encode(written))
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path / "a.tsv", encoding=given)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "encoding", ["utf_61", "base64", "rot13", "idna", "undefined", "", "a\0b", "unicode_escape"]
)
def test_what_is_no_encoding_of_text_is_refused(encoding: str) -> None:
    with pytest.raises(ValueError, match="is no encoding of text"):
        Parameters(files=("a.tsv",), encoding=encoding)
    with pytest.raises(ValueError, match="did you mean 'utf_16'"):
        Parameters(files=("a.tsv",), encoding="utf_161")


@pytest.mark.parametrize(
    ("encoding", "meant"),
    [
        ("ANSI", "windows-1252"),
        ("mbcs", "windows-1252"),
        ("Unicode", "utf-16"),
        ("UTF-8 (BOM)", "utf-8"),
        ("utf_81", "utf_8"),
        ("windows_125", "windows_125"),
        *[(name, "") for name in ("base64", "hex", "rot13", "rot_13", "zip", "uu", "undefined", "idna")],
        *[(name, "") for name in ("unicode_escape", "raw-unicode-escape", "punycode", "quopri")],
    ],
)
def test_only_an_encoding_of_text_is_suggested(encoding: str, meant: str) -> None:
    with pytest.raises(ValueError, match="is no encoding of text") as caught:
        Parameters(files=("a.tsv",), encoding=encoding)
    _, asks, suggested = str(caught.value).partition("did you mean ")
    assert bool(asks) == bool(meant)
    if meant:
        assert suggested.startswith(f"'{meant}")
        decoding.check_encoding(suggested.split("'")[1])


@pytest.mark.parametrize("quoting", [csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
def test_a_quoted_tsv_is_refused_and_read_as_csv(quoting: int, tmp_path: Path) -> None:
    pairs = [*PAIRS, ('He said "Go".', 'Dijo "vete".')]
    text = io.StringIO()
    csv.writer(text, delimiter="\t", quoting=quoting).writerows(pairs)
    (tmp_path / "a.tsv").write_text(text.getvalue(), encoding="utf-8", newline="")
    with pytest.raises(DataError, match="is quoted as in CSV") as caught:
        read(tmp_path / "a.tsv")
    assert 'set example_gen.format to csv and example_gen.delimiter to "\\t"' in caught.value.remedy
    rows = read(tmp_path / "a.tsv", format="csv", delimiter="\t")
    assert rows == [(n, *pair, "") for n, pair in enumerate(pairs, 1)]


QUOTED_PAIRS = [
    ('He said: "Please go.", twice.', 'Dijo: "Vete", dos veces.'),
    ("Line one.\nLine two.", "Renglón uno.\nRenglón dos."),
    ("Short.", "Largo.\n\nMuy largo."),
    ("A\ttab.", "Tab."),
]


@pytest.mark.parametrize("shown", [QUOTED_PAIRS, QUOTED_PAIRS[1:3] * 3, QUOTED_PAIRS[3:] * 2])
@pytest.mark.parametrize("at", [0, 1500])
def test_a_tsv_with_few_quoted_fields_is_read_as_csv(
    shown: list[tuple[str, str]], at: int, tmp_path: Path
) -> None:
    pairs = PAIRS * 100
    pairs[at:at] = shown
    text = io.StringIO()
    csv.writer(text, delimiter="\t").writerows(pairs)
    (tmp_path / "a.tsv").write_text(text.getvalue(), encoding="utf-8", newline="")
    with pytest.raises(DataError, match="is quoted as in CSV") as caught:
        read(tmp_path / "a.tsv")
    assert 'set example_gen.format to csv and example_gen.delimiter to "\\t"' in caught.value.remedy
    if not at:
        assert detection.describe(str(tmp_path / "a.tsv")).format == "csv"
        rows = read(tmp_path / "a.tsv", format="auto")
        assert [row[1:] for row in rows] == [(*pair, "") for pair in pairs]


def test_quoted_prose_over_lines_stays_tsv(tmp_path: Path) -> None:
    pairs = [
        *PAIRS,
        *[('"I am here.', '"Estoy aquí.'), ('Please go."', 'Vete, por favor."')] * 5,
        *[('"Yes."', '"Sí."'), ('"Hello" she said', '"Hola" dijo ella'), ('5" wide', '5" ancho')] * 3,
        *[("I am here.", '"Estoy aquí.'), ('Please go."', "Vete.")] * 5,
    ]
    (tmp_path / "a.tsv").write_text(tsv_of(pairs), encoding="utf-8")
    assert read(tmp_path / "a.tsv") == [(n, *pair, "") for n, pair in enumerate(pairs, 1)]
    assert detection.describe(str(tmp_path / "a.tsv")).format == "tsv"


def test_a_late_quoted_field_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "BLOCK_BYTES", 5000)
    text = tsv_of(PAIRS * 200) + '"He said ""Go""."\t"Dijo ""vete""."\n'
    (tmp_path / "a.tsv").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="is quoted as in CSV: 2 of 2 fields"):
        read(tmp_path / "a.tsv")


def test_quotation_marks_of_prose_are_text(tmp_path: Path) -> None:
    pairs = [
        *PAIRS,
        ('"Go," he said.', '"Vete", dijo.'),
        ('"Go!"', '"¡Vete!"'),
        ('A 3"" pipe', 'Un tubo de 3""'),
    ]
    (tmp_path / "a.tsv").write_text(tsv_of(pairs), encoding="utf-8")
    assert read(tmp_path / "a.tsv") == [(n, *pair, "") for n, pair in enumerate(pairs, 1)]


@pytest.mark.parametrize("file_format", ["tsv", "csv"])
@pytest.mark.parametrize(
    "header",
    [
        ("en", "de"),
        ("source", "target"),
        ("English", "Spanish"),
        ("sentence1", "sentence2"),
        ("src_text", "tgt_text"),
        ("eng_Latn", "deu_Latn"),
        ("pt-BR", "zh_Hans"),
        ("translation.en", "translation.de"),
        ("Source text", "Target text"),
        ("sourceText", "targetText"),
        ("text_en", "text_es"),
        ("spa", "eng"),
        ("ENGLISH", "GERMAN"),
        ("EN", "DE"),
        ("English (US)", "Spanish (Spain)"),
        ("Source (en)", "Target [es]"),
        ("question", "answer"),
        ("Ausgangstext", "Zieltext"),
        ("Texto original", "Traducción al inglés"),
        ("Original", "Traduction"),
        ("Source text", "Übersetzung"),
        ("Texte source", "Texte cible"),
        ("Исходный текст", "Перевод"),
        ("Segment", "Segment"),
        ("Deutsch", "Englisch"),
        ("Español", "Inglés"),
        ("English", "Deutsch"),
    ],
)
def test_a_header_that_is_not_declared_stops(
    header: tuple[str, str], file_format: str, tmp_path: Path
) -> None:
    delimiter = {"tsv": "\t", "csv": ","}[file_format]
    (tmp_path / "a").write_text(tsv_of([header, *PAIRS]).replace("\t", delimiter), encoding="utf-8")
    with pytest.raises(DataError, match="looks like a header") as caught:
        read(tmp_path / "a", format=file_format)
    assert "set example_gen.header to true" in caught.value.remedy
    assert detection.describe(str(tmp_path / "a")).header == (header[0] != header[1])
    rows = read(tmp_path / "a", format=file_format, header=True)
    assert [row[1:3] for row in rows] == PAIRS
    (tmp_path / "a").write_text("\n \n" + (tmp_path / "a").read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(DataError, match="looks like a header"):
        read(tmp_path / "a", format=file_format)


@pytest.mark.parametrize(
    "pair",
    [
        ("Go.", "Ve."),
        ("Hi", "Hola"),
        ("No", "No"),
        ("text", "texto"),
        ("Hello", "Bonjour"),
        ("So", "Also"),
        ("English", "Inglés"),
        ("Source:", "Fuente:"),
        ("I am", "Soy"),
        ("it is", "es"),
        ("Original text", "Texto original"),
        ("Translation", "Traducción"),
        ("Question", "Pregunta"),
        ("The answer", "La respuesta"),
        ("Question?", "Answer!"),
        ("No (formal)", "No (formal)"),
        ("German", "Deutsch"),
        ("Inglés", "Inglês"),
        ("Spanish (Spain)", "Español (España)"),
        ("In the text", "En el texto"),
    ],
)
def test_a_short_pair_is_no_header(pair: tuple[str, str], tmp_path: Path) -> None:
    assert not guards.looks_like_header(pair)
    (tmp_path / "a.tsv").write_text(tsv_of([pair, *PAIRS]), encoding="utf-8")
    assert read(tmp_path / "a.tsv")[0][1:] == (*pair, "")


@pytest.mark.parametrize("file_format", ["tsv", "csv", "auto"])
@pytest.mark.parametrize(
    ("first", "options", "warns"),
    [
        (("Go.", "Ve."), {"header": True}, True),
        (("en", "es"), {"header": True}, False),
        (("Source", "Español (México)"), {"header": True}, False),
        (("a", "b"), {"header": True, "source_column": "a", "target_column": "b"}, False),
        (("Go.", "Ve."), {}, False),
    ],
)
def test_a_header_that_looks_like_a_pair_is_named(
    first: tuple[str, str], options: dict, warns: bool, file_format: str, tmp_path: Path
) -> None:
    delimiter = "," if file_format == "csv" else "\t"
    (tmp_path / "a").write_text(tsv_of([first, *PAIRS]).replace("\t", delimiter), encoding="utf-8")
    parameters = Parameters(files=(str(tmp_path / "a"),), format=file_format, **options)
    lines = list(sources.doubtful_headers(sources.find_source_files(parameters), parameters))
    warnings = [line for line in lines if line.startswith("warning: ")]
    assert len(warnings) == warns
    if warns:
        assert "the first row is taken as the header: 'Go.' and 'Ve.'; if it is a sentence" in warnings[0]


JSON_LINES = "".join(json.dumps({"en": s, "es": t}, ensure_ascii=False) + "\n" for s, t in PAIRS)
XML = '<?xml version="1.0"?>\n<!-- a -->\n<!DOCTYPE tmx SYSTEM "tmx14.dtd">\n<tmx version="1.4"></tmx>'
PO = '# a comment\nmsgid ""\nmsgstr ""\n"Language: es\\n"\n\n#, c-format\nmsgid "Go."\nmsgstr "Ve."\n'


@pytest.mark.parametrize("file_format", ["tsv", "csv", "parallel"])
@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        (JSON_LINES, "JSON, one value a line", "set example_gen.format to jsonl"),
        (json.dumps([{"en": s, "es": t} for s, t in PAIRS]), "it is one JSON value", "jsonl"),
        (json.dumps([{"en": s, "es": t} for s, t in PAIRS], indent=1), "it is one JSON value", "jsonl"),
        (XML, "it is TMX", "set example_gen.format to tmx"),
        ('<xliff version="1.2">', "it is XLIFF", "set example_gen.format to xliff"),
        (PO, "it is a PO file", "set example_gen.format to po"),
        ("<!DOCTYPE html>\n<html>\n", "XML or HTML", "save its sentences"),
    ],
)
def test_other_formats_of_text_name_their_setting(
    text: str, message: str, remedy: str, file_format: str, tmp_path: Path
) -> None:
    (tmp_path / "a").write_text(text, encoding="utf-8")
    paths = [tmp_path / "a"] * (2 if file_format == "parallel" else 1)
    with pytest.raises(DataError, match=message) as caught:
        read(*paths, format=file_format)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    "text",
    [
        "{0} files\t{0} Dateien\n",
        "[Music]\t[Musik]\n",
        "<b>Bold</b>\t<b>Fett</b>\n",
        "# msgid\tmsgstr\n",
        "< 5\t> 5\n",
    ],
)
def test_text_with_marks_is_no_other_format(text: str) -> None:
    assert not content.format_of(text.encode() * 20)


def test_columns_counted_from_one_name_the_columns(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text(tsv_of(PAIRS), encoding="utf-8")
    with pytest.raises(DataError, match="has 2 columns, and no column 2: columns count from 0") as caught:
        read(tmp_path / "a.tsv", source_column=1, target_column=2)
    assert caught.value.remedy == "set example_gen.source_column to 0 and example_gen.target_column to 1"
    with pytest.raises(DataError, match="columns count from 0") as caught:
        read(tmp_path / "a.tsv", source_column=2, target_column=1)
    assert caught.value.remedy == "set example_gen.source_column to 1 and example_gen.target_column to 0"


def test_another_delimiter_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(tsv_of(PAIRS).replace("\t", ";"), encoding="utf-8")
    with pytest.raises(DataError, match="none of the first has the tab; the semicolon looks") as caught:
        read(tmp_path / "a.txt")
    assert caught.value.remedy == 'set example_gen.format to csv and example_gen.delimiter to ";"'


@pytest.mark.parametrize(
    ("file_format", "option"), [("tsv", {"delimiter": ";"}), ("parallel", {"header": True})]
)
def test_an_option_that_the_format_does_not_read_is_refused(file_format: str, option: dict) -> None:
    (key,) = option
    with pytest.raises(ValueError, match=f"format {file_format} has no {key}"):
        Parameters(files=("a",), format=file_format, **option)
