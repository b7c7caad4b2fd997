"""
Who and where: the settings, and the only reader of the environment.

Strongest first: an option of the command line, a variable of the environment, the default below.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import os
import re
import unicodedata
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from etl.errors import ConfigurationError
from etl.secret import Secret, register_password, register_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MIN_RATE, MAX_RATE = 0.001, 1_000_000
# Each request under way has a thread and a connection of its own.
MAX_CONCURRENCY = 100
# Files with variables, CI settings and word processors leave quotes where a shell takes them away.
_CLOSING_QUOTES = {"'": "'", '"': '"', "`": "`", "\u2018": "\u2019", "\u201c": "\u201d", "\u00ab": "\u00bb"}
# What is copied along: a line of a shell or of a file with variables, a header, its scheme.
_PREFIX = re.compile(
    r"(?:export\s+|set\s+|\$env:)?(?:GCORE_API_KEY|GCORE_APIKEY)\s*[=:]\s*|Authorization\s*:\s*|(?:APIKey|Bearer)(?:\s+|$)",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"\$\{.*\}|\$\(.*\)|\$[A-Za-z_]\w*|%\w+%|<.*>")
_IN_NO_KEY = frozenset("'\"`\\")
# Besides our own: Gcore's command line reads the second, libpq the third.
_SECRET_VARIABLES = {"GCORE_API_KEY", "GCORE_APIKEY", "PGPASSWORD"}
DATE_FILTERS = ("gte", "lte", "day", "exact", "ignored", "rejected")


def parse_duration(text: str) -> dt.timedelta:
    """
    Read `90s`, `5m`, `1h` or `2d`.

    Raises ValueError for anything else, zero and negative spans included.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration: write 90s, 5m, 1h or 2d")
    unit = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}[match[2]]
    try:
        span = dt.timedelta(**{unit: float(match[1])})
    except OverflowError:
        raise ValueError(f"{text!r} is longer than any calendar") from None
    if not dt.timedelta(0) < span <= dt.timedelta(days=36_500):
        raise ValueError(f"{text!r} is not a duration between zero and a hundred years")
    return span


def format_duration(span: dt.timedelta) -> str:
    """Write a span the way `parse_duration` reads it, in the largest unit that fits it whole."""
    seconds = span.total_seconds()
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"


def parse_api_key(text: str) -> Secret:
    """
    Accept a key as it is pasted: with white space, quotes, or the name of a variable or header around it.

    Raises ValueError, without the key in it, for what no key can be.
    """
    key = _without_wrapping(text)
    if not key:
        raise ValueError("is empty")
    if not all("!" <= character <= "~" for character in key):
        raise ValueError("holds white space or other characters that no API key has")
    if _REFERENCE.fullmatch(key):
        raise ValueError("holds the name of a variable or a command, which nothing has replaced by the key")
    if foreign := sorted(set(key) & _IN_NO_KEY):
        raise ValueError(
            f"holds {foreign[0]}, which no API key has: paste the key alone, as the portal showed it"
        )
    return Secret(key)


def is_well_formed(key: Secret) -> bool:
    """Return whether a key has the form that the portal gives keys: the token's number, $ or _, and more."""
    return re.fullmatch(r"\d+[$_].+", key.reveal()) is not None


def _without_wrapping(text: str) -> str:
    """Take away what is certainly no part of a key, in whatever order it is wrapped around it."""
    text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    while (key := _PREFIX.sub("", _bare(text), count=1)) != text:
        text = key
    return key


def _bare(text: str) -> str:
    """Return a text without the quotes, white space and byte order mark around it."""
    while True:
        bare = text.strip().strip("\ufeff\u200b\u2060")
        if len(bare) > 1 and _CLOSING_QUOTES.get(bare[0]) == bare[-1]:
            bare = bare[1:-1]
        if bare == text:
            return bare
        text = bare


def parse_base_url(text: str) -> str:
    """Accept an http(s) URL with or without a path or quotes; the answer has no slash at its end."""
    text = _bare(text)
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").encode("idna")  # refuses what no name server can be asked for
        valid = parts.scheme in {"http", "https"} and bool(host) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid or " " in text or not text.isprintable():
        raise ValueError("is not a URL such as https://api.gcore.com")
    if parts.username or parts.password:
        raise ValueError("must not hold a user or a password; the key goes into GCORE_API_KEY")
    if parts.query or parts.fragment:
        raise ValueError("must end before any ? or #")
    return text.rstrip("/")


def parse_database_url(text: str) -> str:
    """Accept what can be the address of a database; whether it is one is found out when it is opened."""
    text = text.strip()
    if "\0" in unquote(text):
        raise ValueError("holds a zero character, which no file and no server has in its name")
    if not text.startswith("sqlite"):  # the name of a file may be any bytes
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("is not written in UTF-8") from None
    return text


def parse_count(text: str, most: int = 1_000_000_000) -> int:
    """Read a whole number from one to `most`."""
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"{text[:20]!r} is not a whole number") from None
    if not 1 <= number <= most:
        raise ValueError(f"must be between 1 and {most:,}")
    return number


