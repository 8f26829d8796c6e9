"""Which encoding text that is not UTF-8 is likely to have.

A table has the letters beyond ASCII of common languages by encoding. The encoding with which most of these
characters are letters of one of its languages is the likely one. For Chinese, Japanese and Korean, these are
the characters that the standards themselves list as the frequent ones.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Sequence

from bitext.components.shared.display import shell_path

SAMPLE_BYTES = 1 << 16
_NEUTRAL = frozenset("\xa0«»‹›“”„‘’‚–—…¿¡°·•€£§´`¨№«»、。「」『』（），！？：；・《》“”")
"""Characters that occur in text of many languages."""
_WEST = (
    "äöüß", "áéíóúüñ", "àâæçéèêëîïôœùûü", "àáâãçéêíóôõúü", "àèéìîòóù", "åäöé", "æøåéòô", "áðéíóúýþæö",
    "àçèéíïòóúü",
)  # fmt: skip
_CENTRAL = ("ąćęłńóśźż", "áäčďéěíĺľňóôŕřšťúůýž", "áéíóöőúüű", "čćđšž", "ăâîşţ", "äöüß")
_BALTIC = ("ąčęėįšųūž", "āčēģīķļņšūž", "äõöüšž")
_TURKISH = ("çğıöşüâî",)
_CYRILLIC = (
    "абвгдежзийклмнопрстуфхцчшщъыьэюяё",
    "абвгдежзийклмнопрстуфхцчшщьюяіїєґ",
    "абвгдђежзијклљмнњопрстћуфхцчџш",
)
_GREEK = ("αβγδεζηθικλμνξοπρσςτυφχψωάέήίόύώϊϋΐΰ",)
_HEBREW = ("אבגדהוזחטיךכלםמןנסעףפץצקרשת",)
_ARABIC = ("ءآأؤإئابةتثجحخدذرزسشصضطظعغفقكلمنهوىي", "ءآئابپتثجچحخدذرزژسشصضطظعغفقکگلمنوهی")
_THAI = ("".join(map(chr, (*range(0x0E01, 0x0E3B), *range(0x0E40, 0x0E4F)))),)
ALPHABETS: dict[str, tuple[str, ...]] = {
    "windows-1252": _WEST,
    "windows-1250": _CENTRAL,
    "iso-8859-2": _CENTRAL,
    "windows-1254": _TURKISH,
    "windows-1257": _BALTIC,
    "windows-1255": _HEBREW,
    "windows-1251": _CYRILLIC,
    "koi8-r": _CYRILLIC[:1],
    "koi8-u": _CYRILLIC[:2],
    "iso-8859-5": _CYRILLIC,
    "cp866": _CYRILLIC[:1],
    "windows-1253": _GREEK,
    "windows-1256": _ARABIC,
    "iso-8859-6": _ARABIC[:1],
    "windows-874": _THAI,
    "macintosh": _WEST,
    "cp850": _WEST,
}
"""The letters beyond ASCII of the languages that are written in an encoding, by the name that iconv uses.
Of two encodings in which a text is equally likely, the first is chosen."""
FREQUENT: dict[str, tuple[str, str, int]] = {
    "shift_jis": ("cp932", "euc_jp", 0xCF),
    "cp949": ("cp949", "euc_kr", 0xC8),
    "euc-jp": ("euc_jp", "euc_jp", 0xCF),
    "gb18030": ("gb18030", "gb2312", 0xD7),
    "big5": ("big5", "big5", 0xC6),
}
"""Encodings of Chinese, Japanese and Korean: Python's codec; and the codec in which the first byte of the
frequent characters is at most this number."""
_CODECS = {"windows-874": "cp874", "macintosh": "mac_roman"} | {
    f"windows-{page}": f"cp{page}" for page in range(1250, 1258)
}
_LATIN = frozenset(
    name for name, alphabets in ALPHABETS.items() if "LATIN" in unicodedata.name(alphabets[0][0])
)
_MIXED = re.compile(r"[A-Za-z](?=[^\W\d_A-Za-z])|[^\W\d_A-Za-z](?=[A-Za-z])")
_MARK_ALONE = re.compile(r"(?<![^\W\d_\u0591-\u05c7])(?<![\u0591-\u05c7])[\u05b0-\u05c2]")
"""A vowel mark of Hebrew that is not after a letter: in other encodings, its byte is a capital letter."""
_LEAST_SCORE = 0.6
_MARGIN = 0.02
"""Encodings whose scores differ by at most this much are about equally likely."""
_OR = " or "
_HIRAGANA = "".join(map(chr, range(0x3041, 0x3094)))
_COMMON = {
    "shift_jis": _HIRAGANA,
    "cp949": "이다는을가의에하를은고지니기",
    "euc-jp": _HIRAGANA,
    "gb18030": "的一是不了人我在有他这中大来",
    "big5": "的一是不了人我在有他這中大來",
}
_LEAST_COMMON = 0.1
_KANA, _BEYOND_KOREAN = 0.05, 0.1
"""Least shares of the characters: kana in Japanese, and in Chinese those with a first byte over 0xC8."""
_MANY = 20
"""Fewer characters do not show that Chinese is unlikely."""


@dataclasses.dataclass
class LineCounts:
    """How many lines of a text are UTF-8. The fields are sums over the blocks that are added.

    Attributes:
      lines: lines that are not empty.
      beyond_ascii: lines with bytes beyond ASCII.
      invalid: lines that are not UTF-8.
      sample: the first lines that are not UTF-8.
    """

    lines: int = 0
    beyond_ascii: int = 0
    invalid: int = 0
    sample: bytes = b""

    def add(self, lines: Sequence[bytes]) -> list[int]:
        """Counts the lines of a block. Returns the indices of the lines that are not UTF-8."""
        invalid = []
        self.lines += sum(map(bool, lines))
        for index, line in enumerate(lines):
            if line.isascii():
                continue
            self.beyond_ascii += 1
            if not is_utf8(line):
                invalid.append(index)
        self.invalid += len(invalid)
        room = max(0, SAMPLE_BYTES - len(self.sample))
        self.sample += b"\n".join(lines[index] for index in invalid)[:room] + b"\n" * bool(invalid)
        return invalid

    def is_foreign(self, minimum: int) -> bool:
        """Whether the text as a whole is not UTF-8: not a few damaged lines only.

        So it is if at least `minimum` lines, a tenth of all lines, and half of those with bytes beyond
        ASCII are not UTF-8.
        """
        return (
            self.invalid >= minimum
            and 10 * self.invalid >= self.lines
            and 2 * self.invalid > self.beyond_ascii
        )


def is_utf8(data: bytes) -> bool:
    """Whether bytes are UTF-8."""
    if data.isascii():
        return True
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def codec_of(encoding: str) -> str:
    """Python's name of an encoding that `likely_encoding` names, which may be unknown."""
    return FREQUENT[encoding][0] if encoding in FREQUENT else _CODECS.get(encoding, encoding)


