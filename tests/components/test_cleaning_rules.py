"""Every rule of cleaning rejects bad rows and accepts good rows, in several scripts."""

from __future__ import annotations

import re
import unicodedata
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.example_gen.cleaning import KEYS, LEVELS, OFF, Cleaning, fixes, row_rules
from bitext.components.example_gen.cleaning.pair_counts import PairCounts
from bitext.components.example_gen.cleaning.texts import BLANK, DIGIT, LETTER, PUNCTUATION, Texts

BAD: dict[str, tuple[tuple[str, dict[str, Any], str, str], ...]] = {
    "too_short": (
        ("a short target", {"min_characters": 2}, "Good morning.", "o"),
        ("Chinese", {"min_characters": 2}, "Good morning.", "早"),
    ),
    "too_many_words": (
        ("Latin", {"max_words": 5}, "one two three four five six", "uno dos"),
        ("Cyrillic", {"max_words": 5}, "One.", "раз два три четыре пять шесть"),
        ("Arabic", {"max_words": 3}, "One.", "واحد اثنان ثلاثة أربعة"),
    ),
    "long_word": (
        ("Latin", {"max_word_characters": 12}, "a aaaaaaaaaaaaa b", "a b"),
        ("Cyrillic", {"max_word_characters": 12}, "a b", "слово абвгдежзийклм, ещё"),
    ),
    "too_few_words": (("Latin", {"min_words": 3}, "Go on.", "Y ahora sigue."),),
    "letters_apart": (
        ("Latin", {"level": "strict"}, "T h i s  i s  s p a c e d", "Esto está espaciado"),
        ("Cyrillic", {"min_mean_word_characters": 1.5}, "This is spaced", "э т о  р а з р я д к а"),
    ),
    "long_words": (
        ("Latin", {"max_mean_word_characters": 17.5}, "News", "noticiasdeportesculturaeconomía portada"),
        ("Hindi", {"max_mean_word_characters": 17.5}, "क्षेत्र;उपनाम;सारणी;छांटा;दृष्टिगोचर", "Fields"),
    ),
    "nearly_copied": (
        (
            "Latin", {"level": "strict"},
            "Click on the button to open the new window of Tom and close this here.",
            "Click on the button to open the new window of Ana and close this here again.",
        ),
        (
            "Cyrillic", {"max_shared_words": 0.7},
            "пошёл в новый дом рядом с парком", "пошёл в старый дом рядом с парком",
        ),
    ),
    "few_letters": (
        ("rulers", {}, "Go on with it.", "------------- 1"),
        ("Arabic digits", {}, "Go on with it.", "١٢٣٤٥٦٧٨٩٠١٢"),
        ("strict", {"level": "strict"}, "1, 2, 3, 4, 5, six", "1, 2, 3, 4, 5, seis"),
    ),
    "many_digits": (
        ("Latin", {"max_digit_share": 0.3}, "ab 0123456789 c", "a b"),
        ("Thai", {"max_digit_share": 0.3}, "a b", "๐๑๒๓๔๕๖๗๘๙ กข"),
    ),
    "much_punctuation": (
        ("Latin", {}, "........................... 12 page", "doce"),
        ("Chinese", {}, "Twelve.", "。。。。。。。。，，，，，，十二"),
    ),
    "links_only": (
        ("address", {}, "http://example.org/a?b=c", "Ve a la página principal"),
        ("mail", {}, "Write to us", "info@example.org"),
        ("several", {}, "www.example.org, https://example.org (2)", "Сайт"),
    ),
    "copied": (
        ("Latin", {}, "This is the same text again.", "this is the same text again"),
        ("Cyrillic", {}, "Это всё тот же самый текст.", "Это всё тот же самый текст!"),
        ("Chinese", {}, "这句话没有翻译过来，完全一样，没改。", "这句话没有翻译过来,完全一样,没改"),
        ("Thai", {}, "ประโยคนี้ยังไม่ได้แปล", "ประโยคนี้ยังไม่ได้แปล"),
        ("Arabic", {}, "هذه الجملة لم تترجم بعد", "هذه الجملة لم تترجم بعد."),
    ),
    "repeated": (
        ("Latin", {}, "Very good.", "muy " * 12 + "bien"),
        ("two words", {}, "Very good.", "очень хорошо " * 9),
        ("Chinese", {}, "Very good.", "很好" * 9),
        ("Thai", {}, "Very good.", "ดีมาก" * 9),
        ("Arabic", {}, "جدا جدا " * 9, "Very good."),
    ),
    "markup": (
        ("any", {"markup": "any"}, "<b>Bold</b> text", "<b>Texto</b> en negrita"),
        ("one side", {"markup": "one_side"}, "Bold text", 'Texto <span class="x">en</span> negrita'),
        ("break", {"markup": "one_side"}, "两行<BR/>文字", "two lines"),
    ),
    "numbers_differ": (
        ("Latin", {"numbers": True}, "In 1984 we were 25.", "En 1985 tuvimos 52."),
        ("Arabic", {"numbers": True}, "In 1984.", "في ١٩٨٥."),
        ("Thai", {"numbers": True}, "In 1984.", "ใน ๑๙๘๕"),
    ),
}  # fmt: skip
GOOD: tuple[tuple[str, str], ...] = (
    ("Go.", "Ve."),
    ("Tom!", "¡Tom!"),
    ("No, no, no, no!", "¡No, no, no, no!"),
    ("1985", "1985"),
    ("Microsoft Windows Server 2019 Datacenter Edition", "Microsoft Windows Server 2019 Datacenter Edition"),
    ("It costs 1,250 dollars.", "Cuesta 1.250 dólares."),
    ("It costs 1,250 dollars.", "Это стоит 1 250 долларов."),
    ("He was born in 1984.", "وُلد عام ١٩٨٤."),
    ("He was born in 1984.", "他出生于１９８４年。"),
    ("He was born in 1984.", "เขาเกิดในปี ๑๙๘๔"),
    ("See https://example.org for more.", "Véase https://example.org para más."),
    ('Write "http://".', "「http://」と書く。"),
    ("a < b and b > c", "a < b y b > c"),
    ("Ha ha ha ha ha ha ha ha ha ha!", "¡Ja ja ja ja ja ja ja ja ja ja!"),
    ("Yes.", "对。"),
    ("The library is closed on Mondays.", "ห้องสมุดปิดวันจันทร์"),
    ("The library is closed on Mondays.", "Библиотека закрыта по понедельникам."),
    ("The library is closed on Mondays.", "المكتبة مغلقة يوم الاثنين."),
    ("Twelve of 12.", "Doce."),
    ("The man in the red hat and the dog in the park", "De man in de rode hoed en de hond in het park"),
    ("필드를 추가 또는 삭제", "Add or delete a field"),
    ("Donaudampfschifffahrtsgesellschaftskapitän", "Captain"),
)


