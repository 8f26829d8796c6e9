"""Several corpora: each is read with its own options, and their training pairs are chosen by weight."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path

import hypothesis
import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import settings
from hypothesis import strategies as st

from bitext.components import artifacts
from bitext.components.artifacts import BaselineComparison, Metrics
from bitext.components.component import Context
from bitext.components.evaluator import Parameters as EvaluatorParameters
from bitext.components.evaluator.verdict import judge
from bitext.components.example_gen import SPLITS, GoldenParameters, Parameters, golden, places, spans
from bitext.components.shared import tfrecord
from bitext.components.shared.errors import DataError
from bitext.components.shared.metrics import METRICS
from bitext.components.shared.metrics.metric import CorpusScore
from bitext.components.transform import CorpusUse, WeightedParameters, selection
from bitext.pipeline.config.sections import EvaluatorSection, PipelineConfig
from bitext.pipeline.graph import create_pipeline
from tests.components.example_gen_runs import Result, write

Rows = list[tuple[str, str]]


def parameters(*corpora: dict, **others: object) -> Parameters:
    return msgspec.convert({"corpora": list(corpora), **others}, Parameters)


TSV = {"name": "a", "files": ["a.tsv"]}


@pytest.mark.parametrize(
    ("corpora", "others", "message"),
    [
        ([TSV, TSV], {}, "two corpora have the name 'a'"),
        ([TSV], {"files": ["b.tsv"]}, "files must be left out beside corpora"),
        ([TSV], {"window": {"newest": 2}}, "window must be left out beside corpora"),
        ([{**TSV, "held_out": False}], {}, "held_out is false in every corpus"),
        ([{"name": "a"}], {}, "files is empty"),
        ([{**TSV, "format": "csw"}], {}, "format must be"),
        ([{**TSV, "weight": 0}], {}, "weight"),
        ([{**TSV, "tag": "legal"}], {}, "tag"),
        ([{**TSV, "tag": "<unk>"}], {}, "tag"),
        ([{**TSV, "name": "a, b"}], {}, "name"),
        ([TSV], {"eval_share": 0.0}, "eval_share and test_share must be over 0"),
        (
            [
                {
                    "name": "a",
                    "held_out": False,
                    "splits": {s: {"files": [s]} for s in SPLITS},
                }
            ],
            {},
            "splits must be left out",
        ),
    ],
)
def test_contradicting_corpora_are_refused(corpora: list[dict], others: dict, message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        parameters(*corpora, **others)


def test_each_corpus_and_span_is_a_part_of_its_own(tmp_path: Path) -> None:
    for name in ("news-1.csv", "news-2.csv", "law.tsv"):
        write(tmp_path / name, ["a,b"])
    given = parameters(
        {"name": "news", "format": "csv", "files": [f"{tmp_path}/news-{{SPAN}}.csv"], "weight": 2},
        {"name": "law", "files": [f"{tmp_path}/law.tsv"], "tag": "<law>", "held_out": False},
        test_share=0.1,
    )
    parts = spans.parts(given)
    assert [part.name for part in parts] == ["news span 1", "news span 2", "law"]
    read = [part.parameters for part in parts]
    assert [(p.corpus, p.format, p.tag, p.held_out, p.test_share) for p in read] == [
        ("news", "csv", "", True, 0.1),
        ("news", "csv", "", True, 0.1),
        ("law", "tsv", "<law>", False, 0.1),
    ]
    other_weight = msgspec.structs.replace(given.corpora[0], weight=0.5)
    reweighted = msgspec.structs.replace(given, corpora=(other_weight, given.corpora[1]), sampling_seed=3)
    assert spans.parts(reweighted) == parts  # so that no corpus is read again


def test_a_tagged_corpus_that_is_only_trained_on(tmp_path: Path) -> None:
    lines = [f"sentence number {i}\toración número {i}" for i in range(40)]
    file = write(tmp_path / "law.tsv", lines)
    shares = {"eval_share": 0.3, "test_share": 0.3}
    result = Result(tmp_path / "run", files=[file], corpus="law", tag="<law>", held_out=False, **shares)
    assert result.rows("eval") == result.rows("test") == []
    train = result.rows("train")
    assert train[7] == ("law/law.tsv:8", "<law> sentence number 7", "oración número 7")
    assert len(train) == 40
    assert result.examples.properties["corpus"] == "law"
    # The split of a source does not depend on the tag.
    untagged = Result(tmp_path / "untagged", files=[file], corpus="law", **shares)
    tagged = Result(tmp_path / "tagged", files=[file], corpus="law", tag="<law>", **shares)
    assert [row[0] for row in tagged.all_rows()] == [row[0] for row in untagged.all_rows()]


def part(folder: Path, corpus: str, **splits: Rows) -> artifacts.Examples:
    """Writes the examples of a corpus."""
    folder.mkdir(parents=True)
    examples = artifacts.Examples(folder)
    examples.properties["corpus"] = corpus
    for name in ("train", "eval", "test"):
        examples.split(name).mkdir()
        rows = splits.get(name, [])
        columns = {
            "id": pa.array([f"{corpus}:{i}" for i in range(len(rows))], pa.string()),
            "source": pa.array([source for source, _ in rows], pa.string()),
            "target": pa.array([target for _, target in rows], pa.string()),
        }
        tfrecord.write_examples(examples.shard(name), columns)
    return examples


def chosen(folder: Path, *parts: artifacts.Examples, seed: int = 0, **weights: float) -> list[list[int]]:
    """The copies of each training pair, by part."""
    uses = tuple(
        CorpusUse(name, weight, "<t>" if name == "tagged" else "") for name, weight in weights.items()
    )
    result = selection.select(WeightedParameters(corpora=uses, sampling_seed=seed), parts)
    assert result is not None
    return [result.copies[str(p.shard("train"))].tolist() for p in parts]


def test_pairs_of_an_earlier_part_and_held_out_sources_are_left_out(tmp_path: Path) -> None:
    first = part(tmp_path / "1", "a", train=[("one", "uno"), ("two", "dos")], test=[("Five", "cinco")])
    second = part(
        tmp_path / "2",
        "tagged",
        train=[("<t> one", "uno"), ("<t> five", "5"), ("<t> six", "seis")],
        eval=[("<t> TWO", "2")],
    )
    third = part(tmp_path / "3", "b", train=[("one", "uno"), ("one", "un"), ("six ", "seis")])
    # "two" is held out by the second; "five" by the first; a pair with a tag is another pair.
    assert chosen(tmp_path, first, second, third, a=1, tagged=1, b=1) == [[1, 0], [1, 0, 1], [0, 1, 1]]
    uses = tuple(CorpusUse(name, 1.0, "<t>" if name == "tagged" else "") for name in ("a", "tagged", "b"))
    result = selection.select(WeightedParameters(corpora=uses), (first, second, third))
    assert result is not None
    assert list(result.lines()) == [
        "a: 1 training pair left out: held out elsewhere 1",
        "tagged: 1 training pair left out: held out elsewhere 1",
        "b: 1 training pair left out: exact duplicate 1",
    ]


def test_a_single_part_is_written_as_it_is(tmp_path: Path) -> None:
    only = part(tmp_path / "1", "a", train=[("one", "uno")])
    assert selection.select(WeightedParameters(), (only,)) is None
    assert selection.select(WeightedParameters(corpora=(CorpusUse("a", 1.0, ""),)), (only,)) is None
    assert chosen(tmp_path, only, a=2) == [[2]]


@settings(max_examples=25, deadline=None)
@hypothesis.given(
    rows=st.lists(st.integers(0, 60), min_size=1, max_size=80),
    weight=st.floats(0.02, 6.0),
    seed=st.integers(0, 5),
)
def test_a_weight_is_exact_and_seeded(rows: list[int], weight: float, seed: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        texts = [(f"source {i}", f"target {i}") for i in rows]
        half = len(texts) // 2
        parts = [
            part(folder / "1", "a", train=texts[:half]),
            part(folder / "2", "a", train=texts[half:]),
            part(folder / "3", "b", train=[("other", "otro")]),
        ]
        distinct = len(set(rows))
        wanted = int(weight) * distinct + round((weight - int(weight)) * distinct)
        if not wanted:
            with pytest.raises(DataError, match="a: none of its"):
                chosen(folder, *parts, seed=seed, a=weight, b=1)
            return
        copies = chosen(folder, *parts, seed=seed, a=weight, b=1)
        assert copies == chosen(folder, *parts, seed=seed, a=weight, b=1)
    by_pair = Counter[int]()
    for row, count in zip(rows, copies[0] + copies[1], strict=True):
        by_pair[row] += count
    assert by_pair.total() == wanted
    assert copies[2] == [1]
    assert set(by_pair.values()) <= {int(weight), int(weight) + 1}


def test_another_seed_samples_other_pairs(tmp_path: Path) -> None:
    only = part(tmp_path / "1", "a", train=[(f"source {i}", "t") for i in range(400)])
    samples = [np.array(chosen(tmp_path, only, seed=seed, a=0.25)[0]) for seed in (0, 1, 2)]
    assert [sample.sum() for sample in samples] == [100, 100, 100]
    overlaps = [int((samples[i] & samples[j]).sum()) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert all(10 <= overlap <= 40 for overlap in overlaps)  # 25 expected of independent samples


def test_copies_of_rows() -> None:
    batch = pa.RecordBatch.from_arrays([pa.array(["a", "b", "c"])], ["text"])
    copies = np.array([2, 0, 1], np.int16)
    assert selection.repeat_rows(batch, copies).column(0).to_pylist() == ["a", "a", "c"]
    assert selection.repeat_rows(batch, np.zeros(3, np.int16)).num_rows == 0


def test_the_pipeline_gives_weights_and_tags_to_transform() -> None:
    tagged = [{**TSV, "name": name, "tag": tag} for name, tag in (("a", "<x>"), ("b", ""), ("c", "<x>"))]
    config = msgspec.convert(
        {
            "name": "toy",
            "example_gen": {"corpora": tagged, "sampling_seed": 7},
        },
        PipelineConfig,
    )
    [transform] = [node for node in create_pipeline(config).nodes if node.name == "Transform"]
    assert isinstance(transform.parameters, WeightedParameters)
    assert transform.parameters.sampling_seed == 7
    assert [use.tag for use in transform.parameters.corpora] == ["<x>", "", "<x>"]


def test_the_pipeline_gives_the_rules_for_pairs_of_each_corpus_to_transform() -> None:
    def uses(section: dict) -> list[tuple]:
        config = msgspec.convert({"name": "toy", "example_gen": section}, PipelineConfig)
        [transform] = [node for node in create_pipeline(config).nodes if node.name == "Transform"]
        assert isinstance(transform.parameters, WeightedParameters)
        return [(use.name, use.near_duplicates, use.max_targets) for use in transform.parameters.corpora]

    web = {**TSV, "name": "web", "cleaning": {"level": "strict", "max_targets": 3}}
    assert uses({"corpora": [TSV, web]}) == [("a", False, 0), ("web", True, 3)]
    assert uses({"files": ["a.tsv"]}) == []
    assert uses({"files": ["{SPAN}.tsv"], "cleaning": {"level": "strict"}}) == [("", True, 10)]


class TestTestSets:
    """Named test sets are read with their own format, and their sources are not trained on."""

    def test_they_are_splits_beside_the_golden_set(self, tmp_path: Path) -> None:
        write(tmp_path / "golden.tsv", ["one\tuno"])
        write(tmp_path / "news.csv", ["es,en", "dos,two", "tres,three", "four"])
        sets = msgspec.convert(
            {
                "files": ["unread.tsv"],
                "golden": {"files": [f"{tmp_path}/golden.tsv"]},
                "test_sets": [
                    {
                        "name": "news",
                        "format": "csv",
                        "header": True,
                        "source_column": "en",
                        "target_column": "es",
                        "files": [f"{tmp_path}/news.csv"],
                    }
                ],
            },
            GoldenParameters,
        )
        folders = [tmp_path / name for name in ("examples", "rejects", "working")]
        for folder in folders:
            folder.mkdir()
        examples, rejects = artifacts.Examples(folders[0]), artifacts.Rejects(folders[1])
        lines: list[str] = []
        context = Context(folders[2], folders[2], beam_pipeline=pytest.fail, say=lines.append)
        golden.run(sets, context, examples=examples, rejects=rejects)
        assert examples.splits() == ["golden", "news"]
        [batch] = tfrecord.read_record_batches(examples.shard("news"))
        assert tfrecord.string_column(batch, "id", Path()).to_pylist() == [
            "news/news.csv:2",
            "news/news.csv:3",
        ]
        assert tfrecord.string_column(batch, "source", Path()).to_pylist() == ["two", "three"]
        assert lines == ["1 pairs", "news: 2 pairs, 1 rows rejected"]
        assert [(row.file, row.line) for row in rejects.rows()] == [(f"{tmp_path}/news.csv", 4)]
        file = write(tmp_path / "train.tsv", [f"{word}\tx" for word in ("one", "Two", "five", "six", "ten")])
        result = Result(tmp_path / "run", golden=examples, files=[file], corpus="a", held_out=False)
        assert [row[1] for row in result.rows("train")] == ["five", "six", "ten"]

    @pytest.mark.parametrize(
        ("section", "message"),
        [
            ({"test_sets": [{"name": "golden", "files": ["a"]}]}, "name must not be"),
            (
                {"test_sets": [{"name": "news", "files": ["a"], "window": {"newest": 1}}]},
                "window must be left",
            ),
            ({"test_sets": [{"name": "news", "files": ["a"]}] * 2}, "two test sets have the name 'news'"),
            ({"blessing_set": "news"}, "blessing_set must be test; received 'news'"),
            ({"test_sets": [{"name": "news"}]}, "files is empty"),
        ],
    )
    def test_contradicting_sets_are_refused(self, section: dict, message: str) -> None:
        with pytest.raises(msgspec.ValidationError, match=message):
            msgspec.convert(section, EvaluatorSection)

    def test_only_the_set_of_the_blessing_and_the_golden_set_decide(self) -> None:
        bad = Metrics(
            scores={metric.name: CorpusScore(1.0, (0.5, 1.5), "x") for metric in METRICS},
            perplexity=9.0,
            length_ratio=1.0,
            by_source_length=(),
            sentences=1,
            sentences_per_second=1.0,
            baseline=BaselineComparison(30.0, (29.0, 31.0), -29.0, 0.001),
        )
        scores = {metric.name: CorpusScore(40.0, (39.0, 41.0), "x") for metric in METRICS}
        good = msgspec.structs.replace(bad, scores=scores, baseline=None)
        parameters = msgspec.convert({"min_bleu": 20}, EvaluatorParameters)
        assert judge({"test": good, "news": bad}, parameters).blessed
        of_news = msgspec.structs.replace(parameters, blessing_set="news")
        verdict = judge({"test": good, "news": bad}, of_news)
        assert not verdict.blessed
        assert verdict.reasons[0] == "BLEU 1.00 on the test set news is below the threshold min_bleu 20"
        assert judge({"test": bad, "news": good}, of_news).blessed


HEADED = ["source\ttarget", *(f"sentence number {i}\toración número {i}" for i in range(40))]
SHORT = [f"sentence number {i}" + ("" if i % 2 else f"\toración número {i}") for i in range(40)]


@pytest.mark.parametrize(
    ("lines", "key"), [(HEADED, "header to true"), (SHORT, "source_column"), (SHORT, "max_reject_share")]
)
def test_remedies_name_the_keys_where_they_stand(lines: list[str], key: str, tmp_path: Path) -> None:
    file = write(tmp_path / "law.tsv", lines)
    for corpus, place in (("", "example_gen"), ("law", "example_gen.corpora[law]")):
        with pytest.raises(DataError) as caught:
            Result(tmp_path / f"run{corpus}", files=[file], corpus=corpus)
        assert f"{place}.{key}" in caught.value.remedy
        assert caught.value.remedy.count("example_gen.") == caught.value.remedy.count(f"{place}.")


def test_only_keys_of_a_corpus_get_its_place() -> None:
    with pytest.raises(DataError) as caught, places.keys_of("news", places.TEST_SETS):
        raise DataError(
            "example_gen.encoding is wrong", "set example_gen.cleaning.min_ratio or example_gen.golden"
        )
    assert str(caught.value) == "evaluator.test_sets[news].encoding is wrong"
    assert caught.value.remedy == "set evaluator.test_sets[news].cleaning.min_ratio or example_gen.golden"
