"""`bitext init` looks at files of every format, and its configuration reads the pairs."""

from __future__ import annotations

import csv
import gzip
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

from bitext.components.example_gen import Parameters, spans
from bitext.components.example_gen.filters import filter_rows
from bitext.components.example_gen.sources import find_source_files, read_rows
from bitext.pipeline import cli
from bitext.pipeline.config import load

PAIRS = [
    (f"The quick brown fox number {i} jumps over the lazy dog.", f"El zorro marrón número {i} salta, ágil.")
    for i in range(30)
]
ENGLISH, SPANISH = ([pair[side] for pair in PAIRS] for side in (0, 1))


def lines(texts: list[str], encoding: str = "utf-8") -> bytes:
    return "".join(f"{text}\n" for text in texts).encode(encoding)


def write_csv(path: Path, delimiter: str, encoding: str = "utf-8", header: bool = True) -> None:
    with path.open("w", newline="", encoding=encoding) as file:
        writer = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
        writer.writerows([("id", "en", "es")] * header + [(i, *pair) for i, pair in enumerate(PAIRS)])


def tmx() -> str:
    units = "".join(
        f'<tu><tuv xml:lang="en-US"><seg>{s}</seg></tuv><tuv xml:lang="es"><seg>{t}</seg></tuv></tu>'
        for s, t in PAIRS
    )
    return f'<?xml version="1.0"?>\n<tmx version="1.4"><header srclang="en"/><body>{units}</body></tmx>\n'


def xliff() -> str:
    units = "".join(
        f'<trans-unit id="{i}"><source>{s}</source><target>{t}</target></trans-unit>'
        for i, (s, t) in enumerate(PAIRS)
    )
    attributes = 'source-language="en" target-language="es" datatype="plaintext" original="x"'
    return (
        '<?xml version="1.0"?><xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">'
        f"<file {attributes}><body>{units}</body></file></xliff>"
    )


def po() -> str:
    header = 'msgid ""\nmsgstr ""\n"Language: es\\n"\n"Content-Type: text/plain; charset=UTF-8\\n"\n\n'
    return header + "".join(f'msgid "{s}"\nmsgstr "{t}"\n\n' for s, t in PAIRS)


def make(name: str, folder: Path) -> list[str]:
    """Writes the files of a case; returns the arguments that name them."""
    table = pa.table({"id": list(range(30)), "en": ENGLISH, "es": SPANISH})
    match name:
        case "tsv":
            (folder / "a.tsv").write_bytes(lines([f"{s}\t{t}\tby me" for s, t in PAIRS]))
            return ["a.tsv"]
        case "tsv.gz":
            (folder / "a.tsv.gz").write_bytes(gzip.compress(lines([f"{s}\t{t}" for s, t in PAIRS])))
            return ["a.tsv.gz"]
        case "csv":
            write_csv(folder / "a.csv", ",")
            return ["a.csv"]
        case "excel":
            write_csv(folder / "a.csv", ";", "utf-16")
            return ["a.csv"]
        case "quoted tsv":
            write_csv(folder / "a.tsv", "\t")
            return ["a.tsv"]
        case "aligned":
            (folder / "a.en").write_bytes(lines(ENGLISH))
            (folder / "a.es").write_bytes(lines(SPANISH))
            return ["a.en", "a.es"]
        case "latin-1":
            (folder / "a.en").write_bytes(lines(ENGLISH))
            (folder / "a.es").write_bytes(lines(SPANISH))
            return ["a.es", "a.en", "--source", "en"]
        case "opus.zip":
            with zipfile.ZipFile(folder / "en-es.zip", "w") as archive:
                archive.writestr("README", "read me\n")
                archive.writestr("Books.en-es.en", lines(ENGLISH))
                archive.writestr("Books.en-es.es", lines(SPANISH))
            return ["en-es.zip"]
        case "opus.tar.gz":
            for code, texts in (("en", ENGLISH), ("es", SPANISH)):
                (folder / f"x.{code}").write_bytes(lines(texts))
            with tarfile.open(folder / "en-es.tar.gz", "w:gz") as archive:
                archive.add(folder / "x.en", "x.en")
                archive.add(folder / "x.es", "x.es")
            return ["en-es.tar.gz"]
        case "jsonl":
            rows = [{"id": str(i), "translation": {"en": s, "es": t}} for i, (s, t) in enumerate(PAIRS)]
            (folder / "a.jsonl").write_bytes(lines([json.dumps(row) for row in rows]))
            return ["a.jsonl"]
        case "parquet":
            pa.parquet.write_table(table, folder / "a.parquet")
            return ["a.parquet"]
        case "feather":
            pa.feather.write_feather(table, folder / "a.feather")
            return ["a.feather"]
        case "tmx":
            (folder / "a.tmx").write_text(tmx(), encoding="utf-8")
            return ["a.tmx", "--source", "en", "--target", "es"]
        case "xliff":
            (folder / "a.xlf").write_text(xliff(), encoding="utf-8")
            return ["a.xlf"]
        case "po":
            (folder / "a.po").write_text(po(), encoding="utf-8")
            return ["a.po"]
    raise ValueError(name)


