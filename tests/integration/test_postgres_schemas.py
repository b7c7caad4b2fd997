"""A copy is in one schema, which every role chooses in the same way, whatever the search path."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
import pytest
import sqlalchemy as sa
from psycopg.sql import Identifier
from sqlalchemy import make_url
from support.roles import a_role, as_superuser, role_of
from support.worlds import a_world, query, settings_for

from etl import frames, views
from etl.database import check, downgrade, ensure_schema, open_engine, reading
from etl.database.privileges import RELATIONS
from etl.database.search_path import Location, Schema
from etl.emulator import serve
from etl.errors import DatabaseError, NoTablesError, SyncRunning
from etl.sync.api import run_sync, writing
from etl.sync.doctor import examine
from etl.sync.options import SyncOptions
from etl.sync.run import utc_now

if TYPE_CHECKING:
    from collections.abc import Iterator

ODD = 'Ü "one", $two'
ALL = "GRANT ALL ON SCHEMA public TO {role}", "GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}"
EVERYTHING = (*ALL, "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO {role}")


def with_path(url: str, *schemas: str) -> str:
    """Return the URL of the same database with another search path of quoted names."""
    path = ",".join('"' + name.replace('"', '""') + '"' for name in schemas)
    options = quote(f"-csearch_path={path.replace(' ', chr(92) + ' ')}", safe="")
    return f"{url}{'&' if '?' in url else '?'}options={options}"


def relations(url: str) -> dict[str, set[str]]:
    """Return the tables and views in each schema."""
    found: dict[str, set[str]] = {}
    with psycopg.connect(url) as connection:
        statement = (
            "SELECT nspname, relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace"
            " WHERE relkind IN ('r', 'v') AND nspname NOT LIKE 'pg%' AND nspname <> 'information_schema'"
        )
        for schema, name in connection.execute(statement):
            found.setdefault(schema, set()).add(name)
    return found


WHOLE = set(RELATIONS)


@pytest.fixture
def url(postgres_databases) -> Iterator[str]:
    """Yield the URL of an empty database, as its superuser."""
    with postgres_databases.empty() as url:
        yield url


@pytest.fixture
def copied_url(postgres_databases) -> Iterator[str]:
    """Yield the URL of a database with a copy in schema public, as its superuser."""
    with postgres_databases.migrated() as url:
        yield url


@contextlib.contextmanager
def own_schema(url: str, *statements: str, name: str | None = None) -> Iterator[str]:
    """Yield the URL for a role with a schema of its own name, which the default search path includes."""
    with a_role(url, "CREATE SCHEMA AUTHORIZATION {role}", *statements, name=name) as own:
        yield own


def a_schema(name: str, **facts: bool) -> Schema:
    return Schema(name=name, **{"may_create": False, **facts})


PATHS = {
    "nothing there": ([], None),
    "nobody may create": ([a_schema("a"), a_schema("b")], None),
    "the first where one may create": ([a_schema("a"), a_schema("b", may_create=True)], "b"),
    "a new copy before an old one": ([a_schema("a", may_create=True), a_schema("b", has_copy=True)], "a"),
    "an old copy where nobody may create": ([a_schema("a"), a_schema("b", has_copy=True)], "b"),
    "the first of two copies": ([a_schema("a", has_copy=True), a_schema("b", has_copy=True)], "a"),
    "one's own schema, for want of another": ([a_schema("me", is_own=True, may_create=True)], "me"),
    "one's own schema, before an empty one": (
        [a_schema("me", is_own=True, may_create=True), a_schema("b", may_create=True)],
        "me",
    ),
    "one's own schema is not for a copy that is elsewhere": (
        [a_schema("me", is_own=True, may_create=True), a_schema("a"), a_schema("b", has_copy=True)],
        "b",
    ),
    "one's own copy": (
        [a_schema("me", is_own=True, has_copy=True), a_schema("b", has_copy=True)],
        "me",
    ),
    "one's own schema by its name": (
        [
            a_schema("me", is_own=True, may_create=True),
            a_schema("me", may_create=True),
            a_schema("b", has_copy=True),
        ],
        "me",
    ),
}


@pytest.mark.parametrize("name", PATHS)
def test_the_search_path_decides_the_schema(name):
    schemas, expected = PATHS[name]
    found = Location(role="me", path="…", encoding="UTF8", schemas=tuple(schemas)).schema
    assert (found and found.name) == expected


def test_the_first_schema_of_a_path_gets_a_copy_of_its_own(copied_url, caplog):
    """Case 05: a copy in another schema of the path is not changed."""
    as_superuser(copied_url, "CREATE SCHEMA eu")
    world = a_world(20)
    eu = with_path(copied_url, "eu", "public")
    with serve(world) as emulator, caplog.at_level(logging.WARNING):
        run_sync(settings_for(emulator, copied_url), SyncOptions(with_results=False))
        with pytest.raises(NoTablesError), reading(eu):
            pass
        run_sync(settings_for(emulator, eu), SyncOptions(with_results=False))
        (line,) = [record.getMessage() for record in caplog.records if "new copy" in record.getMessage()]
        assert "schema eu" in line
        assert "schema public" in line
        caplog.clear()
        world.delete(min(world.tasks))
        run_sync(settings_for(emulator, eu), SyncOptions(is_full=True, with_results=False))
    assert "new copy" not in caplog.text
    assert relations(copied_url) == {"eu": WHOLE, "public": WHOLE}
    gone = "SELECT count(*), count(removed_at) FROM tasks"
    assert (query(eu, gone), query(copied_url, gone)) == ([(20, 1)], [(20, 0)])
    assert len(frames.tasks(eu)) == 20
    # The locks are two as well.
    with writing(eu), writing(copied_url):
        pass


def test_two_roles_that_share_tables_share_the_lock(copied_url):
    """Case 06: the role's own schema is first in its path, but does not have the tables."""
    with own_schema(copied_url, *EVERYTHING) as own:
        for first, second in ((copied_url, own), (own, copied_url)):
            with writing(first), pytest.raises(SyncRunning), writing(second):
                pass
        with serve(a_world(20)) as emulator:
            run_sync(settings_for(emulator, own))
            run_sync(settings_for(emulator, copied_url), SyncOptions(is_full=True))
        assert query(own, "SELECT count(*) FROM sync_runs") == [(2,)]
        assert relations(copied_url) == {"public": WHOLE}


