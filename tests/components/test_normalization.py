"""The definition of text: Python and the graph agree on all of Unicode, and the split follows the tokens."""

from __future__ import annotations

import random
import time
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from bitext.components.text import characters, normalizer, ordinary
from bitext.components.text.normalization import is_blank, normalize, normalize_array, split_key

ALL = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]


def in_graph(texts: list[str], fold_quotes: bool = True) -> list[str]:
    """The texts that the graph makes."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    batch = tf.constant(encoded, tf.string, shape=[len(encoded)])
    return [t.decode() for t in normalizer.normalize(batch, fold_quotes=fold_quotes).numpy().tolist()]


def assert_same(texts: list[str], fold_quotes: bool = True) -> None:
    """Asserts that Python and the graph agree, and that normalizing again changes nothing. Arrays prove that
    texts which match the pattern of ordinary texts are normalized."""
    once = [normalize(text, fold_quotes=fold_quotes) for text in texts]
    assert in_graph(texts, fold_quotes) == once
    assert [normalize(text, fold_quotes=fold_quotes) for text in once] == once
    assert normalize_array(pa.array(texts, pa.string()), fold_quotes=fold_quotes).to_pylist() == once


@pytest.mark.parametrize("fold_quotes", [True, False])
def test_every_character_is_the_same_in_python_and_in_the_graph(fold_quotes):
    assert_same(ALL, fold_quotes)


def test_tensorflow_encodes_every_normalized_character_as_it_is():
    once = [normalize(f"a{c}b") for c in ALL]
    encoded = tf.strings.unicode_encode(tf.strings.unicode_decode(once, "UTF-8"), "UTF-8").numpy().tolist()
    assert [t.decode() for t in encoded] == once


def test_noncharacters_are_the_replacement_character():
    noncharacters = [c for c in ALL if "\ufdd0" <= c <= "\ufdef" or ord(c) & 0xFFFE == 0xFFFE]
    assert len(noncharacters) == 66
    assert_same([text for c in noncharacters for text in (f"a{c}b", f"{c}\u0301’", f"ن\u200c{c}م")])
    texts = [f"a{c}b（" for c in noncharacters]
    assert {normalize(t) for t in texts} == set(in_graph(texts)) == {"a\ufffdb("}
    assert {split_key(t) for t in texts} == {split_key("a\ufffdb（")}


def test_canonically_equal_characters_are_equal():
    decomposed = [unicodedata.normalize("NFD", c) for c in ALL]
    assert in_graph(decomposed) == in_graph(ALL)
    assert [normalize(c) for c in decomposed] == [normalize(c) for c in ALL]


@pytest.mark.parametrize("joiner", ["\u200c", "\u200d"])
def test_canonically_equal_neighbors_of_joiners_are_equal(joiner):
    decomposable = [c for c in ALL if not "가" <= c <= "힣" and not unicodedata.is_normalized("NFD", c)]
    others = ["م", "م\u0650", "क्", "ක්", "👩", "É", "1", ")", "\u0f71", "\u0650", "ﾞ"]
    texts = [text for c in [*decomposable, "각"] for b in others for text in (b + joiner + c, c + joiner + b)]
    once = [normalize(text) for text in texts]
    assert in_graph(texts) == once
    assert [normalize(text) for text in once] == once
    for form in ("NFD", "NFC"):
        assert [normalize(unicodedata.normalize(form, text)) for text in texts] == once


def test_text_without_replaced_characters_is_composed_as_unicodedata_does():
    replaced = {*characters.replacements(True, False), *characters.code_points(characters.white_space())}
    replaced |= {*characters.code_points(characters.IGNORABLE)}
    kept = [c for c in ALL if not replaced & set(map(ord, unicodedata.normalize("NFD", c)))]
    assert in_graph(kept) == [unicodedata.normalize("NFC", c) for c in kept]


def test_every_pair_that_composes_and_marks_between():
    pairs = [(chr(first), chr(second)) for first, second in characters.compositions()]
    between = ["", "\u0323", "\u0301", "\u093c", "\u200b", "\u200d", "\u3099", "\u1160", "\u0345"]
    assert_same([first + mark + second + second for first, second in pairs for mark in between])
    assert_same([first + second + mark for first, second in pairs for mark in between])


MARKS = [chr(code) for code in characters.combining_marks()]
PIECES = [chr(part) for pair in characters.compositions() for part in pair]
HANGUL = [*map(chr, range(0x1100, 0x1200)), "가", "각", "힣", "\u3131", "\uffa1"]
JOINED = list(
    "ابمیक्षন্ക\u0d4dන🏴👩❤aq \u200b\u200c\u200d\u180b\u180e\ufe0f\ufeff\u00ad\u064e\u0323\u1820\ufefb\ufe70\n"
    "۱1)(»”ʻﾞ\uff9e\u0f71\u0f73\u0622\u0653\ufdd0\U0002ffff➀²"
)
TAGS = ["\U000e0067", "\U000e0062", "\U000e007f", "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e007f"]
SIGNS = list(
    "'\"’‘“”„«»ʼ´′_▁!?.,：！？，～（）１Ａａ中かカ가ｶﾞﾟ｢」…¿İıßẞſςσΣKÅΩﬁ\u00a0\u3000\u0000\u0085\u2028 "
)
ALPHABETS = {
    "marks": MARKS + PIECES,
    "Hangul": HANGUL,
    "joiners": JOINED + TAGS,
    "signs": SIGNS,
    "all": MARKS[::9] + PIECES[::9] + HANGUL[::5] + 5 * JOINED + 5 * TAGS + 5 * SIGNS,
}


@pytest.mark.parametrize("name", ALPHABETS)
def test_random_sequences(name):
    draw = random.Random(name)
    assert_same(["".join(draw.choices(ALPHABETS[name], k=draw.randrange(12))) for _ in range(20_000)])


@given(st.lists(st.text(), min_size=1), st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_text(texts, fold_quotes):
    assert_same(texts, fold_quotes)


@given(st.binary())
@settings(max_examples=200, deadline=None)
def test_any_bytes_become_normalized_text(data):
    batch = tf.constant([data])
    text = normalizer.normalize(batch, fold_quotes=True).numpy()[0].decode()
    assert normalize(text) == text
    assert (text == "") == is_blank(data.decode("utf-8", "replace"))


def test_all_marks_in_reverse_order_and_lone_surrogates():
    assert_same(["a" + "".join(reversed(MARKS)), "".join(MARKS), "e" + "\u0301" * 500 + "\u0323"])
    assert normalize("a\ud800b") == in_graph(["a\ufffdb"])[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cafe\u0301", "café"),
        ("ﾊﾟｰﾃｨｰ ＡＢＣ１２％", "パーティー ABC12%"),
        ("你好，世界！（Ａ）", "你好，世界！（A）"),
        ("Hello，　world！", "Hello, world!"),
        ("so\u00adft w\u200bo\u2060r\ufeffd\u200e", "soft word"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("می\u200c\u200cخواهم \u200cw\u200cord", "می\u200cخواهم word"),
        ("۱۲\u200cساله 12\u200cساله", "۱۲\u200cساله 12\u200cساله"),
        ("A\u200cها É\u200cها E\u0301\u200cها", "A\u200cها É\u200cها É\u200cها"),
        ("ن\u200cA ن\u200d۱", "ن\u200cA ن\u200d۱"),
        ("(کتاب)\u200cها «کتاب»\u200cها “کتاب”\u200cها", '(کتاب)\u200cها «کتاب»\u200cها "کتاب"\u200cها'),
        ("ه\u200d ه\u200d.ق. 5 ه\u200d", "ه\u200d ه\u200d.ق. 5 ه\u200d"),
        ("ه\u064e\u200d ﻪ\u200d ه\u200c ܐ\u200d क\u200d ", "ه\u064e\u200d ه\u200d ه ܐ क"),
        ("\u200dه A\u200d \u200cها (\u200cها !\u200cها", "ه A ها (ها !ها"),
        ("A\u200cB 1\u200c2 1\u200dA 你\u200c好 א\u200dב", "AB 12 1A 你好 אב"),
        ("م\u200cA\u200cم\u200cA\u200cB\u200cم", "م\u200cA\u200cم\u200cA" + "B\u200cم"),
        ("م\u200c( A\u200c\u0301م م\u200c½", "م( Áم م\u200c½"),
        ("م\u200c\u0f73 م\u200c\u0f71\u0f72", "م\u200c\u0f71\u0f72 م\u200c\u0f71\u0f72"),
        ("അവന\u0d4d\u200d", "അവന\u0d4d\u200d"),
        ("র\u200d্যাব", "র\u200d্যাব"),
        ("👩\u200d❤\ufe0f\u200d👩\u200d", "👩\u200d❤\u200d👩"),
        ("1\ufe0f\u20e3 ❤\ufe0f", "1\u20e3 ❤"),
        (
            "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
            "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
        ),
        ("x\U000e0067 🏴\U000e0067", "x 🏴"),
        ("\u1820\u180b\u1820\u180e\u1820 a\u180b", "\u1820\u180b\u1820\u180e\u1820 a"),
        ("สวัส\u200bดี", "สวัสดี"),
        ("ﻣﺮﺣﺒﺎ ﬁne", "مرحبا fine"),
        ("I don’t “know” ʼn 5′ «oui» 「はい」", "I don't \"know\" 'n 5' «oui» 「はい」"),
        ("צה״ל", 'צה"ל'),
        ("½ x² ™ …", "½ x² ™ …"),
        ("a\t\r\n\u2028b\u0000\u0085c ", "a b c"),
        ("▁a", "_a"),
    ],
)
def test_examples(text, expected):
    assert normalize(text) == expected
    assert in_graph([text]) == [expected]


def test_quotation_marks_stay_if_they_are_not_folded():
    assert normalize("don’t “x”", fold_quotes=False) == in_graph(["don’t “x”"], False)[0] == "don’t “x”"


@pytest.mark.parametrize(
    "text", ["", " ", "\u00a0", "\u3000", "\u200b", "\ufeff", "\0", "\u00ad", "\u200d\u2060 \u3164"]
)
def test_blank_texts(text):
    assert is_blank(text)
    assert in_graph([text]) == [""]
    assert not is_blank(text + "\u0301")
    assert not is_blank(text + "x")


def test_arrays_keep_what_they_have():
    values = pa.array(["a", None, "cafe\u0301", "b  c"])
    assert normalize_array(values).to_pylist() == ["a", None, "café", "b c"]
    same = pa.array(["a", "b c"])
    assert normalize_array(same) is same
    assert normalize_array(pa.array([], pa.string())).to_pylist() == []


SENTENCES = [
    "Tom doesn't like cheese very much, does he? (55.5 %)",
    "¿Dónde está la biblioteca? — No sé… «oui»",
    "Ми вивчаємо українську мову 2024 року.",
    "Đây là một câu tiếng Việt.",
    "你好，世界！（这是一个句子。）",
    "日本語を話しますか。「はい」ガギグ",
    "안녕하세요, 반갑습니다.",
    "هذا نص عربي مَعَ تشكيل.",
    "من می\u200cخواهم بروم",
    "यह हिन्दी का एक वाक्य है। फ़्रांस",
    "বাংলা ভাষা কো",
    "தமிழ் மொழி",
    "ภาษาไทยเป็นภาษาที่สวยงาม",
    "Ο Μαΐου και ο Οδυσσέας",
    "👍 ok 👩\u200d👧",
]


@pytest.mark.parametrize("text", SENTENCES)
def test_ordinary_sentences_do_not_change_and_keep_their_split(text):
    old = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    assert split_key(text) == old
    assert normalize(text) == text


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
@settings(deadline=None)
def test_ascii_text_keeps_its_split(text):
    assert split_key(text) == " ".join(text.casefold().split())


def test_most_texts_are_found_ordinary():
    batch = tf.constant([s for s in SENTENCES if "\u200c" not in s and "\u200d" not in s])
    assert tf.strings.regex_full_match(batch, ordinary.pattern(True)).numpy().all()


@pytest.mark.parametrize(
    "text",
    [
        "a" + "\u0301" * 300_000,
        "a" + "\u0301\u0323\u094d" * 100_000,
        "ب\u200c" * 100_000,
        "\u094d" * 300_000 + "\u200d",
        "\u1100\u1161\u11a8" * 100_000,
        "don’t " * 100_000,
        "x" * 300_000 + "’",
    ],
    ids=["one mark", "marks out of order", "joiners", "viramas", "Hangul", "quotes", "one word"],
)
def test_a_huge_text_takes_linear_time(text):
    begin = time.monotonic()
    assert in_graph([text]) == [normalize(text)]
    assert time.monotonic() - begin < 30


KEY_ALPHABETS = {
    "signs": SIGNS,
    "case": list("aAbBiIİıſsSßẞσςΣkKKåÅÅωΩΩΐΪ\u0301\u0308\u0307jJ\u030cǰŉ ᏸꮿᲐა"),
    "all": SIGNS + JOINED + HANGUL[::7] + MARKS[::40],
}


@pytest.mark.parametrize("name", KEY_ALPHABETS)
def test_texts_that_are_equal_to_the_model_have_equal_keys(name):
    draw = random.Random(name)
    texts = ["".join(draw.choices(KEY_ALPHABETS[name], k=draw.randrange(1, 5))) for _ in range(40_000)]
    texts += [c for c in ALL if unicodedata.category(c) != "Cn"] if name == "case" else []
    for fold_quotes in (True, False):
        once = in_graph(texts, fold_quotes)
        lower = normalizer.normalize(
            tf.strings.lower(tf.constant(once), encoding="utf-8"), fold_quotes=fold_quotes
        )
        again = normalizer.normalize(tf.strings.lower(lower, encoding="utf-8"), fold_quotes=fold_quotes)
        assert np.array_equal(lower.numpy(), again.numpy())
        for text, seen in zip(texts, lower.numpy().tolist(), strict=True):
            assert split_key(seen.decode()) == split_key(text), ascii(text)
