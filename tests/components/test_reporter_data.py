"""The sections "Data" and "Vocabulary"."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components import artifacts
from bitext.components.artifacts.page import Block, Chart, Details, Facts, Section, Table
from bitext.components.reporter import Inputs, data
from bitext.components.reporter.dataset import anomalies, sentences, statistics
from bitext.components.reporter.sections import SECTIONS
from bitext.components.reporter.subwords import corpus
from bitext.components.reporter.subwords.corpus import Pieces, Tokens
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError


def all_blocks(blocks: tuple[Block, ...]) -> list[Block]:
    """Returns blocks, and those inside details."""
    found: list[Block] = []
    for block in blocks:
        found.append(block)
        if isinstance(block, Details):
            found += all_blocks(block.blocks)
    return found


def table(section: Section, title: str) -> Table:
    """Returns the table whose title begins so."""
    return next(b for b in all_blocks(section.blocks) if isinstance(b, Table) and b.title.startswith(title))


def rejects(folder: Path, count: int) -> artifacts.Rejects:
    """Writes rejected rows with hostile texts, and the counts of all rows."""
    folder.mkdir(parents=True)
    artifact = artifacts.Rejects(folder)
    artifact.write_rows(
        artifacts.Reject("a.tsv", line, "too_long", f"{line} characters", f"<script>{line}</script>\u202e")
        for line in range(1, count + 1)
    )
    counts = {"too_long": count}
    splits = {"train": 90, "eval": 10}
    artifact.write_summary(
        artifacts.Summary(rows=100, accepted=100 - count, rejected=count, reasons=counts, splits=splits)
    )
    return artifact


def examples(folder: Path, pairs: dict[str, list[tuple[str, str]]]) -> artifacts.Examples:
    """Writes examples by split."""
    artifact = artifacts.Examples(folder)
    for split, rows in pairs.items():
        artifact.split(split).mkdir(parents=True)
        columns = {
            "id": pa.array([f"a.tsv:{n}" for n in range(len(rows))]),
            "source": pa.array([source for source, _ in rows]),
            "target": pa.array([target for _, target in rows]),
        }
        tfrecord.write_examples(artifact.shard(split), columns)
        artifact.properties[split] = len(rows)
    return artifact


class TestRows:
    def test_each_reason_opens_to_ten_rows_with_their_places(self, tmp_path: Path) -> None:
        section = data.section(Inputs(rejects=(rejects(tmp_path / "r", 25),)))
        [reason] = [b for b in section.blocks if isinstance(b, Details)]
        assert reason.summary == "too_long: 25 rows rejected"
        shown = table(section, "too_long")
        assert [row[0] for row in shown.rows] == [f"a.tsv:{line}" for line in range(1, 11)]
        assert shown.rows[0][2] == "<script>1</script>\u202e"  # the renderer escapes it
        assert shown.note.startswith("The first 10 of 25.")
        assert section.summary.startswith("100 rows were read: 75 became examples (75.0%), 25 were rejected")

    def test_spans_are_summed_and_listed(self, tmp_path: Path) -> None:
        parts = tuple(rejects(tmp_path / str(number), number + 1) for number in range(2))
        for number, part in enumerate(parts):
            part.properties["part"] = f"span {number}"
        section = data.section(Inputs(rejects=parts))
        assert [row[0] for row in table(section, "Rows by span").rows] == ["span 0", "span 1"]
        facts = next(b for b in section.blocks if isinstance(b, Facts))
        assert {fact.label: fact.value for fact in facts.facts}["rejected"] == "3"

    def test_rejects_without_counts_are_shown(self, tmp_path: Path) -> None:
        part = rejects(tmp_path / "r", 3)
        (part.path / "summary.json").unlink()
        section = data.section(Inputs(rejects=(part,)))
        assert "too_long: 3 rows rejected" in [b.summary for b in section.blocks if isinstance(b, Details)]

    def test_a_damaged_file_is_an_error(self, tmp_path: Path) -> None:
        part = rejects(tmp_path / "r", 3)
        part.rows_file.write_bytes(b"damaged")
        with pytest.raises(DataError, match="is damaged"):
            data.section(Inputs(rejects=(part,)))

    def test_without_artifacts_there_is_no_section(self) -> None:
        assert [make(Inputs()) for make in SECTIONS.values()] == [None] * len(SECTIONS)


class TestSentences:
    def test_shares_add_up_and_lengths_are_of_words_or_characters(self, tmp_path: Path) -> None:
        pairs = [("one two three", "日本語の文です"), ("one", "文"), ("a b c d e f", "これは長い文です")]
        found = sentences.blocks(Inputs(examples=(examples(tmp_path, {"train": pairs, "eval": pairs[:1]}),)))
        blocks = list(found)
        charts = [block for block in blocks if isinstance(block, Chart)]
        assert [series.name for series in charts[0].series] == ["source (words)", "target (characters)"]
        for chart in charts:
            for series in chart.series:
                assert sum(value or 0 for value in series.y) == pytest.approx(1, abs=1e-3)
        assert [series.name for series in charts[1].series] == ["train", "eval"]

    def test_the_most_frequent_sentences(self, tmp_path: Path) -> None:
        pairs = [("hi", f"t{n}") for n in range(3)] + [("once", "t0")]
        blocks = list(sentences.blocks(Inputs(examples=(examples(tmp_path, {"train": pairs}),))))
        tables = {b.title: b.rows for b in blocks if isinstance(b, Table)}
        assert tables["The most frequent sentences: source"] == (("hi", 3, 0.75),)
        assert tables["The most frequent sentences: target"] == (("t0", 2, 0.5),)

    def test_languages_are_shares_of_the_decided_sentences(self, tmp_path: Path) -> None:
        english = ("We would like to know where the station is.", "Hi.")
        spanish = ("Nos gustaría saber dónde está la estación.", "Hola.")
        pairs = [(english[0], spanish[0])] * 3 + [(spanish[0], spanish[0]), (english[1], spanish[1])]
        splits = {"train": pairs, "eval": [(english[1], spanish[0])]}
        blocks = list(sentences.blocks(Inputs(examples=(examples(tmp_path, splits),))))
        [table] = [b for b in blocks if isinstance(b, Table) and b.title == "Languages"]
        assert table.rows == (
            ("source", "en", 0.75, None),
            ("source", "es", 0.25, None),
            ("source", "undecided", 0.2, 1.0),
            ("target", "es", 1.0, 1.0),
            ("target", "undecided", 0.2, 0.0),
        )

    @pytest.mark.parametrize("whole", [True, False])
    def test_of_a_large_split_a_part_is_measured(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
    ) -> None:
        monkeypatch.setattr(sentences, "MEASURED_ROWS", 100)
        monkeypatch.setattr(sentences, "_BLOCK_ROWS", 10)
        part = examples(tmp_path, {"train": [("a", str(number)) for number in range(400)]})
        split = sentences.measure((part,), "train", whole=whole)
        assert (split.measured, split.examples) == (100 if whole else 110, 400)
        first_half = sum(int(text) < 200 for text in split.values["target"].to_pylist())
        assert first_half == (50 if whole else 110)


def test_statistics_of_splits_spans_and_an_earlier_run(tmp_path: Path) -> None:
    from tensorflow_metadata.proto.v0 import statistics_pb2

    def write(folder: Path, mean: float) -> artifacts.ExampleStatistics:
        artifact = artifacts.ExampleStatistics(folder)
        folder.mkdir()
        for split in ("train", "eval"):
            message = statistics_pb2.DatasetFeatureStatisticsList()
            dataset = message.datasets.add(num_examples=10)
            number = dataset.features.add(type="INT", path={"step": ["source_words"]})
            number.num_stats.mean, number.num_stats.median, number.num_stats.max = mean, mean, 9
            histogram = number.num_stats.histograms.add(type="QUANTILES")
            histogram.buckets.add(low_value=1, high_value=mean, sample_count=5)
            histogram.buckets.add(low_value=mean, high_value=9, sample_count=5)
            text = dataset.features.add(type="STRING", path={"step": ["source_script"]})
            for value, count in (("Latin", 8), ("<i>Greek", 2)):
                text.string_stats.top_values.add(value=value, frequency=count)
            artifact.write(message, split)
        return artifact

    inputs = Inputs(
        statistics=(write(tmp_path / "new", 4),), previous_statistics=(write(tmp_path / "old", 3),)
    )
    blocks = all_blocks(tuple(statistics.blocks(inputs)))
    numbers = next(b for b in blocks if isinstance(b, Table) and b.title == "Numbers")
    assert [row[1] for row in numbers.rows] == ["train", "eval", "earlier run train", "earlier run eval"]
    charts = {b.title: b for b in blocks if isinstance(b, Chart)}
    assert charts["source_words"].series[0].y == (0.0, 0.5, 1.0)
    assert [series.role for series in charts["source_words"].series] == ["main", "other", "earlier"]
    assert charts["source_script"].series[0].x == ("Latin", "<i>Greek")


def test_anomalies_are_told_in_words(tmp_path: Path) -> None:
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    artifact = artifacts.ExampleAnomalies(tmp_path)
    found = anomalies_pb2.Anomalies()
    info = found.anomaly_info["target_script"]
    info.severity = anomalies_pb2.AnomalyInfo.ERROR
    info.reason.add(short_description="Unexpected string values", description="Greek (~2%).")
    artifact.write(found, "train", "europarl/span-7")
    drift = anomalies_pb2.Anomalies()
    distance = drift.drift_skew_info.add(path={"step": ["source_words"]})
    distance.drift_measurements.add(type="L_INFTY", value=0.05, threshold=0.1)
    artifact.write(drift, "eval", "drift")
    blocks = all_blocks(tuple(anomalies.blocks(Inputs(anomalies=artifact))))
    tables = {b.title: b.rows for b in blocks if isinstance(b, Table)}
    [row] = tables["Anomalies"]
    assert row == (
        "europarl/span-7, split train against the schema",
        "target_script",
        "error",
        "Unexpected string values: Greek (~2%)",
    )
    [measured] = tables["Drift and skew"]
    assert measured[:3] == ("source_words", "split eval against the previous blessed run", "l infty")


NAMES = ("<pad>", "<s>", "</s>", "<unk>", "<0xC3>", "<0xB1>", "▁ma", "ana", "▁a", ".", "an", "▁")


def tokens_of(sentence_ids: list[list[int]]) -> Tokens:
    ids = [id_ for sentence in sentence_ids for id_ in sentence]
    first = [number == 0 for sentence in sentence_ids for number in range(len(sentence))]
    count = len(sentence_ids)
    return Tokens(np.array(ids, np.int64), np.array(first, bool), count, count)


def words_of(sentence_ids: list[list[int]]) -> dict[str, int]:
    """Returns the words and their counts."""
    pieces, found = Pieces(NAMES), tokens_of(sentence_ids)
    words = corpus.words(found, pieces)
    return {
        pieces.word(found.ids[start : start + length].tolist()): int(count)
        for start, length, count in zip(words.starts, words.lengths, words.counts, strict=True)
    }


def test_words_are_joined_from_pieces_and_bytes() -> None:
    assert words_of([[6, 4, 5, 7, 9], [8, 6, 4, 5, 7], [3, 8]]) == {"mañana": 2, "a": 2}
    assert words_of([]) == {}


@given(st.lists(st.lists(st.integers(3, len(NAMES) - 1), min_size=1, max_size=12), max_size=8))
def test_words_equal_those_of_a_loop(sentence_ids: list[list[int]]) -> None:
    pieces = Pieces(NAMES)
    expected: dict[tuple[int, ...], int] = {}
    for sentence in sentence_ids:
        words: list[list[int]] = []
        after_mark = True
        for id_ in sentence:
            is_outside = id_ == 3 or bool(pieces.is_mark[id_])
            if after_mark or is_outside or NAMES[id_].startswith("▁"):
                words.append([])
            words[-1].append(id_)
            after_mark = is_outside
        for word in words:
            if not (word[0] == 3 or pieces.is_mark[word[0]]):
                expected[tuple(word)] = expected.get(tuple(word), 0) + 1
    found = tokens_of(sentence_ids)
    words_found = corpus.words(found, pieces)
    counted = {
        tuple(found.ids[s : s + n].tolist()): int(c)
        for s, n, c in zip(words_found.starts, words_found.lengths, words_found.counts, strict=True)
    }
    assert counted == expected
    assert words_found.total == sum(expected.values())
