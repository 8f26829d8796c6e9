"""The tokenizer of BLEU by the script of the references, on ordinary sentences of several languages."""

from __future__ import annotations

import dataclasses
import functools
import json
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.evaluator import Parameters as EvaluatorParameters
from bitext.components.shared.errors import ConfigError
from bitext.components.shared.metrics import METRICS, Bleu, Ter, tokenizers
from bitext.components.shared.metrics.sacrebleu_metrics import edit_distance

needs_mecab = pytest.mark.skipif(
    not (tokenizers.is_installed("ja-mecab") and tokenizers.is_installed("ko-mecab")),
    reason="MeCab is missing",
)


@dataclasses.dataclass(frozen=True)
class Options:
    tokenize: str = "auto"
    lowercase: bool = False
    bootstrap_samples: int = 100


REFERENCES = {
    "zh": [
        "我今天早上去了公园，看见很多孩子在那里踢足球。",
        "她说如果明天不下雨，我们就一起去爬山吧。",
        "这本书是三年前在北京的一家小书店里买的。",
        "医生告诉他每天应该多喝水，少喝咖啡。",
        "火车晚点了两个小时，所以我们没有赶上会议。",
    ],
    "ja-mecab": [
        "今朝公園へ行ったら、たくさんの子供たちがサッカーをしていました。",
        "明日雨が降らなければ、一緒に山に登りましょうと彼女は言った。",
        "この本は三年前に北京の小さな本屋で買ったものです。",
        "医者は彼に毎日もっと水を飲むように言いました。",
        "電車が二時間遅れたので、会議に間に合いませんでした。",
    ],
    "ko-mecab": [
        "오늘 아침에 공원에 갔더니 많은 아이들이 축구를 하고 있었습니다.",
        "내일 비가 오지 않으면 함께 산에 오르자고 그녀가 말했다.",
        "이 책은 삼 년 전에 베이징의 작은 서점에서 산 것입니다.",
        "의사는 그에게 매일 물을 더 마시라고 말했습니다.",
        "기차가 두 시간 늦어서 회의에 참석하지 못했습니다.",
    ],
    "char": [
        "เช้านี้ฉันไปสวนสาธารณะและเห็นเด็กหลายคนเล่นฟุตบอลอยู่ที่นั่น",
        "เธอบอกว่าถ้าพรุ่งนี้ฝนไม่ตกเราจะไปปีนเขาด้วยกัน",
        "หนังสือเล่มนี้ซื้อเมื่อสามปีก่อนที่ร้านหนังสือเล็กๆในปักกิ่ง",
        "หมอบอกให้เขาดื่มน้ำมากขึ้นทุกวันและดื่มกาแฟให้น้อยลง",
        "รถไฟล่าช้าไปสองชั่วโมงเราจึงไปประชุมไม่ทัน",
    ],
    "13a": [
        "This morning I went to the park, and many children were playing football there.",
        "She said that we would climb the mountain together if it didn't rain tomorrow.",
        "This book was bought three years ago in a small shop in Beijing.",
        "The doctor told him to drink more water every day, and less coffee.",
        "The train was two hours late, so we missed the meeting.",
    ],
}
SCRIPTS = {"zh": "Han", "ja-mecab": "Japanese", "ko-mecab": "Hangul", "char": "Thai", "13a": "Latin"}
MECAB = [pytest.param(name, marks=needs_mecab) for name in ("ja-mecab", "ko-mecab")]
NAMES = ["zh", "char", "13a", *MECAB]


def nearly(text: str) -> str:
    """A good translation: the reference with one change in each half."""
    return text[:3] + text[4:-5] + text[-6] + text[-5:]


@pytest.mark.parametrize("name", NAMES)
def test_auto_is_the_tokenizer_for_the_script(name: str) -> None:
    references = [[text] for text in REFERENCES[name]]
    tokenization = tokenizers.resolve("auto", references)
    assert (tokenization.tokenizer, tokenization.script, tokenization.warning) == (name, SCRIPTS[name], "")
    assert str(tokenization) == f"tokenizer {name}: the references are in {SCRIPTS[name]} script"


