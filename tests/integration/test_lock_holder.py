"""The error with exit code 75 names the holder of the lock on Postgres, as far as the role may see it."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import socket
from typing import TYPE_CHECKING

import psycopg
import pytest
from support.databases import WRITERS_LOCK
from support.roles import a_role, role_of

from etl.errors import SyncRunning
from etl.sync.api import writing
from etl.sync.lock_holder import Holder, busy_message

if TYPE_CHECKING:
    from collections.abc import Iterator

EVERYTHING = (
    "GRANT ALL ON SCHEMA public TO {role}",
    "GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}",
    "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}",
)
HERE = f"process {os.getpid()} on {socket.gethostname()}"
SINCE = re.compile(r", since (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC\)")


@pytest.fixture
def url(postgres_databases) -> Iterator[str]:
    """Yield the URL of a database at head, as its superuser."""
    with postgres_databases.migrated() as url:
        yield url


def told(url: str) -> str:
    """Return the error of a second writer."""
    with pytest.raises(SyncRunning) as caught, writing(url):
        pass
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (75, False)
    return str(caught.value)


KNOWN = {
    "nothing": (None, ""),
    "nothing at all": (Holder(process=None, host=None, since=None), ""),
    "a process": (Holder(process="7", host=None, since=None), " (process 7)"),
    "a host": (Holder(process=None, host="a", since=None), " (on a)"),
    "all": (
        Holder(process="4711", host="host-a", since=dt.datetime(2026, 12, 1, 14, 3, 11, tzinfo=dt.UTC)),
        " (process 4711 on host-a, since 2026-12-01 14:03:11 UTC)",
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_message_names_what_is_known_about_the_holder(name):
    holder, facts = KNOWN[name]
    assert busy_message(holder) == (
        f"another sync is writing to this database{facts}: wait for it to finish, or use --wait"
    )


@pytest.mark.parametrize("is_superuser", [True, False])
def test_every_role_sees_process_host_and_time(url, is_superuser):
    before = dt.datetime.now(dt.UTC).replace(microsecond=0)
    with a_role(url, *EVERYTHING) as own, writing(url):
        line = told(url if is_superuser else own)
    assert f"({HERE}, since " in line
    since = dt.datetime.fromisoformat(SINCE.search(line)[1]).replace(tzinfo=dt.UTC)
    assert before <= since <= dt.datetime.now(dt.UTC)


def test_long_host_name_is_truncated_but_the_time_is_kept(url, monkeypatch):
    monkeypatch.setattr(socket, "gethostname", lambda: "h" * 64)
    with a_role(url, *EVERYTHING) as own, writing(url):
        line = told(own)
    assert re.search(rf"\(process {os.getpid()} on h+, since ", line)


def test_shared_locks_of_other_sessions_block_the_writer(url):
    """Any role that may connect can take the lock; while it is held, no sync may write."""
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            other = stack.enter_context(psycopg.connect(url))
            other.execute("SELECT pg_advisory_lock_shared(%s, hashtext('public'))", [WRITERS_LOCK])
        assert "of the server, role " in told(url)
    with writing(url):
        pass


def test_session_with_custom_name_is_shown_by_role_and_server_pid(url):
    named = f"{url}{'&' if '?' in url else '?'}application_name=nightly"
    with a_role(url, *EVERYTHING) as own, writing(named) as connection:
        pid = connection.connection.driver_connection.info.backend_pid
        assert f"(process {pid} of the server, role {role_of(url)})" in told(own)
        assert f"(process {pid} of the server, role {role_of(url)}, since " in told(url)


def test_same_lock_in_another_database_is_ignored(url, postgres_databases):
    with postgres_databases.migrated() as other, writing(other), writing(url):
        line = told(url)
    assert HERE in line
    with postgres_databases.migrated() as other, psycopg.connect(other) as elsewhere:
        elsewhere.execute("SELECT pg_advisory_lock(%s, hashtext('public'))", [WRITERS_LOCK])
        with writing(url):
            pass


def test_other_locks_with_the_same_product_number_are_ignored(url):
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_lock(%s, hashtext('elsewhere'))", [WRITERS_LOCK])
        other.execute(
            "SELECT pg_advisory_lock((%s::bigint << 32) | (hashtext('public')::bigint & 4294967295))",
            [WRITERS_LOCK],
        )
        with writing(url):
            assert HERE in told(url)
