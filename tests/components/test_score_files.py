"""`bitext score`: the score of a pair is that of the search, whatever the batch; limits and refusals."""

from __future__ import annotations

import math
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.shared.errors import ConfigError, DataError
from bitext.components.translation import forced_decoding, score_files
from bitext.components.translation.forced_decoding import PairScore, perplexity, score_pairs
from bitext.components.translation.parallel_text import TextFile
from bitext.components.translation.score_files import Total
from bitext.components.translation.search import Search
from bitext.components.translation.translator import LineTranslator
from tests.components.small_export import Export

SIDE = st.text("abc the", min_size=1, max_size=20).map(str.encode)


@pytest.fixture(scope="module")
def translators(export: Export) -> list[LineTranslator]:
    return [LineTranslator(export.path, Search(), size) for size in (1, 2, 64)]


class TestPairs:
    @settings(max_examples=15)
    @given(pairs=st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=6))
    def test_the_score_does_not_depend_on_the_batch(
        self, translators: list[LineTranslator], pairs: list[tuple[bytes, bytes]]
    ) -> None:
        first, *others = ([(s.log_prob, s.length) for s in score_pairs(t, pairs)] for t in translators)
        for other in others:
            np.testing.assert_allclose(first, other, rtol=1e-4)

    def test_it_is_that_of_the_signature(self, export: Export, translators: list[LineTranslator]) -> None:
        scores = score_pairs(translators[-1], [(b"the cat", b"el gato"), (b"a mat", b"abc")])
        for pair, score in zip([(b"the cat", b"el gato"), (b"a mat", b"abc")], scores, strict=True):
            outputs = export("score", source=[pair[0]], target=[pair[1]])
            assert score.log_prob == pytest.approx(float(outputs["log_prob"][0]), rel=1e-4)
            assert score.length == int(outputs["length"][0])
            assert score.mean == score.log_prob / score.length

    def test_batches_are_bounded_by_the_logits(
        self, translators: list[LineTranslator], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        translator = translators[-1]
        vocabulary = int(translator.signature("info")()["vocab_size"])
        monkeypatch.setattr(forced_decoding, "MAX_LOGITS", vocabulary * 40)
        pairs = [(b"a", b"x" * (n % 30)) for n in range(50)]
        batches = list(forced_decoding._batches(translator, pairs))
        assert sorted(i for batch in batches for i in batch) == list(range(50))
        for batch in batches:
            assert len(batch) == 1 or len(batch) * (max(len(pairs[i][1]) for i in batch) + 2) <= 40
        assert len(batches) < 35

    def test_perplexity_is_not_finite_where_it_is_too_large(self) -> None:
        assert forced_decoding.perplexity_of([PairScore(-5000.0, 2)]) == math.inf
        assert forced_decoding.perplexity_of([PairScore(-2 * math.log(3), 2)]) == pytest.approx(3)
        assert math.isnan(forced_decoding.perplexity_of([PairScore(math.nan, 2)]))


def write(folder: Path, source: bytes, target: bytes) -> tuple[TextFile, TextFile]:
    """Writes two files."""
    (folder / "s").write_bytes(source)
    (folder / "t").write_bytes(target)
    return TextFile(folder / "s"), TextFile(folder / "t")


class TestFiles:
    def test_lines_stay_in_order_over_blocks_and_blank_pairs_count_nothing(
        self, translators: list[LineTranslator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(score_files, "BLOCK_PAIRS", 2)
        files = write(tmp_path, b"the cat\r\n\nseven\nsongs\n\n", b"el gato\n \nel\n\nel gato")
        total, rows, warnings = Total(), list[PairScore](), list[str]()
        for block in score_files.score_files(translators[-1], *files, warnings.append):
            total.add(block)
            rows += block
        assert rows[1] == PairScore(0.0, 0)  # blank on both sides
        assert [row.length for row in rows] == [9, 0, 4, 1, 9]
        pairs = [(b"the cat", b"el gato"), (b"seven", b"el"), (b"songs", b""), (b"", b"el gato")]
        assert total.pairs == 4
        assert total.perplexity == pytest.approx(perplexity(translators[0], pairs), rel=1e-4)
        assert not warnings

    def test_a_source_of_which_the_end_is_not_read_is_told(
        self, translators: list[LineTranslator], tmp_path: Path
    ) -> None:
        files = write(tmp_path, b"a\n" + b"a" * 30 + b"\n", b"a\na\n")
        warnings = list[str]()
        assert len(list(score_files.score_files(translators[0], *files, warnings.append))) == 1
        assert len(warnings) == 1
        assert f"{tmp_path / 's'}:2: a source of 32 tokens is longer than the model reads (12)" in warnings[0]

    @pytest.mark.parametrize(
        ("source", "target", "message"),
        [
            (b"a\nb\n", b"a\n", "s has 2 lines and .*t has 1"),
            (b"a\n", b"a\nb\n", "s has 1 lines and .*t has 2"),
            (b"", b"", "s is empty"),
            (b"a\nb\n", b"a\n" + b"x" * 17_000, "t:2: a target of 17,000 bytes cannot be scored"),
            (b"a\n\xff\n", b"a\nb\n", "s:2: not UTF-8"),
        ],
    )
    def test_what_cannot_be_scored_is_refused_before_the_first_score(
        self, translators: list[LineTranslator], tmp_path: Path, source: bytes, target: bytes, message: str
    ) -> None:
        scores = score_files.score_files(translators[0], *write(tmp_path, source, target), print)
        with pytest.raises(DataError, match=message):
            next(scores)

    def test_a_pipe_is_read_once(self, translators: list[LineTranslator], tmp_path: Path) -> None:
        source, target = write(tmp_path, b"a\nb\n", b"a\nb\n")
        os.mkfifo(tmp_path / "pipe")
        writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=[b"a\nb\n"])
        writer.start()
        (block,) = score_files.score_files(translators[0], TextFile(tmp_path / "pipe"), target, print)
        writer.join()
        assert [block] == list(score_files.score_files(translators[0], source, target, print))

    def test_both_files_cannot_be_standard_input(self, translators: list[LineTranslator]) -> None:
        with pytest.raises(ConfigError):
            next(score_files.score_files(translators[0], TextFile(None), TextFile(None), print))