FORMATS = {
    "tsv": "tsv",
    "tsv.gz": "tsv",
    "csv": "csv",
    "excel": "csv",
    "quoted tsv": "csv",
    "aligned": "parallel",
    "latin-1": "parallel",
    "opus.zip": "parallel",
    "opus.tar.gz": "parallel",
    "jsonl": "jsonl",
    "parquet": "parquet",
    "feather": "arrow",
    "tmx": "tmx",
    "xliff": "xliff",
    "po": "po",
}


def pairs_read(config: Path) -> list[tuple[str, str]]:
    """The pairs that ExampleGen reads with a configuration."""
    pairs: list[tuple[str, str]] = []
    for part in spans.parts(load(config).example_gen):
        parameters = part.parameters
        assert isinstance(parameters, Parameters)
        for file in find_source_files(parameters):
            for block in read_rows(file, parameters):
                filtered = filter_rows(block, parameters)
                accepted = pa.array(filtered.accepted())
                sides = (filtered.source.take(accepted), filtered.target.take(accepted))
                pairs += zip(*(side.to_pylist() for side in sides), strict=True)
    return pairs


@pytest.mark.parametrize("case", FORMATS)
def test_the_configuration_reads_all_pairs(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    arguments = make(case, tmp_path)
    assert cli.main(["init", *arguments, "--output", "new.yaml"]) == 0
    printed = capsys.readouterr().out
    config = load("new.yaml")
    assert config.example_gen.format == FORMATS[case]
    assert pairs_read(tmp_path / "new.yaml") == PAIRS
    assert "rows      30\n" in printed
    assert "source    Latin script 100 %, en 100 %; " in printed
    assert "target    Latin script 100 %, es 100 %; " in printed
    assert f"      {ENGLISH[0]}\n          {SPANISH[0]}\n" in printed
    assert "30 pairs are too few to train on" in printed
    assert config.transform.source_language == "en"
    assert (config.transform.vocabulary_size, config.trainer.steps) == ("auto", "auto")


def test_without_output_the_configuration_is_on_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", *make("csv", tmp_path), "--source", "es", "--name", "backwards"]) == 0
    captured = capsys.readouterr()
    (tmp_path / "b.yaml").write_text(captured.out, encoding="utf-8")
    assert load("b.yaml").name == "backwards"
    assert pairs_read(tmp_path / "b.yaml") == [(t, s) for s, t in PAIRS]
    assert "a.csv: csv" in captured.err


def test_several_files_are_one_corpus_or_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    make("tsv", tmp_path)
    (tmp_path / "b.tsv").write_bytes((tmp_path / "a.tsv").read_bytes())
    assert cli.main(["init", "a.tsv", "b.tsv", "--output", "one.yaml"]) == 0
    assert load("one.yaml").example_gen.files == ("a.tsv", "b.tsv")
    make("csv", tmp_path)
    assert cli.main(["init", "a.tsv", "a.csv", "b.tsv", "--output", "two.yaml"]) == 0
    first, second = load("two.yaml").example_gen.corpora
    assert (first.name, first.files, second.name, second.format) == ("a", ("a.tsv", "b.tsv"), "a-1", "csv")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["missing.tsv"], 3, "missing.tsv"),
        (["."], 3, ". is a folder"),
        (["a.en"], 3, "there is no second file"),
        (["a.csv", "--source", "de"], 3, "has no column 'de'; it has id, en, es"),
        (["photo.jpg"], 3, "photo.jpg"),
        (["other.zip"], 3, "is an archive of 3 files: a.txt, b.txt, c.txt"),
        (["empty.tsv"], 3, "empty.tsv is empty"),
        (["a.csv", "--output", "there.yaml"], 2, "there.yaml exists already"),
        (["a.csv", "--output", "no/such/folder.yaml"], 6, "no/such/folder.yaml cannot be written"),
        (["a.csv", "--name", "two words"], 2, "name"),
    ],
)
def test_what_cannot_be_used_is_named(
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for case in ("csv", "aligned"):
        make(case, tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + bytes(range(256)) * 20)
    (tmp_path / "empty.tsv").write_bytes(b"")
    (tmp_path / "there.yaml").write_text("mine", encoding="utf-8")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        for name in ("a.txt", "b.txt", "c.txt"):
            archive.writestr(name, "x\n")
    before: dict[str, Any] = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert cli.main(["init", *arguments]) == code
    error = capsys.readouterr().err
    assert message in error
    assert "what to do: " in error
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_what_looks_wrong_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    other = "Somebody else is of another opinion about this."
    rows = [f"{s}\t{other}" for s in ENGLISH * 2] + ["one column"] + [f"{s}\t{s}" for s in ENGLISH[:3]]
    (tmp_path / "a.tsv").write_bytes(lines(rows))
    assert cli.main(["init", "a.tsv", "--output", "new.yaml"]) == 0
    printed = capsys.readouterr().out
    assert "WARNING   both sides are en" in printed
    assert "WARNING   a run stops if more than 5 %" in printed
    assert "rejected  4 rows: copied 3, missing_column 1" in printed
    assert "a.tsv:61: missing_column" in printed


def choice_of(config: str) -> list[tuple[str, str]]:
    """The sides that a configuration reads, as languages by their first sentences."""
    return sorted({("es" if s.startswith("El") else "en", "es" if t.startswith("El") else "en")
                   for s, t in pairs_read(Path(config))})  # fmt: skip


def write_rows(path: str, first: str, second: str) -> str:
    """A file with the pairs and two named sides: their order is that of the arguments."""
    rows = [dict(zip((first, second), (SPANISH[i], ENGLISH[i]) if first.lower().startswith("es") else pair,
                     strict=True)) for i, pair in enumerate(PAIRS)]  # fmt: skip
    with open(path, "w", encoding="utf-8", newline="") as file:
        if path.endswith(".jsonl"):
            file.writelines(json.dumps(row) + "\n" for row in rows)
        else:
            writer = csv.DictWriter(file, [first, second])
            writer.writeheader()
            writer.writerows(rows)
    return path


@pytest.mark.parametrize(
    "files",
    [
        [("q1.csv", "en", "es"), ("q2.csv", "es", "en")],
        [("q1.jsonl", "en", "es"), ("q2.jsonl", "es", "en")],
        [("q1.csv", "en", "es"), ("q2.jsonl", "es", "en"), ("q3.csv", "es-ES", "en-GB")],
        [("q1.csv", "EN", "ES"), ("q2.csv", "es", "en")],
        [("q1.csv", "en", "es"), ("a.es", "a.en", "")],
        [("q1.csv", "en", "es"), ("es-en.tmx", "es", "en")],
    ],
)
def test_all_files_have_the_direction_of_the_first(
    files: list[tuple[str, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    names = []
    for name, first, second in files:
        if name == "a.es":
            make("aligned", tmp_path)
            names += [name, first]
        elif name.endswith(".tmx"):
            unit = '<tu><tuv xml:lang="es"><seg>{}</seg></tuv><tuv xml:lang="en"><seg>{}</seg></tuv></tu>'
            body = "".join(unit.format(t, s) for s, t in PAIRS)
            Path(name).write_text(f'<tmx version="1.4"><header srclang="es"/><body>{body}</body></tmx>')
            names.append(name)
        else:
            names.append(write_rows(name, first, second))
    assert cli.main(["init", *names, "--output", "new.yaml"]) == 0
    assert choice_of("new.yaml") == [("en", "es")]
    assert len(pairs_read(tmp_path / "new.yaml")) == 30 * len(files)
    printed = capsys.readouterr().out
    assert printed.count("its order is another; read with source ") == len(files) - 1
    assert "WARNING   q1" not in printed


def test_a_file_in_the_other_direction_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("n1.tsv").write_bytes(lines([f"{s}\t{t}" for s, t in PAIRS]))
    Path("n2.tsv").write_bytes(lines([f"{t}\t{s}" for s, t in PAIRS]))
    write_csv(Path("n3.csv"), ";", header=False)
    assert cli.main(["init", "n1.tsv", "n3.csv", "--output", "one.yaml"]) == 0
    assert "is es to en" not in capsys.readouterr().out
    assert cli.main(["init", "n1.tsv", "n2.tsv", "--output", "new.yaml"]) == 0
    assert "WARNING   n1.tsv is en to es, and es to en is n2.tsv: exchange" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "languages"),
    [
        (["a.es", "a.en", "--target", "es"], ("en", "es")),
        (["a.en", "a.es", "--source", "es", "--target", "en"], ("es", "en")),
        (["a.txt", "b.txt", "--source", "en", "--target", "es"], ("en", "es")),
        (["b.txt", "a.en", "--source", "en"], ("en", "es")),
    ],
)
def test_languages_of_aligned_files_are_obeyed(
    arguments: list[str], languages: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make("aligned", tmp_path)
    Path("a.txt").write_bytes(lines(ENGLISH))
    Path("b.txt").write_bytes(lines([text.replace(",", "") for text in SPANISH]))
    assert cli.main(["init", *arguments, "--output", "new.yaml"]) == 0
    assert choice_of("new.yaml") == [languages]
    assert load("new.yaml").transform.source_language == languages[0]


def test_languages_that_aligned_files_do_not_have_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    make("aligned", tmp_path)
    assert cli.main(["init", "a.en", "a.es", "--source", "fr", "--target", "de"]) == 3
    assert "a.en and a.es are en and es by their names, not fr and de" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "text", "arguments", "code", "message"),
    [
        ("a.xlf", xliff(), ["--source", "es", "--target", "en"], 3,
         "a.xlf: none of 30 rows can be used: missing_language 30; a.xlf:1: missing_language"),
        ("a.strings", "".join(f'"{s}" = "{t}";\n' for s, t in PAIRS), [], 3, "a.strings: none of 30 rows"),
        ("a.po", po(), ["--source", "fr", "--target", "de"], 3, "a.po has the target language es: its msgid"),
        ("a.po", po(), ["--source", "es"], 3, "a.po has the target language es: its msgid is the source"),
        ("a.po", po().replace("Language: es", "X: y"), ["--target", "es"], 3, "a.po does not name its"),
        ("a.po", po(), ["--name", "my model/1"], 2, "error: --name: must be letters"),
        ("a.po", po(), ["--source", "en", "--target", "en"], 2, "--source and --target are the same: 'en'"),
    ],
)  # fmt: skip
def test_no_configuration_is_written_that_cannot_be_used(
    name: str,
    text: str,
    arguments: list[str],
    code: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text, encoding="utf-8")
    assert cli.main(["init", name, *arguments, "--output", "new.yaml"]) == code
    error = capsys.readouterr().err
    assert message in error
    assert "new.yaml" not in error
    assert "--set" not in error
    assert not Path("new.yaml").exists()


def test_languages_of_a_po_file_may_be_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.po").write_text(po(), encoding="utf-8")
    assert cli.main(["init", "a.po", "--source", "en", "--target", "es", "--output", "new.yaml"]) == 0
    assert pairs_read(tmp_path / "new.yaml") == PAIRS


def test_blanks_in_a_header_are_no_part_of_the_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text(
        "English, Spanish\n" + "".join(f'{s}, "{t}"\n' for s, t in PAIRS).replace('"', "")
    )
    assert cli.main(["init", "a.csv", "--output", "new.yaml"]) == 0
    config = load("new.yaml").example_gen
    assert (config.source_column, config.target_column) == ("English", "Spanish")
    assert len(pairs_read(tmp_path / "new.yaml")) == 30


def trailing(blank: int) -> str:
    """A table as a spreadsheet writes it: with empty columns, and blank rows at the end."""
    rows = "".join(f'{s},"{t}",,,\n' for s, t in PAIRS)
    return "English,Spanish,,,\n" + rows + ",,,,\n" * blank


@pytest.mark.parametrize(("blank", "share"), [(0, 0.05), (1, 0.05), (40, 0.58), (4000, 1.0)])
def test_blank_rows_at_the_end_of_a_table_are_no_faults(
    blank: int,
    share: float,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text(trailing(blank), encoding="utf-8")
    make("tsv", tmp_path)
    for files, name in ((["a.csv"], "one.yaml"), (["a.tsv", "a.csv"], "two.yaml")):
        assert cli.main(["init", *files, "--output", name]) == 0
        assert "WARNING   a run stops" not in capsys.readouterr().out
        assert len(pairs_read(tmp_path / name)) == 30 * len(files)
    config = load("one.yaml").example_gen
    assert (config.header, config.source_column, config.target_column) == (True, "English", "Spanish")
    assert config.max_reject_share == share
    assert [c.max_reject_share for c in load("two.yaml").example_gen.corpora] == [0.05, share]


def test_other_faults_beside_blank_rows_are_not_let_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text(trailing(40) + "one,,,,\n" * 5, encoding="utf-8")
    assert cli.main(["init", "a.csv", "--output", "new.yaml"]) == 0
    assert "WARNING   a run stops" in capsys.readouterr().out
    assert load("new.yaml").example_gen.max_reject_share == 0.05


@pytest.mark.parametrize("header", ["", "en\tes\n"])
def test_a_table_that_is_quoted_after_its_first_rows_is_read_as_csv(
    header: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = [f"{s} {i}\t{t} {i}" for i in range(50) for s, t in PAIRS]
    quoted = [f'"He said ""{s}"" {i}"\t"Dijo ""{t}"" {i}"' for i in range(2) for s, t in PAIRS]
    Path("a.tsv").write_bytes(header.encode() + lines([*plain, *quoted]))
    assert cli.main(["init", "a.tsv", "--output", "new.yaml"]) == 0
    config = load("new.yaml").example_gen
    assert (config.format, config.delimiter) == ("csv", "\t")
    pairs = pairs_read(tmp_path / "new.yaml")
    assert len(pairs) == len(plain) + len(quoted)
    assert pairs[-1][0] == f'He said "{ENGLISH[-1]}" 1'


def test_quotation_marks_in_sentences_are_no_csv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.tsv").write_bytes(lines([f'{s} "" or "so" {i}\t{t} {i}' for i in range(50) for s, t in PAIRS]))
    assert cli.main(["init", "a.tsv", "--output", "new.yaml"]) == 0
    assert load("new.yaml").example_gen.format == "tsv"
    assert len(pairs_read(tmp_path / "new.yaml")) == 1500
