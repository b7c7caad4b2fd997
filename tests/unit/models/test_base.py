"""Conversion of values by the column types, on SQLite and Postgres."""

from __future__ import annotations

import datetime as dt

import pytest
from sqlalchemy.dialects import postgresql, sqlite

from etl.models import IN_FLIGHT, METADATA, TERMINAL_STATUSES, Json, UtcDateTime

SQLITE = sqlite.dialect()
POSTGRES = postgresql.dialect()
BERLIN = dt.timezone(dt.timedelta(hours=2))


def test_naive_datetime_is_rejected():
    with pytest.raises(ValueError, match="has no time zone"):
        UtcDateTime().process_bind_param(dt.datetime(2026, 6, 26, 12), SQLITE)  # noqa: DTZ001


@pytest.mark.parametrize(
    "instant, text",
    [
        (dt.datetime(2026, 6, 26, 16, 26, 29, 250_000, dt.UTC), "2026-06-26 16:26:29.250000"),
        (dt.datetime(2026, 6, 26, 16, 26, 29, tzinfo=dt.UTC), "2026-06-26 16:26:29.000000"),
        (dt.datetime(2026, 6, 26, 0, 30, tzinfo=BERLIN), "2026-06-25 22:30:00.000000"),
        (dt.datetime(999, 1, 1, tzinfo=dt.UTC), "0999-01-01 00:00:00.000000"),
    ],
)
def test_sqlite_stores_datetimes_as_sortable_utc_text(instant, text):
    """Always with six digits, so that text sorts like time."""
    assert UtcDateTime().process_bind_param(instant, SQLITE) == text
    assert UtcDateTime().process_result_value(text, SQLITE) == instant
    assert UtcDateTime().process_result_value(text, SQLITE).tzinfo is dt.UTC


def test_postgres_datetimes_are_converted_to_utc():
    read = UtcDateTime().process_result_value(dt.datetime(2026, 6, 26, 14, tzinfo=BERLIN), POSTGRES)
    assert (read.hour, read.tzinfo) == (12, dt.UTC)


def test_sqlite_stores_json_as_compact_utf8():
    assert Json().process_bind_param({"a": [1, "ß"], "b": None}, SQLITE) == '{"a":[1,"ß"],"b":null}'


def test_none_is_sql_null_not_json_null():
    assert Json().process_bind_param(None, SQLITE) is None


def test_nan_in_json_is_rejected():
    with pytest.raises(ValueError, match="JSON"):
        Json().process_bind_param({"a": float("nan")}, SQLITE)


def test_in_flight_condition_excludes_terminal_statuses():
    """The condition is a literal because an index uses it; this keeps it in sync with the constant."""
    listed = ", ".join(f"'{status}'" for status in sorted(TERMINAL_STATUSES))
    assert f"NOT IN ({listed})" in IN_FLIGHT.text


def test_every_constraint_and_index_has_a_name():
    for table in METADATA.tables.values():
        assert all(item.name for item in (*table.constraints, *table.indexes))
