"""
The settings: which account, which database, and how to talk to the API. Nothing else reads the environment.

A command-line option takes precedence over an environment variable, and that over the default below.
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

from etl.durations import parse_duration
from etl.enums import DateFilter
from etl.errors import ConfigurationError
from etl.secret import Secret, register_password, register_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_COUNT = 1_000_000_000
MIN_RATE, MAX_RATE = 0.001, 1_000_000
# Each concurrent request has its own thread and connection.
MAX_CONCURRENCY = 100
# Env files, CI settings and word processors keep the quotes that a shell would remove.
_CLOSING_QUOTES = {"'": "'", '"': '"', "`": "`", "\u2018": "\u2019", "\u201c": "\u201d", "\u00ab": "\u00bb"}
# Text that is often copied together with a key: an assignment, a header, an authentication scheme.
_PREFIX = re.compile(
    r"(?:export\s+|set\s+|\$env:)?(?:GCORE_API_KEY|GCORE_APIKEY)\s*[=:]\s*|Authorization\s*:\s*|(?:APIKey|Bearer)(?:\s+|$)",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"\$\{.*\}|\$\(.*\)|\$[A-Za-z_]\w*|%\w+%|<.*>")
_NEVER_IN_A_KEY = frozenset("'\"`\\")
# Gcore's own command line reads the second, libpq the third.
_SECRET_VARIABLES = {"GCORE_API_KEY", "GCORE_APIKEY", "PGPASSWORD"}
AUTO = "auto"
# The date-filter semantics that can be set.
DATE_FILTERS = tuple(each.value for each in DateFilter if each is not DateFilter.UNKNOWN)


def parse_api_key(text: str) -> Secret:
    """
    Return a key as it was pasted, without surrounding white space, quotes, variable name or header name.

    Raises ValueError, which never quotes the key, for text that cannot be a key.
    """
    key = _without_wrapping(text)
    if not key:
        raise ValueError("is empty")
    if not all("!" <= character <= "~" for character in key):
        raise ValueError("contains white space or characters that are not allowed in an API key")
    if _REFERENCE.fullmatch(key):
        raise ValueError("contains the name of a variable or command instead of the key itself")
    if foreign := sorted(set(key) & _NEVER_IN_A_KEY):
        raise ValueError(
            f"contains {foreign[0]}, which is not allowed in an API key: "
            "paste only the key, as shown in the Gcore portal"
        )
    return Secret(key)


def is_well_formed(key: Secret) -> bool:
    """Return whether a key looks like those of the portal: the token's number, `$` or `_`, and the secret."""
    return re.fullmatch(r"\d+[$_].+", key.reveal()) is not None


def _without_wrapping(text: str) -> str:
    text = "".join(character for character in text if unicodedata.category(character) != "Cf")
    while (key := _PREFIX.sub("", _unquoted(text), count=1)) != text:
        text = key
    return key


def _unquoted(text: str) -> str:
    """Return a string without surrounding quotes, white space and byte order marks, in any nesting."""
    while True:
        bare = text.strip().strip("\ufeff\u200b\u2060")
        if len(bare) > 1 and _CLOSING_QUOTES.get(bare[0]) == bare[-1]:
            bare = bare[1:-1]
        if bare == text:
            return bare
        text = bare


def parse_base_url(text: str) -> str:
    """Return an http(s) URL, with or without a path, without a slash at its end."""
    text = _unquoted(text)
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").encode("idna")  # fails for names that DNS cannot resolve
        is_valid = parts.scheme in {"http", "https"} and bool(host) and (parts.port or 1) > 0
    except ValueError:
        is_valid = False
    if not is_valid or " " in text or not text.isprintable():
        raise ValueError("is not a URL such as https://api.gcore.com")
    if parts.username or parts.password:
        raise ValueError("must not contain a user or password: set the key in GCORE_API_KEY")
    if parts.query or parts.fragment:
        raise ValueError("must not contain a query (?) or fragment (#)")
    return text.rstrip("/")


def parse_database_url(text: str) -> str:
    """Return a database URL that contains no impossible characters; it is fully checked when it is opened."""
    text = text.strip()
    if "\0" in unquote(text):
        raise ValueError("contains a zero character, which is not allowed in a database URL")
    if not text.startswith("sqlite"):  # a file name may contain any bytes
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueError("is not valid UTF-8") from None
    return text


def parse_count(text: str, maximum: int = MAX_COUNT) -> int:
    """Return a whole number between 1 and `maximum`."""
    try:
        number = int(text)
    except ValueError:
        raise ValueError(f"{text[:20]!r} is not a whole number") from None
    if not 1 <= number <= maximum:
        raise ValueError(f"must be between 1 and {maximum:,}")
    return number


def parse_rate(text: str) -> float:
    """Return a number of requests per second."""
    try:
        rate = float(text)
    except ValueError:
        raise ValueError(f"{text[:20]!r} is not a number") from None
    if not MIN_RATE <= rate <= MAX_RATE:
        raise ValueError(f"must be between {MIN_RATE} and {MAX_RATE:,} requests per second")
    return rate


def parse_date_filter(text: str) -> str | None:
    """Return the date-filter semantics that the user sets; None for `auto`, which detects them."""
    if text == AUTO:
        return None
    if text not in DATE_FILTERS:
        raise ValueError(f"must be {AUTO} or one of {', '.join(DATE_FILTERS)}")
    return text