def test_an_older_release_and_this_one_use_the_same_lock(copied_url):
    """The lock has the same two keys, the second one from the name of the schema."""
    lock = "SELECT pg_try_advisory_lock(1734569842, hashtext('public'))"
    with writing(copied_url), psycopg.connect(copied_url) as other:
        assert other.execute(lock).fetchone() == (False,)
    with psycopg.connect(copied_url) as other:
        assert other.execute(lock).fetchone() == (True,)
        with pytest.raises(SyncRunning), writing(copied_url):
            pass


def older(url: str, revision: str = "0005") -> None:
    engine = open_engine(url)
    with engine.begin() as connection:
        downgrade(connection, revision)
    engine.dispose()


def test_an_upgrade_runs_in_the_schema_of_the_copy(copied_url):
    """Case 07: the owner of the tables has a schema of the same name before that of the copy."""
    older(copied_url)
    tables = ", ".join(sorted({"alembic_version", "tasks", "task_history"}))
    with own_schema(copied_url, *EVERYTHING) as own:
        as_superuser(copied_url, *reassign(copied_url, own))
        with serve(a_world(5)) as emulator:
            run_sync(settings_for(emulator, own))
        assert relations(copied_url) == {"public": WHOLE}, tables
        with reading(own) as connection:
            assert check(connection) == []


def reassign(url: str, own: str) -> list[str]:
    """Return statements that make another role the owner of the copy in public."""
    owner = Identifier(role_of(own)).as_string(None)
    with psycopg.connect(url) as connection:
        statement = (
            "SELECT CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, relname FROM pg_class"
            " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v')"
        )
        return [
            f"ALTER {kind} public.{name} OWNER TO {owner}" for kind, name in connection.execute(statement)
        ]


def test_an_upgrade_by_another_role_names_the_owner_of_the_tables(copied_url):
    older(copied_url)
    before = relations(copied_url)
    with own_schema(copied_url, *EVERYTHING) as own, serve(a_world(5)) as emulator:
        with pytest.raises(DatabaseError, match=f"belong to role {role_of(copied_url)}") as caught:
            run_sync(settings_for(emulator, own))
        assert (caught.value.exit_code, "\n" in str(caught.value)) == (4, False)
        assert f"GRANT {role_of(copied_url)} TO {role_of(own)}" in str(caught.value)
        (found,) = [each for each in examine(settings_for(emulator, own), now=utc_now) if each.exit_code]
        assert (found.exit_code, str(caught.value) in found.detail) == (4, True)
    assert relations(copied_url) == before


