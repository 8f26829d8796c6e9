"""Scripts: equal to Unicode's, the script of a text, and the units of lengths."""

from __future__ import annotations

import itertools
import subprocess
import sys
import unicodedata

import pytest
import regex

from bitext.components.text import scripts
from bitext.schemas.scripts import RANGES

SENTENCES = {
    "Latin": "The weather is nice today, isn't it?",
    "Cyrillic": "Сегодня хорошая погода.",
    "Greek": "Ο καιρός είναι καλός σήμερα.",
    "Arabic": "الطقس جميل اليوم، أليس كذلك؟",
    "Hebrew": "מזג האוויר יפה היום.",
    "Devanagari": "आज मौसम अच्छा है।",
    "Tamil": "இன்று வானிலை நன்றாக உள்ளது.",
    "Georgian": "დღეს კარგი ამინდია.",
    "Armenian": "Այսօր եղանակը լավ է։",
    "Ethiopic": "ዛሬ የአየር ሁኔታ ጥሩ ነው።",
    "Hangul": "오늘은 날씨가 좋네요.",
    "Han": "今天天气很好，不是吗？",
    "Japanese": "今日は天気がいいですね。",
    "Thai": "วันนี้อากาศดีมาก",
    "Lao": "ມື້ນີ້ອາກາດດີຫຼາຍ",
    "Khmer": "ថ្ងៃនេះអាកាសធាតុល្អណាស់។",
    "Myanmar": "ဒီနေ့ ရာသီဥတု ကောင်းတယ်။",
    "Tibetan": "དེ་རིང་གནམ་གཤིས་ཡག་པོ་འདུག",
    "Javanese": "ꦲꦤꦕꦫꦏ",
}
WITHOUT_BLANKS = {"Han", "Japanese", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan", "Javanese"}


def test_ranges_do_not_overlap() -> None:
    ranges = sorted(span for spans in RANGES.values() for span in spans)
    assert all(first <= last for first, last in ranges)
    assert all(left[1] < right[0] for left, right in itertools.pairwise(ranges))


@pytest.mark.parametrize("script", RANGES)
def test_letters_have_the_script_that_unicode_gives_them(script: str) -> None:
    """`regex` holds Unicode's Scripts.txt. A character that several scripts share may have one of them."""
    of_unicode = regex.compile(rf"[\p{{Script={script}}}]")
    shared = regex.compile(r"[\p{Script=Common}\p{Script=Inherited}]")
    for point in range(0x110000):
        character = chr(point)
        if unicodedata.category(character)[0] in "LM":
            is_of_script = scripts.script_of(character) == script
            assert is_of_script == bool(of_unicode.match(character)) or shared.match(character), hex(point)


@pytest.mark.parametrize("script", SENTENCES)
def test_the_dominant_script_of_a_sentence(script: str) -> None:
    assert scripts.dominant_script([SENTENCES[script]]) == script
    assert scripts.counts_words(script) == (script not in WITHOUT_BLANKS)
    assert scripts.unit(script) == ("characters" if script in WITHOUT_BLANKS else "words")


@pytest.mark.parametrize(
    ("texts", "script"),
    [
        ([], "None"),
        (["", " 12 + 3 = 15 €", "👩\u200d👩\u200d👧"], "None"),
        (["LibreOffice Calc 电子表格"], "Han"),
        (["LibreOffice Writer 문서"], "Latin"),
        (["LibreOffice 문서를 열 수 없습니다"], "Hangul"),
        (["The word 你好 means hello"], "Latin"),
        (["ファイル", "保存"], "Japanese"),
        (["保存文件", "打开文件", "新建文件夹", "关闭全部窗口", "重新启动计算机", "「の」"], "Han"),
        (["ㄅㄆㄇㄈ"], "Han"),
        (["e\u0301\u0301\u0301"], "Latin"),
        (["𞤀𞤣𞤤𞤢𞤥"], "Adlam"),
        (["𐎠𐎡𐎢"], "Other"),
    ],
)  # fmt: skip
def test_the_dominant_script_of_mixed_texts(texts: list[str], script: str) -> None:
    assert scripts.dominant_script(texts) == script
    assert scripts.dominant(scripts.letter_counts(texts)) == script


def test_lengths() -> None:
    assert scripts.length(" two words ", "Latin") == 2
    assert scripts.length("今天 天气", "Han") == 4
    assert scripts.length("", "Han") == scripts.length("", "Latin") == 0
    assert scripts.characters_per_word("Han") < scripts.characters_per_word("Thai")


@pytest.mark.parametrize(
    ("text", "script", "segmented"),
    [
        ("今天 天气 很 好 ， 不 是 吗 ？", "Han", True),
        ("今 天 天 气 很 好", "Han", True),
        ("今天天气很好，不是吗？ 我们去公园。", "Han", False),
        ("打开 LibreOffice Calc 文档 2 次", "Han", False),
        ("วันนี้ อากาศ ดี มาก", "Thai", True),
        ("วันนี้อากาศดีมาก เราไปสวนสาธารณะกันเถอะ", "Thai", False),
        ("今日 は 天気 が いい です ね 。", "Japanese", True),
        ("保存", "Han", False),
    ],
)
def test_segmented_texts(text: str, script: str, segmented: bool) -> None:
    assert scripts.is_segmented([text], script) == segmented


def test_the_module_is_light() -> None:
    code = (
        "import sys; import bitext.components.text.scripts; "
        "print(*sorted({'numpy', 'pyarrow', 'tensorflow'} & set(sys.modules)))"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (process.returncode, process.stdout.split()) == (0, []), process.stderr