def reasons(source: str, target: str, cleaning: Cleaning) -> dict[str, str]:
    """The detail of each reason for which a pair is rejected."""
    pair = Texts(pa.array([source])), Texts(pa.array([target]))
    return {reason: v.detail(0) for reason, v in row_rules.check(pair, cleaning) if v.mask[0]}


def cases() -> list[Any]:
    return [
        pytest.param(reason, *case[1:], id=f"{reason}-{case[0]}")
        for reason, rows in BAD.items()
        for case in rows
    ]


@pytest.mark.parametrize(("reason", "settings", "source", "target"), cases())
def test_a_bad_row_is_rejected_with_value_and_limit(reason, settings, source, target):
    cleaning = msgspec.convert(settings, Cleaning)
    found = reasons(source.strip(), target.strip(), cleaning)
    assert reason in found
    detail = found[reason]
    assert KEYS[reason] in detail
    limit = cleaning.limit(KEYS[reason])
    assert re.search(rf"\b{re.escape('true' if limit is True else f'{limit}')}", detail)


@pytest.mark.parametrize("reason", BAD)
def test_a_rule_that_is_off_rejects_nothing(reason):
    for _, settings, source, target in BAD[reason]:
        cleaning = msgspec.convert(settings | {KEYS[reason]: OFF[KEYS[reason]]}, Cleaning)
        assert reason not in reasons(source, target, cleaning)
        assert not reasons(source, target, Cleaning(level="off"))


@pytest.mark.parametrize(("source", "target"), GOOD)
def test_a_good_row_is_accepted_in_both_directions(source, target):
    overlap = {"max_shared_words": 0.9, "min_mean_word_characters": 1.5, "max_mean_word_characters": 50.0}
    for cleaning in (Cleaning(), Cleaning(numbers=True, markup="any", **overlap)):
        assert reasons(source, target, cleaning) == {}
        assert reasons(target, source, cleaning) == {}


def test_all_rows_of_a_block_are_judged_as_if_each_were_alone():
    pairs = [
        *GOOD,
        *((source.strip(), target.strip()) for rows in BAD.values() for _, _, source, target in rows),
    ]
    strict = Cleaning(level="strict")
    block = tuple(Texts(pa.array(side)) for side in zip(*pairs, strict=True))
    found: list[set[str]] = [set() for _ in pairs]
    for reason, violations in row_rules.check((block[0], block[1]), strict):
        for row in np.flatnonzero(violations.mask).tolist():
            found[row].add(reason)
    assert found == [set(reasons(*pair, strict)) for pair in pairs]


texts = st.lists(
    st.text(st.sampled_from("ab1.é我ไท мق́ -<"), max_size=20).map(str.strip), min_size=1, max_size=9
)


