"""`bitext compare`: which runs are meant, and what is compared of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components import artifacts, pages
from bitext.components.artifacts import Translated
from bitext.components.reporter.evaluation.systems import ScoreOptions
from bitext.components.shared.errors import ConfigError
from bitext.components.shared.metrics import METRICS, CorpusScore
from bitext.pipeline import cli
from bitext.pipeline.config import load
from bitext.pipeline.records import Execution, Run, State
from bitext.pipeline.reports import compare, selection
from bitext.pipeline.reports.compare import page, scores, summary
from bitext.pipeline.reports.compare.content import Comparison, RecordedScore
from bitext.pipeline.reports.compare.settings import Settings, changes
from tests.pipeline import runs_on_record
from tests.pipeline.runs_on_record import SIGNATURE, Recorder


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    """A store with four runs of all nodes, one of them refused, and a rollback."""
    record = Recorder(tmp_path / "root")
    record.full()
    record.full("refused")
    record.full()
    record.rollback(1)
    record.full("Trainer")
    return record


class TestSelection:
    def chosen(self, record: Recorder, name: str) -> str:
        store = record.store
        return selection.choose(name, store.runs(), store.executions(), "toy").last.run_id

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("run0001", "run0001"),
            ("RUN0002", "run0002"),
            ("last", "run0004"),
            ("previous", "run0002"),
            ("served", "run0000"),
        ],
    )
    def test_it_is_found(self, recorder: Recorder, name: str, expected: str) -> None:
        assert self.chosen(recorder, name) == expected

    @pytest.mark.parametrize(
        ("name", "message", "remedy"),
        [
            (
                "run",
                "run: 5 runs begin so: run0004, run0003, run0002, run0001, run0000",
                "write more of the id",
            ),
            ("rum0001", "rum0001: there is no such run", "did you mean run0001? name an id"),
            ("lats", "lats: there is no such run", "did you mean last? name an id"),
            ("", "a RUN is empty", "name an id, the beginning of one"),
            ("run0003", "run run0003 is a rollback: it has no data", "name another run"),
        ],
    )
    def test_it_is_refused(self, recorder: Recorder, name: str, message: str, remedy: str) -> None:
        with pytest.raises(ConfigError) as error:
            self.chosen(recorder, name)
        assert str(error.value).startswith(message)
        assert error.value.remedy.startswith(remedy)

    def test_no_runs_and_one_run(self, tmp_path: Path) -> None:
        record = Recorder(tmp_path / "root")
        with pytest.raises(ConfigError, match="last: no run yet of pipeline 'toy'"):
            self.chosen(record, "last")
        record.rollback(1, is_complete=False)
        with pytest.raises(ConfigError, match="last: no run has run a node"):
            self.chosen(record, "last")
        with pytest.raises(ConfigError, match="has pushed no version"):
            self.chosen(record, "served")
        with pytest.raises(ConfigError, match="ended before its first node"):
            self.chosen(record, "run0000")
        record.full()
        with pytest.raises(ConfigError, match="previous: only run run0001 has run a node"):
            self.chosen(record, "previous")

    def test_a_run_of_a_scheduler_stands_for_its_pass(self, tmp_path: Path) -> None:
        record = Recorder(tmp_path / "root")
        record.full()
        for node in range(len(runs_on_record.NODES)):
            record.single(node)
        assert self.chosen(record, "run0003") == self.chosen(record, "last") == "run0008"
        assert self.chosen(record, "previous") == "run0000"

    @given(
        st.lists(st.text("ab", min_size=3, max_size=6), min_size=1, unique=True), st.text("ab", min_size=1)
    )
    def test_a_prefix_finds_a_run_if_it_is_unique(self, ids: list[str], prefix: str) -> None:
        runs = [Run(id_, "toy", "/root", State.COMPLETE, 1.0) for id_ in ids]
        history = [
            Execution("ExampleGen", id_, State.COMPLETE, 1.0, 2.0, id=number)
            for number, id_ in enumerate(ids)
        ]
        beginning = [id_ for id_ in ids if id_.startswith(prefix)]
        if prefix in ids or len(beginning) == 1:
            expected = prefix if prefix in ids else beginning[0]
            assert selection.choose(prefix, runs, history, "toy").last.run_id == expected
        else:
            with pytest.raises(ConfigError):
                selection.choose(prefix, runs, history, "toy")


class TestSettings:
    def test_the_configuration_comes_first(self) -> None:
        first, second = (
            Settings(
                configuration={"trainer.steps": steps, "name": "toy", **more},
                parameters={},
                digests={"Trainer": {"file": {"a": digest}, "code": {}, "library": {"tensorflow": version}}},
            )
            for steps, more, digest, version in ((40, {"gone": None}, "x", "2.16"), (50, {}, "y", "2.21"))
        )
        assert [(c.kind, c.name, c.first, c.second) for c in changes(first, second)] == [
            ("configuration", "trainer.steps", "40", "50"),
            ("configuration", "gone", "null", "–"),
            ("file", "a", "content differs", "content differs"),
            ("library", "tensorflow", "2.16", "2.21"),
        ]

    def test_parameters_of_common_nodes_if_a_configuration_is_missing(self) -> None:
        digests: dict[Any, dict[str, str]] = {"file": {}, "code": {}, "library": {}}
        first = Settings(
            configuration={"a": 1}, parameters={"Trainer.steps": 1}, digests={"Trainer": digests}
        )
        second = Settings(
            configuration=None,
            parameters={"Trainer.steps": 2, "Evaluator.x": 1},
            digests={"Trainer": digests, "Evaluator": digests},
        )
        assert [(c.name, c.first, c.second) for c in changes(first, second)] == [("Trainer.steps", "1", "2")]
        assert changes(first, first) == []

    def test_the_code_of_a_node_that_one_run_did_not_reach_is_no_change(self) -> None:
        def settings(**nodes: str) -> Settings:
            digests = {
                node: {"file": {}, "code": {"shared": "x", node: digest}, "library": {}}
                for node, digest in nodes.items()
            }
            return Settings(configuration={}, parameters={}, digests=digests)  # type: ignore[arg-type]

        whole, stopped = settings(Trainer="1", Evaluator="1"), settings(Trainer="2")
        for first, second in ((whole, stopped), (stopped, whole)):
            assert [(c.name, c.first) for c in changes(first, second)] == [("Trainer", "content differs")]


def rows(hypotheses: Sequence[str], references: Sequence[str] | None = None) -> list[Translated]:
    """Translations of the sentences 0, 1, ..."""
    given = references or [f"the reference of sentence number {n} is this" for n in range(len(hypotheses))]
    return [
        Translated(f"f:{n}", f"source {n}", hypothesis, [reference], -1.0)
        for n, (hypothesis, reference) in enumerate(zip(hypotheses, given, strict=True))
    ]


GOOD = [f"the reference of sentence number {n} is this" for n in range(30)]
BAD = [f"a reference of the number {n}" for n in range(30)]


class TestScores:
    def pair(self, first: list[Translated], second: list[Translated]) -> scores.Paired:
        return scores.pair(
            "test split", ("A", "B"), (first, second), ScoreOptions("13a", bootstrap_samples=100)
        )

    def test_the_second_run_is_better(self) -> None:
        one = self.pair(rows(BAD), rows(GOOD)).summary
        assert (one.sentences, one.first_only, one.second_only) == (30, 0, 0)
        assert (one.improved, one.worsened) == (30, 0)
        assert [(s.metric, s.better) for s in one.scores] == [(m.name, "second") for m in METRICS]
        bleu = one.scores[0]
        assert bleu.second == pytest.approx(100)
        assert bleu.difference == pytest.approx(bleu.second - bleu.first)
        assert "tok:13a" in one.signature

    def test_only_common_sentences_count(self) -> None:
        second = rows(GOOD[:20], ["another reference", *GOOD[1:20]])
        one = self.pair(rows(GOOD), second).summary
        assert (one.sentences, one.first_only, one.second_only) == (19, 11, 1)
        assert [(s.difference, s.better) for s in one.scores] == [(0, "neither")] * len(METRICS)

    def test_no_common_sentences(self) -> None:
        one = self.pair(rows(GOOD), rows(GOOD, BAD))
        assert (one.summary.sentences, one.summary.scores) == (0, ())

    def test_swapping_the_runs_swaps_the_result(self) -> None:
        mixed = [good if n % 3 else bad for n, (good, bad) in enumerate(zip(GOOD, BAD, strict=True))]
        forth, back = self.pair(rows(mixed), rows(BAD)).summary, self.pair(rows(BAD), rows(mixed)).summary
        assert (forth.improved, forth.worsened) == (back.worsened, back.improved)
        for one, other in zip(forth.scores, back.scores, strict=True):
            assert one.difference == pytest.approx(-other.difference)
            assert (one.first, one.second) == pytest.approx((other.second, other.first))

    def test_other_signatures_are_not_subtracted(self, tmp_path: Path) -> None:
        record = Recorder(tmp_path / "root")
        record.full(bleu=20)
        record.full(bleu=30, signature=SIGNATURE.replace("13a", "char"))
        record.full(bleu=31, signature=SIGNATURE.replace("nrefs:1", "nrefs:var"))
        config = runs_on_record.configuration(tmp_path)

        def bleu(first: str, second: str) -> RecordedScore:
            return compare.collect((first, second), (config, config)).comparison.scores[0]

        assert bleu("run0000", "run0002").difference == 11
        other = bleu("run0000", "run0001")
        assert (other.first, other.second, other.difference) == (20, 30, None)
        assert other.reason == f"other signatures: {SIGNATURE}; {SIGNATURE.replace('13a', 'char')}"


class TestCompare:
    def collect(self, folder: Path, first: str, second: str) -> compare.Report:
        config = runs_on_record.configuration(folder)
        return compare.collect((first, second), (config, config))

    def test_records_alone(self, recorder: Recorder, tmp_path: Path) -> None:
        report = self.collect(tmp_path, "run0000", "run0002")
        figures = {(f.group, f.name): (f.first, f.second, f.difference) for f in report.comparison.figures}
        assert figures["rows", "read"] == (1000, 1002, 2)
        assert figures["rows that did not become examples", "too_long"] == (10, 10, 0)
        assert figures["examples", "train"] == (900, 902, 2)
        assert figures["model", "weights"] == (10, 10, 0)
        assert 0 < (report.comparison.features[0].distance or 0) < 0.2
        assert report.comparison.missing == (
            "bitext gc removed the translations of run run0000",
            "bitext gc removed the translations of run run0002",
        )
        assert "no translated sentences in common" in pages.render(page.page(report))
        assert "removed the translations" in summary.render(report.comparison)

    def test_a_failed_run_is_compared_as_far_as_it_came(self, recorder: Recorder, tmp_path: Path) -> None:
        comparison = self.collect(tmp_path, "run0000", "run0004").comparison
        assert comparison.missing[1] == "run run0004 has no evaluation: its outcome is failed"
        assert [(s.metric, s.second) for s in comparison.scores] == [("bleu", None), ("chrf", None)]
        assert {f.group for f in comparison.figures} >= {"rows", "examples"}

    def test_spans(self, tmp_path: Path) -> None:
        record = Recorder(tmp_path / "root", window=2)
        for _ in range(3):
            record.full()
        comparison = self.collect(tmp_path, "run0001", "run0002").comparison
        assert (comparison.only_first, comparison.only_second) == (("span 0",), ("span 2",))
        bleu = comparison.scores[0]
        assert (bleu.first, bleu.second, bleu.difference) == (30, 30, None)
        assert bleu.reason == "whether the sentences are the same is not on record"

    def test_the_same_run_twice(self, recorder: Recorder, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="last and run0004 are both run run0004"):
            self.collect(tmp_path, "last", "run0004")


class TestCommand:
    @pytest.fixture
    def two_runs(self, toy: Path, capsys: pytest.CaptureFixture[str]) -> Path:
        assert cli.main(["run", "toy.yaml"]) == 0
        (toy / "rows.txt").write_text("a\tb\ntest\tc\nd\te\n", encoding="utf-8")
        assert cli.main(["run", "toy.yaml"]) == 0
        capsys.readouterr()
        return toy

    def run(self, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.main(["compare", *arguments])
        output = capsys.readouterr()
        return code, output.out, output.err

    def test_two_runs(self, two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, err = self.run(capsys, "previous", "last", "toy.yaml")
        assert (code, err) == (0, "")
        lines = out.splitlines()
        assert [line.split()[0] for line in lines[:2]] == ["first", "second"]
        assert "file: 1 difference" in lines
        assert (
            "25 common sentences of the test split (0 only in the first run, 0 only in the second)" in lines
        )
        first, second = (line.split()[1] for line in lines[:2])
        file = f"runs/toy/reports/compare-{first}-{second}.html"
        assert lines[-1] == f"Page  {file}"
        text = (two_runs / file).read_text(encoding="utf-8")
        assert first in text
        assert second in text

    def test_scores_on_other_sentences_are_not_subtracted(
        self, two_runs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = load(two_runs / "toy.yaml")
        last = compare.collect(("previous", "last"), (config, config)).second
        evaluation = last.artifact(artifacts.ModelEvaluation)
        assert evaluation is not None
        rows_of_run = evaluation.translations()
        evaluation.write_translations([*rows_of_run[:20], Translated("f:99", "s", "h", ["r"], -1.0)])
        code, out, _ = self.run(capsys, "previous", "last", "toy.yaml")
        assert code == 0
        assert "20 common sentences of the test split (5 only in the first run, 1 only in the second)" in out
        assert "not subtracted, not the same sentences: test split: BLEU, test split: chrF" in out

    def test_json(self, two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, out, _ = self.run(capsys, "previous", "last", "toy.yaml", "--json")
        report: dict[str, Any] = json.loads(out)
        assert (code, report["common"][0]["sentences"], report["page"]) == (0, 25, "")
        assert set(report) == set(Comparison.__struct_fields__)
        _, out, _ = self.run(capsys, "previous", "last", "toy.yaml", "--json", "--output", "c.html")
        assert json.loads(out)["page"] == "c.html"
        assert (two_runs / "c.html").exists()

    def test_another_pipeline(
        self, two_runs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = (two_runs / "toy.yaml").read_text(encoding="utf-8")
        (two_runs / "other.yaml").write_text(f"{text}root: elsewhere\n", encoding="utf-8")
        assert cli.main(["run", "other.yaml"]) == 0
        code, out, _ = self.run(capsys, "last", "last", "toy.yaml", "--other", "other.yaml")
        assert (code, "25 common sentences" in out) == (0, True)
        (two_runs / "new.yaml").write_text(f"{text}root: nowhere\n", encoding="utf-8")
        code, _, err = self.run(capsys, "last", "last", "toy.yaml", "--other", "new.yaml")
        assert (code, "start one with `bitext run new.yaml`" in err) == (2, True)

    def test_a_configuration_in_place_of_a_run(
        self, two_runs: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code, _, err = self.run(capsys, "last", "toy.yaml")
        assert code == 2
        assert err.splitlines() == [
            "error: toy.yaml is a configuration, and not a run",
            "what to do: name two runs before it: bitext compare previous last toy.yaml",
        ]

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["last", "lats"], "did you mean last?"),
            (["last", "last"], "name two different runs"),
            (["last", "last", "--other", "none.yaml"], "there is no such file"),
        ],
    )
    def test_errors(
        self, two_runs: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
    ) -> None:
        code, out, err = self.run(capsys, *arguments[:2], "toy.yaml", *arguments[2:])
        assert (code, out, words in err) == (2, "", True), err

    def test_no_runs(self, toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, _, err = self.run(capsys, "previous", "last", "toy.yaml")
        assert code == 2
        assert err == (
            "error: previous: no run yet of pipeline 'toy'\n"
            "what to do: start one with `bitext run toy.yaml`\n"
        )
        assert not (toy / "runs").exists()

    def test_hostile_text_is_escaped(self, two_runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
        config = load(two_runs / "toy.yaml")
        report = compare.collect(("previous", "last"), (config, config))
        evil = "<script>alert(1)</script>"
        for side in (report.first, report.second):
            evaluation = side.artifact(artifacts.ModelEvaluation)
            assert evaluation is not None
            evaluation.write_translations([Translated("f:1", evil, evil, [evil], -1.0)])
            evaluation.write_metrics(
                artifacts.Metrics(
                    scores={m.name: CorpusScore(1.0, "tok:13a", (0.0, 2.0)) for m in METRICS},
                    perplexity=1.0,
                    length_ratio=1.0,
                    by_source_length=(),
                    sentences=1,
                    sentences_per_second=1.0,
                )
            )
        html = pages.render(page.page(compare.collect(("previous", "last"), (config, config))))
        assert evil not in html
        assert "alert(1)" in html
