"""`gcore-etl demo`: the main job with no account, from an empty file to answers in SQL."""

from __future__ import annotations

import datetime as dt
import importlib.util
import itertools
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from etl.cli.console import print_table
from etl.cli.emulator import import_emulator
from etl.cli.report import import_report, write
from etl.cli.signals import interruptible
from etl.cli.sync import print_summary
from etl.settings import Settings, parse_api_key

if TYPE_CHECKING:
    import sqlalchemy as sa

    from etl.emulator import World

# The client of the demo's account.
CLIENT_ID = 2_675
TASKS, SPAN, SEED = 2000, dt.timedelta(days=30), 7
ARRIVALS_PER_HOUR = 60.0
SAID = "grosse mussen"  # accents do not matter
SYNCS, STEP = 4, dt.timedelta(minutes=10)
GONE = 3  # so many tasks vanish before the last one
LINES = 6  # of a subtitle file
# So few that a backlog can be seen; usually it is 2,000.
RESULTS_A_SYNC = 400
# One list of what there is to see; each query works as it stands on both databases.
QUESTIONS = {
    "What is there?": (
        "SELECT task_name AS type, count(*) AS tasks,\n"
        "       sum(CASE WHEN status = 'SUCCESS' THEN 1 ELSE 0 END) AS succeeded,\n"
        "       sum(CASE WHEN status = 'FAILURE' THEN 1 ELSE 0 END) AS failed\n"
        "FROM tasks GROUP BY task_name ORDER BY task_name"
    ),
    "How long do they wait and run? (seconds; the wait is known where the sync saw them come)": (
        "SELECT task_name AS type, avg(wait_seconds) AS waits, avg(duration_seconds) AS runs,\n"
        "       max(duration_seconds) AS longest\n"
        "FROM task_timeline GROUP BY task_name ORDER BY task_name"
    ),
    "What failed last, and why?": (
        "SELECT substr(CAST(failed_at AS TEXT), 1, 19) AS failed_at, task_name AS type, error\n"
        "FROM failures WHERE error IS NOT NULL ORDER BY failures.failed_at DESC LIMIT 5"
    ),
    "Which results are not copied yet, and when would the first be lost?": (
        "SELECT task_name AS type, count(*) AS waiting,\n"
        "       substr(CAST(min(expires_at) AS TEXT), 1, 16) AS lost_at\n"
        "FROM results_expiring GROUP BY task_name ORDER BY task_name"
    ),
    "What did the API forget, and the history keep?": (
        "SELECT previous_status AS was, status AS became, count(*) AS times\n"
        "FROM task_history WHERE event = 'changed' AND previous_status <> status\n"
        "GROUP BY previous_status, status ORDER BY times DESC LIMIT 6"
    ),
}


@click.command()
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default="gcore_demo.db",
    show_default=True,
    help="The SQLite file to create; one of an earlier demo is replaced.",
)
def demo(*, output: Path) -> None:
    """Run the main job with no account: an emulator, syncs while tasks progress, answers in SQL."""
    reporting = import_report(output)
    import_emulator()
    _clear(output)
    click.echo(f"A local emulator of the API, with {TASKS:,} tasks of the last {SPAN.days} days.\n")
    with interruptible():
        # The emulator's clock goes on from here by the pauses between the syncs, up to the present.
        fill(f"sqlite:///{output}", now=dt.datetime.now(dt.UTC) - (SYNCS - 1) * STEP)
    command = _command()
    _answer(f"sqlite:///{output}")
    _search(f"sqlite:///{output}", command)
    page = output.with_name(f"{output.stem}_report.html")
    click.echo(f"\n{click.style('How did the last month go?', bold=True)}")
    click.echo(f"  {command} report -o {page} -d sqlite:///{output}")
    write(page, lambda: reporting.report(f"sqlite:///{output}"))
    click.echo(f"  Open {page} in a browser: it is one file, to print or send on.")
    click.echo("\nNext:")
    click.echo(f"  {command} status -d sqlite:///{output}")
    click.echo(f"  {command} export subtitles --format srt -o demo_subtitles -d sqlite:///{output}")
    click.echo(f"  {command} runs -d sqlite:///{output}")
    click.echo(f"  {command} emulator                # in another terminal: an API to try sync and watch on")
    click.echo(f"  GCORE_API_KEY='…' {command} sync  # your own account")
    if importlib.util.find_spec("datasette"):
        click.echo(f"  {command} explore -d sqlite:///{output}")
    click.echo("  notebooks/00_start_here.ipynb: the same and more in pandas, with plots")


