"""
Secrets that print as `***`, and masking of secrets in text (promise P10).

Text from elsewhere (a driver, a server, a library, user input) is masked with `clean` where it enters a
message, so that our own words around it stay whole, whatever the password is.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote

MASK = "***"
# Shorter pieces of a key are also common words and numbers, whose masking would garble messages.
MIN_PIECE_LENGTH = 6
_PASSWORD_OPTIONS = ("password", "sslpassword")
# `user:password@` after `://`, up to the last @ in the word.
_LOGIN = re.compile(r"(?<=://)([^\s/:@]*):[^\s\"']*@")


class Secret:
    """A string that shows as `***` wherever it is printed, logged or dumped."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself, for the header that sends it."""
        return self._value

    def __repr__(self) -> str:
        return MASK

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a secret cannot be pickled")

    def redact(self, text: str) -> str:
        """
        Return `text` with the secret, and every piece of it with at least six characters, masked.

        Case is ignored, because a secret taken for a host name is converted to lower case. A shorter secret
        is masked only where it is a whole word.
        """
        if 0 < len(self._value) < MIN_PIECE_LENGTH:
            whole = rf"(?<![^\W_]){re.escape(self._value)}(?![^\W_])"
            return re.sub(whole, MASK, text, flags=re.IGNORECASE)
        return self._mask_pieces(text)

    def redact_unmistakable(self, text: str) -> str:
        """Return `text` with pieces that mix letters and digits masked, as our own words never do."""
        return self._mask_pieces(text, only_mixed=True)

    def _mask_pieces(self, text: str, *, only_mixed: bool = False) -> str:
        value = self._value.lower()
        start = 0
        while start <= len(text) - MIN_PIECE_LENGTH:
            end = start + MIN_PIECE_LENGTH
            if text[start:end].lower() not in value:
                start += 1
                continue
            while end < len(text) and text[start : end + 1].lower() in value:
                end += 1
            if only_mixed and not _is_mixed(text[start:end]):
                start += 1
                continue
            text = f"{text[:start]}{MASK}{text[end:]}"
            start += len(MASK)
        return text


# All secrets known to this process.
known_secrets: dict[Secret, None] = {}


def register_secret(*secrets: Secret | None) -> None:
    """Make `clean` and `clean_line` mask these secrets from now on."""
    known_secrets.update(dict.fromkeys(secret for secret in secrets if secret is not None))


def register_password(url: str) -> None:
    """
    Register the passwords in the URL of a database or proxy, both percent-encoded and decoded.

    In a URL that is not encoded correctly, the longest possible password is registered.
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
    """Return text from elsewhere with all secrets, and passwords in URLs, masked."""
    text = mask_logins(text)
    for secret in known_secrets:
        text = secret.redact(text)
    return text


def clean_line(text: str) -> str:
    """
    Return a complete message of ours with unmistakable secrets masked.

    Quoted text has already been masked by `clean`; this is a second line of defence.
    """
    for secret in known_secrets:
        text = secret.redact_unmistakable(text)
    return text


def mask_logins(text: str) -> str:
    """Return `text` with the password of each URL replaced by `***`."""
    return _LOGIN.sub(rf"\1:{MASK}@", text)


def _is_mixed(piece: str) -> bool:
    return any(map(str.isdigit, piece)) and any(map(str.isalpha, piece))
