"""Results do not depend on settings of the server, database, role, environment or URL."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from pandas.testing import assert_frame_equal
from sqlalchemy import make_url
from support.dumps import Dump, differences, read_dump
from support.roles import a_role, as_superuser, role_of
from support.stored import store_result, store_task
from support.worlds import a_world, settings_for

from etl import frames
from etl.database import open_engine, reading
from etl.emulator import serve
from etl.errors import DatabaseError
from etl.sync.api import comparing, run_sync, writing
from etl.sync.doctor import examine
from etl.sync.options import SyncOptions
from etl.sync.run import utc_now
from etl.sync.status import read_status

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    import psycopg

# Each differs from the server's default.
STRANGE = {
    "array_nulls": "off",
    "bytea_output": "escape",
    "datestyle": "German, YMD",
    "default_transaction_deferrable": "on",
    "default_transaction_isolation": "serializable",
    "default_transaction_read_only": "on",
    "enable_indexscan": "off",
    "extra_float_digits": "-15",
    "gin_fuzzy_search_limit": "1",
    "idle_in_transaction_session_timeout": "50s",
    "intervalstyle": "sql_standard",
    "lock_timeout": "40s",
    "quote_all_identifiers": "on",
    "row_security": "off",
    "standard_conforming_strings": "off",
    "statement_timeout": "30s",
    "timezone": "Asia/Kolkata",
    "xmlbinary": "hex",
}
# What our statements rely on in each transaction.
EXPECTED = {
    "bytea_output": "hex",
    "datestyle": "ISO, MDY",
    "extra_float_digits": "3",
    "gin_fuzzy_search_limit": "0",
    "idle_in_transaction_session_timeout": "0",
    "intervalstyle": "postgres",
    "lock_timeout": "0",
    "quote_all_identifiers": "off",
    "search_path": "public, pg_temp",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "timezone": "UTC",
    "transaction_isolation": "repeatable read",
    "transaction_read_only": "on",
}


@contextlib.contextmanager
def set_by(way: str, url: str, settings: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield a URL of the database in whose sessions these settings apply."""
    options = " ".join(f"-c {name}={value.replace(' ', chr(92) + ' ')}" for name, value in settings.items())
    if way == "URL":
        yield f"{url}{'&' if '?' in url else '?'}options={quote(options)}"
    elif way == "PGOPTIONS":
        with monkeypatch.context() as patch:
            patch.setenv("PGOPTIONS", options)
            yield url
    elif way == "variables":
        with monkeypatch.context() as patch:
            patch.setenv("PGDATESTYLE", settings.get("datestyle", "SQL, DMY"))
            patch.setenv("PGTZ", settings.get("timezone", "Asia/Kolkata"))
            patch.setenv("PGCLIENTENCODING", "LATIN1")
            yield url
    elif way == "role":
        with a_role(url, "GRANT CREATE ON SCHEMA public TO {role}") as own:
            as_superuser(url, *altering("ROLE {role}", settings), role=role_of(own))
            yield own
    else:
        as_superuser(url, *altering(f'DATABASE "{make_url(url).database}"', settings))
        yield url


def altering(what: str, settings: dict[str, str]) -> Iterator[str]:
    """Return the statements that set these for all sessions of a role or a database."""
    for name, value in settings.items():
        yield f"ALTER {what} SET {name} = " + (value if name == "search_path" else f"'{value}'")


FRAMES = ("tasks", "task_history", "results", "detections", "subtitles")
WAYS = ["database", "role", "URL", "PGOPTIONS", "variables"]


@pytest.fixture(params=WAYS)
def strange_url(request, postgres_databases, monkeypatch) -> Iterator[str]:
    """Yield the URL of an empty database with unusual settings, applied in one of several ways."""
    with postgres_databases.empty() as url, set_by(request.param, url, STRANGE, monkeypatch) as strange:
        yield strange


@pytest.fixture(scope="module")
def reference(postgres_databases) -> Iterator[tuple[Dump, dict[str, pd.DataFrame]]]:
    """Return a dump of an ordinary database after a sync."""
    with postgres_databases.empty() as url, serve(a_world(60)) as emulator:
        run_sync(settings_for(emulator, url))
        yield read_dump(url), {name: getattr(frames, name)(url) for name in FRAMES}


