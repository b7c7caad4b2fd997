"""Behind a real PgBouncer: writers need a session of their own, readers do not."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import make_url
from support.databases import WRITERS_LOCK
from support.pooler import pooled
from support.stored import store_result, store_task
from support.worlds import a_world, settings_for

from etl import frames
from etl.database import open_engine, pooler, reading, session_settings
from etl.emulator import serve
from etl.errors import DatabaseError, SyncRunning, TransactionPooler
from etl.search import search
from etl.sync.api import run_sync, writing
from etl.sync.doctor import examine
from etl.sync.options import SyncOptions
from etl.sync.run import utc_now
from etl.sync.status import read_status

if TYPE_CHECKING:
    from collections.abc import Iterator

LOCKED = (
    "SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
    " WHERE locktype = 'advisory' AND datname = current_database()"
)


@pytest.fixture
def url(postgres_databases) -> Iterator[str]:
    """Return the URL of a database at head, without a pooler."""
    with postgres_databases.migrated() as url:
        yield url


def read_everything(url: str) -> None:
    with reading(url) as connection:
        read_status(connection)
        search(connection, "hello", limit=5)
    for _ in frames.tasks(url, chunksize=10):
        pass


def hold_sessions(url: str, number: int, stack: contextlib.ExitStack) -> list[psycopg.Connection]:
    """Occupy sessions of the pool, each with an open transaction."""
    others = []
    for _ in range(number):
        others.append(stack.enter_context(contextlib.closing(psycopg.connect(url))))
        others[-1].execute("SELECT 1")
        # The pooler closes sessions that are left in the middle of a transaction.
        stack.callback(others[-1].rollback)
    return others


def warm(url: str, number: int) -> None:
    """Open and close this many sessions, which then are idle in the pool."""
    with contextlib.ExitStack() as stack:
        hold_sessions(url, number, stack)


SHARED = {
    "an idle pool": {},
    "a pool of one": {"default_pool_size": 1},
    "sessions in turn": {"server_round_robin": 1},
    "two sessions in turn": {"server_round_robin": 1, "default_pool_size": 2},
    "another query at a reset": {"server_reset_query_always": 1},
}


@pytest.mark.parametrize("warmed", [0, 1, 2, 3])
@pytest.mark.parametrize("name", SHARED)
def test_transaction_mode_is_refused_whatever_other_clients_do(url, name, warmed):
    options = SHARED[name]
    warmed = min(warmed, int(options.get("default_pool_size", warmed)))
    with pooled(url, "transaction", **options) as through:
        warm(through, warmed)
        for _ in range(2):
            with pytest.raises(TransactionPooler) as caught, writing(through):
                pass
            assert (caught.value.exit_code, "\n" in str(caught.value)) == (4, False)
            assert "PgBouncer in transaction mode" in str(caught.value)
            assert "connect to Postgres directly" in str(caught.value)
    # No lock is left behind that would block the next writer.
    with writing(url):
        pass


@pytest.mark.parametrize("warmed", [1, 2, 3, 6])
@pytest.mark.parametrize("in_turn", [0, 1])
def test_second_connection_detects_transaction_mode(url, in_turn, warmed):
    """Detection does not depend on the lock or on later statements."""
    with pooled(url, "transaction", server_round_robin=in_turn) as through:
        warm(through, warmed)
        assert not keeps_session(through)
    with pooled(url, "session", server_round_robin=in_turn) as through:
        warm(through, warmed)
        assert keeps_session(through)
    assert keeps_session(url)


def keeps_session(url: str) -> bool:
    with contextlib.ExitStack() as stack:
        engine = open_engine(url)
        stack.callback(engine.dispose)
        connection = stack.enter_context(engine.connect())
        try:
            pooler.detect_pooler(connection)
        except TransactionPooler:
            return False
    return True


def test_transaction_mode_is_refused_while_others_are_busy(url):
    """Case 02: other clients use the same sessions in turn."""
    stop = threading.Event()

    def be_busy(through: str) -> None:
        with psycopg.connect(through, autocommit=True, prepare_threshold=None) as connection:
            while not stop.is_set():
                connection.execute("SELECT pg_sleep(0.001)")

    with pooled(url, "transaction", default_pool_size=3) as through:
        threads = [threading.Thread(target=be_busy, args=(through,)) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(5):
                with pytest.raises(TransactionPooler), writing(through):
                    pass
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    assert execute(url, LOCKED) == [(0,)]


def test_transaction_mode_is_refused_when_all_its_sessions_are_taken(url, monkeypatch):
    """A connection without a session of its own then waits for one."""
    monkeypatch.setattr(pooler, "TIMEOUT_SECONDS", 0.3)
    keeps_session = pooler.keeps_session
    with pooled(url, "transaction", default_pool_size=2) as through, contextlib.ExitStack() as stack:

        def while_all_are_taken(*arguments):
            hold_sessions(through, 2, stack)
            return keeps_session(*arguments)

        monkeypatch.setattr(pooler, "keeps_session", while_all_are_taken)
        with pytest.raises(TransactionPooler), writing(through):
            pass


def test_statement_mode_is_refused_for_writers_and_readers(url):
    with pooled(url, "statement") as through:
        for source in (writing, reading):
            with pytest.raises(DatabaseError, match="in statement mode") as caught, source(through):
                pass
            assert (caught.value.exit_code, "\n" in str(caught.value)) == (4, False)


@pytest.mark.parametrize("size", [1, 2, 20])
def test_session_mode_works_like_the_server_itself(url, size, monkeypatch):
    monkeypatch.setattr(pooler, "TIMEOUT_SECONDS", 0.5)
    world = a_world(30)
    with pooled(url, "session", default_pool_size=size) as through, serve(world) as emulator:
        settings = settings_for(emulator, through)
        for mode in (SyncOptions(), SyncOptions(is_full=True), SyncOptions(dry_run=True)):
            run_sync(settings, mode)
        assert [finding for finding in examine(settings, now=utc_now) if not finding.is_good] == []
        with writing(through), pytest.raises(SyncRunning), writing(url):
            pass
        with writing(url), pytest.raises(SyncRunning), writing(through):
            pass
        read_everything(through)
    assert execute(url, LOCKED) == [(0,)]


def test_session_settings_of_a_writer_are_reset(url):
    """Even if the pooler resets nothing."""
    execute(url, f"ALTER DATABASE \"{make_url(url).database}\" SET idle_session_timeout = '50s'")
    with pooled(url, "session", default_pool_size=2, server_reset_query="") as through:
        before = sessions_of(through)
        with serve(a_world(10)) as emulator:
            run_sync(settings_for(emulator, through))
            run_sync(settings_for(emulator, through), SyncOptions(dry_run=True))
        assert sessions_of(through) == before
        with writing(through) as connection, connection.begin():
            assert connection.scalar(sa.text("SHOW idle_session_timeout")) == "0"


def sessions_of(url: str) -> dict[int, list[tuple[str, ...]]]:
    """Return the settings of each session in a pool of two, by backend process id."""
    with contextlib.ExitStack() as stack:
        return dict(map(left_in, hold_sessions(url, 2, stack)))


def left_in(session: psycopg.Connection) -> tuple[int, list[tuple[str, ...]]]:
    ((pid,),) = session.execute("SELECT pg_backend_pid()").fetchall()
    statement = (
        "SELECT name, setting FROM pg_settings WHERE name <> 'application_name'"
        " UNION ALL SELECT relname, 'temporary' FROM pg_class WHERE relpersistence = 't'"
        " UNION ALL SELECT name, statement FROM pg_prepared_statements ORDER BY 1"
    )
    return pid, session.execute(statement).fetchall()


def execute(url: str, statement: str) -> list[tuple[object, ...]]:
    """Return the rows of a statement that is run on the server itself."""
    with psycopg.connect(url) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_readers_leave_no_settings_in_the_session(url, mode):
    """Case 01: another program on the same pool can still write."""
    with serve(a_world(30)) as emulator:
        run_sync(settings_for(emulator, url))
        with pooled(url, mode, default_pool_size=2, server_reset_query="") as through:
            before = sessions_of(through)
            read_everything(through)
            list(examine(settings_for(emulator, through), now=utc_now))
            assert sessions_of(through) == before
            with psycopg.connect(through) as other:
                other.execute("CREATE TABLE app (i int)")
            read_everything(through)


def test_reading_uses_no_prepared_statements(url):
    """Case 03: by default the driver prepares a statement the sixth time, in a session shared with others."""
    with serve(a_world(30)) as emulator:
        run_sync(settings_for(emulator, url))
    with pooled(url, "transaction", default_pool_size=1) as through:
        for _ in range(3):
            with reading(through) as connection:
                for _ in range(8):
                    search(connection, "hello", limit=5)
                    connection.execute(sa.text("SELECT count(*) FROM tasks WHERE status = :s"), {"s": "x"})
        with psycopg.connect(through) as other:
            assert dict(left_in(other)[1]).keys().isdisjoint({"_pg3_0"})


def test_a_frame_is_one_snapshot_behind_a_pooler(url):
    with pooled(url, "transaction", default_pool_size=5) as through:
        with writing(url) as connection, connection.begin():
            for number in range(10):
                store_task(connection, str(number))
        chunks = frames.tasks(through, chunksize=1)
        next(chunks)
        with writing(url) as connection, connection.begin():
            connection.execute(sa.text("DELETE FROM tasks"))
            store_result(connection, "1", "archived")
        assert len(list(chunks)) == 9


def test_a_dry_run_in_transaction_mode_is_refused(url):
    with (
        serve(a_world(10)) as emulator,
        pooled(url, "transaction") as through,
        pytest.raises(TransactionPooler),
    ):
        run_sync(settings_for(emulator, through), SyncOptions(dry_run=True))


def test_the_doctor_reports_the_same_error_as_a_sync(url):
    with serve(a_world(10)) as emulator:
        run_sync(settings_for(emulator, url))
        for mode, words in (("transaction", "in transaction mode"), ("statement", "in statement mode")):
            with pooled(url, mode) as through:
                settings = settings_for(emulator, through)
                (found,) = [each for each in examine(settings, now=utc_now) if not each.is_good]
                assert (found.name, found.exit_code, words in found.detail) == ("database", 4, True)


def test_a_writer_whose_session_is_replaced_stops_writing(url, monkeypatch):
    """The fallback in case transaction mode was not detected at the start."""
    monkeypatch.setattr(session_settings, "detect_pooler", lambda _: True)
    with (
        pooled(url, "transaction", default_pool_size=2) as through,
        contextlib.ExitStack() as stack,
        writing(through) as connection,
    ):
        with connection.begin():
            backend = connection.scalar(sa.text("SELECT pg_backend_pid()"))
        (other,) = hold_sessions(through, 1, stack)
        assert left_in(other)[0] == backend
        with pytest.raises(TransactionPooler), connection.begin():
            store_task(connection)
    assert execute(url, "SELECT count(*) FROM tasks") == [(0,)]


def test_a_lock_held_by_another_session_of_the_pool_does_not_count(url, monkeypatch):
    """It may be left from an older release, or belong to another running sync."""
    monkeypatch.setattr(session_settings, "detect_pooler", lambda _: True)
    with pooled(url, "transaction", default_pool_size=1) as through, psycopg.connect(through) as other:
        other.execute("SELECT pg_advisory_lock(%s, hashtext('public'))", [WRITERS_LOCK])
        other.commit()
        with pytest.raises(TransactionPooler), writing(through):
            pass


def test_options_in_the_url_that_the_pooler_refuses_are_explained(url):
    with pooled(url, "session") as through:
        chosen = f"{through}?options=-csearch_path%3Dpublic"
        with pytest.raises(Exception, match="ALTER ROLE … SET search_path") as caught, reading(chosen):
            pass
        assert caught.value.exit_code == 3
