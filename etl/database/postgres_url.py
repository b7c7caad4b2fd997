"""Validation of the options of a Postgres URL against libpq's own list, before connecting."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING

from etl.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sqlalchemy import URL

# Options of other tools, and libpq's equivalents.
_REPLACEMENTS = {
    **dict.fromkeys(("schema", "currentschema", "search_path"), "write options=-csearch_path%3DNAME instead"),
    **dict.fromkeys(("ssl", "usessl", "encrypt"), "write sslmode=require instead"),
    **dict.fromkeys(("timeout", "connecttimeout", "logintimeout"), "write connect_timeout=SECONDS instead"),
    **dict.fromkeys(("username", "database"), "write postgresql://user:password@host/database instead"),
}
# A replication connection runs no ordinary SQL.
_UNUSABLE = frozenset({"replication"})
_CHOICES = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": ("postgres", "direct"),
    "sslcertmode": ("disable", "allow", "require"),
    "channel_binding": ("disable", "prefer", "require"),
    "gssencmode": ("disable", "prefer", "require"),
    "load_balance_hosts": ("disable", "random"),
    "target_session_attrs": ("any", "read-write", "read-only", "primary", "standby", "prefer-standby"),
    **dict.fromkeys(("sslsni", "sslcompression", "gssdelegation"), ("0", "1")),
}
_NUMBERS = {
    "port": range(1, 65_536),
    "connect_timeout": range(-1, 2**31),
    "tcp_user_timeout": range(2**31),
    "keepalives": range(2),
    "keepalives_idle": range(2**31),
    "keepalives_interval": range(2**31),
    "keepalives_count": range(2**31),
}


def check_url(url: URL, text: str) -> None:
    """
    Raise ConfigurationError that names every option libpq does not know and every value it cannot use.

    Values from `PG…` variables and from a service file are checked as well. `text` is the URL as the user
    wrote it: part of a password that contains an @ must not be quoted as if it were an option.
    """
    defaults = dict(_defaults())
    mistakes = [
        _describe_unknown(name, value, defaults)
        for name, value in url.query.items()
        if not _is_known(name, defaults)
    ]
    mistakes += [
        mistake for name, value in _options(url) if (mistake := _check_value(name, value)) is not None
    ]
    if mistakes and text.partition("://")[2].count("@") > 1:
        raise ConfigurationError("the database URL has more than one @: write those of the password as %40")
    if mistakes:
        raise ConfigurationError(f"the database URL: {'; '.join(mistakes)}")
    named = {name for name, _ in _options(url)}
    for name, (value, variable) in defaults.items():
        mistake = None if name in named or value is None else _check_value(name, value)
        if mistake is not None:
            raise ConfigurationError(f"{variable} in the environment, or a service file: {mistake}")


def _defaults() -> Iterator[tuple[str, tuple[str | None, str]]]:
    """Yield each libpq option with its value if the URL does not set it, and its environment variable."""
    from psycopg.pq import Conninfo  # noqa: PLC0415 - an extra

    for option in Conninfo.get_defaults():
        value = None if option.val is None else option.val.decode(errors="replace")
        yield option.keyword.decode(), (value, (option.envvar or b"").decode())


def _is_known(name: str, defaults: Mapping[str, object]) -> bool:
    return name in defaults and name not in _UNUSABLE


def _options(url: URL) -> Iterator[tuple[str, str]]:
    if url.port is not None:
        yield "port", str(url.port)
    for name, value in url.query.items():
        for each in (value,) if isinstance(value, str) else value:
            yield name, each


def _describe_unknown(name: str, value: str | tuple[str, ...], defaults: Mapping[str, object]) -> str:
    advice = _REPLACEMENTS.get(name.lower(), "leave it out")
    if isinstance(value, str) and re.fullmatch(r"\w+", value):
        advice = advice.replace("NAME", value)
    if name.lower() not in _REPLACEMENTS and (
        close := difflib.get_close_matches(name.lower(), defaults, 1, 0.8)
    ):
        advice = f"write {close[0]} instead" if close[0] not in _UNUSABLE else advice
    return f"PostgreSQL has no option {name!a}: {advice}"


def _check_value(name: str, value: str) -> str | None:
    if name in _CHOICES and value not in _CHOICES[name]:
        return f"{name} cannot be {value!a}: write one of {', '.join(_CHOICES[name])}"
    if name in _NUMBERS:
        # Several hosts may have a port each; an empty one is the default.
        numbers = filter(None, value.split(",")) if name == "port" else (value,)
        if not all(_is_within(number, _NUMBERS[name]) for number in numbers):
            return (
                f"{name} cannot be {value!a}: write a number from {_NUMBERS[name][0]} to {_NUMBERS[name][-1]}"
            )
    return None


def _is_within(text: str, allowed: range) -> bool:
    try:
        return int(text) in allowed
    except ValueError:
        return False
