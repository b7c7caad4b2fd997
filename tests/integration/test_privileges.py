"""Privileges of Postgres roles: missing ones are named with their GRANT statement."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import make_url
from support.roles import a_role, as_superuser, role_of
from support.worlds import NOW, a_world, query, settings_for, stored_states, true_states

from etl import frames
from etl.database import open_engine, reading
from etl.database.privileges import RELATIONS, SEQUENCES
from etl.database.session_settings import location_of
from etl.emulator import serve
from etl.errors import DatabaseError
from etl.export import export
from etl.report import report
from etl.search import search
from etl.sync.api import ensure_writable, run_sync, writing
from etl.sync.doctor import examine
from etl.sync.options import SyncOptions
from etl.sync.retry_rejected import iter_rejected, retry_rejected
from etl.sync.run import utc_now
from etl.sync.status import read_status, recent_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from etl.emulator import Emulator

READER = ("GRANT USAGE ON SCHEMA public TO {role}", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
# The privileges that a sync needs on each table, and no more.
TABLES = {
    "alembic_version": ("SELECT",),
    "detections": ("SELECT", "INSERT", "DELETE"),
    "rejected_records": ("SELECT", "INSERT"),
    "subtitles": ("SELECT", "INSERT", "DELETE"),
    "sync_runs": ("SELECT", "INSERT", "UPDATE"),
    "sync_state": ("SELECT", "UPDATE"),
    "task_history": ("SELECT", "INSERT"),
    "task_results": ("SELECT", "INSERT", "UPDATE"),
    "tasks": ("SELECT", "INSERT", "UPDATE"),
    "transcript_parts": ("SELECT", "INSERT", "DELETE"),
    "transcript_words": ("SELECT", "INSERT", "DELETE"),
}
WRITER = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    *(f"GRANT {', '.join(needs)} ON {name} TO {{role}}" for name, needs in TABLES.items()),
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
)


@pytest.fixture
def url(postgres_databases) -> Iterator[str]:
    """Yield the URL of a database at head, as its superuser; no other role has privileges."""
    with postgres_databases.migrated() as url:
        name = make_url(url).database
        as_superuser(
            url,
            "REVOKE ALL ON SCHEMA public FROM PUBLIC",
            f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC',
            f'GRANT CONNECT, TEMPORARY ON DATABASE "{name}" TO PUBLIC',
        )
        yield url


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """Serve a world in which a sync uses every table."""
    with serve(a_world(60)) as emulator:
        yield emulator


def change(emulator: Emulator) -> None:
    """Create, change, finish and delete tasks, and add a record without an id."""
    world = emulator.world
    name = f"broken {world.now}"
    world.add_raw(name, b'{"task_id":7,"n":"%s"}' % name.encode())
    world.advance(dt.timedelta(hours=2))
    for task in sorted(world.tasks.values(), key=lambda task: task.task_id):
        if task.status == "STARTED":
            world.finish(task.task_id)
    world.create(created_at=world.now)
    world.delete(min(task.task_id for task in world.tasks.values() if task.status == "SUCCESS"))


def test_a_read_only_role_reads_everything(url, emulator, tmp_path):
    run_sync(settings_for(emulator, url))
    with a_role(url, *READER, "ALTER ROLE {role} SET default_transaction_read_only = on") as own:
        with reading(own) as connection:
            assert read_status(connection).present == 60
            assert len(recent_runs(connection, limit=5)) == 1
            assert list(iter_rejected(connection, limit=5)) == []
            search(connection, "the", limit=3)
        assert len(frames.tasks(own)) == 60
        assert export("task_timeline", tmp_path / "t.csv", source=own) == 60
        assert "<html" in report(own, until=NOW)


def test_a_writer_needs_no_more_than_the_listed_privileges(url, emulator):
    with a_role(url, *WRITER) as own:
        settings = settings_for(emulator, own)
        for mode in (SyncOptions(), SyncOptions(is_full=True), SyncOptions(dry_run=True)):
            run_sync(settings, mode)
            change(emulator)
        assert [finding for finding in examine(settings, now=utc_now) if finding.exit_code] == []
        run_sync(settings, SyncOptions(is_full=True))
        expected = true_states(emulator.world).items()
        assert stored_states(own) == {name: state for name, state in expected if "broken" not in name}


LACKING = [(name, privilege) for name, needs in TABLES.items() for privilege in needs]


def test_each_missing_privilege_is_named_and_granting_it_is_sufficient(url, emulator):
    """After the statements of the error are run, nothing is missing."""
    with a_role(url, *WRITER) as own:
        for name, privilege in LACKING:
            as_superuser(url, f"REVOKE {privilege} ON {name} FROM {{role}}", role=role_of(own))
            with pytest.raises(DatabaseError) as caught:
                open_for_writing(own)
            line = str(caught.value)
            assert line.endswith(f": run GRANT {privilege} ON public.{name} TO {role_of(own)}"), line
            as_superuser(url, line.partition(": run ")[2])
            open_for_writing(own)
        run_sync(settings_for(emulator, own))


def open_for_writing(url: str) -> None:
    """Run the checks at the start of a sync."""
    with writing(url) as connection, connection.begin():
        ensure_writable(connection, migrate=False)


def refused(settings) -> str:
    """Return the error of a sync, which the doctor must report as well."""
    with pytest.raises(DatabaseError) as caught:
        run_sync(settings)
    assert (caught.value.exit_code, "\n" in str(caught.value)) == (4, False)
    found = [each for each in examine(settings, now=utc_now) if each.exit_code]
    assert [(each.name, each.exit_code, each.detail) for each in found] == [
        ("database", 4, str(caught.value))
    ]
    return str(caught.value)


OTHERS = {
    "a sequence": (
        ["REVOKE ALL ON SEQUENCE task_history_history_id_seq FROM {role}"],
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}",
    ),
    "temporary tables": (
        ["REVOKE TEMPORARY ON DATABASE {database} FROM PUBLIC"],
        "GRANT TEMPORARY ON DATABASE {database} TO {role}",
    ),
    "a column": (
        [
            "REVOKE UPDATE ON tasks FROM {role}",
            "GRANT UPDATE (status, progress) ON tasks TO {role}",
        ],
        "GRANT UPDATE ON public.tasks TO {role}",
    ),
    "all but reading": (
        [
            "REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public FROM {role}",
            "REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {role}",
        ],
        (
            "GRANT INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}; "
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {role}"
        ),
    ),
    "the schema": (["REVOKE USAGE ON SCHEMA public FROM {role}"], "GRANT USAGE ON SCHEMA public TO {role}"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_missing_privileges_are_named(url, emulator, name):
    run_sync(settings_for(emulator, url))
    statements, words = OTHERS[name]
    database = make_url(url).database
    statements = [each.replace("{database}", f'"{database}"') for each in statements]
    with a_role(url, *WRITER, *statements) as own:
        line = refused(settings_for(emulator, own))
        assert line.endswith(words.format(role=role_of(own), database=database)), line
        as_superuser(url, *line.partition("run ")[2].split("; "))
        run_sync(settings_for(emulator, own))


def test_privileges_on_every_column_are_sufficient(url, emulator):
    with psycopg.connect(url) as connection:
        names = [
            name
            for (name,) in connection.execute(
                "SELECT attname FROM pg_attribute WHERE attrelid = 'tasks'::regclass AND attnum > 0"
            )
        ]
    columns = ", ".join(names)
    changes = [f"REVOKE {each} ON tasks FROM {{role}}" for each in ("SELECT", "INSERT", "UPDATE")]
    changes += [f"GRANT {each} ({columns}) ON tasks TO {{role}}" for each in ("SELECT", "INSERT", "UPDATE")]
    with a_role(url, *WRITER, *changes) as own:
        run_sync(settings_for(emulator, own))


def test_row_level_security_is_refused_before_a_sync(url, emulator):
    run_sync(settings_for(emulator, url))
    policy = ("ALTER TABLE tasks ENABLE ROW LEVEL SECURITY",)
    with a_role(url, *WRITER, *policy) as own:
        line = refused(settings_for(emulator, own))
        assert "row-level security may hide rows of table tasks" in line
        # A role that may see only some rows reads those.
        as_superuser(
            url, "CREATE POLICY ended ON tasks USING (status = 'SUCCESS')", *READER, role=role_of(own)
        )
        assert set(frames.tasks(own)["status"]) == {"SUCCESS"}
        as_superuser(url, line.partition(", or ")[2])
        run_sync(settings_for(emulator, own))


def test_a_policy_created_during_a_run_is_an_error_for_the_writer(url):
    with a_role(url, *WRITER) as own, writing(own) as connection:
        as_superuser(url, "ALTER TABLE tasks ENABLE ROW LEVEL SECURITY")
        with pytest.raises(sa.exc.DBAPIError, match="row-level security"), connection.begin():
            connection.execute(sa.text("SELECT count(*) FROM tasks"))


def test_a_reader_gets_the_missing_grants(url, emulator, tmp_path):
    run_sync(settings_for(emulator, url))
    calls = {
        "tasks": frames.tasks,
        "task_timeline": lambda own: export("task_timeline", tmp_path / "t.csv", source=own),
        "alembic_version": lambda own: query(own, "SELECT 1"),
    }
    for name, call in calls.items():
        with a_role(url, *READER, f"REVOKE SELECT ON {name} FROM {{role}}") as own:
            with pytest.raises(DatabaseError) as caught:
                call(own)
            assert caught.value.exit_code == 4
            assert str(caught.value).endswith(f": run GRANT SELECT ON public.{name} TO {role_of(own)}")
            as_superuser(url, str(caught.value).partition(": run ")[2])
            call(own)
    with a_role(url, READER[0]) as own, pytest.raises(DatabaseError, match="ON ALL TABLES IN SCHEMA public"):
        frames.tasks(own)


def test_a_reader_with_its_own_engine_gets_the_missing_grants(url):
    with a_role(url, *READER, "REVOKE SELECT ON tasks FROM {role}") as own:
        engine = sa.create_engine(make_url(own).set(drivername="postgresql+psycopg"))
        with pytest.raises(DatabaseError, match=r"GRANT SELECT ON public\.tasks TO"):
            frames.tasks(engine)
        with engine.connect() as connection, pytest.raises(DatabaseError, match="permission denied"):
            frames.tasks(connection)
        engine.dispose()


def test_a_dry_run_needs_select_and_temporary_tables(url, emulator):
    run_sync(settings_for(emulator, url))
    name = make_url(url).database
    with a_role(url, *READER) as own:
        run_sync(settings_for(emulator, own), SyncOptions(dry_run=True))
        as_superuser(url, f'REVOKE TEMPORARY ON DATABASE "{name}" FROM PUBLIC')
        with pytest.raises(DatabaseError, match=f"GRANT TEMPORARY ON DATABASE {name} TO"):
            run_sync(settings_for(emulator, own), SyncOptions(dry_run=True))


def test_a_retry_of_rejected_records_gets_the_missing_grants(url, emulator):
    change(emulator)
    run_sync(settings_for(emulator, url))
    with a_role(url, *WRITER) as own:
        with (
            pytest.raises(DatabaseError, match=r"GRANT DELETE ON public\.rejected_records|ALL TABLES"),
            writing(own) as connection,
            connection.begin(),
        ):
            connection.execute(sa.text("DELETE FROM rejected_records"))
        as_superuser(url, "GRANT DELETE ON rejected_records TO {role}", role=role_of(own))
        with writing(own) as connection, connection.begin():
            assert retry_rejected(connection).still_rejected == 1


def test_the_listed_privileges_cover_every_table_and_view(url):
    with reading(url) as connection:
        inspector = sa.inspect(connection)
        assert {*inspector.get_table_names(), *inspector.get_view_names()} == set(RELATIONS)
        numbered = connection.execute(
            sa.text("SELECT relname FROM pg_class WHERE relkind = 'S' ORDER BY 1")
        ).scalars()
        assert list(numbered) == sorted(f"{table}_{column}_seq" for table, column in SEQUENCES.items())


def put_sequences_back(url: str) -> None:
    """Reset the sequences, as after copying rows by hand."""
    names = (f"{table}_{column}_seq" for table, column in SEQUENCES.items())
    as_superuser(url, *(f"SELECT setval('{name}', 1, false)" for name in names))


def test_lagging_sequences_are_advanced_by_the_next_sync(url, emulator):
    """Rows copied from SQLite leave all sequences at one."""
    for _ in range(3):
        run_sync(settings_for(emulator, url), SyncOptions(is_full=True))
        change(emulator)
    put_sequences_back(url)
    settings = settings_for(emulator, url)
    assert [finding for finding in examine(settings, now=utc_now) if finding.exit_code] == []
    summary = run_sync(settings, SyncOptions(is_full=True))
    assert summary.run_id == 4
    ids = [row for (row,) in query(url, "SELECT history_id FROM task_history ORDER BY history_id")]
    assert ids == list(range(1, len(ids) + 1))


def test_other_sequences_are_not_changed(url, emulator):
    run_sync(settings_for(emulator, url))
    as_superuser(url, "SELECT setval('sync_runs_run_id_seq', 100)")
    assert run_sync(settings_for(emulator, url)).run_id == 101


def test_role_that_may_not_set_sequence_gets_statement_for_owner(url, emulator):
    run_sync(settings_for(emulator, url))
    put_sequences_back(url)
    with a_role(url, *WRITER) as own:
        line = refused(settings_for(emulator, own))
        assert "run SELECT setval('public.sync_runs_run_id_seq', 1) as its owner" in line
        as_superuser(url, line.partition(": run ")[2].partition(" as its")[0])
        line = refused(settings_for(emulator, own))
        assert "run SELECT setval('public.task_history_history_id_seq', 60) as its owner" in line
        as_superuser(url, line.partition(": run ")[2].partition(" as its")[0])
        assert run_sync(settings_for(emulator, own)).run_id == 2


def test_the_doctor_rolls_everything_back(url, emulator):
    run_sync(settings_for(emulator, url))
    before = (query(url, "SELECT * FROM sync_runs"), query(url, "SELECT * FROM sync_state"))
    list(examine(settings_for(emulator, url), now=utc_now))
    assert (query(url, "SELECT * FROM sync_runs"), query(url, "SELECT * FROM sync_state")) == before
    assert run_sync(settings_for(emulator, url)).run_id == 2


def test_location_is_known_only_inside_a_transaction(url):
    engine = open_engine(url)
    with engine.connect() as connection:
        assert location_of(connection) is None
        with connection.begin():
            assert location_of(connection).schema.name == "public"
    engine.dispose()


DOCUMENTED = Path(__file__).parents[2] / "docs" / "postgres.md"


def test_the_documented_grants_are_sufficient(postgres_databases, emulator):
    """They are documented in the order in which they are needed."""
    owner, analyst, syncer = re.findall(r"```sql\n(.*?)```", DOCUMENTED.read_text("utf-8"), re.DOTALL)
    with postgres_databases.empty() as url:
        name = make_url(url).database
        nothing = ("REVOKE ALL ON SCHEMA public FROM PUBLIC", f'REVOKE ALL ON DATABASE "{name}" FROM PUBLIC')

        def granting(statements: str, role: str) -> str:
            return statements.replace("DATABASE gcore", f'DATABASE "{name}"').replace(
                f"TO {role}", "TO {role}"
            )

        with a_role(url, *nothing, granting(owner, "etl")) as own:
            run_sync(settings_for(emulator, own))
            with a_role(url, granting(analyst, "analyst")) as reader, reading(reader) as connection:
                assert read_status(connection).present == 60
            with a_role(url, granting(syncer, "syncer")) as other:
                change(emulator)
                assert run_sync(settings_for(emulator, other)).inserted == 1
                with writing(other) as connection, connection.begin():
                    assert retry_rejected(connection).still_rejected == 1
