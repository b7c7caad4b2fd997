"""
The row of a run in `sync_runs`: opened before the first request, closed at the end, even after a failure.

A dry run has a summary, but no row.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from etl import __version__
from etl.database import translate
from etl.enums import RunStatus
from etl.errors import DatabaseError, EtlError, Stopped
from etl.load.indexes import build_indexes
from etl.models import RUNS
from etl.secret import clean_line

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    from etl.extract.client import Client
    from etl.sync.options import SyncOptions
    from etl.sync.state import SyncState
    from etl.sync.summary import RunSummary

logger = logging.getLogger(__name__)

_COUNTERS = tuple(column.name for column in RUNS.columns if column.server_default is not None)


class RunRecord:
    """Keeps the summary of a run, and its row in the database."""

    def __init__(
        self, connection: sa.Connection, client: Client, summary: RunSummary, now: Callable[[], dt.datetime]
    ) -> None:
        self._connection, self._client, self._summary, self._now = connection, client, summary, now
        self._requests_before = client.requests

    def open(self, state: SyncState, options: SyncOptions) -> None:
        """Open the row inside the caller's transaction, and close the one of a run that was killed."""
        summary = self._summary
        summary.started_at = self._now()
        summary.dry_run = options.dry_run
        self.start_from(state, options)
        if not options.dry_run:
            build_indexes(self._connection)
            close_killed_run(self._connection, summary.started_at)
            summary.run_id = open_run(self._connection, summary)

    def start_from(self, state: SyncState, options: SyncOptions) -> None:
        """Note in the summary what the run does, given the state that it starts from."""
        self._summary.mode = options.mode(is_first=state.watermark is None)
        self._summary.watermark_before = self._summary.watermark = state.watermark

    def count(self) -> None:
        """Bring requests and duration in the summary up to date."""
        summary = self._summary
        summary.requests = self._client.requests - self._requests_before
        if summary.started_at is not None:
            summary.duration_seconds = round((self._now() - summary.started_at).total_seconds(), 3)

    def close(self, error: BaseException | None = None) -> None:
        """
        Close the row as succeeded, or else as failed or interrupted, if the database still allows it.

        A connection that was lost took the lock with it: the next run closes this row.
        """
        summary, connection = self._summary, self._connection
        summary.status = RunStatus.SUCCEEDED
        if error is not None:
            is_interrupted = isinstance(error, (Stopped, KeyboardInterrupt))
            summary.status = RunStatus.INTERRUPTED if is_interrupted else RunStatus.FAILED
            summary.error = error_line(error)
        self.count()
        if summary.run_id is None or connection.invalidated:
            return
        closing = {"status": summary.status, "finished_at": self._now(), "error": summary.error}
        try:
            if error is not None:
                # An exception in the middle of a commit, such as KeyboardInterrupt, leaves it open.
                connection.connection.rollback()
            with connection.begin():
                save_counters(connection, summary, watermark_after=summary.watermark, **closing)
        except Exception as second:
            if error is None:
                raise
            # The first error is the one to report.
            logger.warning("the run could not be closed: %s", type(second).__name__)


def save_counters(connection: sa.Connection, summary: RunSummary, **others: object) -> None:
    """Update the counters and other values of the row, in the transaction of what it counts."""
    values = {name: getattr(summary, name) for name in _COUNTERS} | others
    connection.execute(sa.update(RUNS).where(RUNS.c.run_id == summary.run_id).values(values))


def error_line(error: BaseException) -> str:
    """Return one line about an error; only the class of an unexpected one, whose text may hold a secret."""
    if isinstance(error, DBAPIError):
        return str(translate(error) or type(error).__name__)
    return clean_line(str(error)) if isinstance(error, EtlError) else type(error).__name__


def close_killed_run(connection: sa.Connection, now: dt.datetime) -> None:
    """
    Close the row of a killed process. Only the holder of the writer's lock knows that it is dead.

    Every run does so when it opens its own row, so only the last row can be open.
    """
    last = sa.select(sa.func.max(RUNS.c.run_id)).scalar_subquery()
    connection.execute(
        sa.update(RUNS)
        .where(RUNS.c.run_id == last, RUNS.c.status == RunStatus.RUNNING)
        .values(
            status=RunStatus.INTERRUPTED, finished_at=now, error="the process ended without closing its run"
        )
    )


def open_run(connection: sa.Connection, summary: RunSummary) -> int:
    """Insert the run's row and return its number."""
    inserted = connection.execute(
        sa.insert(RUNS)
        .values(
            started_at=summary.started_at,
            mode=summary.mode,
            status=RunStatus.RUNNING,
            watermark_before=summary.watermark_before,
            version=__version__,
        )
        .returning(RUNS.c.run_id)
    )
    run_id = inserted.scalar_one_or_none()
    if run_id is None:
        raise DatabaseError(
            "the database did not store the row of this run in sync_runs: a trigger or rule that gcore-etl "
            "did not create suppresses it; drop it"
        )
    return int(run_id)
