"""The settings: accepted values, precedence, and error messages."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from etl.errors import ConfigurationError
from etl.settings import (
    DATE_FILTERS,
    Settings,
    is_well_formed,
    parse_api_key,
    parse_base_url,
    parse_count,
    parse_date_filter,
    parse_rate,
    setting_specs,
)


@pytest.mark.parametrize("text", ["1234$abcdef", "  1234_abcdef\n", "!~", "a" * 5000])
def test_surrounding_whitespace_is_stripped_from_key(text):
    assert parse_api_key(text).reveal() == text.strip()


WRAPPED = (
    "'{}'", '"{}"', "`{}`", "\u2018{}\u2019", "\u201c{}\u201d", "'\"{}\"'", " '{}' ", "' {} '\n",
    "\ufeff{}", "{}\u200b", "\u200b{}\u2060\ufeff", "{}\r\n", "\t{}\n\n", "\u00a0{}\u00a0",
    "APIKey {}", "apikey {}", "Bearer {}", "BEARER\t{}", "Authorization: APIKey {}",
    "authorization:apikey {}", "GCORE_API_KEY={}", "export GCORE_API_KEY='{}'", 'GCORE_API_KEY: "{}"',
    "GCORE_APIKEY={}", "set GCORE_API_KEY={}", "$env:GCORE_API_KEY = '{}'", "'GCORE_API_KEY={}'",
    '\ufeffGCORE_API_KEY="APIKey {}"\r\n',
)  # fmt: skip


@pytest.mark.parametrize("wrapping", WRAPPED)
@pytest.mark.parametrize("key", ["1234$abcdef", "1234_abcdef", "7711_eyJh.b-c_d=="])
def test_quotes_and_prefixes_are_stripped_from_key(wrapping, key):
    assert parse_api_key(wrapping.format(key)).reveal() == key


def test_zero_width_characters_are_removed_from_key():
    assert parse_api_key("1234$\u200babc\ufeffde\u00adf").reveal() == "1234$abcdef"


@pytest.mark.parametrize(
    "text",
    [
        "'1234$canary", '1234$canary"', "1234\\$canary", "12'34$canary", "`cat canary`x", "1234$can\\nary",
        "''", '""', "'\"", "APIKey ", "GCORE_API_KEY=", "\ufeff", "'1234$canary'canary'",
        "$GCORE_CANARY", "${CANARY_KEY}", "$(cat canary)", "%CANARY%", "<canary>", "'${CANARY}'",
        "canary key", "1234$can\nary", "Basic canary",
    ],
)  # fmt: skip
def test_invalid_key_is_rejected_without_leaking_it(text):
    with pytest.raises(ValueError, match=r"^(is empty|contains )") as caught:
        parse_api_key(text)
    assert "canary" not in str(caught.value).lower()
    with pytest.raises(ConfigurationError, match=r"^GCORE_API_KEY: (is empty|contains )") as caught:
        Settings.load({"GCORE_API_KEY": text})
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "key, is_fine",
    [("1234$abcdef", True), ("1234_abcdef", True), ("1234", False), ("1234$", False), ("abc$def", False)],
)
def test_is_well_formed_recognizes_portal_keys(key, is_fine):
    assert is_well_formed(parse_api_key(key)) is is_fine


@pytest.mark.parametrize(
    "environment, hints",
    [
        ({}, []),
        ({"GCORE_APIKEY": "canary"}, ["GCORE_APIKEY is set, but only", "set GCORE_API_KEY to the same"]),
        ({"GCORE_URL": "canary"}, ["GCORE_URL is set, but only", "set GCORE_BASE_URL to the same"]),
        ({"GCORE_URL": "canary", "GCORE_BASE_URL": "http://x"}, []),
        ({"GCORE_APIKEY": ""}, []),
    ],
)
def test_missing_key_error_mentions_gcore_cli_variables(environment, hints):
    with pytest.raises(ConfigurationError, match="no API key") as caught:
        Settings.load(environment).require_api_key(environment)
    told = str(caught.value)
    assert all(hint in told for hint in hints)
    assert ("own command line" in told) is bool(hints)
    assert "canary" not in told


@pytest.mark.parametrize(
    "text", ["", " \n", "canary key", "canary\tkey", "canary\x00", "canaryé", "canary\u2028x"]
)
def test_key_invalid_in_a_header_is_rejected(text):
    with pytest.raises(ValueError, match=r"^(is empty|contains white space)") as caught:
        parse_api_key(text)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "text, url",
    [
        ("https://api.gcore.com", "https://api.gcore.com"),
        (" https://api.gcore.com/ ", "https://api.gcore.com"),
        ("'https://api.gcore.com/'", "https://api.gcore.com"),
        (' "https://api.gcore.com"\r\n', "https://api.gcore.com"),
        ("\ufeffhttps://api.gcore.com", "https://api.gcore.com"),
        ("HTTP://127.0.0.1:8080/api//", "HTTP://127.0.0.1:8080/api"),
        ("http://[::1]:80", "http://[::1]:80"),
        ("https://köln.example", "https://köln.example"),
    ],
)
def test_base_url_is_normalized(text, url):
    assert parse_base_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        "",
        "'https://api.gcore.com",
        '"' * 5000,
        "api.gcore.com",
        "ftp://api.gcore.com",
        "https://",
        "https:///streaming",
        "https://:443",
        "https://api.gcore.com:https",
        "https://api.gcore.com:99999",
        "https://[::1",
        "https://api..gcore.com",
        "https://.gcore.com",
        f"https://{'a' * 64}.com",
        "https://api gcore.com",
        "https://api.gcore.com/a b",
        "https://api.gcore.com/\n/",
        "https://api\x7f.gcore.com",
        "https://api\u00a0.gcore.com",
        "https://user:canary@api.gcore.com",
        "https://canary@api.gcore.com",
        "https://api.gcore.com?key=canary",
        "https://api.gcore.com/#canary",
    ],
)
def test_invalid_base_url_is_rejected_without_leaking_it(text):
    with pytest.raises(ValueError, match=r"^(is not a URL such as|must )") as caught:
        parse_base_url(text)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "", "many", "1e3", "1000000001", "9" * 5000])
def test_count_must_be_between_1_and_a_billion(text):
    with pytest.raises(ValueError, match=r"is not a whole number|must be between 1 and") as caught:
        parse_count(text)
    assert len(str(caught.value)) < 80
    assert (parse_count("1"), parse_count(" 1000000000 ")) == (1, 1_000_000_000)


@pytest.mark.parametrize("text", ["0", "-1", "nan", "inf", "1e-10", "fast", ""])
def test_rate_must_be_within_bounds(text):
    with pytest.raises(ValueError, match=r"is not a number|must be between 0\.001 and"):
        parse_rate(text)
    assert (parse_rate("0.001"), parse_rate("2.5")) == (0.001, 2.5)


def test_date_filter_must_be_auto_or_known():
    assert parse_date_filter("auto") is None
    assert [parse_date_filter(name) for name in DATE_FILTERS] == list(DATE_FILTERS)
    with pytest.raises(ValueError, match="auto or one of gte, lte"):
        parse_date_filter("unknown")


GIVEN = {
    "GCORE_API_KEY": "1234$abcdef",
    "GCORE_BASE_URL": "http://127.0.0.1:8080/",
    "GCORE_ETL_DATABASE_URL": "postgresql://host/tasks",
    "GCORE_ETL_PAGE_SIZE": "11",
    "GCORE_ETL_CONCURRENCY": "12",
    "GCORE_ETL_MAX_RATE": "13.5",
    "GCORE_ETL_LOOKBACK": "14m",
    "GCORE_ETL_AUDIT_EVERY": "15h",
    "GCORE_ETL_MAX_RESULTS": "16",
    "GCORE_ETL_RETRY_FOR": "17s",
    "GCORE_ETL_DATE_FILTER": "day",
}


def test_every_setting_is_read_from_its_variable():
    assert {spec.variable for spec in setting_specs().values()} == GIVEN.keys()
    assert Settings.load(GIVEN) == Settings(
        api_key=parse_api_key("1234$abcdef"),
        base_url="http://127.0.0.1:8080",
        database_url="postgresql://host/tasks",
        page_size=11,
        concurrency=12,
        max_rate=13.5,
        lookback=dt.timedelta(minutes=14),
        audit_every=dt.timedelta(hours=15),
        max_results=16,
        retry_for=dt.timedelta(seconds=17),
        date_filter="day",
    )


def test_defaults_apply_without_options_and_variables(monkeypatch):
    monkeypatch.setenv("GCORE_ETL_PAGE_SIZE", "")
    assert Settings.load() == Settings.load({}) == Settings()


@pytest.mark.parametrize("name", [field.name for field in dataclasses.fields(Settings)])
def test_option_overrides_variable_unless_none(name):
    others = {**GIVEN, "GCORE_ETL_DATE_FILTER": "gte"}
    options = {
        "api_key": "5678$other",
        "base_url": "https://other.example",
        "database_url": "sqlite:///other.db",
        "date_filter": "lte",
        **dict.fromkeys(("lookback", "audit_every", "retry_for"), "1s"),
        **dict.fromkeys(("page_size", "concurrency", "max_rate", "max_results"), "1"),
    }
    plain, changed = Settings.load(others), Settings.load(others, **{name: options[name]})
    assert Settings.load(others, **dict.fromkeys(options)) == plain
    differing = {field for field in options if getattr(plain, field) != getattr(changed, field)}
    assert differing == {name}


def test_options_may_be_parsed_values():
    assert Settings.load({}, lookback=dt.timedelta(minutes=1), page_size=7).lookback.seconds == 60


def test_unknown_option_raises_type_error():
    with pytest.raises(TypeError, match="pagesize"):
        Settings.load({}, pagesize="1")


def test_all_invalid_variables_are_reported_together():
    bad = {variable: "\n" if variable == "GCORE_API_KEY" else "canary ?" for variable in GIVEN}
    with pytest.raises(ConfigurationError) as caught:
        Settings.load(bad)
    told = str(caught.value)
    assert [variable for variable in bad if f"{variable}: " not in told] == ["GCORE_ETL_DATABASE_URL"]
    assert told.count("; ") == len(bad) - 2
    assert caught.value.exit_code == 3


def test_settings_repr_hides_key_and_password():
    settings = Settings.load({**GIVEN, "GCORE_ETL_DATABASE_URL": "postgresql://user:canary@host/tasks"})
    for shown in (repr(settings), str(settings), f"{settings}"):
        assert "abcdef" not in shown
        assert "canary" not in shown


def test_missing_key_error_says_where_to_get_one():
    with pytest.raises(ConfigurationError, match=r"portal.*GCORE_API_KEY"):
        Settings().require_api_key()
    assert Settings.load(GIVEN).require_api_key().reveal() == "1234$abcdef"
