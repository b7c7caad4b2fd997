"""
The tables, as declarative classes. Only `migrations/` creates them; a test compares the two.

    from sqlalchemy import select
    from sqlalchemy.orm import Session

    from etl.models import Task, TaskStatus

    with Session(engine) as session:
        for task in session.scalars(select(Task).where(Task.status == TaskStatus.FAILURE)):
            print(task.task_id, task.result.error if task.result else None)
"""

from etl.enums import (
    OPEN_STATUSES,
    STATUSES_WITH_RESULT,
    TERMINAL_STATUSES,
    WAITING_STATUSES,
    Category,
    HistoryEvent,
    ResultKind,
    ResultState,
    RunMode,
    RunStatus,
    TaskStatus,
    TaskType,
)
from etl.models.base import METADATA, Base, Json, UtcDateTime
from etl.models.bookkeeping import REJECTED, RUNS, STATE, RejectedRecord, SyncRun, SyncStateRow
from etl.models.fields import ApiField, FieldKind
from etl.models.result import (
    DETECTIONS,
    PARTS,
    RESULTS,
    SUBTITLES,
    Detection,
    Subtitle,
    TaskResult,
    TranscriptPart,
)
from etl.models.task import (
    API_FIELDS,
    DETAIL_DUE,
    HISTORY,
    IN_FLIGHT,
    RESULT_DUE,
    TASKS,
    Task,
    TaskHistory,
    metadata_with_conditions,
)

__all__ = [
    "API_FIELDS",
    "DETAIL_DUE",
    "DETECTIONS",
    "HISTORY",
    "IN_FLIGHT",
    "METADATA",
    "OPEN_STATUSES",
    "PARTS",
    "REJECTED",
    "RESULTS",
    "RESULT_DUE",
    "RUNS",
    "STATE",
    "STATUSES_WITH_RESULT",
    "SUBTITLES",
    "TASKS",
    "TERMINAL_STATUSES",
    "WAITING_STATUSES",
    "ApiField",
    "Base",
    "Category",
    "Detection",
    "FieldKind",
    "HistoryEvent",
    "Json",
    "RejectedRecord",
    "ResultKind",
    "ResultState",
    "RunMode",
    "RunStatus",
    "Subtitle",
    "SyncRun",
    "SyncStateRow",
    "Task",
    "TaskHistory",
    "TaskResult",
    "TaskStatus",
    "TaskType",
    "TranscriptPart",
    "UtcDateTime",
    "metadata_with_conditions",
]