@pytest.mark.parametrize(
    ("text", "tokenizer"),
    [
        ("ມື້ນີ້ອາກາດດີຫຼາຍ", "char"),
        ("ថ្ងៃនេះអាកាសធាតុល្អណាស់", "char"),
        ("ဒီနေ့ရာသီဥတုကောင်းတယ်", "char"),
        ("དེ་རིང་གནམ་གཤིས་ཡག་པོ་འདུག", "char"),
        ("ꦲꦤꦕꦫꦏ", "char"),
        ("打开 LibreOffice Calc 文档", "zh"),
        ("آب و هوا امروز خوب است", "13a"),
        ("आज मौसम अच्छा है।", "13a"),
        ("Сегодня хорошая погода.", "13a"),
        ("12 + 3 = 15", "13a"),
        ("", "13a"),
    ],
)
def test_auto_in_other_scripts(text: str, tokenizer: str) -> None:
    assert tokenizers.resolve("auto", [[text]]).tokenizer == tokenizer


@pytest.mark.parametrize("name", NAMES)
def test_scores_equal_those_of_the_command_of_sacrebleu(name: str, tmp_path: Path) -> None:
    references = REFERENCES[name]
    hypotheses = [nearly(text) for text in references]
    for file, lines in (("references", references), ("hypotheses", hypotheses)):
        (tmp_path / file).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", "references", "-i", "hypotheses", "-tok", name]
    command += ["-m", "bleu", "chrf", "ter", "--chrf-word-order", "2", "--ter-case-sensitive", "-w", "6"]
    if name in ("zh", "ja-mecab", "ko-mecab"):
        command += ["--ter-normalized", "--ter-asian-support"]
    process = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=120)
    expected = {score["name"]: score for score in json.loads(process.stdout)}
    scored = {}
    for metric in (kind([[text] for text in references], Options()) for kind in METRICS):
        score = metric.score(metric.statistics(hypotheses))
        scored[metric.label] = score.score
    assert scored["BLEU"] == pytest.approx(expected["BLEU"]["score"], abs=1e-5)
    assert scored["chrF++"] == pytest.approx(expected["chrF2++"]["score"], abs=1e-5)
    if name != "char":
        assert scored["TER"] == pytest.approx(expected["TER"]["score"], abs=1e-5)
    assert 50 < scored["BLEU"] < 100
    assert 0 < scored["TER"] < 60


@pytest.mark.parametrize("name", ["zh", "char", *MECAB[:1]])
def test_a_tokenizer_that_splits_at_blanks_would_give_0(name: str) -> None:
    from sacrebleu.metrics import BLEU

    references = REFERENCES[name]
    hypotheses = [nearly(text) for text in references]
    assert BLEU(tokenize="13a").corpus_score(hypotheses, [references]).score == 0.0
    bleu = Bleu([[text] for text in references], Options())
    assert bleu.corpus_score(bleu.statistics(hypotheses).sum(axis=0)) > 50
    assert f"|tok:{name}" in bleu.signature()


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("zh", ["13a", "intl", "none"]),
        ("char", ["13a", "intl", "none", "zh"]),
        pytest.param("ja-mecab", ["13a", "intl", "none", "zh"], marks=needs_mecab),
    ],
)
def test_a_tokenizer_that_makes_one_token_of_a_sentence_is_refused(name: str, refused: list[str]) -> None:
    references = [[text] for text in REFERENCES[name]]
    for tokenize in refused:
        with pytest.raises(
            ConfigError, match=f"evaluator.tokenize: {tokenize} .*{SCRIPTS[name]} script"
        ) as error:
            Bleu(references, Options(tokenize))
        assert f"set it to {name}," in error.value.remedy
    for tokenize in (name, "char"):
        assert tokenizers.resolve(tokenize, references).tokenizer == tokenize


@pytest.mark.parametrize("tokenize", ["13a", "intl", "zh", "char", "none"])
def test_scripts_with_blanks_take_every_tokenizer(tokenize: str) -> None:
    for name in ("13a", "ko-mecab"):
        references = [[text] for text in REFERENCES[name]]
        assert tokenizers.resolve(tokenize, references).tokenizer == tokenize


