"""The values of text columns that have a fixed vocabulary. The API may add some of its own at any time."""

from __future__ import annotations

from enum import StrEnum


class TaskStatus(StrEnum):
    """How far a task is, in the order in which a task passes through them."""

    RECEIVED = "RECEIVED"
    PENDING = "PENDING"
    STARTED = "STARTED"
    RETRY = "RETRY"
    SUCCESS = "SUCCESS"
    FAILURE = "FAILURE"
    REVOKED = "REVOKED"


class TaskType(StrEnum):
    """What a task does: the values of `task_name`."""

    TRANSCRIPTION = "transcription"
    CONTENT_MODERATION = "content-moderation"


class Category(StrEnum):
    """What a content moderation looks for."""

    NSFW = "nsfw"
    SOFT_NUDITY = "soft_nudity"
    HARD_NUDITY = "hard_nudity"
    SPORT = "sport"


class HistoryEvent(StrEnum):
    """What a row of `task_history` records."""

    DISCOVERED = "discovered"
    CHANGED = "changed"
    REMOVED = "removed"
    REAPPEARED = "reappeared"


class ResultState(StrEnum):
    """Whether the result of a task is archived; an `expired` one can no longer be fetched."""

    ARCHIVED = "archived"
    UNAVAILABLE = "unavailable"
    EXPIRED = "expired"


class ResultKind(StrEnum):
    """What a result holds: a transcription, detections of one category, or the error of a failed task."""

    TRANSCRIPTION = TaskType.TRANSCRIPTION.value
    NSFW = Category.NSFW.value
    SOFT_NUDITY = Category.SOFT_NUDITY.value
    HARD_NUDITY = Category.HARD_NUDITY.value
    SPORT = Category.SPORT.value
    FAILURE = "failure"


class RunMode(StrEnum):
    """What a run reads."""

    INCREMENTAL = "incremental"
    FULL = "full"
    SINCE = "since"
    PARTIAL = "partial"


class RunStatus(StrEnum):
    """How a run ended."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


class DateFilter(StrEnum):
    """What the server means by `date_created`; `etl/extract/date_filter.py` finds out."""

    GTE = "gte"
    LTE = "lte"
    DAY = "day"
    EXACT = "exact"
    IGNORED = "ignored"
    REJECTED = "rejected"
    UNKNOWN = "unknown"


TERMINAL_STATUSES = (TaskStatus.FAILURE, TaskStatus.REVOKED, TaskStatus.SUCCESS)
# A revoked task has none.
STATUSES_WITH_RESULT = (TaskStatus.FAILURE, TaskStatus.SUCCESS)
# In the order in which a task passes through them.
WAITING_STATUSES = (TaskStatus.RECEIVED, TaskStatus.PENDING)
OPEN_STATUSES = (*WAITING_STATUSES, TaskStatus.STARTED, TaskStatus.RETRY)
