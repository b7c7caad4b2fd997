"""Settings for the undocumented behaviour of the API, and for faults."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping  # noqa: TC003  # control.py reads the hints at run time
from dataclasses import dataclass, field
from typing import Literal

DateFilterSemantics = Literal["gte", "lte", "day", "exact", "ignored", "rejected"]
FieldState = Literal["ok", "null", "wrong", "absent", "string"]
Count = Literal["ok", "null", "wrong", "absent", "string", "of_page"]
FaultKind = Literal[
    "500", "502_html", "503", "408", "425", "429_seconds", "429_date", "429_bare", "401", "403", "404",
    "reset", "reset_mid_body", "truncated_json", "wrong_length", "slow", "not_json", "html_200",
    "redirect_other_origin", "redirect_same_origin", "quote_key", "trailing_garbage",
]  # fmt: skip


@dataclass(slots=True)
class RequestInfo:
    """A request, as logged, passed to the hook and matched by faults."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    status: int = 0
    """The status of the response; 0 until there is one, and if there is none."""

    @property
    def authorized(self) -> bool:
        """Whether it has an Authorization header, valid or not."""
        return "authorization" in self.headers

    @property
    def target(self) -> Literal["list", "detail", "other"]:
        """Whether it is a request for the list, for the details of a task, or another one."""
        head, _, tail = self.path.partition("/streaming/ai/tasks")
        if head or "/" in tail.strip("/"):
            return "other"
        return "detail" if tail.strip("/") else "list"


@dataclass(slots=True)
class Fault:
    """A fault of the next `times` matching requests, after `after` matching requests without one."""

    kind: FaultKind
    times: int = 1
    after: int = 0
    match: str | None = None
    """`list`, `detail`, or a part of the path; None matches every request."""
    seconds: float = 1
    """The value of Retry-After, or the delay of a slow response."""
    status: int | None = None
    """Replaces the status of the kinds that have one."""
    url: str | None = None
    """The target of a redirect; by default this server, under the name `localhost` for another origin."""

    def matches(self, request: RequestInfo) -> bool:
        """Return whether the fault applies to this request."""
        if self.match in {None, request.target}:
            return True
        return self.match not in {"list", "detail"} and str(self.match) in request.path


@dataclass(slots=True)
class Behaviour:
    """How the server behaves. Every setting may be changed between two requests."""

    # The list
    page_cap: int = 1000
    """The largest page granted; a larger `limit` is silently reduced to it."""
    page_cap_schedule: dict[int, int] = field(default_factory=dict)
    """Replaces `page_cap` from the nth list request on; the first one is 1."""
    page_limit: int | None = None
    """The largest `limit` accepted; a larger one is refused."""
    page_refusal: Literal[400, 404, 413, 414, 422, 500, 503, "empty"] = 400
    """The response to a refused `limit`: a status, or an empty page."""
    own_page_size: int | None = None
    """A fixed page size, which ignores `limit`."""
    empty_list: Literal["empty", "404"] = "empty"
    """The response to a list request that matches no task."""
    past_end: Literal["empty", "404"] = "empty"
    """The response to a page after the last one."""
    date_created: DateFilterSemantics = "gte"
    """The semantics of the filter `date_created`."""
    utc_offset: dt.timedelta = dt.timedelta(0)
    """The server's time zone, for naive times and for days."""
    nulls: Literal["first", "last"] = "first"
    """Whether tasks without a start come first or last when ordered by it."""
    ordering_ignored: bool = False
    """Whether `ordering` is ignored; the list is then ordered by start, newest first."""
    ordering_descending: bool = False
    """Whether `ordering` may begin with a minus."""
    ties_at_random: bool = False
    """Whether tasks that compare equal change their order with every request."""
    task_id_ignored: bool = False
    """Whether the filter `task_id` is ignored."""
    unknown_status_rejected: bool = False
    """Whether an undocumented `status` is answered with 400 instead of an empty list."""

    # The page around the records
    next_is: FieldState = "ok"
    """The state of the field `next`."""
    count_is: Count = "ok"
    """The state of the field `count`; `of_page` is the number of tasks on the page."""
    count_error: int = 7
    """The error of a wrong count."""
    next_page_loops: bool = False
    """Whether `next` refers to the current page."""
    page_ignored: bool = False
    """Whether every page is the first one."""
    duplicates: Literal["none", "page", "across"] = "none"
    """Whether a page repeats its first record, or the last one of the previous page."""

    # The records
    record_shape: Literal["present", "older"] = "present"
    """`older`: no `processing_time` in the list, and `task_name` outside `task_data`."""
    creation_field: Literal["date_created", "created_at", "created"] | None = None
    """The name of the field with the creation time, if there is one."""
    unstarted: Literal["null", "absent"] = "null"
    """How `processing_time` shows a time that is not known yet."""
    extra_fields: dict[str, object] = field(default_factory=dict)
    """Additional fields of every record."""
    extra_detail_fields: dict[str, object] = field(default_factory=dict)
    """Additional fields of the details of a task."""
    extra_processing_time: dict[str, object] = field(default_factory=dict)
    """Additional fields of `processing_time`."""
    result_spelling: Literal["present", "older"] = "present"
    """`older`: `porn_detected`, `frame-number` and `score`."""
    score_is: Literal["number", "string"] = "number"
    """The type of `score` in the older spelling."""
    expired_result: Literal["null", "empty", "404", "410"] = "null"
    """The response for a result that has expired."""

    # The server
    feature_disabled: bool = False
    """Whether AI tasks are disabled for the account (422)."""
    bad_key_status: Literal[401, 403] = 401
    """The status for a missing or wrong API key."""
    latency: float = 0
    """The delay of every response, in seconds."""
    rate_limit: float | None = None
    """The number of requests per second above which the response is 429."""
    retry_after: Literal["seconds", "date", "none"] = "seconds"
    """The form of Retry-After in a 429 response of the rate limit."""
    date_header: Literal["ok", "missing", "garbage"] = "ok"
    """The state of the `Date` header."""
    clock_skew: dt.timedelta = dt.timedelta(0)
    """How far the `Date` header is ahead of the world's clock."""
    faults: list[Fault] = field(default_factory=list)
    """Pending faults; the first one that matches applies."""
    before_request: Callable[[RequestInfo], None] | None = None
    """A hook called in the server's thread before each request; it may change the world."""

    def take_fault(self, request: RequestInfo) -> Fault | None:
        """Return the fault for this request, count it, and remove faults that are used up."""
        match = None
        for fault in self.faults:
            if not fault.matches(request):
                continue
            if fault.after > 0:
                fault.after -= 1
            elif match is None:
                fault.times -= 1
                match = fault
        self.faults[:] = [fault for fault in self.faults if fault.times > 0]
        return match