def test_unusual_settings_do_not_change_what_is_stored(reference, strange_url):
    world = a_world(60)
    with serve(world) as emulator:
        run_sync(settings_for(emulator, strange_url))
        first = read_dump(strange_url)
        assert differences(first, reference[0]) == []
        again = run_sync(settings_for(emulator, strange_url), SyncOptions(is_full=True))
        assert (again.inserted, again.updated, again.unchanged) == (0, 0, 60)
        second = read_dump(strange_url)
        assert [each for each in stored(first) if second.rows(*each) != first.rows(*each)] == []
        for name, frame in reference[1].items():
            assert_frame_equal(getattr(frames, name)(strange_url), frame)
        findings = list(examine(settings_for(emulator, strange_url), now=utc_now))
        assert [finding for finding in findings if not finding.is_good] == []
        with reading(strange_url) as connection:
            assert read_status(connection).present == 60


def stored(dump: Dump) -> list[tuple[str, object]]:
    """Return every group of rows except those of the bookkeeping tables."""
    return [(name, key) for name in dump.tables if name != "sync_state" for key in dump.keys(name)]


@pytest.mark.parametrize("way", WAYS)
def test_transaction_settings_leave_the_session_unchanged(postgres_databases, monkeypatch, way):
    """Read between transactions, as another client of a pooler would get the session."""
    with (
        postgres_databases.migrated() as url,
        set_by(way, url, {**STRANGE, "search_path": "pg_catalog, public"}, monkeypatch) as strange,
    ):
        engine = open_engine(strange, read_only=True)
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            untouched = settings_of(driver)
            for _ in range(2):
                with connection.begin():
                    found = {
                        name: connection.scalar(sa.text(f"SELECT current_setting('{name}')"))
                        for name in EXPECTED
                    }
                assert found == EXPECTED
                assert settings_of(driver) == untouched
            if connection.dialect.server_version_info >= (17,):
                driver.execute("SET transaction_timeout = '60s'")
                driver.commit()
                with connection.begin():
                    assert connection.scalar(sa.text("SHOW transaction_timeout")) == "0"
        engine.dispose()
    assert way == "variables" or untouched["statement_timeout"] == "30000"
    assert untouched["datestyle"] == "German, YMD"


def settings_of(connection: psycopg.Connection) -> dict[str, str]:
    """Return every setting of the session between transactions."""
    connection.read_only, connection.isolation_level, before = (
        None,
        None,
        (
            connection.read_only,
            connection.isolation_level,
        ),
    )
    rows = connection.execute("SELECT name, setting FROM pg_settings").fetchall()
    connection.rollback()
    connection.read_only, connection.isolation_level = before
    return dict(rows) | {"datestyle": dict(rows)["DateStyle"]}


def test_a_writer_can_write_whatever_the_default_access_mode_is(postgres_databases):
    with postgres_databases.migrated() as url:
        as_superuser(url, f'ALTER DATABASE "{make_url(url).database}" SET default_transaction_read_only = on')
        with writing(url) as connection, connection.begin():
            store_task(connection)


VALUES = (0.1, 1 / 3, 1e-300, 123456789.123456789, 1e23, 2 / 3)


def test_text_is_read_correctly_over_a_callers_connection(postgres_databases):
    with postgres_databases.migrated() as url:
        engine = open_engine(url)
        with engine.begin() as connection:
            store_task(connection, "1", url="https://example.net/客.mp4")
        engine.dispose()
        plain = sa.create_engine(
            make_url(url).set(drivername="postgresql+psycopg"), connect_args={"client_encoding": "LATIN1"}
        )
        assert list(frames.tasks(plain)["url"]) == ["https://example.net/客.mp4"]
        with plain.connect() as connection:
            assert list(frames.tasks(connection)["url"]) == ["https://example.net/客.mp4"]
            assert connection.scalar(sa.text("SHOW client_encoding")) == "LATIN1"
        plain.dispose()


