"""ExampleGen with cleaning: rejects, corrections, counts, and the rules that compare rows with the corpus."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bitext.components.artifacts.rejects import Summary
from bitext.components.example_gen import SPLITS
from bitext.components.example_gen.cleaning import REASONS, Cleaning, corpus_rules
from bitext.components.example_gen.cleaning.texts import SCRIPTS, Texts
from bitext.components.shared import language_identification as languages
from bitext.components.shared.errors import DataError
from tests.components import phrases
from tests.components.example_gen_runs import Result, write


def lines(language: str) -> list[str]:
    """144 pairs of English and another language."""
    return ["\t".join(pair) for pair in phrases.corpus(language)]


def reasons(result: Result) -> dict[int, str]:
    """The reason of each rejected line."""
    return {row["line"]: row["reason"] for row in result.rejects()}


BAD = {
    "copied": "This sentence has not been translated at all.\tThis sentence has not been translated at all.",
    "few_letters": "Where is it now, my friend?\t-----------------------------",
    "links_only": "Look at the home page.\thttps://example.org/index.html",
    "repeated": "The weather is fine.\t" + "schön " * 20,
}


def test_basic_rejects_what_is_no_translation_and_the_rest_is_kept(tmp_path):
    good = lines("fi")
    result = Result(tmp_path, files=[write(tmp_path / "a.tsv", [*good, *BAD.values()])])
    first = len(good) + 1
    assert reasons(result) == dict(enumerate(BAD, first))
    rows = result.rejects()
    assert [row["text"] for row in rows] == list(BAD.values())
    assert all(row["file"].endswith("a.tsv") for row in rows)
    assert "over max_repeats 8" in rows[3]["detail"]
    summary = result.summary()
    assert summary["accepted"] == len(good)
    assert summary["cleaning"] == "basic"
    assert "4 rows rejected: few_letters 1, links_only 1, copied 1, repeated 1" in result.lines


def test_off_keeps_them(tmp_path):
    path = write(tmp_path / "a.tsv", [*lines("fi"), *BAD.values()])
    result = Result(tmp_path, files=[path], cleaning={"level": "off"})
    assert set(reasons(result).values()) == {"length_ratio"}
    assert result.summary()["cleaning"] == "off"


def test_corrections_are_made_before_the_checks_and_counted(tmp_path):
    bad = [
        "Bread &amp; butter\tBrot  &amp; Butter",
        "Never mind.\t&nbsp;",
        "Late.\tSpÃ¤t.",
        "Two  blanks.\tZwei.",
    ]
    path = write(tmp_path / "a.tsv", [*lines("fi"), *bad])
    result = Result(tmp_path, files=[path])
    pairs = {(source, target) for _, source, target in result.all_rows()}
    assert {("Bread & butter", "Brot & Butter"), ("Late.", "Spät."), ("Two blanks.", "Zwei.")} <= pairs
    assert [row["reason"] for row in result.rejects()] == ["empty_side"]
    assert result.summary()["fixed"] == {"fix_mojibake": 1, "fix_entities": 1, "fix_blanks": 2}
    assert "text corrected in rows: mojibake 1, entities 1, blanks 2" in result.lines


def test_text_of_published_splits_that_is_corrected_in_training_only_is_a_warning(tmp_path):
    entities = "Bread &amp; butter\tBrot &amp; Butter"
    splits = {
        "train": [*lines("fi"), entities, "A &lt; b.\tA < b."],
        "eval": ["Two  blanks.\tZwei.", "Good morning.\tGuten Morgen."],
        "test": [entities, "Tea.\tTee &quot;", "Late.\tSpÃ¤t."],
    }
    files = {name: {"files": [write(tmp_path / f"{name}.tsv", rows)]} for name, rows in splits.items()}
    result = Result(tmp_path / "on", splits=files)
    assert [line for line in result.lines if "corrected in train" in line] == [
        "warning: 2 rows of test have text that is corrected in train (entities), but stays as it is in test:"
        " the model does not learn it, and scores on test will be too low;"
        " set example_gen.cleaning.fix_entities: false, or correct the files of test"
    ]
    assert ("Tea.", "Tee &quot;") in {(source, target) for _, source, target in result.rows("test")}
    as_given = Result(tmp_path / "off", splits=files, cleaning={"fix_entities": False})
    assert not any("corrected in train" in line for line in as_given.lines)
    assert ("Bread &amp; butter", "Brot &amp; Butter") in {row[1:] for row in as_given.rows("train")}


@pytest.mark.parametrize("language", ["ru", "ar", "zh", "th", "ja", "ko", "hi"])
def test_a_side_in_another_script_is_rejected_in_every_script(tmp_path, language):
    good = lines(language)
    bad = [
        "The bridge is closed today.\tThis was never translated into anything.",
        f"{good[0].split(chr(9))[1]} 77\t{good[1].split(chr(9))[1]} 77",
    ]
    named = "I use Windows and Linux.\t" + good[2].split("\t")[1] + " Windows, Linux"
    result = Result(tmp_path, files=[write(tmp_path / "a.tsv", [*good, *bad, named])])
    assert reasons(result) == dict.fromkeys((len(good) + 1, len(good) + 2), "wrong_script")
    details = {row["line"]: row["detail"] for row in result.rejects()}
    assert "target: share of words in Latin 1.00, over max_other_script_share 0.95" in details[len(good) + 1]
    assert details[len(good) + 2].endswith("expected Latin")


def test_a_side_in_another_language_is_rejected_if_the_identifier_is_sure(tmp_path):
    pytest.importorskip("fasttext")
    spanish = "El gobierno anunció ayer nuevas medidas económicas para las empresas."
    french = "Le gouvernement a annoncé hier de nouvelles mesures pour les entreprises."
    english = "The government announced new measures for companies yesterday."
    bad = [
        f"{english}\t{spanish}",
        f"{french}\tHallitus ilmoitti eilen uusista toimista yrityksille.",
        "Oui.\tSi.",
    ]
    path = write(tmp_path / "a.tsv", [*lines("fi"), *bad])
    first = len(lines("fi")) + 1
    rule = {"level": "off", "min_language_confidence": 0.7}
    result = Result(tmp_path / "found", files=[path], cleaning=rule)
    assert reasons(result) == dict.fromkeys((first, first + 1), "wrong_language")
    assert "target: language es with confidence" in result.rejects()[0]["detail"]
    assert result.rejects()[0]["detail"].endswith("over min_language_confidence 0.7; expected fi")
    stated = rule | {"target_language": "es", "max_reject_share": 1.0}
    result = Result(tmp_path / "stated", files=[path], cleaning=stated, span={"number": 1})
    assert first not in reasons(result)
    assert len(result.rejects()) > 50


def test_cut_off_rows_are_rejected_only_if_the_corpus_has_final_marks(tmp_path):
    rule = {"level": "off", "final_marks": True}
    cut = "She reads the newspaper every morning while she eats breakfast.\tHän lukee joka aamu"
    marks = lines("fi")
    none = [pair.replace(".", "").replace("?", "") for pair in marks]
    for name, pairs in (("marks", marks), ("none", none)):
        path = write(tmp_path / f"{name}.tsv", [*pairs, cut])
        result = Result(tmp_path / name, files=[path], cleaning=rule)
        expected = {len(pairs) + 1: "final_mark_missing"} if name == "marks" else {}
        assert reasons(result) == expected


def test_a_tighter_ratio_of_cleaning_has_a_reason_of_its_own(tmp_path):
    long = "Where?\t" + " ".join(f"Wort{i}" for i in range(3))
    longer = "Where are you?\t" + " ".join(f"Wort{i}" for i in range(30))
    path = write(tmp_path / "a.tsv", [*lines("fi"), long, longer])
    result = Result(
        tmp_path, files=[path], ratio_from_characters=10, cleaning={"level": "off", "max_length_ratio": 2}
    )
    first = len(lines("fi")) + 1
    assert reasons(result) == {first: "uneven_lengths", first + 1: "length_ratio"}


def test_near_duplicates_and_further_targets_are_rejected_whatever_the_number_of_shards(tmp_path):
    pairs = [f"Sentence number {i}!\tSatz Nummer {i}!" for i in range(200)]
    pairs += [f"sentence number {i}\tsatz nummer {i}." for i in range(0, 200, 2)]
    pairs += [f"Sentence number 7!\tEin anderer Satz {letter}." for letter in "abcdef"]
    path = write(tmp_path / "a.tsv", pairs)
    rule = {"level": "off", "near_duplicates": True, "max_targets": 3, "max_reject_share": 1.0}
    results = [
        Result(
            tmp_path / f"{shards}",
            files=[path],
            shards=shards,
            cleaning=rule,
            eval_share=0.02,
            test_share=0.02,
        )
        for shards in (1, 4)
    ]
    train = [row["line"] for row in results[0].rejects()]
    assert [reasons(result) for result in results] == [reasons(results[0])] * 2
    near = [line for line, reason in reasons(results[0]).items() if reason == "near_duplicate"]
    assert 85 <= len(near) <= 100
    assert min(near) > 200
    assert len(train) == len(near) + 4
    held_out = [row for split in ("eval", "test") for row in results[0].rows(split)]
    assert all(int(id_.rpartition(":")[2]) not in train for id_, _, _ in held_out)


def test_given_eval_and_test_files_and_the_golden_set_are_not_cleaned(tmp_path):
    bad = [*lines("fi"), *BAD.values(), "Fish &amp; chips\tFisch &amp; Pommes"]
    files = {name: {"files": [write(tmp_path / f"{name}.tsv", bad)]} for name in SPLITS}
    result = Result(tmp_path, splits=files, cleaning={"level": "strict", "max_reject_share": 1.0})
    assert {row["file"].rpartition("/")[2] for row in result.rejects()} == {"train.tsv"}
    for split in ("eval", "test"):
        assert "Fish &amp; chips" in [source for _, source, _ in result.rows(split)]
        assert len(result.rows(split)) == len({*bad})
    assert "Fish & chips" in [source for _, source, _ in result.rows("train")]


def test_cleaning_has_a_limit_of_its_own(tmp_path):
    copied = [f"This is sentence {i} of a text that nobody translated" for i in range(60)]
    path = write(tmp_path / "a.tsv", [*lines("fi"), *(f"{text}.\t{text}." for text in copied)])
    Result(tmp_path / "passes", files=[path], max_reject_share=0.0)
    with pytest.raises(DataError) as error:
        Result(tmp_path / "stops", files=[path], cleaning={"level": "basic", "max_reject_share": 0.2})
    assert "are rejected by cleaning (copied 60), over cleaning.max_reject_share 20.0%" in str(error.value)
    assert "source and target are equal" in str(error.value)
    assert "example_gen.cleaning.min_copied_words" in error.value.remedy
    assert error.value.remedy.endswith("or raise example_gen.cleaning.max_reject_share")


def test_lines_out_of_step_are_found_although_cleaning_rejects_them(tmp_path):
    """The rule of numbers would otherwise hide the lines in which they disagree."""
    sources, targets = (list(side) for side in zip(*(pair.split("\t") for pair in lines("fi")), strict=True))
    sources, targets = (
        [f"{text} {10 + i} {j}" for j in range(8) for i, text in enumerate(side)]
        for side in (sources, targets)
    )
    targets[400:600] = targets[401:601]
    path = write(tmp_path / "a.tsv", list(map("\t".join, zip(sources, targets, strict=True))))
    warnings = []
    for level in ("off", "strict"):
        cleaning = {"level": level, "max_targets": 0}
        result = Result(tmp_path / level, files=[path], max_out_of_step_share=1.0, cleaning=cleaning)
        warnings.append([line for line in result.lines if "out of step" in line])
    assert warnings[0]
    assert warnings[0] == warnings[1]


PIECES = (
    *BAD.values(), "Go.\tVe.", "go\tve", "Go on.\tSigue.", "Go  on.\tSigue &amp; come.", "a\t", "x",
    "<b>x</b>\ty", "Это предложение на русском языке.\tThis is English again, surely.",
    "In 1984.\tEn 1985.", "\u200b\tb",
    "Le gouvernement a annoncé hier de nouvelles mesures.\tThe government announced new measures.", "Ã©\té",
)  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return (Path(tempfile.mkdtemp(dir=tmp_path_factory.getbasetemp())) for _ in itertools.count())


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from(PIECES), max_size=60),
    st.sampled_from(["off", "basic", "strict"]),
    st.sampled_from(["all", "train"]),
    st.integers(1, 3),
)
def test_every_row_is_an_example_a_duplicate_or_a_reject(folders, rows, level, drop_duplicates, shards):
    root = next(folders)
    rows = [*lines("fi"), *rows]
    result = Result(
        root,
        files=[write(root / "a.tsv", rows)],
        max_reject_share=1.0,
        cleaning={"level": level, "max_reject_share": 1.0},
        drop_duplicates=drop_duplicates,
        shards=shards,
    )
    summary, rejects = result.summary(), result.rejects()
    assert summary["rows"] == len(rows) == summary["accepted"] + summary["duplicates"] + len(rejects)
    assert summary["rejected"] == len(rejects) == sum(summary["reasons"].values())
    places = [row["line"] for row in rejects] + [
        int(id_.rpartition(":")[2]) for id_, _, _ in result.all_rows()
    ]
    assert len(set(places)) == len(places) == len(rows) - summary["duplicates"]
    assert [row["line"] for row in rejects] == sorted(row["line"] for row in rejects)
    if level == "off":
        assert not set(summary["reasons"]) & set(REASONS)
        assert summary["fixed"] == {}


def test_the_summary_of_several_spans_has_the_sums():
    spans = [Summary(rows=5, accepted=4, cleaning="basic", fixed={"fix_blanks": n}) for n in (1, 2)]
    total = Summary.total(spans)
    assert (total.cleaning, total.fixed) == ("basic", {"fix_blanks": 3})


def test_names_of_languages_survive_their_code():
    for name in ("en", "de", "zh", "ceb", "yue"):
        assert languages.name_of(languages.code_of(name)) == name
    assert languages.code_of("") == languages.UNDECIDED
    assert languages.code_of("nb") == languages.code_of("no")


def test_a_corpus_of_two_scripts_is_not_judged():
    texts = Texts(pa.array(["some more words are standing here", "здесь стоят четыре слова"] * 200))
    columns = corpus_rules.code_rows((texts, texts), Cleaning())
    counts = corpus_rules.histogram(columns)
    assert counts[f"corpus/wrong_script/source/{SCRIPTS.index('Cyrillic')}"] == 200
    assert corpus_rules.code_of_corpus(corpus_rules.RULES[0], "source", counts) == 0
    counts[f"corpus/wrong_script/source/{SCRIPTS.index('Latin')}"] += 1100
    assert corpus_rules.code_of_corpus(corpus_rules.RULES[0], "source", counts) == SCRIPTS.index("Latin")


def test_the_corpus_rules_do_not_depend_on_the_blocks():
    texts = [
        "four words are here",
        "здесь стоят четыре слова",
        "一共有四个字",
        "x",
        "Один mixed два words",
    ] * 3
    whole = corpus_rules.code_rows((Texts(pa.array(texts)),) * 2, Cleaning())
    for i, text in enumerate(texts):
        alone = corpus_rules.code_rows((Texts(pa.array([text])),) * 2, Cleaning())
        assert {name: codes[i] for name, codes in whole.items()} == {name: c[0] for name, c in alone.items()}


def test_a_level_of_text_is_no_section():
    with pytest.raises(msgspec.ValidationError, match="Expected `object`"):
        msgspec.convert("basic", Cleaning)


@pytest.mark.parametrize("key", ["source_language", "target_language"])
@pytest.mark.parametrize("values", [{}, {"level": "strict", "min_language_confidence": 0}])
def test_a_language_that_no_rule_reads_is_refused(key, values):
    with pytest.raises(msgspec.ValidationError, match=f"{key} is uk, but the rule that reads it is off"):
        msgspec.convert({**values, key: "uk"}, Cleaning)
    assert msgspec.convert({"level": "strict", key: "uk"}, Cleaning).limit("min_language_confidence") == 0.8
