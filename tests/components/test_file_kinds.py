"""A file that is no text in UTF-8 is named for what it is, and text in UTF-8 is never taken for another."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import sqlite3
import tarfile
import zipfile
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.example_gen import Parameters
from bitext.components.example_gen.formats import base
from bitext.components.example_gen.sources import find_source_files, read_rows
from bitext.components.shared import encodings, file_kinds
from bitext.components.shared.errors import DataError

LINES = {
    "es": "La casa está en la montaña.\n¿Dónde está la estación?\nMañana iré al médico.\n",
    "de": "Der Hund läuft über die Straße.\nSchöne Grüße aus München.\n",
    "fi": "Kissa näkee koiran.\nLääkäri piirtää.\n",
    "is": "Bróðir minn kaupir rautt hús.\nÞað er gott.\n",
    "pl": "Zażółć gęślą jaźń.\nMój brat kupuje książkę.\n",
    "cs": "Kočka vidí psa.\nMůj bratr kupuje červený dům.\n",
    "tr": "Kardeşim kırmızı bir ev alıyor.\nÇocuk ağlıyor.\n",
    "ru": "Кошка видит собаку.\nМой брат покупает красный дом.\n",
    "uk": "Кішка бачить собаку.\nЇжак їсть яблуко.\n",
    "el": "Η γάτα βλέπει τον σκύλο.\nΟ αδελφός μου αγοράζει ένα σπίτι.\n",
    "he": "החתול רואה את הכלב.\nאחי קונה בית אדום.\n",
    "ar": "القط يرى الكلب.\nأخي يشتري بيتا أحمر.\n",
    "th": "แมวเห็นสุนัข\nพี่ชายของฉันซื้อบ้านสีแดง\n",
    "ja": "猫が犬を見ています。\n私の兄は赤い家を買います。\n",
    "zh": "猫看见了狗。\n我的哥哥买了一座红色的房子。\n",
    "zh-tw": "貓看見了狗。\n我的哥哥買了一座紅色的房子。\n",
    "ko": "고양이가 개를 봅니다.\n의사는 오래된 책을 그립니다.\n",
}
WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


@pytest.mark.parametrize(
    ("language", "encoding"),
    [
        ("es", "windows-1252"), ("de", "windows-1252"), ("fi", "windows-1252"), ("is", "windows-1252"),
        ("es", "macintosh"), ("es", "cp850"), ("pl", "windows-1250"), ("pl", "iso-8859-2"),
        ("cs", "windows-1250"), ("tr", "windows-1254"), ("ru", "windows-1251"), ("ru", "koi8-r"),
        ("ru", "cp866"), ("ru", "iso-8859-5"), ("uk", "koi8-u"), ("el", "windows-1253"),
        ("he", "windows-1255"), ("ar", "windows-1256"), ("th", "windows-874"), ("ja", "shift_jis"),
        ("ja", "euc-jp"), ("zh", "gb18030"), ("zh-tw", "big5"), ("ko", "cp949"),
    ],
)  # fmt: skip
def test_the_likely_encoding(language: str, encoding: str, tmp_path: Path) -> None:
    codec = {"macintosh": "mac_roman", "windows-874": "cp874"}.get(encoding, encoding)
    data = LINES[language].encode(codec)
    assert encodings.likely_encoding(data) == encoding
    path = tmp_path / "a b.tsv"
    path.write_bytes(data.replace(b"\n", b"\ttext\n") * 10)
    parameters = Parameters(files=(str(path),))
    with pytest.raises(DataError, match=f"is not UTF-8 text: .*it looks like {encoding}") as caught:
        list(read_rows(find_source_files(parameters)[0], parameters))
    assert f"iconv -f {encoding.upper()} -t UTF-8 '{path}'" in caught.value.remedy


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("euc-jp", "待機中、製品 3x 提供可能\nから\n払い戻しを必ず実行してください。\n"),
        ("cp949", "저장한 파일을 열 수 없습니다 ※ 漢字\n다시 시도하십시오 → 도움말\n"),
        ("gb18030", "您可以选择一个模板の\n是否要保存所有的文件？\n我的哥哥买了一座红色的房子。\n"),
    ],
)
def test_japanese_chinese_and_korean_are_told_apart(encoding: str, text: str) -> None:
    assert encodings.likely_encoding(text.encode(encoding) * 20) == encoding


def test_for_an_ambiguous_encoding_no_command_is_given() -> None:
    assert encodings.likely_encoding("컴퓨터".encode("cp949")) == "shift_jis or cp949 or gb18030"
    remedy = encodings.remedy("cp949 or gb18030", "a.tsv")
    assert "iconv" not in remedy
    assert "which of these encodings" in remedy


def test_a_few_lines_that_are_not_utf8_are_rejected_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    lines = ["¿Dónde?\tWhere?\n".encode()] * 100
    lines[7:10] = ["¿Dónde?\tWhere?\n".encode("latin-1")] * 3
    path.write_bytes(b"".join(lines))
    assert len(list(base.text_lines(str(path)))) == 100


@pytest.mark.parametrize("encoding", WIDE)
@pytest.mark.parametrize("language", LINES)
def test_utf_16_and_utf_32_are_known_with_and_without_a_mark(encoding: str, language: str) -> None:
    with pytest.raises(DataError, match=f"a.tsv: it is {encoding[:6].upper()}.* text") as caught:
        file_kinds.check_text((LINES[language] * 2).encode(encoding), "a.tsv")
    name = encoding.upper().replace("-LE", "LE").replace("-BE", "BE")
    assert caught.value.remedy == f"convert it to UTF-8: iconv -f {name} -t UTF-8 a.tsv"


@given(st.lists(st.sampled_from([*LINES.values(), "a\0b\n", "\0", "\x1b[0m\n", "x\r"])).map("".join))
def test_utf8_with_single_control_characters_is_text(text: str) -> None:
    if text.count("\0") < 0.05 * len(text):
        file_kinds.check_text(text.encode(), "a.tsv")


def archive(kind: str) -> bytes:
    file = io.BytesIO()
    if kind == "tar":
        with tarfile.open(fileobj=file, mode="w") as tar:
            tar.addfile(tarfile.TarInfo("a.tsv"))
    else:
        names = {"xlsx": "[Content_Types].xml", "zip": "a.tsv"}
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr(names[kind], "text")
    return file.getvalue()


OPENPYXL = ["docProps/app.xml", "docProps/core.xml", "xl/theme/theme1.xml", "xl/workbook.xml"]


@pytest.mark.parametrize(
    ("names", "kind", "remedy"),
    [
        ([*OPENPYXL, "[Content_Types].xml"], "an Excel workbook (.xlsx)", "save the sheet as CSV"),
        (OPENPYXL[:2], "an Excel or Word document", "save the sheet as CSV"),
        (["_rels/.rels", "word/document.xml"], "a Word document (.docx)", "save its sentences as text"),
        (["[Content_Types].xml", "word/document.xml"], "a Word document (.docx)", "save its sentences"),
        (["[Content_Types].xml", "ppt/presentation.xml"], "a PowerPoint presentation", "save its sentences"),
        (["META-INF/manifest.xml", "content.xml"], "an OpenDocument file", "save the sheet as CSV"),
        (["mimetype", "styles.xml", "content.xml"], "an OpenDocument file", "save the sheet as CSV"),
        (["mimetype", "META-INF/container.xml"], "an EPUB book", "save its sentences"),
        (["document.mqxliff", "skeleton.xml"], "a memoQ file (.mqxlz)", "set example_gen.format to xliff"),
        (["a.xlf"], "a ZIP archive with a.xlf in it, which is XLIFF", "set example_gen.format to xliff"),
        (["a.tsv", "word/document.xml"], "a ZIP archive", "rename it, with the ending .zip"),
        (["a.xlsx", "xl/workbook.xml"], "a ZIP archive", "rename it, with the ending .zip"),
    ],
)
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_documents_that_are_zip_archives_are_named(
    names: list[str], kind: str, remedy: str, compression: int, tmp_path: Path
) -> None:
    with zipfile.ZipFile(tmp_path / "a", "w", compression) as archive:
        for name in names:
            archive.writestr(name, os.urandom(600))
    with pytest.raises(DataError) as caught:
        list(base.text_lines(str(tmp_path / "a")))
    assert f"it is {kind}" in str(caught.value)
    assert remedy in caught.value.remedy


def database(folder: Path) -> bytes:
    with sqlite3.connect(folder / "a.db") as connection:
        connection.execute("create table pairs (source, target)")
    return (folder / "a.db").read_bytes()


def test_other_files_are_named(tmp_path: Path) -> None:
    kinds = {
        "gzip data": gzip.compress(b"a"),
        "bzip2 data": bz2.compress(b""),
        "xz data": lzma.compress(b"a"),
        "Zstandard data": zstandard.ZstdCompressor().compress(b"a"),
        "LZ4 data": b"\x04\x22\x4d\x18\x64\x40",
        r"compress \(.Z\) data": b"\x1f\x9d\x90",
        "a ZIP archive": archive("zip"),
        "an Excel or Word document": archive("xlsx"),
        "a tar archive": archive("tar"),
        "a 7-Zip archive": b"7z\xbc\xaf\x27\x1c\x00\x04",
        "a Parquet file": b"PAR1\x15\x04",
        "a PDF document": b"%PDF-1.7\n",
        "an SQLite database": database(tmp_path),
        "an ELF program": b"\x7fELF\x02\x01",
        r"a compiled gettext catalogue \(.mo\)": b"\xde\x12\x04\x95\x00\x00\x00\x00",
        "binary data": os.urandom(5000),
    }
    for name, data in kinds.items():
        with pytest.raises(DataError, match=f"cannot read standard input: it is {name}, not text") as caught:
            file_kinds.check_text(data, None)
        assert caught.value.remedy
    (tmp_path / "a.txt").write_bytes(gzip.compress(b"a"))
    with pytest.raises(DataError, match="it is gzip data") as caught:
        list(base.text_lines(str(tmp_path / "a.txt")))
    assert "with the ending .gz; or decompress it: zcat" in caught.value.remedy


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.gz", b"a\tb\n", "it is plain text, not gzip as its name says"),
        ("a.gz", zstandard.ZstdCompressor().compress(b"a"), "it is Zstandard, not gzip as its name says"),
        ("a.zst", bz2.compress(b"a"), "it is bzip2, not Zstandard as its name says"),
        ("a.xz", archive("zip"), "it is a ZIP archive, not xz as its name says"),
        ("a.gz", gzip.compress(archive("tar"), mtime=0), "it is a tar archive, not text"),
        ("a.gz", gzip.compress("a\tb\n".encode("utf-16"), mtime=0), "it is UTF-16 text"),
    ],
)
def test_a_name_that_says_something_else(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(DataError, match=f"cannot read .*{name}: {message}"):
        list(base.text_lines(str(tmp_path / name)))