def test_segmented_references_take_a_tokenizer_that_splits_at_blanks() -> None:
    references = [["今天 天气 很 好 。"], ["我们 一起 去 公园 吧 。"]]
    assert tokenizers.resolve("none", references).tokenizer == "none"
    assert tokenizers.resolve("auto", references).tokenizer == "zh"


@pytest.mark.parametrize(("name", "fallback"), [("ja-mecab", "char"), ("ko-mecab", "13a")])
def test_missing_packages(name: str, fallback: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizers, "is_installed", lambda tokenizer: "mecab" not in tokenizer)
    references = [[text] for text in REFERENCES[name]]
    tokenization = tokenizers.resolve("auto", references)
    assert tokenization.tokenizer == fallback
    assert f"pip install 'sacrebleu[{name[:2]}]'" in tokenization.warning
    with pytest.raises(ConfigError, match=f"evaluator.tokenize: {name} needs packages") as error:
        tokenizers.resolve(name, references)
    assert f"pip install 'sacrebleu[{name[:2]}]'" in error.value.remedy


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("hypothesis", ["", ".", "字", "a a a a a a a a a a"])
def test_empty_and_constant_translations_have_scores(name: str, hypothesis: str) -> None:
    references = [[text] for text in REFERENCES[name]]
    for metric in (kind(references, Options()) for kind in METRICS):
        statistics = metric.statistics([hypothesis] * len(references))
        score = metric.score(statistics)
        assert 0 <= score.score < 20 if metric.higher_is_better else score.score >= 80
        assert metric.compare(statistics, statistics).p_value == 1.0


def test_ter_counts_characters_in_scripts_without_blanks() -> None:
    ter = Ter([["ฉันไปสวน"]], Options())
    assert ter.corpus_score(ter.statistics(["ฉันไปสวย"]).sum(axis=0)) == pytest.approx(100 / 8)
    assert "tok:char" in ter.signature()
    assert "shift:no" in ter.signature()
    several = Ter([["ฉันไปสวน", "เราไปสวนนี้"]], Options())
    assert several.statistics(["เราไป สวน"]).tolist() == [[3.0, 9.5]]
    chinese = Ter([["我去公园。"]], Options())
    assert chinese.corpus_score(chinese.statistics(["我去花园。"]).sum(axis=0)) == pytest.approx(100 / 5)
    assert "norm:yes" in chinese.signature()
    assert "asian:yes" in chinese.signature()
    assert "asian:no" in Ter([["I go."]], Options()).signature()


def test_the_values_of_the_configuration() -> None:
    assert EvaluatorParameters().tokenize == "auto"
    for tokenize in ("auto", "13a", "intl", "zh", "ja-mecab", "ko-mecab", "char", "none"):
        assert msgspec.convert({"tokenize": tokenize}, EvaluatorParameters).tokenize == tokenize
    for tokenize in ("spm", "flores200", "13A"):
        with pytest.raises(msgspec.ValidationError, match="tokenize"):
            msgspec.convert({"tokenize": tokenize}, EvaluatorParameters)


def test_the_sample_is_from_the_whole_set() -> None:
    references = [[str(number)] for number in range(3 * tokenizers.SAMPLE + 1)]
    sampled = tokenizers.sample(references)
    assert tokenizers.SAMPLE / 2 < len(sampled) <= tokenizers.SAMPLE
    assert int(sampled[-1]) > 3 * tokenizers.SAMPLE - 4
    assert tokenizers.sample([]) == []


@given(st.text("กขค๐ก่"), st.text("กขค๐ก่"))
def test_the_edit_distance_is_that_of_the_recursive_definition(hypothesis: str, reference: str) -> None:
    @functools.cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        substituted = distance(i - 1, j - 1) + (hypothesis[i - 1] != reference[j - 1])
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, substituted)

    codes = [np.array([ord(c) for c in text], np.uint32) for text in (hypothesis, reference)]
    assert edit_distance(*codes) == distance(len(hypothesis), len(reference))
