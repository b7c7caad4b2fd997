"""`gcore-etl sync`: one run."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import time
from typing import TYPE_CHECKING, Any, TypeVar

import click

from etl.cli.console import message_of, say, say_json
from etl.cli.progress import progress_bar
from etl.cli.settings import database_option, load_settings, setting_option
from etl.cli.signals import stop_on_signals
from etl.errors import RecordsRejected
from etl.settings import Settings, parse_duration

if TYPE_CHECKING:
    from collections.abc import Iterator

F = TypeVar("F")

logger = logging.getLogger(__name__)

MAX_WORDS = 1000
KEPT = "what was loaded is kept, the next sync goes on from there"
# From so many seconds on, minutes are said.
LONG_WAIT = 120


class Date(click.ParamType[dt.datetime]):
    """A day or an instant in ISO 8601; without a zone it is in UTC."""

    name = "date"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.datetime:  # noqa: ANN401
        """Read it, or say how it is written."""
        if isinstance(value, dt.datetime):
            return value
        try:
            moment = dt.datetime.fromisoformat(value)
            return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not a date: write 2026-06-30 or 2026-06-30T12:00:00Z", param, ctx)


class Duration(click.ParamType[dt.timedelta]):
    """A span such as 90s, 5m, 1h or 2d."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dt.timedelta:  # noqa: ANN401
        """Read it, or say how it is written."""
        if isinstance(value, dt.timedelta):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Text(click.ParamType[str]):
    """Some text that a database can be asked for."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Return it, unless it is not written in UTF-8."""
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            # In the locale C Python reads each byte beyond ASCII as something that stands for it.
            with contextlib.suppress(UnicodeError):
                return os.fsencode(text).decode()
            self.fail(f"{text!a} is not written in UTF-8", param, ctx)
        return text


