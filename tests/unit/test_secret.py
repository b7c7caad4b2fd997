"""P10: a secret does not show, and text is cleaned of every piece of it that could be recognized."""

from __future__ import annotations

import copy
import json
import logging
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl.secret import MASK, SHORTEST_PIECE, Secret

KEY = "1234$9f0c5be1d2a84f7793c6e0ab51d87f64c2e19a5b"
# As keys are, but for the letter of the mask: with it, what is masked would show a piece of the key again.
CHARACTERS = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*")
KEYS = st.text(CHARACTERS, min_size=1, max_size=50) | st.text("ab$", min_size=1, max_size=50)


def pieces(value: str, size: int = SHORTEST_PIECE) -> set[str]:
    size = min(size, len(value))
    return {value[start : start + size] for start in range(len(value) - size + 1)}


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r}".format, "%s".__mod__, ascii])
def test_a_secret_shows_as_stars(show):
    assert show(Secret(KEY)) == MASK
    assert show([Secret(KEY)]) == f"[{MASK}]"


def test_a_secret_that_is_logged_shows_as_stars(caplog):
    with caplog.at_level(logging.WARNING):
        logging.getLogger("test").warning("the key is %s", Secret(KEY))
    assert caplog.messages == [f"the key is {MASK}"]


@pytest.mark.parametrize("leave", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, vars])
def test_a_secret_leaves_in_no_other_way(leave):
    with pytest.raises(TypeError) as caught:
        leave(Secret(KEY))
    assert not any(piece in str(caught.value) for piece in pieces(KEY))


def test_a_secret_is_what_it_holds():
    assert Secret(KEY).reveal() == KEY
    assert Secret(KEY) == Secret(KEY) != Secret(f"{KEY}.")
    assert Secret(KEY) != KEY
    assert len({Secret(KEY), Secret(KEY)}) == 1


@pytest.mark.parametrize(
    "text, clean",
    [
        (KEY, "***"),
        (f"key {KEY}.", "key ***."),
        (f"APIKey {KEY[:20]}", "APIKey ***"),
        (f"…{KEY[10:16]}…", "…***…"),
        (f"…{KEY[10:15]}…", f"…{KEY[10:15]}…"),
        (f"{KEY[3:10]} and {KEY[30:]}", "*** and ***"),
        (f"{KEY}{KEY}", "******"),
        ("1234%249f0c5be1d2a84f7793", "1234%24***"),
        (f"http://{KEY[5:].upper()}.example", "http://***.example"),
        ("Bad Request", "Bad Request"),
        ("", ""),
    ],
)
def test_pieces_of_six_and_more_are_masked(text, clean):
    assert Secret(KEY).redact(text) == clean


@pytest.mark.parametrize(
    "text, clean", [("a pw here", "a *** here"), ("a p here", "a p here"), ("pwpw", "******")]
)
def test_a_short_secret_is_masked_as_a_whole(text, clean):
    assert Secret("pw").redact(text) == clean


def test_an_empty_secret_masks_nothing():
    assert Secret("").redact("any text") == "any text"


@st.composite
def texts_with_pieces(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a secret, and a text in which pieces of it, long and short, stand between other words."""
    value = draw(KEYS)
    ends = st.tuples(st.integers(0, len(value)), st.integers(0, len(value)))
    piece = ends.map(lambda pair: value[min(pair) : max(pair)])
    parts = draw(st.lists(st.text(max_size=5) | piece | piece.map(str.upper), max_size=8))
    return value, "".join(parts)


@given(texts_with_pieces())
def test_no_piece_of_six_is_left_in_any_text(drawn):
    value, text = drawn
    clean = Secret(value).redact(text)
    for piece in pieces(value):
        assert not any(shown in clean for shown in (piece, piece.lower(), piece.upper()))


@given(KEYS, st.text(max_size=60))
def test_text_without_a_piece_is_left_alone(value, text):
    secret = Secret(value)
    if not any(piece.lower() in text.lower() for piece in pieces(value)):
        assert secret.redact(text) == text
    assert secret.redact(secret.redact(text)) == secret.redact(text)