@dataclasses.dataclass(frozen=True, slots=True)
class SettingSpec:
    """How a setting is given: its variable, its parser, and what help texts say about its values."""

    variable: str
    parse: Callable[[str], Any]
    metavar: str = "TEXT"
    bounds: tuple[float, float] | None = None
    choices: tuple[str, ...] = ()


def _setting(
    variable: str,
    parse: Callable[[str], Any],
    default: Any,  # noqa: ANN401
    *,
    is_shown: bool = True,
    **help_facts: Any,  # noqa: ANN401
) -> Any:  # noqa: ANN401
    spec = SettingSpec(variable, parse, **help_facts)
    return dataclasses.field(default=default, repr=is_shown, metadata={"spec": spec})


def _count(variable: str, default: int, maximum: int = MAX_COUNT) -> Any:  # noqa: ANN401
    parse = functools.partial(parse_count, maximum=maximum)
    return _setting(variable, parse, default, metavar="INTEGER RANGE", bounds=(1, maximum))


def _duration(variable: str, default: dt.timedelta) -> Any:  # noqa: ANN401
    return _setting(variable, parse_duration, default, metavar="DURATION")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that stays the same from run to run. `load` reads it from options and the environment."""

    api_key: Secret | None = _setting("GCORE_API_KEY", parse_api_key, None)
    base_url: str = _setting("GCORE_BASE_URL", parse_base_url, "https://api.gcore.com", metavar="URL")
    database_url: str = _setting(
        "GCORE_ETL_DATABASE_URL",
        parse_database_url,
        "sqlite:///gcore_tasks.db",
        metavar="URL",
        is_shown=False,  # it may contain a password
    )
    page_size: int = _count("GCORE_ETL_PAGE_SIZE", 1000)
    concurrency: int = _count("GCORE_ETL_CONCURRENCY", 4, MAX_CONCURRENCY)
    max_rate: float | None = _setting(
        "GCORE_ETL_MAX_RATE", parse_rate, None, metavar="FLOAT RANGE", bounds=(MIN_RATE, MAX_RATE)
    )
    lookback: dt.timedelta = _duration("GCORE_ETL_LOOKBACK", dt.timedelta(hours=1))
    audit_every: dt.timedelta = _duration("GCORE_ETL_AUDIT_EVERY", dt.timedelta(days=1))
    max_results: int = _count("GCORE_ETL_MAX_RESULTS", 2000)
    retry_for: dt.timedelta = _duration("GCORE_ETL_RETRY_FOR", dt.timedelta(seconds=60))
    date_filter: str | None = _setting(
        "GCORE_ETL_DATE_FILTER", parse_date_filter, None, choices=(AUTO, *DATE_FILTERS)
    )

    def __post_init__(self) -> None:
        register_secret(self.api_key)
        register_password(self.database_url)

    @classmethod
    def load(cls, environment: Mapping[str, str] | None = None, **options: Any) -> Settings:  # noqa: ANN401
        """
        Return the settings: each from its option if that is not None, else its variable, else its default.

        Raises ConfigurationError that lists all invalid values, so that they can be fixed at once.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        mistakes: list[str] = []
        for name, spec in setting_specs().items():
            given = options.pop(name, None)
            if given is None:
                given = environment.get(spec.variable) or None
            try:
                if given is not None:
                    values[name] = spec.parse(given) if isinstance(given, str) else given
            except ValueError as error:
                mistakes.append(f"{spec.variable}: {error}")
        if options:
            raise TypeError(f"unknown settings: {', '.join(sorted(options))}")
        if mistakes:
            raise ConfigurationError("; ".join(mistakes))
        return cls(**values)

    def require_api_key(self, environment: Mapping[str, str] | None = None) -> Secret:
        """Return the API key. Raises ConfigurationError that explains how to get and set one."""
        if self.api_key is None:
            raise ConfigurationError(
                "no API key: create a token in the Gcore portal (Profile, API tokens) and run "
                "export GCORE_API_KEY='…', in single quotes" + hint_at_other_names(environment)
            )
        return self.api_key


def hint_at_other_names(environment: Mapping[str, str] | None = None) -> str:
    """Return a hint for each variable of Gcore's own command line that is set instead of ours, or nothing."""
    environment = os.environ if environment is None else environment
    others = {"GCORE_APIKEY": "GCORE_API_KEY", "GCORE_URL": "GCORE_BASE_URL"}
    hints = [
        f"{other} is set, but only Gcore's own command line reads it: set {name} to the same value"
        for other, name in others.items()
        if environment.get(other) and not environment.get(name)
    ]
    return "".join(f"; {hint}" for hint in hints)


def register_secrets_of(environment: Mapping[str, str]) -> None:
    """Mask the keys and passwords in the environment from now on, including invalid ones."""
    for name, value in environment.items():
        if name in _SECRET_VARIABLES:
            register_secret(Secret(value.strip()))
        elif name == "GCORE_ETL_DATABASE_URL" or name.lower().endswith("_proxy"):
            register_password(value)


def setting_specs() -> dict[str, SettingSpec]:
    """Return how each setting is given, by its name in `Settings`."""
    return {field.name: field.metadata["spec"] for field in dataclasses.fields(Settings)}
