"""RequestStatistics computes the derived features of the requests in a log."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path

import apache_beam as beam
import pytest
import tensorflow_data_validation as tfdv
import zstandard
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

from bitext.components import artifacts
from bitext.components.component import Context
from bitext.components.shared.errors import DataError
from bitext.components.statistics_gen import RequestParameters, RequestStatistics
from bitext.components.statistics_gen import requests as requests_gen
from bitext.components.statistics_gen.requests import LineCounts, read_texts
from bitext.schemas import loader

TEXTS = ["Where is the station?", "¿Dónde está?", "x"]


def run(root: Path, *files: str) -> tuple[artifacts.ExampleStatistics, list[str]]:
    printed: list[str] = []
    statistics = artifacts.ExampleStatistics(root / "statistics")
    statistics.path.mkdir()
    context = Context(
        root, root, beam_pipeline=lambda: beam.Pipeline(runner=FnApiRunner()), say=printed.append
    )
    requests_gen.run(RequestParameters(files=files), context, statistics=statistics)
    return statistics, printed


def read(path: Path) -> tuple[list[str], LineCounts]:
    count = LineCounts(str(path))
    return [text for block in read_texts(str(path), count) for text in block], count


@pytest.mark.parametrize(
    ("name", "compress"),
    [
        ("log.txt", bytes),
        ("log.txt.gz", gzip.compress),
        ("log.txt.bz2", bz2.compress),
        ("log.txt.zst", zstandard.ZstdCompressor().compress),
        ("log.jsonl", bytes),
        ("log.jsonl.gz", gzip.compress),
    ],
)
def test_every_format_and_compression_gives_the_same_texts(tmp_path, name, compress):
    lines = TEXTS if "jsonl" not in name else [json.dumps({"time": 1, "text": text}) for text in TEXTS]
    path = tmp_path / name
    path.write_bytes(compress(b"\xef\xbb\xbf" + "\r\n\n".join(lines).encode()))
    texts, count = read(path)
    assert texts == TEXTS
    assert (count.lines, count.damaged) == (3, 0)


@pytest.mark.parametrize(
    "bad", [b"{", b"[]", b'{"txt": "x"}', b'{"text": 1}', b'{"text": "\xff"}', b'{"text": "\\ud800"}']
)
def test_damaged_lines_are_counted_and_skipped(tmp_path, bad):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"text": "a"}\n' + bad + b'\n{"text": "b"}\n' + bad)
    texts, count = read(path)
    assert texts == ["a", "b"]
    assert (count.lines, count.damaged, count.first_damaged) == (4, 2, 2)
    assert count.reason


def test_statistics_hold_the_features_of_the_source_and_no_text(tmp_path):
    (tmp_path / "a.log").write_bytes("\n".join(TEXTS * 20).encode() + b"\n\xff\xff\n")
    (tmp_path / "b.log").write_text("one more", encoding="utf-8")
    statistics, printed = run(tmp_path, str(tmp_path / "*.log"), str(tmp_path / "a.log"))
    path = statistics.split("serving") / "FeatureStats.pb"
    [dataset] = tfdv.load_stats_binary(str(path)).datasets
    assert dataset.num_examples == statistics.properties["serving"] == 61
    known = {f.name for f in loader.load().feature if f.name.startswith("source_")}
    assert {f.path.step[0] for f in dataset.features} == known
    assert b"station" not in path.read_bytes()
    assert printed[0].startswith(f"{tmp_path}/a.log: 1 of 61 lines are damaged, the first of them line 61: ")
    assert printed[1] == f"{len(known)} features of 61 requests"


def test_a_file_with_mostly_damaged_lines_is_an_error(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"text": "a"}\nplain\nplain\n', encoding="utf-8")
    with pytest.raises(DataError, match=r"log\.jsonl: 2 of 3 lines are damaged, the first of them line 2"):
        run(tmp_path, str(tmp_path / "log.jsonl"))


def test_a_missing_log(tmp_path):
    with pytest.raises(DataError, match="no file matches"):
        run(tmp_path, str(tmp_path / "*.log"))


def test_an_empty_log(tmp_path):
    (tmp_path / "log.txt").write_text("\n", encoding="utf-8")
    statistics, printed = run(tmp_path, str(tmp_path / "log.txt"))
    assert statistics.properties == {"serving": 0}
    assert printed == ["0 features of 0 requests"]


def test_the_declaration_names_what_is_read():
    assert RequestStatistics().external_inputs(RequestParameters(files=("a", "b*"))) == ["a", "b*"]
