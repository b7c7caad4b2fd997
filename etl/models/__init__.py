"""The tables as Python sees them. `migrations/` alone makes them; a test holds the two together."""

from etl.models.base import Base, Json, UtcDateTime
from etl.models.bookkeeping import RejectedRecord, SyncRun, SyncState
from etl.models.result import Detection, Subtitle, TaskResult
from etl.models.task import IN_FLIGHT, RESULT_DUE, STATUSES_WITH_RESULT, TERMINAL_STATUSES, Task, TaskHistory

__all__ = [
    "IN_FLIGHT",
    "RESULT_DUE",
    "STATUSES_WITH_RESULT",
    "TERMINAL_STATUSES",
    "Base",
    "Detection",
    "Json",
    "RejectedRecord",
    "Subtitle",
    "SyncRun",
    "SyncState",
    "Task",
    "TaskHistory",
    "TaskResult",
    "UtcDateTime",
]
