"""StatisticsGen, SchemaGen and ExampleValidator on text of many scripts: ordinary corpora have no anomaly."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv

from bitext.components.shared.errors import DataError
from bitext.schemas import features, scripts
from tests.components import phrases
from tests.components.contract_checks import Checks

SCRIPTS = {"zh": "Han", "ja": "Kana", "ko": "Hangul", "th": "Thai", "ar": "Arabic", "hi": "Devanagari",
    "fi": "Latin", "ru": "Cyrillic"}  # fmt: skip


@pytest.mark.parametrize("language", phrases.TRANSLATIONS)
def test_an_ordinary_corpus_has_no_anomaly(tmp_path, language):
    rows = phrases.corpus(language, 156)
    # Each split has more than `min_examples` rows, so that shares count.
    rows = [(f"{s} ({i})", f"{t} ({i})") for i in range(6) for s, t in rows]
    random.Random(1).shuffle(rows)
    parts = {"train": [r for i, r in enumerate(rows) if i % 2], "eval": rows[::4], "test": rows[2::4]}
    side = "target"
    if language in ("zh", "th", "ar"):  # as sources, too
        parts = {split: [pair[::-1] for pair in pairs] for split, pairs in parts.items()}
        side = "source"
    checks = Checks(tmp_path, **parts)
    checks.validate(checks.schema())
    assert checks.anomalies.properties == {"errors": 0, "warnings": 0}, checks.printed
    statistics = tfdv.load_stats_binary(str(checks.statistics.split("train") / "FeatureStats.pb"))
    [script] = [f for f in statistics.datasets[0].features if f.path.step[0] == f"{side}_script"]
    assert script.string_stats.top_values[0].value == SCRIPTS[language]
    (tmp_path / "anomalies").rename(tmp_path / "first")
    allowed = ("Kana", "Han") if language == "ja" else (SCRIPTS[language],)
    checks.validate(checks.schema("narrowed", **{f"{side}_scripts": allowed}))
    (tmp_path / "anomalies").rename(tmp_path / "second")
    with pytest.raises(DataError, match=f"{side}_script"):
        checks.validate(checks.schema("other", **{f"{side}_scripts": ("Greek",)}))


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("请在 Google Chrome 浏览器中打开 https 链接", "Han"),
        ("設定を変更する", "Kana"),
        ("設定変更", "Han"),
        ("Windows の設定を開いてください", "Kana"),
        ("パスワード", "Kana"),
        ("ㄅㄆㄇ", "Han"),
        ("iPhone에서 열기", "Hangul"),
        ("ߒߞߏ", "Nko"),
        ("ᏣᎳᎩ", "Cherokee"),
        ("ᐃᓄᒃᑎᑐᑦ", "Canadian_Aboriginal"),
        ("ⵜⴰⵎⴰⵣⵉⵖⵜ", "Tifinagh"),
        ("ᱥᱟᱱᱛᱟᱲᱤ", "Ol_Chiki"),
        ("\u200b\ufeff", "None"),
        ("می\u200cخواهم", "Arabic"),
    ],
)
def test_the_script_of_mixed_text(text, script):
    assert features.of_side("source", pa.array([text]))["source_script"].to_pylist() == [script]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Where is the station?", 4),
        ("请问最近的火车站在哪里？", 12),
        ("新しい\u3000図書館です。", 9),
        ("안녕하세요, 여러분", 2),
        ("สวัสดีครับ ผม", 12),
        ("أين المحطة؟", 2),
        ("non\u00a0breaking\u2003space\u200b s", 4),
        ("", 0),
        ("  a  ", 1),
    ],
)
def test_the_length_in_words_fits_the_script(text, words):
    derived = features.of_side("source", pa.array(["x y", text, "z"]))
    assert derived["source_words"].to_pylist() == [2, words, 1]


def test_joiners_are_not_counted_as_signs():
    texts = ["می\u200cخواهم", "क्\u200dष", "ไทย\u200bไทย", "a-b"]
    share = features.of_side("source", pa.array(texts))["source_non_alphabetic"].to_pylist()
    assert share == pytest.approx([0, 0, 0, 1 / 3])


def test_the_script_of_a_row_is_that_of_the_text_path():
    """Both modules name the script of a text alike, except for Japanese."""
    names = {scripts.JAPANESE: "Kana"}
    texts = [side for language in phrases.TRANSLATIONS for pair in phrases.pairs(language) for side in pair]
    found = features.of_side("source", pa.array(texts))["source_script"].to_pylist()
    expected = [scripts.dominant_script([text]) for text in texts]
    assert found == [names.get(name, name) for name in expected]


POLITE = ("駅はどこですか。", "本を読みます。", "雨が降りました。", "犬は大きいです。", "明日行きません。")
PLAIN = ("駅はどこだ。", "本を読む。", "雨が降った。", "犬は大きい。", "明日は行かない。")


def test_another_style_of_one_language_is_no_drift(tmp_path):
    """Polite and plain Japanese differ in their last letters, like talk and news."""
    spans = []
    for index, texts in enumerate((POLITE, PLAIN)):
        rows = [(f"The sentence number {i} is here.", f"{i}、{texts[i % len(texts)]}") for i in range(600)]
        checks = Checks(tmp_path / str(index), train=rows, eval=rows, test=rows)
        spans.append(checks.statistics)
    checks.validate(checks.schema(), previous_statistics=(spans[0],))
    assert checks.anomalies.properties["errors"] == 0
