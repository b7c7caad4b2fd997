"""Everything about the API that nobody documents, and every way in which it may misbehave."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping  # noqa: TC003  # control.py reads the hints at run time
from dataclasses import dataclass, field
from typing import Literal

DateMeaning = Literal["gte", "lte", "day", "exact", "ignored", "rejected"]
Envelope = Literal["ok", "null", "wrong", "absent", "string"]
Count = Literal["ok", "null", "wrong", "absent", "string", "of_page"]
FaultKind = Literal[
    "500", "502_html", "503", "408", "425", "429_seconds", "429_date", "429_bare", "401", "403", "404",
    "reset", "reset_mid_body", "truncated_json", "wrong_length", "slow", "not_json", "html_200",
    "redirect_other_origin", "redirect_same_origin", "quote_key", "trailing_garbage",
]  # fmt: skip


@dataclass(slots=True, frozen=True)
class RequestInfo:
    """A request as the hook and the faults see it."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def target(self) -> Literal["list", "detail", "other"]:
        """Which of the two calls that matter this is."""
        head, _, tail = self.path.partition("/streaming/ai/tasks")
        if head or "/" in tail.strip("/"):
            return "other"
        return "detail" if tail.strip("/") else "list"


@dataclass(slots=True)
class Fault:
    """Something that goes wrong for the next requests that match, once `after` of them went well."""

    kind: FaultKind
    times: int = 1
    after: int = 0
    match: str | None = None
    """`list`, `detail`, or a part of the path; None matches all."""
    seconds: float = 1
    """How long Retry-After says to wait, or how long a slow answer takes."""
    status: int | None = None
    """Another status for the same body, where the kind has one."""
    url: str | None = None
    """Where a redirect leads; by default this very server under its other name, `localhost`."""

    def matches(self, request: RequestInfo) -> bool:
        """Tell whether this request is one of those meant."""
        if self.match in {None, request.target}:
            return True
        return self.match not in {"list", "detail"} and str(self.match) in request.path


@dataclass(slots=True)
class Behaviour:
    """How the server behaves. Every switch may be turned between two requests."""

    # The list
    page_cap: int = 1000
    """The largest page granted; a larger `limit` is cut to it without a word."""
    page_cap_schedule: dict[int, int] = field(default_factory=dict)
    """From the nth list request on (the first is 1), this cap in place of `page_cap`."""
    page_limit: int | None = None
    """The largest page accepted; a larger `limit` is refused."""
    page_refusal: Literal[400, 404, 413, 414, 422, 500, 503, "empty"] = 400
    """How it is refused: with a status, or with a page that has no task."""
    own_page_size: int | None = None
    """So many tasks are on a page, whatever `limit` says."""
    empty_list: Literal["empty", "404"] = "empty"
    """What a list without a task answers."""
    past_end: Literal["empty", "404"] = "empty"
    """What a page after the last one answers."""
    date_created: DateMeaning = "gte"
    """What the filter of that name compares."""
    utc_offset: dt.timedelta = dt.timedelta(0)
    """The server's own time zone, in which it reads naive times and counts days."""
    nulls: Literal["first", "last"] = "first"
    """Where tasks without a start stand, when ordered by it."""
    ordering_ignored: bool = False
    """`ordering` changes nothing: the list is newest start first."""
    ordering_descending: bool = False
    """`ordering` may begin with a minus."""
    ties_at_random: bool = False
    """Tasks that compare equal come in another order with every request."""
    task_id_ignored: bool = False
    """`task_id` changes nothing: the list is that of all tasks."""
    unknown_status_rejected: bool = False
    """`status` with a word the API does not document answers 400, not an empty list."""

    # The page around the records
    next_is: Envelope = "ok"
    """What is said of the next page."""
    count_is: Count = "ok"
    """What is said of the number of tasks; `of_page` counts those that the page shows."""
    count_error: int = 7
    """How far off a wrong count is."""
    next_page_loops: bool = False
    """`next` names the page it stands on."""
    page_ignored: bool = False
    """Every page is the first one."""
    duplicates: Literal["none", "page", "across"] = "none"
    """A page repeats its first record, or begins with the last one of the page before."""

    # The records
    record_shape: Literal["present", "older"] = "present"
    """Older: no `processing_time` in the list, and `task_name` beside `task_data`."""
    creation_field: Literal["date_created", "created_at", "created"] | None = None
    """The name under which records show when the task was created."""
    unstarted: Literal["null", "absent"] = "null"
    """How `processing_time` says that something has not happened yet."""
    extra_fields: dict[str, object] = field(default_factory=dict)
    """Unknown fields of every record."""
    extra_detail_fields: dict[str, object] = field(default_factory=dict)
    """Unknown fields that only a task's own page has."""
    extra_processing_time: dict[str, object] = field(default_factory=dict)
    """Unknown fields inside `processing_time`."""
    result_spelling: Literal["present", "older"] = "present"
    """Older: `porn_detected`, `frame-number` and `score`."""
    score_is: Literal["number", "string"] = "number"
    """How the older spelling writes a score."""
    expired_result: Literal["null", "empty", "404", "410"] = "null"
    """What is answered for a result whose month is over."""

    # The server
    feature_disabled: bool = False
    """The account may not use AI tasks: 422."""
    bad_key_status: Literal[401, 403] = 401
    """What a missing or wrong key answers."""
    latency: float = 0
    """Seconds by which every answer is late."""
    rate_limit: float | None = None
    """Requests a second; what is over it answers 429."""
    retry_after: Literal["seconds", "date", "none"] = "seconds"
    """How a 429 of the rate limit says when to come back."""
    date_header: Literal["ok", "missing", "garbage"] = "ok"
    """What is in the `Date` header."""
    clock_skew: dt.timedelta = dt.timedelta(0)
    """By how much the `Date` header is ahead of the world's clock."""
    faults: list[Fault] = field(default_factory=list)
    """What goes wrong next; the first that strikes wins."""
    before_request: Callable[[RequestInfo], None] | None = None
    """Called in the server's thread before each request is looked at: let the world move here."""

    def take_fault(self, request: RequestInfo) -> Fault | None:
        """Give the fault that hits this request, count it, and forget those that are used up."""
        struck = None
        for fault in self.faults:
            if not fault.matches(request):
                continue
            if fault.after > 0:
                fault.after -= 1
            elif struck is None:
                fault.times -= 1
                struck = fault
        self.faults[:] = [fault for fault in self.faults if fault.times > 0]
        return struck