def fault(line: bytes) -> str:
    """What is wrong with a line that is not UTF-8: `byte 0xe9 at 3, invalid continuation byte`."""
    try:
        line.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"byte 0x{line[error.start]:02x} at {error.start}, {error.reason}"
    return ""


def likely_encoding(sample: bytes) -> str:
    """The likely encoding of text that is not UTF-8, by the name that iconv uses; "" if none is likely.

    Encodings of Chinese, Japanese and Korean that are about equally likely are all named: `big5 or gb18030`.
    """
    scores = {name: _score_of_frequent(sample, name) for name in FREQUENT}
    scores |= {name: _score_of_letters(sample, name) for name in ALPHABETS}
    best = max(scores, key=lambda name: scores[name])
    if scores[best] < _LEAST_SCORE:
        return ""
    if best in ALPHABETS:
        return best
    likely = [name for name in FREQUENT if scores[name] >= scores[best] - _MARGIN]
    return _OR.join([name for name in likely if len(likely) > 1 and _has_common(sample, name)] or likely)


def _has_common(sample: bytes, name: str) -> bool:
    """Whether text has, in an encoding, some of the most common characters of its language."""
    characters = [c for c in _decoded(sample, FREQUENT[name][0]) or "" if not c.isascii()]
    return sum(map(_COMMON[name].__contains__, characters)) > _LEAST_COMMON * len(characters)


def remedy(encoding: str, path: str | None) -> str:
    """How to convert a file, or standard input if there is no path, to UTF-8."""
    if _OR in encoding:
        return "convert it to UTF-8: find out in which of these encodings it was written"
    source = encoding.upper() or "ENCODING"
    command = f"iconv -f {source} -t UTF-8"
    return f"convert it to UTF-8: {command} {shell_path(path)}" if path else f"convert it to UTF-8: {command}"


def _decoded(sample: bytes, codec: str) -> str | None:
    try:
        return sample.decode(codec)
    except UnicodeDecodeError as error:
        cut_at_end = error.start >= len(sample) - 4 and "incomplete" in error.reason
        return sample[: error.start].decode(codec) if cut_at_end else None


def _score_of_letters(sample: bytes, name: str) -> float:
    """The share of the characters that are letters of one language, with less weight on capitals."""
    text = _decoded(sample, _CODECS.get(name, name))
    if text is None:
        return 0.0
    text = _MARK_ALONE.sub("\x80", text)
    characters = [c for c in text if not c.isascii() and c not in _NEUTRAL]
    if not characters:
        return 0.0
    # Words are not written in two scripts.
    mixed = 0 if name in _LATIN else len(_MIXED.findall(text))
    return max(
        (sum(_weight(c, letters) for c in characters) - mixed) / len(characters)
        for letters in map(frozenset, ALPHABETS[name])
    )


def _weight(character: str, letters: frozenset[str]) -> float:
    if character in letters:
        return 1.0
    if character.lower() in letters:
        return 0.4
    # A mark of vowels (Arabic, Hebrew) is neither a letter nor an error.
    return 0.6 if unicodedata.category(character) == "Mn" else -1.0


def _score_of_frequent(sample: bytes, name: str) -> float:
    """The share of the characters that are frequent by the standard of the language.

    It is 0 if the characters are not those of the language: Japanese has kana, and Chinese does not; Chinese
    has characters beyond the range that GB 2312 shares with the syllables of Korean.
    """
    codec, standard, last = FREQUENT[name]
    text = _decoded(sample, codec)
    characters = [c for c in text or "" if not c.isascii() and c not in _NEUTRAL]
    if not characters:
        return 0.0
    if name in ("euc-jp", "gb18030"):
        has_kana = sum("\u3041" <= c <= "\u30fe" for c in characters) >= _KANA * len(characters)
        if has_kana != (name == "euc-jp"):
            return 0.0
    frequent = beyond_korean = 0
    for character in characters:
        encoded = character.encode(standard, "ignore")
        # Two bytes: no half-width katakana, which other text looks like.
        frequent += len(encoded) == 2 and (
            0xB0 <= encoded[0] <= last if standard == "euc_kr" else encoded[0] <= last
        )
        beyond_korean += encoded[:1] > b"\xc8"
    if name == "gb18030" and len(characters) >= _MANY and beyond_korean < _BEYOND_KOREAN * len(characters):
        return 0.0
    return frequent / len(characters)
