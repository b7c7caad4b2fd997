"""Requests that are sent before their responses are needed, so that they wait at the same time."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, NamedTuple

from etl.extract.daemon_pool import DaemonPool, await_result

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from concurrent.futures import Future

    from etl.extract.payload import Page
    from etl.extract.result import ResultPayload
    from etl.sync.in_flight import TaskSource


class ListRequest(NamedTuple):
    """The parameters of a request for a page of a list."""

    filters: Mapping[str, str]
    page: int = 1
    limit: int = 1


class EarlyRequests:
    """
    A source of tasks that can send some requests early.

    A run asks one question after another, because an answer may change what it does next. It seldom does, so
    the next questions are known. Only the time of sending changes: an early request is still answered once,
    and only if it is asked; its error is raised then.
    """

    def __init__(self, source: TaskSource) -> None:
        self.concurrency = source.concurrency
        self._source = source
        self._lock = threading.Lock()
        self._sent: list[tuple[ListRequest, Future[Page]]] = []

    @contextlib.contextmanager
    def sent(self, requests: list[ListRequest]) -> Iterator[None]:
        """Send these requests now; a response that the block does not ask for is dropped at its end."""
        early = [(request, self._send(request)) for request in requests]
        with self._lock:
            self._sent += early
        try:
            yield
        finally:
            with self._lock:
                self._sent = [each for each in self._sent if each not in early]

    def fetch_page(
        self, filters: Mapping[str, str], *, page: int, limit: int, retry_seconds: float | None = None
    ) -> Page:
        """Return the response to an early request with these parameters, or else to a new one."""
        future = self._take(ListRequest(filters, page, limit))
        if future is not None:
            return await_result(future)
        return self._source.fetch_page(filters, page=page, limit=limit, retry_seconds=retry_seconds)

    def fetch_detail(self, task_id: str) -> ResultPayload:
        """Return one task with its result."""
        return self._source.fetch_detail(task_id)

    def _send(self, request: ListRequest) -> Future[Page]:
        filters, page, limit = request
        with DaemonPool(1) as pool:
            return pool.submit(lambda: self._source.fetch_page(filters, page=page, limit=limit))

    def _take(self, request: ListRequest) -> Future[Page] | None:
        with self._lock:
            for place, (each, future) in enumerate(self._sent):
                if each == request:
                    del self._sent[place]
                    return future
        return None
