"""The row of one run in `sync_runs`: open before the first request, closed at the end, however it comes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sqlalchemy.exc import DBAPIError

from etl.database import explain
from etl.enums import RunStatus
from etl.errors import EtlError, Stopped
from etl.load.indexes import build_indexes
from etl.secret import clean_line
from etl.sync.runs import close_killed_runs, close_run, open_run

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable

    import sqlalchemy as sa

    from etl.extract.client import Client
    from etl.sync.options import SyncOptions
    from etl.sync.state import SyncState
    from etl.sync.summary import RunSummary

logger = logging.getLogger(__name__)


class RunRecord:
    """Keeps a summary, and in the database its row, which a dry run does not have."""

    def __init__(
        self, connection: sa.Connection, client: Client, summary: RunSummary, now: Callable[[], dt.datetime]
    ) -> None:
        self._connection, self._client, self._summary, self._now = connection, client, summary, now
        self._requests_before = client.requests

    def open(self, state: SyncState, options: SyncOptions) -> None:
        """Open the row inside the caller's transaction, and close the one of a run that was killed."""
        summary = self._summary
        summary.started_at = self._now()
        summary.mode = options.mode(is_first=state.watermark is None)
        summary.watermark_before = summary.watermark = state.watermark
        summary.dry_run = options.dry_run
        if not options.dry_run:
            build_indexes(self._connection)
            close_killed_runs(self._connection, summary.started_at)
            summary.run_id = open_run(self._connection, summary)

    def count(self) -> None:
        """Bring requests and duration in the summary up to date."""
        summary = self._summary
        summary.requests = self._client.requests - self._requests_before
        if summary.started_at is not None:
            summary.duration_seconds = round((self._now() - summary.started_at).total_seconds(), 3)

    def succeed(self) -> None:
        """Close the row of a run that reached its end."""
        self._summary.status = RunStatus.SUCCEEDED
        self._close()

    def fail(self, error: BaseException) -> None:
        """
        Close the row as failed or interrupted, if the database still allows it.

        A connection that was lost took the lock with it: the next run closes this row.
        """
        self._summary.status = (
            RunStatus.INTERRUPTED if isinstance(error, (Stopped, KeyboardInterrupt)) else RunStatus.FAILED
        )
        self._summary.error = error_line(error)
        try:
            self._close()
        except Exception as second:  # noqa: BLE001 - the first error is the one to report
            logger.warning("the run could not be closed: %s", type(second).__name__)

    def _close(self) -> None:
        self.count()
        if self._summary.run_id is None or self._connection.invalidated:
            return
        with self._connection.begin():
            close_run(self._connection, self._summary, self._now())


def error_line(error: BaseException) -> str:
    """Return one line about an error; only the class of an unexpected one, whose text may hold a secret."""
    if isinstance(error, DBAPIError):
        return explain(error) or type(error).__name__
    return clean_line(str(error)) if isinstance(error, EtlError) else type(error).__name__