def test_numbers_keep_every_digit_over_a_callers_connection(postgres_databases):
    """The session would round them; its settings are restored afterwards."""
    with postgres_databases.migrated() as url:
        engine = open_engine(url)
        with engine.begin() as connection:
            for number, value in enumerate(VALUES):
                store_task(connection, str(number), total_time_sec=value)
        engine.dispose()
        as_superuser(
            url,
            f'ALTER DATABASE "{make_url(url).database}" SET extra_float_digits = -3',
            f'ALTER DATABASE "{make_url(url).database}" SET search_path = nowhere, public',
        )
        plain = sa.create_engine(make_url(url).set(drivername="postgresql+psycopg"))
        with plain.connect() as connection:
            assert list(frames.tasks(connection)["total_time_sec"]) == list(VALUES)
            chunks = frames.tasks(connection, chunksize=2)
            for start in (0, 2, 4):
                assert list(next(chunks)["total_time_sec"]) == list(VALUES[start : start + 2])
                # Between chunks, the caller's own settings apply.
                assert settings_in(connection) == ("-3", "nowhere, public")
            connection.commit()
            assert settings_in(connection) == ("-3", "nowhere, public")
        for source in (plain, url):
            assert list(frames.tasks(source)["total_time_sec"]) == list(VALUES)
        with plain.connect() as connection:
            assert settings_in(connection) == ("-3", "nowhere, public")
        plain.dispose()


def settings_in(connection: sa.Connection) -> tuple[str, str]:
    names = ("extra_float_digits", "search_path")
    return tuple(connection.scalar(sa.text(f"SELECT current_setting('{name}')")) for name in names)


def test_reading_over_a_callers_transaction_keeps_its_changes(postgres_databases):
    with postgres_databases.migrated() as url:
        plain = sa.create_engine(make_url(url).set(drivername="postgresql+psycopg"))
        with plain.begin() as connection:
            store_task(connection, "a")
            for number, _ in enumerate(frames.tasks(connection, chunksize=1)):
                store_result(connection, str(number), "archived")
        with plain.connect() as connection:
            assert connection.scalar(sa.text("SELECT count(*) FROM task_results")) == 1
        plain.dispose()


def test_an_application_name_in_the_url_is_used(postgres_databases):
    with postgres_databases.migrated() as url:
        named = f"{url}{'&' if '?' in url else '?'}application_name=mine"
        for each, read_only in ((named, False), (named, True)):
            engine = open_engine(each, read_only=read_only)
            with engine.connect() as connection:
                assert connection.scalar(sa.text("SHOW application_name")) == "mine"
            engine.dispose()


@pytest.mark.parametrize("read_only", [True, False])
def test_a_dead_connection_is_detected_within_minutes(postgres_databases, read_only):
    """An idle one as well, which a firewall may have dropped; the URL may override the settings."""
    with postgres_databases.migrated() as url:
        own = f"{url}{'&' if '?' in url else '?'}keepalives_idle=7"
        for each, idle in ((url, "30"), (own, "7")):
            engine = open_engine(each, read_only=read_only)
            with engine.connect() as connection:
                parameters = connection.connection.driver_connection.info.get_parameters()
            engine.dispose()
            found = [parameters[f"keepalives_{name}"] for name in ("idle", "interval", "count")]
            assert found == [idle, "10", "6"]


def test_a_connection_in_autocommit_mode_is_explained(postgres_databases):
    with postgres_databases.migrated() as url:
        plain = sa.create_engine(make_url(url).set(drivername="postgresql+psycopg"))
        with plain.connect() as connection, pytest.raises(DatabaseError, match="not in autocommit mode"):
            frames.tasks(connection.execution_options(isolation_level="AUTOCOMMIT"))
        plain.dispose()


def test_a_session_that_is_idle_during_requests_is_not_ended(postgres_databases):
    """Case 25: the API takes longer to respond than a session may be idle."""
    with postgres_databases.migrated() as url, serve(a_world(2)) as emulator:
        as_superuser(url, f'ALTER DATABASE "{make_url(url).database}" SET idle_session_timeout = 500')
        emulator.behaviour.latency = 0.7
        options = SyncOptions(with_results=False, task_id=next(iter(emulator.world.tasks)))
        assert run_sync(settings_for(emulator, url), options).inserted == 1
        for source, expected in ((writing, "0"), (comparing, "0"), (reading, "500ms")):
            with source(url) as connection, in_transaction(connection):
                assert connection.scalar(sa.text("SHOW idle_session_timeout")) == expected


def in_transaction(connection: sa.Connection) -> contextlib.AbstractContextManager[object]:
    return contextlib.nullcontext() if connection.in_transaction() else connection.begin()
