"""The tables as Python sees them. `migrations/` alone makes them; a test holds the two together."""

from etl.models.base import METADATA, Json, UtcDateTime
from etl.models.bookkeeping import REJECTED, RUNS, STATE
from etl.models.result import DETECTIONS, PARTS, RESULTS, SUBTITLES
from etl.models.task import (
    DETAIL_DUE,
    HISTORY,
    IN_FLIGHT,
    RESULT_DUE,
    STATUSES_WITH_RESULT,
    TASKS,
    TERMINAL_STATUSES,
    metadata_with_conditions,
)

__all__ = [
    "DETAIL_DUE",
    "DETECTIONS",
    "HISTORY",
    "IN_FLIGHT",
    "METADATA",
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
    "Json",
    "UtcDateTime",
    "metadata_with_conditions",
]
