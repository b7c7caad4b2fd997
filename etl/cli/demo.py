"""`gcore-etl demo`: syncs, queries, search and a report, against the emulator instead of an account."""

from __future__ import annotations

import datetime as dt
import importlib.util
import shlex
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import click

from etl.cli.console import print_data, print_table
from etl.cli.emulator import import_emulator
from etl.cli.report import import_report, write
from etl.cli.run_report import print_summary
from etl.cli.signals import interruptible
from etl.durations import format_duration
from etl.enums import TaskStatus
from etl.queries import saved_queries
from etl.settings import Settings, parse_api_key

if TYPE_CHECKING:
    import sqlalchemy as sa

# The client of the demo's account.
CLIENT_ID = 2_675
TASKS, SPAN = 2000, dt.timedelta(days=30)
SEARCH_TEXT = "grosse mussen"  # finds "größe" and "müssen": accents are ignored
SYNCS, STEP = 4, dt.timedelta(minutes=10)
DELETED_TASKS = 3  # before the last sync
SHOWN_SUBTITLE_LINES = 6
# Fewer than the default, so that the demo shows pending results.
MAX_RESULTS = 400
# Names of saved queries.
QUESTIONS = ("types", "waits", "gone", "errors", "to_fetch")


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="gcore_demo.db",
    show_default=True,
    help="SQLite file to create. The database of an earlier demo is replaced.",
)
def demo(*, output: Path) -> None:
    """
    Try gcore-etl without an account.

    Starts an emulator of the API, syncs a few times while tasks progress, runs queries and a search, and
    writes a report.
    """
    from etl.database import reading, sqlite_url

    reporting = import_report(output)
    import_emulator()
    url = sqlite_url(output)
    _clear(output, url)
    print_data(f"Starting a local emulator of the API, with {TASKS:,} tasks of the last {SPAN.days} days.\n")
    with interruptible():
        # The emulator's clock starts in the past and reaches the present with the last sync.
        fill(url, now=dt.datetime.now(dt.UTC) - (SYNCS - 1) * STEP)
    command, database = _command(), f"-d {shlex.quote(url)}"
    with reading(url) as connection:
        _answer(connection)
        _search(connection, f"{command} search '{SEARCH_TEXT}' --limit 2 {database}")
    page = output.with_name(f"{output.stem}_report.html")
    _heading("How was the last month?")
    print_data(f"  {command} report -o {shlex.quote(str(page))} {database}")
    write(page, reporting.report(url))
    print_data(f"  Open {page} in a browser. It is one self-contained file.")
    _heading("What next?")
    print_data(f"  {command} status {database}")
    print_data(f"  {command} export subtitles --format srt -o demo_subtitles {database}")
    print_data(f"  {command} runs {database}")
    print_data(f"  {command} emulator                # in another terminal: an API to sync from")
    print_data(f"  GCORE_API_KEY='…' {command} sync  # your own account")
    if importlib.util.find_spec("datasette"):
        print_data(f"  {command} explore {database}")
    print_data("  notebooks/00_start_here.ipynb shows this and more in pandas, with plots.")


def _heading(text: str) -> None:
    print_data(f"\n{click.style(text, bold=True)}")


def _command() -> str:
    """Return the command to type: by its path, if the shell would not find it by name."""
    typed = Path(sys.argv[0])
    return "gcore-etl" if shutil.which("gcore-etl") or typed.name != "gcore-etl" else shlex.quote(str(typed))


def _clear(output: Path, url: str) -> None:
    """Delete the database of an earlier demo. Raises UsageError if the file is anything else."""
    from sqlalchemy import select

    from etl.database import reading
    from etl.models import TASKS
    from etl.sync.state import read_state
    from etl.sync.status import recent_runs

    if not output.exists():
        return
    with reading(url, any_schema=True) as connection:
        # An account's records may contain no client id. A demo that was killed at its start has no tasks.
        is_known = read_state(connection).client_ids == {CLIENT_ID}
        is_empty = connection.execute(select(TASKS.c.task_id).limit(1)).first() is None
        has_few_runs = len(recent_runs(connection, limit=SYNCS + 1)) <= SYNCS
        is_of_demo = has_few_runs and (is_known or is_empty)
    # The database of a real account cannot be recreated: the API has deleted its older results.
    if not is_of_demo:
        raise click.UsageError(
            f"{output} is not the database of an earlier demo: choose another file with --output"
        )
    for suffix in ("", "-wal", "-shm"):
        Path(f"{output}{suffix}").unlink(missing_ok=True)


def fill(database_url: str, *, now: dt.datetime) -> None:
    """Sync the tasks of the month before `now` into an empty database while they progress; print each run."""
    from etl.sync.api import run_sync
    from etl.sync.options import SyncOptions

    package = import_emulator()
    world = package.World.seeded(
        TASKS, seed=7, client_id=CLIENT_ID, now=now, span=SPAN, arrivals_per_hour=60.0
    )
    with package.serve(world) as server:
        settings = Settings(
            api_key=parse_api_key(server.api_key),
            base_url=server.base_url,
            database_url=database_url,
            lookback=STEP / 2,
            max_results=MAX_RESULTS,
        )
        print_summary(run_sync(settings))
        for _ in range(SYNCS - 2):
            world.advance(STEP)
            print_data(f"\n{format_duration(STEP)} later:")
            print_summary(run_sync(settings))
        world.advance(STEP)
        print_data(
            f"\n{format_duration(STEP)} later, {DELETED_TASKS} tasks have been deleted; "
            "a full sync marks them as removed:"
        )
        succeeded = [each.task_id for each in world.tasks.values() if each.status == TaskStatus.SUCCESS]
        for task_id in succeeded[:DELETED_TASKS]:  # the oldest ones
            world.delete(task_id)
        print_summary(run_sync(settings, SyncOptions(is_full=True)))


def _answer(connection: sa.Connection) -> None:
    for question in (each for each in saved_queries() if each.name in QUESTIONS):
        _heading(question.title)
        query = question.sql[connection.dialect.name]
        print_data(textwrap.indent(query, "  "))
        rows = connection.exec_driver_sql(query)
        print_table(list(rows.keys()), rows.all())


def _search(connection: sa.Connection, command: str) -> None:
    from etl.cli.search import shown
    from etl.search import search

    _heading("In which videos was this said?")
    print_data(f"  {command}")
    hits = search(connection, SEARCH_TEXT, limit=2)
    for hit in hits:
        print_data(shown(hit))
    _heading("What do its subtitles look like?")
    query = "SELECT vtt FROM task_results WHERE task_id = :task_id"
    print_data(f"  {query}")
    vtt = connection.exec_driver_sql(query, {"task_id": hits[0].task_id}).scalar_one()
    print_data("\n".join(f"  {line}" for line in vtt.splitlines()[:SHOWN_SUBTITLE_LINES]))
