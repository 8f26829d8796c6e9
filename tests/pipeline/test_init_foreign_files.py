"""`bitext init` on files as other programs write them: columns beside the sentences, languages, archives."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from bitext.components.shared.errors import DataError
from bitext.pipeline.scaffold.choice import choose
from tests.components.format_rows import read

PAIRS = [(f"This is sentence number {i}, my friend.", f"Dies ist der Satz Nummer {i}.") for i in range(20)]


def rows(*columns: list[str], delimiter: str = "\t") -> str:
    return "".join(delimiter.join(row) + "\n" for row in zip(*columns, strict=True))


SOURCES, TARGETS = ([pair[side] for pair in PAIRS] for side in (0, 1))
NUMBERS = [str(1000 + i) for i in range(20)]
ADDRESSES = [f"https://example.com/{i}" for i in range(20)]
CODES = ["eng"] * 20
IDS = [f"doc-{i:05}" for i in range(20)]


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        (rows(SOURCES, TARGETS), (0, 1)),
        (rows(NUMBERS, SOURCES, NUMBERS, TARGETS), (1, 3)),  # sentence pairs of Tatoeba
        (rows([f"1.{i:04}" for i in range(20)], SOURCES, TARGETS), (1, 2)),
        (rows(ADDRESSES, ADDRESSES, SOURCES, TARGETS, NUMBERS), (2, 3)),
        (rows(IDS, CODES, SOURCES, TARGETS), (2, 3)),
        (rows(NUMBERS, SOURCES, TARGETS, delimiter=";"), (1, 2)),
        (rows(["x", "y"] * 10, ["Go.", "Run!"] * 10), (0, 1)),  # no others
    ],
)
def test_columns_of_sentences_are_chosen(text: str, columns: tuple[int, int], tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(text, encoding="utf-8")
    (found,) = choose([str(tmp_path / "a.txt")], "", "")
    assert (found.options.get("source_column", 0), found.options.get("target_column", 1)) == columns


@pytest.mark.parametrize(
    ("record", "columns"),
    [
        (lambda s, t: {"id": "doc-17", "lang": "de", "source": s, "target": t}, ("source", "target")),
        (lambda s, t: {"target": t, "source": s}, ("source", "target")),
        (lambda s, t: {"translation": t, "src_text": s}, ("src_text", "translation")),
        (lambda s, t: {"meta": {"url": "http://a.b"}, "pair": [s, t]}, ("pair.0", "pair.1")),
        (
            lambda s, t: {"messages": [{"role": "user", "content": s}, {"role": "assistant", "content": t}]},
            ("messages.0.content", "messages.1.content"),
        ),
    ],
)
def test_fields_of_sentences_are_chosen(record, columns: tuple[str, str], tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(record(*pair)) + "\n" for pair in PAIRS))
    (found,) = choose([str(tmp_path / "a.jsonl")], "", "")
    assert (found.options["source_column"], found.options["target_column"]) == columns


def test_a_file_with_one_column_of_sentences_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sentences.csv").write_text(rows(NUMBERS, CODES, SOURCES), encoding="utf-8")
    path = str(tmp_path / "sentences.csv")
    with pytest.raises(DataError, match="no two columns that look like sentences; .* like sentences: '2'"):
        choose([path], "", "")
    (found,) = choose([path], "0", "2")
    assert (found.options["source_column"], found.options["target_column"]) == (0, 2)


def tmx(units: list[dict[str, str]], source: str = "*all*") -> str:
    variants = (
        "".join(f'<tuv xml:lang="{code}"><seg>{text}</seg></tuv>' for code, text in unit.items())
        for unit in units
    )
    body = "".join(f"<tu>{unit}</tu>" for unit in variants)
    return f'<tmx version="1.4"><header srclang="{source}"/><body>{body}</body></tmx>'


@pytest.mark.parametrize(
    ("units", "source", "chosen", "note"),
    [
        ([{"EN-US": "a", "DE-DE": "b"}], "EN-US", ("en", "de"), ""),
        ([{"en-GB": "a", "de-AT": "b"}, {"en-US": "c", "de-DE": "d"}], "*all*", ("en", "de"), ""),
        ([{"de": "b", "en": "a"}], "en-us", ("en", "de"), ""),
        ([{"en": "a", "fr": "b", "de": "c"}], "", ("en", "fr"), "other languages, not read: de "),
        ([{"pt-BR": "a", "pt-PT": "b"}], "", ("pt-BR", "pt-PT"), ""),
        ([{"en": "a", "zh-CN": "b", "zh-TW": "c"}], "en", ("en", "zh-CN"), "read: zh-TW "),
        ([{"eng": "a", "deu": "b"}], "eng", ("eng", "deu"), ""),
    ],
)
def test_languages_of_a_translation_memory(
    units: list[dict[str, str]], source: str, chosen: tuple[str, str], note: str, tmp_path: Path
) -> None:
    (tmp_path / "a.tmx").write_text(tmx(units, source), encoding="utf-8")
    (found,) = choose([str(tmp_path / "a.tmx")], "", "")
    assert (found.options["source_language"], found.options["target_language"]) == chosen
    assert note in "".join(found.notes)
    assert bool(found.notes) == bool(note)


def test_a_translation_memory_without_languages_says_so(tmp_path: Path) -> None:
    text = "<tmx><body><tu><tuv><seg>a</seg></tuv><tuv><seg>b</seg></tuv></tu></body></tmx>"
    (tmp_path / "a.tmx").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match="names its language with xml:lang"):
        choose([str(tmp_path / "a.tmx")], "", "")


def test_xliff_need_not_name_its_languages(tmp_path: Path) -> None:
    unit = "<trans-unit><source>a</source><target>b</target></trans-unit>"
    for languages, options in (("", {}), ('source-language="en"', {"source_language": "en"})):
        text = f'<xliff version="1.2"><file {languages}><body>{unit}</body></file></xliff>'
        (tmp_path / "a.xlf").write_text(text, encoding="utf-8")
        (found,) = choose([str(tmp_path / "a.xlf")], "", "")
        assert found.options == {"format": "xliff", **options, "files": [str(tmp_path / "a.xlf")]}


@pytest.mark.parametrize("encoding", ["iso-8859-15", "iso-8859-2", "koi8-r"])
def test_the_declared_encoding_is_used(encoding: str, tmp_path: Path) -> None:
    text = "Ř" if encoding == "iso-8859-2" else "€" if encoding == "iso-8859-15" else "Ж"
    header = f'"Content-Type: text/plain; charset={encoding}\\n"'
    po = f'msgid ""\nmsgstr ""\n{header}\n\nmsgid "a"\nmsgstr "{text}"\n'
    xml = f'<?xml version="1.0" encoding="{encoding}"?>\n{tmx([{"en": "a", "de": text}])}'
    for name, content in (("a.po", po), ("a.tmx", xml)):
        (tmp_path / name).write_bytes(content.encode(encoding))
        (found,) = choose([str(tmp_path / name)], "", "")
        assert "encoding" not in found.options
        assert found.notes == (f"its encoding is {encoding}, as it says",)


def test_an_encoding_that_is_declared_and_wrong_is_guessed(tmp_path: Path) -> None:
    xml = f'<?xml version="1.0" encoding="utf-8"?>\n{tmx([{"en": "a", "de": "größer, schöner, süßer"}])}'
    (tmp_path / "a.tmx").write_bytes(xml.encode("cp1252"))
    (found,) = choose([str(tmp_path / "a.tmx")], "", "")
    assert found.options["encoding"] == "windows-1252"


def archive(folder: Path, name: str, files: dict[str, str]) -> str:
    path = folder / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w") as opened:
            for member, text in files.items():
                opened.writestr(member, text)
        return str(path)
    with tarfile.open(path, "w:gz" if name.endswith("gz") else "w") as opened:
        for member, text in files.items():
            info = tarfile.TarInfo(member)
            info.size = len(text.encode())
            opened.addfile(info, io.BytesIO(text.encode()))
    return str(path)


OPUS = {
    "README": "x\n",
    "LICENSE": "x\n",
    "Tatoeba.de-en.de": "\n".join(TARGETS),
    "Tatoeba.de-en.en": "\n".join(SOURCES),
    "Tatoeba.de-en.ids": "x\n",
    "Tatoeba.de-en.xml": "<?xml version='1.0'?><cesAlign/>",
}


@pytest.mark.parametrize("name", ["de-en.txt.zip", "UPPER.ZIP", "x.tar", "x.tar.gz", "x.tgz"])
def test_an_archive_of_opus_needs_no_member_names(name: str, tmp_path: Path) -> None:
    if name.isupper():
        path = str(Path(archive(tmp_path, "a.zip", OPUS)).rename(tmp_path / name))
    else:
        path = archive(tmp_path, name, OPUS)
    (found,) = choose([path], "en", "")
    assert found.options["source_files"] == [f"{path}//Tatoeba.de-en.en"]
    assert found.options["target_files"] == [f"{path}//Tatoeba.de-en.de"]
    assert found.languages == ("en", "de")


def test_the_only_file_of_an_archive_is_read(tmp_path: Path) -> None:
    files = {"README.md": "x", "__MACOSX/._a.tsv": "\0\5", "in/a.tsv": rows(SOURCES, TARGETS)}
    (found,) = choose([archive(tmp_path, "a.zip", files)], "", "")
    assert found.options["files"] == [f"{tmp_path}/a.zip//in/a.tsv"]


@pytest.mark.parametrize(
    ("make", "message", "remedy"),
    [
        (lambda f: archive(f, "a.zip", {"train.en": "a", "train.de": "b", "dev.en": "c", "dev.de": "d"}),
         "an archive of 4 files: dev.de, dev.en, train.de, train.en", "name those to read"),
        (lambda f: archive(f, "a.zip", {"b.zip": Path(archive(f, "b.zip", OPUS)).read_bytes()}),
         "b.zip: it is a ZIP archive", "an archive within an archive is not read"),
        (lambda f: str(Path(archive(f, "a.zip", OPUS)).rename(f / "a.tsv")), "a.tsv: it is a ZIP archive",
         "rename it, with the ending .zip"),
        (lambda f: str(Path(archive(f, "a.tar.gz", OPUS)).rename(f / "a.gz")), "a.gz: it is a tar archive",
         "rename it, with the ending .tar.gz"),
        (lambda f: archive(f, "a.zip", {}), "an archive without files", "whole"),
        (lambda f: str(f / "no.tsv"), "no file matches", "correct the path"),
    ],
)  # fmt: skip
def test_other_archives_say_what_to_do(make, message: str, remedy: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        choose([make(tmp_path)], "", "")
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("text", "message", "remedy"),
    [
        (json.dumps([{"en": s, "de": t} for s, t in PAIRS]), "one JSON value, an array", "jq -c '.[]' "),
        (json.dumps([{"en": s} for s, _ in PAIRS], indent=2), "one JSON value, an array", "jq -c '.[]' "),
        (json.dumps(PAIRS), "one JSON value, an array", "jq -c '.[]' "),
        (json.dumps({"v": 1, "data": [{"en": s, "de": t} for s, t in PAIRS]}), "one JSON value", "'.data[]'"),
        (json.dumps({"data": [{"en": s} for s, _ in PAIRS]}, indent=1), "one JSON value", "'.data[]'"),
        (json.dumps({"en": SOURCES, "de": TARGETS}), "an array for each column", "transpose"),
        (json.dumps({"en": SOURCES * 5000, "de": TARGETS}), "an array for each column", "transpose"),
        (json.dumps(dict(PAIRS)), "one JSON object of many pairs", "jq -c 'to_entries[] | [.key, .value]' "),
        (json.dumps(dict(PAIRS), indent=1), "one JSON object of many pairs", "to_entries[] | [.key, .value]"),
        (json.dumps({f"{s}{i}": t for i in range(100) for s, t in PAIRS}), "object of many", "to_entries[]"),
        (json.dumps({f"word{chr(97 + i)}": "Wort" for i in range(25)}), "object of many", "to_entries[]"),
        ("".join(json.dumps({"en": s}) for s in SOURCES), "not one value a line", "jq -c . "),
        (",\n".join(json.dumps({"en": s}) for s in SOURCES) + ",\n", "that end in commas", "sed "),
        ("".join(f"{ {'en': s, 'de': t} }\n" for s, t in PAIRS), "values of Python", "json.dumps"),
    ],
)  # fmt: skip
def test_json_that_is_not_one_value_a_line(text: str, message: str, remedy: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=message) as caught:
        choose([str(tmp_path / "a.json")], "", "")
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("columns", "wrong", "right"),
    [
        ((NUMBERS, SOURCES, NUMBERS, TARGETS), 0, "1 and example_gen.target_column to 3"),
        ((SOURCES, NUMBERS, TARGETS), 1, "0 and example_gen.target_column to 2"),
        ((ADDRESSES, ADDRESSES, SOURCES, TARGETS), 0, "2 and example_gen.target_column to 3"),
        ((IDS, CODES, SOURCES, TARGETS), 0, "2 and example_gen.target_column to 3"),
        ((SOURCES, CODES, TARGETS), 1, "0 and example_gen.target_column to 2"),
    ],
)
def test_columns_that_are_no_sentences_stop_the_run(
    columns: tuple[list[str], ...], wrong: int, right: str, tmp_path: Path
) -> None:
    for name, delimiter in (("tsv", "\t"), ("csv", ";")):
        (tmp_path / "a").write_text(rows(*columns, delimiter=delimiter), encoding="utf-8")
        options = {"format": name, **({"delimiter": ";"} if name == "csv" else {})}
        with pytest.raises(DataError, match=f"column {wrong} looks like numbers, ids or addresses") as caught:
            read(tmp_path / "a", **options)
        assert f"set example_gen.source_column to {right}" in caught.value.remedy


@pytest.mark.parametrize(
    "columns",
    [
        (NUMBERS, TARGETS),  # a corpus of spelled-out numbers
        (SOURCES, TARGETS, NUMBERS),
        (["go"] * 20, ["geh"] * 20, CODES),
        (SOURCES[:5], NUMBERS[:5], TARGETS[:5]),  # too few rows to know
    ],
)
def test_other_columns_are_read(columns: tuple[list[str], ...], tmp_path: Path) -> None:
    (tmp_path / "a").write_text(rows(*columns), encoding="utf-8")
    assert len(read(tmp_path / "a")) == len(columns[0])


def test_one_record_is_no_object_of_pairs(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"id": "1", "en": "Go.", "es": "Ve."}) + "\n")
    (found,) = choose([str(tmp_path / "a.jsonl")], "", "")
    assert (found.options["source_column"], found.options["target_column"]) == ("en", "es")


SRT = "".join(f"{i}\n00:00:{i:02},000 --> 00:00:{i:02},900\n{s}\n\n" for i, s in enumerate(SOURCES, 1))
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 12345\n"


@pytest.mark.parametrize(
    ("name", "text", "message", "remedy"),
    [
        ("a.srt", SRT, "it is subtitles, which are aligned by time, not by line", "write aligned text first"),
        ("a.en", SRT.replace("\n", "\r\n"), "it is subtitles", "write aligned text first"),
        ("a.srt", "\ufeff" + SRT, "it is subtitles", "write aligned text first"),
        ("a.vtt", "WEBVTT\n\n" + SRT.replace(",", "."), "it is subtitles", "write aligned text first"),
        ("a.tsv", POINTER, "it is a Git LFS pointer", "git lfs pull"),
        ("a.tsv.gz", POINTER, "it is a Git LFS pointer", "git lfs pull"),
        ("a.parquet", POINTER, "it is a Git LFS pointer", "git lfs pull"),
    ],
)
def test_files_that_are_no_text_of_pairs(
    name: str, text: str, message: str, remedy: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(text.encode())
    (tmp_path / "b.es").write_text("\n".join(TARGETS))
    with pytest.raises(DataError, match=message) as caught:
        choose([str(tmp_path / name), str(tmp_path / "b.es")], "", "")
    assert remedy in caught.value.remedy
