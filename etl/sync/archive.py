"""Fetches pending results, several concurrently, before they expire."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from etl.errors import BodyTooLarge, NotFound, NotTheApi, RequestRefused, Unreachable
from etl.extract.daemon_pool import DaemonPool, await_result
from etl.load.due_results import any_archived_result, due_results
from etl.load.results import FetchedResult, store_results
from etl.load.transcript_index import reindex_transcripts
from etl.sync.expiry_forecast import read_forecast
from etl.sync.run_record import save_counters
from etl.sync.summary import Progress
from etl.text import counted

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    import sqlalchemy as sa

    from etl.load.due_results import DueResult
    from etl.settings import Settings
    from etl.sync.in_flight import TaskSource
    from etl.sync.options import SyncOptions
    from etl.sync.summary import RunSummary

logger = logging.getLogger(__name__)

# Larger batches would use more memory, and lose more work when a run ends early.
BATCH_RESULTS = 500
BATCH_BYTES = 16 * 1024 * 1024
BATCH_SECONDS = 2.0
# A server may fail for some tasks only; if the first few requests all fail, it may be down.
ALLOWED_FAILURES = 4


def archive_results(  # noqa: PLR0913
    connection: sa.Connection,
    source: TaskSource,
    summary: RunSummary,
    settings: Settings,
    options: SyncOptions,
    *,
    now: Callable[[], dt.datetime],
    report: Callable[[Progress], None],
) -> None:
    """
    Fetch pending results, and add to the summary how many were archived and how many are still pending.

    In a full sync, results that were not available yet are requested again as well. Once failed requests have
    taken `retry_for`, the other results are left to the next sync. Each batch is committed separately, with
    the counters of the run. `report` is called after each result.
    """
    max_results = settings.max_results
    for done in reindex_transcripts(connection):
        report(Progress("transcripts", done, None))
    done, began = 0, time.monotonic()
    with connection.begin():
        due = due_results(connection, now(), max_results, include_early=options.is_full)
        archived = any_archived_result(connection, now())
    responses = _iter_responses(source, due, settings.retry_for.total_seconds(), archived=archived)
    for done in _iter_archived(connection, responses, summary, now):
        report(Progress("results", done, len(due)))
    seconds_each = (time.monotonic() - began) / done if done else None
    with connection.begin():
        forecast = read_forecast(connection, now(), per_run=max_results, interval=options.next_run_in)
    summary.results_waiting, summary.results_at_risk = forecast.waiting, forecast.at_risk
    summary.first_result_lost_at = forecast.first_expires_at
    summary.results_syncs_left = -(-forecast.unrequested // max_results)
    if seconds_each is not None:
        summary.results_seconds_left = round(forecast.unrequested * seconds_each, 1)
    if forecast.at_risk:
        logger.warning("%s", forecast.warning(max_results))


def _iter_archived(
    connection: sa.Connection,
    responses: Iterable[FetchedResult],
    summary: RunSummary,
    now: Callable[[], dt.datetime],
) -> Iterator[int]:
    """
    Store results in batches, and yield the number so far after each result.

    If requests keep failing, the last batch is stored as well: its failures decide when each is repeated.
    """

    def store() -> None:
        if not batch:
            return
        with connection.begin():
            stored = store_results(connection, batch, now())
            summary.results_archived += stored.archived
            summary.unreadable_times += stored.unreadable_times
            save_counters(connection, summary)

    batch: list[FetchedResult] = []
    size, began = 0, time.monotonic()
    try:
        for done, response in enumerate(responses, start=1):
            batch.append(response)
            size += response.size
            is_large = len(batch) >= BATCH_RESULTS or size >= BATCH_BYTES
            if is_large or time.monotonic() - began >= BATCH_SECONDS:
                store()
                batch, size, began = [], 0, time.monotonic()
            yield done
    except Unreachable:
        store()
        raise
    store()


def _iter_responses(
    source: TaskSource, due: Sequence[DueResult], retry_for: float, *, archived: DueResult | None
) -> Iterator[FetchedResult]:
    """
    Yield the responses, until failed requests have occupied all threads for `retry_for` seconds.

    Raises Unreachable if the first few requests fail and so does one more: the cause is then the server, not
    these results. That request is for `archived`, a result that was fetched before, or else for the last one
    due; if neither is another result than the first few, nothing shows that the server is the cause.
    """
    tried = {each.task_id for each in due[:ALLOWED_FAILURES]}
    others = [each for each in (archived, *due[-1:]) if each is not None and each.task_id not in tried]
    responses = failures = 0
    seconds_lost = 0.0
    with DaemonPool(source.concurrency) as pool:
        for response in _ResultPrefetcher(source, due, pool):
            responses += 1
            if response.is_failure:
                failures += 1
                seconds_lost += response.seconds / source.concurrency
            yield response
            is_suspicious = failures == responses == ALLOWED_FAILURES
            if is_suspicious and others and _fetch(source, others[0]).is_failure:
                raise Unreachable("requests for results keep failing; the tasks themselves are stored")
            if seconds_lost > retry_for:
                what = counted(failures, "result")
                logger.warning("%s could not be fetched; the next sync retries", what)
                return


class _ResultPrefetcher:
    """
    Requests results while others are being stored, up to one batch in advance.

    Requesting threads do not wait for the storing thread: each response triggers the next request.
    """

    def __init__(self, source: TaskSource, due: Iterable[DueResult], pool: DaemonPool) -> None:
        self._source, self._due, self._pool = source, iter(due), pool
        self._futures: deque[Future[FetchedResult]] = deque()
        self._pending = self._unstored_bytes = 0
        # Reentrant: a future that is already done runs its callback at once, inside `_request_more`.
        self._lock = threading.RLock()

    def __iter__(self) -> Iterator[FetchedResult]:
        while True:
            with self._lock:
                self._request_more()
                if not self._futures:
                    return
                future = self._futures.popleft()
            response = await_result(future)
            with self._lock:
                self._unstored_bytes -= response.size
            yield response

    def _request_more(self) -> None:
        while (
            self._pending < 2 * self._source.concurrency
            and len(self._futures) < BATCH_RESULTS
            and self._unstored_bytes < BATCH_BYTES
            and (following := next(self._due, None)) is not None
        ):
            self._pending += 1
            future = self._pool.submit(functools.partial(_fetch, self._source, following))
            self._futures.append(future)
            future.add_done_callback(self._on_done)

    def _on_done(self, future: Future[FetchedResult]) -> None:
        with self._lock:
            self._pending -= 1
            self._unstored_bytes += 0 if future.exception() else future.result().size
            self._request_more()


def _fetch(source: TaskSource, due: DueResult) -> FetchedResult:
    began = time.monotonic()
    try:
        return FetchedResult(due=due, found=source.fetch_detail(due.task_id))
    except NotFound:
        return FetchedResult(due=due)
    except (RequestRefused, Unreachable, BodyTooLarge, NotTheApi) as error:
        logger.warning("the result of task %s is skipped, and requested again later: %s", due.task_id, error)
        return FetchedResult(due=due, is_failure=True, seconds=time.monotonic() - began)