def test_statements_in_error_repair_copy_spread_over_schemas(copied_url):
    as_superuser(
        copied_url,
        "CREATE SCHEMA eu",
        "DROP VIEW freshness",
        *(f"ALTER TABLE transcript_{what} SET SCHEMA eu" for what in ("parts", "words")),
    )
    both = with_path(copied_url, "public", "eu")
    with serve(a_world(5)) as emulator:
        with pytest.raises(DatabaseError, match="spread over several schemas: run ALTER TABLE") as caught:
            run_sync(settings_for(emulator, both))
        assert caught.value.exit_code == 4
        statements = str(caught.value).partition(": run ")[2].split("; ")[:-1]
        as_superuser(copied_url, *statements)
        engine = open_engine(both)
        with engine.begin() as connection:
            ensure_schema(connection)
        engine.dispose()
        run_sync(settings_for(emulator, both))
    assert {*WHOLE} - relations(copied_url)["public"] == {"freshness"}


NOWHERE = {
    "no schema of the path exists": (
        ["ALTER ROLE {role} SET search_path = nowhere"],
        r"no schema of the search_path \(nowhere\) exists: .*ALTER ROLE etl_\w+ SET search_path",
    ),
    "an empty path": (["ALTER ROLE {role} SET search_path = ''"], "ALTER ROLE etl_.* SET search_path"),
    "the system's schemas only": (
        ["ALTER ROLE {role} SET search_path = pg_catalog, information_schema, pg_temp"],
        "ALTER ROLE etl_.* SET search_path",
    ),
    "no CREATE on public": (
        ["REVOKE CREATE ON SCHEMA public FROM PUBLIC"],
        r"GRANT CREATE ON SCHEMA public TO etl_\w+",
    ),
    "no USAGE either": (
        ["CREATE SCHEMA eu", "ALTER ROLE {role} SET search_path = eu"],
        r"GRANT USAGE, CREATE ON SCHEMA eu TO etl_\w+",
    ),
    "no TEMPORARY": (
        [
            "GRANT CREATE ON SCHEMA public TO {role}",
            (
                "DO $$ BEGIN EXECUTE format("
                "'REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database()); END $$"
            ),
        ],
        r"GRANT TEMPORARY ON DATABASE gcore_etl_test_\w+ TO etl_\w+",
    ),
}


@pytest.mark.parametrize("name", NOWHERE)
def test_unusable_schemas_are_reported_with_statement_to_run(url, name):
    """Case 14."""
    statements, words = NOWHERE[name]
    with a_role(url, *statements) as own, serve(a_world(5)) as emulator:
        settings = settings_for(emulator, own)
        with pytest.raises(DatabaseError, match=words) as caught:
            run_sync(settings)
        assert (caught.value.exit_code, "\n" in str(caught.value)) == (4, False)
        (found,) = [each for each in examine(settings, now=utc_now) if each.exit_code]
        assert (found.name, found.exit_code) == ("database", 4)
        assert str(caught.value) in found.detail
    assert relations(url) == {}


def test_the_statement_in_the_error_is_sufficient(url):
    with a_role(url, "REVOKE ALL ON SCHEMA public FROM PUBLIC") as own, serve(a_world(5)) as emulator:
        with pytest.raises(DatabaseError) as caught:
            run_sync(settings_for(emulator, own))
        as_superuser(url, str(caught.value).partition(": run ")[2].partition(", or set")[0])
        run_sync(settings_for(emulator, own))
        assert relations(url) == {"public": WHOLE}


@pytest.mark.parametrize("name", ["100%", "a%sb", "%(a)s", 'a"b', "a:b"])
def test_special_characters_in_a_schema_name_are_escaped(url, name):
    as_superuser(url, f"CREATE SCHEMA {Identifier(name).as_string(None)}")
    own = with_path(url, name, "public")
    with serve(a_world(5)) as emulator:
        run_sync(settings_for(emulator, own))
        assert relations(url) == {name: WHOLE}
        assert run_sync(settings_for(emulator, own)).inserted == 0
    assert len(frames.tasks(own)) == 5


def test_schema_renamed_during_a_run_fails_the_run(url):
    """Postgres would create the tables as temporary ones."""
    as_superuser(url, "CREATE SCHEMA eu")
    own, is_done = with_path(url, "eu", "public"), []
    with serve(a_world(30)) as emulator:

        def rename(*_: object) -> None:
            if not is_done:
                is_done.append(as_superuser(url, "ALTER SCHEMA eu RENAME TO us"))

        with pytest.raises(DatabaseError, match="schema eu was dropped or renamed"):
            run_sync(settings_for(emulator, own), observe=rename)


