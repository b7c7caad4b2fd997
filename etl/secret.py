"""
Secrets that do not print, and text cleaned of them (promise P10).

Text that somebody else wrote (a driver, a server, a library, the user's own input) is cleaned with `clean`
where it enters a message, so that our own words around it stay whole whatever a password is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote

if TYPE_CHECKING:
    from collections.abc import Callable

MASK = "***"
# Shorter pieces of a key are ordinary words and numbers; masking those would garble every message.
SHORTEST_PIECE = 6
_PASSWORD_OPTIONS = ("password", "sslpassword")
# `user:password@` after `://`, up to the last @ that the word holds.
_LOGIN = re.compile(r"(?<=://)([^\s/:@]*):[^\s\"']*@")


class Secret:
    """A string that shows as `***` wherever it is printed, logged or dumped."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Give the secret itself, for the one header that carries it."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a secret is not pickled")

    def redact(self, text: str) -> str:
        """
        Mask the secret in `text`, and every piece of it that is six characters or longer.

        In capitals or not: whoever takes it for the name of a host writes it small. A secret that is shorter
        is masked where it stands by itself: inside other words it is only a syllable.
        """
        if 0 < len(self._value) < SHORTEST_PIECE:
            whole = rf"(?<![^\W_]){re.escape(self._value)}(?![^\W_])"
            return re.sub(whole, MASK, text, flags=re.IGNORECASE)
        return self._mask_pieces(text, lambda _piece: True)

    def redact_unmistakable(self, text: str) -> str:
        """Mask the secret and its pieces where they mix letters and digits, as no words of ours do."""
        return self._mask_pieces(text, _is_mixed)

    def _mask_pieces(self, text: str, is_meant: Callable[[str], bool]) -> str:
        value = self._value.lower()
        start = 0
        while start <= len(text) - SHORTEST_PIECE:
            end = start + SHORTEST_PIECE
            if text[start:end].lower() not in value:
                start += 1
                continue
            while end < len(text) and text[start : end + 1].lower() in value:
                end += 1
            if not is_meant(text[start:end]):
                start += 1
                continue
            text = f"{text[:start]}{MASK}{text[end:]}"
            start += len(MASK)
        return text


# Everything that this process was told and must not show.
_secrets: dict[Secret, None] = {}


def register_secret(*secrets: Secret | None) -> None:
    """Mask these from now on wherever `clean` and `clean_line` are used."""
    _secrets.update(dict.fromkeys(secret for secret in secrets if secret is not None))


def register_password(url: str) -> None:
    """
    Mask the passwords in the URL of a database or a proxy, as they are written there and as they are meant.

    One that should have been quoted is read as far as it may reach: rather too much is masked.
    """
    if url.lstrip().startswith("sqlite"):
        return
    _, scheme, rest = url.partition("://")
    login = (rest if scheme else url).rpartition("@")[0]
    options = dict(parse_qsl(url.partition("?")[2]))
    for password in (login.partition(":")[2], *map(options.get, _PASSWORD_OPTIONS)):
        if password:
            register_secret(Secret(password), Secret(unquote(password)))


def clean(text: str) -> str:
    """Return text that somebody else wrote without any secret, and without passwords in URLs."""
    text = mask_logins(text)
    for secret in _secrets:
        text = secret.redact(text)
    return text


def clean_line(text: str) -> str:
    """
    Return a finished message of ours without the secrets that are unmistakable, our own words untouched.

    What it quotes was cleaned by `clean` already; this is the second net.
    """
    for secret in _secrets:
        text = secret.redact_unmistakable(text)
    return text


def mask_logins(text: str) -> str:
    """Return `text` with `***` for the password in each URL that it holds."""
    return _LOGIN.sub(rf"\1:{MASK}@", text)


def _is_mixed(piece: str) -> bool:
    return any(map(str.isdigit, piece)) and any(map(str.isalpha, piece))