class Words(Text):
    """Some text that an address can hold."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:  # noqa: ANN401
        """Take it, or say what is wrong with it; nothing at all would ask for everything."""
        words = super().convert(value, param, ctx)
        if not words.strip() or len(words) > MAX_WORDS:
            self.fail(f"1 to {MAX_WORDS:,} characters are needed", param, ctx)
        return words


def source_options(function: Any) -> Any:  # noqa: ANN401
    """Add what says how to talk to the API and which tasks an incremental run reads again."""
    for option in reversed(
        (
            setting_option("--page-size", name="page_size", help="Tasks asked for in one request."),
            setting_option("--concurrency", name="concurrency", help="Requests under way at once."),
            setting_option("--max-rate", name="max_rate", help="Most requests a second."),
            setting_option("--retry-for", name="retry_for", help="How long one request is tried."),
            setting_option("--lookback", name="lookback", help="How far before the last sync to read again."),
            setting_option("--max-results", name="max_results", help="Most results to fetch in one run."),
            setting_option(
                "--audit-every",
                name="audit_every",
                help="How often deletions may cost a full read.",
            ),
            setting_option("--date-filter", name="date_filter", help="What date_created means, if you know."),
        )
    ):
        function = option(function)
    return database_option(function)


results_option = click.option(
    "--results/--no-results", "with_results", default=True, help="Fetch results before the API deletes them."
)


@click.command()
@click.option("--full", "is_full", is_flag=True, help="Read everything, and mark what is gone.")
@click.option("--since", type=Date(), help="Read again what was created since this day or instant.")
@click.option("--task-name", type=Words(), help="Only this type: transcription, content-moderation.")
@click.option("--status", type=Words(), help="Only this status, such as FAILURE.")
@click.option("--search", type=Words(), help="Only tasks with this text in their id, type, status or data.")
@click.option("--task-id", type=Words(), help="Only this task.")
@source_options
@results_option
@click.option("--strict", is_flag=True, help="End with 5 if a record was rejected.")
@click.option("--allow-mass-removal", is_flag=True, help="Believe it when most tasks are gone.")
@click.option("--allow-account-change", is_flag=True, help="Take tasks of another account too.")
@click.option("--dry-run", "dry_run", is_flag=True, help="Read and compare; write nothing at all.")
@click.option("--wait", is_flag=True, help="Wait for another sync to end.")
@click.option("--timeout", type=Duration(), help="Stop in order after so long, with exit code 1.")
@click.option("--no-migrate", is_flag=True, help="Refuse an older schema instead of upgrading it.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def sync(
    *,
    strict: bool,
    wait: bool,
    timeout: dt.timedelta | None,
    no_migrate: bool,
    as_json: bool,
    **options: Any,  # noqa: ANN401
) -> None:
    """
    Bring the database up to date with the API.

    The first sync reads everything; later ones read what is new, and look again at every unfinished task.
    """
    from etl.sync.api import run_sync
    from etl.sync.options import SyncOptions
    from etl.sync.summary import RunSummary

    deadline = None if timeout is None else time.monotonic() + timeout.total_seconds()
    given = {name: options.pop(name) for name in Settings.__dataclass_fields__ if name in options}
    orders = SyncOptions(**options)
    if orders.is_full and (orders.since or orders.filters):
        raise click.UsageError("--full reads everything: it goes with no --since and no filter")
    summary = RunSummary()
    with (
        stop_on_signals(KEPT) as stop,
        reported(summary, as_json=as_json),
        progress_bar() as observe,
    ):
        settings = load_settings(**given)
        run_sync(
            settings,
            orders,
            wait=wait,
            migrate=not no_migrate,
            observe=observe,
            summary=summary,
            stop=stop,
            deadline=deadline,
        )
    if strict and summary.rejected:
        raise RecordsRejected(
            f"{_count_rejected(summary)}, and --strict was given; everything else was loaded"
        )


@contextlib.contextmanager
def reported(summary: Any, *, as_json: bool) -> Iterator[None]:  # noqa: ANN401
    """
    Print what the run in this block did; one that failed only for a program, with the error in it.

    That records were rejected is said on stderr, however the run ended.
    """
    began_at = dt.datetime.now(dt.UTC)
    try:
        yield
    except Exception as error:
        summary.error = message_of(error)
        summary.started_at = summary.started_at or began_at
        summary.status = "failed" if summary.status == "running" else summary.status
        if as_json:
            say_json(summary)
        raise
    else:
        (say_json if as_json else print_summary)(summary)
    finally:
        if summary.rejected:
            logger.warning("%s", _about_rejected(summary))


def _about_rejected(summary: Any) -> str:  # noqa: ANN401
    advice = "after a sync, " if summary.dry_run else ""
    return (
        f"{_count_rejected(summary)}: {advice}gcore-etl rejected list shows what could not be loaded, and why"
    )


def _count_rejected(summary: Any) -> str:  # noqa: ANN401
    return f"{summary.rejected:,} record{' was' if summary.rejected == 1 else 's were'} rejected"


def print_summary(summary: Any) -> None:  # noqa: ANN401
    """Print a run for a person."""
    say("\n".join(_lines_about(summary)))


def _lines_about(summary: Any) -> Iterator[str]:  # noqa: ANN401
    kind = {"full": "everything", "incremental": "what is new", "since": "a part again"}
    read = kind.get(summary.mode, "a part")
    title = "Dry run, nothing written" if summary.dry_run else f"Run {summary.run_id} succeeded"
    yield (
        f"{title}: read {read}, {summary.tasks_seen:,} tasks in {summary.requests:,} requests "
        f"and {summary.duration_seconds:.1f} s."
    )
    yield (
        f"  {summary.inserted:,} new, {summary.updated:,} changed, {summary.unchanged:,} unchanged, "
        f"{summary.removed:,} gone, {summary.rejected:,} rejected"
        + (f", {summary.results_archived:,} results archived" if summary.results_archived else "")
    )
    for line in _about_results(summary):
        yield f"  {line}"
    if summary.watermark is not None:
        yield f"  complete up to {summary.watermark:%Y-%m-%d %H:%M:%S} UTC"
    if summary.date_filter is not None and not summary.dry_run:
        audit = f", the count of tasks: {summary.audit}" if summary.audit else ""
        yield f"  date_created means {summary.date_filter!r}{audit}"


def _about_results(summary: Any) -> Iterator[str]:  # noqa: ANN401
    if summary.results_syncs_left:
        syncs, seconds = summary.results_syncs_left, summary.results_seconds_left or 0
        span = f"{seconds / 60:,.0f} minutes" if seconds > LONG_WAIT else f"{seconds:.0f} s"
        yield (
            f"{summary.results_waiting:,} results are still to be fetched: {syncs:,} more "
            f"sync{'' if syncs == 1 else 's'}, {span} at this pace"
        )
    elif summary.results_waiting:
        yield f"{summary.results_waiting:,} results were asked for and are not there yet"
    if summary.unreadable_times:
        yield f"{summary.unreadable_times:,} subtitles have times that make no sense, and are stored without"
