"""Text for people: counted nouns, and text without control characters."""

from __future__ import annotations

import pytest

from etl.text import counted, printable


@pytest.mark.parametrize(
    "number, text", [(0, "0 tasks"), (1, "1 task"), (2, "2 tasks"), (1234567, "1,234,567 tasks")]
)
def test_noun_agrees_with_its_number(number, text):
    assert counted(number, "task") == text


@pytest.mark.parametrize("number, text", [(1, "1 index is"), (2, "2 indexes are")])
def test_irregular_plural_is_given(number, text):
    assert counted(number, "index is", plural="indexes are") == text


@pytest.mark.parametrize("character", ["\x1b", "\n", "\x00", "\x9b", "\u202e", "\ud800"])
def test_control_characters_are_replaced(character):
    assert printable(f"a{character}b") == "a b"
    assert printable(f"a{character}b", instead="\ufffd") == "a\ufffdb"


def test_other_text_is_kept():
    assert printable("Grüße, 世界, 1 ½") == "Grüße, 世界, 1 ½"
