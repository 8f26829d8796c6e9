"""`bitext show`: what each kind of artifact holds, for people and as JSON, without TensorFlow."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from bitext.components.artifacts import (
    Bucket,
    Examples,
    ExampleStatistics,
    ModelEvaluation,
    ModelRun,
    Reject,
    Rejects,
    SampleTranslation,
    SideFiles,
    Summary,
    TextFile,
    TransformedExamples,
    TransformGraph,
    Translated,
    Validation,
    ValidationSamples,
)
from bitext.components.shared.tfrecord import write_examples
from bitext.components.text import TextSettings
from bitext.components.text.learn import learn
from bitext.pipeline import cli
from bitext.pipeline.records import State
from tests.pipeline.shown_root import Root

REPOSITORY = Path(__file__).parents[2]
HOSTILE = "\x1b[31mred\x1b[0m \u202eevil\u2069 a\nb\tc"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Root:
    monkeypatch.chdir(tmp_path)
    return Root(tmp_path)


def shown(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Returns what `bitext show` prints."""
    capsys.readouterr()
    what, *rest = arguments
    assert cli.main(["show", what, "toy.yaml", *rest]) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def as_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(shown(capsys, *arguments, "--json"))


def write_pairs(examples: Examples, split: str, pairs: list[tuple[str, str]], name: str = "a.tsv") -> None:
    """Writes pairs as ExampleGen does."""
    sources, targets = zip(*pairs, strict=True)
    columns = {
        "id": pa.array([f"{name}:{n}" for n in range(1, len(pairs) + 1)]),
        "source": pa.array(sources),
        "target": pa.array(targets),
    }
    examples.split(split).mkdir()
    write_examples(examples.shard(split), columns)