@given(texts)
def test_the_measures_equal_those_of_python(values):
    measured = Texts(pa.array(values))
    kinds = {BLANK: "Z", LETTER: "LM", DIGIT: "N", PUNCTUATION: "PS"}
    for kind, letters in kinds.items():
        expected = [sum(unicodedata.category(c)[0] in letters for c in value) for value in values]
        assert measured.count(kind).tolist() == expected
    assert measured.words.tolist() == [len([w for w in value.split(" ") if w]) for value in values]
    words = [re.findall(r"[^\W_]+", re.sub(r"[\u0300-\u036f\u0e31-\u0e4e]", "x", value)) for value in values]
    assert measured.longest_word.tolist() == [max(map(len, found), default=0) for found in words]
    assert measured.ends_in_word.tolist() == [
        unicodedata.category(v[-1])[0] in "LMN" if v else False for v in values
    ]


@pytest.mark.parametrize(
    ("bad", "good", "key"),
    [
        ("El cafÃ© estÃ¡ cerrado.", "El café está cerrado.", "fix_mojibake"),
        ("ÐŸÑ€Ð¸Ð²ÐµÑ‚, Ð¼Ð¸Ñ€", "Привет, мир", "fix_mojibake"),
        ("Itâ€™s late.", "It’s late.", "fix_mojibake"),
        ("Tom &amp; Mary", "Tom & Mary", "fix_entities"),
        ("&#1055;&#x440;ивет &quot;мир&quot;", 'Привет "мир"', "fix_entities"),
        ("两个   空格", "两个 空格", "fix_blanks"),
    ],
)
def test_text_is_corrected(bad, good, key):
    rows = pa.array([good, bad, "Ça va ? Où ça ?"])
    fixed, changed = fixes.fix(rows, Cleaning())
    assert fixed.to_pylist() == [good, good, "Ça va ? Où ça ?"]
    assert {name: mask.tolist() for name, mask in changed.items()} == {key: [False, True, False]}
    assert fixes.fix(rows, msgspec.convert({key: False}, Cleaning))[0].to_pylist() == rows.to_pylist()


@pytest.mark.parametrize(
    "text",
    [
        "AT&T; R&D",
        "a & b;",
        "São Tomé, Ângela, Ã",
        "“Où?” — «là»",
        "Ä“ Ö” ü»",
        "Ремонт «Рђ»",
        "ศุกร์",
        "ÑANDÚ",
        "Ð",
    ],
)
def test_correct_text_is_left_alone(text):
    assert fixes.fix(pa.array([text]), Cleaning())[0].to_pylist() == [text]


class TestPairCounts:
    def rejected(self, pairs: list[tuple[str, str]], **settings) -> dict[int, str]:
        counts, found = PairCounts(msgspec.convert(settings, Cleaning)), {}
        for start in range(0, len(pairs), 2):  # in blocks
            source, target = (pa.array(side) for side in zip(*pairs[start : start + 2], strict=True))
            for reason, violations in counts.check(source, target):
                for row in np.flatnonzero(violations.mask).tolist():
                    assert KEYS[reason] in violations.detail(row)
                    found[start + row] = reason
        return found

    def test_near_duplicates(self):
        pairs = [
            ("Go on!", "¡Sigue!"), ("go on", "Sigue."), ("Go on.", "Síguelo."), ("Иди!", "去吧！"),
            ("иди", "去 吧。"), ("!", "?"), ("?", "!"), ("اذهب!", "ไป!"), ("اذهب", "ไป"), ("اذهب", "ไปๆ"),
        ]  # fmt: skip
        expected = dict.fromkeys((1, 4, 8), "near_duplicate")
        assert self.rejected(pairs, near_duplicates=True) == expected
        assert self.rejected(pairs) == {}

    def test_many_targets(self):
        pairs = [("Go.", f"Ve {i}.") for i in range(5)] + [("Run.", "Corre.")]
        expected = dict.fromkeys((3, 4), "too_many_targets")
        assert self.rejected(pairs, max_targets=3) == expected
        assert self.rejected(pairs) == {}


class TestSettings:
    def test_every_rule_has_a_value_in_every_level(self):
        fields = {field.name for field in msgspec.structs.fields(Cleaning)}
        assert set(KEYS.values()) | set(fixes.FIXES) == set(OFF) <= fields
        for level, rules in LEVELS.items():
            cleaning = Cleaning(level=level)
            assert {key: getattr(cleaning, key) for key in OFF} == rules
            assert cleaning.is_off == (level == "off")

    def test_a_single_rule_differs_from_the_level(self):
        cleaning = msgspec.convert({"level": "off", "max_words": 7}, Cleaning)
        assert cleaning.max_words == 7
        assert cleaning.links_only is False
        assert msgspec.convert(msgspec.to_builtins(cleaning), Cleaning) == cleaning

    def test_a_level_whose_rules_are_all_those_of_another_is_refused(self):
        values = msgspec.to_builtins(Cleaning()) | {"level": "strict"}
        with pytest.raises(msgspec.ValidationError, match="every rule is given with the value of basic"):
            msgspec.convert(values, Cleaning)

    def test_a_ratio_below_one_is_refused(self):
        with pytest.raises(msgspec.ValidationError, match="max_length_ratio must be 0 or at least 1"):
            msgspec.convert({"max_length_ratio": 0.5}, Cleaning)
