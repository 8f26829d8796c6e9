"""Sentence pairs from gettext catalogs (.mo files): English message ids and their translations."""

from __future__ import annotations

import gettext
import html
import re
import struct
from collections.abc import Callable, Iterable, Iterator

from bitext.components.shared.errors import DataError

Pair = tuple[str, str]

_MAGIC = 0x950412DE
_CONTEXT_END = "\x04"
_MANY = (
    100  # "0 files" and "2 files" have forms of their own in some languages; "100 files" has the general one
)
_SPACE = re.compile("[ \t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]+")
_LETTER = re.compile(r"[^\W\d_]")
# Only names of HTML: "<none>" and "<number>" are texts that a person reads.
_INLINE = "a|abbr|b|code|em|font|i|img|kbd|label|q|small|span|strong|sub|sup|tt|u|var"
_BLOCK = "blockquote|br|button|dd|div|dl|dt|h[1-6]|hr|input|li|ol|p|pre|summary|table|tbody|td|th|tr|ul"
_TAG = re.compile(rf"</?(?:({_INLINE})|{_BLOCK})(?:\s[^<>]*)?/?>", re.IGNORECASE)
# Keyboard accelerators: `_File`, `~File`, and in Chinese, Japanese and Korean `(_F)` after the text.
_BRACKETED = re.compile(r"\s*[(（]\s*[_~]\w\s*[)）]")
_ACCELERATOR = re.compile(r"[_~](?=[^\W_])")
_PLACEHOLDER = re.compile(r"[%$<][({]?\w*[_~]")


def clean(source: str, target: str, accelerators: bool = False) -> Pair | None:
    """The texts of a message as a person reads them, or None if they are no translation.

    Tags of HTML are taken out, white space (tabs and line ends too) becomes one space, placeholders such as
    `%s`, `{name}` and `$(ARG1)` stay. A message is left out if it has no letters or no translation, or if the
    translation has the letters and digits of the English text.

    Args:
      source: the English text.
      target: its translation.
      accelerators: take out the marks of keyboard accelerators, `_` and `~`.
    """
    source, target = _plain(source), _plain(target)
    if accelerators:
        source, target = _without_accelerator(source), _without_accelerator(target)
    if not (_LETTER.search(source) and _LETTER.search(target)) or _letters(source) == _letters(target):
        return None
    return source, target


def _letters(text: str) -> str:
    """The letters and digits of a text, without their case."""
    return "".join(filter(str.isalnum, text)).casefold()


def _without_accelerator(text: str) -> str:
    """Text without its one `_` or `~` before a letter; `%FILE_NAME` and `_underlined_` stay."""
    text = _BRACKETED.sub("", text)
    if text.count("_") + text.count("~") == 1 and not _PLACEHOLDER.search(text):
        text = _ACCELERATOR.sub("", text)
    return text.strip(" ")


def _plain(text: str) -> str:
    """Text without tags of HTML and with single spaces."""
    if "<" in text and _TAG.search(text):
        text = html.unescape(_TAG.sub(lambda tag: "" if tag[1] else " ", text))
    return _SPACE.sub(" ", text).strip(" ")


def unique_pairs(pairs: Iterable[Pair], accelerators: bool = False) -> list[Pair]:
    """The cleaned pairs in the order of their first occurrence, each once."""
    cleaned = (clean(source, target, accelerators) for source, target in pairs)
    return list(dict.fromkeys(pair for pair in cleaned if pair))


def read_catalog(content: bytes, name: str) -> Iterator[Pair]:
    """Yields the English text and the translation of every message of a .mo file.

    The standard library's `gettext` looks up single messages and forgets `msgid_plural`; a corpus needs both.
    Contexts (`msgctxt`) are dropped. A message with a plural yields its singular with the form for 1, and its
    plural with the form for many; languages with one form yield the plural only.

    Args:
      content: the bytes of the file.
      name: names the file in the error.

    Raises:
      DataError: the content is no .mo file.
    """
    try:
        entries = list(_entries(content))
        header = next((value for key, value in entries if not key), b"").decode("utf-8", "replace")
        charset = re.search(r"charset=([\w-]+)", header)
        encoding = charset[1] if charset else "utf-8"
        texts = [(key.decode(encoding), value.decode(encoding)) for key, value in entries if key]
        form = _plural_rule(header)
    except (struct.error, ValueError, LookupError) as error:
        raise DataError(f"{name} is no gettext catalog: {error}", "run the command again") from error
    for key, value in texts:
        singular, _, plural = key.rpartition(_CONTEXT_END)[2].partition("\0")
        forms = value.split("\0")
        if not plural:
            yield singular, forms[0]
            continue
        one, many = form(1), form(_MANY)
        if one != many and one < len(forms):
            yield singular, forms[one]
        if many < len(forms):
            yield plural, forms[many]


def _plural_rule(header: str) -> Callable[[int], int]:
    """The function from a number to the index of its form."""
    rule = re.search(r"Plural-Forms:[^\n]*plural=([^;\n]+)", header)
    return gettext.c2py(rule[1].strip()) if rule else lambda number: int(number != 1)


def _entries(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the raw keys and values (https://www.gnu.org/software/gettext/manual/html_node/MO-Files.html)."""
    order = next((o for o in "<>" if struct.unpack_from(f"{o}I", content)[0] == _MAGIC), None)
    if order is None:
        raise ValueError("it does not begin with the magic number")
    _, _, count, keys, values = struct.unpack_from(f"{order}5I", content)
    for index in range(count):
        pair = []
        for table in (keys, values):
            length, start = struct.unpack_from(f"{order}2I", content, table + 8 * index)
            if start + length > len(content):
                raise ValueError("it is cut off")
            pair.append(content[start : start + length])
        yield pair[0], pair[1]