class TestData:
    @pytest.fixture(autouse=True)
    def run(self, root: Root) -> None:
        run = root.add_run("r1")
        first, second = (root.new(Examples, part=f"span {n}") for n in (1, 2))
        write_pairs(first, "train", [(f"source {n}", f"target {n}") for n in range(1, 41)])
        write_pairs(second, "train", [("source tea", "té"), ("שלום tea", HOSTILE)], "b.tsv")
        write_pairs(second, "eval", [("held out", "fuera")], "b.tsv")
        root.record(run, first, second)
        golden = root.new(Examples)
        write_pairs(golden, "golden", [("gold", "oro")], "g.tsv")
        root.record(run, golden, node="GoldenGen")
        transformed = root.new(TransformedExamples)
        (transformed.path / "Split-train").mkdir()
        root.record(run, transformed)

    def test_a_random_sample_is_in_order_and_the_same_each_time(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        first = as_json(capsys, "data", "--limit", "8")
        assert first == as_json(capsys, "data", "--limit", "8")
        assert first != as_json(capsys, "data", "--limit", "8", "--seed", "1")
        assert (first["run"], first["pairs"], first["matching"]) == ("r1", 42, 42)
        numbers = [row["number"] for row in first["rows"]]
        assert len(numbers) == 8
        assert numbers == sorted(numbers)
        for row in first["rows"]:
            if row["part"] == "span 1":
                assert row["id"] == f"a.tsv:{row['number']}"
                assert row["source"] == f"source {row['number']}"
        assert [row["number"] for row in as_json(capsys, "data", "--limit", "0")["rows"]] == [*range(1, 43)]

    def test_from_a_place_over_the_end_of_a_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        rows = as_json(capsys, "data", "--from", "40", "--limit", "2")["rows"]
        assert [(row["number"], row["id"], row["part"]) for row in rows] == [
            (40, "a.tsv:40", "span 1"),
            (41, "b.tsv:1", "span 2"),
        ]
        assert as_json(capsys, "data", "--from", "43")["rows"] == []
        assert shown(capsys, "data", "--from", "40", "--limit", "2").splitlines()[-1].startswith("1 more")
        assert " more" not in shown(capsys, "data", "--from", "38")
        last = shown(capsys, "data", "--from", "43").splitlines()[-1]
        assert last == "none from number 43 on: the last is number 42"

    def test_the_text_is_looked_for_in_both_sides_and_not_in_the_id(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        report = as_json(capsys, "data", "--text", "tea")
        assert (report["pairs"], report["matching"]) == (42, 2)
        assert [row["number"] for row in report["rows"]] == [1, 2]
        assert as_json(capsys, "data", "--text", "té")["matching"] == 1
        assert as_json(capsys, "data", "--text", "a.tsv")["matching"] == 0
        assert as_json(capsys, "data", "--text", "target 4")["matching"] == 2

    def test_split_and_part(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert as_json(capsys, "data", "--split", "golden")["rows"][0]["target"] == "oro"
        assert as_json(capsys, "data", "--part", "span 2")["pairs"] == 2
        error = shown(capsys, "data", "--split", "golde", code=2)
        assert "--split golde: there is no such split; did you mean golden?" in error
        assert "the splits are train, eval, golden" in error
        assert "they are span 1, span 2" in shown(capsys, "data", "--part", "span 3", code=2)

    def test_the_text_cannot_change_the_terminal(self, capsys: pytest.CaptureFixture[str]) -> None:
        output = shown(capsys, "data", "--text", "evil")
        assert r"\x1b[31mred\x1b[0m \u202eevil\u2069 a\nb\tc" in output
        assert "\u2068שלום tea\u2069" in output
        assert "\x1b" not in output


class TestRuns:
    def test_the_newest_run_with_the_artifact_is_shown(
        self, root: Root, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for run_id in ("r1", "r2"):
            examples = root.new(Examples)
            write_pairs(examples, "train", [(run_id, run_id)])
            state = State.CACHED if run_id == "r2" else State.COMPLETE
            root.record(root.add_run(run_id), examples, state=state)
        root.add_run("r3", State.FAILED)
        assert as_json(capsys, "data")["run"] == "r2"
        assert as_json(capsys, "data", "--run", "r1")["rows"][0]["source"] == "r1"
        assert "did not reach the node ExampleGen" in shown(capsys, "data", "--run", "r3", code=3)
        assert as_json(capsys, "data", "--run", "R1")["run"] == "r1"
        error = shown(capsys, "data", "--run", "s1", code=2)
        assert "--run s1: there is no such run" in error
        assert "`bitext history toy.yaml` lists the runs" in error

    def test_without_a_run(self, root: Root, capsys: pytest.CaptureFixture[str]) -> None:
        for what in ("data", "samples", "vocabulary", "statistics"):
            assert "no run of the pipeline 'toy'" in shown(capsys, what, code=3)
        shutil.rmtree(root.layout.root)
        assert "bitext run toy.yaml" in shown(capsys, "data", code=3)
        assert not root.layout.root.exists()

    def test_a_folder_that_was_removed(self, root: Root, capsys: pytest.CaptureFixture[str]) -> None:
        examples = root.new(Examples)
        root.record(root.add_run("r1"), examples)
        examples.path.rmdir()
        assert "is gone" in shown(capsys, "data", code=3)

    def test_rejects_of_a_run(self, root: Root, capsys: pytest.CaptureFixture[str]) -> None:
        for run_id in ("r1", "r2"):
            rejects = root.new(Rejects)
            rejects.write_rows([Reject("a.tsv", 1, "too_long", "detail", run_id)])
            rejects.write_summary(Summary(rows=2, accepted=1, rejected=1))
            root.record(root.add_run(run_id), rejects)
        root.add_run("r3")
        assert "'r2'" in shown(capsys, "rejects")
        assert "'r1'" in shown(capsys, "rejects", "--run", "r1")
        assert "did not read the corpus" in shown(capsys, "rejects", "--run", "r3", code=3)
        capsys.readouterr()
        assert cli.main(["rejects", "toy.yaml", "--run", "r1", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["run"] == "r1"


class TestSamples:
    @pytest.fixture(autouse=True)
    def run(self, root: Root) -> None:
        evaluation = root.new(ModelEvaluation)
        rows = [
            ("1", "one", "uno", ["uno"]),
            ("2", "two", "x", ["dos", "2"]),
            ("3", "three", "tre", ["tres"]),
        ]
        evaluation.write_translations(Translated(*row, -0.5) for row in rows)
        evaluation.write_translations([Translated("g", "gold", HOSTILE, ["oro"], -1.0)], "golden")
        root.record(root.add_run("r1"), evaluation)

    def test_they_are_ordered_by_the_score_of_the_sentence(self, capsys: pytest.CaptureFixture[str]) -> None:
        worst = as_json(capsys, "samples")
        assert [row["id"] for row in worst["rows"]] == ["2", "3", "1"]
        assert worst["rows"][0]["sentence_score"] == 0
        assert worst["rows"][-1]["sentence_score"] == pytest.approx(100)
        assert [row["id"] for row in as_json(capsys, "samples", "--order", "best")["rows"]] == ["1", "3", "2"]
        random = as_json(capsys, "samples", "--order", "random", "--limit", "2")
        assert len(random["rows"]) == 2
        assert random == as_json(capsys, "samples", "--order", "random", "--limit", "2")

    def test_what_people_see(self, capsys: pytest.CaptureFixture[str]) -> None:
        output = shown(capsys, "samples", "--limit", "1")
        assert output.splitlines() == [
            "run r1  test: 3 sentences, worst chrF first",
            "",
            "chrF 0.0  2",
            "    source      two",
            "    model       x",
            "    reference   dos",
            "    reference   2",
            "",
            "2 more (--limit 0 shows all)",
        ]
        assert "\x1b" not in shown(capsys, "samples", "--split", "golden")

    def test_scores_that_are_recorded_are_used(self, root: Root, capsys: pytest.CaptureFixture[str]) -> None:
        evaluation = root.new(ModelEvaluation)
        rows = [("1", 20.0), ("2", 10.0)]
        evaluation.write_translations(
            Translated(name, "a", "b", ["b"], None, scores={"chrf": score}) for name, score in rows
        )
        root.record(root.add_run("r2"), evaluation)
        assert [row["sentence_score"] for row in as_json(capsys, "samples")["rows"]] == [10, 20]

    def test_a_text_and_a_set(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert [row["id"] for row in as_json(capsys, "samples", "--text", "dos")["rows"]] == ["2"]
        assert as_json(capsys, "samples", "--text", "none")["rows"] == []
        assert as_json(capsys, "samples", "--split", "golden")["sentences"] == 1


class TestValidations:
    def record(self, root: Root, *samples: ValidationSamples) -> None:
        """Records a training with sample translations."""
        model_run = root.new(ModelRun)
        for validation in samples:
            model_run.append(Validation(validation.step, 1.0, 2.0, 30.0))
            model_run.append(validation)
        if not samples:
            model_run.append(Validation(1, 1.0, 2.0, 30.0))
        root.record(root.add_run("r1"), model_run)

    def sample(self, hypothesis: str, source: str = "two") -> SampleTranslation:
        return SampleTranslation(source, "dos", hypothesis)

    def test_each_sentence_has_its_translations_in_order(
        self, root: Root, capsys: pytest.CaptureFixture[str]
    ) -> None:
        steps = [(100, "x"), (200, "x"), (1500, HOSTILE)]
        validations = [
            ValidationSamples(step, (self.sample(text), self.sample("y", "three"))) for step, text in steps
        ]
        self.record(root, *validations)
        report = as_json(capsys, "validations")
        assert report["rows"][0]["hypotheses"] == {"100": "x", "200": "x", "1500": HOSTILE}
        assert report["validations"]["100"]["bleu"] == 30
        output = shown(capsys, "validations", "--limit", "1")
        assert output.splitlines()[:5] == [
            "run r1  2 sentences of the eval split",
            "",
            "source        two",
            "update   100  x",
            r"update 1,500  \x1b[31mred\x1b[0m \u202eevil\u2069 a\nb\tc",
        ]
        assert "1 more (--limit 0 shows all)" in output
        assert [row["source"] for row in as_json(capsys, "validations", "--text", "y")["rows"]] == ["three"]

    def test_a_training_of_an_older_version(self, root: Root, capsys: pytest.CaptureFixture[str]) -> None:
        self.record(root)
        error = shown(capsys, "validations", code=3)
        assert "has no sample translations" in error
        assert "bitext show samples toy.yaml" in error


def write_graph(graph: TransformGraph, words: dict[str, dict[str, int]]) -> dict[str, tuple[str, ...]]:
    """Writes learned vocabularies and `text.json`. Returns the pieces by side."""
    graph.assets.mkdir(parents=True)
    settings, sides, pieces = TextSettings(), {}, {}
    for side, counts in words.items():
        learned = learn(counts, settings, 290)
        for kind, content in (("vocabulary", learned.vocabulary_file()), ("merges", learned.merges_file())):
            (graph.assets / f"{side}.{kind}.txt").write_bytes(content)
        files = (f"transform_fn/assets/{side}.{kind}.txt" for kind in ("vocabulary", "merges"))
        sides[side] = SideFiles(vocabulary=next(files), merges=next(files), size=len(learned.pieces))
        pieces[side] = learned.pieces
    shared = len(words) == 1
    source, target = sides["source"], sides["source" if shared else "target"]
    graph.write_text(
        TextFile(settings=settings, shared=shared, source_max_length=9, source=source, target=target)
    )
    return pieces


class TestVocabulary:
    WORDS = {"source": {"▁tea": 9, "▁teapot": 4, "▁ї": 1}, "target": {"▁té": 9, "▁tetera": 4}}

    @pytest.fixture
    def pieces(self, root: Root) -> dict[str, tuple[str, ...]]:
        run, graph, transformed = root.add_run("r1"), root.new(TransformGraph), root.new(TransformedExamples)
        pieces = write_graph(graph, self.WORDS)
        ids = {side: of_side.index("▁t" if "▁t" in of_side else "t") for side, of_side in pieces.items()}
        transformed.split("train").mkdir()
        import numpy as np

        file = transformed.bucket_file("train", (2, 3), 0, 1)
        columns = {
            "source_ids": np.array([[ids["source"], 2], [ids["source"], 2]]),
            "target_ids": np.array([[1, ids["target"], 2], [1, 2, 0]]),
        }
        write_examples(file, columns)
        bucket = Bucket(source=2, target=3, examples=2, target_tokens=3, files=(file.name,))
        transformed.write_buckets("train", [bucket])
        root.record(run, graph, transformed, node="Transform")
        return pieces

    def test_sizes_scripts_and_pieces(
        self, pieces: dict[str, tuple[str, ...]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        report = as_json(capsys, "vocabulary", "--limit", "3")
        assert (report["unit"], report["shared"]) == ("subword", False)
        source, target = report["sides"]
        assert (source["side"], source["size"]) == ("source", len(pieces["source"]))
        assert source["scripts"]["Cyrillic"] == sum("ї" in piece for piece in pieces["source"])
        assert "Cyrillic" not in target["scripts"]
        assert (source["special"], source["bytes"]) == (4, 256)
        lengths = [len(row["piece"]) for row in source["pieces"]]
        assert lengths == sorted(lengths, reverse=True)
        assert source["pieces"][0]["piece"] == max(pieces["source"][260:], key=len)

    def test_the_order_of_use_counts_the_training_tokens(
        self, pieces: dict[str, tuple[str, ...]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        [side] = as_json(capsys, "vocabulary", "--order", "frequent", "--side", "source")["sides"]
        assert side["pieces"][0]["count"] == 2
        assert all(row["count"] == 0 for row in side["pieces"][1:])
        [side] = as_json(capsys, "vocabulary", "--order", "rarest", "--side", "target", "--limit", "0")[
            "sides"
        ]
        assert side["pieces"][-1]["count"] == 1
        assert len(side["pieces"]) == len(pieces["target"]) - 260

    def test_a_search(self, pieces: dict[str, tuple[str, ...]], capsys: pytest.CaptureFixture[str]) -> None:
        [side] = as_json(capsys, "vocabulary", "--text", "t", "--side", "target", "--limit", "0")["sides"]
        assert {row["piece"] for row in side["pieces"]} == {p for p in pieces["target"] if "t" in p}
        assert as_json(capsys, "vocabulary", "--text", "<s>")["sides"][0]["pieces"][0]["id"] == 1
        assert "0 pieces with zz, longest first:" in shown(capsys, "vocabulary", "--text", "zz")

    def test_a_shared_vocabulary_is_one(self, root: Root, capsys: pytest.CaptureFixture[str]) -> None:
        graph = root.new(TransformGraph)
        write_graph(graph, {"source": self.WORDS["source"]})
        root.record(root.add_run("r1"), graph)
        assert [side["side"] for side in as_json(capsys, "vocabulary")["sides"]] == ["both"]
        assert "both sides: " in shown(capsys, "vocabulary")


class TestSubwords:
    @pytest.fixture(autouse=True)
    def run(self, root: Root) -> None:
        graph = root.new(TransformGraph)
        write_graph(graph, TestVocabulary.WORDS)
        root.record(root.add_run("r1"), graph)

    def cut(self, capsys: pytest.CaptureFixture[str], text: str, *arguments: str) -> Any:
        capsys.readouterr()
        assert cli.main(["show", "subwords", text, "toy.yaml", "--json", *arguments]) == 0
        return json.loads(capsys.readouterr().out)

    def test_both_sides_with_their_ids_and_what_is_spelled_in_bytes(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        report = self.cut(capsys, " tea\u00a0ї ")
        [text] = report["texts"]
        source, target = text["sides"]["source"], text["sides"]["target"]
        assert source["normalized"] == target["normalized"] == "tea ї"
        assert "".join(source["pieces"]) == "▁tea▁ї"
        assert source["in_bytes"] == []
        assert target["in_bytes"] == ["ї"]
        assert target["pieces"][-2:] == ["<0xD1>", "<0x97>"]
        assert [len(side["ids"]) + 1 for side in (source, target)] == [source["tokens"], target["tokens"]]
        assert report["source_max_length"] == 9

    def test_what_people_see(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["show", "subwords", "teapot \x1b" + " tea" * 9, "toy.yaml"]) == 0
        output = capsys.readouterr().out
        assert "\x1b" not in output
        assert "longer than the model reads" in output
        assert cli.main(["show", "subwords", "", "toy.yaml"]) == 0
        assert "both sides: 1 token with </s>" in capsys.readouterr().out

    def test_lines_of_standard_input(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Path("in").write_text("tea\n\nteapot\n", encoding="utf-8")
        with Path("in").open(encoding="utf-8") as stream:
            monkeypatch.setattr(sys, "stdin", stream)
            assert [text["text"] for text in self.cut(capsys, "-")["texts"]] == ["tea", "", "teapot"]

    def test_a_model_has_its_source_side(self, export: Any, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["show", "subwords", "the cat ї", "--model", str(export.path), "--json"]) == 0
        report = json.loads(capsys.readouterr().out)
        side = report["texts"][0]["sides"]["source"]
        assert "".join(side["pieces"]).startswith("▁the▁cat▁")
        assert side["in_bytes"] == ["ї"]
        assert report["model"] == str(export.path)

    def test_a_model_and_a_run_are_one_too_many(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["show", "subwords", "a", "toy.yaml", "--model", str(tmp_path)]) == 2
        assert "--model is given with a configuration or a run" in capsys.readouterr().err


class TestStatistics:
    @pytest.fixture(autouse=True)
    def run(self, root: Root) -> None:
        statistics = root.new(ExampleStatistics, part="span 1")
        for split, mean in (("train", 12.5), ("eval", 0.25)):
            message = statistics_pb2.DatasetFeatureStatisticsList()
            dataset = message.datasets.add(num_examples=1200)
            words = dataset.features.add(path={"step": ["source_words"]}).num_stats
            words.mean, words.max, words.common_stats.num_non_missing = mean, 40, 1200
            histogram = words.histograms.add(type="QUANTILES")
            histogram.buckets.add(low_value=1, high_value=7, sample_count=600)
            histogram.buckets.add(low_value=7, high_value=40, sample_count=600)
            texts = dataset.features.add(path={"step": ["source"]}).string_stats
            texts.unique, texts.common_stats.num_non_missing = 1100, 1200
            for label, count in ((HOSTILE, 100), ("שלום", 2), ("c", 1), ("d", 1)):
                texts.rank_histogram.buckets.add(label=label, sample_count=count)
            statistics.write(message, split)
        root.record(root.add_run("r1"), statistics)

    def test_figures_of_all_splits(self, capsys: pytest.CaptureFixture[str]) -> None:
        report = as_json(capsys, "statistics", "--limit", "2")
        assert [(s["part"], s["split"]) for s in report["statistics"]] == [
            ("span 1", "eval"),
            ("span 1", "train"),
        ]
        figures = report["statistics"][1]
        assert figures["numbers"]["source_words"]["mean"] == 12.5
        assert figures["numbers"]["source_words"]["quantiles"] == [1, 7, 40]
        assert figures["strings"]["source"]["top"] == [[HOSTILE, 100], ["שלום", 2]]

    def test_what_people_see(self, capsys: pytest.CaptureFixture[str]) -> None:
        output = shown(capsys, "statistics", "--split", "train")
        assert "span 1, train: 1,200 examples" in output
        words = next(line for line in output.splitlines() if "source_words" in line)
        assert words.split() == ["source_words", "12.50", "0", "0", "0", "40", "0", "0"]
        assert "\x1b" not in output
        assert r"\u202eevil\u2069" in output
        assert "eval" not in output

    def test_a_split_or_feature_that_does_not_exist(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "did you mean train?" in shown(capsys, "statistics", "--split", "trian", code=2)
        error = shown(capsys, "statistics", "--feature", "words", code=2)
        assert "there are source_words, source" in error
        only = as_json(capsys, "statistics", "--feature", "source")["statistics"][0]
        assert (list(only["numbers"]), list(only["strings"])) == ([], ["source"])


def test_nothing_but_subwords_imports_tensorflow(root: Root, tmp_path: Path) -> None:
    examples, evaluation = root.new(Examples), root.new(ModelEvaluation)
    write_pairs(examples, "train", [("a", "b")])
    evaluation.write_translations([Translated("1", "a", "b", ["b"], None)])
    statistics, graph = root.new(ExampleStatistics), root.new(TransformGraph)
    message = statistics_pb2.DatasetFeatureStatisticsList()
    message.datasets.add(num_examples=1)
    statistics.write(message, "train")
    write_graph(graph, TestVocabulary.WORDS)
    rejects = root.new(Rejects)
    rejects.write_rows([])
    rejects.write_summary(Summary(rows=1, accepted=1))
    run = root.add_run("r1")
    for artifact in (examples, evaluation, statistics, graph, rejects):
        root.record(run, artifact)
    program = (
        "import sys; from bitext.pipeline import cli\n"
        "heavy = {'tensorflow', 'apache_beam', 'tensorflow_data_validation'}\n"
        "for what in ('data', 'rejects', 'samples', 'vocabulary', 'statistics'):\n"
        "    code = cli.main(['show', what, 'toy.yaml', '--json'])\n"
        "    print('heavy', what, code, sorted(heavy & set(sys.modules)))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in process.stdout.splitlines() if line.startswith("heavy")]
    assert lines == [
        f"heavy {what} 0 []" for what in ("data", "rejects", "samples", "vocabulary", "statistics")
    ]


def test_a_kind_is_required(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["show"])
    assert caught.value.code == 2
    assert "name what to show" in capsys.readouterr().err
