"""
Tables and views as pandas DataFrames, the same from SQLite and from Postgres.

    from etl import frames

    frames.tasks("sqlite:///gcore_tasks.db", since="2026-06-01", columns=["task_id", "status"])

The dtypes depend neither on the database nor on whether a column or the whole frame is empty:

    timestamp, in UTC             datetime64[us, UTC]
    text with few values          category: known values first, in their natural order
    other text                    string
    integer                       Int64
    float, span in seconds        float64
    boolean                       boolean
    JSON                          object: the result of json.loads

With `dtype_backend="numpy_nullable"` floats are Float64, so that null differs from NaN. With "pyarrow", which
needs the extra `export`, every column is the corresponding ArrowDtype, except categories and JSON.

Reading never writes, and does not wait for a running sync: a frame, or all its chunks, are one snapshot.
"""

from etl.frames.api import detections, results, runs, subtitles, task_history, tasks, view
from etl.frames.database_locator import find_database

__all__ = ["detections", "find_database", "results", "runs", "subtitles", "task_history", "tasks", "view"]