@pytest.mark.parametrize("way", ["URL", "role", "database"])
def test_a_schema_name_with_any_characters_is_found(url, way):
    as_superuser(url, f"CREATE SCHEMA {Identifier(ODD).as_string(None)}")
    own, path = url, f"nowhere, {Identifier(ODD).as_string(None)}, public"
    with contextlib.ExitStack() as stack:
        if way == "URL":
            own = with_path(url, "nowhere", ODD, "public")
        elif way == "role":
            own = stack.enter_context(
                a_role(url, f"ALTER ROLE {{role}} SET search_path = {path}", can="SUPERUSER LOGIN")
            )
        else:
            as_superuser(url, f'ALTER DATABASE "{make_url(url).database}" SET search_path = {path}')
        emulator = stack.enter_context(serve(a_world(5)))
        run_sync(settings_for(emulator, own))
        assert relations(url) == {ODD: WHOLE}
        assert len(frames.tasks(own)) == 5
        with reading(own) as connection:
            assert check(connection) == []


@pytest.mark.parametrize("path", ['"$user", public', "$user,public", ' "$user" ,"public"'])
def test_user_placeholder_in_search_path_is_recognized(copied_url, path):
    with own_schema(copied_url, *EVERYTHING, name='O\'Neill "the" role') as own:
        options = quote(f"-csearch_path={path.replace(' ', chr(92) + ' ')}", safe="")
        chosen = f"{own}{'&' if '?' in own else '?'}options={options}"
        with reading(chosen) as connection:
            assert connection.scalar(sa.text("SELECT current_schema()")) == "public"


def test_a_reader_connected_before_the_first_sync_finds_the_copy(url):
    """Over the same connection, which may have been in a pool."""
    with a_role(url, "CREATE SCHEMA eu", "GRANT USAGE ON SCHEMA eu TO {role}") as own:
        engine = open_engine(with_path(own, "nowhere", "eu"), read_only=True)
        with pytest.raises(NoTablesError):
            frames.tasks(engine)
        with serve(a_world(5)) as emulator:
            run_sync(settings_for(emulator, with_path(url, "eu")))
        as_superuser(url, "GRANT SELECT ON ALL TABLES IN SCHEMA eu TO {role}", role=role_of(own))
        assert len(frames.tasks(engine)) == 5
        engine.dispose()


def test_a_writer_stays_in_the_schema_of_its_lock(url):
    """Even if a copy appears in a schema that would have been chosen before."""
    with own_schema(url, "GRANT ALL ON SCHEMA public TO {role}") as own, writing(own) as connection:
        with serve(a_world(5)) as emulator:
            run_sync(settings_for(emulator, url))
        with connection.begin():
            assert connection.scalar(sa.text("SELECT current_schema()")) == role_of(own)


def test_temporary_tables_of_the_same_names_are_not_read(copied_url):
    """Behind a pooler, another client may have left them in the session."""
    engine = open_engine(copied_url)
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        driver.execute("CREATE TEMPORARY TABLE tasks (task_id int)")
        driver.commit()
        with connection.begin():
            assert connection.scalar(sa.text("SELECT count(status) FROM tasks")) == 0
    engine.dispose()


def test_a_copy_in_a_schema_that_a_role_may_not_use_is_named(url):
    as_superuser(url, "CREATE SCHEMA eu")
    engine = open_engine(with_path(url, "eu"))
    with engine.begin() as connection:
        ensure_schema(connection)
    engine.dispose()
    with a_role(url) as own:
        words = rf"GRANT USAGE ON SCHEMA eu TO {role_of(own)}"
        for source in (reading, writing):
            with pytest.raises(DatabaseError, match=words), source(with_path(own, "eu")):
                pass


def test_every_view_is_created_in_the_schema_of_the_copy(copied_url):
    as_superuser(copied_url, "CREATE SCHEMA eu", "CREATE VIEW eu.failures AS SELECT 1 AS one")
    engine = open_engine(with_path(copied_url, "public", "eu"))
    with engine.begin() as connection:
        downgrade(connection, "0008")
        ensure_schema(connection)
    engine.dispose()
    assert relations(copied_url) == {"eu": {"failures"}, "public": WHOLE}
    assert set(views.NAMES) <= WHOLE
