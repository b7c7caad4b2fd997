"""The client alone: it fetches the details of every task in a database, and discards them."""

from __future__ import annotations

import sqlite3
import sys
from collections import deque
from typing import TYPE_CHECKING

from etl.extract.daemon_pool import DaemonPool, await_result
from etl.settings import Settings, parse_api_key
from etl.sync.api import make_client

if TYPE_CHECKING:
    from concurrent.futures import Future


def main(url: str, database: str) -> None:
    """Fetch with four threads, and at most two pending responses for each."""
    settings = Settings(api_key=parse_api_key("1$benchmark"), base_url=url)
    connection = sqlite3.connect(database.removeprefix("sqlite:///"))
    waiting = connection.execute("SELECT task_id FROM tasks WHERE is_result_due ORDER BY completed_at")
    with make_client(settings) as client, DaemonPool(client.concurrency) as pool:
        asked: deque[Future[object]] = deque()
        for (task_id,) in waiting:
            asked.append(pool.submit(lambda task_id=task_id: client.fetch_detail(task_id)))
            if len(asked) == 2 * client.concurrency:
                await_result(asked.popleft())
        while asked:
            await_result(asked.popleft())


if __name__ == "__main__":
    main(*sys.argv[1:])