def _command() -> str:
    """Name the command as it can be typed here: by its path, where the shell would not find it."""
    typed = Path(sys.argv[0])
    return "gcore-etl" if shutil.which("gcore-etl") or typed.name != "gcore-etl" else shlex.quote(str(typed))


def _clear(output: Path) -> None:
    """Take an earlier demo away; anything else with that name is not ours to remove."""
    from sqlalchemy import select

    from etl.database import reading
    from etl.models import TASKS
    from etl.sync.status import recent_runs
    from etl.sync.watermark import read_state

    if not output.exists():
        return
    with reading(f"sqlite:///{output}", any_schema=True) as connection:
        # Records of an account may name no client. Of a demo that was killed at its start, no task is there.
        is_known = read_state(connection).client_ids == {CLIENT_ID}
        is_empty = connection.execute(select(TASKS.c.task_id).limit(1)).first() is None
        has_few_runs = len(list(recent_runs(connection, limit=SYNCS + 1))) <= SYNCS
        is_of_demo = has_few_runs and (is_known or is_empty)
    # The copy of an account cannot be made again: the API has deleted its older results.
    if not is_of_demo:
        raise click.UsageError(f"{output} is no database of a demo: name another with --output")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{output}{suffix}").unlink(missing_ok=True)


def fill(database_url: str, *, now: dt.datetime) -> None:
    """Sync the tasks of the month before `now` into an empty database, while they progress; tell of each."""
    from etl.sync.options import SyncOptions
    from etl.sync.session import run_sync

    package = import_emulator()
    world = package.World.seeded(
        TASKS,
        seed=SEED,
        client_id=CLIENT_ID,
        now=now,
        span=SPAN,
        arrivals_per_hour=ARRIVALS_PER_HOUR,
    )
    with package.serve(world) as server:
        settings = Settings(
            api_key=parse_api_key(server.api_key),
            base_url=server.base_url,
            database_url=database_url,
            lookback=STEP / 2,
            max_results=RESULTS_A_SYNC,
        )
        for _ in range(SYNCS - 1):
            print_summary(run_sync(settings))
            click.echo(f"… {STEP.seconds // 60} minutes pass at the source …")
            world.advance(STEP)
        click.echo(f"… where {GONE} tasks are deleted; a full sync finds out which …")
        for task_id in _oldest_that_succeeded(world, GONE):
            world.delete(task_id)
        print_summary(run_sync(settings, SyncOptions(is_full=True)))


def _oldest_that_succeeded(world: World, number: int) -> list[str]:
    succeeded = (task.task_id for task in world.tasks.values() if task.status == "SUCCESS")
    return list(itertools.islice(succeeded, number))


def _search(database_url: str, command: str) -> None:
    import sqlalchemy

    from etl.cli.search import shown
    from etl.database import reading
    from etl.search import search

    click.echo(f"\n{click.style('Where is it said?', bold=True)}")
    click.echo(f"  {command} search '{SAID}' --limit 2 -d {database_url}")
    with reading(database_url) as connection:
        hits = search(connection, SAID, limit=2)
        for hit in hits:
            click.echo(shown(hit))
        click.echo(f"\n{click.style('What is its subtitle file like?', bold=True)}")
        query = "SELECT vtt FROM task_results WHERE task_id = :task_id"
        click.echo(f"  {query}")
        vtt = connection.scalar(sqlalchemy.text(query), {"task_id": hits[0].task_id})
        click.echo("\n".join(f"  {line}" for line in str(vtt).splitlines()[:LINES]))


def _answer(database_url: str) -> None:
    import sqlalchemy

    from etl.database import reading

    with reading(database_url) as connection:
        for question, query in QUESTIONS.items():
            click.echo(f"\n{click.style(question, bold=True)}")
            click.echo("\n".join(f"  {line}" for line in query.splitlines()))
            rows: sa.CursorResult[tuple[object, ...]] = connection.execute(sqlalchemy.text(query))
            print_table(list(rows.keys()), [tuple(row) for row in rows])