def parse_rate(text: str) -> float:
    """Read a number of requests per second."""
    try:
        rate = float(text)
    except ValueError:
        raise ValueError(f"{text[:20]!r} is not a number") from None
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ValueError(f"must be between {MIN_RATE} and {MAX_RATE:,} requests a second")
    return rate


def parse_date_filter(text: str) -> str | None:
    """Read a verdict on `date_created` that the user insists on; `auto` is none."""
    if text == "auto":
        return None
    if text not in DATE_FILTERS:
        raise ValueError(f"must be auto or one of {', '.join(DATE_FILTERS)}")
    return text


def _setting(
    variable: str,
    parse: Callable[[str], Any],
    default: Any,  # noqa: ANN401
    *,
    is_shown: bool = True,
) -> Any:  # noqa: ANN401
    metadata = {"variable": variable, "parse": parse}
    return dataclasses.field(default=default, repr=is_shown, metadata=metadata)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that outlives one run. `load` is the way to make one; tests may build it directly."""

    api_key: Secret | None = _setting("GCORE_API_KEY", parse_api_key, None)
    base_url: str = _setting("GCORE_BASE_URL", parse_base_url, "https://api.gcore.com")
    # It may hold a password.
    database_url: str = _setting(
        "GCORE_ETL_DATABASE_URL", parse_database_url, "sqlite:///gcore_tasks.db", is_shown=False
    )
    page_size: int = _setting("GCORE_ETL_PAGE_SIZE", parse_count, 1000)
    concurrency: int = _setting(
        "GCORE_ETL_CONCURRENCY", functools.partial(parse_count, most=MAX_CONCURRENCY), 4
    )
    max_rate: float | None = _setting("GCORE_ETL_MAX_RATE", parse_rate, None)
    lookback: dt.timedelta = _setting("GCORE_ETL_LOOKBACK", parse_duration, dt.timedelta(hours=1))
    audit_every: dt.timedelta = _setting("GCORE_ETL_AUDIT_EVERY", parse_duration, dt.timedelta(days=1))
    max_results: int = _setting("GCORE_ETL_MAX_RESULTS", parse_count, 2000)
    retry_for: dt.timedelta = _setting("GCORE_ETL_RETRY_FOR", parse_duration, dt.timedelta(seconds=60))
    date_filter: str | None = _setting("GCORE_ETL_DATE_FILTER", parse_date_filter, None)

    def __post_init__(self) -> None:
        register_secret(self.api_key)
        register_password(self.database_url)

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, **options: Any) -> Settings:  # noqa: ANN401
        """
        Merge the options that were given (not None) over the environment over the defaults.

        Raises ConfigurationError with every mistake in it, so that one look mends them all.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        mistakes: list[str] = []
        for field in dataclasses.fields(cls):
            variable: str = field.metadata["variable"]
            given = options.pop(field.name, None)
            if given is None:
                given = environment.get(variable) or None
            if not isinstance(given, str):
                if given is not None:
                    values[field.name] = given
                continue
            try:
                values[field.name] = field.metadata["parse"](given)
            except ValueError as error:
                mistakes.append(f"{variable}: {error}")
        if options:
            raise TypeError(f"unknown settings: {', '.join(sorted(options))}")
        if mistakes:
            raise ConfigurationError("; ".join(mistakes))
        return cls(**values)

    def require_api_key(self, environment: Mapping[str, str] | None = None) -> Secret:
        """Give the key, or raise ConfigurationError that says where to get one and where to put it."""
        if self.api_key is None:
            raise ConfigurationError(
                "no API key: create a token in the Gcore portal (Profile, API tokens) "
                "and export GCORE_API_KEY='…', in single quotes" + hint_at_other_names(environment)
            )
        return self.api_key


def hint_at_other_names(environment: Mapping[str, str] | None = None) -> str:
    """Say which variables of Gcore's own command line are set in place of those that are read here."""
    environment = os.environ if environment is None else environment
    others = {"GCORE_APIKEY": "GCORE_API_KEY", "GCORE_URL": "GCORE_BASE_URL"}
    hints = [
        f"{other} is set, which only Gcore's own command line reads: set {name} to the same value"
        for other, name in others.items()
        if environment.get(other) and not environment.get(name)
    ]
    return "".join(f"; {hint}" for hint in hints)


def register_secrets_of(environment: Mapping[str, str]) -> None:
    """Mask from now on what the environment holds and no message may show, whether it can be used or not."""
    for name, value in environment.items():
        if name in _SECRET_VARIABLES:
            register_secret(Secret(value.strip()))
        elif name == "GCORE_ETL_DATABASE_URL" or name.lower().endswith("_proxy"):
            register_password(value)


def variables() -> dict[str, str]:
    """Name the environment variable of each setting, for help texts."""
    return {field.name: field.metadata["variable"] for field in dataclasses.fields(Settings)}
