"""`gcore-etl schema` describes what is in the database."""

from __future__ import annotations

import json
import subprocess
import sys

import sqlalchemy as sa
from click.testing import CliRunner
from support.worlds import query

from etl.catalog import ColumnType, list_catalog
from etl.cli import cli
from etl.database import open_engine

# What Postgres calls the types of the catalog.
ON_POSTGRES = {
    "text": {"text"},
    "timestamp": {"timestamp with time zone"},
    "integer": {"integer", "bigint"},
    "double precision": {"double precision"},
    "boolean": {"boolean"},
    "json": {"jsonb"},
    "bytes": {"bytea"},
}


def test_the_description_matches_both_databases(databases):
    with databases.migrated() as url:
        engine = open_engine(url)
        with engine.connect() as connection:
            found = sa.inspect(connection)
            names = {*found.get_table_names(), *found.get_view_names()}
            for each in list_catalog():
                in_database = {column["name"] for column in found.get_columns(each.name)}
                assert in_database == set(each.columns), each.name
                assert each.comment.startswith(("One row", "The state", "A ")), each.name
        engine.dispose()
    # The rest belongs to Alembic and to the full-text search.
    others = names - {each.name for each in list_catalog()}
    assert all(name == "alembic_version" or name.startswith("transcript_words") for name in others), others


def test_postgres_has_the_types_and_comments_of_the_catalog(postgres_databases):
    columns = (
        "SELECT column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND table_name = '{}'"
    )
    with postgres_databases.migrated() as url:
        comments = dict(query(url, "SELECT relname, obj_description(oid) FROM pg_class WHERE relkind = 'v'"))
        for each in list_catalog():
            stored = dict(query(url, columns.format(each.name)))
            for name, kind in each.sql_types.items():
                assert stored[name] in ON_POSTGRES[kind], (each.name, name)
            if each.kind == "view":
                assert comments[each.name] == each.comment


def test_day_column_is_text_in_sql():
    assert ColumnType.DAY.sql_name == "text"


def test_the_command_prints_all_or_one_and_lists_the_choices():
    runner = CliRunner()
    lines = runner.invoke(cli, ["schema", "--json"]).stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == [each.name for each in list_catalog()]
    assert {tuple(json.loads(line)) for line in lines} == {("name", "kind", "comment", "columns")}
    shown = runner.invoke(cli, ["schema", "stalls"]).stdout
    assert shown.startswith("view stalls\n  One row per task in flight")
    assert "unchanged_seconds  double precision" in shown
    assert max(map(len, shown.splitlines())) <= 100
    wrong = runner.invoke(cli, ["schema", "nonsense"])
    assert wrong.exit_code == 2
    assert "choose one of" in wrong.stderr


def test_with_a_database_the_command_checks_its_schema(databases, database_url):
    runner = CliRunner()
    without_tables = runner.invoke(cli, ["schema", "tasks", "-d", database_url])
    assert without_tables.exit_code == 4
    assert "gcore-etl sync" in without_tables.stderr
    with databases.migrated() as url:
        checked = runner.invoke(cli, ["schema", "tasks", "-d", url])
    assert (checked.exit_code, checked.stderr) == (0, "")
    assert checked.stdout == runner.invoke(cli, ["schema", "tasks"]).stdout


def test_the_command_imports_neither_pandas_nor_numpy():
    program = (
        "import sys\n"
        "from etl.cli import cli\n"
        "cli(['schema', 'freshness'], standalone_mode=False)\n"
        "assert not {'pandas', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("view freshness\n")
