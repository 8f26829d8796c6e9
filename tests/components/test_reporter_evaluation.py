"""The sections "Evaluation" and "Sentences": from artifacts of every kind, and what must always hold."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitext.components import artifacts
from bitext.components.artifacts import Aligned, BaselineComparison, Metrics, Translated
from bitext.components.artifacts.page import Chart, Details, Facts, Section, Sentences, Table, Text
from bitext.components.reporter import evaluation as report
from bitext.components.reporter.evaluation import labels, pairwise, sentences
from bitext.components.reporter.evaluation.breakdowns import bin_names, binned, overlap_bins
from bitext.components.reporter.evaluation.systems import (
    SERVED,
    THIS,
    ScoreOptions,
    System,
    common,
    options_of,
    systems_of,
)
from bitext.components.shared.metrics import METRICS, Bleu, ChrF, Comparison, CorpusScore
from tests.components.test_reporter_evaluation_words import examples_with

SIGNATURE = "nrefs:var|bs:1000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"
TRAIN = [("the cat sat on the mat", "el gato se sentó"), ("a red house", "una casa roja")] * 3


def row(number: int, hypothesis: str, reference: str, source: str = "the cat", **fields: Any) -> Translated:
    return Translated(f"a.tsv:{number}", source, hypothesis, [reference], -0.5, **fields)


ROWS = [
    row(1, "el gato", "el gato", served="el gato"),
    row(2, "el perro", "el gato", served="el gato"),
    row(3, "no no no", "la casa", "a red house", served=""),
    row(4, "A red house", "una casa roja", "a red house", served="una casa"),
    row(5, "", "algo", "something", served="algo"),
    row(6, "una casa \u2047 roja", "una casa roja", "a red house", served="una casa roja"),
    row(7, "uno dos tres cuatro cinco seis", "uno", "one", served="uno"),
]


def metrics_of(rows: Sequence[Translated], **changes: Any) -> Metrics:
    score = CorpusScore(30.0, SIGNATURE, (28.0, 32.0))
    metrics = Metrics(
        scores={metric.name: score for metric in METRICS},
        perplexity=4.0,
        length_ratio=1.0,
        by_source_length=(),
        sentences=len(rows),
        sentences_per_second=10.0,
    )
    return msgspec.structs.replace(metrics, **changes)


def write(folder: Path, rows: Sequence[Translated], metrics: Metrics | None = None, **verdict: Any) -> None:
    for name in ("evaluation", "blessing"):
        (folder / name).mkdir(parents=True)
    evaluation, blessing = artifacts_of(folder)
    evaluation.write_metrics(metrics or metrics_of(rows))
    evaluation.write_translations(rows)
    blessing.write(artifacts.Verdict(**{"blessed": True, "reasons": ["BLEU is high"], **verdict}))


def artifacts_of(folder: Path) -> tuple[artifacts.ModelEvaluation, artifacts.ModelBlessing]:
    return artifacts.ModelEvaluation(folder / "evaluation"), artifacts.ModelBlessing(folder / "blessing")


def made(folder: Path, examples: Sequence[artifacts.Examples] = ()) -> tuple[Section, Section]:
    sections = report.sections(*artifacts_of(folder), examples)
    check(sections)
    return sections


def check(sections: Sequence[Section]) -> None:
    """Asserts what holds for every report: it is JSON, tables have whole rows, charts have alternatives."""
    for section in sections:
        encoded = msgspec.json.encode(section)
        assert msgspec.json.decode(encoded, type=Section) == section
        json.dumps(json.loads(encoded), allow_nan=False)
    for block in blocks(sections, Table):
        assert {len(cells) for cells in block.rows} <= {len(block.columns)}, block.title
        for index, column in enumerate(block.columns):
            if column.content == "share":
                shares = [cells[index] for cells in block.rows if cells[index] is not None]
                assert all(0 <= share <= 1 for share in shares), block.title
    for block in blocks(sections, Chart):
        assert block.alternative.endswith(".")
        for series in block.series:
            assert len(series.x) == len(series.y)
            assert {len(series.low), len(series.high), len(series.labels)} <= {0, len(series.x)}
    for block in blocks(sections, Sentences):
        members = Counter(label for each in block.rows for label in each.labels)
        for label, meaning in block.labels.items():
            number = int(meaning.split(" of ")[0].replace(",", ""))
            assert number >= members[label]
            if len(block.rows) == block.total:
                assert number == members[label], label
        for each in block.rows:
            for candidate in each.candidates:
                assert all(0 <= a < b <= len(candidate.text) for a, b in candidate.differing)


def blocks(sections: Sequence[Section | Details], kind: type[Any]) -> list[Any]:
    """Returns the blocks of a kind, those that a reader opens included."""
    found: list[Any] = []
    for section in sections:
        for block in section.blocks:
            found += blocks([block], kind) if isinstance(block, Details) else [block]
    return [block for block in found if isinstance(block, kind)]


def table(sections: Sequence[Section], title: str) -> Table:
    [found] = [block for block in blocks(sections, Table) if block.title == title]
    return found  # type: ignore[no-any-return]


class TestSections:
    def test_scores_beside_those_of_the_served_model(self, tmp_path: Path) -> None:
        better = Comparison(28.0, (27.0, 29.0), 2.0, 0.01)
        by_metric = {"bleu": better, "chrf": Comparison(30.5, (29.0, 31.0), -0.5, 0.3), "ter": better}
        baseline = BaselineComparison(28.0, (27.0, 29.0), 2.0, 0.01, by_metric)
        golden = metrics_of(ROWS, sentences=3)
        metrics = metrics_of(ROWS, baseline=baseline, golden=golden, test_sets={"news": golden})
        write(tmp_path, ROWS, metrics)
        sections = made(tmp_path)
        [facts] = blocks(sections, Facts)
        notes = {fact.label: (fact.note, fact.tone) for fact in facts.facts}
        assert notes["BLEU"] == (
            "[28.00, 32.00]; served model 28.00, +2.00: significantly better",
            "good",
        )
        assert notes["chrF"][0].endswith("served model 30.50, -0.50: no significant difference")
        assert notes["TER"][0].endswith("significantly worse"), "a higher error rate is worse"
        rows = table(sections, "Scores of each set").rows
        assert [cells[0] for cells in rows[:: len(METRICS)]] == ["test split", "golden set", "news"]
        assert rows[0][2:9] == (30.0, 28.0, 32.0, 28.0, 2.0, 0.01, "significantly better")
        assert rows[4][5:9] == (None, None, None, None)
        assert {cells[-1] for cells in rows} == {SIGNATURE}

    @pytest.mark.parametrize(
        ("verdict", "text", "tone"),
        [
            ({"blessed": True}, "Blessed: the model may be pushed.", "good"),
            ({"blessed": False}, "Not blessed: it is not pushed.", "bad"),
            ({"blessed": True, "forced": "a test"}, "Blessed by force: a test.", "warning"),
        ],
    )
    def test_the_verdict_and_its_reasons(
        self, tmp_path: Path, verdict: dict[str, Any], text: str, tone: str
    ) -> None:
        write(tmp_path, ROWS, **verdict)
        first, reason = made(tmp_path)[0].blocks[:2]
        assert (first, reason) == (Text(text=text, tone=tone), Text(text="BLEU is high"))  # type: ignore

    def test_problems_are_counted_for_both_models(self, tmp_path: Path) -> None:
        write(tmp_path, ROWS)
        sections = made(tmp_path, [examples_with(tmp_path / "examples", TRAIN)])
        found = {cells[0]: (cells[1], cells[3]) for cells in table(sections, "Problems of translations").rows}
        assert found == {
            "repetition": (1, 0),
            "copied source": (1, 0),
            "length outlier": (1, 0),
            "untranslated words": (1, 0),
            "unknown token": (1, 0),
            "empty": (1, 1),
        }
        [listed] = blocks(sections, Sentences)
        by_id = {each.id: each for each in listed.rows}
        assert set(by_id["a.tsv:4"].labels) >= {"copied source", "untranslated words"}
        assert [each.text for each in by_id["a.tsv:2"].candidates] == ["el perro", "el gato"]
        assert by_id["a.tsv:2"].candidates[0].differing == ((3, 8),)
        assert by_id["a.tsv:2"].facts["rarest word in train"] == 3
        assert by_id["a.tsv:5"].facts["overlap with train (%)"] == 0
        scores = [each.candidates[0].scores["chrF"] for each in listed.rows]
        assert scores == sorted(scores), "worst first"

    def test_breakdowns_count_every_sentence_once(self, tmp_path: Path) -> None:
        rows = [msgspec.structs.replace(r, part=f"part {n % 2}") for n, r in enumerate(ROWS)]
        write(tmp_path, rows)
        sections = made(tmp_path, [examples_with(tmp_path / "examples", TRAIN)])
        titles = ("source length", "rarest word", "overlap with train", "corpus or span")
        for title in titles:
            counts = [cells[1] for cells in table(sections, f"Scores by {title}").rows]
            assert sum(counts) == len(rows), title  # type: ignore[arg-type]
        charts = {chart.title: chart for chart in blocks(sections, Chart)}
        for title in titles:
            chart = charts[f"BLEU by {title}"]
            assert [series.role for series in chart.series] == ["main", "other"]
            for series in chart.series:
                for low, value, high in zip(series.low, series.y, series.high, strict=True):
                    assert (low is None) == (value is None) == (high is None)
                    assert value is None or low <= high

    def test_the_scores_of_a_group_are_those_of_sacrebleu(self, tmp_path: Path) -> None:
        from sacrebleu.metrics import BLEU, CHRF

        rows = [
            row(n, "la casa roja está aquí hoy", f"la casa roja está {n} hoy", part=f"{n % 2}")
            for n in range(6)
        ]
        write(tmp_path, rows)
        cells = table(made(tmp_path), "Scores by corpus or span").rows[0]
        members = rows[::2]
        hypotheses, references = [r.hypothesis for r in members], [[r.references[0] for r in members]]
        assert cells[2] == pytest.approx(BLEU().corpus_score(hypotheses, references).score)
        assert cells[4] == pytest.approx(CHRF().corpus_score(hypotheses, references).score)

    def test_alignments_are_those_of_their_sentences(self, tmp_path: Path) -> None:
        write(tmp_path, ROWS)
        evaluation, _ = artifacts_of(tmp_path)
        aligned = Aligned("a.tsv:2", ["▁the", "▁cat", "</s>"], ["▁el", "</s>"], [[90, 10, 0], [0, 0, 100]])
        long = Aligned("a.tsv:1", ["a"] * 60, ["b"] * 60, [[1] * 60] * 60)
        evaluation.write_alignments([aligned, long])
        sections = made(tmp_path)
        [listed] = blocks(sections, Sentences)
        by_id = {each.id: each.candidates for each in listed.rows}
        assert by_id["a.tsv:2"][0].alignment.weights == ((90, 10, 0), (0, 0, 100))
        assert by_id["a.tsv:2"][1].alignment is None, "of the served model none is recorded"
        assert by_id["a.tsv:1"][0].alignment is None, "it is too large for a page"
        assert not [text for text in blocks(sections, Text) if "no alignments" in text.text]


class TestWhatIsMissing:
    def test_an_older_evaluation_without_training_split(self, tmp_path: Path) -> None:
        old = [row(n, "el gato negro", "el gato", f"the cat {n}") for n in range(3)]
        write(tmp_path, old)
        sections = made(tmp_path)
        texts = " ".join(text.text for text in blocks(sections, Text))
        for words in ("no translations by a served model", "Without the training split", "no alignments"):
            assert words in texts
        [listed] = blocks(sections, Sentences)
        assert set(listed.rows[0].candidates[0].scores) == {"BLEU", "chrF"}, "computed from the texts"
        assert not {labels.IMPROVED, labels.WORSENED, labels.UNTRANSLATED} & set(listed.labels)
        assert not [chart for chart in blocks(sections, Chart) if chart.form == "scatter"]

    def test_one_sentence(self, tmp_path: Path) -> None:
        write(tmp_path, [row(1, "a", "a", served="a", scores={"bleu": 100.0})])
        sections = made(tmp_path, [examples_with(tmp_path / "examples", TRAIN)])
        [listed] = blocks(sections, Sentences)
        assert (len(listed.rows), listed.total, listed.rows[0].labels) == (1, 1, ("random",))

    def test_equal_scores_have_no_best_and_no_worst(self, tmp_path: Path) -> None:
        write(tmp_path, [row(n, "el gato", "el gato", served="el gato") for n in range(30)])
        [listed] = blocks(made(tmp_path), Sentences)
        assert set(listed.labels) == {labels.RANDOM}

    def test_a_training_split_without_pairs(self, tmp_path: Path) -> None:
        write(tmp_path, ROWS)
        empty = artifacts.Examples(tmp_path / "examples")
        sections = made(tmp_path, [empty])
        assert any("Without the training split" in text.text for text in blocks(sections, Text))

    def test_many_sentences_are_chosen_within_the_size(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sentences, "MOST_BYTES", 20_000)
        rows = [row(n, f"el gato {n % 7}", f"el gato {n % 5}", served="el gato") for n in range(300)]
        write(tmp_path, rows)
        [listed] = blocks(made(tmp_path), Sentences)
        assert 20 < len(listed.rows) < 100
        assert len(msgspec.json.encode(listed.rows)) < 21_000
        assert listed.total == 300
        assert f"{len(listed.rows)} of the 300 sentences" in listed.note
        assert {label for each in listed.rows for label in each.labels} >= {"worst", "best", "random"}


TEXTS = st.one_of(
    st.sampled_from(["", " ", "!", "a", "a a a", "我爱你", "עברית", "e\u0301", "x" * 300, "\u2047", "<b>&"]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
)


class TestInvariants:
    @settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        st.lists(
            st.tuples(TEXTS, TEXTS, st.lists(TEXTS, min_size=1, max_size=3), TEXTS), min_size=1, max_size=9
        ),
        st.booleans(),
        st.booleans(),
    )
    def test_any_texts_make_a_report(
        self,
        tmp_path_factory: pytest.TempPathFactory,
        texts: list[tuple[str, str, list[str], str]],
        has_served: bool,
        has_train: bool,
    ) -> None:
        folder = tmp_path_factory.mktemp("report")
        rows = [
            Translated(f"f:{n}", source, hypothesis, references, None, served=served if has_served else None)
            for n, (source, hypothesis, references, served) in enumerate(texts)
        ]
        write(folder, rows)
        examples = [examples_with(folder / "examples", [(t[0], t[2][0]) for t in texts])] if has_train else []
        sections = made(folder, examples)
        [listed] = blocks(sections, Sentences)
        assert {each.id for each in listed.rows} == {r.id for r in rows}
        for title in ("source length", *(("rarest word", "overlap with train") if has_train else ())):
            counts = [cells[1] for cells in table(sections, f"Scores by {title}").rows]
            assert sum(counts) == len(rows)  # type: ignore[arg-type]
        for chart in blocks(sections, Chart):
            if chart.title == "Sentences by chrF":
                assert all(sum(series.y) == len(rows) for series in chart.series)

    @given(st.lists(st.integers(0, 5000), max_size=30))
    def test_each_value_is_in_the_bin_with_its_name(self, values: list[int]) -> None:
        groups, order = binned(values, (0, 1, 2, 10, 100))
        assert order == ["no words", "0", "1", "2–9", "10–99", "100+"]
        for value, group in zip(values, groups, strict=True):
            low, _, high = group.rstrip("+").partition("–")
            assert int(low) <= value
            assert group.endswith("+") or value <= int(high or low)

    def test_bins_of_thousands_and_shares(self) -> None:
        assert bin_names((1, 1000)) == ["1–999", "1,000+"]
        assert binned([None, 0, 1], (1, 5))[0] == ["no words", "no words", "1–4"]
        shares = [None, 0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0]
        names = ["no words", "0 %", "1–24 %", "25–49 %", "50–74 %", "75–99 %", "75–99 %", "100 %"]
        assert overlap_bins(shares)[0] == names


class TestPairs:
    def systems(self, *scores: tuple[float, float]) -> tuple[System, System]:
        rows = [[row(n, "a", "a", scores={"chrf": pair[k]}) for n, pair in enumerate(scores)] for k in (0, 1)]
        return System("one", rows[0]), System("two", rows[1])

    def test_changes_are_ordered_by_size(self) -> None:
        one, two = self.systems((10, 10), (50, 20), (20, 50), (90, 80), (0, 100))
        assert pairwise.order_of_change(one, two) == ([1, 3], [4, 2])
        chart = pairwise.scatter(one, two)
        assert chart.diagonal
        assert (chart.series[0].x, chart.series[0].y) == ((10, 20, 50, 80, 100), (10, 50, 20, 90, 0))
        assert "one has a higher chrF than two in 2, a lower one in 2, and the same in 1" in chart.alternative

    def test_the_served_model_has_its_article(self) -> None:
        rows = self.systems((50, 20))[0].rows
        served = System(SERVED, rows)
        chart = pairwise.scatter(System(THIS, rows), served)
        assert chart.title == "chrF of each sentence: this model against the served model"
        assert "this model has a higher chrF than the served model in 0" in chart.alternative
        titles = [table.title for table in pairwise.ngram_differences(served, System(THIS, rows))]
        assert titles[0] == "N-grams that the served model translates more often"

    def test_the_points_of_a_large_set_are_a_sample(self) -> None:
        one, two = self.systems(*[(float(n % 100), 50.0) for n in range(pairwise.MOST_POINTS + 500)])
        chart = pairwise.scatter(one, two)
        assert len(chart.series[0].x) == pairwise.MOST_POINTS
        assert f"Of {pairwise.MOST_POINTS + 500:,} sentences" in chart.alternative

    def test_common_sentences_have_equal_id_source_and_references(self) -> None:
        own = [row(1, "a", "a"), row(2, "b", "b"), row(3, "c", "c"), row(4, "d", "d")]
        other = [row(4, "x", "d"), row(3, "y", "other"), row(2, "z", "b", "another source"), row(5, "e", "e")]
        first, second = common(System("one", own), System("two", other))
        assert [r.hypothesis for r in first.rows] == ["d"]
        assert [r.hypothesis for r in second.rows] == ["x"]

    def test_ngrams_that_one_system_translates(self) -> None:
        reference = "el gato negro duerme"
        one = System("one", [row(n, "el gato negro", reference) for n in range(4)])
        two = System("two", [row(n, "el perro negro duerme", reference) for n in range(4)])
        better, worse = pairwise.ngram_differences(one, two)
        found = {cells[0]: cells[2:4] for cells in better.rows}
        assert found == {"el gato negro": (4, 0)}, "its parts are matched as often"
        assert {cells[0]: cells[2:4] for cells in worse.rows} == {"negro duerme": (4, 0)}
        assert pairwise.ngram_differences(one, one)[0].rows == ()

    def test_a_comparison_of_nothing(self) -> None:
        for block in pairwise.blocks(System("one", []), System("two", [])):
            assert msgspec.json.encode(block)


class TestOptions:
    @pytest.mark.parametrize(
        ("tokenizer", "signature", "expected"),
        [
            ("char", SIGNATURE, ScoreOptions("char")),
            (None, SIGNATURE, ScoreOptions("13a")),
            (None, "case:lc|eff:no|tok:zh|smooth:exp", ScoreOptions("zh", lowercase=True)),
            (None, "", ScoreOptions("13a")),
            ("flores200", SIGNATURE, ScoreOptions("13a")),
        ],
    )
    def test_they_are_those_of_the_evaluation(
        self, tokenizer: str | None, signature: str, expected: ScoreOptions
    ) -> None:
        score = CorpusScore(1.0, signature, (0.0, 2.0))
        metrics = metrics_of(ROWS, tokenizer=tokenizer, scores={"bleu": score})
        assert options_of(metrics, ROWS) == expected

    def test_a_tokenizer_that_does_not_split_the_references_is_replaced(self) -> None:
        rows = [row(1, "我爱你", "我恨你", "I hate you")]
        assert options_of(metrics_of(rows), rows) == ScoreOptions("zh")

    def test_scores_that_are_recorded_are_not_computed_again(self) -> None:
        recorded = [row(n, "a", "b", scores={"bleu": 7.0, "chrf": 8.0}) for n in range(2)]
        [system] = systems_of(recorded, ScoreOptions())
        assert (system.name, system.scores().tolist()) == (THIS, [8.0, 8.0])
        [own, served] = systems_of(ROWS, ScoreOptions())
        assert (own.name, served.name) == (THIS, SERVED)
        for metric in (Bleu, ChrF):
            assert np.isfinite(own.scores(metric.name)).all()
        assert served.scores()[0] == pytest.approx(100)
