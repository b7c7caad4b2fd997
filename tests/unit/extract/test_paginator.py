"""The end of a list, on a server whose count is wrong and that returns 404 past the end."""

from __future__ import annotations

import pytest

from etl.errors import NotFound
from etl.extract.complete_scan import complete_scan
from etl.extract.page_size import PageSizes
from etl.extract.payload import Page, task_payload

GRANTED = 9


class BlinkingList:
    """A sorted list whose first task is missing during the requests with these numbers."""

    concurrency = 1

    def __init__(self, tasks: int, gone_during: set[int]) -> None:
        self.task_ids = [f"{number:03}" for number in range(tasks)]
        self._gone_during, self._requests = gone_during, 0

    def fetch_page(self, _filters: object, *, page: int, limit: int, retry_seconds: float | None) -> Page:  # noqa: ARG002
        task_ids = self.task_ids[1:] if self._requests in self._gone_during else self.task_ids
        self._requests += 1
        limit = min(limit, GRANTED)
        start = (page - 1) * limit
        shown = task_ids[start : start + limit]
        if not shown and page > 1:
            raise NotFound(404, "/streaming/ai/tasks")
        records = tuple(task_payload(task_id) for task_id in shown)
        return Page(records=records, count=len(task_ids) + 7, has_next=start + limit < len(task_ids))


@pytest.mark.parametrize(
    "tasks, gone_during", [(29, {3, 4, 6}), (27, {3, 4, 5, 7, 8, 10}), (29, {7, 8, 10, 12, 14, 15, 19})]
)
def test_no_task_is_missed_when_list_shrinks_temporarily(tasks, gone_during):
    source = BlinkingList(tasks, gone_during)
    seen = {record.task_id for page in complete_scan(source, {}, PageSizes(1000)) for record in page.tasks}
    assert set(source.task_ids[1:]) <= seen
