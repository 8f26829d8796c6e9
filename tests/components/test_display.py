"""Text on a terminal, in the log and in reports: escaped control characters, isolated right-to-left text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitext.components.shared.display import isolate, message_lines, printable, quoted

ANY_TEXT = st.text(st.characters())  # lone surrogates included


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("a\rb\x07\x00\x7f", "a\\x0db\\x07\\x00\\x7f"),
        ("\x9b31m", "\\x9b31m"),
        ("gpj.\u202etxt", "gpj.\\u202etxt"),
        ("a\u2028b", "a\\u2028b"),
        (b"f\xff.tsv".decode("utf-8", "surrogateescape"), "f\\xff.tsv"),
        ("\ud800", "\\ud800"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("¿Dónde está? 日本語 می‌خواهم 👩‍🚀", "¿Dónde está? 日本語 می‌خواهم 👩‍🚀"),
    ],
)
def test_characters_that_are_not_text_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


@given(ANY_TEXT)
def test_printable_text_can_be_encoded_and_has_no_control_characters(text: str) -> None:
    shown = printable(text)
    shown.encode()
    assert not {c for c in shown if unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp")} - {"\n", "\t"}
    assert printable(shown) == shown


def test_a_line_break_in_a_file_name_cannot_forge_a_message() -> None:
    message = message_lines("no file matches a\nerror: forged\r\n  shown rows")
    assert message == "no file matches a\n  error: forged\\x0d\n  shown rows"


@pytest.mark.parametrize("text", ["Hello, world!", "¿Dónde?", "你好", "สวัสดี", "नमस्ते", ""])
def test_left_to_right_text_is_not_changed(text: str) -> None:
    assert isolate(text) == text


@pytest.mark.parametrize("text", ["שלום", "مرحبا (1)", "say שלום"])
def test_right_to_left_text_is_isolated(text: str) -> None:
    assert isolate(text) == f"\u2068{text}\u2069"


@given(ANY_TEXT)
def test_isolates_are_balanced_whatever_the_text_has(text: str) -> None:
    shown = isolate(text)
    assert shown.count("\u2068") == shown.count("\u2069") <= 1
    assert shown == printable(shown) or printable(text) != text


def test_quoted_text_shows_what_is_invisible() -> None:
    assert quoted("a\u200b\x1b") == "'a\\u200b\\x1b'"
