"""P10: secrets are never shown, and every recognizable piece of them is masked in text."""

from __future__ import annotations

import copy
import json
import logging
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl import secret
from etl.secret import MASK, MIN_PIECE_LENGTH, Secret, clean, clean_line, register_password, register_secret

KEY = "1234$9f0c5be1d2a84f7793c6e0ab51d87f64c2e19a5b"
# The characters of keys, except the `*` of the mask: a mask could otherwise contain a piece of the key.
CHARACTERS = st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="*")
KEYS = st.text(CHARACTERS, min_size=MIN_PIECE_LENGTH, max_size=50) | st.text(
    "ab$", min_size=MIN_PIECE_LENGTH, max_size=50
)


def pieces(value: str, size: int = MIN_PIECE_LENGTH) -> set[str]:
    return {value[start : start + size] for start in range(len(value) - size + 1)}


@pytest.mark.parametrize("show", [str, repr, "{}".format, "{!r}".format, "%s".__mod__, ascii])
def test_secret_is_masked_when_printed(show):
    assert show(Secret(KEY)) == MASK
    assert show([Secret(KEY)]) == f"[{MASK}]"


def test_secret_is_masked_in_logs(caplog):
    with caplog.at_level(logging.WARNING):
        logging.getLogger("test").warning("the key is %s", Secret(KEY))
    assert caplog.messages == [f"the key is {MASK}"]


@pytest.mark.parametrize("leave", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, vars])
def test_secret_cannot_be_copied_or_serialized(leave):
    with pytest.raises(TypeError) as caught:
        leave(Secret(KEY))
    assert not any(piece in str(caught.value) for piece in pieces(KEY))


def test_secrets_compare_by_value():
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
def test_pieces_of_at_least_six_characters_are_masked(text, clean):
    assert Secret(KEY).redact(text) == clean


@pytest.mark.parametrize(
    "text, clean",
    [
        ("a pw here", "a *** here"),
        ("user:PW@host", "user:***@host"),
        ("password=pw;", "password=***;"),
        ("_pw_", "_***_"),
        ("a p here", "a p here"),
        ("pwpw", "pwpw"),
        ("spwn 1pw", "spwn 1pw"),
    ],
)
def test_short_secret_is_masked_as_whole_word(text, clean):
    assert Secret("pw").redact(text) == clean


@pytest.mark.parametrize("value", ["e", "$", ".", "5", "etl", "gcore"])
def test_short_secret_is_not_masked_inside_words(value):
    text = "the server refused the letter settle [etled] at 15.55: gcores"
    assert Secret(value).redact(text) == text
    assert Secret(value).redact(f"password is {value} there") == "password is *** there"


@pytest.mark.parametrize(
    "text, clean",
    [
        (f"the key {KEY}.", "the key ***."),
        (f"…{KEY[8:16]}…", "…***…"),
        ("[postgres] at 1234$", "[postgres] at 1234$"),
        ("", ""),
    ],
)
def test_redact_unmistakable_keeps_ordinary_words(text, clean):
    assert Secret(KEY).redact_unmistakable(text) == clean
    assert Secret("postgres!2024").redact_unmistakable("needs postgres") == "needs postgres"
    assert Secret("postgres!2024").redact_unmistakable("is postgres!2024.") == "is ***."


def test_empty_secret_masks_nothing():
    assert Secret("").redact("any text") == "any text"


@st.composite
def texts_with_pieces(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a secret, and a text with long and short pieces of it between other words."""
    value = draw(KEYS)
    ends = st.tuples(st.integers(0, len(value)), st.integers(0, len(value)))
    piece = ends.map(lambda pair: value[min(pair) : max(pair)])
    parts = draw(st.lists(st.text(max_size=5) | piece | piece.map(str.upper), max_size=8))
    return value, "".join(parts)


@given(texts_with_pieces())
def test_no_six_character_piece_survives_redaction(drawn):
    value, text = drawn
    clean = Secret(value).redact(text)
    for piece in pieces(value):
        assert not any(shown in clean for shown in (piece, piece.lower(), piece.upper()))


@given(KEYS, st.text(max_size=60))
def test_text_without_secret_pieces_is_unchanged(value, text):
    secret = Secret(value)
    if not any(piece.lower() in text.lower() for piece in pieces(value)):
        assert secret.redact(text) == text
    assert secret.redact(secret.redact(text)) == secret.redact(text)


@pytest.fixture
def no_secrets(monkeypatch) -> None:
    monkeypatch.setattr(secret, "known_secrets", {})


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://user:{}@host/database",
        "postgresql://user@host/database?password={}",
        "postgresql://host/d?user=u&sslpassword={}&sslmode=require",
        "http://user:{}@proxy.example:3128",
        "user:{}@proxy.example:3128",
        "socks5://user:{}@[::1]:1080",
    ],
)
@pytest.mark.parametrize("password", ["s3cr3t-Zk9wQ", "a%40b9cdefg"])
@pytest.mark.usefixtures("no_secrets")
def test_url_password_is_masked_encoded_and_decoded(url, password):
    register_password(url.format(password))
    for shown in (password, password.replace("%40", "@"), url.format(password)):
        assert shown not in clean(f"the server says: {shown}.")
        assert shown not in clean_line(f"the server says: {shown}.")


@pytest.mark.usefixtures("no_secrets")
def test_clean_masks_passwords_of_unregistered_urls():
    assert (
        clean("proxy http://me:pw@host:1 and ftp://a@b/c") == f"proxy http://me:{MASK}@host:1 and ftp://a@b/c"
    )
    assert clean_line("write postgresql://user:password@host/database") == (
        "write postgresql://user:password@host/database"
    )


@pytest.mark.usefixtures("no_secrets")
@pytest.mark.parametrize(
    "url", ["sqlite:///a:b@c.db", "postgresql://user@host/d", "postgresql:///d", "", "x"]
)
def test_url_without_password_masks_nothing(url):
    register_password(url)
    assert clean(f"at {url}") == f"at {url}"


@pytest.mark.usefixtures("no_secrets")
@given(st.text(CHARACTERS, max_size=20), st.text(st.characters(categories=["L", "Zs"]), max_size=60))
def test_clean_line_never_masks_words_without_digits(value, words):
    register_secret(Secret(value))
    assert clean_line(words) == words
