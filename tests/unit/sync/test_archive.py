"""Results are asked for ahead of their storing, and no further than a batch may hold."""

from __future__ import annotations

import datetime as dt

import pytest

from etl.extract.daemon_pool import DaemonPool
from etl.extract.payload import task_payload
from etl.extract.result import ResultPayload
from etl.load.due_results import DueResult
from etl.sync import archive

NOW = dt.datetime(2026, 6, 30, tzinfo=dt.UTC)
DUE = [DueResult(task_id=f"{number:04}", finished_at=NOW) for number in range(2000)]


class Details:
    """Answers at once, with results of so many bytes."""

    concurrency = 1

    def __init__(self, size: int) -> None:
        self.asked = 0
        self._size = size

    def fetch_detail(self, task_id: str) -> ResultPayload:
        self.asked += 1
        return ResultPayload(task=task_payload(task_id, size=self._size), kind=None, result={"a": 1})


def settle(pool: DaemonPool, source: Details) -> None:
    """Wait until the one thread has nothing left to do: an answer brings on the next call before it ends."""
    while True:
        before = source.asked
        for _ in range(2):
            pool.submit(lambda: None).result(timeout=10)
        if source.asked == before:
            return


@pytest.mark.parametrize("size, least, most", [(1000, 400, 505), (archive.BATCH_BYTES // 4, 4, 10)])
def test_results_wait_to_be_stored_up_to_a_limit(size, least, most):
    source = Details(size)
    with DaemonPool(source.concurrency) as pool:
        answers = iter(archive._ResultPrefetcher(source, DUE, pool))
        next(answers)
        settle(pool, source)
        assert least <= source.asked <= most
        rest = [answer.due.task_id for answer in answers]
    assert rest == [due.task_id for due in DUE[1:]]
