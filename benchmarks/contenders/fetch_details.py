"""Fetches the details of every task in a database and discards them: with the client, or httpx alone."""

from __future__ import annotations

import argparse
import sqlite3
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING

from etl.extract.daemon_pool import DaemonPool, await_result
from etl.settings import Settings, parse_api_key
from etl.sync.api import make_client

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

THREADS = 4


def fetcher(url: str, stack: ExitStack, *, with_httpx: bool) -> Callable[[str], object]:
    """Return a function that fetches one task."""
    if not with_httpx:
        settings = Settings(api_key=parse_api_key("1$benchmark"), base_url=url, concurrency=THREADS)
        return stack.enter_context(make_client(settings)).fetch_detail
    import httpx  # noqa: PLC0415 - the client imports it without its command line

    headers = {"Authorization": "APIKey 1$benchmark"}
    client = stack.enter_context(httpx.Client(base_url=url, headers=headers, timeout=60))
    return lambda task_id: client.get(f"/streaming/ai/tasks/{task_id}").raise_for_status().content


def main(url: str, database: str, *, with_httpx: bool) -> None:
    """Fetch with four threads, and at most two pending responses for each."""
    connection = sqlite3.connect(database.removeprefix("sqlite:///"))
    waiting = connection.execute("SELECT task_id FROM tasks WHERE is_result_due ORDER BY completed_at")
    with ExitStack() as stack:
        fetch = fetcher(url, stack, with_httpx=with_httpx)
        pool = stack.enter_context(DaemonPool(THREADS))
        asked: deque[Future[object]] = deque()
        for (task_id,) in waiting:
            asked.append(pool.submit(lambda task_id=task_id: fetch(task_id)))
            if len(asked) == 2 * THREADS:
                await_result(asked.popleft())
        while asked:
            await_result(asked.popleft())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("database")
    parser.add_argument("--httpx", action="store_true")
    options = parser.parse_args()
    main(options.url, options.database, with_httpx=options.httpx)
