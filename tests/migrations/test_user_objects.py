"""Users' objects on our tables and views survive a migration, or the migration is rejected."""

from __future__ import annotations

import uuid

import pytest
from sqlalchemy import text

from etl import database
from etl.database import revisions
from etl.errors import DatabaseError, ForeignTablesError

REVISIONS = revisions.known_revisions()
ON_TASKS = "CREATE VIEW mine AS SELECT status, count(*) AS number FROM tasks GROUP BY status"
ON_OURS = "CREATE VIEW mine AS SELECT day, status FROM task_daily"
ON_MINE = "CREATE VIEW yours AS SELECT status FROM mine"


@pytest.fixture
def engine(database_url):
    engine = database.open_engine(database_url)
    yield engine
    engine.dispose()


def run(engine, *statements):
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def ask(engine, query, **parameters):
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), parameters)]


def migrate(engine, revision="head", *, down=False):
    with engine.begin() as connection:
        (database.downgrade if down else database.upgrade)(connection, revision)


def content(engine):
    """Return everything in the catalogue about tables, views, triggers and indexes."""
    if engine.dialect.name == "sqlite":
        return ask(engine, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY type, name")
    return ask(
        engine,
        "SELECT c.relname, c.relkind, c.relacl::text, obj_description(c.oid), pg_get_viewdef(c.oid) "
        "FROM pg_class c WHERE relnamespace = 'public'\\:\\:regnamespace ORDER BY 1",
    )


def refused(engine, words, revision="head", *, down=False):
    """Assert a one-line error that names the object, exit code 4, and an unchanged database."""
    before = content(engine)
    with pytest.raises(DatabaseError, match=words) as caught, database.database_errors():
        migrate(engine, revision, down=down)
    assert content(engine) == before
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    assert "CASCADE" not in str(caught.value)
    assert f"run gcore-etl db {'downgrade' if down else 'upgrade'}" in str(caught.value)


def outdate(engine, name="task_daily"):
    """Replace a view by one with another column name, as in an older release."""
    if engine.dialect.name == "postgresql":
        run(engine, f"ALTER VIEW {name} RENAME COLUMN status TO state")
    else:
        (query,) = ask(engine, "SELECT sql FROM sqlite_master WHERE name = :name", name=name)[0]
        run(engine, f"DROP VIEW {name}", f"CREATE VIEW {name} AS SELECT status AS state FROM tasks")
        assert query


def add_trigger(engine, *, on="tasks", event="AFTER UPDATE", body="INSERT INTO log VALUES ('{0}')"):
    """Add a trigger that writes to a table of the user."""
    body = body.format(on)
    if engine.dialect.name == "sqlite":
        run(engine, f"CREATE TRIGGER note {event} ON {on} BEGIN {body}; END")
        return
    run(
        engine,
        f"CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$",
        f"CREATE TRIGGER note {event} ON {on} FOR EACH ROW EXECUTE FUNCTION note()",
    )


@pytest.mark.parametrize("revision", REVISIONS[:-1])
def test_user_objects_survive_upgrade_from_any_revision(engine, revision):
    """Every migration changes the table in place."""
    migrate(engine, revision)
    run(
        engine,
        "CREATE TABLE log (what TEXT)",
        "INSERT INTO tasks (task_id, first_seen_at, changed_at)"
        " VALUES ('a', '2026-06-26 12:00:00.000000', '2026-06-26 12:00:00.000000')",
        ON_TASKS,
        ON_MINE,
        "CREATE INDEX mine_lower ON tasks (lower(url))",
        "CREATE INDEX mine_partial ON tasks (category DESC) WHERE category IS NOT NULL",
        "ALTER TABLE tasks ADD COLUMN note TEXT DEFAULT 'mine'",
    )
    add_trigger(engine)
    migrate(engine)
    assert ask(engine, "SELECT number FROM mine") == [(1,)]
    assert ask(engine, "SELECT count(*) FROM yours") == [(1,)]
    assert ask(engine, "SELECT note FROM tasks") == [("mine",)]
    before = len(ask(engine, "SELECT * FROM log"))
    run(engine, "UPDATE tasks SET url = 'x'")
    assert len(ask(engine, "SELECT * FROM log")) == before + 1
    names = "sqlite_master WHERE type = 'index'" if engine.dialect.name == "sqlite" else "pg_indexes"
    column = "name" if engine.dialect.name == "sqlite" else "indexname"
    assert {("mine_lower",), ("mine_partial",)} <= set(ask(engine, f"SELECT {column} FROM {names}"))


@pytest.mark.parametrize("revision", ["0008", "0004", "0003"])
def test_user_objects_on_remaining_tables_survive_downgrade(engine, revision):
    migrate(engine)
    run(engine, "CREATE TABLE log (what TEXT)", ON_TASKS, "CREATE INDEX mine_lower ON tasks (lower(url))")
    add_trigger(engine)
    migrate(engine, revision, down=True)
    run(
        engine,
        "INSERT INTO tasks (task_id, first_seen_at, changed_at)"
        " VALUES ('a', '2026-06-26 12:00:00.000000', '2026-06-26 12:00:00.000000')",
        "UPDATE tasks SET url = 'x'",
    )
    assert ask(engine, "SELECT number FROM mine") == [(1,)]
    assert ask(engine, "SELECT * FROM log") == [("tasks",)]
    migrate(engine)
    assert ask(engine, "SELECT number FROM mine") == [(1,)]


@pytest.mark.parametrize("statements", [[ON_OURS], [ON_OURS, ON_MINE]])
def test_user_view_on_our_view_survives_upgrade(engine, statements):
    migrate(engine)
    run(engine, *statements)
    migrate(engine)
    assert ask(engine, "SELECT * FROM mine") == []


@pytest.mark.parametrize("statements", [[ON_OURS], [ON_OURS, ON_MINE]])
def test_user_view_on_dropped_view_blocks_downgrade(engine, statements):
    migrate(engine)
    run(engine, *statements)
    refused(engine, "the view mine", "0008", down=True)
    refused(engine, "the view mine", "base", down=True)


def test_user_view_that_would_break_blocks_upgrade(engine):
    migrate(engine)
    outdate(engine)
    run(engine, "CREATE VIEW mine AS SELECT state FROM task_daily", ON_MINE.replace("status", "state"))
    refused(engine, "the view mine")


@pytest.mark.parametrize("query", ["SELECT detail FROM tasks", "SELECT failures FROM task_results"])
def test_user_view_on_dropped_column_blocks_downgrade(engine, query):
    migrate(engine)
    run(engine, f"CREATE VIEW mine AS {query}")
    refused(engine, "mine", "0008", down=True)


@pytest.mark.parametrize("on, revision", [("sync_runs", "0002"), ("transcript_parts", "0005")])
def test_trigger_on_dropped_table_blocks_downgrade(engine, on, revision):
    """It would be dropped silently with the table."""
    migrate(engine)
    run(engine, "CREATE TABLE log (what TEXT)")
    add_trigger(engine, on=on)
    refused(engine, f"the trigger note on {on} would be lost", revision, down=True)


def test_index_on_dropped_column_blocks_downgrade(engine):
    migrate(engine)
    run(engine, "CREATE INDEX mine ON tasks (detail_due_at, url)")
    refused(engine, "the index mine", "0008", down=True)


def test_foreign_key_to_dropped_table_blocks_downgrade(engine):
    migrate(engine)
    run(engine, "CREATE TABLE notes (run INTEGER REFERENCES sync_runs (run_id), note TEXT)")
    refused(engine, "notes", "0002", down=True)
    migrate(engine, "0008", down=True)


def test_user_table_named_like_our_view_is_rejected(engine):
    migrate(engine, "0008")
    run(engine, "CREATE TABLE task_daily (day TEXT)")
    with (
        pytest.raises(ForeignTablesError, match="task_daily is a table") as caught,
        engine.begin() as connection,
    ):
        database.ensure_schema(connection)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", ["outcomes", "freshness"])
def test_user_view_named_like_new_view_blocks_upgrade(engine, name):
    """It existed before ours, and could not be restored."""
    migrate(engine, "0006")
    run(engine, f"CREATE VIEW {name} AS SELECT status FROM tasks")
    refused(engine, f"{name} is a view of yours")
    migrate(engine, "0003", down=True)
    assert ask(engine, f"SELECT * FROM {name}") == []
    run(engine, f"DROP VIEW {name}")
    migrate(engine)


def test_revision_mismatch_is_a_one_line_error(engine):
    migrate(engine)
    run(engine, "UPDATE alembic_version SET version_num = '0008'")
    with pytest.raises(DatabaseError, match="cannot go to schema head") as caught:
        migrate(engine)
    assert "\n" not in str(caught.value)


@pytest.fixture
def sqlite(sqlite_databases):
    with sqlite_databases.migrated() as url:
        engine = database.open_engine(url)
        yield engine
        engine.dispose()


def test_trigger_on_changed_view_survives_upgrade(sqlite):
    """SQLite can change a view only by dropping it, which also drops its triggers."""
    run(sqlite, "CREATE TABLE log (what TEXT)")
    outdate(sqlite)
    add_trigger(sqlite, on="task_daily", event="INSTEAD OF INSERT")
    migrate(sqlite)
    assert ask(sqlite, "SELECT count(*) FROM sqlite_master WHERE name = 'note'") == [(1,)]
    run(sqlite, "INSERT INTO task_daily (day) VALUES ('2026-06-26')")
    assert ask(sqlite, "SELECT * FROM log") == [("task_daily",)]
    refused(sqlite, "the trigger note on task_daily would be lost", "0008", down=True)


def test_trigger_using_dropped_column_blocks_downgrade(sqlite):
    run(sqlite, "CREATE TRIGGER note AFTER UPDATE ON tasks BEGIN SELECT NEW.detail; END")
    refused(sqlite, "the trigger note", "0008", down=True)


def test_trigger_that_would_break_blocks_upgrade(sqlite):
    """It would fail every later sync."""
    outdate(sqlite)
    run(sqlite, "CREATE TRIGGER note AFTER UPDATE ON tasks BEGIN SELECT state FROM task_daily; END")
    refused(sqlite, "the trigger note on tasks would no longer work")


def test_already_broken_objects_do_not_block_upgrade(sqlite):
    migrate(sqlite, "0003", down=True)
    run(
        sqlite,
        "CREATE VIEW broken AS SELECT * FROM nowhere",
        "CREATE TRIGGER note AFTER DELETE ON tasks BEGIN INSERT INTO nowhere VALUES (1); END",
    )
    migrate(sqlite)
    assert {"broken", "note"} <= {name for _, name, *_ in content(sqlite)}


def test_names_that_need_quoting_are_handled(sqlite):
    name = '"it\'s ""mine"""'
    run(sqlite, f'CREATE VIEW {name} AS SELECT status AS "a {{b}}" FROM tasks')
    run(sqlite, f'CREATE TRIGGER "a b" INSTEAD OF UPDATE ON {name} BEGIN SELECT 1; END')
    migrate(sqlite)
    migrate(sqlite, "0003", down=True)
    migrate(sqlite)


@pytest.mark.parametrize("legacy", ["ON", "OFF"])
def test_user_view_survives_both_alter_table_modes(sqlite, legacy):
    run(sqlite, ON_TASKS, f"PRAGMA legacy_alter_table = {legacy}")
    for revision in ("0003", "0001"):
        migrate(sqlite, revision, down=True)
    migrate(sqlite)
    assert ask(sqlite, "SELECT * FROM mine") == []


def test_error_quotes_user_trigger_that_aborts_upgrade(sqlite):
    migrate(sqlite, "0008", down=True)
    run(
        sqlite,
        "INSERT INTO tasks (task_id, status, first_seen_at, changed_at)"
        " VALUES ('a', 'REVOKED', '2026-06-26 12:00:00.000000', '2026-06-26 12:00:00.000000')",
        "CREATE TRIGGER note BEFORE UPDATE ON tasks BEGIN SELECT raise(ABORT, 'hands off'); END",
    )
    with (
        pytest.raises(DatabaseError, match="a trigger of yours that refuses the change: hands off"),
        database.database_errors(),
    ):
        migrate(sqlite)


def test_sqlite_without_drop_column_is_rejected(sqlite, monkeypatch):
    monkeypatch.setattr("sqlite3.sqlite_version_info", (3, 34, 1))
    with pytest.raises(DatabaseError, match=r"SQLite 3\.35 or newer"):
        migrate(sqlite, "0008", down=True)


@pytest.fixture
def postgres(postgres_databases):
    with postgres_databases.migrated() as url:
        engine = database.open_engine(url)
        yield engine
        engine.dispose()


@pytest.fixture
def role(postgres):
    """Yield a role that exists during the test; roles belong to the whole server."""
    name = f"Analyst {uuid.uuid4().hex[:8]}"
    run(postgres, f'CREATE ROLE "{name}"', f'GRANT ALL ON SCHEMA public TO "{name}"')
    yield f'"{name}"'
    run(postgres, f'DROP OWNED BY "{name}" CASCADE', f'DROP ROLE "{name}"')


def rights(engine, name):
    return ask(
        engine,
        "SELECT attname, privilege_type, is_grantable, grantee\\:\\:regrole\\:\\:text FROM ("
        " SELECT NULL AS attname, (aclexplode(relacl)).* FROM pg_class WHERE relname = :name UNION ALL"
        " SELECT attname, (aclexplode(attacl)).* FROM pg_attribute WHERE attrelid = to_regclass(:name)"
        ") AS x ORDER BY 1, 2, 3, 4",
        name=name,
    )


def attached(engine, name):
    return [
        rights(engine, name),
        ask(
            engine,
            "SELECT relowner\\:\\:regrole\\:\\:text, reloptions, col_description(oid, 1), oid"
            " FROM pg_class WHERE relname = :name",
            name=name,
        ),
    ]


@pytest.mark.parametrize("is_outdated", [False, True])
def test_grants_owner_options_and_comments_are_kept(postgres, role, is_outdated):
    """Even if the view must be dropped, and the database has default privileges."""
    run(
        postgres,
        f"GRANT SELECT ON task_daily TO {role} WITH GRANT OPTION",
        f"GRANT UPDATE (day) ON task_daily TO {role}",
        "GRANT SELECT (task_name) ON task_daily TO PUBLIC",
        "COMMENT ON COLUMN task_daily.day IS 'it''s 100%% mine'",
        "ALTER VIEW task_daily SET (security_invoker = true)",
        f"ALTER VIEW task_daily OWNER TO {role}",
        f"ALTER DEFAULT PRIVILEGES GRANT DELETE ON TABLES TO {role}",
        "ALTER DEFAULT PRIVILEGES GRANT TRUNCATE ON TABLES TO PUBLIC",
    )
    grants, [(*facts, oid)] = attached(postgres, "task_daily")
    if is_outdated:
        outdate(postgres, "task_timeline")
    migrate(postgres)
    grants_after, [(*facts_after, oid_after)] = attached(postgres, "task_daily")
    assert (oid_after != oid) == is_outdated
    assert facts_after == facts
    assert without(role, grants_after) == without(role, grants)
    if is_outdated:
        assert "status" in columns(postgres, "task_timeline")


def without(owner, grants):
    return [grant for grant in grants if grant[3] != owner]


def columns(engine, name):
    query = "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(:name) AND attnum > 0"
    return [column for (column,) in ask(engine, query, name=name)]


def test_unchanged_views_are_not_dropped(postgres):
    """A view with dependent objects stays in place while another one is replaced."""
    run(postgres, "CREATE VIEW mine AS SELECT * FROM freshness")
    outdate(postgres, "retries")
    migrate(postgres)
    assert ask(postgres, "SELECT count(*) FROM mine") == [(1,)]
    assert "status" in columns(postgres, "retries")


@pytest.mark.parametrize(
    "statement, words",
    [
        (
            "CREATE VIEW reporting.mine AS SELECT day FROM task_daily",
            "the view reporting.mine of role {role}",
        ),
        (
            "CREATE MATERIALIZED VIEW reporting.mine AS SELECT day FROM task_daily",
            "the materialized view reporting.mine of role {role}",
        ),
        (
            "CREATE FUNCTION reporting.mine() RETURNS SETOF task_daily LANGUAGE sql AS 'TABLE task_daily'",
            r"function reporting.mine\(\) depends on task_daily",
        ),
        ("CREATE TABLE reporting.mine (day task_daily)", "column day of table reporting.mine depends on"),
        (
            "CREATE RULE mine AS ON INSERT TO task_daily DO INSTEAD NOTHING",
            "the rule mine on task_daily would be lost",
        ),
        (
            (
                "CREATE TRIGGER mine INSTEAD OF INSERT ON task_daily FOR EACH ROW"
                " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
            ),
            "the trigger mine on task_daily would be lost",
        ),
    ],
)
def test_user_objects_on_dropped_view_block_migration(postgres, role, statement, words):
    run(postgres, f"CREATE SCHEMA reporting AUTHORIZATION {role}", f"GRANT SELECT ON task_daily TO {role}")
    outdate(postgres)
    if "INSERT" in statement:
        run(postgres, statement)
    else:
        run(postgres, f"SET LOCAL ROLE {role}", statement)
    refused(postgres, words.format(role=role.strip('"')))
    refused(postgres, words.format(role=role.strip('"')), "0008", down=True)


def test_indirectly_dependent_user_views_block_upgrade(postgres):
    run(
        postgres,
        "CREATE VIEW mine AS SELECT day FROM task_daily",
        "CREATE VIEW yours AS SELECT day FROM mine",
    )
    outdate(postgres, "task_timeline")
    refused(postgres, "the view mine of role postgres depends on task_daily")


def test_comment_on_unchanged_view_is_kept(postgres):
    run(postgres, "COMMENT ON VIEW freshness IS 'mine'")
    migrate(postgres)
    assert ask(postgres, "SELECT obj_description('freshness'\\:\\:regclass)") == [("mine",)]


def test_policy_on_dropped_table_blocks_downgrade(postgres):
    run(postgres, "CREATE POLICY mine ON sync_runs USING (true)")
    refused(postgres, "the policy mine on sync_runs would be lost", "0002", down=True)
