"""What a file is, by its first bytes; `format: auto` reads it, and says what it recognized."""

from __future__ import annotations

import gzip
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bitext.components.example_gen.detection import describe
from bitext.components.shared.errors import DataError
from tests.components.example_gen_runs import Result
from tests.components.format_rows import read, read_reasons

PAIRS = [(f"Sentence {n}, here.", f"Señor {n}, está aquí.") for n in range(30)]
TSV = "".join(f"{source}\t{target}\n" for source, target in PAIRS)
CSV = "".join(f'"{source}","{target}"\n' for source, target in PAIRS)
PLAIN = TSV.replace(", ", " ")
TMX = "<tmx><body>{}</body></tmx>".format(
    "".join(
        f'<tu><tuv xml:lang="en-US"><seg>{s}</seg></tuv><tuv xml:lang="es"><seg>{t}</seg></tuv></tu>'
        for s, t in PAIRS
    )
)
PO = 'msgid ""\nmsgstr ""\n"Language: es\\n"\n\n' + "".join(
    f'msgid "{s}"\nmsgstr "{t}"\n\n' for s, t in PAIRS
)
HEAD = '<file source-language="en" target-language="es">'
XLIFF = f'<xliff version="1.2">{HEAD}<body>{{}}</body></file></xliff>'.format(
    "".join(f"<trans-unit><source>{s}</source><target>{t}</target></trans-unit>" for s, t in PAIRS)
)
JSONL = "".join(
    json.dumps({"id": n, "translation": {"en": s, "es": t}}) + "\n" for n, (s, t) in enumerate(PAIRS)
)


