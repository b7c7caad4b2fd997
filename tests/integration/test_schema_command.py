"""What `gcore-etl schema` says is what is in the database."""

from __future__ import annotations

import json

import sqlalchemy as sa
from click.testing import CliRunner
from support.worlds import query

from etl.cli import cli
from etl.database import open_engine
from etl.relations import list_relations


def test_every_table_and_view_is_described_as_it_is(databases):
    with databases.migrated() as url:
        engine = open_engine(url)
        with engine.connect() as connection:
            found = sa.inspect(connection)
            names = {*found.get_table_names(), *found.get_view_names()}
            for each in list_relations():
                assert [column["name"] for column in found.get_columns(each.name)] == list(each.columns), (
                    each.name
                )
                assert each.comment.startswith(("One row", "Where", "A ")), each.name
        engine.dispose()
    # What is left belongs to alembic and to the full-text search.
    left = names - {each.name for each in list_relations()}
    assert all(name == "alembic_version" or name.startswith("transcript_words") for name in left), left


def test_postgres_shows_the_comments_of_views(postgres_databases):
    with postgres_databases.migrated() as url:
        rows = dict(query(url, "SELECT relname, obj_description(oid) FROM pg_class WHERE relkind = 'v'"))
    for each in list_relations():
        if each.kind == "view":
            assert rows[each.name] == each.comment


def test_the_command_prints_all_or_one_and_names_what_there_is():
    runner = CliRunner()
    lines = runner.invoke(cli, ["schema", "--json"]).stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == [each.name for each in list_relations()]
    shown = runner.invoke(cli, ["schema", "stalls"]).stdout
    assert shown.startswith("view stalls\n  One row a task in flight")
    assert "unchanged_seconds  double precision" in shown
    wrong = runner.invoke(cli, ["schema", "nonsense"])
    assert wrong.exit_code == 2
    assert "choose one of" in wrong.stderr