@pytest.mark.parametrize(
    ("name", "text", "words", "columns", "detected_languages"),
    [
        ("a.tsv", TSV, "tsv", ("0", "1"), ()),
        ("a.txt", "en\tes\n" + TSV, "tsv, with a header", ("en", "es"), ("en", "es")),
        ("a.txt", "id\ten\tes\n" + TSV.replace("\t", "\tx\t"), "tsv, with a header", ("id", "en", "es"),
         ("en", "es")),
        ("a.csv", CSV, "csv with ','", ("0", "1"), ()),
        ("a.csv", "source,target\n" + CSV, "csv with ',', with a header", ("source", "target"), ()),
        ("a.csv", PLAIN.replace("\t", ";"), "csv with ';'", ("0", "1"), ()),
        ("a.csv", PLAIN.replace("\t", "|"), "csv with '|'", ("0", "1"), ()),
        ("a.tsv", CSV.replace('","', '"\t"'), r"csv with '\t'", ("0", "1"), ()),
        ("a.jsonl", JSONL, "jsonl", ("translation.en", "translation.es"), ("en", "es")),
        ("a.json", json.dumps([{"en": s} for s, _ in PAIRS]), "json", (), ()),
        ("a.tmx", TMX, "tmx", (), ("en-US", "es")),
        ("a.xlf", XLIFF, "xliff", (), ("en", "es")),
        ("a.po", PO, "po", (), ("es",)),
        ("corpus.es", "".join(f"{t}\n" for _, t in PAIRS), "parallel", (), ("es",)),
        ("corpus.en-es.en", "Go, now.\nStop, please.\nWell, yes.\nSo, he, I see.\nNo.\n", "parallel", (),
         ("en",)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig", "gz"])
def test_text_is_recognized(
    name: str,
    text: str,
    words: str,
    columns: tuple[str, ...],
    detected_languages: tuple[str, ...],
    encoding: str,
    tmp_path: Path,
) -> None:
    path = tmp_path / (name + ".gz" * (encoding == "gz"))
    data = text.encode("utf-8" if encoding == "gz" else encoding)
    path.write_bytes(gzip.compress(data) if encoding == "gz" else data)
    found = describe(str(path))
    assert found.in_words().replace(", utf-16", "") == words
    assert found.encoding == ("utf-16" if encoding == "utf-16" else "utf-8")
    assert (found.columns, found.languages, found.notes) == (
        columns,
        detected_languages,
        ("its fields are quoted as in CSV",) * ("\\t" in words),
    )


def test_other_encodings_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_bytes(TSV.encode("cp1252"))
    found = describe(str(tmp_path / "a.tsv"))
    assert (found.format, found.encoding) == ("tsv", "windows-1252")
    assert found.notes == ("it is not UTF-8; it looks like windows-1252",)
    (tmp_path / "a.tsv").write_bytes(TSV.encode() + b"\xff\tb\n")
    assert describe(str(tmp_path / "a.tsv")).encoding == "utf-8"


def test_binary_files_are_recognized(tmp_path: Path) -> None:
    data = pa.table({"n": [1], "translation": pa.array([{"en": "Go.", "es": "Ve."}])})
    pq.write_table(data, tmp_path / "a")
    found = describe(str(tmp_path / "a"))
    assert (found.format, found.columns, found.languages) == (
        "parquet",
        ("translation.en", "translation.es"),
        ("en", "es"),
    )
    for new in (pa.ipc.new_file, pa.ipc.new_stream):
        with new(str(tmp_path / "b"), data.schema) as writer:
            writer.write_table(data)
        assert describe(str(tmp_path / "b")).columns == found.columns
        rows = read(
            tmp_path / "b", format="auto", source_column="translation.en", target_column="translation.es"
        )
        assert rows == [(1, "Go.", "Ve.", "")]
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as opened:
        opened.writestr("X.en-es.en", "Go.\n")
        opened.writestr("X.en-es.es", "Ve.\n")
    found = describe(str(tmp_path / "c.zip"))
    assert (found.format, found.columns) == ("archive", ("X.en-es.en", "X.en-es.es"))
    assert found.languages == ("en", "es")
    with pytest.raises(DataError, match=r"it is an archive of X.en-es.en, X.en-es.es"):
        read(tmp_path / "c.zip", format="auto")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"%PDF-1.7\n" + bytes(99), "a PDF document"),
        (b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml", "an Excel or Word document"),
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"<html><body>", "XML or HTML"),
        (bytes(range(256)) * 9, "binary data"),
    ],
)
def test_what_no_format_reads_is_named_and_never_shown(data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(data)
    for action in (lambda: describe(str(tmp_path / "a")), lambda: read(tmp_path / "a", format="auto")):
        with pytest.raises(DataError, match=message) as caught:
            action()
        assert "\x00" not in str(caught.value)
        assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "options"),
    [
        (TSV, {}), (CSV, {}), (PLAIN.replace("\t", ";"), {}), ("en\tes\n" + TSV, {}),
        (JSONL, {"source_column": "translation.en", "target_column": "translation.es"}),
        (TMX, {"source_language": "en", "target_language": "es"}), (XLIFF, {}), (PO, {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_auto_reads_what_it_recognizes(text: str, options: dict, encoding: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(text.encode(encoding))
    if text == PO and encoding == "utf-16":
        options = {**options, "encoding": "utf-16"}
    rows = read_reasons(tmp_path / "a", format="auto", **options)
    expected = [tuple(part.replace(", ", " ") for part in pair) for pair in PAIRS]
    assert [tuple(part.replace(", ", " ") for part in row[1:3]) for row in rows] == expected


def test_the_run_says_what_was_recognized(tmp_path: Path) -> None:
    pairs = [(f"Sentence {n}.", f"Oración {n}.") for n in range(300)]
    (tmp_path / "a").write_text("".join(f"{s}\t{t}\n" for s, t in pairs), encoding="utf-8")
    (tmp_path / "b").write_text("".join(f"{s};{t}\n" for s, t in pairs), encoding="utf-8")
    files = [str(tmp_path / name) for name in "ab"]
    result = Result(tmp_path / "run", format="auto", files=files, eval_share=0.2, test_share=0.2)
    assert f"recognized as tsv: {files[0]}" in result.lines
    assert f"recognized as csv with ';': {files[1]}" in result.lines
    assert len(result.all_rows()) == 300
    (tmp_path / "c").write_text(TMX, encoding="utf-8")
    with pytest.raises(DataError, match="was recognized as tmx: format tmx needs source_language"):
        Result(tmp_path / "again", format="auto", files=[str(tmp_path / "c")])


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        ("<?xml version='1.0'?><!DOCTYPE cesAlign PUBLIC '-//CES//DTD XML cesAlign//EN' ''><cesAlign/>",
         "XML or HTML .<cesAlign>", "take the aligned files"),
        ("<cesAlign version='1.0'><linkGrp/></cesAlign>", "XML or HTML .<cesAlign>", "opus_read"),
        ("<!DOCTYPE TS><TS version='2.1'/>", "XML or HTML .<TS>", "ts2po"),
        ("<svg:svg xmlns:svg='x' xmlns='y'/>", "XML or HTML .<svg:svg>", "save its sentences"),
        ("<head><title>404</title></head>", "XML or HTML .<head>", "save its sentences"),
        (f"<?xml version='1.0'?><!-- {'x' * 70_000} --><tmx/>", "first element is after 64", "to tmx or"),
    ],
)  # fmt: skip
def test_other_xml_is_named(text: str, message: str, remedy: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_text(text, encoding="utf-8")
    for action in (lambda: describe(str(tmp_path / "a")), lambda: read(tmp_path / "a")):
        with pytest.raises(DataError, match=message) as caught:
            action()
        assert remedy in caught.value.remedy


def test_sentences_with_tags_are_rows(tmp_path: Path) -> None:
    text = "".join(f"<b>Sentence {n}</b>\t<b>Satz {n}</b>\n" for n in range(20))
    (tmp_path / "a").write_text(text, encoding="utf-8")
    assert describe(str(tmp_path / "a")).format == "tsv"


@pytest.mark.parametrize(
    ("texts", "encoding"),
    [
        (["Привет, как дела", "Где мой дом?", "Один день"], "windows-1251"),
        (["שלום, מה שלומך היום", "איפה התחנה", "אני אוהב תה"], "windows-1255"),
        (["שָׁלוֹם לְכֻלָּם", "אֲנִי אוֹהֵב תֵּה"], "windows-1255"),
    ],
)
def test_russian_and_hebrew_are_told_apart(texts: list[str], encoding: str, tmp_path: Path) -> None:
    lines = [f"A sentence number {n}\t{text}\n" for n, text in enumerate(texts * 5)]
    (tmp_path / "a").write_bytes("".join(lines).encode(encoding))
    assert describe(str(tmp_path / "a")).encoding == encoding
